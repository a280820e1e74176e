#!/usr/bin/env python3
"""Makes the table of screens in docs/discovery.md again: a context's experiments are hidden, its perturbations are ranked by predicted
change, and what was hidden says which of them regulate.

usage: screens.py STORE OUT [--members N] [--readouts N] [--hidden SHARE] [--contexts C,C]

For each context its hidden experiments are all that `tessera split --target` holds out there. A perturbation regulates a readout up
(or down) if its measured change against the context's control is among the tenth that goes farthest that way. Baseline: the mean
change of the same perturbation in other contexts (additive). Needs a built program in build/, h5py, anndata and SciPy."""
import argparse
import shutil
import subprocess
from pathlib import Path

import anndata
import h5py
import numpy as np
from scipy import stats

ROOT = Path(__file__).resolve().parent.parent
TESSERA = ROOT / "build" / "tessera"
SCORES = ["precision at 10", "precision at 50", "AUROC", "rank correlation"]


def call(*words):
    done = subprocess.run([TESSERA, "-q", *map(str, words)], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{words}: {done.stderr}")


class Measured:
    """A store of single perturbations on one panel."""

    def __init__(self, path):
        with h5py.File(path) as file:
            names = {k: [s.decode() for s in file[f"{k}/symbol"][()]] for k in ("perturbation", "readout", "context")}
            first, member = file["combination/first"][()], file["combination/member"][()]
            sets = ["+".join(names["perturbation"][m] for m in member[a:b]) for a, b in zip(first, first[1:])]
            self.readouts, self.contexts = names["readout"], names["context"]
            value = file["value"][()].astype(float).reshape(len(file["experiment/split"]), -1)
            self.rows = list(zip((sets[i] for i in file["experiment/combination"][()]),
                                 (self.contexts[i] for i in file["experiment/context"][()]), file["experiment/split"][()], value))

    def changes(self, context, splits):
        control = np.mean([v for p, c, _, v in self.rows if c == context and p == "control"], axis=0)
        return {p: v - control for p, c, s, v in self.rows if c == context and s in splits and p != "control"}


def scores(change, truth, up):
    """Of one readout: predicted and measured changes of the hidden perturbations."""
    sign = 1 if up else -1
    order = np.argsort(-sign * change, kind="stable")
    tenth = max(1, round(len(truth) / 10))
    hit = np.zeros(len(truth), bool)
    hit[np.argsort(-sign * truth, kind="stable")[:tenth]] = True
    ranks = stats.rankdata(sign * change)
    auroc = (ranks[hit].sum() - tenth * (tenth + 1) / 2) / (tenth * (len(truth) - tenth))
    return [hit[order[:10]].mean(), hit[order[:50]].mean(), auroc, stats.spearmanr(change, truth)[0]]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("store", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--members", type=int, default=3)
    parser.add_argument("--readouts", type=int, default=50)
    parser.add_argument("--hidden", type=float, default=0.7)
    parser.add_argument("--contexts")
    a = parser.parse_args()
    a.out.mkdir(exist_ok=True)
    found, counts = {"model": [], "additive": []}, []
    for context in a.contexts.split(",") if a.contexts else Measured(a.store).contexts:
        store, run, imputed = (a.out / f"{context}{end}" for end in (".prc.h5", "", ".h5ad"))
        if not imputed.exists():
            shutil.copy(a.store, store)
            call("split", store, "--target", context, "--val", 0.1, "--test", a.hidden)
            call("train", ROOT / "config" / "quickstart.yaml", "--set", f"data.store={store}", "--set", f"run.directory={run}", "--set",
                 f"train.members={a.members}")
            call("impute", run, "-o", imputed, "--delta", "-c", context)
        measured, model = Measured(store), anndata.read_h5ad(imputed)
        truth = measured.changes(context, (2,))
        elsewhere = [measured.changes(c, (0,)) for c in measured.contexts if c != context]
        hidden = sorted(p for p in truth if any(p in other for other in elsewhere))
        if len(hidden) < 60:
            continue
        real = np.array([truth[p] for p in hidden])
        additive = np.array([np.mean([other[p] for other in elsewhere if p in other], axis=0) for p in hidden])
        predicted = np.asarray(model[[f"{p}@{context}" for p in hidden], measured.readouts].X, float)
        varying = np.argsort(-real.std(0))[:a.readouts]
        for name, change in ("model", predicted), ("additive", additive):
            found[name].append(np.mean([scores(change[:, r], real[:, r], up) for r in varying for up in (True, False)], axis=0))
        counts.append((context, len(hidden)))
        print(context, len(hidden), "hidden;", *(f"{n} " + " ".join(f"{x:.3f}" for x in found[n][-1]) for n in found), flush=True)
    print("| |", " | ".join(SCORES), "|")
    for name, rows in found.items():
        print(f"| {name} |", " | ".join(f"{m:.3f} ± {s:.3f}" for m, s in
                                        zip(np.mean(rows, axis=0), np.std(rows, axis=0, ddof=1) / np.sqrt(len(rows)))), "|")


if __name__ == "__main__":
    main()
