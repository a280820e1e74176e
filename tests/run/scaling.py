#!/usr/bin/python3
"""What is estimated from the training rows, against NumPy: shift and scale of data.normalize, center and spread of
data.scale, the readouts that vary most; the same bits on any number of ranks, also where one context is cut into
several pieces. And what follows from it for predictions: they are in the store's units, and another unit changes
nothing."""
import glob
import json
import os
import subprocess
import sys
import tempfile

import machine

with machine.needed():
    import h5py
    import numpy as np
import small_store

tessera = os.path.abspath(sys.argv[1])
folder = tempfile.TemporaryDirectory()
os.chdir(folder.name)
SMALL = {"model.embedding_dim": 4, "model.hidden_dim": 5, "model.layers": 1, "train.epochs": 1, "train.lanes": 5}


def run(*words, ranks=1):
    start = ["mpirun", "-n", str(ranks)] if ranks > 1 else []
    done = subprocess.run([*start, tessera, *map(str, words)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, (words, done.returncode, done.stderr)
    return done.stderr


def train(store, directory, settings, ranks=1):
    """The scaling and the readouts of the checkpoint after the last epoch."""
    sets = [f"--set={key}={value}" for key, value in {**SMALL, "data.store": store, "run.directory": directory, **settings}.items()]
    run("-q", "train", "empty.yaml", *sets, ranks=ranks)
    with h5py.File(sorted(glob.glob(f"{directory}/checkpoint-*.h5"))[-1]) as file:
        found = {name: file.attrs[name] for name in ("center", "spread")}
        if "normalize" in file:
            found.update({name: file[f"normalize/{name}"][:] for name in ("shift", "scale")})
        return found, [name.decode() for name in file["readout/symbol"][:]]


class Plain:
    """The same from all training values at once."""

    def __init__(self, training):
        self.value = training  # {(context, readout): [(value, is it the control?)]}
        self.contexts = sorted({c for c, _ in training})
        self.readouts = sorted({r for _, r in training})

    def of(self, c, r):
        return [y for y, _ in self.value.get((c, r), [])]

    def most_variable(self, n):
        """By the variance within contexts, pooled."""
        def variance(r):
            groups = [y for y in (self.of(c, r) for c in self.contexts) if len(y) > 1]
            return sum(np.var(y) * len(y) for y in groups) / sum(len(y) - 1 for y in groups) if groups else -1
        return sorted(sorted(self.readouts, key=variance)[-n:] if n else self.readouts)

    def scaling(self, readouts, rule, factor):
        shift, scale = np.zeros((len(self.contexts), len(readouts))), np.ones((len(self.contexts), len(readouts)))
        for i, c in enumerate(self.contexts):
            for j, r in enumerate(readouts):
                y, control = self.of(c, r), [y for y, is_control in self.value.get((c, r), []) if is_control]
                if rule != "none" and y:
                    shift[i, j] = np.mean(control if rule == "delta" and control else y)
                if rule == "zscore" and len(y) > 1 and np.std(y, ddof=1) > 0:
                    scale[i, j] = np.std(y, ddof=1)
        all_values = np.concatenate([(np.array(self.of(c, r)) - shift[i, j]) / scale[i, j]
                                     for i, c in enumerate(self.contexts) for j, r in enumerate(readouts)])
        found = {"center": np.mean(all_values) if factor else 0, "spread": np.std(all_values, ddof=1) / factor if factor else 1}
        return {**found, **({"shift": shift, "scale": scale} if rule != "none" else {})}


def compare(what, got, want):
    assert got.keys() == want.keys(), (what, got.keys(), want.keys())
    for name, value in want.items():
        error = np.abs(got[name] - value).max()
        assert error <= 2e-6 * max(1, np.abs(value).max()), f"{what}: {name} is off by {error:.3g}"


def same(what, one, other):
    for name in one:
        assert one[name].tobytes() == other[name].tobytes(), f"{what}: {name} has other bits"


open("empty.yaml", "w").close()
made = small_store.rows(seed=3)
small_store.write(tessera, "small.prc.h5", made)
training = {}
for c, name, split, values in made:
    for r, y in values.items():
        if split == "train" and not np.isnan(y):
            training.setdefault((c, r), []).append((float(np.float32(y)), name == "control"))
plain = Plain(training)

# Every rule, alone and together; the first ones on several ranks.
CASES = [("none", 5, 0), ("zscore", 5, 0), ("delta", 0.5, 0), ("zscore", 0, 11), ("none", 20, 11), ("delta", 3, 7), ("none", 0, 0)]
for number, (rule, factor, top) in enumerate(CASES):
    settings = {"data.normalize": rule, "data.scale": factor, "data.top_variable": top}
    got, readouts = train("small.prc.h5", f"run-{number}-1", settings)
    assert readouts == plain.most_variable(top), settings
    compare(settings, got, plain.scaling(readouts, rule, factor))
    for ranks in (2, 3, 5)[number % 3:] if number < 4 else ():
        other, names = train("small.prc.h5", f"run-{number}-{ranks}", settings, ranks)
        assert names == readouts, settings
        same(f"{settings} on {ranks} ranks", got, other)

# One context of 2.25 million values, which several ranks share.
run("-q", "simulate", "-o", "one.prc.h5", "--perturbations", 4500, "--readouts", 500, "--contexts", 1, "--split-target", "none",
    "--controls", 1, "--missing", 0.1)
with h5py.File("one.prc.h5") as file:
    matrix = file["value"][:].reshape(-1, 500).astype(float)[file["experiment/split"][:] == 0]
for rule in ("none", "zscore"):
    settings = {"data.normalize": rule, "train.batch": 100000, "train.sampling": "tiles"}
    got, _ = train("one.prc.h5", f"one-{rule}-1", settings)
    want = {"center": np.nanmean(matrix), "spread": np.nanstd(matrix, ddof=1) / 5}
    if rule == "zscore":
        shift, scale = np.nanmean(matrix, 0), np.nanstd(matrix, 0, ddof=1)
        scaled = (matrix - shift) / scale
        want = {"center": np.nanmean(scaled), "spread": np.nanstd(scaled, ddof=1) / 5, "shift": shift[None], "scale": scale[None]}
    compare(f"one context, {rule}", got, want)
    for ranks in (2, 3):
        same(f"one context, {rule}, {ranks} ranks", got, train("one.prc.h5", f"one-{rule}-{ranks}", settings, ranks)[0])

# A single value, and values that are all the same: nothing to divide by.
for values in ([2.5], [0.75] * 6):
    with open("flat.tsv", "w") as file:
        print("perturbation\tcontext\tsplit\tr", *(f"p{i}\tc\ttrain\t{y}" for i, y in enumerate(values)), sep="\n", file=file)
    run("-q", "import", "flat.tsv", "--split-column", "split", "-o", f"flat{len(values)}.prc.h5")
    got, _ = train(f"flat{len(values)}.prc.h5", f"flat{len(values)}", {"train.lanes": 1, "train.batch": 1})
    compare("flat", got, {"center": values[0], "spread": 1})


def predicted(directory):
    """{(context, perturbation, readout): value} for the validation rows, as impute writes them."""
    names = sorted({name for _, name, split, _ in made if split == "val"})
    run("-q", "impute", directory, "--blend", "off", "-o", f"{directory}.h5ad", "-p", ",".join(names), ranks=2)
    with h5py.File(f"{directory}.h5ad") as file:
        rows, readouts = ([n.decode() if isinstance(n, bytes) else n for n in file[name][:]] for name in ("obs/_index", "var/_index"))
        return {(*reversed(row.split("@")), r): float(y) for row, values in zip(rows, file["X"][:]) for r, y in zip(readouts, values)}


def learn(store, rule, epochs):
    """The lines of the log, and what is predicted."""
    directory = f"{store}-{rule}-{epochs}"
    train(f"{store}.prc.h5", directory, {**LEARNED, "data.normalize": rule, "train.epochs": epochs}, ranks=2)
    with open(f"{directory}/log.jsonl") as file:
        return [json.loads(line) for line in file], predicted(directory)


# Other units, 128 y and 100 y + 7: the same training, its predictions and errors in that unit. Times a power of two not a bit of
# the training is another; with the other one roundings are, and they grow from epoch to epoch, so that one is short. The model is
# one that has learned.
LEARNED = {"model.embedding_dim": 16, "model.hidden_dim": 24, "train.batch": 256, "model.dropout": 0}
for name, factor, more in ("times", 128, 0), ("other", 100, 7):
    small_store.write(tessera, f"{name}.prc.h5", [(*row, {r: factor * y + more for r, y in values.items()}) for *row, values in made])
for rule in ("none", "zscore"):
    for store, factor, more, epochs, most in ("other", 100, 7, 4, 5e-4), ("times", 128, 0, 30, 1e-6):
        (one, mine), (two, others) = learn("small", rule, epochs), learn(store, rule, epochs)
        error = max(abs(factor * mine[key] + more - others[key]) for key in mine) / factor
        assert error <= most, f"{rule}: predictions in the unit {factor} y + {more} differ by {error:.3g}"
        for x, y in zip(one, two):
            assert abs(factor * x["val_rmse"] / y["val_rmse"] - 1) < 2 * most, (rule, store, x["val_rmse"], y["val_rmse"])
            times = factor if rule == "none" else 1  # z-scores have no unit
            assert abs(times * x["train_rmse"] / y["train_rmse"] - 1) < 2 * most, (rule, store, x["train_rmse"], y["train_rmse"])
    logs, imputed = [one], [mine]
    # What impute writes has the error that the training saw.
    squares = [(imputed[0][c, name, r] - y) ** 2 for c, name, split, values in made for r, y in values.items()
               if split == "val" and not np.isnan(y)]
    seen = min(line["val_rmse"] for line in logs[0])
    assert abs(np.sqrt(np.mean(squares)) / seen - 1) < 1e-4, (rule, np.sqrt(np.mean(squares)), seen)
    assert logs[0][-1]["train_rmse"] < 0.8 * logs[0][0]["train_rmse"], "nothing was learned: nothing is tested"
print("statistics as NumPy has them, the same bits on all ranks, predictions in the store's units")
