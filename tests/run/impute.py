#!/usr/bin/python3
"""Imputed files, judged by anndata and by NumPy's forward pass: values, labels, the same bits for any
selection and number of ranks and in evaluate; refusals; a disk that is full."""
import glob
import json
import os
import subprocess
import sys
import tempfile

import machine

with machine.needed():
    import anndata
    import h5py
    import numpy as np

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
    return run("-q", "impute", "run", "-o", out, "--force", *options, **keywords)


def train(store, directory, *settings):
    keys = [x for setting in settings for x in ("--set", setting)]
    run("-q", "train", f"{source}/config/quickstart.yaml", "--set", f"data.store={store}", "--set",
        f"run.directory={directory}", "--set", "train.epochs=2", *keys)


def values(path, names=None, readouts=None):
    data = anndata.read_h5ad(path)
    return np.asarray(data[names, readouts].X if names is not None else data.X)


PLAIN = {"embedding_dim": 8, "hidden_dim": 24, "layers": 2}


def network(run, kind, alone):
    """Tables as {symbol: row}, and the pieces of the network in the order of network.h."""
    D, H = PLAIN["embedding_dim"], PLAIN["hidden_dim"]
    with h5py.File(glob.glob(f"{run}/best-*.h5")[0]) as file:
        tables = [dict(zip(file[f"{t}/symbol"].asstr(), file[f"table/{t}/value"][:].astype("f8")))
                  for t in ("perturbation", "readout", "context")]
        block = file["mlp/value"][:].astype("f8")
    layers = {} if kind == "cp" else {"b1": (H,), "w": (H, H), "b": (H,)}
    blocks = {"mlp": ["wp", "wr", "wc"], "dot": ["wp"] if alone else ["wp", "wc"], "cp": ["wp", "wc", "wg"]}[kind]
    output = {"wo": (1 if kind == "mlp" else D, H), "bo": (1 if kind == "mlp" else D,)}
    pieces, at = {}, 0
    for name, shape in {**{w: (H, D) for w in blocks}, **layers, **output}.items():
        n = int(np.prod(shape))
        pieces[name] = block[at:at + n].reshape(shape)
        at += n
    assert at == len(block)
    return *tables, pieces


def forward(run, perturbations, context, kind="mlp", alone=False):
    """(perturbation sets, readouts) by the definition in network.h, in double precision."""
    table_p, table_r, table_c, w = network(run, kind, alone)
    silu, relu = (lambda z: z / (1 + np.exp(-z))), (lambda z: np.maximum(z, 0))  # model.activation: auto
    p = np.array([np.sum([table_p[x] for x in q.split("+")], 0) for q in perturbations])
    c, r = table_c[context], np.array(list(table_r.values()))
    if kind == "mlp":
        a = silu((p @ w["wp"].T + w["wc"] @ c + w["b1"])[:, None] + (r @ w["wr"].T)[None])
        return (silu(a @ w["w"].T + w["b"]) @ w["wo"].T + w["bo"])[..., 0]
    if kind == "cp":
        h = (p @ w["wp"].T) * (1 + w["wg"] @ c) + w["wc"] @ c
    else:
        h = relu(relu(p @ w["wp"].T + (0 if alone else w["wc"] @ c) + w["b1"]) @ w["w"].T + w["b"])
    return (h @ w["wo"].T + w["bo"]) @ (c[None] if alone else r).T / np.sqrt(PLAIN["embedding_dim"])


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
        run("-q", "evaluate", "run", "--json", "model.json", "--resamples", 5, "--halvings", 2, env=env)
        run("-q", "evaluate", "s.prc.h5", "--predictions", "everything.h5ad", "--json", "file.json", "--resamples", 5, "--halvings", 2,
            env=env)
        model, file = (json.load(open(x)) for x in ("model.json", "file.json"))
        assert model["counts"]["experiments"] > 5
        assert model["model"]["rmse"] == file["model"]["rmse"], (env.get("OPENBLAS_CORETYPE"), model["model"], file["model"])
        assert model["model"] == file["model"], {k: (v, file["model"][k]) for k, v in model["model"].items() if v != file["model"][k]}


def evaluate_both(store, runs, predictions, *more):
    """Runs and a file of what they predict have the same scores, to the bit."""
    run("-q", "evaluate", *runs, *more, "--json", "runs.json", "--resamples", 5, "--halvings", 2)
    run("-q", "evaluate", store, "--predictions", predictions, "--json", "file.json", "--resamples", 5, "--halvings", 2)
    of_runs, of_file = (json.load(open(x)) for x in ("runs.json", "file.json"))
    assert of_runs["model"] == of_file["model"] and of_runs["model"]["rmse"] > 0


def check_ensemble(store, runs):
    """Mean and deviation of the runs' predictions, the same bits on all ranks; evaluate scores the mean."""
    alone = []
    for directory in runs:
        run("-q", "impute", directory, "--blend", "off", "-o", f"{directory}.h5ad", "-p", "*,@combinations")
        alone.append(anndata.read_h5ad(f"{directory}.h5ad").X.astype(float))
    for ranks in 1, 2, 3, 5:
        run("-q", "impute", *runs, "--blend", "off", "-o", f"ensemble{ranks}.h5ad", "--force", "-p", "*,@combinations", ranks=ranks)
        subprocess.run(["h5diff", "--exclude-path", "/uns/provenance", "ensemble1.h5ad", f"ensemble{ranks}.h5ad"], check=True)
    data = anndata.read_h5ad("ensemble1.h5ad")
    np.testing.assert_allclose(data.X, np.mean(alone, 0), rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(data.layers["std"], np.std(alone, 0, ddof=1), rtol=1e-5, atol=1e-7)
    assert data.uns["n_models"] == len(runs)
    evaluate_both(store, runs, "ensemble1.h5ad", "--blend", "off")


def ensemble():
    """Of three seeds; of three kinds of models, with more readouts than one product takes."""
    for seed in 2, 3:
        train("s.prc.h5", f"seed{seed}", f"run.seed={seed}")
    check_ensemble("s.prc.h5", ["run", "seed2", "seed3"])
    run("-q", "simulate", "-o", "wide.prc.h5", "--perturbations", 20, "--readouts", 300, "--contexts", 3, "--combinations", 7)
    for kind in "mlp", "dot", "cp":
        train("wide.prc.h5", kind, f"model.kind={kind}", "train.learning_rate=0.01")
    check_ensemble("wide.prc.h5", ["mlp", "dot", "cp"])


def part_of(directory, *choice):
    """A part of what a run predicts has the bits that it has in the whole, on other ranks and threads, in any order."""
    whole = anndata.read_h5ad(f"{directory}.h5ad")
    for ranks, threads in (1, 3), (3, 1):
        run("-q", "impute", directory, "--blend", "off", "-o", "part.h5ad", "--force", *choice, "--threads", threads, ranks=ranks)
        part = anndata.read_h5ad("part.h5ad")
        assert 0 < part.shape[0] < whole.shape[0]
        np.testing.assert_array_equal(part.X, whole[part.obs_names, part.var_names].X)


def kinds():
    """What the other kinds predict: any part of it, and in `evaluate`; with a single readout as well."""
    run("-q", "simulate", "-o", "one.prc.h5", "--perturbations", 30, "--readouts", 1, "--contexts", 9)
    train("one.prc.h5", "one", "model.kind=dot")
    impute_all = lambda directory: run("-q", "impute", directory, "--blend", "off", "-o", f"{directory}.h5ad", "-p", "*,@combinations", ranks=2)
    impute_all("one")
    for directory, store in ("dot", "wide.prc.h5"), ("cp", "wide.prc.h5"), ("one", "one.prc.h5"):
        evaluate_both(store, [directory], f"{directory}.h5ad", "--blend", "off")
        said = subprocess.run([tessera, "info", directory], capture_output=True, text=True, check=True).stdout
        assert [line.split()[1] for line in said.splitlines() if line.split()[:1] == ["model.kind"]] == [
            "cp" if directory == "cp" else "dot"], said
        run("-q", "verify", directory, ranks=2)
    for directory in "dot", "cp":
        part_of(directory, "-c", "C[13]", "-p", "P1[1-9],P02,control", "-r", "R2[5-9]?,R007,R001")
    part_of("one", "-c", "C[258]", "-p", "P1?,control")


def forward_pass():
    plain = [f"model.{key}={value}" for key, value in PLAIN.items()]
    for kind, store, directory in (("mlp", "s.prc.h5", "plain"), ("dot", "s.prc.h5", "plain-dot"),
                                   ("cp", "s.prc.h5", "plain-cp"), ("dot", "one.prc.h5", "plain-one")):
        train(store, directory, "train.optimizer=sgd", "train.momentum=0", "train.weight_decay=0", "train.learning_rate=0.01", "data.scale=0",
              f"model.kind={kind}", *plain)
        run("-q", "impute", directory, "--blend", "off", "-o", "plain.h5ad", "--force", "-p", "*,@combinations")
        data = anndata.read_h5ad("plain.h5ad")
        assert {len(p.split("+")) for p in data.obs["perturbation"]} == {1, 2, 3} or store == "one.prc.h5"
        assert data.X.std() > 1e-2
        for context in sorted(set(data.obs["context"])):
            here = data[data.obs["context"] == context]
            np.testing.assert_allclose(here.X, forward(directory, list(here.obs["perturbation"]), context, kind, store == "one.prc.h5"),
                                       atol=2e-5)


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
    impute("model.h5ad", "--blend", "off")
    os.rename("s.prc.h5", "moved.prc.h5")  # nothing but the column and the baseline is lost
    message = impute("alone.h5ad")
    assert "observed" in message and "s.prc.h5" in message
    assert list(anndata.read_h5ad("alone.h5ad").obs.columns) == ["perturbation", "context", "type", "target"]
    np.testing.assert_array_equal(values("alone.h5ad"), values("model.h5ad"))
    impute("found.h5ad", "--store", "moved.prc.h5")
    assert "observed" in anndata.read_h5ad("found.h5ad").obs
    np.testing.assert_array_equal(values("found.h5ad"), values("all1.h5ad"))
    os.rename("moved.prc.h5", "s.prc.h5")


def full_disk():
    run("-q", "simulate", "-o", "big.prc.h5", "--perturbations", 2000, "--readouts", 1000, "--contexts", 4)
    train("big.prc.h5", "wide", "model.layers=1", "model.hidden_dim=8", "model.embedding_dim=8", "train.epochs=1")
    with open("old.h5ad", "w") as file:
        file.write("kept")
    for ranks in 1, 3:
        message = run("-q", "impute", "wide", "-o", "old.h5ad", "--force", limit_kib=20000, ranks=ranks, code=74)
        assert "old.h5ad" in message and "disk full" in message, message
        assert not glob.glob("*.part") and open("old.h5ad").read() == "kept"


run("-q", "simulate", "-o", "s.prc.h5", "--perturbations", 40, "--readouts", 70, "--contexts", 3, "--combinations", 7,
    "--order", 3, "--sparsity", .2, "--replicates", 2, "--truth", "truth.h5ad")
train("s.prc.h5", "run")
labels_and_ranks()
same_bits()
ensemble()
kinds()
forward_pass()
refusals()
full_disk()
print("ok")
