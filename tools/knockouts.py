#!/usr/bin/env python3
"""What `network infer --complete` is worth: 30 % of a network's knock-outs are hidden, a model imputes them, and what is known says
how right the network is that follows.

usage: knockouts.py OUT [NET.h5ad GOLD.tsv …] [--simulate N] [--seeds N] [--members N] [--set NAME=VALUE …]

--simulate N: N networks that are made here, beside those that are named. NET.h5ad has the contexts knockout and knockdown of the same
genes, and control rows. Values are brought to units of the noise over what is visible. AUPR of `tessera network infer`: with all
knock-outs; without the hidden genes; with their own knock-downs alone; with knock-downs plus the mean difference of both kinds as
knock-outs (additive); completed by the model, without and with their own knock-downs.
Needs a built program in build/ and anndata."""
import argparse
import json
import subprocess
from pathlib import Path

import anndata
import numpy as np
import pandas

ROOT = Path(__file__).resolve().parent.parent
TESSERA = ROOT / "build" / "tessera"
WAYS = ["all measured", "nothing", "own knock-down", "additive", "model alone", "knock-down and model"]


def call(*words):
    done = subprocess.run([TESSERA, "-q", *map(str, words)], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{words}: {done.stderr}")


def units(values, visible):
    """In units of the noise, which is the same at all levels after a power (as `network infer` does it)."""
    spread = lambda x: 1.4826 * np.median(abs(x - np.median(x, 0)), 0)
    middle, noise = np.median(values[visible], 0), spread(values[visible])
    slope = 0
    if (values >= 0).all():
        use = (middle > 0) & (noise > 0)
        slope = np.clip(np.polyfit(np.log(middle[use]), np.log(noise[use]), 1)[0], 0, 0.9)
    bent = values if slope == 0 else np.maximum(values, 0) ** (1 - slope)
    return (bent - np.median(bent[visible], 0)) / np.median(spread(bent[visible]))


def write(path, x, obs, var):
    rows = obs.set_axis([str(i) for i in range(len(obs))])
    anndata.AnnData(x.astype(np.float32), obs=rows, var=pandas.DataFrame(index=var)).write_h5ad(path)
    return path


def additive(x, obs, hidden):
    """Knock-downs of hidden genes, moved by the mean difference, as knock-outs."""
    kind = {c: {p: v for p, k, v in zip(obs.perturbation, obs.context, x) if k == c} for c in ("knockout", "knockdown")}
    both = [p for p in kind["knockdown"] if p in kind["knockout"] and p not in hidden]
    shift = np.mean([kind["knockout"][p] - kind["knockdown"][p] for p in both], axis=0)
    rows = pandas.DataFrame({"perturbation": hidden, "context": "knockout"})
    return np.array([kind["knockdown"][p] + shift for p in hidden]), rows


def judge(folder, gold, path, *options):
    call("network", "infer", path, "-c", "knockout", "--knockdown", "knockdown", "-o", folder / "edges.tsv", "--force", *options)
    call("network", "evaluate", folder / "edges.tsv", "--gold", gold, "--json", folder / "scores.json", "--force")
    return json.loads((folder / "scores.json").read_text())["aupr"]


def simulate(folder, seed, n=100):
    """A network in which few genes regulate many, in its steady states: what a gene makes is a saturating function of its regulators. A
    knock-down takes off so much (28 %) that it moves a gene about a quarter as far as a knock-out does."""
    net, gold = folder / f"simulated{seed}.h5ad", folder / f"simulated{seed}.tsv"
    random = np.random.default_rng(seed)
    B = np.zeros((n, n))
    for i, targets in enumerate(np.minimum(1.2 * random.pareto(1.2, n), 25).astype(int)):
        for j in random.choice(n, targets, replace=False):
            B[i, j] = (i != j) * random.choice([1, 1, 1, -1]) * random.uniform(0.3, 1.2)
    most = random.uniform(0.2, 1, n)

    def steady(made):
        x = most.copy()
        for _ in range(300):
            x = 0.7 * x + 0.6 * made * most / (1 + np.exp(-1.2 * (2 * x - 1) @ B))
        return x

    rows = [("control", "knockout", steady(np.ones(n)))]
    for kind, left in (("knockout", 0), ("knockdown", 0.72)):
        rows += [(f"G{i + 1}", kind, steady(np.where(np.arange(n) == i, left, 1))) for i in range(n)]
    x = np.array([r[2] for r in rows])
    x += random.normal(0, np.median(x[0]) / 16, x.shape)
    folder.mkdir(parents=True, exist_ok=True)
    genes = [f"G{i + 1}" for i in range(n)]
    write(net, x, pandas.DataFrame([r[:2] for r in rows], columns=["perturbation", "context"]), genes)
    gold.write_text("".join(f"G{i + 1}\tG{j + 1}\t{int(B[i, j] != 0)}\n" for i in range(n) for j in range(n) if i != j))
    return net, gold


def experiment(net, gold, seed, a):
    folder = a.out / f"{net.stem}_{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    file = anndata.read_h5ad(net)
    obs = file.obs[["perturbation", "context"]].astype(str)
    obs = obs[(obs.perturbation != "control") | (obs.context == "knockout")]
    x, genes = np.asarray(file[obs.index].X, float), list(file.var_names)
    hidden = list(np.random.default_rng(seed).choice(genes, round(0.3 * len(genes)), replace=False))
    concealed = obs.perturbation.isin(hidden).to_numpy()
    visible = ~(concealed & (obs.context == "knockout").to_numpy())
    z, everything = units(x, visible), units(x, np.ones(len(x), bool))
    seen = write(folder / "seen.h5ad", z[visible], obs[visible], genes)
    without = write(folder / "without.h5ad", z[~concealed], obs[~concealed], genes)
    added, rows = additive(z[visible], obs[visible], hidden)
    added = write(folder / "additive.h5ad", np.vstack([z[visible], added]), pandas.concat([obs[visible], rows]), genes)
    store, run = folder / "seen.prc.h5", folder / "run"
    if not (run / "done").exists():
        if not store.exists():
            call("import", seen, "-o", store)
        settings = [word for s in a.set for word in ("--set", s)]
        call("train", ROOT / "config" / "quickstart.yaml", "--set", f"data.store={store}", "--set", f"run.directory={run}", "--set",
             "model.kind=dot", "--set", f"train.members={a.members}", "--set", f"run.seed={11 + seed}", *settings)
        (run / "done").touch()
    return [judge(folder, gold, write(folder / "all.h5ad", everything, obs, genes)), judge(folder, gold, without), judge(folder, gold, seen),
            judge(folder, gold, added), judge(folder, gold, without, "--complete", run), judge(folder, gold, seen, "--complete", run)]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--simulate", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--members", type=int, default=3)
    parser.add_argument("--set", action="append", default=[])
    a = parser.parse_args()
    means, every, nets = [], [], list(zip(a.files[::2], a.files[1::2]))
    nets += [simulate(a.out / "simulated", 1 + k) for k in range(a.simulate)]
    for net, gold in nets:
        found = []
        for seed in range(1, a.seeds + 1):
            found.append(experiment(net, gold, seed, a))
            print(net.stem, seed, " ".join(f"{v:.4f}" for v in found[-1]), flush=True)
        every += found
        means.append((np.mean(found, axis=0), np.std(found, axis=0, ddof=1) if a.seeds > 1 else np.zeros(len(WAYS))))
    print("| |", " | ".join(net.stem for net, _ in nets), "| mean |")
    every = np.array(every)
    for k, way in enumerate(WAYS):
        print(f"| {way} |", " | ".join(f"{m[k]:.3f} ± {s[k]:.3f}" for m, s in means), f"| {np.mean([m[k] for m, _ in means]):.3f} |")
    for k, way in enumerate(WAYS[:-1]):
        more = every[:, -1] - every[:, k]
        print(f"{WAYS[-1]} less {way}: {more.mean():+.4f} ± {more.std(ddof=1) / len(more) ** 0.5:.4f} (standard error of {len(more)})")


if __name__ == "__main__":
    main()
