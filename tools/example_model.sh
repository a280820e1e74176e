#!/usr/bin/env bash
# Make the trained model that comes with Tessera (docs/model) again, from a simulated screen: data, training, scores.
# usage: tools/example_model.sh [PROGRAM [DIR]]     (default: build/tessera, docs/model; DIR/README.md stays as it is)
set -eu
source=$(realpath -- "$(dirname "$0")/..")
program=$(realpath -- "${1:-$source/build/tessera}") out=$(realpath -m -- "${2:-$source/docs/model}")
config=$source/config/quickstart.yaml
. "$source/tools/common.sh"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tessera() { "$program" -q "$@" >>"$work/log.txt" 2>&1 || { cat "$work/log.txt" >&2; fail "tessera $1 failed"; }; }

cd "$work"
tessera simulate -o model.prc.h5 --perturbations 60 --mechanisms 12 --combinations 40 --synergy 0.5 --epistasis 0 \
    --readouts 80 --contexts 8 --replicates 2 --nonlinearity 1 --noise 0.3
tessera split model.prc.h5 --random --val 0.1 --test 0.1
tessera train "$config" --set data.store=model.prc.h5 --set run.directory=run --set model.embedding_dim=32 \
    --set model.hidden_dim=128 --set model.dropout=0.05
tessera evaluate run --resamples 200 --json run/scores.json
# The best checkpoint alone: nobody goes on with this training. Store and run lie together, wherever that is.
rm run/checkpoint-* run/lock
sed -i -E 's|^( *store: ").*"|\1model.prc.h5"|; s|^( *directory: ").*"|\1."|' run/used.yaml
# What the card shows, without contexts and intervals.
python3 - run/scores.json <<'END'
import json, sys
with open(sys.argv[1]) as file:
    scores = json.load(file)
kept = ("split", "resamples", "seed", "source", "counts", "model", "baselines", "ceiling")
with open(sys.argv[1], "w") as file:
    json.dump({key: scores[key] for key in kept}, file, indent=1)
    file.write("\n")
END
mkdir -p "$out"
find "$out" -type f ! -name README.md -delete
mv model.prc.h5* run/* "$out"
