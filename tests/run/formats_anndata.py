#!/usr/bin/python3
"""AnnData as this system's anndata writes it, and as newer ones do (made with h5py): every value and name is read as it
was given. And the other way round: what simulate and impute write, read by this system's anndata, also backed.

usage: formats_anndata.py TESSERA SOURCE_ROOT [FOLDER STEP]

STEP write, read or judge does one part only, with its files in FOLDER: so files of one system's anndata can be read on
another. `write` and `judge` need anndata, `read` the program."""
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import warnings

import machine

with machine.needed():
    import anndata
    import h5py
    import numpy as np
    import pandas as pd
    import scipy.sparse as sp
from checks import check, finish, run

warnings.filterwarnings("ignore")
DUMP = pathlib.Path(sys.argv[1]).resolve().parent / "tests/run/dump_source"
SOURCE = pathlib.Path(sys.argv[2]).resolve()
STEPS = sys.argv[4:] or ["write", "read", "judge"]
scratch = tempfile.TemporaryDirectory(prefix="tessera-anndata-")
FOLDER = pathlib.Path(sys.argv[3] if len(sys.argv) > 3 else scratch.name).resolve()
VERSION = tuple(int(part) for part in anndata.__version__.split(".")[:2])
N, M = 7, 5
expectations, unwritable = [], []


def expect(name, x, columns, readouts, *options):
    """What `read` is to find: the values as float32, texts (None: missing) for each column, names of the readouts."""
    x = np.asarray(x.todense() if sp.issparse(x) else x).astype(np.float32)
    number = len(expectations)
    np.save(FOLDER / f"expected{number}.npy", x)
    expectations.append({"file": name, "options": options, "columns": columns, "readouts": list(readouts)})


def sample(n=N, m=M, seed=0, dtype=np.float32):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, m)) * (rng.random((n, m)) < 0.6)
    return x.astype(dtype) if np.dtype(dtype).kind == "f" else np.floor(np.abs(x) * 9).astype(dtype)


CELLS = [f"cell-{i}µ" for i in range(N)]
GENES = [f"g{i}" for i in range(M)]


# ---------------------------------------------------------------- write: by this system's anndata

def columns_of_obs():
    """{name: (what anndata is given, texts)}, of every type that some anndata can write"""
    words = ["a", "b", None, "a", "", "c", "NA"]
    named = ["a", "b", None, "a", None, "c", None]  # empty text and NA are missing, too
    whole = ["a", "b", "é", "a", "b", "c", "a"]
    dates = pd.Series(pd.date_range("2024-01-30", periods=N).astype(str)).tolist()
    return {
        "text": (np.array(whole, dtype=object), whole),
        "category": (pd.Categorical(words), named),
        "ordered": (pd.Categorical(whole, categories=["c", "b", "a", "é"], ordered=True), whole),
        "numbers": (pd.Categorical([0.5, 10, 1e-7, 10, 0.5, 0.5, 1e-7]), ["0.5", "10", "1e-07", "10", "0.5", "0.5", "1e-07"]),
        "flags": (pd.Categorical([True, False, True, True, False, True, True]),
                  ["True", "False", "True", "True", "False", "True", "True"]),
        "int": (np.arange(N) - 3, [str(i - 3) for i in range(N)]),
        "huge": (np.full(N, 2**63 + 5, np.uint64), [str(2**63 + 5)] * N),
        "float": (np.array([0.1, np.nan, 2, 3, 4, 5, 1e300]), ["0.1", None, "2", "3", "4", "5", "1e+300"]),
        "bool": (np.arange(N) % 2 == 0, ["True" if i % 2 == 0 else "False" for i in range(N)]),
        "nullable int": (pd.array([1, None, 3, -4, 5, 6, 7], dtype="Int32"), ["1", None, "3", "-4", "5", "6", "7"]),
        "whole int": (pd.array(range(N), dtype="UInt8"), [str(i) for i in range(N)]),
        "nullable bool": (pd.array([True, None, False, True, True, True, None], dtype="boolean"),
                          ["True", None, "False", "True", "True", "True", None]),
        "nullable text": (pd.array(words, dtype="string"), named),
        "whole nullable text": (pd.array(whole, dtype="string"), whole),
        "category of strings": (pd.Categorical(pd.array(words, dtype="string")), named),
        "date as text": (np.array(dates, dtype=object), dates),
        "date": (pd.date_range("2024-01-30", periods=N), None),
        "duration": (pd.to_timedelta(range(N), unit="D"), None),
    }


def data(x, obs, var=None):
    made = anndata.AnnData(x, obs=obs, var=pd.DataFrame(index=GENES) if var is None else var)
    made.strings_to_categoricals = lambda *_: None  # text columns stay text
    return made


def save(made, name, must, **how):
    """Written, or noted as what this anndata cannot write; it must if it is new enough."""
    try:
        made.write_h5ad(FOLDER / name, **how)
        return True
    except Exception as reason:  # of many kinds, by version
        unwritable.append(name)
        check(not must, f"{name}: anndata {anndata.__version__} cannot write it: {reason}")
        return False


def write_columns(allow):
    for name, (values, texts) in columns_of_obs().items():
        file = f"column_{name.replace(' ', '_')}_{allow}.h5ad"
        obs = pd.DataFrame(index=CELLS)
        obs[name] = values
        new = name in ("nullable text", "whole nullable text", "category of strings")
        written = save(data(sample(), obs), file, texts is not None and (not new or allow is True))
        if written and texts is not None:
            expect(file, sample(), {"index": CELLS, name: texts}, GENES)


def write_indexes(allow):
    kinds = {"object": lambda v: pd.Index(np.array(v, dtype=object)), "string": lambda v: pd.Index(pd.array(v, dtype="string")),
             "categorical": lambda v: pd.CategoricalIndex(v)}
    for kind, make in kinds.items():
        for name in None, "barcode":
            obs = pd.DataFrame({"count": np.arange(N)}, index=make(CELLS).rename(name))
            var = pd.DataFrame(index=make(GENES).rename(name))
            file = f"index_{kind}_{name or 'unnamed'}_{allow}.h5ad"
            if save(data(sample(), obs, var), file, kind != "string" or allow is True):
                expect(file, sample(), {name or "index": CELLS, "count": [str(i) for i in range(N)]}, GENES)


def write_matrices():
    obs = pd.DataFrame({"count": np.arange(N)}, index=CELLS)
    columns = {"index": CELLS, "count": [str(i) for i in range(N)]}
    kinds = {"dense": np.asarray, "csr": sp.csr_matrix, "csc": sp.csc_matrix}
    if VERSION >= (0, 12):
        kinds.update(csr_array=sp.csr_array, csc_array=sp.csc_array)
    for kind, make in kinds.items():
        for dtype in "f4", "f8", "i4", "i8", "u2":
            file = f"matrix_{kind}_{dtype}.h5ad"
            if save(data(make(sample(dtype=dtype)), obs), file, dtype != "u2" or kind == "dense", compression="gzip"):
                expect(file, sample(dtype=dtype), columns, GENES)


def write_parts():
    """X, layers and raw are three matrices; raw has readouts of its own."""
    obs = pd.DataFrame({"count": np.arange(N)}, index=CELLS)
    columns = {"index": CELLS, "count": [str(i) for i in range(N)]}
    wide, names = sample(m=9, seed=3, dtype="i4"), [f"all{i}" for i in range(9)]
    for kind, make in {"dense": np.asarray, "csr": sp.csr_matrix, "csc": sp.csc_matrix}.items():
        made = data(sample(), obs)
        made.raw = data(make(wide.astype("f4")), obs, pd.DataFrame({"symbol": [f"s{i}" for i in range(9)]}, index=names))
        made.layers["counts"] = make(sample(seed=4, dtype="i4").astype("f4"))
        made.uns["nothing"] = "" if VERSION < (0, 12) else None
        if save(made, f"parts_{kind}.h5ad", True):
            expect(f"parts_{kind}.h5ad", sample(), columns, GENES)
            expect(f"parts_{kind}.h5ad", sample(seed=4, dtype="i4"), columns, GENES, "--layer", "counts")
            for word in "raw", "raw/X":
                expect(f"parts_{kind}.h5ad", wide, columns, names, "--layer", word)
            expect(f"parts_{kind}.h5ad", wide, columns, [f"s{i}" for i in range(9)], "--layer", "raw", "--readout", "symbol")
    made = anndata.AnnData(None, obs=obs, var=pd.DataFrame(index=GENES))
    made.layers["counts"] = sample(seed=4)
    if save(made, "no_x.h5ad", VERSION >= (0, 12)):
        expect("no_x.h5ad", sample(seed=4), columns, GENES, "--layer", "counts")


def write():
    write_matrices()
    write_parts()
    settings = [None]
    if hasattr(anndata, "settings") and hasattr(anndata.settings, "allow_write_nullable_strings"):
        settings = [None, True, False]  # the default of this anndata, the one to come, and strings without gaps
    for allow in settings:
        if allow is not None:
            anndata.settings.allow_write_nullable_strings = allow
        write_columns(allow)
        write_indexes(allow)
        write_new_strings(allow)
    print(f"anndata {anndata.__version__}, pandas {pd.__version__}: {len(expectations)} readings of files that it wrote; "
          f"it cannot write {sorted(set(unwritable))}")


def write_new_strings(allow):
    """pandas 3's strings, in columns, categories and every index; pandas 2 has them as an option."""
    try:
        option = pd.option_context("future.infer_string", True)
        with option:
            obs = pd.DataFrame({"maybe": ["a", None, "b", "", "a", "é", "b"], "whole": list("abcdefg")}, index=CELLS)
            var = pd.DataFrame({"symbol": [f"s{i}" for i in range(M)]}, index=GENES)
            if str(obs["maybe"].dtype) not in ("str", "string"):
                return
            obs["kind"] = pd.Categorical(["x", "y", None, "x", "x", "y", "y"])
            made = data(sample(), obs, var)
            made.raw = made.copy()
            file = f"new_strings_{allow}.h5ad"
            if save(made, file, VERSION >= (0, 12) and allow is not False):
                columns = {"index": CELLS, "maybe": ["a", None, "b", None, "a", "é", "b"], "whole": list("abcdefg"),
                           "kind": ["x", "y", None, "x", "x", "y", "y"]}
                for more in (), ("--layer", "raw"):
                    expect(file, sample(), columns, GENES, *more)
                    expect(file, sample(), columns, [f"s{i}" for i in range(M)], "--readout", "symbol", *more)
    except (KeyError, ImportError):  # no such option here, or it needs another package
        return


# ---------------------------------------------------------------- write: by hand, as newer ones do

def encoded(element, kind, version="0.2.0", **more):
    element.attrs["encoding-type"], element.attrs["encoding-version"] = kind, version
    element.attrs.update(more)
    return element


def plain(group, name, texts):
    encoded(group.create_dataset(name, data=np.array(["" if t is None else t for t in texts], dtype=object),
                                 dtype=h5py.string_dtype()), "string-array")


def nullable(group, name, texts, under="under the mask", masked=True):
    """nullable-string-array; what stands under the mask is nobody's text."""
    element = encoded(group.create_group(name), "nullable-string-array", "0.1.0", **{"na-value": "NaN"})
    plain(element, "values", [under if t is None else t for t in texts])
    if masked:
        encoded(element.create_dataset("mask", data=np.array([t is None for t in texts])), "array")


def categorical(group, name, texts, write_categories=plain):
    element = encoded(group.create_group(name), "categorical", ordered=False)
    levels = sorted({t for t in texts if t is not None})
    encoded(element.create_dataset("codes", data=np.array([-1 if t is None else levels.index(t) for t in texts], "i1")), "array")
    write_categories(element, "categories", levels)


def table(parent, name, index, columns=None, write_index=plain, write_column=plain, index_name="_index"):
    group = encoded(parent.create_group(name), "dataframe", _index=index_name)
    group.attrs.create("column-order", data=np.array(list(columns or {}), dtype=object), dtype=h5py.string_dtype())
    write_index(group, index_name, index)
    for column, texts in (columns or {}).items():
        write_column(group, column, texts)
    return group


def matrix(group, name, x):
    encoded(group.create_dataset(name, data=x), "array")


def null(group, name):
    encoded(group.create_dataset(name, data=h5py.Empty("f4")), "null", "0.1.0")


PERTURBATIONS, CONTEXTS = ["control", "A", "B", "A+B", "control", "A", "B"], list("xxxxyyy")
COLUMNS = {"perturbation": PERTURBATIONS, "context": CONTEXTS}


def made(name, x=None, obs=None, var=None):
    file = encoded(h5py.File(FOLDER / name, "w"), "anndata", "0.1.0")
    if x is not None:
        matrix(file, "X", x)
    table(file, "obs", **{"index": CELLS, "columns": COLUMNS, **(obs or {})})
    table(file, "var", **{"index": GENES, **(var or {})})
    return file


def by_hand():
    gaps = ["a", None, "b", "a", None, "µ", "c"]
    for write_index in nullable, categorical, plain:
        for index_name in "_index", "barcode":
            file = f"hand_{write_index.__name__}_{index_name}.h5ad"
            with made(file, sample(), {"write_index": write_index, "index_name": index_name, "write_column": nullable,
                                       "columns": {**COLUMNS, "gaps": gaps}},
                      {"write_index": write_index, "index_name": index_name, "columns": {"symbol": [f"s{i}" for i in range(M)]},
                       "write_column": nullable}):
                pass
            index = "index" if index_name == "_index" else index_name
            expect(file, sample(), {index: CELLS, "gaps": gaps, **COLUMNS}, GENES)
            expect(file, sample(), {index: CELLS, "gaps": gaps, **COLUMNS}, [f"s{i}" for i in range(M)], "--readout", "symbol")
    with made("hand_categories.h5ad", sample()) as f:  # categories that are nullable, one of them missing
        group = encoded(f["obs"].create_group("kind"), "categorical", ordered=False)
        group["codes"] = np.array([0, 1, 2, -1, 0, 1, 2], "i1")
        nullable(group, "categories", ["u", None, "v"])
        nullable(f["obs"], "unmasked", list("abcdefg"), masked=False)
        f["obs/unmasked_int/values"] = np.arange(N)
        encoded(f["obs/unmasked_int"], "nullable-integer", "0.1.0")
        f["obs/many/values"], f["obs/many/mask"] = np.arange(N), np.arange(N) % 2  # a mask of integers
        encoded(f["obs/many"], "nullable-integer", "0.1.0")
    expect("hand_categories.h5ad", sample(), {
        "index": CELLS, "kind": ["u", None, "v", None, "u", None, "v"], "unmasked": list("abcdefg"),
        "unmasked_int": [str(i) for i in range(N)], "many": ["0", None, "2", None, "4", None, "6"], **COLUMNS}, GENES)
    long = 70000  # more rows than are in memory at a time
    texts = [None if i % 7 == 3 else f"row {i}" for i in range(long)]
    with made("hand_long.h5ad", np.zeros((long, 1)), {"index": texts, "write_index": nullable, "columns": {}}, {"index": ["g"]}):
        pass
    expect("hand_long.h5ad", np.zeros((long, 1)), {"index": texts}, ["g"])
    raw_and_layers()
    mudata()


def raw_and_layers():
    index = {"index": CELLS, **COLUMNS}
    counts = sample(m=9, seed=3, dtype="i4")
    names = [f"all{i}" for i in range(9)]
    for name, x in ("hand_raw.h5ad", sample()), ("hand_no_x.h5ad", None):
        with made(name, x) as f:
            if x is None:
                null(f, "X")
            encoded(f.create_group("raw"), "raw", "0.1.0")
            matrix(f["raw"], "X", counts)
            table(f["raw"], "var", names, write_index=nullable)
            matrix(f, "layers/counts", sample(dtype="i4"))
            matrix(f, "layers/scaled", sample(seed=8))
            null(f, "layers/none")
            null(f, "uns/none")
        for layer in "raw", "raw/X":
            expect(name, counts, index, names, "--layer", layer)
        expect(name, sample(dtype="i4"), index, GENES, "--layer", "counts")
    with made("hand_layer_raw.h5ad", sample()) as f:  # a layer called raw is a layer, as it always was
        matrix(f, "layers/raw", sample(seed=8))
        matrix(f, "raw/X", counts)
        table(f["raw"], "var", names)
    expect("hand_layer_raw.h5ad", sample(seed=8), index, GENES, "--layer", "raw")
    expect("hand_layer_raw.h5ad", counts, index, names, "--layer", "raw/X")
    with made("hand_old_raw.h5ad", sample()) as f:  # anndata < 0.7
        f["raw.X"] = counts
        table(f, "raw.var", names)
    expect("hand_old_raw.h5ad", counts, index, names, "--layer", "raw")
    with made("hand_bare_raw.h5ad", sample()) as f:  # raw/X without a table: R
        f["raw/X"] = sample(dtype="i4")
    expect("hand_bare_raw.h5ad", sample(dtype="i4"), index, GENES, "--layer", "raw")


def mudata():
    """Two modalities, the second with fewer rows and in another order; the shared table has a column of its own."""
    path = FOLDER / "hand.h5mu"
    with h5py.File(path, "w", userblock_size=512) as f:
        encoded(f, "MuData", "0.1.0")
        order = [5, 2, 0]
        for name, rows, genes, columns in (("rna", range(N), GENES, COLUMNS), ("prot", order, ["CD3", "CD4"], {})):
            group = encoded(f.create_group(f"mod/{name}"), "anndata", "0.1.0")
            matrix(group, "X", sample(m=len(genes), seed=len(genes))[list(rows)])
            matrix(group, "layers/counts", sample(m=len(genes), dtype="i4")[list(rows)])
            table(group, "obs", [CELLS[i] for i in rows], {c: [v[i] for i in rows] for c, v in columns.items()}, write_index=nullable)
            table(group, "var", genes, write_index=nullable)
        table(f, "obs", CELLS[::-1], {"perturbation": ["shared"] * N, "donor": [f"d{i % 3}" for i in range(N)][::-1]},
              write_column=categorical)
        table(f, "var", GENES + ["CD3", "CD4"])
    with open(path, "r+b") as file:
        file.write(b"MuData (format-version=0.1.0;creator=muon;creator-version=0.1.2)")
    donor = [f"d{i % 3}" for i in range(N)]
    expect("hand.h5mu", sample(m=5, seed=5), {"index": CELLS, **COLUMNS, "donor": donor}, GENES, "--modality", "rna")
    few = {"index": [CELLS[i] for i in order], "donor": [donor[i] for i in order], "perturbation": ["shared"] * 3}
    expect("hand.h5mu", sample(m=2, seed=2)[order], few, ["CD3", "CD4"], "--modality", "prot")
    expect("hand.h5mu", sample(m=2, dtype="i4")[order], few, ["CD3", "CD4"], "--modality", "prot", "--layer", "counts")


# ---------------------------------------------------------------- read: by the program

def dump(path, *options):
    return subprocess.run([DUMP, path, FOLDER / "values.bin", *options], capture_output=True, timeout=120)


def read_expected():
    """Every value, column and name."""
    for number, wanted in enumerate(json.loads((FOLDER / "expected.json").read_text())):
        x = np.load(FOLDER / f"expected{number}.npy")
        what = " ".join([wanted["file"], *wanted["options"]])
        done = dump(FOLDER / wanted["file"], "--rows", "2" if len(x) < 100 else "0", *wanted["options"])
        check(done.returncode == 0, f"{what}: exit {done.returncode}: {done.stderr.decode(errors='replace').strip()}")
        if done.returncode:
            continue
        out = json.loads(done.stdout)
        values = np.fromfile(FOLDER / "values.bin", np.float32).reshape(out["rows"], len(out["readouts"]))
        check(out["readouts"] == wanted["readouts"], f"{what}: readouts {out['readouts'][:5]}")
        check(values.shape == x.shape and np.array_equal(values, x, equal_nan=True), f"{what}: values differ")
        check(not out["problems"], f"{what}: problems {out['problems'][:3]}")
        check(set(out["columns"]) == set(wanted["columns"]), f"{what}: columns {sorted(out['columns'])}")
        for name, texts in wanted["columns"].items():
            found = out["columns"].get(name)
            check(found == texts, f"{what}: column '{name}' is {str(found)[:200]}, not {str(texts)[:200]}")


def said(code, *arguments, ranks=1):
    """Standard output and error of a command that ends with this code."""
    done = run(*arguments, ranks=ranks)
    check(done.returncode == code, f"{arguments}: exit {done.returncode}, not {code}: {done.stdout[-300:]} {done.stderr[-500:]}")
    return done.stdout + done.stderr


def says(text, *words):
    for word in words:
        check(word in text, f"{text.strip()[-600:]!r} does not say {word!r}")


def commands():
    """What check, import, info and verify make of them."""
    store = FOLDER / "out.prc.h5"
    for name in "hand_nullable__index.h5ad", "hand_categorical_barcode.h5ad", "hand_plain__index.h5ad":
        says(said(0, "import", FOLDER / name, "-o", store), "perturbations   4", "contexts        2", "readouts        5")
        out = json.loads(said(0, "info", FOLDER / name, "--json"))
        check(out["rows"] == N and out["readouts"] == M and "gaps" in out["obs_columns"], f"info {name}: {out}")
        for ranks in 1, 3:
            says(said(0, "verify", FOLDER / name, ranks=ranks), "structure is right")
    with h5py.File(store) as f:
        check(sorted(s.decode() for s in f["readout/symbol"][:]) == GENES, "readouts of the store")
    no_x = said(65, "check", FOLDER / "hand_no_x.h5ad")
    says(no_x, "has no X, but layers (choose one with --layer): raw, counts, scaled")
    check("none" not in no_x, f"a null layer is named: {no_x}")
    says(said(65, "import", FOLDER / "hand_no_x.h5ad", "-o", FOLDER / "no.prc.h5"), "has no X", "raw, counts, scaled")
    says(said(0, "import", FOLDER / "hand_no_x.h5ad", "-o", store, "--layer", "raw"), "raw/X", "readouts        9")
    says(said(65, "check", FOLDER / "hand_no_x.h5ad", "--layer", "none"), "has no layer 'none'", "raw, counts, scaled")
    for name in "hand_no_x.h5ad", "hand.h5mu":
        said(0, "verify", FOLDER / name, ranks=2)
    out = json.loads(said(0, "info", FOLDER / "hand_no_x.h5ad", "--json"))
    check(out["x"] == "none" and out["raw"] == "array int32" and out["layers"] == ["counts", "scaled"] and
          out["uns"] == {"none": "none"}, f"info of null elements: {out}")
    negative_values(store)
    missing_labels(store)
    modalities(store)
    zarr()


def negative_values(store):
    """Values below zero where others are counts: those are named, beside the first problem and without one."""
    path = FOLDER / "hand_raw.h5ad"
    named = ["X holds negative numbers; there are counts in raw/X (--layer raw), layers/counts (--layer counts)"]
    says(said(0, "check", path), *named)
    says(said(0, "import", path, "-o", store), *named)
    says(said(65, "import", path, "-o", FOLDER / "no.prc.h5", "--normalize-total", "100"), "is no count", *named)
    says(said(0, "check", FOLDER / "hand_layer_raw.h5ad"), "there are counts in raw/X (--layer raw/X)")
    with made("deep.h5ad", sample() * 100) as f:
        matrix(f, "layers/counts", sample(dtype="i4"))
    says(said(65, "check", FOLDER / "deep.h5ad", "--log1p"), "has no log1p; X holds negative numbers; there are counts in layers/counts")
    for quiet in ("--layer", "raw"), ("--layer", "counts"), ("--layer", "scaled"):
        check("negative" not in said(0, "check", path, *quiet), f"{quiet}: nobody asked")
    for name in "hand_plain__index.h5ad", "hand.h5mu":  # no counts beside them; and counts of a modality
        text = said(0, "check", FOLDER / name, *(("--modality", "rna") if name.endswith("mu") else ()))
        check(("counts in layers/counts" in text) == name.endswith("mu"), f"{name}: {text}")


def missing_labels(store):
    """A missing name is a problem of its row where it is needed, and only there."""
    gap = CELLS[:3] + [None] + CELLS[4:]
    for write_index in nullable, categorical:
        path = FOLDER / f"missing_{write_index.__name__}.h5ad"
        with made(path.name, sample(), {"index": gap, "write_index": write_index}):
            pass
        says(said(0, "check", path), "problems        0")
        said(0, "import", path, "-o", store)
        says(said(65, "check", path, "-p", "index"), f"{path}:4:index: missing", "problems        1")
        says(said(65, "import", path, "-p", "index", "-o", FOLDER / "no.prc.h5"), f"{path}:4:index: missing")
        with h5py.File(path, "r+") as f:  # a bad value in that row, whose name would be told
            f["X"][3, 1], f["X"][4, 2] = np.inf, np.inf
        text = said(65, "check", path)
        says(text, ":4:g1: is infinite", f":5:g2: is infinite, or too large for single precision (row '{CELLS[4]}')")
        check("under the mask" not in text, f"a masked name is told: {text}")
    with made("missing_var.h5ad", sample(), None, {"index": ["g0", None, "g2", "g3", None], "write_index": nullable}):
        pass
    says(said(65, "check", FOLDER / "missing_var.h5ad"), "readout number 2 has no name", "readout number 5 has no name", "problems        2")
    says(said(65, "import", FOLDER / "missing_var.h5ad", "-o", FOLDER / "no.prc.h5"), "readout number 2 has no name")
    with made("short_mask.h5ad", sample(), {"write_index": nullable}) as f:
        del f["obs/_index/mask"]
        f["obs/_index/mask"] = [False, True]
    says(said(65, "check", FOLDER / "short_mask.h5ad"), "obs/_index: has 7 values but a mask of 2")
    with made("odd_group.h5ad", sample()) as f:
        encoded(f["obs"].create_group("odd"), "awkward-array")
        null(f["obs"], "empty")
    for name in "odd", "empty":
        says(said(65, "check", FOLDER / "odd_group.h5ad", "-p", name), f"obs/{name}: is ",
             "neither a plain, a categorical nor a nullable column" if name == "odd" else "is empty (null)")
    said(0, "check", FOLDER / "odd_group.h5ad")


def modalities(store):
    path = FOLDER / "hand.h5mu"
    says(said(65, "check", path), "is MuData (.h5mu)", "--modality", "prot, rna")
    says(said(65, "import", path, "-o", FOLDER / "no.prc.h5", "--modality", "atac"), "has no modality 'atac'", "prot, rna")
    says(said(0, "import", path, "-o", store, "--modality", "prot", "--context", "donor"), "mod/prot/X", "readouts        2")
    says(said(65, "check", FOLDER / "hand_raw.h5ad", "--modality", "rna"), "--modality rna", "no MuData file")
    (FOLDER / "table.csv").write_text("perturbation,context,g\ncontrol,x,1\n")
    says(said(65, "check", FOLDER / "table.csv", "--modality", "rna"), "--modality rna", "wide table")
    out = json.loads(said(0, "info", path, "--json"))
    check(out["kind"] == "MuData" and out["rows"] == N and list(out["modalities"]) == ["prot", "rna"] and
          out["modalities"]["prot"]["rows"] == 3 and out["modalities"]["rna"]["layers"] == ["counts"], f"info of MuData: {out}")
    says(said(0, "info", path), "MuData", "prot", "rna")


def zarr():
    for version, mark in (2, ".zgroup"), (3, "zarr.json"):
        path = FOLDER / f"store{version}.zarr"
        (path / "obs").mkdir(parents=True)
        (path / mark).write_text("{}")
        for command in ("check",), ("import", "-o", FOLDER / "no.prc.h5"), ("info",), ("verify",):
            for name in path, f"{path}/":
                says(said(65, command[0], name, *command[1:]), "is a Zarr store", f"read_zarr('{path}').write_h5ad", str(path))
    (FOLDER / "s.zarr.zip").write_bytes(b"PK\3\4" + bytes(100))
    says(said(65, "check", FOLDER / "s.zarr.zip"), "is a Zarr store")
    (FOLDER / "folder").mkdir()
    says(said(65, "check", FOLDER / "folder"), "is a directory")


def nothing_measured():
    with made("nan.h5ad", np.full((N, M), np.nan)):
        pass
    said(65, "import", FOLDER / "nan.h5ad", "-o", FOLDER / "no.prc.h5")
    says(said(65, "check", FOLDER / "nan.h5ad"), "nan.h5ad: no value is measured: all 35 of 7 experiments are missing (NaN or empty)",
         "problems        1")
    check(not (FOLDER / "no.prc.h5").exists(), "a store was written in spite of problems")


def damage():
    """Flipped bytes: right or refused with one sentence, never a crash or a hang."""
    dice, counts = random.Random(6), {}
    files = [("hand_nullable__index.h5ad",), ("hand_categories.h5ad",), ("hand_raw.h5ad", "--layer", "raw"),
             ("hand.h5mu", "--modality", "prot")]
    for i in range(120):
        name, *options = files[i % len(files)]
        content = bytearray((FOLDER / name).read_bytes())
        for _ in range(dice.choice((1, 2, 8, 40))):
            content[int(len(content) * dice.random() ** dice.choice((1, 3)))] = dice.choice((0, 1, 0x7f, 0x80, 0xff))
        (FOLDER / "mutant.h5ad").write_bytes(content)
        done = dump(FOLDER / "mutant.h5ad", *options)
        counts[done.returncode] = counts.get(done.returncode, 0) + 1
        check(done.returncode == 0 or (done.returncode == 65 and len(done.stderr.splitlines()) == 1),
              f"mutation {i} of {name}: exit {done.returncode}: {done.stderr[-300:]}")
    print(f"damaged files: exit codes {counts}")


def make_outputs():
    """Files of simulate and impute for the judge."""
    screen, store, directory = FOLDER / "out_screen.h5ad", FOLDER / "out_store.prc.h5", FOLDER / "run"
    said(0, "simulate", "-o", screen, "--truth", FOLDER / "out_truth.h5ad", "--perturbations", "12", "--combinations", "4",
         "--readouts", "15", "--contexts", "3", "--cells", "3", "--replicates", "2")
    said(0, "import", screen, "-o", store, "--normalize-total", "1e4", "--log1p", "--split-column", "split")
    said(0, "-q", "train", SOURCE / "config/quickstart.yaml", "--set", f"data.store={store}", "--set", f"run.directory={directory}",
         "--set", "train.epochs=1")
    said(0, "-q", "impute", directory, "-o", FOLDER / "out_imputed.h5ad", ranks=2)


# ---------------------------------------------------------------- judge: anndata reads what we write

def elements(file):
    """{path: h5py's own reading} of every dataset"""
    found = {}
    file.visititems(lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return found


def judge_columns(got, frame, path, axis, found):
    index = [x.decode() for x in found[f"{axis}/_index"]]
    check(list(got) == index, f"{path}: {axis}_names")
    for column in frame:
        values = frame[column]
        if f"{axis}/{column}/codes" in found:
            levels = [x.decode() for x in found[f"{axis}/{column}/categories"]]
            right = [None if k < 0 else levels[k] for k in found[f"{axis}/{column}/codes"]]
            check([None if pd.isna(v) else v for v in values] == right, f"{path}: {axis}['{column}']")
        else:
            right = [x.decode() if isinstance(x, bytes) else x for x in found[f"{axis}/{column}"].tolist()]
            check(values.tolist() == right, f"{path}: {axis}['{column}']")


def judge():
    for name in "out_screen.h5ad", "out_truth.h5ad", "out_imputed.h5ad":
        path = FOLDER / name
        with h5py.File(path) as f:
            found = elements(f)
            columns = {axis: [c.decode() for c in f[axis].attrs["column-order"]] for axis in ("obs", "var")}
        if "X" in found:
            x = found["X"]
        else:
            shape = (len(found["obs/_index"]), len(found["var/_index"]))
            x = sp.csr_matrix((found["X/data"], found["X/indices"], found["X/indptr"]), shape=shape).toarray()
        whole, backed = anndata.read_h5ad(path), anndata.read_h5ad(path, backed="r")
        for kind, a in ("whole", whole), ("backed", backed):
            check(a.shape == x.shape, f"{path} {kind}: shape {a.shape}")
            for axis, names, frame in ("obs", a.obs_names, a.obs), ("var", a.var_names, a.var):
                check(list(frame.columns) == columns[axis], f"{path} {kind}: columns of {axis}: {list(frame.columns)}")
                judge_columns(names, frame, f"{path} {kind}", axis, found)
            rows = a.X[1:4]
            rows = rows.toarray() if sp.issparse(rows) else np.asarray(rows)
            check(np.array_equal(rows, x[1:4], equal_nan=True), f"{path} {kind}: rows of X")
        check(set(whole.uns) == {p.split("/")[1] for p in found if p.startswith("uns/")}, f"{path}: uns {list(whole.uns)}")
        every = backed.to_memory()
        got = every.X.toarray() if sp.issparse(every.X) else np.asarray(every.X)
        check(np.array_equal(got, x, equal_nan=True), f"{path}: X to memory")
        part = backed[backed.obs["perturbation"] == "control"].to_memory()
        check(part.n_obs == (whole.obs["perturbation"] == "control").sum() > 0, f"{path}: the controls, backed")
        backed.file.close()
        whole.write_h5ad(FOLDER / f"again_{name}")  # everything read is something that anndata can write
        again = anndata.read_h5ad(FOLDER / f"again_{name}")
        check(again.obs.equals(whole.obs), f"{path}: obs, written again")


if "write" in STEPS:
    write()
    by_hand()
    (FOLDER / "expected.json").write_text(json.dumps(expectations))
if "read" in STEPS:
    read_expected()
    commands()
    nothing_measured()
    damage()
    make_outputs()
if "judge" in STEPS:
    judge()
scratch.cleanup()
finish()
