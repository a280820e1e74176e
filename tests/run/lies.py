#!/usr/bin/python3
"""lies.py -- files that lie about their sizes, with checksums beside them that fit: a table wider than the settings, arrays
that are longer, shorter, of more dimensions, or claimed and not there, impossible settings. Whatever reads them ends with
exit code 65 and a sentence naming the file, on one and more ranks: no crash, no wait, no memory taken for what is not there.

usage: lies.py TESSERA SOURCE_FOLDER
TESS_TEST_LONG=1: every lie to every command that reads such files."""
import ctypes
import ctypes.util
import functools
import glob
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import zlib

import machine

with machine.needed(OSError):
    import h5py
    import numpy as np
    xxhash = ctypes.CDLL(ctypes.util.find_library("xxhash") or "libxxhash.so.0")
import checks
import training
from checks import check

xxhash.XXH3_64bits.restype, xxhash.XXH3_64bits.argtypes = ctypes.c_uint64, [ctypes.c_char_p, ctypes.c_size_t]
folder = tempfile.TemporaryDirectory(prefix="tess_lies_")
os.chdir(folder.name)
os.environ.update(training.QUIET)
LIMIT, BLOCK, DIM, HIDDEN = 120, 4 << 20, 8, 16
MOST_KB = 1_000_000  # of any process here, among them one that writes a text of 70 MB; a lie that is believed takes 2 GB or more


def plain(*line):
    done = checks.run(*line)
    assert done.returncode == 0, (line, done.returncode, done.stderr)


def seal(path):
    """A sidecar that fits: XXH3 of every 4 MiB, and of itself."""
    with open(path, "rb") as file:
        sums = [xxhash.XXH3_64bits(block, len(block)) for block in iter(lambda: file.read(BLOCK), b"")]
    text = f"tessera-sums 1\nbytes {os.path.getsize(path)}\n" + "".join(f"{s:016x}\n" for s in sums)
    with open(path + ".sum", "w") as file:
        file.write(text + f"end {xxhash.XXH3_64bits(text.encode(), len(text)):016x}\n")


def put(file, name, data=None, **more):
    old = dict(file[name].attrs) if name in file else {}
    del file[name]
    made = file.create_dataset(name, data=data, **more)
    for key, value in old.items():
        made.attrs[key] = value
    made.file.flush()


def grown(name, *rows):
    """The dataset with so many more entries in each dimension (-1: fewer), or with more dimensions."""
    def lie(file):
        shape = [max(0, n + m) for n, m in zip((*file[name].shape, *[0] * 3), rows)]
        put(file, name, np.resize(file[name][()], shape).astype(file[name].dtype))
    lie.__name__ = f"{name} grown by {rows}"
    return lie


def replaced(name, what, **more):
    def lie(file):
        put(file, name, **more)
    lie.__name__ = f"{name} {what}"
    return lie


def attribute(name, value):
    def lie(file):
        del file.attrs[name]
        file.attrs[name] = value
    lie.__name__ = f"attribute {name} is {value}"
    return lie


def setting(old, new):
    def lie(file):
        text = file.attrs["config"]
        text = text.decode() if isinstance(text, bytes) else str(text)
        assert old in text, text
        del file.attrs["config"]
        file.attrs.create("config", np.bytes_(text.replace(old, new)))
    lie.__name__ = f"{old} is {new}"
    return lie


def transposed(name):
    def lie(file):
        put(file, name, np.ascontiguousarray(file[name][()].T))
    lie.__name__ = f"{name} transposed"
    return lie


def elsewhere(name):
    def lie(file):
        shape, dtype = file[name].shape, file[name].dtype
        layout = h5py.VirtualLayout(shape, dtype)
        layout[...] = h5py.VirtualSource("no-such-file.h5", "x", shape=shape)
        del file[name]
        file.create_virtual_dataset(name, layout)
    lie.__name__ = f"{name} lies in another file"
    return lie


def nothing(name):
    def lie(file):
        del file[name]
        file[name] = h5py.Empty("f4")
    lie.__name__ = f"{name} is empty"
    return lie


def holes(name, rows):
    """So many zeros, none of which lies on the disk: the file is as long as it claims."""
    def lie(file):
        old = file[name]
        shape, dtype, attributes = (rows, *old.shape[1:]), old.dtype, dict(old.attrs)
        del file[name]
        made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        made.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        made.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        h5py.h5d.create(file.id, name.encode(), h5py.h5t.py_create(dtype), h5py.h5s.create_simple(shape), made)
        file[name].attrs.update(attributes)
    lie.__name__ = f"{name} is a hole of {rows}"
    return lie


@functools.lru_cache(maxsize=None)
def deflated_zeros(n):
    return zlib.compress(bytes(n), 9)


def deflated(names, rows):
    """So many zeros in each, deflated to a thousandth: they are there, and cannot be what belongs there."""
    def lie(file):
        for name in names.split():
            old, n = file[name], rows + (name == "fold/first")
            shape, dtype, attributes = (n, *old.shape[1:]), old.dtype if old.dtype.kind != "O" else np.dtype("S1"), dict(old.attrs)
            del file[name]
            made = file.create_dataset(name, shape=shape, dtype=dtype, chunks=(1 << 22, *shape[1:]), compression="gzip", compression_opts=1)
            made.attrs.update(attributes)
            packed = deflated_zeros(dtype.itemsize * int(np.prod(made.chunks)))
            for first in range(0, n, made.chunks[0]):
                made.id.write_direct_chunk((first, *[0] * (len(shape) - 1)), packed)
    lie.__name__ = f"{names} deflated to {rows}"
    return lie


HUGE, MANY = 10 ** 11, 2 ** 30
OF_EXPERIMENTS = "experiment/combination experiment/context experiment/panel experiment/n_replicates experiment/n_observed experiment/split"
CHECKPOINT = [
    *[grown(f"table/{t}/{p}", 0, 5000) for t, p in (("perturbation", "value"), ("readout", "m"), ("context", "v"))],
    grown("table/perturbation/value", 0, -1), grown("table/readout/value", 5), grown("table/readout/v", -1),
    grown("table/readout/value", 0, 0, 40), grown("table/perturbation/last", 0, 3000), grown("table/context/check", 0, 3000),
    grown("table/perturbation/last", 1), grown("mlp/value", 9), grown("mlp/value", -1), grown("mlp/m", 0, 7), grown("mlp/check_value", 3),
    grown("perturbation/trained", 0, 2), grown("schedule/rate", 4), attribute("step", np.int64(2 ** 62)), attribute("step", np.int64(2 ** 63 - 1)),
    attribute("config", np.bytes_(b"\x01\xff")), attribute("config", np.bytes_(b"- a\n- b\n")), setting("layers: 2", "layers: two"),
    setting("layers: 2", "layers: 2\n  lairs: 3"), transposed("normalize/shift"), transposed("normalize/scale"), grown("normalize/scale", 1),
    setting("embedding_dim: 8", "embedding_dim: 9"), setting("hidden_dim: 16", "hidden_dim: 65536"),
    setting("embedding_dim: 8", "embedding_dim: 1000000000000"), setting("layers: 2", "layers: 64"),
    replaced("perturbation/symbol", "claims 10^11", shape=(HUGE,), dtype="S8"), replaced("readout/symbol", "is wide", shape=(2,), dtype="S1000000000"),
    replaced("table/readout/value", "claims 10^11 rows", shape=(HUGE, DIM), dtype="f4"),
    holes("table/readout/value", 2 ** 26), deflated("perturbation/symbol", MANY), deflated("schedule/rate", MANY),
    replaced("mlp/value", "is text", data=np.array([b"x"] * 40)), elsewhere("table/readout/value"), nothing("table/context/value"), nothing("mlp/v"),
]
STORE = [
    holes("experiment/combination", 2 ** 28), deflated("experiment/combination", MANY), deflated(OF_EXPERIMENTS, MANY),
    deflated(OF_EXPERIMENTS + " fold/first value", MANY), deflated("readout/symbol", MANY), deflated("panel/first", MANY),
    grown("experiment/context", 0, 4), grown("experiment/split", 3), grown("experiment/n_observed", -1), grown("fold/first", 5),
    grown("combination/first", 2), grown("panel/readout", 9), grown("value", 9), grown("value", 0, 3), grown("check/value", 0, 9),
    grown("check/split", 5), replaced("readout/symbol", "claims 10^11", shape=(HUGE,), dtype="S8"),
    replaced("experiment/panel", "claims 10^11", shape=(HUGE,), dtype="i8"), replaced("value", "claims 10^11", shape=(HUGE,), dtype="f4"),
    replaced("readout/symbol", "holds a text of 70 MB", data=["x" * 70000000, *"yzabcd"], dtype=h5py.string_dtype()),
    elsewhere("value"), nothing("panel/first"), attribute("hash", np.arange(5, dtype="u8")),
]
IMPUTED = [
    grown("X", 0, 3), grown("X", 2), grown("X", 0, 0, 3), grown("obs/_index", 4), grown("obs/perturbation/codes", -1), grown("obs/perturbation/codes", 0, 3),
    deflated("var/_index", MANY), deflated("obs/_index", MANY), deflated("obs/perturbation/categories", MANY), deflated("X", MANY // 4),
    holes("X", 2 ** 26), grown("var/_index", -1), replaced("X", "claims 10^11 rows", shape=(HUGE, 7), dtype="f4"), elsewhere("X"),
]


def judge(what, path, *line, ranks):
    try:
        done = checks.run(*line, ranks=ranks, limit=LIMIT)
    except subprocess.TimeoutExpired as hang:
        return check(False, f"{what}: {hang}")
    code, said = done.returncode, done.stdout + done.stderr
    check(code == 65 and os.path.basename(path) in said, f"{what}: {line[0]} on {ranks} rank(s): exit code {code}: {said[-500:]}")
    for sign in ("bug at", "Segmentation", "signal 11", "Sanitizer", "*** ", "crashes", "out of memory"):
        check(sign not in said, f"{what}: {line[0]} on {ranks} rank(s): '{sign}' in {said[-900:]}")


def lied(lie, original, path):
    shutil.copyfile(original, path)
    with h5py.File(path, "r+") as file:
        lie(file)
    seal(path)


def readers(kind, path):
    """Everything that reads such a file. By default each lie is told to every third one, in turns."""
    train, few = ("train", "config.yaml", "--set", "train.epochs=3", "--set"), ("--resamples", "5")
    if kind == "a checkpoint":
        return [("info", path), (*train, "run.directory=liar"), ("impute", "liar", "-o", "never.h5ad"), ("verify", path),
                ("evaluate", path, *few), ("impute", path, "-o", "never.h5ad")]
    if kind == "a store":
        return [("info", path), (*train, f"data.store={path}", "--set", "run.directory=never"), ("verify", path), ("check", path),
                ("evaluate", "run", "--store", path, *few), ("evaluate", path, *few)]
    return [("verify", path), ("evaluate", "data.prc.h5", "--predictions", path, *few), ("check", path), ("import", path, "-o", "never.h5ad")]


def main():
    plain("simulate", "-o", "data.prc.h5", "--perturbations", "12", "--readouts", "7", "--contexts", "3", "--replicates", "2", "--combinations", "3")
    training.write_config("config.yaml", {"data.store": os.path.abspath("data.prc.h5"), "data.normalize": "zscore", "model.embedding_dim": DIM,
                                          "model.hidden_dim": HIDDEN, "model.layers": 2, "train.epochs": 2, "train.batch": 64, "train.lanes": 4})
    plain("train", "config.yaml", "--set", "run.directory=run")
    plain("impute", "run", "-o", "imputed.h5ad")
    os.makedirs("liar")
    shutil.copy("run/used.yaml", "liar")
    original = sorted(glob.glob("run/checkpoint-*.h5"))[-1]
    path = os.path.join("liar", os.path.basename(original))
    shutil.copyfile(original, path)
    seal(path)  # ours are theirs
    with open(path + ".sum") as mine, open(original + ".sum") as theirs:
        check(mine.read() == theirs.read(), "the sidecar that this test writes is not the program's")
    turn = 0
    for kind, lies, of, to in (("a checkpoint", CHECKPOINT, original, path), ("a store", STORE, "data.prc.h5", "liar.prc.h5"),
                               ("an imputed file", IMPUTED, "imputed.h5ad", "liar.h5ad")):
        for lie in lies:
            lied(lie, of, to)
            for number, line in enumerate(readers(kind, to)):
                if training.long() or (number + turn) % 3 == 0:
                    judge(f"{kind} whose {lie.__name__}", to, *line, ranks=1 + (turn + number) % 2)
            check(os.path.exists(to) and not os.path.exists("never.h5ad"), f"{kind} whose {lie.__name__}: something was written")
            turn += 1
    check(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < MOST_KB, "memory was taken for what is not there: "
          f"{resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss} kB")


main()
os.chdir("/")
checks.finish()
