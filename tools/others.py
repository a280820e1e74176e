#!/usr/bin/env python3
"""What the other contexts give each context, or take from it: one model of all contexts beside a model of that context alone, with the
same settings and the same split, on the same held-out values. The tables are in docs/reach.md.

usage: others.py DATA.h5ad OUT [--contexts N|C,C] [--seed N] [--shares VAL,TEST] [--import "OPTION …"] [--set SETTING …]

--contexts N: the N with most test experiments. Held out are random pairs of a perturbation and a context (tessera split --random).
Both models stand alone (--blend off). Of a perturbation that was not trained on in the context, nor was any of its components, the
context's own model knows nothing: the mean of the context's training experiments takes its place, and `seen` is the share of test
experiments that it knows. The interval is of the difference of RMSE, from 2000 resamples of the context's test perturbations.
OUT keeps what is done: the same command goes on. Needs a built program in build/, h5py and NumPy."""
import argparse
import csv
import json
import subprocess
from pathlib import Path

import h5py
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
TESSERA = ROOT / "build" / "tessera"
RESAMPLES = 2000


def call(*words):
    done = subprocess.run([TESSERA, "-q", *map(str, words)], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{words}: {done.stderr}")


def experiments(path):
    """Of a store: {(perturbation, context): (split, {readout: value})}."""
    with h5py.File(path) as file:
        names = {k: [s.decode() for s in file[f"{k}/symbol"][()]] for k in ("perturbation", "readout", "context")}
        first, member = file["combination/first"][()], file["combination/member"][()]
        sets = ["+".join(names["perturbation"][m] for m in member[a:b]) for a, b in zip(first, first[1:])]
        begin, readout = file["panel/first"][()], file["panel/readout"][()]
        value, at, out = file["value"][()].astype(float), 0, {}
        columns = (file[f"experiment/{k}"][()] for k in ("combination", "context", "panel", "split"))
        for q, c, p, s in zip(*columns):
            panel = [names["readout"][r] for r in readout[begin[p]:begin[p + 1]]]
            x = value[at:at + len(panel)]
            at += len(panel)
            out[sets[q], names["context"][c]] = s, {r: v for r, v in zip(panel, x) if not np.isnan(v)}
        return out


def train(store, run, settings):
    if not (run / "done").exists():
        sets = [w for s in (f"data.store={store}", f"run.directory={run}", *settings) for w in ("--set", s)]
        call("train", ROOT / "config" / "quickstart.yaml", *sets)
        (run / "done").touch()
    return run


def predict(run, queries, folder):
    """What the run says of lines (context, perturbation, readout); NaN: it does not know them."""
    asked, answers = folder / "asked.tsv", folder / "answers.tsv"
    asked.write_text("\n".join("\t".join(line) for line in [("context", "perturbation", "readout"), *queries]) + "\n")
    call("predict", run, asked, "-o", answers, "--blend", "off", "--unknown", "nan", "--force")
    with open(answers, newline="") as file:
        return np.array([float(line["prediction"]) for line in csv.DictReader(file, delimiter="\t")])


def store_of(a, context, table):
    """The context's experiments alone, split as they are among the others."""
    path = a.out / f"{a.names[context]}.prc.h5"
    lines = [line for line in table[1:] if line.split("\t")[1] == context]
    part = path.with_suffix(".tsv")
    part.write_text("\n".join([table[0], *lines]) + "\n")
    path.unlink(missing_ok=True)
    call("import", a.data, "-o", path, "--keep", f"context={context}", *a.options)
    call("split", path, "--file", part)
    return path


def compare(a, context, measured, table):
    found = a.out / f"{a.names[context]}.json"
    if found.exists():
        return json.loads(found.read_text())
    mine = {p: x for (p, c), x in measured.items() if c == context}
    test = sorted(p for p, (split, _) in mine.items() if split == 2)
    queries = [(context, p, r) for p in test for r in mine[p][1]]
    y = np.array([mine[p][1][r] for _, p, r in queries])
    known = {}
    for split, values in mine.values():
        for r, v in values.items() if split == 0 else ():
            known.setdefault(r, []).append(v)
    joint = predict(a.out / "all", queries, a.out)
    alone = predict(train(store_of(a, context, table), a.out / f"run-{a.names[context]}", a.settings), queries, a.out)
    unseen = np.isnan(alone)
    alone[unseen] = [np.mean(known.get(r, [np.nan])) for (_, _, r), u in zip(queries, unseen) if u]
    counted = ~np.isnan(joint) & ~np.isnan(alone)
    place = np.array([test.index(p) for _, p, _ in queries])
    sums = [np.bincount(place[counted], weights, len(test)) for weights in
            (np.ones(counted.sum()), (joint - y)[counted] ** 2, (alone - y)[counted] ** 2)]
    times = np.random.default_rng(a.seed).multinomial(len(test), np.full(len(test), 1 / len(test)), RESAMPLES)
    n, j, o = (times @ s for s in sums)
    low, high = np.quantile(np.sqrt(j / n) - np.sqrt(o / n), [0.025, 0.975])
    rmse = [float(np.sqrt(s.sum() / sums[0].sum())) for s in sums[1:]]
    pearson = [float(np.corrcoef(x[counted], y[counted])[0, 1]) for x in (joint, alone)]
    result = {"context": context, "experiments": len(test), "seen": float(1 - unseen.mean()), "rmse": rmse, "pearson": pearson,
              "interval": [low, high], "verdict": "helped" if high < 0 else "hurt" if low > 0 else "no difference"}
    found.write_text(json.dumps(result))
    return result


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("usage: ")[1].split("\n\n")[0])
    for name in ("data", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--contexts", default="1000000")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shares", default="0.15,0.15")
    parser.add_argument("--import", dest="options", type=str.split, default=[])
    parser.add_argument("--set", dest="settings", action="append", default=[])
    a = parser.parse_args()
    a.out.mkdir(parents=True, exist_ok=True)
    every, table = a.out / "all.prc.h5", a.out / "split.tsv"
    if not table.exists():
        val, test = a.shares.split(",")
        every.unlink(missing_ok=True)
        call("import", a.data, "-o", every, *a.options)
        call("split", every, "--random", "--val", val, "--test", test, "--seed", a.seed, "--export", table)
    measured, lines = experiments(every), table.read_text().splitlines()
    held = [c for (_, c), (split, _) in measured.items() if split == 2]
    contexts = sorted(set(held), key=lambda c: (-held.count(c), c))
    contexts = contexts[:int(a.contexts)] if a.contexts.isdigit() else a.contexts.split(",")
    a.names = {c: f"context-{i + 1}" for i, c in enumerate(sorted({c for _, c in measured}))}
    train(every, a.out / "all", a.settings)
    print("| context | test experiments | seen | RMSE of all | alone | difference | 95 % interval | Pearson of all | alone | the others |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    verdicts = []
    for context in contexts:
        r = compare(a, context, measured, lines)
        verdicts.append(r["verdict"])
        print(f"| {context} | {r['experiments']} | {r['seen']:.2f} | {r['rmse'][0]:.4f} | {r['rmse'][1]:.4f} | "
              f"{r['rmse'][0] - r['rmse'][1]:+.4f} | {r['interval'][0]:+.4f} … {r['interval'][1]:+.4f} | {r['pearson'][0]:.3f} | "
              f"{r['pearson'][1]:.3f} | {r['verdict']} |", flush=True)
    print(", ".join(f"{word} {verdicts.count(word)}" for word in ("helped", "hurt", "no difference")))


main()
