#!/usr/bin/env bash
# seeds.sh -- a small whole file of each kind of HDF5 that Tessera reads.
# usage: seeds.sh TESSERA FOLDER
set -eu
tessera=$(realpath "$1") folder=$2
export ASAN_OPTIONS=detect_leaks=0
mkdir -p "$folder"
folder=$(realpath "$folder") work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"$tessera" -q simulate --perturbations 6 --readouts 5 --contexts 2 --replicates 2 --controls 2 --combinations 2 --missing 0.1 -o simulated.h5ad
"$tessera" -q simulate --perturbations 3 --readouts 6 --contexts 1 --controls 2 --cells 3 --depth 6 -o sparse.h5ad
"$tessera" -q import simulated.h5ad --split-column split -o store.prc.h5 >import.txt
cat >config.yaml <<END
data.store: store.prc.h5
run.directory: run
model: {embedding_dim: 4, hidden_dim: 8}
train: {epochs: 2, members: 1}
END
"$tessera" -q train config.yaml
"$tessera" -q impute run -o imputed.h5ad
"$tessera" -q impute run -o imputed.gctx
cp -L run/best-*.h5 best.h5
cp -L run/best-*.h5.sum best.h5.sum
cp simulated.h5ad sparse.h5ad store.prc.h5 imputed.h5ad imputed.gctx best.h5 best.h5.sum "$folder/"
