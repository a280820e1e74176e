#!/usr/bin/env bash
# bench.sh -- the benchmark runs alone and on ranks, and says all it should: in float32, and in bfloat16 where
# there is a unit for it or the configuration asks for it. How long anything takes decides nothing.
# usage: bench.sh TESSERA SOURCE_FOLDER
set -eu
tessera=$1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export TMPDIR=$folder

$tessera -q simulate -o "$folder/small.prc.h5" --perturbations 120 --readouts 100 --contexts 3
cat >"$folder/small.yaml" <<END
data: {store: $folder/small.prc.h5}
model: {embedding_dim: 16, hidden_dim: 64}
train: {batch: 4096}
END
mpirun -n 2 "$tessera" bench "$folder/small.yaml" --quick --repeat 1 --json "$folder/ranks.json" >"$folder/ranks.txt"
"$tessera" bench --quick --recipe lincs --json "$folder/lincs.json" --threads 1 >/dev/null
export DNNL_MAX_CPU_ISA=AVX2 ONEDNN_MAX_CPU_ISA=AVX2 # no unit: bfloat16 by sgemm, if asked for
"$tessera" bench "$folder/small.yaml" --quick --repeat 1 --set train.precision=bfloat16 --json "$folder/asked.json" >"$folder/asked.txt"
"$tessera" bench "$folder/small.yaml" --quick --repeat 1 --rates --json "$folder/none.json" >"$folder/none.txt"
unset DNNL_MAX_CPU_ISA ONEDNN_MAX_CPU_ISA
grep -q "no unit for bfloat16" "$folder/none.txt"
if "$tessera" bench --recipe nonsense >/dev/null 2>"$folder/error.txt"; then
    echo "an unknown recipe was taken"
    exit 1
fi
grep -q "no recipe 'nonsense'" "$folder/error.txt"
[ -z "$(find "$folder" -name 'tessera-bench-*')" ] || { echo "temporary files stay"; exit 1; }

python3 - "$folder" <<'END'
import json, sys

ranks, lincs, asked, none = (json.load(open(f"{sys.argv[1]}/{name}.json")) for name in ("ranks", "lincs", "asked", "none"))
assert ranks["ranks"] == 2 and lincs["threads"] == 1
assert {"machine", "messages", "dense", "own"} <= set(ranks), set(ranks)
for report in ranks, lincs, asked:
    dense = report["dense"]["inverse of 400 genes, all ranks"]
    assert dense["value"] > 0 and dense["share"] > 0 and dense["share_of"] == "of dgemm's rate", dense
assert "dense" not in none, "--rates leaves it out"


def complete(part, n_ranks):
    for name in ("training", "its products alone", "a step", "preparing steps", "gathering rows", "projections",
                 "hidden layers' products", "fused passes", "waiting", "reducing gradients", "optimiser", "sharing results",
                 "imputation, in memory", "imputation, into the file", "predicting", "waiting for the writing",
                 "closing, all brought to the disk", "checksums and name", "meanwhile: copying to the file system"):
        assert part[name]["value"] >= 0, name
    assert ("as many runs side by side" in part) == (n_ranks > 1)


def both(report, section, label):
    """A part in float32, and in bfloat16 exactly where there is a unit."""
    parts, low = report[section], f"{label}, bfloat16"
    assert parts[label]["training"]["value"] > 0 and parts[label]["training"]["share_of"] == "of sgemm alone"
    assert (low in parts) == (report["unit"] != "none"), (low, report["unit"])
    if low in parts:
        assert parts[low]["training"]["value"] > 0 and parts[low]["training"]["share_of"] == "of its products alone"
        ratio = parts[low]["training"]["value"] / parts[label]["training"]["value"]
        assert abs(parts[low]["training, beside float32"]["value"] / ratio - 1) < 1e-3
    return [parts[name] for name in (label, low) if name in parts]


for part in both(ranks, "own", "own"):
    complete(part, 2)
for part in both(lincs, "lincs", "tiles"):
    complete(part, 1)
    for name in ("training", "imputation, in memory"):
        print(f"{name}: {part[name]['value']:.0f} k/s, {part[name]['share']:.2f} {part[name]['share_of']}")
for label in ("observations", "dot", "dot, wide"):
    both(lincs, "lincs", label)
assert lincs["growth"]["30000 rows"]["value"] > 0
for report, H in ((ranks, 64), (lincs, 256)):
    for what in ("forward", "gradient", "backward"):
        for unit in {"sgemm", report["unit"]} - {"none"}:
            assert report["machine"][f"{unit} {what}, H = {H}"]["share"] > 0, (unit, what)
assert asked["unit"] == none["unit"] == "none"
assert set(asked["own"]) == {"own, bfloat16"} and set(none["own"]) == {"own"}
complete(asked["own"]["own, bfloat16"], 1)
END
