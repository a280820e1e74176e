#!/usr/bin/python3
"""A model blended with a baseline: the weight against NumPy's, on any number of ranks; impute is w model + (1 - w)
baseline, and what evaluate scores; files that are missing, stale or damaged; stores that are gone or others.

usage: blend.py TESSERA SOURCE_FOLDER"""
import json
import os
import shutil
import tempfile

import machine
from checks import check, finish, run

with machine.needed():
    import anndata
    import h5py
    import numpy as np

SHRINKAGE, EVEN = 3, 0.5
COMPARED = ("readout_mean", "additive", "linear")
folder = tempfile.TemporaryDirectory()
os.chdir(folder.name)


def ok(*words, ranks=1):
    done = run(*words, ranks=ranks)
    check(done.returncode == 0, f"{words} on {ranks} ranks: {done.returncode} {done.stderr}")
    return done.stdout + done.stderr


def refused(code, part, *words):
    done = run(*words)
    check(done.returncode == code and part in done.stderr, f"{words}: {done.returncode} {done.stderr}")


class Store:
    """Experiments of one panel without replicates or missing values, and the baselines of its training rows."""

    def __init__(self, path):
        with h5py.File(path) as f:
            names = {k: [s.decode() for s in f[f"{k}/symbol"][()]] for k in ("perturbation", "readout", "context")}
            first, member = f["combination/first"][()], f["combination/member"][()]
            sets = ["+".join(names["perturbation"][m] for m in member[a:b]) for a, b in zip(first, first[1:])]
            self.key = [(sets[p], names["context"][c]) for p, c in zip(f["experiment/combination"], f["experiment/context"])]
            self.split = f["experiment/split"][()]
            self.value = f["value"][()].astype(float).reshape(len(self.key), -1)
        self.readouts = names["readout"]
        train = {k: v for k, v, s in zip(self.key, self.value, self.split) if s == 0 and k[0] != "control"}
        self.contexts = sorted({c for _, c in train})
        self.mean = {c: np.mean([v for k, v in train.items() if k[1] == c], axis=0) for c in self.contexts}
        self.change = {k: v - self.mean[k[1]] for k, v in train.items()}
        self.axes = np.linalg.svd(np.array(list(self.change.values())), full_matrices=False)[2][:10].T
        self.factor = {k: v @ self.axes for k, v in self.change.items()}

    def elsewhere(self, of, p, c):
        return [of[p, d] for d in self.contexts if d != c and (p, d) in of]

    def between(self, c):
        pairs = [(self.elsewhere(self.factor, p, c), z) for (p, d), z in self.factor.items() if d == c]
        x, z = (np.array(v) for v in zip(*[(np.mean(o, axis=0), z) for o, z in pairs if o]))
        return np.linalg.solve(x.T @ x + 0.1 * np.eye(x.shape[1]), x.T @ z)

    def predict(self, baseline, p, c):
        """Its values, and does it fall back to the mean?"""
        there = self.elsewhere(self.change, p, c)
        if baseline == "readout_mean" or not there:
            return self.mean[c], baseline != "readout_mean"
        if baseline == "additive":
            return self.mean[c] + np.mean(there, axis=0), False
        return self.mean[c] + self.axes @ (np.mean(self.elsewhere(self.factor, p, c), axis=0) @ self.between(c)), False


def imputed(path, readouts):
    a = anndata.read_h5ad(path)
    keys = zip(a.obs["perturbation"].astype(str), a.obs["context"].astype(str))
    return dict(zip(keys, np.asarray(a[:, readouts].X, dtype=float)))


def weight(rows):
    """(model - y, baseline - y) of each experiment: the least squares, shrunk."""
    if not rows:
        return 1.0
    m, b = (np.concatenate([r[i] for r in rows]) for i in (0, 1))
    w = np.linalg.lstsq((m - b)[:, None], -b, rcond=None)[0][0]
    return min(max((w * len(rows) + SHRINKAGE * EVEN) / (len(rows) + SHRINKAGE), 0), 1)


def judge(store, model, blend):
    """The weights of the run against NumPy's."""
    rows = {b: [] for b in COMPARED}
    total = dict.fromkeys(COMPARED, 0.0)
    for k, y, split in zip(store.key, store.value, store.split):
        if split != 1 or k not in model:
            continue
        for b in COMPARED:
            guess, falls = store.predict(b, *k)
            total[b] += ((guess - y) ** 2).sum()
            if not falls:
                rows[b].append((model[k] - y, guess - y))
    best = min(COMPARED, key=total.get)
    check(blend["baseline"] == best, f"the best baseline is {best}: {total}, {blend}")
    check(abs(blend["weight"] - weight(rows[best])) < 1e-4, f"weight {blend['weight']}, NumPy's {weight(rows[best])}")
    check(abs(blend["mean_weight"] - weight(rows["readout_mean"])) < 1e-4, f"mean_weight: {blend}")


def mixed(store, model, blend):
    out = {}
    for k, x in model.items():
        guess, falls = store.predict(blend["baseline"], *k)
        w = blend["mean_weight" if falls else "weight"]
        out[k] = w * x + (1 - w) * guess
    return out


def same(got, want, what):
    worst = max(np.abs(got[k] - want[k]).max() for k in want)
    check(worst < 1e-4, f"{what}: {worst} apart")


def train(directory, *settings, ranks=1, store="s.prc.h5"):
    words = [w for s in ("train.epochs=3", f"data.store={store}", f"run.directory={directory}", *settings)
             for w in ("--set", s)]
    return ok("train", "c.yaml", *words, ranks=ranks)


open("c.yaml", "w").write("model: {embedding_dim: 8, hidden_dim: 16}\ntrain: {lanes: 6}\n")
ok("-q", "simulate", "-o", "s.prc.h5", "--perturbations", "40", "--readouts", "20", "--contexts", "4")
ok("-q", "split", "s.prc.h5", "--random", "--keep", "2")
store = Store("s.prc.h5")
said = train("run1")
check("blend" in said, f"training says what is blended: {said}")
for ranks in (2, 3, 5):
    train(f"run{ranks}", ranks=ranks)
    check(open(f"run{ranks}/blend.json").read() == open("run1/blend.json").read(), f"blend.json differs on {ranks} ranks")
blend = json.load(open("run1/blend.json"))
check(0 < blend["weight"] < 0.95, f"a weight to test with: {blend}")
everything = ["-r", ",".join(store.readouts)]
ok("-q", "impute", "run1", "-o", "off.h5ad", "--blend", "off", *everything)
model = imputed("off.h5ad", store.readouts)
model = {k: v for k, v in model.items() if k[0] != "control"}
judge(store, model, blend)

# Impute: w model + (1 - w) baseline, the same bits on any number of ranks and for any selection.
want = mixed(store, model, blend)
for ranks in (1, 2, 3, 5):
    ok("-q", "impute", "run1", "-o", f"on{ranks}.h5ad", "--blend", "on", ranks=ranks)
first = anndata.read_h5ad("on1.h5ad").X
for ranks in (2, 3, 5):
    check(np.array_equal(first, anndata.read_h5ad(f"on{ranks}.h5ad").X), f"other bits on {ranks} ranks")
got = imputed("on1.h5ad", store.readouts)
same(got, want, "impute --blend on")
ok("-q", "impute", "run1", "-o", "auto.h5ad")
check(np.array_equal(first, anndata.read_h5ad("auto.h5ad").X), "auto blends where the weight is small")
few = store.readouts[3:9:2]
ok("-q", "impute", "run1", "-o", "few.h5ad", "-r", ",".join(few), "-c", store.contexts[1])
part = imputed("few.h5ad", few)
columns = [store.readouts.index(r) for r in few]
check(all(np.array_equal(v, got[k][columns]) for k, v in part.items()), "another selection has other bits")

# Evaluate scores what impute writes.
def score(*words):
    ok("-q", "evaluate", *words, "--json", "e.json")
    return json.load(open("e.json"))


def rmse(guess):
    at = [i for i, (k, s) in enumerate(zip(store.key, store.split)) if s == 2 and k in guess]
    return float(np.sqrt(np.mean([(guess[store.key[i]] - store.value[i]) ** 2 for i in at])))


table = ok("-q", "evaluate", "run1")
name = f"model ({blend['weight']:.2f}) + {blend['baseline']} ({1 - blend['weight']:.2f})"
check(name in table, f"the table says {name}: {table}")
scores = score("run1")
check(abs(scores["model"]["rmse"] - rmse(got)) < 1e-6, f"evaluate is not impute: {scores['model']['rmse']} {rmse(got)}")
told = scores["source"]["blend"]
check(told == [{**{k: blend[k] for k in ("baseline", "weight", "mean_weight")}, "feature_weight": blend.get("feature_weight", 1)}], f"JSON: {told}")
off = score("run1", "--blend", "off")
check(off["source"]["blend"] is None and abs(off["model"]["rmse"] - rmse(model)) < 1e-6, "evaluate --blend off")
check(blend["baseline"] in ok("info", "run1"), "info says what is blended")

# An ensemble: each member with its own weight, before the mean.
train("other", "run.seed=5", "train.epochs=4")
other = json.load(open("other/blend.json"))
ok("-q", "impute", "other", "-o", "o.h5ad", "--blend", "off", *everything)
theirs = mixed(store, {k: v for k, v in imputed("o.h5ad", store.readouts).items() if k[0] != "control"}, other)
ok("-q", "impute", "run1", "other", "-o", "both.h5ad", "--blend", "on")
both = imputed("both.h5ad", store.readouts)
same(both, {k: (want[k] + theirs[k]) / 2 for k in want}, "an ensemble")
spread = anndata.read_h5ad("both.h5ad")
check("std" in spread.layers, "an ensemble has deviations")

# The last checkpoint has no blend unless it is the best; missing, stale, damaged files; stores.
shutil.copytree("run1", "bad")
path = "bad/blend.json"
refused(2, "none of auto, on, off", "evaluate", "bad", "--blend", "perhaps")


def spoil(text):
    os.remove(path)
    open(path, "w").write(text)


def spoiled(part, text):
    spoil(text)
    done = run("evaluate", "bad")
    check(done.returncode == 0 and part in done.stderr, f"evaluate with {part!r}: {done.returncode} {done.stderr}")
    check(" + " not in done.stdout.split("global_mean")[0].split("rmse")[-1], "a spoiled file is not blended with")
    refused(65, part, "impute", "bad", "-o", "x.h5ad", "--force", "--blend", "on")


spoiled("is no JSON", "{")
spoiled("lacks a number or a name", "{}")
spoiled("not between 0 and 1", json.dumps({**blend, "weight": 1.5}))
spoiled("a baseline that is none", json.dumps({**blend, "baseline": "wishes"}))
spoiled("a hash that is none", json.dumps({**blend, "model_hash": "x"}))
spoiled("another version", json.dumps({**blend, "format": "tessera-blend 0"}))
spoiled("another checkpoint", json.dumps({**blend, "model_hash": "0123456789abcdef"}))
os.remove(path)
check("warning" not in run("evaluate", "bad").stderr, "a run without blend.json is nothing to warn of")
refused(65, "there is no blend.json", "evaluate", "bad", "--blend", "on")
train("bad")
check(json.load(open(path)) == blend, "training again makes the file anew")
shutil.copy("s.prc.h5", "t.prc.h5")
ok("-q", "split", "t.prc.h5", "--random", "--seed", "9")
done = run("impute", "run1", "-o", "x.h5ad", "--force", "--store", "t.prc.h5")
check(done.returncode == 0 and "not blended" in done.stderr, f"another split: {done.stderr}")
refused(65, "--blend off", "impute", "run1", "-o", "x.h5ad", "--force", "--store", "t.prc.h5", "--blend", "on")
os.rename("s.prc.h5", "moved.prc.h5")
done = run("impute", "run1", "-o", "x.h5ad", "--force")
check(done.returncode == 0 and "not blended" in done.stderr, f"no store: {done.stderr}")
done = run("impute", "run1", "-o", "x.h5ad", "--force", "--blend", "on")
check(done.returncode != 0 and "--store" in done.stderr and "--blend off" in done.stderr, f"no store, on: {done.stderr}")
ok("-q", "impute", "run1", "-o", "x.h5ad", "--force", "--store", "moved.prc.h5")
check(np.array_equal(first, anndata.read_h5ad("x.h5ad").X), "the store by another name")
finish()
