#!/usr/bin/python3
"""Weights of experiments: `import --weight`, what the store keeps, and trainings with data.weight: the same bits on any
ranks, streamed, resumed and with weights of any size; refusals. (parity.py holds weighted steps against PyTorch.)

usage: weights.py TESSERA SOURCE_FOLDER"""
import glob
import json
import os
import pathlib
import shutil
import sys
import tempfile

import machine

with machine.needed():
    import h5py
    import numpy as np
import small_store
import training
from training import run

tessera = os.path.abspath(sys.argv[1])
folder = tempfile.TemporaryDirectory()
os.chdir(folder.name)
rng = np.random.default_rng(3)


def table(path, rows):
    with open(path, "w") as file:
        print("perturbation", "context", "replicate", "w", "a", "b", sep="\t", file=file)
        for row in rows:
            print(*row, sep="\t", file=file)


# Weights of an experiment's rows add up, in the order of the experiments; with --aggregate none each replicate has its own.
rows = [("p2", "c", 1, 0.5, 1, 2), ("p1", "c", 1, 2, 3, 4), ("p2", "c", 2, 1.25, 1, 3), ("p1", "d", 1, 0, 1, 1), ("p2", "c", 2, 4, 2, 2)]
table("rows.tsv", rows)
table("more.tsv", [("p1", "c", 1, 8, 1, 1)])
said = run("import", "rows.tsv", "more.tsv", "-o", "rows.prc.h5", "--replicate", "replicate", "--weight", "w")
assert "weights         0 to 10 (data.weight: column)" in said, said
with h5py.File("rows.prc.h5") as file:
    assert file["experiment/weight"].dtype == np.float64 and file["experiment/weight"][:].tolist() == [10, 5.75, 0]
    assert file.attrs["version"] == 2
    assert file["readout/symbol"].shape == (2,)
run("-q", "import", "rows.tsv", "-o", "apart.prc.h5", "--replicate", "replicate", "--weight", "w", "--aggregate", "none")
with h5py.File("apart.prc.h5") as file:
    assert file["experiment/weight"][:].tolist() == [2, 0.5, 5.25, 0]
assert json.loads(run("-q", "info", "rows.prc.h5", "--json"))["weights"] == [0, 10]
assert "weights                    0, 10" in run("info", "rows.prc.h5")
run("verify", "rows.prc.h5")
# Without the option the column is a readout or a label, as before, and the store is one of version 1.
run("-q", "import", "rows.tsv", "-o", "plain.prc.h5", "--replicate", "replicate", "--id-columns", "w")
with h5py.File("plain.prc.h5") as file:
    assert "weight" not in file["experiment"] and file.attrs["version"] == 1

# What is no weight.
for text, sentence in (("", "missing: a weight is a number, 0 or more"), ("-1", "'-1' is no weight"), ("inf", "'inf' is no weight"), ("x", "'x' is no weight")):
    table("bad.tsv", [rows[0], ("p1", "c", 1, text, 3, 4)])
    said = run("import", "bad.tsv", "-o", "bad.prc.h5", "--weight", "w", "--id-columns", "replicate", code=65)
    assert sentence in said and "3" in said and not os.path.exists("bad.prc.h5"), said
    assert sentence in run("check", "bad.tsv", "--weight", "w", "--id-columns", "replicate", code=65)
said = run("import", "rows.tsv", "-o", "bad.prc.h5", "--weight", "nothing", code=65)
assert "nothing" in said and "--weight" in said, said
for value in -1.0, float("nan"), float("inf"):
    shutil.copy("rows.prc.h5", "damaged.prc.h5")
    with h5py.File("damaged.prc.h5", "r+") as file:
        file["experiment/weight"][1] = value
    assert "out of range or out of order: the store is damaged" in run("info", "damaged.prc.h5", code=65)
shutil.copy("rows.prc.h5", "damaged.prc.h5")
with h5py.File("damaged.prc.h5", "r+") as file:
    file["experiment/weight"][1] = 7.0
assert "does not match its checksum" in run("info", "damaged.prc.h5", code=65)
with h5py.File("damaged.prc.h5", "r+") as file:
    del file["experiment/weight"]
    file["experiment/weight"] = [1.0, 2.0]
assert "has 2 entries where 3 belong" in run("info", "damaged.prc.h5", code=65)

# Trainings. The first half of the rows comes twice: two replicates, which are equal.
made = small_store.rows()
weights = [round(float(w), 3) for w in rng.uniform(0, 4, len(made))]
small_store.write(tessera, "small.prc.h5", made, weights)
small_store.write(tessera, "twice.prc.h5", made + made[::2], weights + weights[::2])
small_store.write(tessera, "plain.prc.h5", made + made[::2])
SETTINGS = {"data.store": "small.prc.h5", "data.weight": "column", "model.embedding_dim": 6, "model.hidden_dim": 37, "model.layers": 2,
            "train.epochs": 3, "train.batch": 150, "train.lanes": 7, "train.learning_rate": 0.01}
RUNS = {
    "mlp-tiles": {"train.sampling": "tiles", "data.top_variable": 23},
    "mlp-observations": {"train.sampling": "observations"},
    "dot-tiles": {"model.kind": "dot", "train.batch": 700},
    "dot-observations": {"model.kind": "dot", "train.sampling": "observations"},
    "cp-tiles": {"model.kind": "cp", "train.tile_experiments": 3},
}
LAYOUTS = [(2, 1), (3, 2), (5, 1), (2, 2), (3, 1)]


def train(directory, ranks=1, threads=1, code=0, words=(), **more):
    sets = {"run.directory": directory, "train.threads": threads, **more}
    started = training.Started(tessera, ranks, ["train", "config.yaml", *words, *(f"--set={k}={v}" for k, v in sets.items())], None)
    got = started.wait()
    assert got == code, (directory, got, started.text)
    return started.text


def same(a, b):
    names = sorted(os.path.basename(path) for path in glob.glob(f"{a}/*.h5"))
    assert names and names == sorted(os.path.basename(path) for path in glob.glob(f"{b}/*.h5"))
    return all(pathlib.Path(a, name).read_bytes() == pathlib.Path(b, name).read_bytes() for name in names)


for number, (name, settings) in enumerate(RUNS.items()):
    training.write_config("config.yaml", {**SETTINGS, **settings})
    train(f"{name}-a")
    ranks, threads = LAYOUTS[number]
    train(f"{name}-b", ranks, threads, **{"data.streaming": str(number % 2 == 0).lower()})
    assert same(f"{name}-a", f"{name}-b"), (name, ranks, threads)
    train(f"{name}-c", **{"data.weight": "none"})
    assert training.differences(f"{name}-a", f"{name}-c"), "weights do nothing"

# Cut short and gone on with; another weight is another training.
training.write_config("config.yaml", {**SETTINGS, **RUNS["mlp-tiles"]})
for session in range(4):
    started = training.Started(tessera, 1 + session % 3, ["train", "config.yaml", "--set=run.directory=cut", "--time-limit", "0.00001"], None)
    if started.wait() == 0:
        break
train("cut", 2)
assert session > 0 and not training.differences("mlp-tiles-a", "cut")
assert "data.weight" in train("mlp-tiles-a", code=78, **{"data.weight": "replicates", "train.epochs": 4})

# replicates: n / (n + 4) of n replicates, which as a column are parts of it for each row.
shares = [0.2 if i % 2 else 1 / 6 for i in range(len(made))]
small_store.write(tessera, "parts.prc.h5", made + made[::2], [f"{w:.9g}" for w in shares + shares[::2]])
training.write_config("config.yaml", {**SETTINGS, **RUNS["dot-tiles"]})
train("replicates", 2, **{"data.store": "plain.prc.h5", "data.weight": "replicates"})
train("parts", **{"data.store": "parts.prc.h5"})
train("none", **{"data.store": "plain.prc.h5", "data.weight": "none"})


def losses(run):
    with open(f"{run}/log.jsonl") as file:
        return np.array([json.loads(line)["train_loss"] for line in file])


assert np.allclose(losses("replicates"), losses("parts"), rtol=1e-4, atol=0), (losses("replicates"), losses("parts"))
assert not np.allclose(losses("replicates"), losses("none"), rtol=1e-3, atol=0)

# The size of weights is nothing: only their ratios count, to the bit where the factor is a power of two.
small_store.write(tessera, "large.prc.h5", made, [w * 2.0 ** 40 for w in weights])
train("large", **{"data.store": "large.prc.h5"})
assert np.array_equal(losses("large"), losses("dot-tiles-a"))

# Refusals, on all ranks with one sentence.
for store, sentence, code in (("plain.prc.h5", "plain.prc.h5 keeps no weights: import its files with --weight COL", 78),
                              ("zero.prc.h5", "the weights of all training experiments are 0", 65)):
    if store == "zero.prc.h5":
        small_store.write(tessera, store, made, [0 if row[2] == "train" else 1 for row in made])
    said = train("refused", 3, code=code, **{"data.store": store})
    assert said.count(sentence) == 1, said
print("weights: kept, added up, the same bits on all layouts")
