#!/usr/bin/env python3
"""Makes the tables of combinations in docs/reach.md again: whole combinations are hidden in all contexts, and predicted from what was
measured of their components and of other combinations.

usage: combinations.py OUT STORE... [--seeds 1,2,3] [--rules mean,sum] [--kind auto] [--test SHARE] [--val SHARE]

Hidden are combinations whose components are measured by themselves in one of their contexts at least; where no single perturbation is, any.
Each store is copied to OUT and split anew for each seed. RMSE on the hidden combinations: the best baseline that knows no components, the sum
of the components' changes (additive_components), what other combinations teach on top of it (interacting_components), the model of each rule
alone (--blend off), and as it predicts (--blend auto); then how well deviations from additivity are predicted (evaluate --epistasis): their
correlation, and of the 100 most amplified values the share that is found. The settings are those of config/quickstart.yaml. Needs a built
program in build/ (or TESSERA), and h5py."""
import argparse
import json
import os
import shutil
import subprocess
from pathlib import Path

import h5py
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
TESSERA = os.environ.get("TESSERA", ROOT / "build" / "tessera")
KNOW_NONE = ("readout_mean", "additive", "linear")


def call(*words):
    done = subprocess.run([TESSERA, "-q", *map(str, words)], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{words}: {done.stderr}")


def experiments(path):
    with h5py.File(path) as file:
        names = {k: [s.decode() for s in file[f"{k}/symbol"][()]] for k in ("perturbation", "context")}
        first, member = file["combination/first"][()], file["combination/member"][()]
        sets = [tuple(names["perturbation"][m] for m in member[a:b]) for a, b in zip(first, first[1:])]
        return sorted({(sets[p], names["context"][c])
                       for p, c in zip(file["experiment/combination"][()], file["experiment/context"][()])})


def hide(path, table, seed, test, val):
    rows = experiments(path)
    single = {(p[0], c) for p, c in rows if len(p) == 1 and p[0] != "control"}
    some = sorted({p for p, c in rows if len(p) > 1 and (not single or all((q, c) in single for q in p))})
    if len(some) < 3:
        raise SystemExit(f"{path}: {len(some)} combinations whose components are measured: too few to hide some")
    order = np.random.default_rng(seed).permutation(len(some))
    n_test, n_val = max(1, round(test * len(some))), max(1, round(val * len(some)))
    split = {some[i]: "test" if k < n_test else "val" for k, i in enumerate(order[:n_test + n_val])}
    with open(table, "w") as file:
        print("perturbation\tcontext\tsplit", file=file)
        for p, c in rows:
            print("+".join(p), c, split.get(p, "train"), sep="\t", file=file)
    call("split", path, "--file", table)
    return len(some) - n_test - n_val, n_val, n_test


def scores(run, blend):
    call("evaluate", run, "--blend", blend, "--resamples", 2, "--epistasis", "--json", f"{run}.json")
    return json.load(open(f"{run}.json"))


def number(x):
    return "–" if x is None else f"{x:.4f}" if abs(x) < 10 else f"{x:.2f}"


def of_baseline(score, name):
    found = score["baselines"].get(name)
    return found["rmse"] if found and score["counts"]["fallbacks"][name] < score["counts"]["experiments"] else None


def deviations(score, method=None):
    found = score.get("epistasis")
    found = found and (found["baselines"].get(method) if method else found["model"])
    return ["–", "–"] if not found else [number(found.get("pearson")), number((found.get("synergy_precision") or {}).get("100"))]


def trained(args, store, run, rule, seed):
    shutil.rmtree(run, ignore_errors=True)
    settings = [f"data.store={store}", f"run.directory={run}", f"model.kind={args.kind}", f"model.combination={rule}", f"run.seed={seed}"]
    call("train", ROOT / "config" / "quickstart.yaml", *(w for s in settings for w in ("--set", s)))
    return scores(run, "off"), scores(run, "auto")


def line(*cells):
    print("|", " | ".join(map(str, cells)), "|", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("store", type=Path, nargs="+")
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--rules", default="mean,sum")
    parser.add_argument("--kind", default="auto")
    parser.add_argument("--test", type=float, default=0.2)
    parser.add_argument("--val", type=float, default=0.15)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    rules, second = args.rules.split(","), []
    titles = ["screen", "seed", "train, val, test", "best without components", "additive_components", "interacting_components"]
    titles += [f"{r}{how}" for r in rules for how in (" alone", ", blended")]
    line(*titles)
    line(*["---"] * len(titles))
    for source in args.store:
        for seed in args.seeds.split(","):
            screen = source.name.split(".")[0]
            store = args.out / f"{screen}-{seed}.prc.h5"
            shutil.copy(source, store)
            counts = hide(store, args.out / f"{screen}-{seed}.tsv", int(seed), args.test, args.val)
            both = {r: trained(args, store, args.out / f"{screen}-{seed}-{r}", r, seed) for r in rules}
            score = both[rules[0]][0]
            cells = [min(x for b in KNOW_NONE if (x := of_baseline(score, b)) is not None),
                     *(of_baseline(score, b) for b in ("additive_components", "interacting_components")),
                     *(s["model"]["rmse"] for r in rules for s in both[r])]
            line(screen, seed, ", ".join(map(str, counts)), *map(number, cells))
            second.append([screen, seed, *deviations(score, "mean_components"), *deviations(score, "interacting_components"),
                           *(x for r in rules for s in both[r] for x in deviations(s))])
    print()
    titles = ["screen", "seed"] + [f"{m}: {what}" for m in ("mean_components", "interacting_components",
                                                            *(f"{r}{how}" for r in rules for how in (" alone", ", blended")))
                                   for what in ("r", "top 100")]
    line(*titles)
    line(*["---"] * len(titles))
    for cells in second:
        line(*cells)


main()
