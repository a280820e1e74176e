#!/usr/bin/env python3
"""Makes the table of combinations in docs/reach.md again: whole combinations are hidden in all contexts, and predicted from what was
measured of their components and of other combinations.

usage: combinations.py OUT STORE... [--seeds 1,2,3] [--rules mean,sum,max] [--kind auto] [--test SHARE] [--val SHARE]

Hidden are combinations whose components are all measured by themselves; where no single perturbation is, combinations of components
that others have, too. Each store is copied to OUT and split anew for each seed. RMSE on the hidden combinations: the sum of the
components' changes, the model of each rule alone (--blend off), and as it predicts (--blend auto). The settings are those of
config/quickstart.yaml. Needs a built program in build/, and h5py."""
import argparse
import json
import shutil
import subprocess
from pathlib import Path

import h5py
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
TESSERA = ROOT / "build" / "tessera"


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
    sets = {p for p, _ in rows}
    singles = {p[0] for p in sets if len(p) == 1 and p[0] != "control"}
    some = sorted(p for p in sets if len(p) > 1 and (not singles or singles.issuperset(p)))
    order = np.random.default_rng(seed).permutation(len(some))
    n_test, n_val = max(1, round(test * len(some))), max(1, round(val * len(some)))
    split = {some[i]: "test" if k < n_test else "val" for k, i in enumerate(order[:n_test + n_val])}
    with open(table, "w") as file:
        print("perturbation\tcontext\tsplit", file=file)
        for p, c in rows:
            print("+".join(p), c, split.get(p, "train"), sep="\t", file=file)
    call("split", path, "--file", table)
    return n_test, n_val, len(some)


def scores(run, blend):
    call("evaluate", run, "--blend", blend, "--resamples", 2, "--json", f"{run}.json")
    return json.load(open(f"{run}.json"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("store", type=Path, nargs="+")
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--rules", default="mean,sum,max")
    parser.add_argument("--kind", default="auto")
    parser.add_argument("--test", type=float, default=0.2)
    parser.add_argument("--val", type=float, default=0.15)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    rules = args.rules.split(",")
    print("| screen | seed | sum of components |", *(f" {r} | {r}, blended |" for r in rules), sep="")
    print("|---|---|---|", "---|" * (2 * len(rules)), sep="")
    for source in args.store:
        for seed in args.seeds.split(","):
            name = f"{source.name.split('.')[0]}-{seed}"
            store = args.out / f"{name}.prc.h5"
            shutil.copy(source, store)
            hide(store, args.out / f"{name}.tsv", int(seed), args.test, args.val)
            row, additive = [], None
            for rule in rules:
                run = args.out / f"{name}-{rule}"
                shutil.rmtree(run, ignore_errors=True)
                settings = [f"data.store={store}", f"run.directory={run}", f"model.kind={args.kind}",
                            f"model.combination={rule}", f"run.seed={seed}"]
                call("train", ROOT / "config" / "quickstart.yaml", *(w for s in settings for w in ("--set", s)))
                alone, blended = scores(run, "off"), scores(run, "auto")
                row += [alone["model"]["rmse"], blended["model"]["rmse"]]
                falls = alone["counts"]["fallbacks"]["additive_components"] == alone["counts"]["experiments"]
                additive = "–" if falls else f"{alone['baselines']['additive_components']['rmse']:.4f}"
            print(f"| {source.name.split('.')[0]} | {seed} | {additive} |", *(f" {x:.4f} |" for x in row), sep="", flush=True)


main()
