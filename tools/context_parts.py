#!/usr/bin/env python3
"""Makes the table "Contexts with parts" in docs/reach.md again: whole contexts are left out, and predicted as the sum of their parts.

usage: context_parts.py FILE.h5ad OUT --pairs TEST:VAL[,TEST:VAL] [--seeds N] [--set KEY=VALUE …]

The experiments of context TEST are scored, those of VAL choose the epoch and the weight beside the baseline; both are left out as a
whole, and the rest is trained on. Control stays where it is, and is not scored. Needs a built program in build/, anndata, NumPy."""
import argparse
import json
import subprocess
from pathlib import Path

import anndata
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
TESSERA = Path(__import__("os").environ.get("TESSERA", ROOT / "build" / "tessera"))
BASELINES = "readout_mean", "additive", "additive_parts"


def call(*words):
    done = subprocess.run([TESSERA, "-q", *map(str, words)], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{words}: {done.stderr}")


def one(a, test, val, seed):
    store, run = a.out / f"{test}.prc.h5", a.out / f"{test}-{seed}{a.name}"
    if not store.exists():
        data = anndata.read_h5ad(a.file)
        data.obs["split"] = ["test" if c == test else "val" if c == val else "train" for c in data.obs["context"]]
        data = data[~((data.obs["perturbation"] == "control") & (data.obs["split"] != "train"))]
        data.write_h5ad(a.out / f"{test}.h5ad")
        call("import", a.out / f"{test}.h5ad", "-o", store, "--replicate", "replicate")
    settings = [x for setting in a.set or [] for x in ("--set", setting)]
    call("train", ROOT / "config" / "quickstart.yaml", "--set", f"data.store={store}", "--set", f"run.directory={run}", "--set",
         "model.context_parts=true", "--set", f"run.seed={seed}", *settings)
    found = {}
    for blend in "off", "auto":
        call("evaluate", run, "--blend", blend, "--resamples", 0, "--json", f"{run}.json")
        scores = json.loads(Path(f"{run}.json").read_text())
        found["model alone" if blend == "off" else "model and baseline"] = scores["model"]["rmse"]
    for baseline in BASELINES:
        found[baseline] = scores["baselines"][baseline]["rmse"]
    print(test, seed, " ".join(f"{k} {v:.4f}" for k, v in found.items()), scores["source"].get("blend"), flush=True)
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--pairs", required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--set", action="append")
    parser.add_argument("--name", default="")
    a = parser.parse_args()
    a.out.mkdir(exist_ok=True)
    table = {}
    for pair in a.pairs.split(","):
        test, val = pair.split(":")
        table[test] = [one(a, test, val, seed) for seed in range(a.seeds)]
    methods = list(next(iter(table.values()))[0])
    print("| context left out |", " | ".join(methods), "|")
    for test, rows in table.items():
        cells = [[found[method] for found in rows] for method in methods]
        print(f"| {test} |", " | ".join(f"{np.mean(x):.4f} ± {np.std(x, ddof=len(x) > 1):.4f}" for x in cells), "|")
    print("| mean |", " | ".join(f"{np.mean([found[m] for rows in table.values() for found in rows]):.4f}" for m in methods), "|")


if __name__ == "__main__":
    main()
