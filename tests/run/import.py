#!/usr/bin/python3
"""import.py -- stores made by the program, judged by anndata, pandas and h5py.

usage: import.py TESSERA SOURCE_FOLDER"""
import gzip
import itertools
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import warnings

try:
    import anndata
    import h5py
    import numpy as np
    import pandas as pd
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)
from checks import check, finish, run
warnings.filterwarnings("ignore")

data = pathlib.Path(sys.argv[2]).resolve().parent / "shared" / "data"
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


def real_data():
    if not data.exists():
        print("skipped: the real data (no ../shared/data)")
        return
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
    for part in (symbols, arithmetic, several_files, problems, full_disk, real_data):
        part()
finally:
    shutil.rmtree(place, ignore_errors=True)
finish()
