#!/usr/bin/python3
"""Imputed files, judged by anndata and by NumPy's forward pass: values, labels, the same bits for any
selection and number of ranks and in evaluate; refusals; a disk that is full."""
import glob
import json
import os
import subprocess
import sys
import tempfile

import machine  # noqa: F401 -- the environment

try:
    import anndata
    import h5py
    import numpy as np
except ImportError as problem:
    print(f"skipped: {problem}")
    sys.exit(77)

tessera, source = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
folder = tempfile.TemporaryDirectory()
os.chdir(folder.name)


def run(*arguments, ranks=1, code=0, limit_kib=0, env=None):
    line = [tessera, *map(str, arguments)]
    if limit_kib:  # files cannot grow beyond it: a full disk, to whoever writes
        line = ["bash", "-c", f'trap "" XFSZ; ulimit -f {limit_kib}; exec "$@"', "bash", *line]
    if ranks > 1:
        line = ["mpirun", "-n", str(ranks), *line]
    done = subprocess.run(line, capture_output=True, text=True, timeout=90, env=dict(os.environ, **(env or {})))
    assert done.returncode == code, (arguments, ranks, done.returncode, done.stdout, done.stderr)
    return done.stderr


def impute(out, *options, **keywords):
    return run("-q", "impute", "run", "-o", out, "--blend", "off", *options, **keywords)


def train(store, directory, *settings):
    keys = [x for setting in settings for x in ("--set", setting)]
    run("-q", "train", f"{source}/config/quickstart.yaml", "--set", f"data.store={store}", "--set",
        f"run.directory={directory}", "--set", "train.epochs=2", *keys)


def values(path, names=None, readouts=None):
    data = anndata.read_h5ad(path)
    return np.asarray(data[names, readouts].X if names is not None else data.X)


def forward(perturbations, context):
    """(perturbation sets, readouts) by the definition in network.h, in double precision."""
    with h5py.File(glob.glob("plain/best-*.h5")[0]) as file:
        table = {t: file[f"table/{t}/value"][:].astype("f8") for t in ("perturbation", "readout", "context")}
        symbol = {t: list(file[f"{t}/symbol"].asstr()) for t in table}
        block = file["mlp/value"][:].astype("f8")
    D, H = table["readout"].shape[1], 24
    parts, at = [], 0
    for shape in ((H, D), (H, D), (H, D), (H,), (1, H, H), (1, H), (H,), (1,)):
        n = int(np.prod(shape))
        parts.append(block[at:at + n].reshape(shape))
        at += n
    assert at == len(block)
    wp, wr, wc, b1, w, b, wo, bo = parts
    p = np.array([np.mean([table["perturbation"][symbol["perturbation"].index(x)] for x in q.split("+")], 0)
                  for q in perturbations])
    c = table["context"][symbol["context"].index(context)]
    a = np.maximum((p @ wp.T + wc @ c + b1)[:, None] + (table["readout"] @ wr.T)[None], 0)
    return np.maximum(a @ w[0].T + b[0], 0) @ wo + bo


def labels_and_ranks():
    for ranks in 1, 2, 3, 5:
        impute(f"all{ranks}.h5ad", ranks=ranks)
        subprocess.run(["h5diff", "--exclude-path", "/uns/provenance", "all1.h5ad", f"all{ranks}.h5ad"], check=True)
    data = anndata.read_h5ad("all1.h5ad")
    names = [f"P{i:02}" for i in range(1, 41)] + ["control"]
    assert list(data.obs_names) == [f"{p}@{c}" for c in ("C1", "C2", "C3") for p in names]
    assert list(data.obs["perturbation"]) == names * 3 and list(data.obs["context"][:41]) == ["C1"] * 41
    assert list(data.var_names) == [f"R{i:02}" for i in range(1, 71)]
    assert list(data.obs["type"][:41]) == ["single"] * 40 + ["control"]
    measured = anndata.read_h5ad("truth.h5ad").obs["observed"]
    assert list(data.obs["observed"]) == list(measured[data.obs_names]) and 0 < data.obs["observed"].mean() < 1
    assert data.X.dtype == np.float32 and np.isfinite(data.X).all() and data.X.std() > 0
    assert data.uns["provenance"]["model"].startswith("run/best-") and data.uns["provenance"]["created"].endswith("Z")
    assert "embedding_dim: 64" in data.uns["config"] and "threads" not in data.uns["config"]
    assert len(data.uns["model_hash"]) == 16 and data.uns["step"] > 0
    backed = anndata.read_h5ad("all1.h5ad", backed="r")
    assert backed.X.shape == (123, 70)
    backed.file.close()


def same_bits():
    with open("names.txt", "w") as file:
        file.write("P07\nP31\ncontrol\n")
    pick = ["P07", "P31", "control", "P20", "P21"]
    for core in "HASWELL", "":
        env = {"OPENBLAS_CORETYPE": core} if core else {}
        impute("all.h5ad", env=env)
        impute("some.h5ad", "-c", "C[13]", "-p", "@names.txt,P2[01]", "-r", "R6*", "-r", "R03", "--threads", 2, env=env)
        some = anndata.read_h5ad("some.h5ad")
        assert set(some.obs["perturbation"]) == set(pick) and some.shape == (10, 11)
        np.testing.assert_array_equal(some.X, values("all.h5ad", some.obs_names, some.var_names))
        impute("many.h5ad", "-p", "@combinations", "-p", "P01,P05+P09", env=env)
        many = anndata.read_h5ad("many.h5ad")
        truth = anndata.read_h5ad("truth.h5ad").obs
        trained = {p for p in truth["perturbation"][truth["split"] == "train"] if "+" in p}
        assert set(many.obs["perturbation"]) == trained | {"P01", "P05+P09"} and len(trained) > 3
        assert all(many.obs["type"] == ["single" if p == "P01" else "combination" for p in many.obs["perturbation"]])
        np.testing.assert_array_equal(values("many.h5ad", many.obs_names[many.obs["perturbation"] == "P01"],
                                             many.var_names),
                                      values("all.h5ad", [f"P01@C{c}" for c in (1, 2, 3)], many.var_names))
        impute("everything.h5ad", "-p", "*,@combinations", env=env)
        run("-q", "evaluate", "run", "--blend", "off", "--json", "model.json", "--resamples", 5, "--halvings", 2, env=env)
        run("-q", "evaluate", "s.prc.h5", "--predictions", "everything.h5ad", "--json", "file.json", "--resamples", 5, "--halvings", 2,
            env=env)
        model, file = (json.load(open(x)) for x in ("model.json", "file.json"))
        assert model["counts"]["experiments"] > 5
        assert model["model"]["rmse"] == file["model"]["rmse"] and model["model"] == file["model"]


def ensemble():
    """Mean and deviation of three seeds; evaluate scores the mean."""
    runs = ["run", "seed2", "seed3"]
    for seed, directory in enumerate(runs[1:], 2):
        train("s.prc.h5", directory, f"run.seed={seed}")
    alone = []
    for directory in runs:
        run("-q", "impute", directory, "--blend", "off", "-o", f"{directory}.h5ad", "-p", "*,@combinations")
        alone.append(anndata.read_h5ad(f"{directory}.h5ad").X.astype(float))
    for ranks in 1, 3:
        run("-q", "impute", *runs, "--blend", "off", "-o", "ensemble.h5ad", "-p", "*,@combinations", ranks=ranks)
        data = anndata.read_h5ad("ensemble.h5ad")
        np.testing.assert_allclose(data.X, np.mean(alone, 0), rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(data.layers["std"], np.std(alone, 0, ddof=1), rtol=1e-5, atol=1e-7)
        assert data.uns["n_models"] == 3
    run("-q", "evaluate", *runs, "--blend", "off", "--json", "three.json", "--resamples", 5, "--halvings", 2)
    run("-q", "evaluate", "s.prc.h5", "--predictions", "ensemble.h5ad", "--json", "mean.json", "--resamples", 5, "--halvings", 2)
    three, mean = (json.load(open(x)) for x in ("three.json", "mean.json"))
    assert three["model"] == mean["model"]


def forward_pass():
    train("s.prc.h5", "plain", "train.optimizer=sgd", "train.momentum=0", "train.weight_decay=0", "model.layers=2",
          "model.hidden_dim=24", "model.embedding_dim=8", "train.learning_rate=0.01")
    run("-q", "impute", "plain", "--blend", "off", "-o", "plain.h5ad", "-p", "*,@combinations")
    data = anndata.read_h5ad("plain.h5ad")
    assert {len(p.split("+")) for p in data.obs["perturbation"]} == {1, 2, 3}
    for context in "C1", "C2", "C3":
        here = data[data.obs["context"] == context]
        np.testing.assert_allclose(here.X, forward(list(here.obs["perturbation"]), context), atol=2e-5)


def refusals():
    before = sorted(os.listdir("."))
    for options, words in ((["-p", "P41,P1"], ["P41, P1", "P11"]), (["-r", "nothing*"], ["nothing*"]),
                           (["-c", "C1,C8"], ["C8", "C1"]), (["-p", "P01+Q"], ["Q"]),
                           (["-p", "@missing.txt"], ["missing.txt"]), (["--store", "missing"], ["missing"])):
        for ranks in (1, 2) if words[0] == "Q" else (1,):
            message = impute("refused.h5ad", *options, code=65, ranks=ranks)
            assert all(word in message for word in words), message
    assert "refused.csv" in impute("refused.csv", code=2)
    assert "no/such" in impute("no/such/refused.h5ad", code=73)
    assert "nowhere" in run("impute", "nowhere", "-o", "refused.h5ad", code=65)
    assert "41 perturbations × 70 readouts × 3 contexts" in run("impute", "run", "-o", "refused.h5ad", "--dry-run")
    assert sorted(os.listdir(".")) == before
    os.rename("s.prc.h5", "moved.prc.h5")  # nothing but the column is lost
    message = impute("alone.h5ad")
    assert "observed" in message and "s.prc.h5" in message
    assert list(anndata.read_h5ad("alone.h5ad").obs.columns) == ["perturbation", "context", "type"]
    np.testing.assert_array_equal(values("alone.h5ad"), values("all1.h5ad"))
    impute("found.h5ad", "--store", "moved.prc.h5")
    assert "observed" in anndata.read_h5ad("found.h5ad").obs
    os.rename("moved.prc.h5", "s.prc.h5")


def full_disk():
    run("-q", "simulate", "-o", "big.prc.h5", "--perturbations", 2000, "--readouts", 1000, "--contexts", 4)
    train("big.prc.h5", "wide", "model.layers=1", "model.hidden_dim=8", "model.embedding_dim=8", "train.epochs=1")
    with open("old.h5ad", "w") as file:
        file.write("kept")
    for ranks in 1, 3:
        message = run("-q", "impute", "wide", "-o", "old.h5ad", limit_kib=20000, ranks=ranks, code=74)
        assert "old.h5ad" in message and "disk full" in message, message
        assert not glob.glob("*.part") and open("old.h5ad").read() == "kept"


run("-q", "simulate", "-o", "s.prc.h5", "--perturbations", 40, "--readouts", 70, "--contexts", 3, "--combinations", 7,
    "--order", 3, "--sparsity", .2, "--replicates", 2, "--truth", "truth.h5ad")
train("s.prc.h5", "run")
labels_and_ranks()
same_bits()
ensemble()
forward_pass()
refusals()
full_disk()
print("ok")
