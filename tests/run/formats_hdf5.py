#!/usr/bin/python3
"""AnnData and GCTX against other readers (anndata, h5py): values, names and metadata must be the same, bad files must
be refused with one sentence, and damaged ones must never crash or hang the reader.

usage: formats_hdf5.py TESSERA SOURCE_ROOT [MUTATIONS]
"""
import inspect
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
from checks import check, finish, real_data

warnings.filterwarnings("ignore")
DUMP = pathlib.Path(sys.argv[1]).parent / "tests/run/dump_source"
DATA = real_data()
MUTATIONS = 300 if DATA or len(sys.argv) < 4 else int(sys.argv[3])
TMP = pathlib.Path(tempfile.mkdtemp(prefix="tessera-formats-"))


def dump(path, *options):
    """(exit code, JSON or None, values, stderr)"""
    values = TMP / "values.bin"
    try:
        done = subprocess.run([DUMP, path, values, *map(str, options)], capture_output=True, timeout=20)
    except subprocess.TimeoutExpired:
        return "timeout", None, None, ""
    stderr = done.stderr.decode(errors="replace")
    if done.returncode != 0:
        return done.returncode, None, None, stderr
    out = json.loads(done.stdout)
    x = np.fromfile(values, dtype=np.float32).reshape(out["rows"], len(out["readouts"]))
    return 0, out, x, stderr


def text(x):
    """How a metadata value is to appear."""
    if isinstance(x, (bytes, np.bytes_)):
        x = x.decode("utf-8") if valid(x) else x.decode("latin-1")
    if isinstance(x, str):
        return None if x in ("", "NA", "N/A", "NaN", "nan", "<NA>") else x
    if x is None or x is pd.NA or (isinstance(x, (float, np.floating)) and np.isnan(x)):
        return None
    if isinstance(x, (bool, np.bool_)):
        return "True" if x else "False"
    if isinstance(x, (int, np.integer)):
        return str(int(x))
    if float(x) == int(x) and abs(x) < 1e15:
        return str(int(x))
    t = str(x)
    return t[:-2] if t.endswith(".0") else t


def valid(b):
    try:
        b.decode("utf-8")
        return True
    except UnicodeDecodeError:
        return False


def texts(series):
    return [text(x) for x in (series.tolist() if series.dtype.kind != "f" else series.to_numpy())]


def dense(x):
    with np.errstate(over="ignore"):
        return np.asarray(x.todense() if sp.issparse(x) else x).astype(np.float32)


def same(path, x, obs, var, *options, what=None):
    """The reader's view of `path` is this matrix, these columns {name: texts} and these readouts, for any block size."""
    what = what or pathlib.Path(path).name
    for rows in (0, 1, 3):
        if rows and len(x) > 1000:
            continue
        code, out, values, stderr = dump(path, "--rows", rows, *options)
        check(code == 0, f"{what}: exit {code}: {stderr.strip()}")
        if code != 0:
            return None
        check(out["readouts"] == list(var), f"{what}: readouts {out['readouts'][:5]} are not {list(var)[:5]}")
        check(values.shape == x.shape and np.array_equal(values, x, equal_nan=True), f"{what}: values differ, --rows {rows}")
        check(not out["problems"], f"{what}: problems {out['problems'][:3]}")
    for name, expected in obs.items():
        check(out["columns"].get(name) == expected, f"{what}: column '{name}' is {str(out['columns'].get(name))[:200]}, "
              f"not {str(expected)[:200]}")
    check(set(out["columns"]) == set(obs), f"{what}: columns {sorted(out['columns'])} are not {sorted(obs)}")
    return out


def same_as_anndata(path, *options, layer=None, what=None):
    a = anndata.read_h5ad(path)
    obs = {c: texts(a.obs[c]) for c in a.obs}
    obs[a.obs.index.name or "index"] = [text(i) for i in a.obs.index]
    if layer:
        options = ("--layer", layer, *options)
    return same(path, dense(a.layers[layer] if layer else a.X), obs, a.var_names, *options, what=what)


def refused(path, *words, options=(), what=None):
    what = what or pathlib.Path(path).name
    code, _, _, stderr = dump(path, *options)
    lines = stderr.strip().splitlines()
    check(code == 65 and len(lines) == 1, f"{what}: exit {code}, said {stderr.strip()[:300]!r}")
    for word in words:
        check(word in stderr, f"{what}: {stderr.strip()!r} does not say {word!r}")
    check(str(path) in stderr, f"{what}: {stderr.strip()!r} does not name the file")


def problem(path, *words, what=None):
    what = what or pathlib.Path(path).name
    code, out, _, stderr = dump(path)
    check(code == 0, f"{what}: exit {code}: {stderr.strip()}")
    if code == 0:
        check(any(all(w in p for w in words) for p in out["problems"]), f"{what}: no problem says {words}: {out['problems'][:4]}")
    return out


# ---------------------------------------------------------------- files of others

def gctx_expected(path):
    with h5py.File(path) as f:
        columns = {}
        for name, d in f["0/META/COL"].items():
            values = [text(v) for v in d[:]]
            columns[name] = [None if v == "-666" else v for v in values]
        x = f["0/DATA/0/matrix"][:].astype(np.float32)
        return x, columns, [text(v) for v in f["0/META/ROW/id"][:]]


def real_files():
    without_matrix = {"metadata_writer_test.gctx", "mini_gctoo_data_matrix.gctx"}
    for path in sorted((DATA / "formats").glob("*.gctx")):
        if path.name in without_matrix:
            refused(path, "without a matrix", "0/DATA/0/matrix")
        elif path.name != "gct_text_named.gctx":
            same(path, *gctx_expected(path))
    for path in sorted(DATA.glob("*.h5ad")):
        same_as_anndata(path)
    refused(DATA / "formats/anndata_v0.11.4.h5ad", "no X", "no layers")
    for name in ("anndata_v0.7.0.h5ad", "anndata_v0.7.8.h5ad"):
        path = DATA / "formats" / name
        same_as_anndata(path)
        same_as_anndata(path, layer="array", what=f"{name} layer array")
        same_as_anndata(path, layer="sparse", what=f"{name} layer sparse")
        refused(path, "no layer 'none'", "array, sparse", options=("--layer", "none"))


# ---------------------------------------------------------------- our own variants

rng = np.random.default_rng(11)


def sample(n=7, m=5, share=0.5, dtype=np.float64):
    x = np.where(rng.random((n, m)) < share, np.round(rng.normal(size=(n, m)) * 50, 2), 0)
    return np.abs(x).astype(dtype) if np.dtype(dtype).kind in "ub" else x.astype(dtype)


def table(n=7):
    obs = pd.DataFrame(index=[f"cell{i}" for i in range(n)])
    obs["words"] = pd.Categorical([None if i == 2 else "abcb"[i % 4] * 3 for i in range(n)])
    obs["numbers"] = pd.Categorical([[0.5, 10, 1e-7][i % 3] for i in range(n)])
    obs["text"] = ["nan" if i == 4 else f"µ-{i % 3}" for i in range(n)]
    obs["int"] = np.arange(n) - 3
    obs["huge"] = np.full(n, 2**63 + 5, dtype=np.uint64)
    obs["float"] = [np.nan if i == 1 else i / 10 for i in range(n)]
    obs["single"] = (np.arange(n) / 10).astype(np.float32)
    obs["flag"] = [i % 2 == 0 for i in range(n)]
    return obs


def write(name, x, obs=None, var=None, **how):
    n, m = x.shape
    # Old versions make float32 of everything unless told not to; new ones do not know the word.
    same = {"dtype": x.dtype} if "dtype" in inspect.signature(anndata.AnnData.__init__).parameters else {}
    a = anndata.AnnData(x, obs=table(n) if obs is None else obs, **same,
                        var=pd.DataFrame(index=var if var is not None else [f"g{i}" for i in range(m)]))
    a.strings_to_categoricals = lambda *_: None  # text columns stay text
    path = TMP / name
    a.write_h5ad(path, **how)
    return path


def matrices():
    for dtype in ("f2", "f4", "f8", "i1", "i4", "i8", "u2", "u8"):
        same_as_anndata(write(f"dense_{dtype}.h5ad", sample(dtype=dtype)))
    for how in ("gzip", "lzf"):
        same_as_anndata(write(f"dense_{how}.h5ad", sample(400, 90), compression=how))
        same_as_anndata(write(f"csr_{how}.h5ad", sp.csr_matrix(sample(400, 90)), compression=how))
    for kind in (sp.csr_matrix, sp.csc_matrix):
        name = kind.__name__[:3]
        for dtype in ("f4", "f8", "i8"):
            same_as_anndata(write(f"{name}_{dtype}.h5ad", kind(sample(dtype=dtype))))
        same_as_anndata(write(f"{name}_empty.h5ad", kind((7, 5))))
        same_as_anndata(write(f"{name}_one_row.h5ad", kind(sample(1, 5))))
        same_as_anndata(write(f"{name}_no_rows.h5ad", kind((0, 5)), obs=pd.DataFrame(index=[])))
        same_as_anndata(write(f"{name}_large.h5ad", kind(sample(700, 300, 0.1)), compression="gzip"))
    same_as_anndata(write("one_row.h5ad", sample(1, 5)))
    same_as_anndata(write("no_obs_columns.h5ad", sample(), obs=pd.DataFrame(index=list("abcdefg"))))
    same_as_anndata(write("no_rows.h5ad", np.zeros((0, 5)), obs=pd.DataFrame(index=[])))
    same_as_anndata(write("no_readouts.h5ad", np.zeros((7, 0))))
    same_as_anndata(write("named_index.h5ad", sample(), obs=table().rename_axis("barcode")))
    x = sample()
    x[1, 2] = np.nan
    same_as_anndata(write("nan.h5ad", x))
    same_as_anndata(write("nan_csr.h5ad", sp.csr_matrix(x)))
    path = write("bool.h5ad", sample(dtype="f4"))
    with h5py.File(path, "r+") as f:
        flags = f["X"][:] > 0
        del f["X"]
        f["X"] = flags
    same(path, flags.astype(np.float32), {c: texts(v) for c, v in table().items()} | {"index": list(table().index)},
         [f"g{i}" for i in range(5)])


def untidy():
    """Indices out of order, repeated, of 64 bits; and the names of old releases."""
    for major, kind in (("csr", sp.csr_matrix), ("csc", sp.csc_matrix)):
        x = kind(np.round(4 * sample(share=0.7)) / 4)  # sums are then exact in single precision
        path = write(f"{major}_untidy.h5ad", x)
        expected = dense(x)
        with h5py.File(path, "r+") as f:
            g = f["X"]
            pointer, index, data = (g[k][:] for k in ("indptr", "indices", "data"))
            at = next(i for i in range(len(pointer) - 1) if pointer[i + 1] - pointer[i] >= 3)
            lo, hi = pointer[at], pointer[at + 1]
            index[lo:hi], data[lo:hi] = index[lo:hi][::-1].copy(), data[lo:hi][::-1].copy()
            where = (at, index[lo]) if major == "csr" else (index[lo], at)
            index, data = np.insert(index, hi, index[lo]), np.insert(data, hi, 7.0)
            pointer[at + 1:] += 1
            for k, v in (("indptr", pointer.astype(np.int64)), ("indices", index.astype(np.int64)), ("data", data)):
                del g[k]
                g[k] = v
            value = float(data[lo]) + 7.0
            g.attrs["h5sparse_format"], g.attrs["h5sparse_shape"] = major, g.attrs["shape"]
            del g.attrs["encoding-type"], g.attrs["shape"]
        expected[where] = np.float32(value)
        same(path, expected, {c: texts(v) for c, v in table().items()} | {"index": list(table().index)}, [f"g{i}" for i in range(5)])


def nullable():
    obs = table()
    obs["count"] = pd.array([1, None, 3, 4, 5, 6, 7], dtype="Int32")
    obs["ready"] = pd.array([True, None, False, True, True, True, True], dtype="boolean")
    path = write("nullable.h5ad", sample(), obs=obs)
    same_as_anndata(path)
    with h5py.File(path, "r+") as f:  # as anndata 0.12 writes strings with gaps
        g = f["obs"].create_group("maybe")
        g.attrs["encoding-type"] = "nullable-string-array"
        g["values"] = ["x", "y", "z", "x", "y", "z", "x"]
        g["mask"] = np.arange(7) == 3
        f["obs/b/c"] = np.arange(7)  # a column named "b/c"
    a = anndata.read_h5ad(write("reference.h5ad", sample(), obs=obs))
    expected = {c: texts(a.obs[c]) for c in a.obs} | {"index": list(obs.index), "maybe": ["x", "y", "z", None, "y", "z", "x"],
                                                     "b/c": list("0123456")}
    code, out, _, stderr = dump(path)
    check(code == 0 and out["columns"] == expected, f"nullable strings: {stderr} {out and out['columns']}")


def old():
    """obs of anndata 0.7 (__categories) and before (compound)."""
    path = write("old_categories.h5ad", sample(), obs=pd.DataFrame(index=[f"c{i}" for i in range(7)]))
    with h5py.File(path, "r+") as f:
        f["obs/__categories/type"] = ["x", "y", "z"]
        f["obs/__categories/dose"] = [0.5, 10.0]
        f["obs/type"] = np.array([0, 1, 2, -1, 2, 1, 0], dtype=np.int8)
        f["obs/dose"] = np.array([0, 1, 1, 0, -1, 0, 0], dtype=np.int8)
        for c in ("type", "dose"):
            f["obs"][c].attrs["categories"] = f["obs/__categories"][c].ref
        f["obs"].attrs["column-order"] = ["type", "dose"]
        x = f["X"][:].astype(np.float32)
    same(path, x, {"index": [f"c{i}" for i in range(7)], "type": ["x", "y", "z", None, "z", "y", "x"],
                   "dose": ["0.5", "10", "10", "0.5", None, "0.5", "0.5"]}, [f"g{i}" for i in range(5)])
    path = TMP / "compound.h5ad"
    with h5py.File(path, "w") as f:
        obs = np.zeros(3, dtype=[("index", "S5"), ("type", "i1"), ("dose", "f8"), ("word", h5py.string_dtype()), ("on", "?")])
        obs["index"], obs["type"], obs["dose"] = [b"r0", b"r1", b"r2"], [1, 0, 1], [0.1, np.nan, 2]
        obs["word"], obs["on"] = ["é", "b", "a long one"], [True, False, True]
        f["obs"] = obs
        var = np.zeros(2, dtype=[("index", "S5")])
        var["index"] = [b"g0", b"g1"]
        f["var"] = var
        f["uns/type_categories"] = ["u", "v"]
        f["X"] = np.arange(6, dtype=np.float32).reshape(3, 2)
    same(path, np.arange(6, dtype=np.float32).reshape(3, 2),
         {"index": ["r0", "r1", "r2"], "type": ["v", "u", "v"], "dose": ["0.1", None, "2"], "word": ["é", "b", "a long one"],
          "on": ["True", "False", "True"]}, ["g0", "g1"])
    with h5py.File(path, "r+") as f:  # one readout: X was a line
        del f["X"], f["var"]
        f["X"], f["var"] = np.arange(3.0), var[:1]
    code, out, x, stderr = dump(path)
    check(code == 0 and x.tolist() == [[0], [1], [2]], f"X as a line: {stderr}")


def problems():
    x = sample()
    x[3, 2] = np.inf
    problem(write("inf.h5ad", x), ":4:g2: ", "infinite", "cell3")
    problem(write("inf_csr.h5ad", sp.csr_matrix(x)), ":4:g2: ", "infinite", "cell3")
    problem(write("inf_csc.h5ad", sp.csc_matrix(x)), ":4:g2: ", "infinite", "cell3")
    x[3, 2] = 1e300
    problem(write("too_large.h5ad", x), ":4:g2: ", "single precision")
    out = problem(write("twice.h5ad", sample(), var=["a", "b", "a", "", "a"]), "'a' appears twice", "1 and 3")
    check(out and len(set(out["readouts"])) == 5 and len(out["problems"]) == 3, f"duplicate readouts: {out and out['problems']}")


def change(name, edit, x=None):
    path = write(name, sample() if x is None else x)
    with h5py.File(path, "r+") as f:
        edit(f)
    return path


def put(f, name, value):
    attributes = dict(f[name].attrs) if name in f else {}
    if name in f:
        del f[name]
    f[name] = value
    f[name].attrs.update(attributes)


def unavailable(f):
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_chunk((7, 5))
    plist.set_filter(32015, h5py.h5z.FLAG_OPTIONAL)
    del f["X"]
    h5py.h5d.create(f.id, b"X", h5py.h5t.NATIVE_FLOAT, h5py.h5s.create_simple((7, 5)), plist)


def virtual(f):
    layout = h5py.VirtualLayout(shape=(7, 5), dtype="f4")
    layout[:] = h5py.VirtualSource("elsewhere.h5", "X", shape=(7, 5))
    del f["X"]
    f.create_virtual_dataset("X", layout)


def enormous(f):
    del f["X"], f["obs"]
    f.create_dataset("X", (1 << 40, 5), chunks=(100, 5), dtype="f4")
    f.create_dataset("obs/_index", (1 << 40,), chunks=(100,), dtype="S20")


def refusals():
    csr = sp.csr_matrix(sample(share=0.9))
    refused(change("no_x.h5ad", lambda f: f.move("X", "layers/raw")), "no X", "layers", "raw")
    refused(change("no_obs.h5ad", lambda f: f.pop("obs")), "no 'obs'")
    refused(change("no_index.h5ad", lambda f: (f["obs"].attrs.pop("_index"), f["obs"].pop("_index"))), "no index")
    refused(change("shape.h5ad", lambda f: put(f, "X", np.zeros((6, 5)))), "6 × 5", "7")
    refused(change("text_x.h5ad", lambda f: put(f, "X", np.full((7, 5), b"x"))), "no matrix of numbers")
    refused(change("cube.h5ad", lambda f: put(f, "X", np.zeros((7, 5, 2)))), "X", "shape")
    refused(change("pointer.h5ad", lambda f: put(f, "X/indptr", np.array([0, 3, 2, 5, 6, 7, 8, 9])), csr), "ascend", "entry 2")
    refused(change("pointer_end.h5ad", lambda f: put(f, "X/indptr", np.array([0, 1, 2, 3, 4, 5, 6, 10**9])), csr), "ascend")
    refused(change("pointer_start.h5ad", lambda f: put(f, "X/indptr", np.array([1, 1, 2, 3, 4, 5, 6, 7])), csr), "start with 0")
    refused(change("pointer_short.h5ad", lambda f: put(f, "X/indptr", np.array([0, 1])), csr), "indptr", "8 belong")
    for bad in (7, -1, 2**40):
        for x in (csr, csr.tocsc()):
            refused(change("index.h5ad", lambda f: put(f, "X/indices", f["X/indices"][:].astype("i8") * 0 + bad), x), "outside", "entry 0")
    refused(change("fewer.h5ad", lambda f: put(f, "X/data", np.zeros(2)), csr), "indices and 2 values")
    refused(change("code.h5ad", lambda f: put(f, "obs/words/codes", np.array([0, 1, 2, 9, 0, 0, 0]))), "words", "row 4", "9")
    refused(change("length.h5ad", lambda f: put(f, "obs/int", np.arange(6))), "obs/int", "6 values", "7 rows")
    refused(change("filter.h5ad", unavailable), "filter 32015", "gzip")
    refused(change("virtual.h5ad", virtual), "other files")
    refused(change("enormous.h5ad", enormous), "damaged")
    for name in ("neither.h5ad", "neither.h5"):
        with h5py.File(TMP / name, "w") as f:
            f["matrix/data"], f["other"] = [1], [2]
        refused(TMP / name, "neither AnnData", "nor GCTX", "matrix, other")
    refused(write("named.gctx", sample()), "named .gctx", "AnnData")


def gctx(name, x, rows=None, cols=None, **meta):
    path = TMP / name
    with h5py.File(path, "w") as f:
        f.attrs["version"] = "GCTX1.0"
        f["0/DATA/0/matrix"] = x
        f["0/META/COL/id"] = rows if rows is not None else [f"p{i}" for i in range(4)]
        f["0/META/ROW/id"] = cols if cols is not None else [f"g{i}" for i in range(6)]
        for k, v in meta.items():
            f[k.replace("__", "/")] = v
    return path


def gctx_variants():
    x = sample(4, 6, 1, np.float32)
    path = gctx("plain.gctx", x, **{"0__META__COL__dose": [10.0, 0.5, -666, np.nan], "0__META__COL__unit": np.array(
        ["µM".encode("latin-1"), "µM".encode(), b"-666", b""]), "0__META__COL__n": [1, 2, -666, 4], "0__META__ROW__symbol": list("abcdef")})
    columns = {"id": ["p0", "p1", "p2", "p3"], "dose": ["10", "0.5", None, None], "unit": ["µM", "µM", None, None],
               "n": ["1", "2", None, "4"]}
    same(path, x, columns, [f"g{i}" for i in range(6)])
    same(path, x, columns, "abcdef", "--readout", "symbol")
    refused(path, "'none'", "id, symbol", options=("--readout", "none"))
    same(gctx("turned.gctx", np.ascontiguousarray(x.T)), x, {"id": columns["id"]}, [f"g{i}" for i in range(6)])
    square = sample(4, 4, 1, np.float64)
    same(gctx("square.gctx", square, cols=list("abcd")), square.astype(np.float32), {"id": columns["id"]}, "abcd")
    same(gctx("int_ids.gctx", x.astype(np.int32), rows=[7, 8, 9, 10]), x.astype(np.int32).astype(np.float32), {"id": ["7", "8", "9", "10"]},
         [f"g{i}" for i in range(6)])
    refused(gctx("ids.gctx", x, rows=["a", "b", "c"]), "4 × 6", "3 profile ids", "6 gene ids")
    path = gctx("no_ids.gctx", x)
    with h5py.File(path, "r+") as f:
        del f["0/META/ROW"]
    refused(path, "0/META/ROW/id", "missing")
    refused(gctx("meta.gctx", x, **{"0__META__COL__dose": [1.0]}), "COL/dose", "1 entries", "4 ids")
    problem(gctx("twice.gctx", x, cols=list("abcdea")), "'a' appears twice", "1 and 6")
    x[2, 1] = -np.inf
    problem(gctx("inf.gctx", x), ":3:g1: ", "infinite", "p2")


# ---------------------------------------------------------------- damage

def survives(path, what):
    """Right or refused with one sentence; no signal, no hang, nothing else."""
    code, _, _, stderr = dump(path)
    check(code == 0 or (code == 65 and len(stderr.strip().splitlines()) == 1), f"{what}: exit {code}: {stderr.strip()[:300]}")
    return code


def damage():
    small = [write("small.h5ad", sample(6, 4), obs=table(6)), write("small_csr.h5ad", sp.csr_matrix(sample(6, 4)), obs=table(6), compression="gzip"),
             write("small_csc.h5ad", sp.csc_matrix(sample(6, 4)), obs=table(6), compression="lzf"), TMP / "old_categories.h5ad",
             TMP / "compound.h5ad", TMP / "nullable.h5ad", TMP / "plain.gctx", TMP / "turned.gctx"]
    for path in small:
        whole = path.read_bytes()
        cut = TMP / f"cut{path.suffix}"
        for share in (0.001, 0.05, 0.3, 0.6, 0.9, 0.999):
            cut.write_bytes(whole[:int(len(whole) * share)])
            refused(cut, what=f"{path.name} cut to {share}")
    dice, counts = random.Random(5), {}
    for i in range(MUTATIONS):
        path = small[i % len(small)]
        bytes_ = bytearray(path.read_bytes())
        for _ in range(dice.choice((1, 1, 2, 8, 40))):
            bytes_[int(len(bytes_) * dice.random() ** dice.choice((1, 3)))] = dice.choice((0, 1, 0x7f, 0x80, 0xff, dice.randrange(256)))
        mutant = TMP / f"mutant{path.suffix}"
        mutant.write_bytes(bytes_)
        code = survives(mutant, f"mutation {i} of {path.name}")
        counts[code] = counts.get(code, 0) + 1
        if code not in (0, 65):
            mutant.rename(TMP / f"mutant{i}{path.suffix}")
    print(f"{MUTATIONS} damaged files: {counts.get(0, 0)} read, {counts.get(65, 0)} refused, {MUTATIONS - counts.get(0, 0) - counts.get(65, 0)} worse")


for part in (real_files,) if DATA else (matrices, untidy, nullable, old, problems, refusals, gctx_variants, damage):
    part()
subprocess.run(["rm", "-rf", TMP])
finish()
