#!/usr/bin/python3
"""Combinations of measured components: what interacting_components says, the weights beside a model, and what impute makes of both, against
NumPy; of two and three components, in any order, with components that are missing; on any number of ranks; nothing to learn from, nothing
to validate with; a blend.json that lies.

usage: combinations.py TESSERA SOURCE_FOLDER"""
import itertools
import json
import os
import tempfile

import machine
from checks import check, fine, finish, run

with machine.needed():
    import anndata
    import h5py
    import numpy as np
    from scipy.optimize import nnls

SHRINKAGE, EVEN, WORTH = 3, 0.5, 0.98
FACTORS, FOLDS, PENALTIES = 10, 5, 10 ** np.arange(-4, 3.1, 0.5)
folder = tempfile.TemporaryDirectory()
os.chdir(folder.name)
open("c.yaml", "w").write("model: {embedding_dim: 8, hidden_dim: 16}\ntrain: {lanes: 6, epochs: 40}\n")


class Store:
    """Changes against the control, and those of the training perturbations in factors; experiments of one panel without replicates."""

    def __init__(self, path):
        with h5py.File(path) as f:
            names = {k: [s.decode() for s in f[f"{k}/symbol"][()]] for k in ("perturbation", "readout", "context")}
            first, member = f["combination/first"][()], f["combination/member"][()]
            self.sets = ["+".join(names["perturbation"][m] for m in member[a:b]) for a, b in zip(first, first[1:])]
            key = [(self.sets[p], names["context"][c]) for p, c in zip(f["experiment/combination"], f["experiment/context"])]
            value = f["value"][()].astype(float).reshape(len(key), -1)
            split = f["experiment/split"][()]
        self.readouts, self.contexts = names["readout"], names["context"]
        self.value, self.split = dict(zip(key, value)), dict(zip(key, split))
        train = [k for k in key if self.split[k] == 0 and k[0] != "control"]
        mean = {c: np.nanmean([self.value[k] for k in train if k[1] == c], axis=0) for c in self.contexts}
        around = {k: np.nan_to_num(self.value[k] - mean[k[1]]) for k in train}
        self.axes = np.linalg.svd(np.array(list(around.values())), full_matrices=False)[2][:FACTORS].T
        self.control = {c: np.where(np.isnan(self.value["control", c]), mean[c], self.value["control", c]) for c in self.contexts}
        zero = {c: (self.control[c] - mean[c]) @ self.axes for c in self.contexts}
        self.single = {k: np.nan_to_num(self.value[k] - self.control[k[1]]) for k in train if "+" not in k[0]}
        self.factor = {k: x @ self.axes - zero[k[1]] for k, x in around.items()}
        self.scale = np.sqrt(np.mean([self.factor[k] @ self.factor[k] for k in self.single]))
        self.map = self.learn([k for k in train if "+" in k[0] and self.has(*k)])

    def has(self, p, c):
        return "+" in p and all((q, c) in self.single for q in p.split("+"))

    def features(self, p, c):
        """Symmetric products of all pairs, and their sums."""
        z = [self.factor[q, c] / self.scale for q in p.split("+")]
        product = sum(np.outer(a, b) + np.outer(b, a) for a, b in itertools.combinations(z, 2)) / 2
        at = np.triu_indices(FACTORS)
        return np.concatenate([product[at] * np.where(at[0] == at[1], 1, np.sqrt(2)), (len(z) - 1) * sum(z)])

    def learn(self, keys):
        """Ridge; the penalty by combinations left out in fifths. None: sums alone are as good, or there are too few combinations."""
        order = sorted({k[0] for k in keys}, key=self.sets.index)
        if len(order) < 8:
            return None
        x = np.array([self.features(*k) for k in keys])
        d = np.array([self.factor[k] - sum(self.factor[q, k[1]] for q in k[0].split("+")) for k in keys])
        fold = np.array([order.index(k[0]) % FOLDS for k in keys])

        def solve(of, penalty):
            return np.linalg.solve(x[of].T @ x[of] + penalty * (x ** 2).sum() / x.shape[1] * np.eye(x.shape[1]), x[of].T @ d[of])

        error = [sum(((x[fold == f] @ solve(fold != f, p) - d[fold == f]) ** 2).sum() for f in range(FOLDS)) for p in PENALTIES]
        return solve(fold >= 0, PENALTIES[np.argmin(error)]) if min(error) < (d ** 2).sum() else None

    def sum(self, p, c):
        return sum(self.single[q, c] for q in p.split("+"))

    def interacting(self, p, c):
        return self.sum(p, c) + (self.features(p, c) @ self.map @ self.axes.T if self.map is not None else 0)


def made(path, *how, order=2, hide=True):
    """A simulated store in which whole combinations are hidden: every eighth for validation, a quarter for tests."""
    fine("-q", "simulate", "-o", path, "--perturbations", 14, "--readouts", 24, "--contexts", 3, "--combinations", 72, "--order", order,
         "--epistasis", 0, "--split-target", "none", "--controls", 1, *how)
    store = Store(path)
    sets = sorted({p for p, _ in store.value if "+" in p})
    hidden = {p: {1: "val", 3: "test", 5: "test"}.get(i % 8, "train") for i, p in enumerate(sets)} if hide else {}
    first = store.contexts[0]
    with open("split.tsv", "w") as f:
        f.write("perturbation\tcontext\tsplit\n")
        for p, c in store.value: # one component is held out of one context: its combinations there have no sum, and are for training
            without_sum = c == first and "P03" in p.split("+")
            f.write(f"{p}\t{c}\t{'test' if (p, c) == ('P03', first) else 'train' if without_sum else hidden.get(p, 'train')}\n")
    fine("-q", "split", path, "--file", "split.tsv")
    return Store(path)


def train(directory, path, *settings, ranks=1):
    words = [w for s in (f"data.store={path}", f"run.directory={directory}", *settings) for w in ("--set", s)]
    fine("-q", "train", "c.yaml", *words, ranks=ranks)
    return json.load(open(f"{directory}/blend.json"))


def scores(directory, *words, ranks=1):
    fine("-q", "evaluate", directory, "--epistasis", "--resamples", 2, "--json", f"e{ranks}.json", *words, ranks=ranks)
    return json.load(open(f"e{ranks}.json"))


def imputed(path, readouts):
    a = anndata.read_h5ad(path)
    keys = zip(a.obs["perturbation"].astype(str), a.obs["context"].astype(str))
    return dict(zip(keys, np.asarray(a[:, readouts].X, dtype=float)))


def rmse(store, guess):
    """Of test experiments that are combinations with a sum, where the control and all components are measured."""
    def measured(p, c):
        return sum(store.value[q, c] for q in ("control", *p.split("+")))

    e = [guess(*k) + store.control[k[1]] - y + 0 * measured(*k) for k, y in store.value.items() if store.split[k] == 2 and store.has(*k)]
    return float(np.sqrt(np.nanmean(np.square(e))))


def deviation_rmse(found, name):
    return found["epistasis"]["baselines"][name]["rmse"]


def weights(store, model):
    """a, b and the sum of the least error on validation combinations, or None: at most WORTH of `other` is needed, which is not judged here."""
    best = None
    keys = [k for k in store.value if store.split[k] == 1 and store.has(*k)]
    known = np.concatenate([~np.isnan(store.value[k]) for k in keys])
    y = np.concatenate([store.value[k] - store.control[k[1]] for k in keys])[known]
    m = np.concatenate([model[k] - store.control[k[1]] for k in keys])[known]
    for name in ("additive_components", *(["interacting_components"] if store.map is not None else [])):
        guess = store.sum if name == "additive_components" else store.interacting
        x = np.stack([m, np.concatenate([guess(*k) for k in keys])[known]], axis=1)
        least = nnls(x, y)[0]
        w = (least * len(keys) + SHRINKAGE * EVEN) / (len(keys) + SHRINKAGE)
        error = ((x @ w - y) ** 2).sum()
        if best is None or error < best[0]:
            best = error, w, name
    return best


def judge(store, path, name):
    """A training on any number of ranks, its weights, and what impute says of measured and unmeasured combinations."""
    blends = [train(f"{name}{ranks}", path, ranks=ranks) for ranks in (1, 2, 3, 5)]
    check(all(b == blends[0] for b in blends), f"{name}: the same blend on any number of ranks")
    blend = blends[0]
    sets = sorted({p for p, _ in store.value if "+" in p})
    singles = sorted({p for p, _ in store.single})
    unseen = [p for p in map("+".join, itertools.chain(itertools.combinations(singles, 2), itertools.combinations(singles, 3)))
              if p not in sets][:40:4]
    asked = ["-p", ",".join([*sets, *unseen, *singles]), "-r", ",".join(store.readouts)]
    fine("-q", "impute", f"{name}1", "-o", f"{name}_off.h5ad", "--blend", "off", *asked)
    model = imputed(f"{name}_off.h5ad", store.readouts)
    for ranks in (1, 2, 3, 5):
        fine("-q", "impute", f"{name}1", "-o", f"{name}_on{ranks}.h5ad", *asked, ranks=ranks)
    bits = [anndata.read_h5ad(f"{name}_on{ranks}.h5ad").X for ranks in (1, 2, 3, 5)]
    check(all(np.array_equal(b, bits[0]) for b in bits), f"{name}: impute's bits on any number of ranks")
    _, (a, b), baseline = weights(store, model)
    check(abs(blend["components_model"] - a) < 1e-3 and abs(blend["components_sum"] - b) < 1e-3 and
          blend["components_baseline"] == baseline, f"{name}: NumPy has {a} {b} {baseline}: {blend}")
    got, guess = imputed(f"{name}_on1.h5ad", store.readouts), store.sum if baseline == "additive_components" else store.interacting
    has = [k for k in model if store.has(*k)]
    worst = max(np.abs(got[k] - store.control[k[1]] - a * (model[k] - store.control[k[1]]) - b * guess(*k)).max() for k in has)
    check(worst < 5e-3, f"{name}: combinations are {worst} apart")
    check(any(k[0] in unseen for k in has) and any("+" in k[0] and not store.has(*k) for k in model), f"{name}: cases to test with")
    return blend, model


# Interactions that can be learned: the baseline is NumPy's, and finds most of them; the model takes it.
synergy = made("synergy.prc.h5", "--synergy", 0.6, "--noise", 0.1, "--missing", 0.05, order=3)
check(synergy.map is not None, "interactions to learn")
blend, model = judge(synergy, "synergy.prc.h5", "s")
check(blend["components_baseline"] == "interacting_components", f"the sum that knows interactions is taken: {blend}")
found = [scores("s1", "--blend", "off", ranks=ranks) for ranks in (1, 2, 3, 5)]
check(all(f["baselines"] == found[0]["baselines"] and f["epistasis"] == found[0]["epistasis"] for f in found), "scores on any number of ranks")
off, on = found[0], scores("s1")
for name, guess in (("additive_components", synergy.sum), ("interacting_components", synergy.interacting)):
    check(abs(deviation_rmse(off, name) - rmse(synergy, guess)) < 2e-5, f"{name}: {deviation_rmse(off, name)}, NumPy's {rmse(synergy, guess)}")
check(deviation_rmse(off, "interacting_components") < 0.75 * deviation_rmse(off, "additive_components"), "interactions are found")
check(off["epistasis"]["baselines"]["interacting_components"]["pearson"] > 0.6, "deviations are told")
check(on["epistasis"]["model"]["rmse"] < 0.75 * deviation_rmse(on, "additive_components"), "the blend tells them, too")
falls = off["counts"]["fallbacks"]
check(0 < falls["interacting_components"] == falls["additive_components"], f"without all components both fall back: {falls}")
check(on["source"]["blend"][0]["components_baseline"] == "interacting_components", "the JSON says what is blended")
check("of combinations + interacting_components" in fine("evaluate", "s1", "--resamples", 2).stdout, "the table says what is blended")

# In any order, and named twice.
one = "P01+P02"
lines = {"+".join(reversed(one.split("+"))): one, "P02+P01+P02": one, "P04+P04": "P04"}
with open("q.tsv", "w") as f:
    f.write("perturbation\tcontext\treadout\n")
    for p in (*lines, *lines.values()):
        f.write(f"{p}\t{synergy.contexts[1]}\t{synergy.readouts[0]}\n")
fine("-q", "predict", "s1", "q.tsv", "-o", "q_out.tsv")
rows = [line.rstrip("\n").split("\t") for line in open("q_out.tsv") if not line.startswith("#")]
said = [row[rows[0].index("prediction")] for row in rows[1:]]
check(said[:3] == said[3:6], f"order and repetition are nothing: {rows}")

# Nothing to learn: deviations by chance are no interactions; the sum may be taken, nothing is worse than the model alone by much.
chance = made("chance.prc.h5", "--epistasis", 0.5, "--noise", 0.3)
judge(chance, "chance.prc.h5", "c")
found = scores("c1", "--blend", "off")
check(("interacting_components" in found["baselines"]) == (chance.map is not None), "the baseline is there where it is something")

# Combinations without validation, and too few of them.
plain = made("plain.prc.h5", "--synergy", 0.6, hide=False)
with open("split.tsv", "w") as f:
    f.write("perturbation\tcontext\tsplit\n")
    for p, c in plain.value:
        alone = p in ("P05", "P06") and c == plain.contexts[0]
        f.write(f"{p}\t{c}\t{'val' if alone else 'train'}\n")
fine("-q", "split", "plain.prc.h5", "--file", "split.tsv")
blend = train("p1", "plain.prc.h5")
check(not any(k.startswith("components") for k in blend), f"no validation combination, no weight: {blend}")

# A blend.json that lies.
whole = json.load(open("s2/blend.json"))
for lie in ({"components_sum": None}, {"components_sum": -1}, {"components_model": "much"}, {"components_baseline": "linear"},
            {"components_baseline": None}, {"components_model": None, "components_sum": None}):
    lying = {k: v for k, v in {**whole, **lie}.items() if v is not None}
    open("s2/blend.json", "w").write(json.dumps(lying))
    done = run("impute", "s2", "-o", "x.h5ad", "--force", "--blend", "on", "-p", one)
    check(done.returncode == 65 and "says of combinations what is no weight of a sum" in done.stderr, f"{lie}: {done.returncode} {done.stderr}")

# An imputation that was stopped is not gone on with after other weights.
for name, change in (("components_sum", whole["components_sum"] / 2), ("components_baseline", "additive_components")):
    open("s2/blend.json", "w").write(json.dumps({**whole, name: change}))
    fine("-q", "impute", "s2", "-o", "y.h5ad", "--force", "-p", one)
    fine("-q", "impute", "s3", "-o", "z.h5ad", "--force", "-p", one)
    check(not np.array_equal(anndata.read_h5ad("y.h5ad").X, anndata.read_h5ad("z.h5ad").X), f"{name} counts")

# An ensemble: each member with its own weights, before the mean.
other = train("other", "synergy.prc.h5", "run.seed=5")
fine("-q", "impute", "s1", "other", "-o", "both.h5ad", "-p", one)
parts = []
for directory in ("s1", "other"):
    fine("-q", "impute", directory, "-o", "part.h5ad", "--force", "-p", one)
    parts.append(anndata.read_h5ad("part.h5ad").X)
check(np.abs(anndata.read_h5ad("both.h5ad").X - np.mean(parts, axis=0)).max() < 1e-4, "members are blended before the mean")
finish()
