#!/usr/bin/env bash
# The time of a step over a link of so many Mbit/s, as measured and as `tessera plan` says: one rank on each of two "hosts"
# (network namespaces), whose link tc throttles. The points of docs/scaling.md.
# usage: tests/hosts/link.sh [MBIT…]   (root; iproute2 installed; build/tessera built; nothing else running)
set -u
. "$(dirname "$0")/../tap.sh"
command -v tc >/dev/null || skip_all "a throttled link: tc is missing (package iproute2)"
. "$(dirname "$0")/hosts.sh"

timeout 60 "$tessera" -q simulate -o "$work/data.prc.h5" --perturbations 1000 --readouts 500 --contexts 2 || exit 1
printf '%s\n' 'data:' "  store: $work/data.prc.h5" 'model:' '  kind: mlp' '  embedding_dim: 64' '  hidden_dim: 192' 'train:' \
    '  batch: 4096' '  lanes: 8' '  epochs: 2' '  sampling: tiles' '  patience: 0' >"$work/study.yaml"

throttle() {
    for host in $a $b; do
        ip netns exec $host tc qdisc replace dev veth0 root tbf rate "$1mbit" burst 64kb latency 100ms || return 1
    done
}
# Both "hosts" are one machine of which each mpirun daemon would bind its rank to the first core.
across() { OMP_NUM_THREADS=1 on_hosts timeout 300 mpirun -n 2 --hostfile "$work/hosts" --map-by node --bind-to none -x OMP_NUM_THREADS "$@"; }
# number FILE KEYS: what stands there in a JSON file.
number() { python3 -c 'import json, sys
at = json.load(open(sys.argv[1]))
for key in sys.argv[2:]: at = at[int(key) if isinstance(at, list) else key]
print(at)' "$@"; }

printf '# %8s %14s %14s %14s %8s\n' Mbit/s "latency, us" "measured, ms" "planned, ms" ratio
for mbit in "${@:-1000}"; do
    throttle "$mbit" || skip_all "a throttled link: this kernel has no token bucket for tc"
    # its own messages measure the latency; small ones, as the bucket's burst lets large ones pass at first
    across "$tessera" -q plan "$work/study.yaml" --rate 1000000 --ranks 2 --nodes 2 --json "$work/link.json" >"$work/log" 2>&1 ||
        bad "plan over $mbit Mbit/s" "$work/log"
    latency=$(number "$work/link.json" between_nodes latency)
    micro=$(python3 -c "print($latency * 1e6)")
    "$tessera" -q plan "$work/study.yaml" --ranks 2 --threads 1 --nodes 2 --network "${micro}us,${mbit}Mbit/s" --json "$work/plan.json" \
        >"$work/log" 2>&1 || bad "plan" "$work/log"
    rm -rf "$work/run"
    across "$tessera" -q train "$work/study.yaml" --set run.directory="$work/run" >"$work/log" 2>&1 || bad "train" "$work/log"
    python3 - "$work" "$mbit" "$micro" <<'END' && pass "$mbit Mbit/s" || bad "$mbit Mbit/s" "$work/log"
import json, sys
work, mbit, micro = sys.argv[1:]
plan = json.load(open(f"{work}/plan.json"))
last = [json.loads(line) for line in open(f"{work}/run/log.jsonl")][-1]
real = last["seconds"]["epoch"] / plan["steps_per_epoch"]
told = plan["layouts"][plan["asked"]]["step_seconds"]
print(f"# {mbit:>8} {float(micro):14.1f} {real * 1e3:14.2f} {told * 1e3:14.2f} {told / real:8.2f}")
END
done
printf '1..%d\n' $((n_ok + n_bad))
[ $n_bad = 0 ]
