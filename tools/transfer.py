#!/usr/bin/env python3
"""The transfer curve, which docs/reach.md has: a context is left out, a model is trained on the others, then 0, 5, 10, 20 and 50 % of
the context come back, and the other half of it is predicted.

usage: transfer.py DATA.h5ad OUT [--contexts N|C,C] [--seeds N] [--shares 0,5,10,20,50] [--ways WAY,WAY] [--recipe "SETTING …"]
       [--set SETTING …]

--contexts N: the N with most perturbations.

Ways: warm (the recipe of docs/reach.md: the other contexts' model goes on with what came back alone), alone (trained on what came back
alone), on (the other contexts' model goes on with everything for a few epochs), anew (trained on everything), additive (the context's mean, plus the mean of what the perturbation changes elsewhere).
RMSE over all values of the hidden half, the same for all shares of a seed. OUT keeps what is done: the same command goes on.
Needs a built program in build/, h5py and NumPy."""
import argparse
import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import h5py
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
TESSERA = os.environ.get("TESSERA", ROOT / "build" / "tessera")
MODEL = ["model.kind=dot", "model.embedding_dim=32", "model.hidden_dim=64", "train.epochs=15", "train.batch=512"]
RECIPE = ["train.experiments=new", "train.freeze=perturbations,readouts,network", "train.learning_rate=0.02", "train.batch=256", "train.epochs=30"]
ON = ["train.epochs=5", "train.learning_rate=0.002", "train.rate_contexts=5"]
ALONE = ["train.batch=256", "train.epochs=30"]


def call(*words):
    done = subprocess.run([TESSERA, "-q", *map(str, words)], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{words}: {done.stderr}")


class Measured:
    """A store of single perturbations on one panel: the mean profile of each perturbation and context."""

    def __init__(self, path):
        with h5py.File(path) as file:
            names = {k: [s.decode() for s in file[f"{k}/symbol"][()]] for k in ("perturbation", "readout", "context")}
            first, member = file["combination/first"][()], file["combination/member"][()]
            sets = ["+".join(names["perturbation"][m] for m in member[a:b]) for a, b in zip(first, first[1:])]
            value = file["value"][()].astype(float).reshape(len(file["experiment/split"]), -1)
            self.contexts = names["context"]
            self.rows = {}
            for q, c, x in zip(file["experiment/combination"][()], file["experiment/context"][()], value):
                self.rows.setdefault((sets[q], names["context"][c]), x)

    def of(self, context):
        return sorted(p for p, c in self.rows if c == context and p != "control")


def train(store, run, settings, init=None):
    """A training, unless it is there already; its model as arrays, and its seconds."""
    arrays, took = run.with_suffix(".npz"), run.with_suffix(".seconds")
    if not arrays.exists():
        shutil.rmtree(run, ignore_errors=True)
        sets = [w for s in (f"data.store={store}", f"run.directory={run}", *settings) for w in ("--set", s)]
        began = time.monotonic()
        call("train", ROOT / "config" / "quickstart.yaml", *sets, *(["--init", init] if init else []))
        took.write_text(str(time.monotonic() - began))
        newest = max(run.glob("checkpoint-*.h5"), key=lambda p: int(p.stem.split("-")[1]))
        call("export", newest, "-o", arrays, "--force")
        if "base" not in run.name:
            shutil.rmtree(run)
    return dict(np.load(arrays)), float(took.read_text())


def predict(m, context, perturbations):
    """Rows of a dot model (docs/export.md); of a context that it does not know, with the mean of its contexts."""
    names = {t: [s.decode() for s in m[t + "_symbols"]] for t in ("perturbation", "context")}
    known = context in names["context"] and m["context_trained"][names["context"].index(context)]
    c = m["context"][names["context"].index(context)] if known else m["context"][m["context_trained"] > 0].mean(0)
    mean = m["perturbation"][m["perturbation_trained"] > 0].mean(0)
    seen = [p in names["perturbation"] and m["perturbation_trained"][names["perturbation"].index(p)] for p in perturbations]
    p = np.array([m["perturbation"][names["perturbation"].index(p)] if s else mean for p, s in zip(perturbations, seen)])
    h = np.maximum(p @ m["wp"].T + m["wc"] @ c + m["b1"], 0)
    for w, b in zip(m.get("w", ()), m.get("b", ())):
        h = np.maximum(h @ w.T + b, 0)
    h = h @ m["wo"].T + m["bo"]
    right = m["readout"] @ m["wr"].T if "wr" in m else m["readout"]
    return m["center"] + m["spread"] * (h @ right.T / np.sqrt(h.shape[1]))


def additive(measured, context, given, hidden):
    others = {c: measured.of(c) for c in measured.contexts if c != context}
    mean = {c: np.nanmean([measured.rows[p, c] for p in ps], axis=0) for c, ps in others.items() if ps}
    own = np.nanmean([measured.rows[p, context] for p in given] or list(mean.values()), axis=0)
    change = lambda p: [np.nan_to_num(measured.rows[p, c] - mean[c]) for c in mean if (p, c) in measured.rows]
    return np.array([own + np.mean(change(p) or [0 * own], axis=0) for p in hidden])


def split(full, path, measured, context, given, others):
    """A copy of a store, which has other contexts or not: of this one what is given is trained on."""
    table = path.with_suffix(".tsv")
    lines = [f"{p}\t{c}\t{'train' if c != context or p in given else 'unused'}" for p, c in measured.rows
             if p != "control" and (others or c == context)]
    table.write_text("perturbation\tcontext\tsplit\n" + "\n".join(lines) + "\n")
    shutil.copy(full, path)
    call("split", path, "--file", table)
    return path


def scores(a, folder, measured, context, seed, done):
    mine = measured.of(context)
    order = np.random.default_rng(seed).permutation(mine)
    hidden, rest = sorted(order[:len(mine) // 2]), list(order[len(mine) // 2:])
    truth = np.array([measured.rows[p, context] for p in hidden])
    rmse = lambda x: float(np.sqrt(np.mean((x - truth) ** 2)))
    base, alone = folder / "base.prc.h5", folder / "alone.prc.h5"
    if not base.exists():
        call("import", a.data, "-o", base, "--drop", f"context={context}")
        call("import", a.data, "-o", alone, "--keep", f"context={context}")
    own = [f"run.seed={seed}"]
    model, _ = train(base, folder / f"base{seed}", [*MODEL, *a.set, *own])
    for share in a.shares:
        given = set(rest[:round(share / 100 * len(mine))])
        add = lambda way, x, seconds=0: done.append({"context": context, "seed": seed, "share": share, "way": way, "rmse": rmse(x), "seconds": seconds,
                                                    "given": len(given)})
        add("additive", additive(measured, context, given, hidden))
        if not given:
            add("warm", predict(model, context, hidden))
            continue
        store = split(folder.parent / "full.prc.h5", folder / f"some{seed}.prc.h5", measured, context, given, True)
        for way in a.ways:
            run, init, settings = folder / f"{way}{seed}_{share}", None, [*MODEL, *a.set, *own]
            if way == "warm":
                init, settings = folder / f"base{seed}", [*settings, *a.recipe]
            if way == "on":
                init, settings = folder / f"base{seed}", [*settings, *ON]
            if way == "alone":
                settings = [*settings, *ALONE]
            there = split(alone, folder / "one.prc.h5", measured, context, given, False) if way == "alone" else store
            m, seconds = train(there, run, settings, init)
            add(way, predict(m, context, hidden), seconds)
    shutil.rmtree(folder / f"base{seed}", ignore_errors=True)


def table(done, a):
    """Means over contexts and seeds; in how many contexts (means over seeds) warm, and on, is better than all that is no warm start."""
    ways, others = ["warm", "on", "alone", "anew", "additive"], ["alone", "anew", "additive"]
    print("given\t" + "\t".join(ways) + "\twarm best\ton best\tseconds: warm\ton\tanew")
    for share in a.shares:
        mine = [d for d in done if d["share"] == share]
        mean = lambda way, c=None: np.mean([d["rmse"] for d in mine if d["way"] == way and c in (None, d["context"])] or [np.nan])
        contexts = sorted({d["context"] for d in mine})
        best = lambda way: f"{sum(all(not mean(w, c) <= mean(way, c) for w in others) for c in contexts)} of {len(contexts)}"
        seconds = lambda way: np.median([d["seconds"] for d in mine if d["way"] == way and d["seconds"]] or [np.nan])
        row = [*(f"{mean(w):.4f}" for w in ways), best("warm"), best("on"), *(f"{seconds(w):.1f}" for w in ("warm", "on", "anew"))]
        print(f"{share} %", *row, sep="\t")


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--contexts", default="")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--shares", default="0,5,10,20,50")
    parser.add_argument("--ways", default="warm,on,alone,anew")
    parser.add_argument("--recipe", default="")
    parser.add_argument("--set", action="append", default=[])
    a = parser.parse_args()
    a.shares, a.ways = [int(s) for s in a.shares.split(",")], a.ways.split(",")
    a.recipe = a.recipe.split() or RECIPE
    a.out.mkdir(parents=True, exist_ok=True)
    full, results = a.out / "full.prc.h5", a.out / "scores.jsonl"
    if not full.exists():
        call("import", a.data, "-o", full)
    measured = Measured(full)
    by_size = sorted(measured.contexts, key=lambda c: (-len(measured.of(c)), c))
    names = by_size[:int(a.contexts)] if a.contexts.isdigit() else a.contexts.split(",") if a.contexts else measured.contexts
    done = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
    for seed in range(1, a.seeds + 1):
        for context in names:
            if any(d["context"] == context and d["seed"] == seed for d in done):
                continue
            folder = a.out / context.replace("/", "_").replace(" ", "_")
            folder.mkdir(exist_ok=True)
            fresh = []
            scores(a, folder, measured, context, seed, fresh)
            with open(results, "a") as file:
                file.write("".join(json.dumps(d) + "\n" for d in fresh))
            done += fresh
    table(done, a)


main()
