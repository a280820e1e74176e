#!/usr/bin/python3
"""tables.py -- text inputs through the real program: matrices by columns against the long table that says the same,
pipes against files, sentences that check and import share, text that is not UTF-8 from the table to the imputed file.

usage: tables.py TESSERA SOURCE_FOLDER"""
import gzip
import os
import shutil
import subprocess
import sys
import tempfile
import threading

import machine

with machine.needed():
    import anndata
    import h5py
    import numpy as np
from checks import check, finish, run

tessera, source = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
folder = tempfile.TemporaryDirectory(prefix="tess_tables_")
os.chdir(folder.name)
os.mkdir("temporary")
os.environ["TMPDIR"] = os.path.join(folder.name, "temporary")
rng = np.random.default_rng(3)


def text(name, content, encoding="utf-8"):
    with open(name, "w", encoding=encoding, newline="") as f:
        f.write(content)
    return name


def content(path):
    """{name: bytes} of everything in a store but who wrote it."""
    with h5py.File(path) as f:
        found = {"hash": f.attrs["hash"]}
        f.visititems(lambda n, x: found.update({n: x[()].tobytes()}) if isinstance(x, h5py.Dataset) and n != "split/method" else None)
    return found


def same_store(a, b, what):
    check(os.path.exists(a) and os.path.exists(b) and content(a) == content(b), what)


def taken(*arguments, **more):
    got = run("import", *arguments, **more)
    check(got.returncode == 0, f"import {arguments}: {got.stderr}")
    return got


def refused(sentence, *arguments, code=65):
    """In import, and in check as one of the problems."""
    got = run("import", *arguments, "-o", "refused.h5")
    check(got.returncode == code and sentence in got.stderr, f"import {arguments}: {got.returncode} {got.stderr}")
    check(not os.path.exists("refused.h5"), f"import {arguments} left a store")
    got = run("check", *arguments)
    check(got.returncode == code and sentence in got.stdout + got.stderr, f"check {arguments}: {got.returncode} {got.stdout}{got.stderr}")


# ---- matrices ----

DRUGS = ["vorinostat", "A+B", "DMSO", "B", "C", "vorinostat"]  # a combination, a control, a repeated column
CELLS = ["A375", "U2OS", "K562"]


def by_columns():
    """Lines are contexts: one readout; and the long table that lists the same cells."""
    lines, long = [], []
    for i in range(40):
        cell, split = CELLS[i % 3], ["train", "test"][i // 3 % 2]
        values = ["" if rng.random() < 0.3 else f"{x:.6g}" for x in rng.normal(size=len(DRUGS))]
        if split == "test":
            values[2] = "NA"  # control is trained on, and its folds would follow another order of rows
        lines.append(",".join([f"row{i}", cell, split, "n", *values]))
        long += [f"{d},{cell},{split},viability,{x}" for d, x in zip(DRUGS, values) if x not in ("", "NA")]
    text("drugs.csv", ",".join(["", "cell", "split", "note", *DRUGS]) + "\n" + "\n".join(lines) + "\n")
    text("drugs_long.csv", "perturbation,context,split,readout,value\n" + "\n".join(long) + "\n")
    options = ["--split-column", "split", "--control", "DMSO"]
    matrix = ["drugs.csv", "--columns", "perturbation", "--context", "cell", "--readout", "viability", "--id-columns", "note", *options]
    taken("drugs_long.csv", "-o", "long.h5", *options)
    taken(*matrix, "-o", "matrix.h5")
    same_store("matrix.h5", "long.h5", "a matrix is not its long table")
    taken(*matrix, "-o", "small.h5", "--memory", "1e-6")
    same_store("small.h5", "long.h5", "a matrix in little memory")
    taken(*matrix, "-o", "several.h5", ranks=2)
    same_store("several.h5", "long.h5", "a matrix on two ranks")
    got = run("check", *matrix)
    check(got.returncode == 0 and "matrix with a column for each perturbation" in got.stdout and "1 readouts" in got.stdout, f"check: {got.stdout}")


def by_contexts():
    """Lines are perturbations, columns contexts, turned from the other."""
    values = rng.normal(size=(6, 4)).round(4)
    text("turned.csv", ",".join(["index", *"wxyz"]) + "\n" + "".join(f"p{i}," + ",".join(map(str, v)) + "\n" for i, v in enumerate(values)))
    text("turned_long.csv", "perturbation,context,readout,value\n" + "".join(f"p{i},{c},value,{v[k]}\n" for i, v in enumerate(values) for k, c in enumerate("wxyz")))
    taken("turned.csv", "--columns", "context", "-p", "index", "-o", "turned.h5")
    taken("turned_long.csv", "-o", "turned_long.h5")
    same_store("turned.h5", "turned_long.h5", "contexts in columns")


def genes_by_samples():
    """Lines are readouts; what the samples are stands in a sheet. The same as the turned wide table."""
    genes, samples = [f"g{i}" for i in rng.permutation(30)], [f"s{i}" for i in range(9)]
    values = rng.normal(size=(30, 9)).round(4)
    text("genes.tsv", "\t".join(["", "symbol", *samples]) + "\n" + "".join(f"{g}\tname{i}\t" + "\t".join(map(str, values[i])) + "\n" for i, g in enumerate(genes)))
    drug, cell = [["control", "A", "A+B"][i % 3] for i in range(9)], ["xy"[i // 3 % 2] for i in range(9)]
    text("sheet.csv", "sample,drug,cell\n" + "".join(f"{s},{d},{c}\n" for s, d, c in reversed(list(zip(samples, drug, cell)))))
    text("wide.csv", ",".join(["drug", "cell", *genes]) + "\n" + "".join(",".join([drug[k], cell[k], *map(str, values[:, k])]) + "\n" for k in range(9)))
    labels = ["-p", "drug", "-c", "cell"]
    taken("wide.csv", *labels, "-o", "wide.h5")
    matrix = ["genes.tsv", "--columns", "perturbation", "--readout", "index", "--id-columns", "symbol"]
    taken(*matrix, *labels, "--metadata", "sheet.csv", "-o", "genes.h5")
    same_store("genes.h5", "wide.h5", "genes × samples with a sheet")
    taken(*matrix, "--context", "@file", "-o", "named.h5")
    with h5py.File("named.h5") as f:
        check([s.decode() for s in f["perturbation/symbol"]] == sorted(samples) and len(f["readout/symbol"]) == 30 and [s.decode() for s in f["context/symbol"]] == ["genes"],
              "genes × perturbations")
    refused("none of the 9 ids is in the table (file: s0; table: t0)", *matrix, *labels, "--metadata", text("other.csv", "sample,drug,cell\nt0,A,x\n"))


def empty_cells_are_no_experiments():
    text("depmap.csv", ",A1BG (1),A1CF (29974)\nACH-000001,-0.1,0.2\nACH-000002,-0.3,\n")
    taken("depmap.csv", "--columns", "perturbation", "--context", "index", "-o", "depmap.h5")
    with h5py.File("depmap.h5") as f:
        check([[s.decode() for s in f[f"{k}/symbol"]] for k in ("perturbation", "context", "readout")] ==
              [["A1BG (1)", "A1CF (29974)"], ["ACH-000001", "ACH-000002"], ["value"]], "symbols of depmap.csv")
        check(np.allclose(sorted(f["value"][:]), [-0.3, -0.1, 0.2]), f"values of depmap.csv: {f['value'][:]}")


def column_options():
    text("pandas.csv", ",context,g1,g2\ncontrol,x,1,2\nA,x,3,4\n")
    taken("pandas.csv", "-p", "index", "-o", "pandas.h5")
    with h5py.File("pandas.h5") as f:
        check([s.decode() for s in f["perturbation/symbol"]] == ["A", "control"] and [s.decode() for s in f["readout/symbol"]] == ["g1", "g2"], "a nameless first column is `index`")
    head = ",".join(f"note{i}" for i in range(30))
    text("many.csv", f"perturbation,context,{head},g1,g2\n" + "".join(f"{p},x,{','.join(['t'] * 30)},{i},{'ND' if i else 3}\n" for i, p in enumerate(["control", "A"])))
    taken("many.csv", "--values", "g*", "--missing", "ND,.", "-o", "many.h5")
    with h5py.File("many.h5") as f:
        check([s.decode() for s in f["readout/symbol"]] == ["g1", "g2"] and np.isnan(f["value"][:]).sum() == 1, "--values, --missing")
    got = run("check", "many.csv")
    check(got.returncode == 65 and got.stdout.count("name it in --id-columns") == 30 and "many.csv:3:g2: `ND` is not a number" in got.stdout and "problems        31\n" in got.stdout, f"columns of text: {got.stdout}")
    refused("column 3, `note0`, holds text in 2 rows: name it in --id-columns", "many.csv")
    a = anndata.AnnData(np.array([[1, np.inf], [2, 3]], "f4"))
    a.obs["perturbation"], a.obs["context"] = ["control", "A"], ["x", "x"]
    a.write_h5ad("infinite.h5ad")
    refused("is infinite", "infinite.h5ad")
    taken("infinite.h5ad", "--infinite", "missing", "-o", "infinite.h5")
    with h5py.File("infinite.h5") as f:
        check(sorted(f["value"][:].tolist())[:3] == [1, 2, 3] or np.isnan(f["value"][:]).sum() == 1, "--infinite missing")
    refused("is a wide table and has no layer 'counts': only AnnData has layers (--layer)", "pandas.csv", "-p", "index", "--layer", "counts")
    refused("is an AnnData: only of a table", "infinite.h5ad", "--columns", "perturbation")
    refused("is an AnnData: only of a wide table", "infinite.h5ad", "--values", "g")
    for options, sentence in ((["--columns", "drug"], "'drug' is not readout, perturbation or context"), (["--infinite", "zero"], "'zero' is not missing"),
                              (["--columns", "perturbation", "-p", "drug"], "--perturbation names other columns: leave it out"),
                              (["--columns", "context", "--value", "v"], "--value is for long tables")):
        refused(sentence, "pandas.csv", *options, code=2)


# ---- sentences ----

def one_bad_file_of_several():
    text("page.h5ad", "<!DOCTYPE html><html><body>403</body></html>\n")
    text("lfs.h5ad", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    text("good.csv", "perturbation,context,g1\ncontrol,x,1\nA,x,2\n")
    text("bad.csv", "perturbation,context,g1\ncontrol,x,1\nA,x,low\n")
    with open("infinite.h5ad", "rb") as f, gzip.open("packed.h5ad.gz", "wb") as g:
        g.write(f.read())
    sentences = {"page.h5ad": "page.h5ad: is a web page", "lfs.h5ad": "lfs.h5ad: is a Git LFS pointer", "packed.h5ad.gz": "packed.h5ad.gz: is HDF5 packed with gzip",
                 "absent.csv": "absent.csv: cannot open", "bad.csv": "bad.csv:3:g1: `low` is not a number"}
    for name, sentence in sentences.items():
        refused(sentence, name)
        got = run("check", name)
        check("more" not in got.stdout and "problems        1\n" in got.stdout, f"check {name}: {got.stdout}")
    got = run("check", "page.h5ad", "good.csv", "lfs.h5ad", "absent.csv", "packed.h5ad.gz", "bad.csv", ranks=2)
    check(got.returncode == 65 and all(s in got.stdout for s in sentences.values()) and "problems        5\n" in got.stdout and
          "good.csv: wide table" in got.stdout and "observations" in got.stdout, f"check of several: {got.stdout}{got.stderr}")
    got = run("check", "page.h5ad", "lfs.h5ad", "--limit", "1")
    check("… and 1 more (--limit 0 prints all)" in got.stdout and "problems        2\n" in got.stdout, f"check --limit 1: {got.stdout}")
    got = run("import", "good.csv", "page.h5ad", "-o", "refused.h5")
    check(got.returncode == 65 and "page.h5ad: is a web page" in got.stderr and not os.path.exists("refused.h5"), f"import of several: {got.stderr}")
    text("r.tsv", "perturbation\tcontext\tg1\n" + "".join(f"{i}\tA\tx\t0.5\n" for i in range(5000)))
    refused("r.tsv: line 2 has 4 fields, the header 3 (R writes row names without a header", "r.tsv")
    check("problems        1\n" in run("check", "r.tsv").stdout, "R's table is one problem")


def ids_that_match_nothing():
    a = anndata.AnnData(np.ones((12, 2), "f4"))
    a.obs_names = [f"cell{i}" for i in range(12)]
    a.write_h5ad("bare.h5ad")
    refused("bare.h5ad: none of the 12 ids is in the table (file: cell0; table: S1)", "bare.h5ad", "--metadata",
            text("ids.csv", "id,guide,line\nS1,A,x\n"), "-p", "guide", "-c", "line")
    text("cells.csv", "id,guide,line\n" + "".join(f"cell{i},{'control' if i % 2 else 'A'},x\n" for i in range(12)))
    taken("bare.h5ad", "--metadata", "cells.csv", "-p", "guide", "-c", "line", "-o", "bare.h5")
    # a table is joined by its first column without --id-columns
    text("bare.csv", ",g\n" + "".join(f"cell{i},{i}\n" for i in range(12)))
    taken("bare.csv", "--metadata", "cells.csv", "-p", "guide", "-c", "line", "-o", "joined.h5")
    with h5py.File("joined.h5") as f:
        check(np.allclose(f["value"][:], [5, 6]) and f["experiment/n_replicates"][:].tolist() == [6, 6], f"joined by its index: {f['value'][:]}")


# ---- pipes ----

def feed(fifo, path):
    def copy():
        with open(path, "rb") as a, open(fifo, "wb") as b:
            try:
                shutil.copyfileobj(a, b)
            except BrokenPipeError:
                pass
    thread = threading.Thread(target=copy, daemon=True)
    thread.start()
    return thread


def pipes():
    if not os.path.exists("/proc/self/fd"):
        print("skipped: pipes (no /proc)")
        return
    text("screen.gct", "#1.3\n2\t4\t0\t2\nid\tp1\tp2\tp3\tp4\nperturbation\tA\tcontrol\tA\tcontrol\ncontext\tx\tx\ty\ty\ng\t1\t2\t3\t4\nh\t5\t6\t7\t8\n")
    with open("drugs_long.csv", "rb") as f, gzip.open("long.csv.gz", "wb") as g:
        g.write(f.read())
    b = anndata.AnnData(np.arange(8, dtype="f4").reshape(4, 2))
    b.obs["perturbation"], b.obs["context"] = ["control", "A"] * 2, ["x", "x", "y", "y"]
    b.write_h5ad("piped.h5ad")
    for i, path in enumerate(("good.csv", "drugs_long.csv", "long.csv.gz", "screen.gct", "piped.h5ad")):
        fifo = f"fifo{i}"
        os.mkfifo(fifo)
        taken(path, "-o", f"plain{i}.h5")
        for command in ("check", "import"):
            thread = feed(fifo, path)
            got = run(command, fifo, *(["-o", f"piped{i}.h5"] if command == "import" else []), ranks=1 + (command == "import"))
            check(got.returncode == 0 and f"{fifo}: " in got.stdout, f"{command} of a FIFO with {path}: {got.returncode} {got.stdout}{got.stderr}")
            thread.join(5)
        same_store(f"piped{i}.h5", f"plain{i}.h5", f"{path} through a FIFO")
        with open(path, "rb") as f:
            got = subprocess.run([tessera, "import", "/dev/stdin", "-o", f"stdin{i}.h5"], input=f.read(), capture_output=True, timeout=120)
        check(got.returncode == 0, f"/dev/stdin with {path}: {got.stderr}")
        same_store(f"stdin{i}.h5", f"plain{i}.h5", f"{path} through /dev/stdin")
    # the sheet may be one, for several files; predictions too
    for k in "ab":
        shutil.copy("bare.csv", f"bare_{k}.csv")
    thread = feed("fifo0", "cells.csv")
    taken("bare_a.csv", "bare_b.csv", "--metadata", "fifo0", "-p", "guide", "-c", "line", "-o", "sheet.h5")
    thread.join(5)
    text("held.csv", "perturbation,context,split," + ",".join(f"R{i}" for i in range(6)) + "\n" +
         "".join(f"{p},x,{s},{','.join(map(str, rng.normal(size=6)))}\n" for p, s in (("control", "train"), ("T", "train"), ("H", "test"), ("I", "test"))))
    taken("held.csv", "--split-column", "split", "-o", "held.h5")
    with open("held.csv") as f:
        text("predicted.csv", "".join(",".join(x for k, x in enumerate(line.split(",")) if k != 2) for line in f))
    thread = feed("fifo0", "predicted.csv")
    got = run("evaluate", "held.h5", "--predictions", "fifo0", "--json", "scores.json", ranks=2)
    thread.join(5)
    check(got.returncode == 0 and '"rmse": 0.0' in open("scores.json").read(), f"predictions through a FIFO: {got.stderr}")
    # bad content, and nothing of it stays
    for path, sentence in (("bad.csv", "fifo0:3:g1: `low` is not a number"), ("page.h5ad", "fifo0: is a web page"), ("/dev/null", "fifo0: the file is empty")):
        thread = feed("fifo0", path)
        got = run("import", "fifo0", "-o", "refused.h5")
        thread.join(5)
        check(got.returncode == 65 and sentence in got.stderr, f"{path} through a FIFO: {got.stderr}")
    with open("cut.h5ad", "wb") as f, open("piped.h5ad", "rb") as g:
        f.write(g.read()[:3000])
    thread = feed("fifo0", "cut.h5ad")
    got = run("import", "fifo0", "-o", "refused.h5")
    thread.join(5)
    check(got.returncode == 65 and "error: fifo0: " in got.stderr, f"a cut file through a FIFO: {got.stderr}")
    check(os.listdir("temporary") == [], f"left behind: {os.listdir('temporary')}")
    refused("is a terminal or another device: give a file or a pipe", "/dev/zero")


# ---- text that is not UTF-8 ----

def latin1():
    names = ["IC50_µM", "é", "Größe – 5 €"]
    rows = [(p, c, *rng.normal(size=3).round(3)) for c in ("Zürich", "x") for p in ("control", "naïve", "B")]
    text("latin1.csv", ",".join(["perturbation", "context", *names]) + "\n" + "".join(",".join(map(str, r)) + "\n" for r in rows), "cp1252")
    text("utf8.csv", ",".join(["perturbation", "context", *names]) + "\n" + "".join(",".join(map(str, r)) + "\n" for r in rows))
    taken("latin1.csv", "-o", "latin1.h5")
    taken("utf8.csv", "-o", "utf8.h5")
    same_store("latin1.h5", "utf8.h5", "Windows-1252 is not the same as UTF-8")
    got = run("-q", "train", f"{source}/config/quickstart.yaml", "--set", "data.store=latin1.h5", "--set", "run.directory=run", "--set", "train.epochs=1",
              "--set", "train.lanes=1")
    check(got.returncode == 0, f"train: {got.stderr}")
    got = run("-q", "impute", "run", "-o", "imputed.h5ad")
    check(got.returncode == 0, f"impute: {got.stderr}")
    a = anndata.read_h5ad("imputed.h5ad")
    check(sorted(a.var_names) == sorted(names) and {"naïve", "B"} <= set(a.obs["perturbation"]) and "Zürich" in set(a.obs["context"]), f"labels of the imputed file: {a.var_names} {a.obs}")


by_columns()
by_contexts()
genes_by_samples()
empty_cells_are_no_experiments()
column_options()
one_bad_file_of_several()
ids_that_match_nothing()
pipes()
latin1()
finish()
