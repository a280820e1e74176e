#!/usr/bin/python3
"""Perturbations known by side features alone (features.perturbations): their vectors are the sums that the checkpoint says, the
baselines `features` and `nearest_features` are what NumPy makes of the same numbers, the model that is blended beats the context's
mean; the same bits on any number of ranks and after a stop; the file is not needed afterwards; bad files are refused."""
import glob
import hashlib
import json
import os
import shutil
import sys
import tempfile

import machine

with machine.needed():
    import anndata
    import h5py
    import numpy as np
from training import run

source = os.path.abspath(sys.argv[2])
folder = tempfile.TemporaryDirectory()
os.chdir(folder.name)
N, R, F = 70, 8, 6  # perturbations, readouts (fewer than factors: nothing is cut off), features
rng = np.random.default_rng(3)
FEATURE = rng.normal(size=(N, F))
FURTHER = np.random.default_rng(4).normal(size=(3, F))  # of G70, G71, G72, which no experiment has
PROFILE = {c: FEATURE @ rng.normal(size=(F, R)) / F**0.5 + 0.3 * rng.normal(size=(N, R)) for c in ("A", "B")}
SPLIT = ["train"] * 50 + ["val"] * 8 + ["test"] * 12
PLAIN = {3, 4}  # without features


def write_data():
    with open("data.tsv", "w") as file:
        print("perturbation", "context", "split", *(f"R{r}" for r in range(R)), sep="\t", file=file)
        for context, profile in PROFILE.items():
            for i in range(N):
                print(f"KO_G{i:02}", context, SPLIT[i], *profile[i], sep="\t", file=file)
    with open("features.tsv", "w") as file:
        print("gene", *(f"f{k}" for k in range(F)), "same", sep="\t", file=file)
        for i in sorted(set(range(N)) - PLAIN):
            print(f"G{i:02}", *("" if (i, k) == (9, 2) else FEATURE[i, k] for k in range(F)), 7, sep="\t", file=file)
        for i, x in enumerate(FURTHER):
            print(f"G{N + i}", *("" if (i, k) == (2, 1) else x[k] for k in range(F)), 7 + i, sep="\t", file=file)
    known = sorted(set(range(N)) - PLAIN)
    x = FEATURE[known]
    x[known.index(9), 2] = np.nan
    table = anndata.AnnData(x.astype(np.float32))
    table.obs_names = [f"KO_G{i:02}" for i in known]
    table.write_h5ad("features.h5ad")


def train(directory, *settings, ranks=1, code=0, options=(), features="features.tsv"):
    keys = [x for setting in settings for x in ("--set", setting)]
    return run("-q", "train", f"{source}/config/quickstart.yaml", "--set", "data.store=store.prc.h5", "--set",
               f"run.directory={directory}", "--set", f"features.perturbations={features}", "--set", "features.axes=8", "--set",
               "model.kind=mlp", "--set", "train.epochs=8", "--set", "model.embedding_dim=8", "--set", "model.hidden_dim=16", *keys,
               *options, ranks=ranks, code=code)


def digest(directory):
    return [hashlib.sha256(open(path, "rb").read()).hexdigest() for path in sorted(glob.glob(f"{directory}/best-*.h5"))]


def axes_of():
    """The features, standardised, on principal axes: squares sum up to 1 on the mean."""
    known = sorted(set(range(N)) - PLAIN)
    x = FEATURE[known].astype(np.float32).astype(float)
    x[known.index(9), 2] = np.nan
    x = x - np.nanmean(x, axis=0)
    x = np.nan_to_num(x)
    x /= np.sqrt((x**2).mean(0))
    u, s, _ = np.linalg.svd(x, full_matrices=False)
    return known, u * s * np.sqrt(len(known) / (s**2).sum())


def check_checkpoint(known, axes):
    run("-q", "export", "one", "-o", "one.npz")
    vector = np.load("one.npz")["perturbation"]
    with h5py.File(glob.glob("one/best-*.h5")[0]) as file:
        value, table = file["features/perturbation/value"][:], file["table/perturbation/value"][:]
        trained, last, step = file["perturbation/trained"][:], file["table/perturbation/last"][:], file.attrs["step"]
        assert "features/readout" not in file
    assert value.shape == (N, 8) and table.shape[0] == N + 8
    assert sorted(np.flatnonzero(np.isnan(value[:, 0]))) == sorted(PLAIN)
    sign = np.sign((value[known, :F] * axes).sum(0))
    np.testing.assert_allclose(value[known, :F], axes * sign, atol=1e-5)
    assert not value[known, F:].any()
    for i in range(N):
        assert trained[i] == (1 if SPLIT[i] == "train" else 2)
        if trained[i] == 2:
            assert not table[i].any()
        if (last[N:N + F] == step).all() and trained[i] == 2:
            np.testing.assert_allclose(vector[i], value[i] @ table[N:], rtol=1e-4, atol=1e-6)


def ridge(x, y, test):
    """The penalty of the least error of what is left out, one at a time, by fitting as often."""
    best, found = np.inf, None
    scale = ((x - x.mean(0))**2).sum() / 8
    for penalty in [np.inf, *(scale * 10**(-3 + 0.5 * i) for i in range(15))]:
        def predict(a, b, at):
            if np.isinf(penalty):
                return np.repeat(b.mean(0)[None], len(at), 0)
            c = a - a.mean(0)
            return b.mean(0) + (at - a.mean(0)) @ np.linalg.solve(c.T @ c + penalty * np.eye(a.shape[1]), c.T @ (b - b.mean(0)))
        error = 0
        if np.isinf(penalty):
            h = 1 / len(x)
            error = (((y - y.mean(0)) / (1 - h))**2).sum()
        else:
            c, z = x - x.mean(0), y - y.mean(0)
            hat = c @ np.linalg.solve(c.T @ c + penalty * np.eye(x.shape[1]), c.T)
            error = (((z - hat @ z) / (1 - np.diag(hat) - 1 / len(x))[:, None])**2).sum()
        if error < best:
            best, found = error, predict(x, y, test)
    return found


def nearest(x, y, test):
    far = ((x[:, None] - x)**2).sum(2)
    np.fill_diagonal(far, np.inf)
    order = np.argsort(far, axis=1, kind="stable")
    errors = {m: ((y - y[order[:, :m]].mean(1))**2).sum() for m in (1, 2, 3, 5, 8, 12, 20, 30)}
    m = min(errors, key=errors.get)
    order = np.argsort(((test[:, None] - x)**2).sum(2), axis=1, kind="stable")
    return y[order[:, :m]].mean(1)


def check_baselines(known, axes):
    scores = json.load(open("scores.json"))
    place = {i: k for k, i in enumerate(known)}
    training = [i for i in known if SPLIT[i] == "train"]
    test = [i for i in range(N) if SPLIT[i] == "test"]
    x, at = axes[[place[i] for i in training]], axes[[place[i] for i in test]]
    for name, method in ("features", ridge), ("nearest_features", nearest):
        errors = [method(x, profile[training], at) - profile[test] for profile in PROFILE.values()]
        expected = np.sqrt(np.mean(np.square(errors)))
        np.testing.assert_allclose(scores["baselines"][name]["rmse"], expected, rtol=2e-4)
        assert scores["counts"]["fallbacks"][name] == 0
    assert scores["model"]["rmse"] < 0.8 * scores["baselines"]["readout_mean"]["rmse"]


def check_known():
    """Every output says which rows are known by features alone, and how far off those are: the RMSE on validation perturbations."""
    unseen = {f"KO_G{i:02}": "features" if SPLIT[i] != "train" else "data" for i in range(N)}
    blend = json.load(open("one/blend.json"))
    measured = {f"KO_G{i:02}@{c}": PROFILE[c][i] for i in range(N) for c in PROFILE}
    validation = [f"KO_G{i:02}@{c}" for i in range(N) if SPLIT[i] == "val" for c in PROFILE]
    test = [f"KO_G{i:02}@{c}" for i in range(N) if SPLIT[i] == "test" for c in PROFILE]
    for blended, key in ("auto", "feature_rmse"), ("off", "feature_model_rmse"):
        run("-q", "impute", "one", "-o", "known.h5ad", "--blend", blended, "--force", ranks=2)
        imputed = anndata.read_h5ad("known.h5ad")

        def rmse(rows):
            return np.sqrt(np.mean(np.square(imputed[rows].X - np.array([measured[row] for row in rows]))))

        np.testing.assert_allclose(blend[key], rmse(validation), rtol=1e-5)
        assert list(imputed.obs["known_by"]) == [unseen[p] for p in imputed.obs["perturbation"]]
        assert set(imputed.var["known_by"]) == {"data"}
        by_features = (imputed.obs["known_by"] == "features").to_numpy()
        np.testing.assert_array_equal(imputed.obs["deviation"], np.where(by_features, blend[key], np.nan))
        assert 0.6 * blend[key] < rmse(test) < 1.6 * blend[key]
    assert blend["feature_rmse"] < blend["feature_model_rmse"]
    check_predict(unseen, blend["feature_rmse"])
    run("-q", "screen", "one", "--readout", "R1", "-o", "screen.tsv", ranks=2)
    lines = [line.rstrip("\n").split("\t") for line in open("screen.tsv")]
    at = lines[0].index("perturbation"), lines[0].index("known_by")
    assert {line[at[0]]: line[at[1]] for line in lines[1:]} == unseen
    run("-q", "screen", "one", "--readout", "R1", "-o", "screen.h5ad")
    obs = anndata.read_h5ad("screen.h5ad").obs
    assert dict(zip(obs["perturbation"], obs["known_by"])) == unseen
    run("-q", "embed", "one", "-o", "embed.h5ad", "--pca", "3")
    obs = anndata.read_h5ad("embed.h5ad").obs
    assert obs["trained"].dtype == bool and len(obs) == N + R + len(PROFILE)
    for symbol, way, trained in zip(obs["symbol"], obs["known_by"], obs["trained"]):
        assert way == unseen.get(symbol, "data") and trained == (way == "data"), symbol
    arrays = np.load("one.npz")
    names = [name.decode() for name in arrays["perturbation_symbols"]]
    assert dict(zip(names, (way.decode() for way in arrays["perturbation_known_by"]))) == unseen
    np.testing.assert_array_equal(arrays["perturbation_trained"].view(np.uint8), [unseen[name] == "data" for name in names])


def check_predict(unseen, deviation):
    """Lines that name a readout, and whole rows; one that is unknown says nothing."""
    asked = [("A", "KO_G60", "R1"), ("A", "KO_G60", "R3"), ("B", "KO_G01", "R2"), ("A", "KO_XX", "R2"), ("A", "KO_G60", "R2"),
             ("B", "KO_G69", "R7")]
    for n in 3, 2:
        rows = list(dict.fromkeys(line[:n] for line in asked)) if n == 2 else asked
        with open("queries.tsv", "w") as file:
            print(*("context", "perturbation", "readout")[:n], sep="\t", file=file)
            for line in rows:
                print(*line, sep="\t", file=file)
        for ranks in (1, 3):
            run("-q", "predict", "one", "queries.tsv", "-o", "answers.tsv", "--unknown", "nan", "--force", ranks=ranks)
            lines = [line.rstrip("\n").split("\t") for line in open("answers.tsv")]
            assert lines[0][-2:] == ["known_by", "deviation"] and len(lines) == 1 + len(rows)
            for line, (_, symbol, *_) in zip(lines[1:], rows):
                assert len(line) == len(lines[0]) and line[-2] == unseen.get(symbol, "")
                expected = deviation if unseen.get(symbol) == "features" else np.nan
                np.testing.assert_allclose(float(line[-1]), expected, rtol=1e-7)


def check_members():
    """What members know by features alone has the deviation of held-out perturbations, not that of the members."""
    train("several", "train.members=2", "train.epochs=3", ranks=2)
    parts = [json.load(open(f"several/member-{k}/blend.json"))["feature_rmse"] for k in (1, 2)]
    deviation = np.sqrt(np.mean(np.square(parts)))
    run("-q", "impute", "several", "-o", "several.h5ad")
    imputed = anndata.read_h5ad("several.h5ad")
    by_features = (imputed.obs["known_by"] == "features").to_numpy()
    assert by_features.sum() == 40
    np.testing.assert_allclose(imputed.obs["deviation"][by_features], deviation, rtol=1e-12)
    np.testing.assert_allclose(imputed.layers["std_calibrated"][by_features], deviation, rtol=1e-6)
    raw, scale, noise = imputed.layers["std"], imputed.uns["deviation_scale"], imputed.uns["deviation_noise"]
    np.testing.assert_allclose(imputed.layers["std_calibrated"][~by_features],
                               np.sqrt((scale * raw[~by_features])**2 + noise**2), rtol=1e-4)
    open("queries.tsv", "w").write("context\tperturbation\treadout\nA\tKO_G60\tR1\nA\tKO_G01\tR1\n")
    run("-q", "predict", "several", "queries.tsv", "-o", "answers.tsv", "--force")
    lines = [line.split("\t") for line in open("answers.tsv")]
    assert lines[0][3:] == ["prediction", "std", "std_calibrated", "known_by", "deviation\n"]
    np.testing.assert_allclose(float(lines[1][5]), deviation, rtol=1e-6)
    np.testing.assert_allclose(float(lines[2][5]), imputed["KO_G01@A", "R1"].layers["std_calibrated"][0, 0], rtol=1e-6)


def check_blend_counts():
    """What is imputed with one weight of features is not taken for what another one makes; titles and scores name it."""
    blend = json.load(open("one/blend.json"))
    run("-q", "impute", "one", "-o", "weighed.h5ad")
    assert "features (" in run("evaluate", "one", "--resamples", 0), "the title"
    assert json.load(open("scores.json"))["source"]["blend"][0]["feature_weight"] == blend["feature_weight"]
    json.dump({**blend, "feature_weight": blend["feature_weight"] / 2 + 0.01}, open("one/blend.json", "w"))
    said = run("impute", "one", "-o", "weighed.h5ad", code=73)
    assert "weighed.h5ad" in said and "nothing was left to do" not in said, said
    json.dump(blend, open("one/blend.json", "w"))
    assert "nothing was left to do" in run("impute", "one", "-o", "weighed.h5ad")


def check_sweep():
    """Trials with other features are other trials; one whose file has changed since is not done."""
    open("sweep.yaml", "w").write("data.store: store.prc.h5\nrun.directory: swept\nmodel: {embedding_dim: 8, hidden_dim: 16}\n"
                                  "features.axes: 8\ntrain.epochs: 1\nsweep:\n  model.dropout: [0, 0.1]\n")
    shutil.copy("features.tsv", "a.tsv")
    shutil.copy("shifted.tsv", "b.tsv")

    def left(features):
        said = run("sweep", "sweep.yaml", "--set", f"features.perturbations={features}")
        return 0 if "nothing was left to train" in said else 2
    assert [left(name) for name in ("a.tsv", "b.tsv", "a.tsv", "b.tsv")] == [2, 2, 0, 0]
    settings = open("swept/trial-3.yaml").read()
    assert os.path.realpath("b.tsv") in settings, settings
    shutil.copy("shifted.tsv", "a.tsv")
    assert "features.perturbations" in run("sweep", "sweep.yaml", "--set", "features.perturbations=a.tsv", code=78)


def check_nothing():
    """A symbol whose features are all missing has none."""
    text = "".join("G60" + "\tNA" * (F + 1) + "\n" if line.startswith("G60\t") else line for line in open("features.tsv"))
    open("nothing.tsv", "w").write(text)
    train("nothing", "train.epochs=1", features="nothing.tsv")
    with h5py.File(glob.glob("nothing/best-*.h5")[0]) as file:
        assert sorted(np.flatnonzero(np.isnan(file["features/perturbation/value"][:, 0]))) == sorted({*PLAIN, 60})


def place(known):
    """All rows of the file on the axes of those that the store has."""
    def cells(x):
        return x.astype(np.float32).astype(float)
    every = np.concatenate([cells(FEATURE), cells(FURTHER)])
    every[9, 2] = every[N + 2, 1] = np.nan
    mean = np.nanmean(every[known], axis=0)
    every = np.nan_to_num(every - mean)
    every /= np.sqrt((every[known]**2).mean(0))
    _, s, v = np.linalg.svd(every[known], full_matrices=False)
    return every @ v.T * np.sqrt(len(known) / (s**2).sum())


def network(m, p, context):
    """The mlp by hand: all readouts."""
    c = m["context"][[name.decode() for name in m["context_symbols"]].index(context)]
    bend = {"relu": lambda x: np.maximum(x, 0), "silu": lambda x: x / (1 + np.exp(-x))}[m["activation"].item().decode()]
    out = []
    for r in m["readout"]:
        h = bend(m["wp"] @ p + m["b1"] + m["wc"] @ c + m["wr"] @ r)
        for w, b in zip(m["w"], m["b"]):
            h = bend(w @ h + b)
        out.append(m["spread"] * (m["wo"].ravel() @ h + m["bo"].ravel()[0]) + m["center"])
    return np.array(out)


def check_further(known, axes):
    """What the file knows and no experiment has seen, by its name or its target: coordinates, the network, the regression and their
    blend by hand; flagged, with the deviation of held-out ones; the same on any ranks, and of a combination."""
    with h5py.File(glob.glob("one/best-*.h5")[0]) as file:
        names = [name.decode().rstrip("\0") for name in file["further/perturbation/symbol"][:]]
        value, table = file["further/perturbation/value"][:], file["table/perturbation/value"][:]
        store = file["features/perturbation/value"][:]
    rows = sorted(set(range(N)) - PLAIN) + list(range(N, N + 3))
    sign = np.sign((store[known, :F] * axes).sum(0))
    assert names == [f"G{i:02}" for i in rows]
    np.testing.assert_allclose(value[:, :F], place(known)[rows] * sign, atol=1e-5)
    np.testing.assert_allclose(value[:len(known)], store[known], atol=1e-5)
    blend, arrays = json.load(open("one/blend.json")), np.load("one.npz")
    training = [k for k, i in enumerate(known) if SPLIT[i] == "train"]
    asked = ["OE_G70", "G71", "KO_G72"]
    found = {}
    for ranks in (1, 3):
        for word in ("off", "on"):
            run("-q", "impute", "one", "-o", "further.h5ad", "-p", ",".join(asked), "--blend", word, "--precision", "float32", "--force",
                ranks=ranks)
            a = anndata.read_h5ad("further.h5ad")
            found[ranks, word] = np.asarray(a.X)
            key = "feature_rmse" if word == "on" else "feature_model_rmse"
            assert set(a.obs["known_by"]) == {"features"} and (a.obs["deviation"] == blend[key]).all() and len(a) == 2 * len(asked)
            names = list(a.obs["perturbation"]), list(a.obs["context"]), list(a.var_names)
    for row, (symbol, context) in enumerate(zip(*names[:2])):
        x = value[len(known) + int(symbol[-1:])]
        alone = network(arrays, x @ table[N:], context)
        np.testing.assert_allclose(found[1, "off"][row], alone, rtol=1e-4, atol=1e-4)
        regressed = ridge(axes[training], PROFILE[context][np.array(known)[training]], (x[:F] * sign)[None])[0]
        w = blend["feature_weight"]
        np.testing.assert_allclose(found[1, "on"][row], w * alone + (1 - w) * regressed, rtol=1e-3, atol=1e-3)
    for word in ("off", "on"):
        np.testing.assert_array_equal(found[1, word], found[3, word])
    with open("queries.tsv", "w") as file:
        print("context", "perturbation", "readout", sep="\t", file=file)
        for symbol, context in zip(*names[:2]):
            for readout in names[2]:
                print(context, symbol, readout, sep="\t", file=file)
        print("A", "KO_G71+KO_G01", "R1", sep="\t", file=file)
    run("-q", "predict", "one", "queries.tsv", "-o", "answers.tsv", "--blend", "on", "--precision", "float32", "--force", ranks=2)
    lines = [line.rstrip("\n").split("\t") for line in open("answers.tsv")][1:]
    np.testing.assert_allclose([float(line[3]) for line in lines[:-1]], found[1, "on"].ravel(), rtol=1e-6)
    assert {line[4] for line in lines} == {"features"} and lines[-1][5] == "nan"
    run("-q", "screen", "one", "--readout", "R1", "-p", "OE_G70,KO_G01", "-o", "screen.tsv", "--force")
    lines = [line.rstrip("\n").split("\t") for line in open("screen.tsv")]
    assert {line[lines[0].index("perturbation")]: line[lines[0].index("known_by")] for line in lines[1:]} == {"OE_G70": "features", "KO_G01": "data"}
    run("-q", "impute", "several", "-o", "members.h5ad", "-p", "OE_G70", ranks=2)
    assert set(anndata.read_h5ad("members.h5ad").obs["known_by"]) == {"features"}
    assert "features.perturbations" in run("impute", "one", "-o", "none.h5ad", "-p", "KO_G99", code=65)


def check_warm():
    """A training that begins from a model with features has its features, whether their file is there or not: what is new and known by
    them is predicted as the model did; the same bits on any ranks, and gone on with when the model is gone."""
    with open("wider.tsv", "w") as file:
        file.write(open("data.tsv").read())
        for i in (1, 2, N, N + 1):  # in a new context; two of them the model never saw
            print(f"KO_G{i:02}", "C", "train", *rng.normal(size=R), sep="\t", file=file)
        print(f"KO_G{N}", "A", "train", *rng.normal(size=R), sep="\t", file=file)
        print("KO_X1", "A", "train", *rng.normal(size=R), sep="\t", file=file)  # nothing is known of it
    run("-q", "import", "wider.tsv", "-o", "wider.prc.h5", "--split-column", "split")
    asked = [(c, f"KO_G{i:02}", f"R{r}") for c in "AB" for i in (1, 3, 60, N, N + 1, N + 2) for r in range(R)]
    with open("queries.tsv", "w") as file:
        print("context", "perturbation", "readout", sep="\t", file=file)
        for line in asked:
            print(*line, sep="\t", file=file)

    def answers(directory):
        run("-q", "predict", directory, "queries.tsv", "-o", "answers.tsv", "--blend", "off", "--precision", "float32", "--force")
        lines = [line.split("\t") for line in open("answers.tsv")][1:]
        return np.array([float(line[3]) for line in lines]), dict((line[1], line[4]) for line in lines)
    wide, from_one = ("data.store=wider.prc.h5",), ["--init", "base"]
    shutil.copytree("one", "base")
    for ranks in (1, 3):
        train("still", *wide, "train.learning_rate=0", "train.epochs=1", options=[*from_one, "--fresh"], ranks=ranks)
        (before, _), (after, known_by) = answers("one"), answers("still")
        assert np.ptp(before) > 0.5
        np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-5)
        assert known_by[f"KO_G{N}"] == "data" and known_by[f"KO_G{N + 1}"] == "data" and known_by[f"KO_G{N + 2}"] == "features"
    with h5py.File(glob.glob("still/best-*.h5")[0]) as file:
        names = [name.decode() for name in file["perturbation/symbol"][()]]
        value, own = file["features/perturbation/value"][()], file["table/perturbation/value"][()]
        assert not own[names.index(f"KO_G{N}")].any() and own[names.index("KO_X1")].any()
        assert np.isnan(value[names.index("KO_X1")]).all() and not np.isnan(value[names.index(f"KO_G{N}")]).any()
    for ranks in (1, 2, 5):
        train(f"warm{ranks}", *wide, options=from_one, ranks=ranks, features="" if ranks == 1 else "gone.tsv")
        assert digest(f"warm{ranks}") == digest("warm1") and digest("warm1"), ranks
    train("gone_on", *wide, code=75, options=[*from_one, "--time-limit", "0.001"], ranks=2)
    shutil.rmtree("base")
    train("gone_on", *wide, options=from_one, ranks=3)
    assert digest("gone_on") == digest("warm1")
    assert json.load(open("gone_on/blend.json"))["feature_weight"] == json.load(open("warm1/blend.json"))["feature_weight"]
    assert "features.axes: 8 (now 4)" in train("no", *wide, "features.axes=4", code=78, options=["--init", "one"], features="")
    train("plain", "train.epochs=1", features="")
    said = train("no", *wide, code=78, options=["--init", "plain"], features="shifted.tsv", ranks=2)
    assert "plain/best" in said and "was trained without features.perturbations" in said, said


def check_verify():
    """A number that is none is found inside of a checkpoint whose sidecar says nothing."""
    for place in ("features/perturbation/value", "further/perturbation/value"):
        shutil.copy(glob.glob("one/best-*.h5")[0], "bad.h5")
        with h5py.File("bad.h5", "r+") as file:
            file[place][7, 1] = np.inf
        said = run("verify", "bad.h5", code=65)
        assert place in said and "bad.h5" in said, said


def refuse(text, words):
    open("bad.tsv", "w").write(text)
    for ranks in (1, 2):
        said = train("no", features="bad.tsv", code=65, ranks=ranks)
        assert "bad.tsv" in said and words in said, said


def main():
    write_data()
    run("-q", "import", "data.tsv", "-o", "store.prc.h5", "--split-column", "split")
    for ranks, directory in (1, "one"), (2, "two"), (3, "three"), (5, "five"):
        train(directory, ranks=ranks)
        assert digest(directory) == digest("one") and digest("one"), ranks
        assert open(f"{directory}/blend.json").read() == open("one/blend.json").read(), ranks
    assert 0 <= json.load(open("one/blend.json"))["feature_weight"] < 1
    train("stopped", code=75, options=["--time-limit", "0.001"], ranks=2)
    train("stopped", ranks=3)
    assert digest("stopped") == digest("one")
    train("same", features="features.h5ad")
    check_members()
    train("other", code=75, options=["--time-limit", "0.001"])
    open("shifted.tsv", "w").write(open("features.tsv").read().replace("G10\t", "X10\t", 1))
    assert "features.perturbations" in train("other", features="shifted.tsv", code=78)
    check_sweep()
    check_nothing()
    os.remove("features.tsv")  # a run stands alone
    known, axes = axes_of()
    check_checkpoint(known, axes)
    run("-q", "evaluate", "one", "--json", "scores.json")
    run("-q", "evaluate", "one", "--json", "again.json", ranks=3)
    assert json.load(open("scores.json"))["baselines"] == json.load(open("again.json"))["baselines"]
    check_baselines(known, axes)
    check_known()
    check_further(known, axes)
    check_verify()
    check_blend_counts()
    run("-q", "verify", glob.glob("one/best-*.h5")[0])
    check_warm()
    refuse("gene\tf\nX1\t1\nX2\t2\n", "knows 0 of 70")
    refuse("gene\tf\nG01\t1\nG02\t2\nG01\t3\n", "'G01' is there twice")
    refuse("gene\tf\nG01\tred\nG02\tblue\n", "red")
    refuse("gene\tf\nG01\t1\nG02\t1\n", "no feature differs")


main()
