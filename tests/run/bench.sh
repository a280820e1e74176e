#!/usr/bin/env bash
# bench.sh -- the benchmark runs alone and on ranks, says all it should, and training and imputation are not far
# from the sgemm calls they consist of (of the same run: no absolute time).
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
if "$tessera" bench --recipe nonsense >/dev/null 2>"$folder/error.txt"; then
    echo "an unknown recipe was taken"
    exit 1
fi
grep -q "no recipe 'nonsense'" "$folder/error.txt"
[ -z "$(find "$folder" -name 'tessera-bench-*')" ] || { echo "temporary files stay"; exit 1; }

slow=$(grep -qa __asan_init "$tessera" && echo 1 || echo 0) # sanitizers slow our part down, not sgemm
python3 - "$folder" "$slow" <<'END'
import json, sys

ranks, lincs = (json.load(open(f"{sys.argv[1]}/{name}.json")) for name in ("ranks", "lincs"))
assert ranks["ranks"] == 2 and lincs["threads"] == 1
assert {"machine", "messages", "own"} <= set(ranks), set(ranks)
own = ranks["own"]["own"]
for name in ("training", "a step", "preparing steps", "gathering rows", "projections", "hidden layers' sgemm", "fused passes",
             "waiting", "reducing gradients", "optimiser", "sharing results", "as many runs side by side",
             "imputation, in memory", "imputation, into the file", "predicting", "waiting for the writing",
             "closing, all brought to the disk", "checksums and name", "meanwhile: copying to the file system"):
    assert own[name]["value"] >= 0, name
for kind in ("tiles", "observations"):
    assert lincs["lincs"][kind]["training"]["value"] > 0
assert lincs["growth"]["30000 rows"]["value"] > 0
tiles = lincs["lincs"]["tiles"]
for name, least in (("training", 0.4), ("imputation, in memory", 0.4)):
    print(f"{name}: {tiles[name]['value']:.0f} k/s, {tiles[name]['share']:.2f} of sgemm alone")
    assert sys.argv[2] == "1" or tiles[name]["share"] > least, f"{name}: {tiles[name]['share']:.2f} of sgemm alone, less than {least}"
END
