#!/usr/bin/env python3
"""Makes the table of docs/reach.md, "Perturbations that no experiment has seen", again: compounds are held out of all contexts, and
predicted from their targets: which these are, and what their knock-out and over-expression did.

usage: features.py DATA.h5ad TARGETS.tsv OUT [--folds N] [--seeds N] [--set KEY=VALUE ...]

DATA has `perturbation` (compound:…, crispr:…, orf:…), `context` and replicates as rows; TARGETS two columns, a compound and crispr:GENE.
Each fold tests a part of the compounds that have features, and validates on half as many others. The knock-outs and over-expressions
are left in the training data as they are. Needs a built program in build/, anndata, NumPy and pandas."""
import argparse
import csv
import json
import subprocess
from collections import defaultdict
from pathlib import Path

import anndata
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
TESSERA = ROOT / "build" / "tessera"


def call(*words):
    done = subprocess.run([TESSERA, "-q", *map(str, words)], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{words}: {done.stderr}")


def write_features(data, targets, path):
    """Profiles of the targets' knock-outs and over-expressions, in all of their contexts (the mean of several targets), and a column
    for each target."""
    rows, names = defaultdict(list), list(zip(data.obs["perturbation"].astype(str), data.obs["context"].astype(str)))
    for name, row in zip(names, np.asarray(data.X, float)):
        rows[name].append(row)
    mean = {name: np.mean(some, axis=0) for name, some in rows.items()}
    genes = defaultdict(list)
    with open(targets) as file:
        for compound, gene in list(csv.reader(file, delimiter="\t"))[1:]:
            genes[compound].append(gene.split(":")[1])
    known = {p for p, _ in mean}
    contexts = {kind: sorted({c for p, c in mean if p.startswith(kind)}) for kind in ("crispr", "orf")}
    found, members = {}, {}
    for compound in sorted(known & set(genes)):
        those = [g for g in genes[compound] if {f"crispr:{g}", f"orf:{g}"} <= known]
        if those:
            found[compound] = np.mean([np.concatenate([mean[f"{kind}:{g}", c] for kind, list_ in contexts.items() for c in list_])
                                       for g in those], axis=0)
            members[compound] = set(those)
    columns = sorted(set.union(*members.values()))
    with open(path, "w") as file:
        heads = [f"{c}.{r}" for list_ in contexts.values() for c in list_ for r in data.var_names]
        print("symbol", *heads, *(f"target.{g}" for g in columns), sep="\t", file=file)
        for compound, values in found.items():
            print(compound, *(f"{x:.6g}" for x in values), *(int(g in members[compound]) for g in columns), sep="\t", file=file)
    return sorted(found)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("targets", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--set", action="append", default=[])
    a = parser.parse_args()
    a.out.mkdir(exist_ok=True)
    data = anndata.read_h5ad(a.data)
    compounds = np.array(write_features(data, a.targets, a.out / "features.tsv"))
    square, n = defaultdict(float), defaultdict(float)
    for seed in range(a.seeds):
        order = np.random.default_rng(seed).permutation(len(compounds))
        parts = np.array_split(order, 2 * a.folds)
        for fold in range(a.folds):
            name = a.out / f"seed{seed}-fold{fold}"
            store = name.with_suffix(".prc.h5")
            test = set(compounds[np.concatenate(parts[2 * fold:2 * fold + 2])])
            val = set(compounds[parts[(2 * fold + 2) % len(parts)]])
            if not store.exists():
                data.obs["split"] = ["test" if p in test else "val" if p in val else "train" for p in data.obs["perturbation"].astype(str)]
                data.write_h5ad(a.out / "split.h5ad")
                call("import", a.out / "split.h5ad", "-o", store, "--split-column", "split")
            call("train", ROOT / "config" / "quickstart.yaml", "--set", f"data.store={store}", "--set", f"run.directory={name}",
                 "--set", f"run.seed={13 + seed}", "--set", f"features.perturbations={a.out / 'features.tsv'}",
                 *(x for setting in a.set for x in ("--set", setting)))
            for blend, label in ("off", "model alone"), ("auto", "model + ridge"):
                path = a.out / "scores.json"
                path.unlink(missing_ok=True)
                call("evaluate", name, "--split", "test", "--blend", blend, "--json", path)
                scores = json.loads(path.read_text())
                found = {label: scores["model"]}
                if blend == "off":
                    found |= {k: scores["baselines"][k] for k in ("readout_mean", "nearest_features", "features")}
                for key, score in found.items():
                    square[key] += score["rmse"] ** 2 * scores["counts"]["observations"]
                    n[key] += scores["counts"]["observations"]
            print(name.name, *(f"{key} {np.sqrt(square[key] / n[key]):.4f}" for key in square), sep="; ", flush=True)
    print("| prediction | RMSE |\n|---|---|")
    for key in square:
        print(f"| {key} | {np.sqrt(square[key] / n[key]):.4f} |")


if __name__ == "__main__":
    main()
