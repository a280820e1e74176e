#!/usr/bin/env bash
# The main job from end to end: install what is missing, build, then import, split, train, evaluate and
# impute, on the files given or on a simulated screen of single cells.
# usage: tools/quickstart.sh [--output DIR] [FILE…] [-- OPTION… for 'tessera import']
#   --output DIR   a new directory for everything (default: quickstart-DATE-TIME, here)
# A column 'split' of the files is used; without one, random pairs of perturbation and context are held out.
# For example: tools/quickstart.sh screen.h5ad -- --perturbation gene --context cell_line
set -u

usage() { sed -n '4,7s/^# //p' "${BASH_SOURCE[0]}"; }
files=() options=() output=
while [ $# -gt 0 ]; do
    case $1 in
    --help | -h) usage; exit 0 ;;
    --output) [ $# -gt 1 ] || { usage >&2; exit 2; }; output=$(realpath -m "$2"); shift 2 ;;
    --output=*) output=$(realpath -m "${1#*=}"); shift ;;
    --) shift; options=("$@"); break ;;
    -*) usage >&2; exit 2 ;;
    *) files+=("$(realpath -m "$1")"); shift ;;
    esac
done
[ -n "$output" ] || output=$PWD/quickstart-$(date +%Y%m%d-%H%M%S)
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
for file in "${files[@]}"; do [ -r "$file" ] || fail "$file: cannot be read"; done
[ ! -e "$output" ] || fail "$output exists already; name another directory with --output"

tools/install.sh || exit 1
say "Building"
build build
tessera=$PWD/build/tessera ranks=2
mkdir -p "$output" || fail "$output: cannot be created"
store=$output/data.prc.h5 run=$output/run

# step COMMAND…: shows it, runs it; the first failure ends the script.
step() {
    printf '\n$ %s\n' "$*" | sed "s#$tessera#tessera#; s#$output/##g"
    "$@" || fail "the step above failed with code $?; what is finished lies in $output"
}

say "Data"
if [ ${#files[@]} = 0 ]; then
    step "$tessera" simulate -o "$output/screen.h5ad" --truth "$output/truth.h5ad" --perturbations 150 \
        --combinations 60 --readouts 200 --contexts 5 --cells 12 --replicates 3
    files=("$output/screen.h5ad")
    options=(--normalize-total 1e4 --log1p)
fi
case " ${options[*]-} " in
*" --split-column"*) ;;
*) # Is there a column 'split'? The message says so if there is none.
    if "$tessera" check "${files[@]}" "${options[@]}" --split-column split >"$output/check.txt" 2>&1; then
        options+=(--split-column split)
    fi
    rm -f "$output/check.txt" ;;
esac
step "$tessera" import "${files[@]}" -o "$store" "${options[@]}"
case " ${options[*]} " in
*" --split-column"*) step "$tessera" split "$store" ;;
*) step "$tessera" split "$store" --random ;;
esac

say "Training on $ranks ranks"
step mpirun -n $ranks "$tessera" train config/quickstart.yaml --set "data.store=$store" --set "run.directory=$run"

say "Held-out experiments"
step mpirun -n $ranks "$tessera" evaluate "$run" --json "$output/scores.json" | tee "$output/scores.txt"
[ "${PIPESTATUS[0]}" = 0 ] || exit 1

say "Every experiment that nobody ran"
step mpirun -n $ranks "$tessera" impute "$run" -o "$output/imputed.h5ad"

say "Done"
sed '1,/^\$ /d' "$output/scores.txt"
cat <<END

Everything lies in $output:
  data.prc.h5    the experiments, imported
  run/           checkpoints, log.jsonl, used.yaml (all settings)
  scores.txt     the table above; scores.json has everything
  imputed.h5ad   every perturbation x readout of every context (anndata.read_h5ad opens it)
END
