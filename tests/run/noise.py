#!/usr/bin/python3
"""model.noise: a second output for the variance of what is measured. Predictions are those of a model without it, to the
bit; predict and impute agree; the same bits on any ranks, streamed and
resumed; an ensemble's is the mean variance and that of its members together; fitted to the noise of the data, and
calibrated for single models, too. (tests/unit/tile.c holds its gradients against PyTorch.)

usage: noise.py TESSERA SOURCE_FOLDER"""
import json
import os
import sys
import tempfile

import machine

with machine.needed():
    import anndata
    import h5py
    import numpy as np
import small_store
import training
from training import run

tessera = os.path.abspath(sys.argv[1])
folder = tempfile.TemporaryDirectory()
os.chdir(folder.name)


def train(directory, ranks=1, **more):
    sets = {"run.directory": directory, **more}
    return run("train", "config.yaml", *(f"--set={k}={v}" for k, v in sets.items()), ranks=ranks)


def imputed(run_directory, *words, ranks=1):
    path = f"{run_directory.replace('/', '-')}.h5ad"
    run("-q", "impute", run_directory, "-o", path, "--force", "--blend", "off", *words, ranks=ranks)
    a = anndata.read_h5ad(path)
    return a, np.asarray(a.X, np.float64), {k: np.asarray(v, np.float64) for k, v in a.layers.items()}


rows = small_store.rows()
small_store.write(tessera, "small.prc.h5", rows)
small_store.write(tessera, "single.prc.h5", [row for row in rows if list(row[3]) == ["viability"]])
SETTINGS = {"data.store": "small.prc.h5", "model.noise": "learned", "model.embedding_dim": 6, "model.hidden_dim": 37, "model.layers": 2,
            "train.epochs": 3, "train.batch": 150, "train.lanes": 7, "train.learning_rate": 0.01}
RUNS = {
    "mlp-tiles": ({"train.sampling": "tiles", "data.normalize": "zscore"}, 3),
    "mlp-observations": ({"train.sampling": "observations", "data.streaming": "true"}, 2),
    "dot-tiles": ({"model.kind": "dot", "train.batch": 700, "data.normalize": "zscore"}, 5),
    "dot-observations": ({"model.kind": "dot", "train.sampling": "observations"}, 2),
    "dot-single": ({"model.kind": "dot", "data.store": "single.prc.h5", "train.batch": 20}, 3),
    "cp-tiles": ({"model.kind": "cp", "train.tile_experiments": 3}, 2),
}
PARAMETERS = {"mlp": 37 + 1, "dot": 37 + 1 + 6, "cp": 37 + 1 + 6}
for name, (settings, ranks) in RUNS.items():
    training.write_config("config.yaml", {**SETTINGS, **settings})
    train(f"{name}-a")
    train(f"{name}-b", ranks, **{"data.streaming": "false"})
    assert not training.differences(f"{name}-a", f"{name}-b"), name
    train(f"{name}-none", **{"model.noise": "none"})
    with h5py.File(training.newest(f"{name}-a", "best")) as a, h5py.File(training.newest(f"{name}-none", "best")) as b:
        with_noise, without = {}, {}
        a.visititems(lambda k, v: with_noise.update({k: v.size}) if isinstance(v, h5py.Dataset) else None)
        b.visititems(lambda k, v: without.update({k: v.size}) if isinstance(v, h5py.Dataset) else None)
        more = {k: n - without[k] for k, n in with_noise.items() if n != without[k] and k != "config"}
        assert set(with_noise) == set(without) and set(more.values()) == {PARAMETERS[name.split("-")[0]]}, (name, more)
    a, mean, layers = imputed(f"{name}-a")
    other, plain, none = imputed(f"{name}-none")
    assert np.array_equal(mean, plain) and not none, f"{name}: predictions without and with noise are the same"
    assert set(layers) == {"std", "std_calibrated"} and (layers["std"] > 0).all() and layers["std"].std() > 0, (name, set(layers))
    again = imputed(f"{name}-b", ranks=3)
    assert np.array_equal(again[2]["std"], layers["std"]), f"{name}: the same bits"
    file = json.load(open(f"{name}-a/deviation.json"))
    fit = file["fits"][-1]
    assert file["members"] == 1 and np.allclose(layers["std_calibrated"], np.sqrt((fit["scale"] * layers["std"]) ** 2 + fit["noise"] ** 2), rtol=1e-5)

# predict and impute agree to the bit, in both forms of predict.
training.write_config("config.yaml", {**SETTINGS, **RUNS["dot-tiles"][0]})
for name in ("mlp-tiles", "dot-tiles", "dot-single", "cp-tiles"):
    a, mean, layers = imputed(f"{name}-a")
    pairs = [(i, j) for i in range(0, a.n_obs, 5) for j in range(0, a.n_vars, 3)]
    with open("queries.tsv", "w") as file:
        print("context", "perturbation", "readout", sep="\t", file=file)
        for i, j in pairs:
            print(a.obs["context"].iloc[i], a.obs["perturbation"].iloc[i], a.var_names[j], sep="\t", file=file)
    run("-q", "predict", f"{name}-a", "queries.tsv", "-o", "answers.tsv", "--force", "--blend", "off", ranks=2)
    with open("answers.tsv") as file:
        head, *lines = [line.rstrip("\n").split("\t") for line in file]
    assert head[-3:] == ["prediction", "std", "std_calibrated"], head
    for (i, j), line in zip(pairs, lines):
        assert np.float32(line[-3]) == np.float32(mean[i, j]) and np.float32(line[-2]) == np.float32(layers["std"][i, j]), (name, line)

# Cut short and gone on with.
training.write_config("config.yaml", {**SETTINGS, **RUNS["mlp-tiles"][0]})
for session in range(4):
    started = training.Started(tessera, 1 + session % 3, ["train", "config.yaml", "--set=run.directory=cut", "--time-limit", "0.00001"], None)
    if started.wait() == 0:
        break
train("cut", 2)
assert session > 0 and not training.differences("mlp-tiles-a", "cut")
done = training.Started(tessera, 1, ["train", "config.yaml", "--set=run.directory=mlp-tiles-a", "--set=model.noise=none", "--set=train.epochs=4"], None)
assert done.wait() == 78 and "model.noise" in done.text, done.text

# An ensemble: the mean variance of its members' noise, and their own.
train("several", **{"train.members": 3, "train.epochs": 2})
each = [imputed(f"several/member-{k}")[1:] for k in (1, 2, 3)]
_, mean, layers = imputed("several")
want = np.sqrt(np.var([x for x, _ in each], axis=0, ddof=1) + np.mean([of["std"] ** 2 for _, of in each], axis=0))
assert np.allclose(layers["std"], want, rtol=1e-4), np.abs(layers["std"] / want - 1).max()
assert "within 68 %" in run("evaluate", "several", "--resamples", "10")
assert "predicted deviation" in run("evaluate", "mlp-tiles-a", "--resamples", "10")

# It learns what there is to learn: half of the readouts are twenty times as noisy as the others.
rng = np.random.default_rng(5)
perturbations, contexts, readouts = [f"p{i:03d}" for i in range(200)], ["c0", "c1", "c2"], [f"r{i:02d}" for i in range(30)]
deviation = np.where(np.arange(30) % 2, 0.05, 1)
base, effect = rng.normal(size=(3, 30)), rng.normal(size=(200, 2)) @ rng.normal(size=(2, 30))
noisy = [(c, p, rng.choice(["train", "train", "train", "val"]), dict(zip(readouts, np.round(base[i] + effect[j] + deviation * rng.normal(size=30), 4))))
         for i, c in enumerate(contexts) for j, p in enumerate(perturbations)]
small_store.write(tessera, "noisy.prc.h5", noisy)
# What the dot product says of a readout's noise is linear in the readout's embedding: it needs more columns, and finds less.
for kind, columns, least in ("mlp", 8, 2), ("dot", 16, 1.25):
    training.write_config("config.yaml", {**SETTINGS, "data.store": "noisy.prc.h5", "model.kind": kind, "train.epochs": 30, "train.lanes": 4,
                                          "model.embedding_dim": columns, "model.hidden_dim": 64, "train.learning_rate": 0.003, "model.dropout": 0})
    train(f"noisy-{kind}")
    got = np.sqrt((imputed(f"noisy-{kind}")[2]["std"] ** 2).mean(0))
    assert np.median(got[::2]) > least * np.median(got[1::2]), (kind, got)
    print(kind, got[::2].mean(), got[1::2].mean())

# A training that begins from such a model goes on from its deviations: frozen they stay as they are, free they do not; the same on any ranks.
training.write_config("config.yaml", {**SETTINGS, "data.store": "noisy.prc.h5", "model.embedding_dim": 8, "model.hidden_dim": 64, "train.lanes": 4,
                                      "train.learning_rate": 0.003, "model.dropout": 0, "model.kind": "mlp", "train.epochs": 2})
was = imputed("noisy-mlp")
for name, freeze, rate in ("frozen", "perturbations,readouts,network", 1e-12), ("free", "", 1):
    for ranks in 1, 3:
        train(f"{name}{ranks}", ranks, **{"train.init": "noisy-mlp", "train.freeze": freeze, "train.rate_contexts": rate})
        got = imputed(f"{name}{ranks}")
        same = np.array_equal(got[1], was[1]) and np.array_equal(got[2]["std"], was[2]["std"])
        assert same == (name == "frozen"), (name, ranks)
    one, three = imputed(f"{name}1"), imputed(f"{name}3")
    assert np.array_equal(one[1], three[1]) and np.array_equal(one[2]["std"], three[2]["std"]), name
# With products in bfloat16 deviations are as good.
train("low", **{"train.precision": "bfloat16", "train.epochs": 30})
low = np.sqrt((imputed("low", "--precision", "bfloat16")[2]["std"] ** 2).mean(0))
assert np.median(low[::2]) > 2 * np.median(low[1::2]), low
print("noise: predictions unchanged, deviations learned, the same bits on all layouts")
