#!/usr/bin/env python3
"""Makes the table "Noise that differs" in docs/accuracy.md again: models with model.noise beside one deviation for all values.

usage: noise.py STORE.prc.h5 OUT [--seeds N] [--set KEY=VALUE …]

Each model is trained once with model.noise: learned. Scored are the store's test values of single perturbations, by the negative logarithm of a
normal likelihood about the model's predictions (without the blend), per value, and by how many lie within 50, 80 and 95 % intervals: with the
calibrated deviation of each value (std_calibrated), and with one deviation for all, the RMSE on validation; and how many lie more than ten learned
deviations off, and what these alone add to the mean. A line of the table for each seed. Needs a built program in build/, anndata, NumPy."""
import argparse
import subprocess
from pathlib import Path

import anndata
import h5py
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
TESSERA = Path(__import__("os").environ.get("TESSERA", ROOT / "build" / "tessera"))
SPLITS = {"val": 1, "test": 2}
QUANTILES = 0.6744898, 1.2815516, 1.959964  # of a normal distribution, for 50, 80 and 95 %


def call(*words):
    done = subprocess.run([TESSERA, "-q", *map(str, words)], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{words}: {done.stderr}")


def rows_of(store):
    """Values of the store's val and test experiments of single perturbations: {split: [(perturbation@context, readouts, values)]}."""
    with h5py.File(store) as file:
        names = {kind: file[f"{kind}/symbol"].asstr()[:] for kind in ("perturbation", "readout", "context")}
        first, member = file["combination/first"][:], file["combination/member"][:]
        panels = np.split(file["panel/readout"][:], file["panel/first"][1:-1])
        columns = [file[f"experiment/{name}"][:] for name in ("combination", "context", "panel", "split")]
        values, at, out = file["value"][:], 0, {split: [] for split in SPLITS}
        for combination, context, panel, split in zip(*columns):
            width = len(panels[panel])
            for name, number in SPLITS.items():
                if split == number and first[combination + 1] - first[combination] == 1:
                    out[name].append((f"{names['perturbation'][member[first[combination]]]}@{names['context'][context]}",
                                      names["readout"][panels[panel]], values[at:at + width]))
            at += width
    return out


def beside(rows, predicted):
    """Errors and the model's deviations of all values that it can predict."""
    place, column = ({name: i for i, name in enumerate(of)} for of in (predicted.obs_names, predicted.var_names))
    errors, deviations = [], []
    for name, readouts, values in rows:
        known = [k for k, r in enumerate(readouts) if r in column and not np.isnan(values[k])] if name in place else []
        there = [column[readouts[k]] for k in known]
        errors.append(values[known] - predicted.X[place[name], there] if known else [])
        deviations.append(predicted.layers["std_calibrated"][place[name], there] if known else [])
    return np.concatenate(errors).astype(float), np.concatenate(deviations).astype(float)


def judge(error, deviation):
    """Mean negative logarithm of the likelihood; shares in % within the intervals; values that lie far off, and their part of the mean."""
    z = np.abs(error / deviation)
    each, far = np.log(deviation) + z ** 2 / 2 + np.log(2 * np.pi) / 2, z > 10
    return each.mean(), ", ".join(f"{100 * np.mean(z < q):.1f}" for q in QUANTILES), far.sum(), each[far].sum() / len(z)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("store", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--set", action="append", default=[])
    a = parser.parse_args()
    a.out.mkdir(exist_ok=True)
    rows = rows_of(a.store)
    for seed in range(a.seeds):
        run, imputed = a.out / f"run-{seed}", a.out / f"imputed-{seed}.h5ad"
        call("train", ROOT / "config" / "quickstart.yaml", "--set", f"data.store={a.store}", "--set", f"run.directory={run}", "--set", f"run.seed={seed}",
             "--set", "model.noise=learned", *(word for setting in a.set for word in ("--set", setting)))
        call("impute", run, "-o", imputed, "--blend", "off", "--force")
        predicted = anndata.read_h5ad(imputed)
        (val, _), (error, deviation) = beside(rows["val"], predicted), beside(rows["test"], predicted)
        one, own = judge(error, np.sqrt(np.mean(val ** 2))), judge(error, deviation)
        print(f"| {a.store.name}, seed {seed} | {one[0]:.3f} | {own[0]:.3f} | {one[1]} | {own[1]} | {own[2]} of {len(error)} | {own[3]:.3f} |", flush=True)


if __name__ == "__main__":
    main()
