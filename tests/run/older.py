#!/usr/bin/env python3
"""older.py -- files that the version before wrote are read and used; files that a newer one wrote are refused by name.

usage: older.py TESSERA SOURCE_FOLDER

tests/data/older was written by the program as it was before imputed files had a version: a store and one with weights, a run (whose
used.yaml lacks its paths), and what was imputed from it as AnnData and as GCTX. A file of a newer version is one of those with a
number raised, and a sidecar that fits."""
import ctypes
import ctypes.util
import json
import os
import pathlib
import shutil
import sys
import tempfile

import machine

with machine.needed(OSError):
    import h5py
    import numpy as np
    xxhash = ctypes.CDLL(ctypes.util.find_library("xxhash") or "libxxhash.so.0")
from training import run
xxhash.XXH3_64bits.restype, xxhash.XXH3_64bits.argtypes = ctypes.c_uint64, [ctypes.c_char_p, ctypes.c_size_t]

tessera, root = os.path.abspath(sys.argv[1]), pathlib.Path(sys.argv[2])
KEPT = root.resolve() / "tests" / "data" / "older"
CHECKPOINT = "run/checkpoint-000000012.h5"
work = pathlib.Path(tempfile.mkdtemp())


def anew():
    os.chdir("/")
    shutil.rmtree(work / "older", ignore_errors=True)
    shutil.copytree(KEPT, work / "older")
    os.chdir(work / "older")


def with_sums(path, version=1):
    """A sidecar that fits: of the file in one block, and of itself."""
    data = pathlib.Path(path).read_bytes()
    text = f"tessera-sums {version}\nbytes {len(data)}\n{xxhash.XXH3_64bits(data, len(data)):016x}\n"
    pathlib.Path(path + ".sum").write_text(text + f"end {xxhash.XXH3_64bits(text.encode(), len(text)):016x}\n")


def impute(*line, code=0):
    return run("impute", "run", "--precision", "float32", "--store", "store.prc.h5", *line, code=code)


def values(path):
    with h5py.File(path) as file:
        return np.asarray(file["X" if "X" in file else "0/DATA/0/matrix"])


def check_read():
    anew()
    run("verify", "store.prc.h5", "weights.prc.h5", "imputed.h5ad", "imputed.gctx", "run")
    for path in ("store.prc.h5", "weights.prc.h5", CHECKPOINT, "imputed.h5ad", "imputed.gctx"):
        json.loads(run("info", path, "--json"))
    with h5py.File("imputed.h5ad") as file:
        assert "format" not in file["uns"], "this file is to be one from before there were versions"
    assert {int(h5py.File(path).attrs["version"]) for path in ("store.prc.h5", "weights.prc.h5")} == {1, 2}
    # A model: scored, and what it predicts today is what it predicted (processors differ by rounding).
    run("evaluate", "run", "--store", "store.prc.h5", "--split", "val", "--json", "scores.json", "--resamples", "20")
    assert json.load(open("scores.json"))["counts"]["experiments"] == 1
    for ending in ("h5ad", "gctx"):
        impute("-o", f"again.{ending}")
        assert np.allclose(values(f"again.{ending}"), values(f"imputed.{ending}"), rtol=1e-4, atol=1e-4)
    with h5py.File("again.h5ad") as file:
        assert file["uns/format"][()].decode() == "tessera-imputed 1"
    # The output that is there already, of the version before: the same model and the same request.
    before = pathlib.Path("imputed.h5ad").read_bytes()
    assert "is complete already" in impute("-o", "imputed.h5ad") and pathlib.Path("imputed.h5ad").read_bytes() == before
    run("evaluate", "store.prc.h5", "--predictions", "imputed.h5ad", "--split", "val", "--json", "file.json", "--resamples", "20")
    # A training: gone on with, with the settings that it wrote down; and begun anew on stores of both versions.
    run("train", "run/used.yaml", "--set", "data.store=store.prc.h5", "--set", "run.directory=run", "--set", "train.epochs=6")
    assert os.path.exists("run/checkpoint-000000018.h5"), os.listdir("run")
    run("train", "run/used.yaml", "--set", "data.store=weights.prc.h5", "--set", "data.weight=column", "--set", "run.directory=other", "--set",
        "train.epochs=1")


def raised(path, version):
    with h5py.File(path, "r+") as file:
        file.attrs["version"] = np.int64(version)
    with_sums(path)


def check_refused():
    anew()
    raised("store.prc.h5", 3)
    for line in (("info", "store.prc.h5"), ("verify", "store.prc.h5"), ("split", "store.prc.h5", "--random"),
                 ("train", "run/used.yaml", "--set", "data.store=store.prc.h5", "--set", "run.directory=new")):
        said = run(*line, code=65)
        assert "store.prc.h5: is a store of version 3, this program reads versions 1 and 2" in said, said
    anew()
    for path in (CHECKPOINT, "run/best-000000003.h5"):
        raised(path, 3)
    for line in (("info", CHECKPOINT), ("verify", CHECKPOINT), ("impute", "run", "--store", "store.prc.h5", "-o", "x.h5ad"), ("export", CHECKPOINT, "-o", "x.npz"),
                 ("train", "run/used.yaml", "--set", "data.store=store.prc.h5", "--set", "run.directory=run", "--set", "train.epochs=6")):
        said = run(*line, code=65)
        assert "checkpoint version 3, this program reads version 2" in said and "use the program that wrote it" in said, said
    assert sorted(os.listdir("run")) == sorted(os.listdir(KEPT / "run")) or {"lock"} == set(os.listdir("run")) - set(os.listdir(KEPT / "run")), os.listdir("run")
    anew()
    with_sums(CHECKPOINT, version=2)
    said = run("verify", CHECKPOINT, code=65)
    assert f"{CHECKPOINT}.sum: is of another version ('tessera-sums 2'), this program reads 'tessera-sums 1'" in said, said
    anew()
    text = pathlib.Path("run/blend.json").read_text()
    pathlib.Path("run/blend.json").write_text(text.replace("tessera-blend 1", "tessera-blend 2"))
    said = impute("-o", "x.h5ad", "--blend", "on", code=65)
    assert "run/blend.json" in said and "another version" in said, said
    for name in ("again.h5ad", "again.gctx"):
        impute("--blend", "off", "-o", name)
        with h5py.File(name, "r+") as file:
            if name.endswith("gctx"):
                file.attrs.modify("format", np.bytes_("tessera-imputed 2"))
            else:
                file["uns/format"][()] = b"tessera-imputed 2"
        with_sums(name)
        said = run("verify", name, code=65)
        assert f"{name}: is an imputed file of version 2, this program reads version 1: use the program that wrote it" in said, said
        said = impute("--blend", "off", "-o", name, code=73)
        assert "exists already, made of something else: another version of the program" in said, said


check_read()
check_refused()
os.chdir("/")
shutil.rmtree(work)
