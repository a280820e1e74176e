#!/usr/bin/python3
"""evaluate --transfer: each context's model alone is, to the bit, what `train` makes of a store that has no use for the other
contexts; scores and intervals beside NumPy; the same bytes on any ranks and groups; stopped and gone on with; what is refused.

usage: transfer.py TESSERA SOURCE_FOLDER"""
import csv
import glob
import hashlib
import json
import os
import shutil
import sys
import tempfile

import machine
from checks import check, fine, finish, run

with machine.needed():
    import numpy as np

tessera, source = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
folder = tempfile.TemporaryDirectory()
os.chdir(folder.name)
A, B = [f"a{i}" for i in range(7)], [f"b{i}" for i in range(6)]
CONTEXTS, R = ["one", "two/2", "rest", "dark"], 9
rng = np.random.default_rng(5)


def data():
    """Pairs a+b, so that a context by itself knows the parts of what is held out; new: one that only `one` has, in the test. dark
    has no training experiment."""
    effect = {c: {s: rng.normal(size=R) + 0.4 * rng.normal(size=R) for s in A + B} for c in CONTEXTS}
    with open("data.tsv", "w") as file:
        print("perturbation", "context", "split", *(f"R{k}" for k in range(R)), sep="\t", file=file)
        for c in CONTEXTS:
            for i, (a, b) in enumerate((a, b) for a in A for b in B):
                split = "test" if c == "dark" or i % 4 == 1 else "val" if i % 7 == 2 else "train"
                if c == "dark" and i > 8:
                    continue
                print(f"{a}+{b}", c, split, *(effect[c][a] + effect[c][b] + 0.1 * rng.normal(size=R)), sep="\t", file=file)
            print("new", c, "test" if c == "one" else "train", *rng.normal(size=R), sep="\t", file=file) if c != "dark" else 0
            print("control", c, "train", *(0.1 * rng.normal(size=R)), sep="\t", file=file)
    fine("-q", "import", "data.tsv", "-o", "s.prc.h5", "--split-column", "split")


def train(directory, store="s.prc.h5", *more):
    sets = [x for s in (f"data.store={store}", f"run.directory={directory}", "model.kind=dot", "train.epochs=4", "train.batch=64",
                        "train.lanes=4", "model.embedding_dim=6", "model.hidden_dim=8", *more) for x in ("--set", s)]
    fine("-q", "train", f"{source}/config/quickstart.yaml", *sets)


def lines(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def best(directory):
    return [hashlib.sha256(open(p, "rb").read()).hexdigest() for p in sorted(glob.glob(f"{directory}/best-*.h5"))]


def by_hand(number, context):
    """The run's own settings on a store of the same symbols that uses nothing else. (Control stays in training whatever a split says:
    that of other contexts is left out.)"""
    rows = lines("data.tsv")
    with open("alone.tsv", "w") as file:
        print(*rows[0], sep="\t", file=file)
        for row in rows:
            mine = row["context"] == context
            if mine or row["perturbation"] != "control":
                print(*{**row, "split": row["split"] if mine else "unused"}.values(), sep="\t", file=file)
    fine("-q", "import", "alone.tsv", "-o", f"{number}.prc.h5", "--split-column", "split")
    fine("-q", "train", "run/used.yaml", "--set", f"data.store={number}.prc.h5", "--set", f"run.directory=hand-{number}")
    return f"hand-{number}"


def parameters(directory):
    """Of the best model, as bytes."""
    fine("-q", "export", directory, "-o", "parameters.npz", "--force")
    with np.load("parameters.npz") as file:
        return {name: file[name].tobytes() for name in file.files if file[name].dtype == np.float32}


def predict(directory, queries):
    with open("asked.tsv", "w") as file:
        print("context", "perturbation", "readout", sep="\t", file=file)
        for q in queries:
            print(*q, sep="\t", file=file)
    fine("-q", "predict", directory, "asked.tsv", "-o", "answers.tsv", "--blend", "off", "--unknown", "nan", "--force")
    return np.array([float(row["prediction"]) for row in lines("answers.tsv")]).reshape(-1, R)


def judge(context, directory, found):
    """Scores of both by NumPy, and the interval of their difference by resamples of its own."""
    rows = [row for row in lines("data.tsv") if row["context"] == context]
    values = {s: {row["perturbation"]: np.array([np.float32(row[f"R{k}"]) for k in range(R)], float) for row in rows if row["split"] == s
                  and row["perturbation"] != "control"} for s in ("train", "test")}
    test = sorted(values["test"])
    queries = [(context, p, f"R{k}") for p in test for k in range(R)]
    y, mean = np.array([values["test"][p] for p in test]), np.mean(list(values["train"].values()), axis=0)
    both, alone = predict("run", queries), predict(directory, queries)
    unseen = np.isnan(alone).all(axis=1)
    alone[unseen] = mean
    check(found["by_context_mean"] == unseen.sum() == (context == "one"), f"{context}: {found['by_context_mean']} by the mean")
    error = [((x - y) ** 2).sum(axis=1) for x in (both, alone)]
    rmse = [np.sqrt(e.sum() / y.size) for e in error]
    for name, got, e, x in (("all", found["all"], rmse[0], both), ("alone", found["alone"], rmse[1], alone)):
        r = np.corrcoef(x.ravel(), y.ravel())[0, 1]
        check(abs(got["rmse"] - e) < 1e-9 and abs(got["pearson"] - r) < 1e-9, f"{context} {name}: {got['rmse']} {e}, {got['pearson']} {r}")
    times = rng.multinomial(len(test), np.full(len(test), 1 / len(test)), 4000)
    drawn = np.sqrt(times @ error[0] / len(test) / R) - np.sqrt(times @ error[1] / len(test) / R)
    low, high = np.quantile(drawn, [0.025, 0.975])
    mine = found["differences"]["rmse"]
    check(abs(mine["difference"] - (rmse[0] - rmse[1])) < 1e-9, f"{context}: difference {mine}")
    check(np.allclose(mine["interval"], (low, high), atol=0.12 * (high - low)), f"{context}: {mine['interval']} beside {low} {high}")
    wanted = "helped" if mine["interval"][1] < 0 else "hurt" if mine["interval"][0] > 0 else "no difference"
    check(found["verdict"] == wanted, f"{context}: {found['verdict']}")


data()
train("run")
NAMES = {context: f"{sorted(CONTEXTS).index(context) + 1}-{context.replace('/', '_')}" for context in CONTEXTS}
results = {}
for ranks, groups in ((1, 1), (2, 2), (3, 1)):
    shutil.rmtree("run/transfer", ignore_errors=True)
    done = fine("evaluate", "run", "--transfer", "--groups", groups, "--json", f"{ranks}.json", ranks=ranks)
    check("3 of them are still to be trained on alone" in done.stderr, f"{ranks} ranks: nothing was said beforehand: {done.stderr[:400]}")
    results[ranks] = (open(f"{ranks}.json").read(), open("run/transfer/transfer.tsv").read(), done.stdout,
                      [best(f"run/transfer/{name}") for name in sorted(NAMES.values())])
check(results[1] == results[2] == results[3], "other bytes on other ranks")
check("no training experiment" in results[1][2] and "knows no perturbation" in results[1][2], results[1][2])
scores = json.loads(results[1][0])["transfer"]
check(scores["dark"]["alone"] is None and "no training" in scores["dark"]["reasons"]["alone"], f"{scores['dark']}")
for context in ("one", "two/2"):
    directory = by_hand(NAMES[context], context)
    check(parameters(directory) == parameters(f"run/transfer/{NAMES[context]}") != {}, f"{context}: other bits than by hand")
    judge(context, directory, scores[context])
table = {(row["context"], row["metric"]): row for row in lines("run/transfer/transfer.tsv")}
for context in ("one", "two/2", "rest"):
    check(float(table[context, "rmse"]["alone"]) == scores[context]["alone"]["rmse"], "the table is another one")
fine("report", "run", "--json", "report.json", "--resamples", "10")
shown = {row[0]: row for row in json.loads(open("report.json").read())["transfer"]["rows"]}
for context, row in shown.items():
    listed = table[context, "rmse"]
    for value, name in zip(row, ("context", "train_experiments", "test_experiments", "by_context_mean", "all", "alone", "difference", "difference_low",
                                 "difference_high", "verdict"), strict=True):
        check(listed[name] == ("" if value is None else value) if not isinstance(value, (int, float)) else abs(float(listed[name]) - value) <= 1e-6 * abs(value),
              f"the report's {name} of {context}: {value} {listed[name]}")
check(set(shown) == {context for context, _ in table}, f"the report's contexts: {set(shown)}")

# What is done is used again; what is not, gone on with; some contexts alone.
before = {p: os.stat(p).st_mtime_ns for p in glob.glob("run/transfer/*/best-*.h5")}
shutil.rmtree(f"run/transfer/{NAMES['rest']}")
done = fine("evaluate", "run", "--transfer", "--json", "again.json")
check("1 of them are still to be trained" in done.stderr and open("again.json").read() == results[1][0], "again: other scores")
check(all(os.stat(p).st_mtime_ns == t for p, t in before.items() if NAMES["rest"] not in p), "trained again what was done")
shutil.rmtree("run/transfer")
done = run("evaluate", "run", "--transfer", "--contexts", "one,rest", "--time-limit", "1e-6", ranks=2)
check(done.returncode == 75 and not glob.glob("run/transfer/*.json"), f"a time limit: {done.returncode} {done.stderr[-300:]}")
fine("evaluate", "run", "--transfer", "--contexts", "one,rest", "--json", "some.json")
some = json.loads(open("some.json").read())["transfer"]
check(some == {c: scores[c] for c in ("one", "rest")}, "after a stop, of some contexts: other scores")
fine("-q", "verify", "run")
done = fine("evaluate", "run", "--transfer", "--dry-run")
check("1 of them are still to be trained" in done.stderr and not os.path.exists(f"run/transfer/{NAMES['two/2']}"), "a dry run trained")

train("warm", "s.prc.h5", "train.init=run")
for code, part, line in ((2, "--contexts needs --transfer", ("run", "--contexts", "one")),
                         (2, "needs a run", ("s.prc.h5", "--transfer")),
                         (2, "of one run", ("run", "run", "--transfer")),
                         (2, "there is only 1 rank", ("run", "--transfer", "--groups", 2)),
                         (65, "used.yaml", (glob.glob("run/best-*.h5")[0], "--transfer")),
                         (65, "train.init", ("warm", "--transfer")),
                         (65, "nowhere", ("run", "--transfer", "--contexts", "nowhere"))):
    done = run("evaluate", *line)
    check(done.returncode == code and part in done.stderr and done.stderr.count("error: ") == 1, f"{line}: {done.returncode} {done.stderr}")
finish()
