#!/usr/bin/python3
"""embed: tables, effective vectors and principal components against NumPy on the exported arrays, for every kind of model and
for ensembles; on 1, 2, 3 and 5 ranks the same bits, of the components the same but for rounding; labels; refusals."""
import os
import pathlib
import sys
import tempfile

import machine
from checks import check, finish, run

with machine.needed():
    import anndata
    import numpy as np

source = os.path.abspath(sys.argv[2])
folder = tempfile.TemporaryDirectory()
os.chdir(folder.name)
RANKS = (1, 2, 3, 5)
TABLES = ("perturbation", "readout", "context")
BLOCK = {"perturbation": "wp", "readout": "wr", "context": "wc"}


def fine(*line, ranks=1):
    done = run(*line, ranks=ranks)
    assert done.returncode == 0, (line, ranks, done.stdout, done.stderr)
    return done.stderr


def make_store():
    rng = np.random.default_rng(5)
    names = ["control", "other", *(f"compound:{i}-x" for i in range(80)), *(f"CRISPRi_G{i}" for i in range(40))]
    with open("rows.csv", "w") as file:
        print("perturbation,context,split", *(f"r{j}" for j in range(9)), sep=",", file=file)
        for i, name in enumerate(names):
            for c in range(3):
                split = "train" if c < 2 or i % 4 else "test"
                if name != "compound:3-x" or c == 2: # known from its context of test alone
                    split = "test" if name == "compound:3-x" else split
                    print(name, f"c{c}", split, *rng.normal(size=9).round(3), sep=",", file=file)
    fine("-q", "import", "rows.csv", "--split-column", "split", "-o", "s.prc.h5")


def train(name, seed, *settings):
    keys = [x for setting in settings for x in ("--set", setting)]
    fine("-q", "train", f"{source}/config/quickstart.yaml", "--set", "data.store=s.prc.h5", "--set", f"run.directory={name}", "--set",
         f"run.seed={seed}", "--set", "train.epochs=2", "--set", "model.embedding_dim=8", "--set", "model.hidden_dim=12", *keys)
    fine("-q", "export", name, "-o", f"{name}.npz")
    return np.load(f"{name}.npz")


def effective(model, table):
    block = model.get(BLOCK[table])
    row = model[table].astype(float)
    return row if block is None else row @ block.T.astype(float)


def components(x, trained, k):
    """As docs/discovery.md says: members of one variance, side by side."""
    scaled = np.hstack([m / np.sqrt(m[trained].var(0).sum()) for m in x])
    centred = scaled - scaled[trained].mean(0)
    _, s, axes = np.linalg.svd(centred[trained], full_matrices=False)
    axes = axes[:k]
    axes *= np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(1)])[:, None]
    out = np.zeros((len(scaled), k))
    out[:, :len(axes)] = centred @ axes.T
    return out


def compare(name, runs, models, k, many=RANKS[1:]):
    fine("-q", "embed", *runs, "-o", f"{name}.h5ad", "--pca", k)
    a = anndata.read_h5ad(f"{name}.h5ad")
    for table in TABLES:
        part = a[a.obs["table"] == table]
        x = [effective(m, table) for m in models]
        wide = np.hstack(x)
        trained = models[0][f"{table}_trained"].astype(bool)
        check(list(part.obs["symbol"]) == [s.decode() for s in models[0][f"{table}_symbols"]], f"{name}: symbols of {table}")
        check((part.obs["trained"].to_numpy() == trained).all(), f"{name}: trained {table}")
        check(np.array_equal(part.obsm["raw"], np.hstack([m[table] for m in models])), f"{name}: raw {table}")
        check(np.allclose(part.X[:, :wide.shape[1]], wide, atol=1e-5) and not part.X[:, wide.shape[1]:].any(), f"{name}: X of {table}")
        own = min(k, trained.sum() - 1, wide.shape[1])
        check(np.allclose(part.obsm["X_pca"][:, :own], components(x, trained, own), atol=2e-5), f"{name}: components of {table}")
        check(not part.obsm["X_pca"][:, own:].any(), f"{name}: components that {table} does not have")
    for ranks in many:
        fine("-q", "embed", *runs, "-o", "other.h5ad", "--force", "--pca", k, ranks=ranks)
        b = anndata.read_h5ad("other.h5ad")
        check(np.array_equal(a.X, b.X) and np.array_equal(a.obsm["raw"], b.obsm["raw"]), f"{name}: bits on {ranks} ranks")
        check(np.allclose(a.obsm["X_pca"], b.obsm["X_pca"], atol=1e-5), f"{name}: components on {ranks} ranks")
        check(a.obs.equals(b.obs), f"{name}: labels on {ranks} ranks")
    return a


def labels(a):
    obs = a.obs.set_index("symbol")
    check(obs.loc["control", "type"] == "control" and obs.loc["other", "type"] == "perturbation", "types of plain names")
    check(obs.loc["compound:7-x", "type"] == "compound" and obs.loc["compound:7-x", "target"] == "7-x", "a compound")
    check(obs.loc["CRISPRi_G7", "type"] == "CRISPRi" and obs.loc["CRISPRi_G7", "target"] == "G7", "a knock-down")
    check(obs.loc["r3", "type"] == "readout" and obs.loc["c1", "type"] == "context", "other tables")
    check(obs.loc["compound:3-x", "experiments"] == 0 and not obs.loc["compound:3-x", "trained"], "what was never trained on")
    check(obs.loc["compound:7-x", "experiments"] in (2, 3) and obs.loc["c0", "experiments"] == 121, "experiments")
    check(a.obs_names.is_unique, "names of rows")


def refusals():
    before = sorted(os.listdir("."))
    for options, code, word in ((["mlp"], 2, "-o"), (["mlp", "-o", "x.gctx"], 2, ".h5ad"), (["mlp", "-o", "mlp.h5ad"], 73, "--force"),
                                (["mlp", "-o", "x.h5ad", "--pca", "13"], 2, "at most"), (["mlp", "-o", "x.h5ad", "--pca", "0"], 2, "--pca"),
                                (["nothing", "-o", "x.h5ad"], 65, "nothing"), (["mlp", "-o", "no/x.h5ad"], 73, "no/x.h5ad"),
                                (["s.prc.h5", "-o", "x.h5ad"], 65, "s.prc.h5")):
        for ranks in (1, 3) if code != 2 else (1,):
            done = run("-q", "embed", *options, ranks=ranks)
            check(done.returncode == code and word in done.stderr, f"{options} on {ranks}: {done.returncode} {done.stderr}")
    check(sorted(os.listdir(".")) == before, "something is left behind")
    pathlib.Path("s.prc.h5").rename("moved")
    check("experiments" in fine("embed", "mlp", "-o", "without.h5ad"), "a store that is gone is not mentioned")
    check("experiments" not in anndata.read_h5ad("without.h5ad").obs, "counts without a store")


make_store()
mlp = train("mlp", 1, "model.kind=mlp")
again = train("again", 2, "model.kind=mlp")
labels(compare("mlp", ["mlp"], [mlp], 5))
compare("both", ["mlp", "again"], [mlp, again], 12, (3,))
for kind in ("dot", "cp"):
    compare(kind, [kind], [train(kind, 3, f"model.kind={kind}")], 6, (2,))
check(run("verify", "both.h5ad", ranks=2).returncode == 0, "verify")
refusals()
finish()
