#!/usr/bin/env python3
"""Makes the table "Doses and times" in docs/reach.md again: doses of an expression screen are left out, and predicted by a model that
knows doses as numbers (model.doses), by the baseline `interpolated`, and by what anybody would do with the profiles by hand.

usage: doses.py FILE.h5ad OUT [--seeds N] [--set KEY=VALUE …]

FILE has obs columns perturbation, replicate and context, whose names end with _TIME_LEVEL (Low, Middle, High, a factor of 5 apart).
`middle`: the middle doses of all drugs that were measured at the other two, too; by hand: the mean of the two profiles.
`high`: the high doses of a third of the drugs; by hand: the profile at the middle dose. The validation split holds doses of another
eighth of the drugs, left out in the same way. Needs a built program in build/, anndata and NumPy."""
import argparse
import json
import subprocess
from pathlib import Path

import anndata
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
TESSERA = Path(__import__("os").environ.get("TESSERA", ROOT / "build" / "tessera"))
LEVELS = {"Low": 1, "Middle": 5, "High": 25}


def call(*words):
    done = subprocess.run([TESSERA, "-q", *map(str, words)], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{words}: {done.stderr}")


def read(path):
    """The file with dose, time and context apart, and the mean profile of each (drug, time, level)."""
    data = anndata.read_h5ad(path)
    parts = [context.rsplit("_", 2) for context in data.obs["context"]]
    data.obs["context"] = [f"{cell}_{time}" for cell, time, _ in parts]
    data.obs["level"] = [level for _, _, level in parts]
    values = data.X.toarray() if hasattr(data.X, "toarray") else np.asarray(data.X)
    rows = {}
    for i, key in enumerate(zip(data.obs["perturbation"], data.obs["context"], data.obs["level"])):
        rows.setdefault(key, []).append(values[i])
    return data, {key: np.mean(value, axis=0, dtype=float) for key, value in rows.items()}


def assign(profiles, task, seed):
    """Split of each (drug, context, level), and what it is by hand."""
    drugs = sorted({drug for drug, _, _ in profiles if drug != "control"})
    order = np.random.default_rng(seed).permutation(len(drugs))
    of = {drugs[i]: place for place, i in enumerate(order)}
    split, by_hand = {}, {}
    for drug, context, level in profiles:
        key, near = (drug, context, level), {name: profiles.get((drug, context, name)) for name in LEVELS}
        split[key] = "train"
        if drug == "control":
            continue
        val = of[drug] < len(drugs) // 8
        if task == "middle" and level == "Middle":
            whole = near["Low"] is not None and near["High"] is not None
            split[key] = "unused" if not whole else "val" if val else "test"
            by_hand[key] = (near["Low"] + near["High"]) / 2 if whole else None
        if task == "high" and level == "High" and (val or of[drug] >= len(drugs) - len(drugs) // 3):
            split[key] = "unused" if near["Middle"] is None else "val" if val else "test"
            by_hand[key] = near["Middle"]
    return split, by_hand


def one(data, profiles, a, task, seed):
    name = a.out / f"{task}-{seed}"
    split, by_hand = assign(profiles, task, seed)
    store, run = f"{name}.prc.h5", f"{name}{a.name}"
    if not Path(store).exists():
        data = data.copy()
        data.obs["split"] = [split[key] for key in zip(data.obs["perturbation"], data.obs["context"], data.obs["level"])]
        data.write_h5ad(f"{name}.h5ad")
        call("import", f"{name}.h5ad", "-o", store, "--replicate", "replicate", "--dose", "level", "--dose-levels",
             ",".join(f"{word}={number}" for word, number in LEVELS.items()))
    settings = [x for setting in a.set or [] for x in ("--set", setting)]
    call("train", ROOT / "config" / "quickstart.yaml", "--set", f"data.store={store}", "--set", f"run.directory={run}", "--set",
         "model.doses=true", "--set", f"run.seed={seed}", *settings)
    found = {}
    for blend in "off", "auto":
        call("evaluate", run, "--blend", blend, "--resamples", 0, "--json", f"{run}.json")
        scores = json.loads(Path(f"{run}.json").read_text())
        found["model alone" if blend == "off" else "model and baseline"] = scores["model"]["rmse"]
    for baseline in "readout_mean", "no_perturbation", "interpolated":
        found[baseline] = scores["baselines"][baseline]["rmse"]
    test = [key for key, which in split.items() if which == "test"]
    found["by hand"] = np.sqrt(np.mean([(by_hand[key] - profiles[key]) ** 2 for key in test]))
    print(task, seed, len(test), " ".join(f"{k} {v:.4f}" for k, v in found.items()), scores["source"].get("blend"), flush=True)
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--set", action="append")
    parser.add_argument("--name", default="")
    parser.add_argument("--tasks", default="middle,high")
    a = parser.parse_args()
    a.out.mkdir(exist_ok=True)
    data, profiles = read(a.file)
    table = {task: [one(data, profiles, a, task, seed) for seed in range(a.seeds)] for task in a.tasks.split(",")}
    print("| |", " | ".join(f"{task} dose left out" for task in table), "|")
    for method in next(iter(table.values()))[0]:
        cells = [[found[method] for found in rows] for rows in table.values()]
        print(f"| {method} |", " | ".join(f"{np.mean(x):.4f} ± {np.std(x, ddof=len(x) > 1):.4f}" for x in cells), "|")


if __name__ == "__main__":
    main()
