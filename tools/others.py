#!/usr/bin/env python3
"""What the other contexts give each context, or take from it, in data from their beginning on: imports, holds out random pairs of a
perturbation and a context, trains a model of all, and asks `tessera evaluate --transfer`. The tables are in docs/reach.md.

usage: others.py DATA.h5ad OUT [--contexts N|C,C] [--seed N] [--shares VAL,TEST] [--import "OPTION …"] [--set SETTING …]

--contexts N: the N with most test experiments. OUT keeps what is done: the same command goes on. Needs a built program in build/."""
import argparse
import csv
import subprocess
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TESSERA = ROOT / "build" / "tessera"


def call(*words):
    done = subprocess.run([TESSERA, "-q", *map(str, words)], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{words}: {done.stderr}")


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


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
    store, split, run = a.out / "all.prc.h5", a.out / "split.tsv", a.out / "run"
    if not split.exists():
        val, test = a.shares.split(",")
        store.unlink(missing_ok=True)
        call("import", a.data, "-o", store, *a.options)
        call("split", store, "--random", "--val", val, "--test", test, "--seed", a.seed, "--export", split)
    sets = [w for s in (f"data.store={store}", f"run.directory={run}", *a.settings) for w in ("--set", s)]
    call("train", ROOT / "config" / "quickstart.yaml", *sets)
    held = Counter(line["context"] for line in rows(split) if line["split"] == "test")
    order = sorted(held, key=lambda c: (-held[c], c))
    contexts = order[:int(a.contexts)] if a.contexts.isdigit() else a.contexts.split(",")
    (a.out / "contexts.txt").write_text("\n".join(contexts) + "\n")
    call("evaluate", run, "--transfer", "--contexts", f"@{a.out / 'contexts.txt'}", "--json", a.out / "scores.json")
    found = {(r["context"], r["metric"]): r for r in rows(run / "transfer" / "transfer.tsv")}
    print("| context | test experiments | of the context's mean | RMSE of all | alone | difference | 95 % interval | Pearson of all | alone | the others |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for c in contexts:
        rmse, r = found[c, "rmse"], found[c, "pearson"]
        x = {k: float(rmse[k] or "nan") for k in ("all", "alone", "difference", "difference_low", "difference_high")}
        print(f"| {c} | {rmse['test_experiments']} | {rmse['by_context_mean']} | {x['all']:.4f} | {x['alone']:.4f} | {x['difference']:+.4f} | "
              f"{x['difference_low']:+.4f} … {x['difference_high']:+.4f} | {float(r['all'] or 'nan'):.3f} | {float(r['alone'] or 'nan'):.3f} | "
              f"{rmse['verdict']} |")
    verdicts = Counter(found[c, "rmse"]["verdict"] for c in contexts)
    print(", ".join(f"{word} {n}" for word, n in verdicts.most_common()))


main()
