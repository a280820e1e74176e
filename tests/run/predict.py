#!/usr/bin/python3
"""predict: every query's value is impute's to the bit, whatever the order, the ranks and the form of the table; refusals;
files that appear whole or not at all."""
import csv
import glob
import gzip
import os
import random
import sys
import tempfile

import checks
import machine

with machine.needed():
    import anndata
    import numpy as np

source = os.path.abspath(sys.argv[2])
folder = tempfile.TemporaryDirectory()
os.chdir(folder.name)
random.seed(5)


def run(*arguments, ranks=1, code=0, stdin=None):
    done = checks.run(*arguments, ranks=ranks, input=stdin)
    assert done.returncode == code, (arguments, ranks, done.returncode, done.stdout, done.stderr)
    return done.stdout if stdin is not None else done.stderr


def train(store, directory, *settings):
    keys = [x for setting in settings for x in ("--set", setting)]
    run("-q", "train", f"{source}/config/quickstart.yaml", "--set", f"data.store={store}", "--set",
        f"run.directory={directory}", "--set", "train.epochs=2", *keys)


def write(path, lines, separator="\t"):
    with (gzip.open if path.endswith(".gz") else open)(path, "wt", newline="") as file:
        csv.writer(file, delimiter=separator, lineterminator="\n").writerows(lines)


def read(path, separator="\t"):
    """Column names, and lines as dictionaries."""
    with open(path, newline="") as file:
        rows = csv.reader(file, delimiter=separator)
        names = next(rows)
        return names, [dict(zip(names, row, strict=True)) for row in rows]


class Truth:
    """What impute says of all perturbations, combinations, contexts and readouts."""

    def __init__(self, runs, *options):
        run("-q", "impute", *runs, *options, "-o", "truth.h5ad", "--force", "-p", "*,@combinations")
        data = anndata.read_h5ad("truth.h5ad")
        self.value, self.std, self.calibrated = data.X, data.layers.get("std"), data.layers.get("std_calibrated")
        self.row = {(c, p): i for i, (c, p) in enumerate(zip(data.obs["context"], data.obs["perturbation"]))}
        self.column = {r: k for k, r in enumerate(data.var_names)}

    def queries(self):
        return [(c, p, r) for c, p in self.row for r in self.column]

    def check(self, lines):
        """The text of a value reads back as the same float."""
        at = [self.row[q["context"], q["perturbation"]] for q in lines], [self.column[q["readout"]] for q in lines]
        np.testing.assert_array_equal(np.float32([q["prediction"] for q in lines]), self.value[at])
        if self.std is not None:
            np.testing.assert_array_equal(np.float32([q["std"] for q in lines]), self.std[at])
        assert ("std_calibrated" in lines[0]) == (self.calibrated is not None), lines[0]
        if self.calibrated is not None:
            np.testing.assert_array_equal(np.float32([q["std_calibrated"] for q in lines]), self.calibrated[at])

    def behind(self):
        """What follows the names of readouts in the columns of whole rows, and the values."""
        return [(end, x) for end, x in (("", self.value), (".std", self.std), (".std_calibrated", self.calibrated)) if x is not None]


def orders(truth, all_ranks):
    """All queries in different orders, and some of them, each with the numbers of ranks."""
    queries = truth.queries()
    if all_ranks:
        yield "sorted", queries, (1,)
        yield "by readout", sorted(queries, key=lambda q: (q[2], q[1], q[0])), (1,)
    random.shuffle(queries)
    yield "some, repeated", queries[:50] + queries[10:20] + queries[7:8], (1,)
    yield "random", queries, (1, 2, 3, 5) if all_ranks else (random.choice((1, 2)),)


def same_as_impute(runs, *options, all_ranks=False):
    truth = Truth(runs, *options)
    for name, queries, some_ranks in orders(truth, all_ranks):
        write("queries.tsv", [("note", "readout", "perturbation", "context"),
                              *((f"n{i}", r, p, c) for i, (c, p, r) in enumerate(queries))])
        for ranks in some_ranks:
            run("-q", "predict", *runs, "queries.tsv", *options, "-o", f"out{ranks}.tsv", "--force", "-t", ranks % 2 + 1, ranks=ranks)
            names, lines = read(f"out{ranks}.tsv")
            assert names[:5] == ["note", "readout", "perturbation", "context", "prediction"], (name, names)
            assert [(q["context"], q["perturbation"], q["readout"]) for q in lines] == queries and lines[-1]["note"] == f"n{len(lines) - 1}"
            truth.check(lines)
    return truth


def whole_rows(runs, truth):
    """Lines without a readout: a column each, of those asked for."""
    rows = list(truth.row)
    random.shuffle(rows)
    write("rows.csv.gz", [("perturbation", "context"), *((p, c) for c, p in rows)], ",")
    for ranks, options, readouts in ((1, [], list(truth.column)), (2, ["-r", "R3*,R11"], None)):
        readouts = readouts or [r for r in truth.column if r[:2] == "R3" or r == "R11"]
        run("-q", "predict", *runs, "rows.csv.gz", "-o", "rows.csv", "--force", *options, ranks=ranks)
        names, lines = read("rows.csv", ",")
        assert names == ["perturbation", "context", *(r + end for end, _ in truth.behind() for r in readouts)], names
        assert [(q["context"], q["perturbation"]) for q in lines] == rows
        for q in lines:
            at = truth.row[q["context"], q["perturbation"]]
            for end, x in truth.behind():
                np.testing.assert_array_equal(np.float32([q[r + end] for r in readouts]), x[at, [truth.column[r] for r in readouts]])


def forms():
    """No line of names; quotes; other separators; comments; a pipe; another order of a combination's components."""
    for text, separator in (("C1\tP01\tR03\nC2\tP05\tR03\n", "\t"), ("context;perturbation;readout\nC1;P01;R03\n\nC2;P05;R03", ";"),
                            ('# said before\nreadout,"perturbation",context\nR03,"P01",C1\nR03,P05,C2\n', ","),
                            ("\ufeffcontext\tperturbation\treadout\r\nC1\tP01\tR03\r\nC2\tP05\tR03\r\n", "\t")):
        names, *lines = list(csv.reader(run("-q", "predict", "run", "-", "-o", "-", stdin=text).splitlines(), delimiter=separator))
        lines = [dict(zip(names, line, strict=True)) for line in lines]
        assert [(q["context"], q["perturbation"], q["readout"]) for q in lines] == [("C1", "P01", "R03"), ("C2", "P05", "R03")], text
        assert names[-1] == "prediction"
        Truth_of_run.check(lines)
    combination = next(p for _, p in Truth_of_run.row if "+" in p)
    turned = "+".join(reversed(combination.split("+")))
    write("turned.tsv", [("context", "perturbation", "readout", "a,b"), *(("C1", p, "R01", 'says "so, then"') for p in (combination, turned))])
    run("-q", "predict", "run", "turned.tsv", "-o", "turned.csv")
    names, lines = read("turned.csv", ",")
    assert names == ["context", "perturbation", "readout", "a,b", "prediction"] and lines[1]["a,b"] == 'says "so, then"'
    assert lines[0]["prediction"] == lines[1]["prediction"]
    piped = run("-q", "predict", "run", "-", "-o", "-", stdin=open("queries.tsv").read())
    run("-q", "predict", "run", "queries.tsv", "-o", "filed.tsv")
    assert piped == open("filed.tsv").read()


def unknown():
    lines = [("context", "perturbation", "readout"), ("C1", "P01", "R01"), ("C1", "P1", "R01"), ("C1", "P01", "R99"), ("C9", "P01", "R01"),
             ("C1", "P01+Q", "R01"), ("C1", "P01", "R01")]
    for wrong, line, word in ((2, 3, "P11"), (3, 3, "R09"), (4, 3, "C1"), (5, 3, "Q")):
        write("unknown.tsv", [lines[0], lines[1], lines[wrong]])
        for ranks in (1, 2) if wrong == 2 else (1,):
            message = run("-q", "predict", "run", "unknown.tsv", "-o", "unknown.out.tsv", code=65, ranks=ranks)
            assert f"unknown.tsv: line {line}:" in message and word in message and message.count("error") == 1, message
    assert not glob.glob("unknown.out*")
    write("unknown.tsv", lines)
    for ranks in 1, 3:
        run("-q", "predict", "run", "unknown.tsv", "-o", "unknown.out.tsv", "--unknown", "nan", "--force", ranks=ranks)
        values = [q["prediction"] for q in read("unknown.out.tsv")[1]]
        assert values[1:5] == ["nan"] * 4 and values[0] == values[5] != "nan", values
    write("unknown.tsv", [line[:2] for line in lines])
    run("-q", "predict", "run", "unknown.tsv", "-o", "unknown.out.tsv", "--unknown", "nan", "--force")
    assert [q["R05"] == "nan" for q in read("unknown.out.tsv")[1]] == [False, True, False, True, True, False]


def refusals():
    before = sorted(os.listdir("."))
    good = "context\tperturbation\treadout\nC1\tP01\tR03\n"
    with open("kept.tsv", "w") as file:
        file.write("kept")
    for text, options, code, words in (
            ("", [], 65, ["empty"]), ("a\tb\nC1\tP01\n", [], 65, ["line 1", "header"]), ("C1\tP01\tR03\tX\n", [], 65, ["line 1"]),
            (good + "C1\tP01\n", [], 65, ["line 3", "3 fields"]), (good, ["-r", "R01"], 2, ["--readouts"]), ("C1\n", [], 65, ["line 1"]),
            (good, ["--unknown", "0"], 2, ["--unknown"]), (good, ["-o", "x.h5ad"], 2, [".tsv"]), (good, ["-o", "no/x.tsv"], 73, ["no/x.tsv"]),
            (good, ["-o", "kept.tsv"], 73, ["kept.tsv", "--force"]), ("C1\tP01\n", ["-r", "nothing*"], 65, ["nothing*"])):
        with open("wrong.tsv", "w") as file:
            file.write(text)
        options = options if "-o" in options else [*options, "-o", "x.tsv"]
        message = run("-q", "predict", "run", "wrong.tsv", *options, code=code)
        assert all(word in message for word in words), (text, message)
    assert "input" in run("-q", "predict", "run", "wrong.tsv", "--force", "-o", "wrong.tsv", code=73)
    assert "missing.tsv" in run("-q", "predict", "run", "missing.tsv", "-o", "x.tsv", code=65, ranks=2)
    assert open("kept.tsv").read() == "kept" and sorted(os.listdir(".")) == sorted([*before, "kept.tsv", "wrong.tsv"])


run("-q", "simulate", "-o", "s.prc.h5", "--perturbations", 40, "--readouts", 70, "--contexts", 3, "--combinations", 7,
    "--order", 3, "--sparsity", .2, "--replicates", 2)
run("-q", "simulate", "-o", "wide.prc.h5", "--perturbations", 20, "--readouts", 300, "--contexts", 3, "--combinations", 7)
run("-q", "simulate", "-o", "one.prc.h5", "--perturbations", 30, "--readouts", 1, "--contexts", 9)
train("s.prc.h5", "run")
train("s.prc.h5", "seed2", "run.seed=2", "data.normalize=zscore")
train("one.prc.h5", "one", "model.kind=dot")
for kind in "mlp", "dot", "cp":
    train("wide.prc.h5", kind, f"model.kind={kind}", "train.learning_rate=0.01")
Truth_of_run = same_as_impute(["run"], all_ranks=True)  # which is blended
forms()
whole_rows(["run"], Truth_of_run)
whole_rows(["run", "seed2"], same_as_impute(["run", "seed2"], "--blend", "on"))
same_as_impute(["seed2"], "--blend", "off")
train("s.prc.h5", "members", "train.members=3")
for options in [], ["--blend", "off"]:
    truth = same_as_impute(["members"], *options, all_ranks=not options)
    assert truth.std is not None and truth.calibrated is not None
    if not options:
        whole_rows(["members"], truth)
for kind in "dot", "cp", "one":
    same_as_impute([kind], "--blend", "off")
same_as_impute(["dot"], "--blend", "off", "--precision", "float32")
same_as_impute(["mlp", "dot", "cp"])
unknown()
refusals()
print("ok")
