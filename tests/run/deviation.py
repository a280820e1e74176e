#!/usr/bin/python3
"""What evaluate and impute make of the members of a run, and how their deviation is calibrated, against NumPy and SciPy.

usage: deviation.py TESSERA SOURCE_FOLDER"""
import json
import os
import tempfile

import machine
from checks import check, finish, run

with machine.needed():
    import anndata
    import h5py
    import numpy as np
    from scipy import optimize, stats
import training

folder = tempfile.TemporaryDirectory()
os.chdir(folder.name)
Z = stats.norm.ppf([0.84, 0.975])


def ok(*line, ranks=1):
    done = run(*line, ranks=ranks)
    check(done.returncode == 0, f"{line} on {ranks} ranks: {done.returncode} {done.stderr}")
    return done.stdout + done.stderr


def train(directory, *settings, ranks=1):
    return ok("train", "c.yaml", *(w for s in (f"run.directory={directory}", *settings) for w in ("--set", s)), ranks=ranks)


def text(path):
    with open(path) as file:
        return file.read()


def imputed(path):
    a = anndata.read_h5ad(path)
    layers = {k: np.asarray(v, dtype=float) for k, v in a.layers.items()}
    return a, np.asarray(a.X, dtype=float), layers


def held_out(path, split):
    """{(perturbation, context): values} of experiments of one panel without replicates or missing values."""
    with h5py.File(path) as f:
        names = {k: [s.decode() for s in f[f"{k}/symbol"][()]] for k in ("perturbation", "readout", "context")}
        first, member = f["combination/first"][()], f["combination/member"][()]
        sets = ["+".join(names["perturbation"][m] for m in member[a:b]) for a, b in zip(first, first[1:])]
        value = f["value"][()].astype(float).reshape(len(f["experiment/split"]), -1)
        keys = zip(f["experiment/combination"][()], f["experiment/context"][()], f["experiment/split"][()], value)
        return {(sets[p], names["context"][c]): v for p, c, s, v in keys if s == split and sets[p] != "control"}, names["readout"]


def pairs(path, split):
    """Errors and deviations of what is held out."""
    a, mean, layers = imputed(path)
    at = {key: i for i, key in enumerate(zip(a.obs["perturbation"].astype(str), a.obs["context"].astype(str)))}
    truth, readouts = held_out("s.prc.h5", split)
    check(list(a.var_names) == readouts, "readouts in order")
    rows = [at[k] for k in truth if k in at]
    return (np.array([v for k, v in truth.items() if k in at]) - mean[rows]).ravel(), layers["std"][rows].ravel()


def likelihood(s, n, error, deviation):
    v = s ** 2 * deviation ** 2 + n ** 2
    return np.mean(np.log(v) + error ** 2 / v)


def within(error, deviation):
    return [float(np.mean(np.abs(error) <= z * deviation)) for z in Z]


training.write_config("c.yaml", {"data.store": "s.prc.h5", "model.embedding_dim": 8, "model.hidden_dim": 16, "model.dropout": 0.2,
                                 "train.lanes": 6, "train.epochs": 3, "run.seed": 7})
ok("-q", "simulate", "-o", "s.prc.h5", "--perturbations", "40", "--readouts", "20", "--contexts", "4")
ok("-q", "split", "s.prc.h5", "--random", "--keep", "2")
MIXED = ("train.members=4", "train.member_kinds=mlp,dot")
train("whole", *MIXED)
train("one")

# The run, its members by name in any number of ranks, and NumPy's mean and deviation of their predictions.
ONE_BY_ONE = [f"whole/member-{k}" for k in range(1, 5)]
ok("-q", "impute", "whole", "-o", "auto.h5ad")
for name, line, ranks in (("members", ONE_BY_ONE, 1), ("ranks", ["whole"], 3), ("off", ["whole", "--blend", "off"], 1)):
    ok("-q", "impute", *line, "-o", f"{name}.h5ad", ranks=ranks)
whole, mean, layers = imputed("auto.h5ad")
check(set(layers) == {"std", "std_calibrated"}, f"layers: {set(layers)}")
for name in ("members", "ranks"):
    other, other_mean, other_layers = imputed(f"{name}.h5ad")
    check((other_mean == mean).all() and all((other_layers[k] == layers[k]).all() for k in layers), f"{name}: the same bits")
    check(other.uns["model_hash"] == whole.uns["model_hash"], f"{name}: the same model")
each = []
for k in range(1, 5):
    ok("-q", "impute", f"whole/member-{k}", "-o", f"{k}.h5ad")
    a, x, own = imputed(f"{k}.h5ad")
    check(not own, f"a single member has no layers: {set(own)}")
    each.append(x)
check(np.abs(np.mean(each, axis=0) - mean).max() < 1e-5, "the mean of the members")
check(np.abs(np.std(each, axis=0, ddof=1) - layers["std"]).max() < 1e-5, "their deviation, ddof 1")

# The calibration: the largest likelihood on validation, and what it does to the intervals of the test.
file = json.loads(text("whole/deviation.json"))
for i, name in enumerate(("auto", "off")):
    fit = file["fits"][i] if len(file["fits"]) > 1 else file["fits"][0]
    error, deviation = pairs(f"{name}.h5ad", 1)
    check(file["values"] == len(error) and file["members"] == 4, f"values: {file}")
    best = min((optimize.minimize(lambda p: likelihood(*np.exp(p), error, deviation), np.log(start), method="Nelder-Mead",
                                  options={"xatol": 1e-6, "fatol": 1e-12, "maxiter": 4000})
                for start in ((1, error.std()), (3, error.std() / 9), (1e-3, error.std()))), key=lambda r: r.fun)
    mine = likelihood(fit["scale"], fit["noise"], error, deviation)
    check(mine < best.fun + 1e-6, f"{name}: likelihood {mine}, SciPy's {best.fun} at {np.exp(best.x)}: {fit}")
    check(abs(stats.spearmanr(np.abs(error), deviation)[0] - fit["rank_correlation"]) < 1e-3, f"{name}: rank correlation")
    check(np.allclose(within(error, deviation), [fit["within_68"], fit["within_95"]], atol=2e-3), f"{name}: coverage")
    total = np.sqrt((fit["scale"] * deviation) ** 2 + fit["noise"] ** 2)
    check(np.allclose(within(error, total), [fit["calibrated_within_68"], fit["calibrated_within_95"]], atol=2e-3), f"{name}")
    a, _, of = imputed(f"{name}.h5ad")
    check(a.uns["deviation_scale"] == fit["scale"] and a.uns["deviation_noise"] == fit["noise"], f"{name}: notes")
    want = np.sqrt((fit["scale"] * of["std"]) ** 2 + fit["noise"] ** 2)
    check(np.allclose(of["std_calibrated"], want, rtol=1e-6), f"{name}: layers/std_calibrated")
    check(fit["within_95"] < 0.9 < fit["calibrated_within_95"] < 0.99, f"{name}: calibrating helps: {fit}")
    line = ["evaluate", "whole", "--resamples", "10", "--blend", "auto" if name == "auto" else "off"]
    ok("-q", *line, "--json", f"{name}.json")
    scores = json.loads(text(f"{name}.json"))["deviation"]
    error, deviation = pairs(f"{name}.h5ad", 2)
    total = np.sqrt((fit["scale"] * deviation) ** 2 + fit["noise"] ** 2)
    check(scores["values"] == len(error), f"{name}: {scores}")
    check(abs(stats.spearmanr(np.abs(error), deviation)[0] - scores["rank_correlation"]) < 1e-3, f"{name}: on test: {scores}")
    for got, d in ((scores["coverage"], deviation), (scores["calibrated"]["coverage"], total)):
        check(np.allclose([got["68"], got["95"]], within(error, d), atol=2e-3), f"{name}: coverage on test {got}, {within(error, d)}")
    check(scores["calibrated"]["scale"] == fit["scale"], f"{name}: {scores}")
for line, ranks in ((ONE_BY_ONE, 1), (["whole"], 2), (["whole"], 3), (["whole"], 5)):
    ok("-q", "evaluate", *line, "--resamples", "10", "--json", "again.json", ranks=ranks)
    check(text("again.json") == text("auto.json"), f"evaluate {line} on {ranks} ranks: the same")
check("deviation of the members" in ok("evaluate", "whole", "--resamples", "10"), "in the table")

# What has none says why: a single model, other runs, some of the members, a damaged or a stale file.
def reason(*line):
    ok("-q", "evaluate", *line, "--resamples", "10", "--json", "why.json")
    said = json.loads(text("why.json"))
    return said["reasons"]["deviation"] if said["deviation"] is None else said["deviation"]["reasons"]["calibrated"]


check("several models" in reason("one"), "a single model")
check("no deviation.json" in reason("one", "one"), "runs by themselves")
check("other members" in reason(*ONE_BY_ONE[:2]), "some of the members")
ok("-q", "impute", *ONE_BY_ONE[:2], "-o", "some.h5ad")
check(set(imputed("some.h5ad")[2]) == {"std"}, "no calibrated layer without a calibration")
good = text("whole/deviation.json")
for bad, part in ((good[:-9], "is no JSON"), (good.replace('"scale"', '"scales"'), "lacks a number"),
                  (good.replace(' 1"', ' 2"'), "another version")):
    with open("whole/deviation.json", "w") as out:
        out.write(bad)
    check("damaged" in reason("whole"), f"a damaged file: {part}")
    done = run("verify", "whole")
    check(done.returncode == 65 and part in done.stdout, f"verify: {done.stdout}")
train("whole", *MIXED)
check(text("whole/deviation.json") == good, "made anew by train")
finish()
