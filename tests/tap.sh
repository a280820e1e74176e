# shellcheck shell=bash
# tap.sh -- sourced by tests that need more of the machine than a build: results as TAP lines, waiting
# with an end. `work` is a folder that goes at the end, after the function `stop`.
. "$(dirname "${BASH_SOURCE[0]}")/../tools/common.sh"
# The bits are compared: the same kernels in jobs and here, whatever the caller set.
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE

skip_all() { printf '1..0 # SKIP %s\n' "$*"; exit 77; }
n_ok=0 n_bad=0
pass() { printf 'ok %d - %s\n' $((++n_ok + n_bad)) "$*"; }
# bad WHAT [FILE]: the end of FILE says why.
bad() {
    printf 'not ok %d - %s\n' $((n_ok + ++n_bad)) "$1"
    [ -z "${2-}" ] || tail -n 25 "$2" 2>&1 | sed 's/^/# /'
}

# until_true SECONDS COMMAND…: false if it is not so by then.
until_true() {
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.2
    done
}

finish() {
    local code=$?
    trap - EXIT
    type stop >/dev/null 2>&1 && stop
    cd / && rm -rf "$work"
    exit "$code"
}
work=$(mktemp -d)
chmod 711 "$work"
trap finish EXIT
trap 'exit 1' TERM INT HUP

# A training that lasts until it is told to end: small, with several checkpoints on the way.
tessera=$PWD/build/tessera
make_study() {
    timeout 60 "$tessera" -q simulate -o "$work/data.prc.h5" --perturbations 60 --readouts 100 || exit 1
    printf '%s\n' 'data:' "  store: $work/data.prc.h5" 'model:' '  embedding_dim: 32' '  hidden_dim: 64' \
        'train:' '  batch: 2048' '  patience: 0' '  epochs: 1000000' '  schedule: constant' 'checkpoint:' \
        '  minutes: 0.02' '  keep: 2' >"$work/study.yaml"
}
# study NAME: a configuration of its own. Its epochs, on which the learning rate does not depend, may
# change while it is interrupted, so that it is interrupted on machines of any speed and still ends soon.
study() { cp "$work/study.yaml" "$work/$1.yaml"; }
epochs() { cat "$work/$1/log.jsonl" 2>/dev/null | wc -l; }
went() { [ "$(epochs "$1")" -ge "$2" ]; }
end_soon() { sed -i "s/epochs: .*/epochs: $(($(epochs "$1") + 20))/" "$work/$1.yaml"; }
newest() { ls "$work/$1"/checkpoint-*[0-9].h5 | sort | tail -n 1 | grep .; }

# same_as_undisturbed NAME: the run's last checkpoint equals that of one process that was left alone.
same_as_undisturbed() {
    timeout 400 "$tessera" -q train "$work/$1.yaml" --set run.directory="$work/alone-$1" >"$work/alone.log" 2>&1 &&
        [ "$(basename "$(newest "$1")")" = "$(basename "$(newest "alone-$1")")" ] &&
        h5diff -q "$(newest "$1")" "$(newest "alone-$1")"
}
