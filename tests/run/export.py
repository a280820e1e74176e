#!/usr/bin/python3
"""export: the Python of docs/export.md, taken from there, predicts with the exported arrays what `predict` says, for every kind
of model; the same bytes on any number of ranks; refusals, and nothing half-written."""
import csv
import glob
import os
import random
import re
import subprocess
import sys
import tempfile

import machine

with machine.needed():
    import numpy as np
    import torch  # noqa: F401 -- the document's code needs it

tessera, source = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
with open(f"{source}/docs/export.md") as page:
    code = re.search(r"```python\n(.*?)```", page.read(), re.S)[1]
document = {}
exec(compile(code, "docs/export.md", "exec"), document)
folder = tempfile.TemporaryDirectory()
os.chdir(folder.name)
random.seed(3)


def run(*arguments, ranks=1, code=0):
    line = [*(["mpirun", "-n", str(ranks)] if ranks > 1 else []), tessera, *map(str, arguments)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=90)
    assert done.returncode == code, (arguments, ranks, done.returncode, done.stdout, done.stderr)
    return done.stderr


def train(store, directory, *settings):
    keys = [x for setting in settings for x in ("--set", setting)]
    run("-q", "train", f"{source}/config/quickstart.yaml", "--set", f"data.store={store}", "--set",
        f"run.directory={directory}", "--set", "train.epochs=2", "--set", "model.embedding_dim=8", "--set", "model.hidden_dim=24", *keys)


def compare(directory, combinations):
    """Some values, combinations among them, in all contexts."""
    run("-q", "export", directory, "-o", f"{directory}.npz")
    model = document["load"](f"{directory}.npz")
    queries = [(c, random.choice(list(model["perturbation_symbols"])), random.choice(list(model["readout_symbols"])))
               for c in model["context_symbols"] for _ in range(12)]
    queries += [(c, "P01+P07", r) for c, _, r in queries[::9]] if combinations else []
    with open("queries.tsv", "w") as file:
        file.writelines("\t".join(query) + "\n" for query in [("context", "perturbation", "readout"), *queries])
    run("-q", "predict", directory, "queries.tsv", "-o", "out.tsv", "--force", "--blend", "off", "--precision", "float32")
    with open("out.tsv", newline="") as file:
        said = [float(line["prediction"]) for line in csv.DictReader(file, delimiter="\t")]
    mine = [document["predict"](model, *query) for query in queries]
    assert np.std(said) > 1e-3
    np.testing.assert_allclose(mine, said, rtol=1e-5, atol=1e-5)


def forms():
    run("-q", "export", "mlp", "-o", "folder", ranks=2)
    run("-q", "export", "mlp", "-o", "again.npz", ranks=3)
    assert open("again.npz", "rb").read() == open("mlp.npz", "rb").read()
    whole = np.load("mlp.npz")
    assert sorted(whole.files) == sorted(os.path.basename(path)[:-4] for path in glob.glob("folder/*.npy"))
    for name in whole.files:
        np.testing.assert_array_equal(np.load(f"folder/{name}.npy"), whole[name])
    n = len(whole["perturbation_symbols"])
    assert whole["perturbation"].shape == (n, 8) and whole["w"].shape == (1, 24, 24) and whole["wo"].shape == (1, 24)
    assert whole["perturbation_trained"].dtype == bool and whole["perturbation_trained"].all()
    assert b"embedding_dim: 8" in whole["settings"].item()


def refusals():
    before = sorted(os.listdir("."))
    for options, code, word in ((["mlp", "-o", "mlp.npz"], 73, "--force"), (["mlp", "-o", "folder"], 73, "directory"), (["mlp"], 2, "-o"),
                                (["mlp", "-o", "no/x.npz"], 73, "no/x.npz"), (["mlp", "-o", "no/x"], 73, "no/x"),
                                (["nothing", "-o", "x.npz"], 65, "nothing"), (["s.prc.h5", "-o", "x.npz"], 65, "s.prc.h5")):
        assert word in run("-q", "export", *options, code=code), options
    run("-q", "export", "mlp", "-o", "mlp.npz", "--force")
    assert sorted(os.listdir(".")) == before


run("-q", "simulate", "-o", "s.prc.h5", "--perturbations", 20, "--readouts", 30, "--contexts", 3, "--combinations", 7, "--replicates", 2)
run("-q", "simulate", "-o", "one.prc.h5", "--perturbations", 30, "--readouts", 1, "--contexts", 9)
for name, settings in {"mlp": ["model.kind=mlp"], "dot": ["model.kind=dot", "model.combination=sum"], "cp": ["model.kind=cp"],
                       "silu": ["model.kind=mlp", "model.activation=silu", "model.layers=3"],
                       "flat": ["model.kind=mlp", "model.layers=0"], "scaled": ["data.normalize=zscore", "model.combination=max"]}.items():
    train("s.prc.h5", name, *settings)
    compare(name, True)
train("one.prc.h5", "one", "model.kind=dot")
compare("one", False)
forms()
refusals()
print("ok")
