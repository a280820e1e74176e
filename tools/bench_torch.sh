#!/usr/bin/env bash
# Tessera beside PyTorch on the same two cores, in turns: the published recipes, training and imputation.
# PyTorch is the distribution's (python3-torch, installed if it is missing), with the matrix kernels that fit
# the processor, its data in memory, in float32 and under autocast to bfloat16, the better of 1 and 2 threads,
# its best batch for predictions. Of Tessera the better of two ranks and two threads, in float32 and, where the
# processor has a unit for it, bfloat16; what it imputes goes into a file. Prints medians, ranges, ratios.
# usage: tools/bench_torch.sh [--repeat N] [--quick] [lincs|replogle ...]
set -u
usage() { sed -n '2,7s/^# //p' "$0"; }
repeat=5 quick=() seconds=3 recipes=()
while [ $# -gt 0 ]; do
    case $1 in
    --repeat) repeat=$2; shift ;;
    --quick) quick=(--quick) seconds=0.5 repeat=1 ;;
    --help) usage; exit 0 ;;
    lincs | replogle) recipes+=("$1") ;;
    *) usage >&2; exit 2 ;;
    esac
    shift
done
case $repeat in '' | *[!0-9]*) usage >&2; exit 2 ;; esac # bash's arithmetic would run $(…) in it
[ ${#recipes[@]} -gt 0 ] || recipes=(lincs replogle)
. "$(dirname "$0")/common.sh"
tools/install.sh --tests || exit 1
/usr/bin/python3 -c 'import torch' 2>/dev/null || fail "python3-torch is not there and could not be installed"
build build --buildtype=release
tessera=build/tessera
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# data RECIPE: perturbations readouts contexts sparsity, as tessera bench has them
data() { case $1 in lincs) echo 25000 978 2 0.5 ;; replogle) echo 2000 2000 2 0 ;; esac; }

# The kernels that Tessera chooses are those that PyTorch shall use, through the same OpenBLAS.
kernels=$($tessera --version | sed -n 's/^BLAS:.* \([A-Za-z0-9]*\) MAX_THREADS.*/\1/p')
say "OpenBLAS kernels for both: ${kernels:-its own choice}"

reports=()
for recipe in "${recipes[@]}"; do
    read -r perturbations readouts contexts sparsity <<<"$(data "$recipe")"
    $tessera -q simulate -o "$folder/$recipe.prc.h5" --perturbations "$perturbations" --readouts "$readouts" \
        --contexts "$contexts" --sparsity "$sparsity" --controls 1 --split-target none || fail "simulate failed"
    for ((i = 1; i <= repeat; i++)); do
        say "$recipe, turn $i of $repeat"
        base=$folder/$recipe.$i
        for threads in 1 2; do
            env ${kernels:+OPENBLAS_CORETYPE="$kernels"} OMP_NUM_THREADS=$threads OPENBLAS_NUM_THREADS=$threads \
                /usr/bin/python3 tools/bench_torch.py measure "$recipe" "$perturbations" "$readouts" "$contexts" \
                "$seconds" >"$base.torch$threads" || fail "PyTorch failed"
        done
        options=(bench --rates "${quick[@]}" --repeat 1 --recipe "$recipe" --store "$folder/$recipe.prc.h5" --directory "$folder")
        mpirun -n 2 $tessera "${options[@]}" --json "$base.ranks" || fail "bench failed"
        $tessera "${options[@]}" --threads 2 --json "$base.threads" || fail "bench failed"
        printf '{"recipe": "%s", "torch": [%s, %s], "tessera": [%s, %s]}\n' "$recipe" "$(cat "$base.torch1")" "$(cat "$base.torch2")" \
            "$(cat "$base.ranks")" "$(cat "$base.threads")" >"$base.json"
        reports+=("$base.json")
    done
done
say "$(uname -m), $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1), two cores each; $repeat turns"
/usr/bin/python3 tools/bench_torch.py table "${reports[@]}"
