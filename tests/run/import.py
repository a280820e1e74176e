#!/usr/bin/python3
"""import.py -- stores made by the program, judged by anndata, pandas and h5py.

usage: import.py TESSERA SOURCE_FOLDER"""
import gzip
import itertools
import os
import pathlib
import shutil
import subprocess
import tempfile
import warnings

import machine

with machine.needed():
    import anndata
    import h5py
    import numpy as np
    import pandas as pd
    import scipy.sparse
from checks import check, finish, real_data, run
warnings.filterwarnings("ignore")

data = real_data()
place = pathlib.Path(tempfile.mkdtemp(prefix="tess_import_"))


def text(dataset):
    return [s.decode() for s in dataset[:]]


class Store:
    """A store as h5py reads it: {(perturbation, context, split): [(readouts, values, replicates, folds)]}."""

    def __init__(self, path):
        with h5py.File(path, "r") as f:
            symbol, readout, context = (np.array(text(f[k + "/symbol"]), dtype=object)
                                        for k in ("perturbation", "readout", "context"))
            first, member = f["combination/first"][:], f["combination/member"][:]
            self.combination = ["+".join(symbol[member[a:b]]) for a, b in zip(first, first[1:])]
            panel = np.split(f["panel/readout"][:], f["panel/first"][1:-1])
            of, combination, context_of, split, n_observed, n_replicates = (
                f["experiment/" + k][:] for k in ("panel", "combination", "context", "split", "n_observed", "n_replicates"))
            length = np.array([len(p) for p in panel])[of] if len(of) else np.zeros(0, int)
            at = np.r_[0, np.cumsum(length)]
            fold_first, fold_n, fold_at = f["fold/first"][:], f["fold/replicates"][:], 0
            value, fold = f["value"][:], f["fold/value"][:]
            self.experiment = {}
            for e, p in enumerate(of):
                key = (self.combination[combination[e]], context[context_of[e]], ["train", "val", "test", "unused"][split[e]])
                n = fold_first[e + 1] - fold_first[e]
                values = value[at[e]:at[e + 1]]
                check(n_observed[e] == np.isfinite(values).sum(), f"{path}: n_observed of {key}")
                row = (list(readout[panel[p]]), values, int(n_replicates[e]),
                       fold[fold_at:fold_at + n * length[e]].reshape(n, length[e]), fold_n[fold_first[e]:fold_first[e + 1]])
                fold_at += n * length[e]
                self.experiment.setdefault(key, []).append(row)
            self.order = list(zip(context_of, of, combination))
            self.context, self.readout = list(context), list(readout)
        check(self.order == sorted(self.order), f"{path}: experiments out of order")


def same(a, b, tolerance=1e-6):
    a, b = np.asarray(a, float), np.asarray(b, float)
    if a.shape != b.shape or (np.isnan(a) != np.isnan(b)).any():
        return False
    return bool((np.nan_to_num(np.abs(a - b)) <= tolerance * (1 + np.nan_to_num(np.abs(b)))).all())


def canonical(name):
    parts = sorted(set(name.split("+")))
    parts = [p for p in parts if p != "control"] or ["control"]
    return "+".join(parts)


def judge(store, frame, columns, what):
    """`frame`: a row for each replicate, with perturbation, context, split and the readouts `columns`."""
    frame = frame.assign(perturbation=frame.perturbation.map(canonical))
    groups = frame.groupby(["perturbation", "context", "split"], sort=False)
    mean, size = groups[columns].mean(), groups.size()
    mean, size = dict(zip(mean.index, mean.to_numpy())), dict(zip(size.index, size))
    check(set(store.experiment) == set(mean), f"{what}: other experiments")
    for key, found in store.experiment.items():
        readouts, values, n, folds, fold_n = found[0]
        place_of = [columns.index(r) for r in readouts] if key is next(iter(store.experiment)) else place_of
        check(len(found) == 1 and n == size[key], f"{what}: {key}: replicates")
        check(same(values, mean[key][place_of]), f"{what}: {key}: values differ")
        check(len(folds) == (0 if n == 1 else min(n, 8)) and fold_n.sum() == (n if n > 1 else 0), f"{what}: {key}: folds")
        if n > 1 and not np.isnan(folds).any():
            check(same((folds * fold_n[:, None]).sum(0) / n, values, 1e-5), f"{what}: {key}: folds do not average to the value")
            check(fold_n.max() - fold_n.min() <= 1, f"{what}: {key}: folds out of balance")


def real():
    for name in ("tggates", "jump", "oneil", "l1000"):
        a = anndata.read_h5ad(data / f"{name}.h5ad")
        frame = pd.DataFrame(np.asarray(a.X, float), columns=a.var_names)
        frame = pd.concat([frame, a.obs[["perturbation", "context", "split", "replicate"]].astype(str).reset_index(drop=True)], axis=1)
        readouts = list(a.var_names)
        out = place / f"{name}.h5"
        got = run("import", data / f"{name}.h5ad", "-o", out, "--split-column", "split")
        check(got.returncode == 0, f"{name}: {got.stderr}")
        judge(Store(out), frame, readouts, name)
        keys = ["perturbation", "context", "split", "replicate"]
        labelled = frame.groupby(keys, sort=False)[readouts].mean().reset_index()
        again = place / f"{name}_r.h5"
        got = run("import", data / f"{name}.h5ad", "-o", again, "--split-column", "split", "--replicate", "replicate")
        check(got.returncode == 0, f"{name}: {got.stderr}")
        judge(Store(again), labelled, readouts, f"{name} --replicate")
    a = anndata.read_h5ad(data / "perturbseq.h5ad")
    x = np.asarray(a.X.todense(), float)
    total = x.sum(1, keepdims=True)
    frame = pd.DataFrame(np.log1p(x * 10000 / np.where(total > 0, total, 1)), columns=a.var_names)
    frame = frame.assign(perturbation=a.obs.perturbation.astype(str).values, context=a.obs.cell_type.astype(str).values, split="train")
    cells = ["import", data / "perturbseq.h5ad", "--context", "cell_type", "--normalize-total", 10000, "--log1p", "-o"]
    got = run(*cells, place / "cells.h5")
    check(got.returncode == 0, got.stderr)
    judge(Store(place / "cells.h5"), frame, list(a.var_names), "perturbseq")
    # too little memory for all sums: several passes, the same bits; under mpirun, too
    a[np.random.default_rng(1).permutation(a.n_obs)].copy().write(place / "shuffled.h5ad")
    cells[1] = place / "shuffled.h5ad"
    check(run(*cells, place / "cells.h5").returncode == 0, "shuffled cells")
    judge(Store(place / "cells.h5"), frame, list(a.var_names), "shuffled cells")
    got = run("-v", *cells, place / "few.h5", "--memory", 0.001, ranks=2)
    check(got.returncode == 0 and "read 4 times" in got.stderr, f"perturbseq in passes: {got.stderr}")
    check(subprocess.run(["h5diff", place / "cells.h5", place / "few.h5"]).returncode == 0, "memory changed the store")
    got = run("import", data / "perturbseq.h5ad", "-o", place / "no.h5")
    check(got.returncode == 65 and "'context'" in got.stderr and "cell_type" in got.stderr, f"missing column: {got.stderr}")
    check(not (place / "no.h5").exists() and not list(place.glob("no.h5*")), "something was left behind")
    got = run("import", data / "tggates.h5ad", "-o", place / "no.h5", "--split-column", "replicate")
    check(got.returncode == 65 and "is no split" in got.stderr, f"no split: {got.stderr}")


def write(name, lines, pack=False):
    path = place / name
    body = "".join("\t".join(str(x) for x in line) + "\n" for line in lines)
    (gzip.open if pack else open)(path, "wt").write(body)
    return path


def wide(name, rows, readouts=("r1", "r2", "r3"), extra=()):
    return write(name, [("perturbation", "context", *extra, *readouts), *rows])


def refused(what, words, *arguments):
    out = place / "refused.h5"
    got = run("import", *arguments, "-o", out)
    check(got.returncode == 65 and all(w in got.stderr for w in words), f"{what}: {got.returncode} {got.stderr}")
    check(not out.exists() and not list(out.parent.glob("*.part")), f"{what}: something was left behind")


def made(*arguments):
    out = place / "made.h5"
    got = run("import", *arguments, "-o", out)
    check(got.returncode == 0, f"{arguments}: {got.stderr}")
    return Store(out) if got.returncode == 0 else None


def symbols():
    rows = [("B+A", "c", 1, 2, 3), ("A+B", "c", 3, 4, 5), ("A + A", "c", 1, 1, 1), ("DMSO", "c", 0, 0, 0),
            ("A+DMSO+B", "c", 5, 6, 7), ("NT", "c", 2, 2, 2), ("DMSO+NT", "c", 4, 4, 4)]
    table = wide("pairs.tsv", rows)
    s = made(table, "--control", "DMSO,NT", "--prefix", "x_", "--readout-prefix", "T_")
    check(set(s.experiment) == {("x_A+x_B", "c", "train"), ("x_A", "c", "train"), ("control", "c", "train")}, "combinations")
    check(same(s.experiment["x_A+x_B", "c", "train"][0][1], [3, 4, 5]) and s.readout == ["T_r1", "T_r2", "T_r3"], "pairs averaged")
    check(same(s.experiment["control", "c", "train"][0][1], [2, 2, 2]), "controls averaged")
    refused("unknown control", ["--control", "DMSOO"], table, "--control", "DMSOO")
    plus = wide("plus.tsv", [("CD4+ T+A", "c", 1, 1, 1), ("CD4+ T", "c", 1, 1, 1), ("A", "c", 1, 1, 1), ("A+", "c", 1, 1, 1)])
    refused("empty component", ["A+", "--plus-literal"], plus)
    s = made(plus, "--plus-literal=CD4+ T,A+")
    check(sorted(k[0] for k in s.experiment) == ["A", "A+", "A+CD4+ T", "CD4+ T"], f"plus-literal list: {s.experiment.keys()}")
    check(sorted(s.combination) == sorted(["A", "A+", "A+CD4+ T", "CD4+ T"]), "plus-literal names")
    s = made(plus, "--plus-literal")
    check(sorted(k[0] for k in s.experiment) == ["A", "A+", "CD4+ T", "CD4+ T+A"], "plus-literal all")


def arithmetic():
    random = np.random.default_rng(3)
    rows = []
    for p, c in itertools.product(("A", "B", "control"), ("c1", "c2")):
        for i in range(random.integers(1, 14)):
            x = random.integers(0, 9, 3).astype(float)
            x[random.random(3) < 0.2] = np.nan
            rows.append((p, c, f"rep{random.integers(0, 5)}", *x))
    frame = pd.DataFrame(rows, columns=["perturbation", "context", "rep", "r1", "r2", "r3"])
    table = wide("arithmetic.tsv", [tuple("" if x != x else x for x in r) for r in rows], extra=("rep",))
    extra = ["--id-columns", "rep"]
    keys, r = ["perturbation", "context"], ["r1", "r2", "r3"]

    def expect(s, wanted, what, index=0):
        for key, row in wanted.iterrows():
            check(same(s.experiment[(*key, "train")][0][1], row), f"{what}: {key}")
        check(len(s.experiment) == len(wanted), f"{what}: number")

    expect(made(table, *extra), frame.groupby(keys)[r].mean(), "mean")
    expect(made(table, *extra, "--aggregate", "median"), frame.groupby(keys)[r].median(), "median")
    expect(made(table, *extra, "--aggregate", "median", "--memory", 0.000001), frame.groupby(keys)[r].median(), "median by parts")
    expect(made(table, *extra, "--clip", 4), frame.groupby(keys)[r].mean().clip(-4, 4), "clip")
    replicates = frame.groupby(keys + ["rep"])[r].mean().reset_index()
    s = made(table, "--replicate", "rep")
    expect(s, replicates.groupby(keys)[r].mean(), "replicates weigh equally")
    for key, group in replicates.groupby(keys):  # at most 5: each is a fold, in order of the labels
        folds = s.experiment[(*key, "train")][0][3]
        check(len(group) == 1 or same(folds, group.sort_values("rep")[r]), f"folds of {key}")
    expect(made(table, "--replicate", "rep", "--aggregate", "median"), replicates.groupby(keys)[r].median(), "median of replicates")
    size = frame.groupby(keys).size()
    expect(made(table, *extra, "--min-replicates", 4), frame.groupby(keys)[r].mean()[size >= 4], "min-replicates")
    s = made(table, *extra, "--aggregate", "none")
    check(sum(len(v) for v in s.experiment.values()) == len(frame), "none keeps every row")
    check(all(n == 1 and len(f) == 0 for v in s.experiment.values() for _, _, n, f, _ in v), "none has no folds")
    refused("too few replicates", ["--min-replicates"], table, *extra, "--min-replicates", 99)
    # the rows' order changes neither labelled folds nor (beyond rounding) values
    shuffled = [rows[i] for i in random.permutation(len(rows))]
    other = wide("shuffled.tsv", [tuple("" if x != x else x for x in r) for r in shuffled], extra=("rep",))
    a, b = made(table, "--replicate", "rep"), made(other, "--replicate", "rep")
    for key in a.experiment:
        check(same(a.experiment[key][0][3], b.experiment[key][0][3]), f"order of rows: {key}")


def several_files():
    a = wide("a.tsv", [("A", "c", 1, 2, 3), ("control", "c", 0, 0, 0)])
    b = wide("b.tsv", [("A", "c", 3, 4, 5), ("B", "d", 1, 1, 1)])
    c = wide("c.tsv", [("A", "c", 9, 9)], readouts=("r2", "z"))
    s = made(a, b, c)
    check(s.readout == ["r1", "r2", "r3", "z"] and s.context == ["c", "d"], "union of the symbols")
    found = sorted(s.experiment["A", "c", "train"], key=lambda e: len(e[0]))
    check(len(found) == 2 and found[0][0] == ["r2", "z"] and same(found[1][1], [2, 3, 4]) and found[1][2] == 2, "pooled files")
    swapped = wide("swapped.tsv", [("A", "c", 30, 10, 20)], readouts=("r3", "r1", "r2"))
    s = made(a, swapped)
    check(same(s.experiment["A", "c", "train"][0][1], [5.5, 11, 16.5]), "columns in another order")
    long = write("long.tsv.gz", [("context", "perturbation", "readout", "value"), ("c", "A", "r1", 1), ("c", "A", "r2", 2),
                                 ("c", "B", "r1", 3), ("d", "A", "q", 4)], pack=True)
    s = made(long)
    check(s.experiment["A", "c", "train"][0][0] == ["r1", "r2"] and s.experiment["A", "d", "train"][0][0] == ["q"], "panels of contexts")
    check(same(s.experiment["B", "c", "train"][0][1], [3, np.nan]), "a missing place of a panel")
    s = made(long, a)
    check(len(s.experiment["A", "c", "train"]) == 2, "long beside wide")


def csv(name, body):
    (place / name).write_text(body)
    return place / name


def combinations():
    pairs = csv("drugs.csv", "d1,d2,cell,v\nDMSO,DMSO,x,1\na,DMSO,x,2\na,b,x,3\nb,a,x,5\n,b,x,7\nb,,x,9\n")
    s = made(pairs, "--combine", "d1,d2", "--context", "cell", "--control", "DMSO")
    expected = {"control": ([1], 1), "a": ([2], 1), "a+b": ([4], 2), "b": ([8], 2)}
    check({k[0]: (list(v[0][1]), v[0][2]) for k, v in s.experiment.items()} == expected, f"--combine: {s.experiment}")
    empty = csv("drugs_empty.csv", "d1,d2,cell,v\nDMSO,DMSO,x,1\n,,x,2\n")
    refused("a pair of nothing", [":3:d1_d2: missing"], empty, "--combine", "d1,d2", "--context", "cell", "--control", "DMSO")
    got = run("import", pairs, "-o", place / "no.h5", "--combine", "d1,d2", "-p", "d1", "-c", "cell")
    check(got.returncode == 2 and "--perturbation" in got.stderr, f"--combine beside -p: {got.stderr}")
    for separator, text in (("||", "A || B"), (" || ", "A || B"), ("_", "A_B"), ("|", "A|B"), (";", "A;B"), ("++", "A++B")):
        table = wide("separator.tsv", [(text, "c", 1, 2, 3), ("CD4+", "c", 1, 2, 3), ("control", "c", 0, 0, 0)])
        s = made(table, "--separator", separator)
        check({k[0] for k in s.experiment} == {"A+B", "CD4+", "control"}, f"--separator '{separator}': {s.experiment.keys()}")
    got = run("import", table, "-o", place / "no.h5", "--separator", "")
    check(got.returncode == 2 and "--separator" in got.stderr, f"empty separator: {got.stderr}")
    tuples = wide("tuples.tsv", [("('A', 'B')", "c", 1, 2, 3), ("('B', \"A\")", "c", 3, 4, 5), ("('A', 'ctrl')", "c", 1, 1, 1), ("('it\\'s, (x)',)", "c", 1, 1, 1),
                                 ("(-)-A", "c", 1, 1, 1), ("('A', B)", "c", 1, 1, 1), ("('A' 'B')", "c", 1, 1, 1), ("ctrl", "c", 0, 0, 0)])
    s = made(tuples, "--control", "ctrl")
    check({k[0] for k in s.experiment} == {"A+B", "A", "it's, (x)", "(-)-A", "('A', B)", "('A' 'B')", "control"}, f"tuples: {s.experiment.keys()}")
    check(s.experiment["A+B", "c", "train"][0][2] == 2, "tuples in any order are one combination")
    s = made(wide("tuples2.tsv", [("('A', '')", "c", 1, 2, 3), ("('B', nan)", "c", 3, 4, 5), ("['A', 'B']", "c", 1, 1, 1), ("('A', None)", "c", 3, 4, 5)]))
    check({k[0]: v[0][2] for k, v in s.experiment.items()} == {"A": 2, "B": 1, "A+B": 1}, f"tuples with nothing: {s.experiment.keys()}")
    s = made(wide("named.tsv", [("A_NT_1", "c", 1, 2, 3), ("NT_1", "c", 3, 4, 5), ("A_B", "c", 1, 1, 1)]), "--separator", "_", "--control", "NT_1")
    check({k[0] for k in s.experiment} == {"A", "control", "A+B"}, f"a control's name is not cut: {s.experiment.keys()}")
    refused("one text of two labels", ["c_1_2"], wide("joined.tsv", [("A", "c_1", "2", 1, 1), ("A", "c", "1_2", 3, 3)], readouts=("q", "r1", "r2")),
            "--context", "context,q")
    refused("-666 is no perturbation", [":2:perturbation: missing"], wide("cmap.tsv", [("-666", "c", 1, 2, 3), ("A", "c", 1, 2, 3)]))
    genes = csv("genes.csv", ",A,B,DMSO\ng1,1,2,3\ng2,10,20,30\n")
    refused("genes that nobody names", ["--readout index"], genes, "--columns", "perturbation", "--context", "@file")
    got = run("import", genes, "-o", place / "made.h5", "--columns", "perturbation", "--context", "@file", "--readout", "gene")
    check(got.returncode == 0 and "no column `gene`" in got.stderr, f"a readout that is no column: {got.stderr}")


def controls():
    name = "[('DMSO_TF', 0.0, 'uM')]"
    table = wide("tahoe.tsv", [(name, "c", 1, 2, 3), ("A", "c", 1, 2, 3), ("NT1", "c", 3, 4, 5), ("NT2", "c", 5, 6, 7)])
    s = made(table, "--control", name)
    check({k[0] for k in s.experiment} == {"control", "A", "NT1", "NT2"}, f"a control with commas: {s.experiment.keys()}")
    s = made(table, "--control", name, "--control", "NT1,NT2")
    check({k[0] for k in s.experiment} == {"control", "A"} and s.experiment["control", "c", "train"][0][2] == 3, "--control twice")
    names = csv("controls.txt", f"\ufeff{name}\r\n  NT1 \r\n\r\nnowhere\r\n")
    s = made(table, "--control", f"@{names}")
    check({k[0] for k in s.experiment} == {"control", "A", "NT2"}, f"--control @FILE: {s.experiment.keys()}")
    refused("controls that are none", ["none of the 1 names"], table, "--control", f"@{csv('none.txt', 'DMSOO')}")
    refused("no file of controls", ["nowhere.txt"], table, "--control", f"@{place}/nowhere.txt")
    column = wide("column.tsv", [("A", "c", "False", 1, 2, 3), ("B", "c", "TRUE", 1, 2, 3), ("", "c", "1", 3, 4, 5), ("C", "c", "", 9, 9, 9)], extra=("is_control",))
    s = made(column, "--control-column", "is_control")
    check({k[0]: v[0][2] for k, v in s.experiment.items()} == {"A": 1, "control": 2, "C": 1}, f"--control-column: {s.experiment.keys()}")
    refused("a control column of words", [":2:is_control: 'maybe'"], wide("maybe.tsv", [("A", "c", "maybe", 1, 2, 3)], extra=("is_control",)),
            "--control-column", "is_control")


def choosing_rows():
    rows = [("control", "c", "x", 0, 0, 0), ("A", "c", "x", 1, 1, 1), ("", "c", "x", 2, 2, 2), ("nan", "c", "y", 3, 3, 3), ("-666", "c", "y", 4, 4, 4),
            ("A", "", "y", 5, 5, 5), ("A", "c", "y", 7, 7, 7), ("B", "c", "", 9, 9, 9), ("bad", "c", "z", "text", 1, 1)]
    table = wide("rows.tsv", rows, extra=("batch",))
    refused("rows without a label", [":4:perturbation: missing", "--drop-unlabelled"], table, "--id-columns", "batch")

    def expect(expected, *options):
        s = made(table, "--id-columns", "batch", *options)
        found = {k[0]: (v[0][1][0], v[0][2]) for k, v in s.experiment.items()}
        check(found == expected, f"{options}: {found}")

    expect({"control": (0, 1), "A": (4, 2), "B": (9, 1)}, "--drop-unlabelled", "--drop", "batch=z")
    got = run("check", table, "--id-columns", "batch", "--drop-unlabelled", "--drop", "batch=z")
    check("1 rows (--keep, --drop)" in got.stdout and "4 rows without a label" in got.stdout, f"left out, counted: {got.stdout}")
    expect({"control": (0, 1), "A": (1, 1)}, "--drop-unlabelled", "--keep", "batch=x")
    expect({"control": (0, 1), "A": (4, 2)}, "--drop-unlabelled", "--keep", "batch=x,y")
    expect({"control": (0, 1), "A": (4, 2)}, "--drop-unlabelled", "--keep", "batch=[xy]")
    expect({"A": (7, 1)}, "--drop-unlabelled", "--keep", "batch=x,y", "--drop", "perturbation=control", "--drop", "batch=x")
    expect({"control": (0, 1), "A": (4, 2)}, "--drop-unlabelled", "--drop", "batch=", "--drop", "batch=z")
    expect({"B": (9, 1)}, "--keep", "batch=")
    expect({"control": (0, 1), "A": (1, 1)}, "--drop-unlabelled", "--keep", f"batch=@{csv('batches.txt', 'x')}")
    got = run("import", table, "-o", place / "made.h5", "--drop-unlabelled", "--keep", "batch=x,nowhere")
    check(got.returncode == 0 and "--keep 'batch=nowhere': no row" in got.stderr, f"a value nowhere: {got.stderr}")
    refused("nothing kept", ["no row"], table, "--keep", "batch=nowhere")
    refused("no such column", ["`plate`", "--drop"], table, "--drop", "plate=1")
    # lines of long tables and matrices are left out one by one, and a filter parts no rows
    long = write("lines.tsv", [("perturbation", "context", "readout", "value", "qc"), ("A", "x", "g1", 1, "ok"), ("A", "x", "g2", 3, "fine"),
                               ("control", "x", "g1", 1, "ok"), ("control", "x", "g2", 3, "ok"), ("A", "x", "g3", "text", "bad")])
    s = made(long, "--normalize-total", 10, "--drop", "qc=bad")
    check({k[0]: (list(v[0][1]), v[0][2]) for k, v in s.experiment.items()} == {"A": ([2.5, 7.5], 1), "control": ([2.5, 7.5], 1)}, f"lines: {s.experiment}")
    s = made(long, "--keep", "readout=g1,g2")
    check(all(v[0][2] == 1 and v[0][0] == ["g1", "g2"] for v in s.experiment.values()), f"readouts kept: {s.experiment}")
    got = run("check", long, "--drop", "qc=bad")
    check(got.returncode == 0 and "1 rows (--keep, --drop)" in got.stdout, f"lines are counted: {got.stdout}")
    matrix = csv("matrix.csv", "gene,cell,A,control\ng1,x,1,2\ng2,x,3,4\ng3,x,5,6\n")
    s = made(matrix, "--columns", "perturbation", "--readout", "gene", "-c", "cell", "--keep", "gene=g1,g3")
    check({k[0]: (list(v[0][1]), v[0][2]) for k, v in s.experiment.items()} == {"A": ([1, 5], 1), "control": ([2, 6], 1)}, f"lines of a matrix: {s.experiment}")
    names = wide("names.tsv", [("[('D', 0.0, 'uM')]", "c", 1, 2, 3), ("M", "c", 1, 2, 3), ("B", "c", 4, 4, 4)])
    s = made(names, "--drop", "perturbation=[('D', 0.0, 'uM')]")
    check({k[0] for k in s.experiment} == {"M", "B"}, f"a value with commas: {s.experiment.keys()}")
    s = made(names, "--keep", f"perturbation=@{csv('lines.txt', chr(91) + chr(40) + repr('D') + ', 0.0, ' + repr('uM') + ')]')}")
    check({k[0] for k in s.experiment} == {"[('D', 0.0, 'uM')]"}, f"lines of a file are no patterns: {s.experiment.keys()}")
    for text in ("batch", "=x", "batch=,"):
        got = run("import", table, "-o", place / "no.h5", "--keep", text)
        check(got.returncode == 2 and "--keep" in got.stderr, f"--keep {text}: {got.stderr}")


def split_column():
    rows = [("control", "c", "train", 0, 0, 0), ("A", "c", "test", 1, 1, 1), ("B", "c", "validation", 1, 1, 1), ("C", "c", "unused", 1, 1, 1)]
    table, keys = wide("split.tsv", rows, extra=("split",)), {("control", "c", "train"), ("A", "c", "test"), ("B", "c", "val"), ("C", "c", "unused")}
    got = run("import", table, "-o", place / "made.h5")
    check(got.returncode == 0 and "column 'split'" in got.stderr, f"a column split is used, and said so: {got.stderr}")
    check(set(Store(place / "made.h5").experiment) == keys, "a column split")
    s = made(table, "--split-column", "none")
    check({k[2] for k in s.experiment} == {"train"} and s.readout == ["r1", "r2", "r3"], "--split-column none")
    long = write("split_long.tsv", [("perturbation", "context", "split", "readout", "value")] + [(*r[:3], "r1", r[3]) for r in rows])
    check(set(made(long).experiment) == keys, "a column split of a long table")
    a = anndata.AnnData(np.zeros((4, 2), "f4"), obs=pd.DataFrame([r[:3] for r in rows], columns=["perturbation", "context", "split"], index=list("wxyz")))
    a.write(place / "split.h5ad")
    check(set(made(place / "split.h5ad").experiment) == keys, "a column split of an .h5ad")
    s = made(wide("fold.tsv", [("A", "c", "0.5", 1, 2, 3), ("control", "c", "0.25", 1, 2, 3)], extra=("split",)))
    check(s.readout == ["r1", "r2", "r3", "split"] and {k[2] for k in s.experiment} == {"train"}, "a readout called split")
    got = run("import", table, wide("no_split.tsv", [("D", "c", 1, 2, 3)]), "-o", place / "made.h5")
    check(got.returncode == 0 and "only 1 of 2 files" in got.stderr, f"a split in one file: {got.stderr}")
    check({k[2] for k in Store(place / "made.h5").experiment} == {"train"}, "a split in one file is not used")
    # words that are no splits, or none at all: said so, and not used; of rows that are left out nobody asks
    for word, shown in (("ood", "ood"), ("", "nothing")):
        odd = [*rows[:3], ("C", "c", word, 1, 1, 1)]
        for table in (wide("odd.tsv", odd, extra=("split",)),
                      write("odd_long.tsv", [("perturbation", "context", "split", "readout", "value")] + [(*r[:3], "r1", r[3]) for r in odd])):
            got = run("import", table, "-o", place / "made.h5")
            check(got.returncode == 0 and "'split' is not used" in got.stderr and f"has {shown} there" in got.stderr, f"{table}: {got.stderr}")
            check({k[2] for k in Store(place / "made.h5").experiment} == {"train"}, f"{table}: a split that is none is not used")
            check({k for k in made(table, "--drop", "perturbation=C").experiment} == keys - {("C", "c", "unused")}, f"{table}: the others' splits")


def twice():
    table = wide("once.tsv", [("control", "c", 1, 2, 3), ("A", "c", 4, 5, 6)])
    link = place / "link.tsv"
    link.symlink_to(table)
    refused("a file twice", ["the same file as"], table, table)
    refused("a file and its link", ["link.tsv: is the same file as"], table, link)
    random = np.random.default_rng(5)
    rows = [(f"p{i}", "c", *np.round(random.normal(size=6), 3)) for i in range(8)]
    names = [f"r{i}" for i in range(6)]
    a = wide("first.tsv", rows, readouts=names)
    b = wide("second.tsv", [(p, c, *v[::-1]) for p, c, *v in rows[:3]] + [("q", "c", 1, 2, 3, 4, 5, 6)], readouts=names[::-1])
    got = run("check", a, b)
    check(got.returncode == 0 and f"3 of 4 rows of {b} stand in {a}" in got.stdout, f"rows in two files: {got.stdout}")
    check("8 of 8 rows" in run("check", a, wide("copy.tsv", rows, readouts=names), "--aggregate", "none").stdout, "rows in two files, one by one")
    parts = [wide(f"{s}.tsv", [(*r[:2], s, *r[2:]) for r in rows], readouts=names, extra=("split",)) for s in ("train", "test")]
    check("8 of 8 rows" in run("check", *parts).stdout, "rows that are trained on in one file and held out in another")
    one = wide("one.tsv", [(f"p{i}", "c", v) for i, v in enumerate((1, 2, 3, 4))], readouts=["v"])
    some = wide("some.tsv", [("p0", "c", 1), ("p1", "c", 3), ("p2", "c", 9), ("p3", "c", 9)], readouts=["v"])
    most = wide("most.tsv", [("p0", "c", 1), ("p1", "c", 2), ("p2", "c", 9), ("p3", "c", 9)], readouts=["v"])
    check("stand in" not in run("check", one, some).stdout and "stand in" in run("check", one, most).stdout, "rows of one value")
    whole = np.array([r[2:] for r in rows], "f4")
    for name, x in (("dense", whole), ("sparse", scipy.sparse.csr_matrix(whole))):
        anndata.AnnData(x, obs=pd.DataFrame({"perturbation": [r[0] for r in rows], "context": "c"}, index=list("abcdefgh")),
                        var=pd.DataFrame(index=names)).write(place / f"{name}.h5ad")
    check("8 of 8 rows" in run("check", place / "dense.h5ad", place / "sparse.h5ad").stdout, "dense and sparse rows are alike")


def remarks():
    random = np.random.default_rng(6)

    def remarks_of(rows, *options, readouts=("r1", "r2", "r3")):
        got = run("check", wide("remarks.tsv", rows, readouts=readouts), *options)
        check(got.returncode == 0, f"remarks are no errors: {got.stdout}{got.stderr}")
        return [line[16:] for line in got.stdout.splitlines() if line.startswith("remark ")]

    def rows_of(values):
        return [("control" if i % 5 == 0 else f"p{i % 40 // 2}", "cd"[i % 2], *row) for i, row in enumerate(values)]

    plain = rows_of(random.normal(size=(400, 3)).round(3))
    check(remarks_of(plain) == [], f"nothing to remark: {remarks_of(plain)}")
    counts = rows_of(random.poisson(30, size=(400, 3)))
    check(any("--normalize-total 1e4 --log1p" in r for r in remarks_of(counts)), "counts")
    check(any("without --log1p" in r for r in remarks_of(counts, "--normalize-total", 1e4)), "counts, scaled only")
    check(any("without --normalize-total " in r for r in remarks_of(counts, "--log1p")), "counts, logged only")
    check(remarks_of(counts, "--log1p", "--normalize-total", 1e4) == [], "counts, both")
    logged = np.log1p(random.poisson(1, size=(400, 3)) * 10.5)
    check(any("had been taken before" in r for r in remarks_of(rows_of(logged.round(4)), "--log1p")), "logged before")
    check(remarks_of(rows_of(logged.round(4))) == [], "logged once")
    check(any("taken twice" in r for r in remarks_of(rows_of(np.log1p(logged).round(4)))), "logged twice")
    odd = ("1-Mar", "2.31E+13", "Sep-02", "1-Methyl", "MARCH1", "E+12")
    found = [r for r in remarks_of([(p, c, *v, *v) for p, c, *v in plain], readouts=odd) if "spreadsheet" in r]
    check(len(found) == 1 and found[0].startswith("3 readouts") and all(n in found[0] for n in odd[:3]), f"a spreadsheet's names: {found}")
    check(any("every row is the control" in r for r in remarks_of([("control", c, *v) for _, c, *v in plain])), "only controls")
    check(any("no row is the control" in r for r in remarks_of([(p.replace("control", "x"), c, *v) for p, c, *v in plain])), "no controls")
    check(any("of the control: does --control" in r for r in remarks_of([("control" if i % 3 else p, c, *v) for i, (p, c, *v) in enumerate(plain)])), "many controls")
    case = [r for r in remarks_of([("P1" if i == 7 else p, c, *v) for i, (p, c, *v) in enumerate(plain)]) if "upper and lower case" in r]
    check(case == ["1 perturbation differing from another in upper and lower case only: P1 and p1"], f"case: {case}")
    alone = [r for r in remarks_of(plain + [("z", "lonely", 1, 2, 3), ("control", "lonely", 1, 2, 3)]) if "lonely" in r]
    check(len(alone) == 1 and alone[0].startswith("1 context"), f"a context that shares nothing: {alone}")


def problems():
    bad = wide("bad.tsv", [("A", "c", 1, "x", 3), ("", "c", 1, 2, 3), ("B", "", 1, 2, 3), ("C", "c", "inf", 2, 3), ("A++B", "c", 1, 1, 1)])
    got = run("check", bad)
    lines = [line for line in got.stdout.splitlines() if line.startswith(str(bad) + ":") and line.split(":")[1].isdigit()]
    check(got.returncode == 65 and len(lines) == 5, f"check finds all: {got.stdout}")
    check(f"{'problems':<15} 5" in got.stdout and "5 problems" in got.stderr, f"check counts: {got.stdout} {got.stderr}")
    got = run("check", bad, "--limit", 2)
    check(got.stdout.count(str(bad)) == 3 and "and 3 more" in got.stdout, f"--limit: {got.stdout}")
    refused("bad table", [":3:perturbation: missing", "and 2 more problems"], bad)
    good = wide("good.tsv", [("A", "c", 1, 2, 3), ("A", "c", 1, 2, ""), ("control", "c", 1, 2, 3), ("B", "d", 1, 1, 1)])
    got = run("check", good)
    check(got.returncode == 0 and f"{'problems':<15} 0" in got.stdout, f"nothing wrong: {got.stdout}")
    for line in ("in one context  2: A, B", "no control in   1: d", "observations    9, 0 missing", "1 of them beyond"):
        check(line in got.stdout, f"check says '{line}': {got.stdout}")
    refused("missing file", ["cannot open"], place / "nowhere.tsv")
    (place / "empty.gct").write_text("")
    refused("empty file", ["empty"], place / "empty.gct")
    counts = wide("negative.tsv", [("A", "c", -1, 2, 3), ("B", "c", 1, 2, 3)])
    refused("negative counts", ["--normalize-total", ":r1:"], counts, "--normalize-total", 100)
    refused("log1p", ["log1p", ":r1:"], counts, "--log1p")
    got = run("import", good)
    check(got.returncode == 2 and "-o STORE" in got.stderr, "no -o")
    got = run("import", good, "-o", place / "made.h5", "--aggregate", "max")
    check(got.returncode == 2 and "--aggregate" in got.stderr, "--aggregate max")
    got = run("import", good, "-o", "/no/such/place/s.h5")
    check(got.returncode == 73 and "/no/such/place" in got.stderr, f"no directory: {got.stderr}")
    made(good)
    got = run("check", place / "made.h5", ranks=2)
    check(got.returncode == 0 and "every checksum is right" in got.stdout, f"check of a store: {got.stdout}{got.stderr}")
    with open(place / "made.h5", "r+b") as f:  # a flipped value
        body = f.read()
        at = body.index(np.array([1, 2, 3], "<f4").tobytes())
        f.seek(at)
        f.write(b"\x01")
    got = run("check", place / "made.h5")
    check(got.returncode == 65 and "checksum" in got.stderr, f"a damaged value: {got.stderr}")


def full_disk():
    disk = place / "disk"
    disk.mkdir()
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk], capture_output=True).returncode:
        print("skipped: a full disk (tmpfs cannot be mounted here)")
        return
    try:
        table = wide("large.tsv", [(f"p{i}", "c", *range(100)) for i in range(2000)], readouts=[f"r{i}" for i in range(100)])
        got = run("import", table, "-o", disk / "s.h5")
        check(got.returncode in (73, 74) and "disk" in got.stderr, f"full disk: {got.returncode} {got.stderr}")
        check(not list(disk.iterdir()), f"full disk: left {list(disk.iterdir())}")
    finally:
        subprocess.run(["umount", disk])


try:
    for part in (real,) if data else (symbols, arithmetic, several_files, combinations, controls, choosing_rows, split_column,
                                      twice, remarks, problems, full_disk):
        part()
finally:
    shutil.rmtree(place, ignore_errors=True)
finish()
