#!/usr/bin/python3
"""circles.py -- HDF5 files on which the library goes round for ever: a global heap whose free object has no length, and a
local heap whose list of free places leads back to itself. Whatever reads them ends with exit code 65 and a sentence, on one
and more ranks; the same files before that are read. (Libraries that notice such damage themselves are fine, too.)

usage: circles.py TESSERA SOURCE_FOLDER"""
import os
import shutil
import struct
import sys
import tempfile

import machine

with machine.needed():
    import h5py
    import numpy as np
import checks
import training
from checks import check

tessera = os.path.abspath(sys.argv[1])
folder = tempfile.TemporaryDirectory(prefix="tess_circles_")
os.chdir(folder.name)
SOON = {"TESS_HDF5_SECONDS": "1"}  # of computing; what is healthy here computes for less, whatever else the machine does


def table(file, name, columns):
    group = file.create_group(name)
    group.attrs.update({"encoding-type": "dataframe", "encoding-version": "0.2.0", "_index": "_index"})
    group.attrs["column-order"] = np.array(list(columns)[1:], dtype=h5py.string_dtype())
    for column, texts in columns.items():
        item = group.create_dataset(column, data=texts, dtype=h5py.string_dtype())
        item.attrs.update({"encoding-type": "string-array", "encoding-version": "0.2.0"})


def write(path):
    """AnnData with texts of any length, which lie in a global heap."""
    with h5py.File(path, "w") as file:
        file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        file["X"] = np.arange(12, dtype="f4").reshape(4, 3)
        file["X"].attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
        table(file, "obs", {"_index": list("abcd"), "perturbation": ["P1", "P2", "P1", "P2"], "context": ["c1", "c1", "c2", "c2"]})
        table(file, "var", {"_index": ["g1", "g2", "g3"]})


def global_heaps(data):
    """The first object of each becomes the free room, of no length: a step of nothing."""
    at = data.find(b"GCOL")
    while at >= 0:
        struct.pack_into("<HHIQ", data, at + 16, 0, 0, 0, 0)
        at = data.find(b"GCOL", at + 1)


def local_heaps(data):
    """The first free place of each is followed by itself."""
    at = data.find(b"HEAP")
    while at >= 0:
        size, free, where = struct.unpack_from("<QQQ", data, at + 8)
        if free < size:
            struct.pack_into("<Q", data, where + free, free)
        at = data.find(b"HEAP", at + 1)


def damaged(original, path, how):
    with open(original, "rb") as file:
        data = bytearray(file.read())
    how(data)
    with open(original, "rb") as file:
        assert file.read() != data, (original, how.__name__)
    with open(path, "wb") as file:
        file.write(data)


def judge(what, path, *line, ranks=1):
    started = training.Started(tessera, ranks, line, SOON)
    try:
        code = started.wait()
    except AssertionError as hang:
        return check(False, f"{what}: {hang}")
    check(code == 65 and path in started.text, f"{what}: {line[0]} on {ranks} rank(s): exit code {code}: {started.text[-500:]}")


def main():
    write("whole.h5ad")
    checks.fine("simulate", "-o", "whole.prc.h5", "--perturbations", "8", "--readouts", "5", "--contexts", "2")
    for line in (("info", "whole.h5ad"), ("check", "whole.h5ad"), ("info", "whole.prc.h5"), ("check", "whole.prc.h5")):
        started = training.Started(tessera, 1, line, SOON)
        check(started.wait() == 0, f"{line}: {started.text[-500:]}")
    for how in (global_heaps, local_heaps):
        damaged("whole.h5ad", "bad.h5ad", how)
        judge(how.__name__, "bad.h5ad", "import", "bad.h5ad", "-o", "never.prc.h5")
        judge(how.__name__, "bad.h5ad", "info", "bad.h5ad")
        check(not os.path.exists("never.prc.h5"), f"{how.__name__}: something was written")
    damaged("whole.prc.h5", "bad.prc.h5", local_heaps)
    shutil.copy("whole.prc.h5.sum", "bad.prc.h5.sum") if os.path.exists("whole.prc.h5.sum") else None
    training.write_config("config.yaml", {"data.store": "bad.prc.h5", "run.directory": "never", "train.epochs": 1})
    judge("a store", "bad.prc.h5", "train", "config.yaml", ranks=2)
    judge("a store", "bad.prc.h5", "evaluate", "bad.prc.h5")
    check(not [name for name in os.listdir() if name.endswith(".part")], f"left behind: {os.listdir()}")


main()
os.chdir("/")
checks.finish()
