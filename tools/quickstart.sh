#!/usr/bin/env bash
# The main job from end to end: install what is missing, build, then import, split, train, evaluate,
# impute and report, on the files given or on a simulated screen of single cells.
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
    --output) [ $# -gt 1 ] || { usage >&2; exit 2; }; output=$(realpath -m -- "$2"); shift 2 ;;
    --output=*) output=$(realpath -m -- "${1#*=}"); shift ;;
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
build build -Dtests=disabled
tessera=$PWD/build/tessera ranks=2
mkdir -p "$output" || fail "$output: cannot be created"
store=$output/data.prc.h5 run=$output/run

# Shows a command line; standard output may go to a file meanwhile.
exec 3>&1
show() { local line=${*//"$output/"/}; printf '\n$ %s\n' "${line/"$tessera"/tessera}" >&3; }
# step COMMAND…: shows it, runs it; the first failure ends the script.
step() {
    show "$@"
    "$@" || fail "the step above failed with code $?; what is finished lies in $output"
}

say "Data"
if [ ${#files[@]} = 0 ]; then
    step "$tessera" simulate -o "$output/screen.h5ad" --truth "$output/truth.h5ad" --perturbations 100 \
        --combinations 40 --readouts 100 --contexts 4 --cells 12 --replicates 3
    files=("$output/screen.h5ad")
    options=(--normalize-total 1e4 --log1p)
fi
step "$tessera" import "${files[@]}" -o "$store" "${options[@]}"
# A column 'split' of the files was used, if there is one.
rule=$("$tessera" info "$store" | sed -n 's/^split_method .*everything for training$/--random/p')
step "$tessera" split "$store" $rule

say "Training on $ranks ranks"
step mpirun -n $ranks "$tessera" train config/quickstart.yaml --set "data.store=$store" --set "run.directory=$run"

say "Held-out experiments"
step mpirun -n $ranks "$tessera" evaluate "$run" --json "$output/scores.json" >"$output/scores.txt"

say "Every experiment that nobody ran"
step mpirun -n $ranks "$tessera" impute "$run" -o "$output/imputed.h5ad" --force

say "Pictures"
step mpirun -n $ranks "$tessera" report "$run" -o "$output/report.html"

say "Done"
cat "$output/scores.txt"
cat <<END

Everything lies in $output:
  data.prc.h5    the experiments, imported
  run/           checkpoints, log.jsonl, used.yaml (all settings)
  scores.txt     the table above; scores.json has everything
  imputed.h5ad   every perturbation x readout of every context (anndata.read_h5ad opens it)

To look at, in any browser: $output/report.html
END
