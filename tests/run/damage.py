#!/usr/bin/python3
"""damage.py -- the newest checkpoint of a run is damaged, in every block and every part of it and of its sidecar: `verify`
finds and names it, training warns, falls back to an older one and reaches the bits of a run that was never damaged.

usage: damage.py TESSERA SOURCE_FOLDER
TESS_TEST_LONG=1: at least 240 damages instead of 30."""
import glob
import os
import random
import shutil
import subprocess
import sys
import tempfile

import machine

with machine.needed():
    import h5py
    import numpy  # for small_store
machine.need("h5diff")
import checks
import small_store
import training

BLOCK, PAGE = 4 << 20, 4096
tessera = os.path.abspath(sys.argv[1])
dump_model = os.path.join(os.path.dirname(tessera), "tests", "run", "dump_model")
folder = tempfile.TemporaryDirectory()
os.chdir(folder.name)
os.environ.update(training.QUIET)
rng = random.Random(8)
small_store.write(tessera, "small.prc.h5", small_store.rows())
# 17 MB, five blocks (7 MB, two by default); three checkpoints in all, so that falling back costs little. The second epoch
# has to be the best one.
SETTINGS = {"data.store": "small.prc.h5", "model.embedding_dim": 40, "model.hidden_dim": 1100 if training.long() else 700, "train.epochs": 2,
            "train.batch": 700, "train.lanes": 3, "train.learning_rate": 0.002, "train.schedule": "constant", "train.weight_decay": 0.01,
            "data.normalize": "zscore", "checkpoint.minutes": 1e-9}
training.write_config("config.yaml", SETTINGS)


def train(run, ranks=1, code=0, *options):
    started = training.Started(tessera, ranks, ["train", "config.yaml", "--set", f"run.directory={run}", *options])
    got = started.wait()
    assert got == code, (run, ranks, got, started.text)
    return started.text


def said_by(program, *arguments, ranks=1):
    done = checks.run(*arguments, ranks=ranks, program=program, limit=training.LIMIT)
    return done.returncode, done.stdout + done.stderr


train("straight")
files = sorted(glob.glob("straight/checkpoint-*.h5"))
assert len(files) == 3, files
# The run as it was when its last checkpoint but one was the newest, and the best one not made yet
shutil.copytree("straight", "stopped")
for path in [files[-1], *glob.glob("straight/best-*.h5")]:
    for suffix in ("", ".sum"):
        os.remove(path.replace("straight", "stopped") + suffix)
newest, older = (path.replace("straight", "stopped") for path in (files[1], files[0]))
size = os.path.getsize(newest)
with open(newest, "rb") as file:
    content = file.read()
with open(newest + ".sum", "rb") as file:
    sidecar = file.read()
parts = {}  # name → (first byte, bytes)
with h5py.File(newest) as file:
    file.visititems(lambda name, item: parts.__setitem__(name, (item.id.get_offset(), item.id.get_storage_size()))
                    if isinstance(item, h5py.Dataset) and item.id.get_offset() is not None else None)
assert len(parts) > 25, parts
inside = bytearray(size)
for first, length in parts.values():
    inside[first:first + length] = b"\1" * length
metadata = [i for i in range(size) if not inside[i]]


def flipped(at):
    return content[:at] + bytes([content[at] ^ 1 << rng.randrange(8)]) + content[at + 1:]


def zeroed(at):
    """The page around a byte, or the next that is not zero already."""
    first = at // PAGE * PAGE
    while not any(content[first:first + PAGE]):
        first = (first + PAGE) % size
    return content[:first] + bytes(min(PAGE, size - first)) + content[first + PAGE:]


def changed(text, at):
    return text[:at] + bytes([text[at] ^ 1]) + text[at + 1:]


def damages(per_block, per_part, in_metadata, in_sidecar):
    """(what, file's bytes or None, sidecar's bytes or None)"""
    n_blocks = (size + BLOCK - 1) // BLOCK
    for b in range(n_blocks):
        spot = lambda: rng.randrange(b * BLOCK, min((b + 1) * BLOCK, size))
        for _ in range(per_block):
            for what, how in (("flip", flipped), ("zero", zeroed), ("cut", lambda at: content[:at])):
                at = spot()
                yield f"block {b}: {what} at {at}", how(at), sidecar
    chosen = sorted(parts) if per_part >= 1 else rng.sample(sorted(parts), 5)
    for name in chosen:
        first, length = parts[name]
        for _ in range(max(1, per_part)):
            at = rng.randrange(first, first + length)
            yield f"{name}: flip at {at}", flipped(at), sidecar
    for at in [0, 8, size - 1, *rng.sample(metadata, in_metadata)]:
        yield f"metadata: flip at {at}", flipped(at), sidecar
    for at in rng.sample(range(len(sidecar)), in_sidecar):
        yield f"sidecar: flip at {at}", content, changed(sidecar, at)
        yield f"sidecar: cut at {at}", content, sidecar[:at]
    with open(older, "rb") as file, open(older + ".sum", "rb") as sums:
        yield "another checkpoint's bytes", file.read(), sidecar
        yield "another's sidecar", content, sums.read()
    yield "empty", b"", sidecar
    yield "one byte", content[:1], sidecar
    yield "one byte less", content[:-1], sidecar
    yield "one byte more", content + b"\0", sidecar
    yield "zeroes", bytes(size), sidecar
    yield "missing", None, sidecar
    yield "sidecar missing", content, None
    yield "sidecar empty", content, b""
    yield "both missing", None, None


def put(path, data):
    if data is None:
        if os.path.exists(path):
            os.remove(path)
    else:
        with open(path, "wb") as file:
            file.write(data)


def judge(number, what, data, sums):
    run, ranks = f"case-{number}", (1, 1, 1, 2, 1, 3)[number % 6]
    shutil.copytree("stopped", run)
    path = newest.replace("stopped", run)
    put(path, data)
    put(path + ".sum", sums)
    if data is not None:
        code, text = said_by(tessera, "verify", path, ranks=1 if number % 10 else 3)
        assert code == 65 and path in text, (what, code, text)
        if number % 3 == 0:
            code, text = said_by(dump_model, path)
            assert code == 65 and path in text, (what, code, text)
    text = train(run, ranks)
    if data is not None or sums is not None:
        assert "warning" in text and path in text, (what, text)
    assert "resuming from " + older.replace("stopped", run) in text, (what, text)
    wrong = training.differences(run, "straight")
    assert not wrong, (what, wrong)
    code, text = said_by(tessera, "verify", run)
    assert code == 0, (what, text)
    assert os.path.exists(path + ".damaged") == (data is not None)
    shutil.rmtree(run)


assert said_by(tessera, "verify", "stopped", "straight", "small.prc.h5")[0] == 0
n = 0
for what, data, sums in damages(*((9, 3, 14, 8) if training.long() else (2, 0, 1, 1))):
    judge(n, what, data, sums)
    n += 1
print(f"{n} damages: each found, named, passed over; the same bits", flush=True)

# The two newest; all; the best one
shutil.copytree("stopped", "two")
shutil.copytree("straight", "all")
for path in sorted(glob.glob("all/*.h5")):
    put(path, flipped(rng.randrange(size))[:os.path.getsize(path)])
before = {p: os.stat(p).st_mtime_ns for p in glob.glob("all/*.h5*")}
for ranks in (1, 3):
    text = train("all", ranks, 65)
    assert "no intact checkpoint is left" in text and "--fresh" in text, text
    assert all(path in text for path in before if path.endswith(".h5")), text
    assert {p: os.stat(p).st_mtime_ns for p in glob.glob("all/*.h5*")} == before
code, text = said_by(tessera, "verify", "all", ranks=2)
assert code == 65 and all(path in text for path in before if path.endswith(".h5")), text
assert "all.old-1" in train("all", 1, 0, "--fresh")
assert not training.differences("all", "straight")
shutil.copytree("straight", "best")
put(training.newest("best", "best"), flipped(100))
code, text = said_by(dump_model, "best")
assert code == 0 and "best-" in text and "older" in text, text
text = train("best", 2)
assert training.newest("straight", "best").replace("straight", "best") in text and "warning" in text, text
assert glob.glob("best/best-*.h5.damaged") and "resuming from" in text, text
assert not training.differences("best", "straight"), training.differences("best", "straight")
assert said_by(tessera, "verify", "best")[0] == 0

# Damage that the sidecar knows nothing of: made before it. The checksums inside find it.
found = 0
for name in [p for p in sorted(parts) if p.startswith(("table/", "mlp/")) or p.endswith("/symbol")][::1 if training.long() else 3]:
    shutil.rmtree("inner", ignore_errors=True)
    shutil.copytree("stopped", "inner")
    path = newest.replace("stopped", "inner")
    with h5py.File(path, "r+") as file:
        data = file[name][()]
        flat = data.reshape(-1).view(numpy.uint8)
        flat[0 if name.endswith("symbol") else rng.randrange(flat.size)] ^= 1
        file[name][...] = data
    os.remove(path + ".sum")
    code, text = said_by(tessera, "verify", path, ranks=1 + found % 2)
    lines = [line for line in text.splitlines() if line.startswith(path) and "no checksums beside it" not in line]
    assert code == 65 and lines, (name, code, text)
    found += 1
print(f"{found} damages inside, without a sidecar: each found by verify")

# The other kinds of models: whole, then with one bit of every piece and table turned, with and without the sidecar
for kind in ("dot", "cp"):
    train(kind, 2, 0, "--set", f"model.kind={kind}", "--set", "model.hidden_dim=30")
    assert said_by(tessera, "verify", kind, ranks=2)[0] == 0
    path = training.newest(kind)
    for name in ("mlp/value", "table/readout/value", "table/context/m"):
        for with_sums in (True, False):
            shutil.copy(path, "damaged.h5")
            shutil.copy(path + ".sum", "damaged.h5.sum")
            with h5py.File("damaged.h5") as file:
                at = file[name].id.get_offset() + rng.randrange(file[name].id.get_storage_size())
            with open("damaged.h5", "rb") as file:
                put("damaged.h5", changed(file.read(), at))
            if not with_sums:
                os.remove("damaged.h5.sum")
            code, text = said_by(tessera, "verify", "damaged.h5")
            assert code == 65 and "damaged.h5" in text, (kind, name, with_sums, text)
            assert said_by(dump_model, "damaged.h5")[0] == 65

# Stores and imputed files
store = open("small.prc.h5", "rb").read()
with h5py.File("small.prc.h5") as file:
    spots = [file[name].id.get_offset() + file[name].id.get_storage_size() // 2
             for name in ("value", "check/value", "experiment/panel", "readout/symbol", "panel/first")]
for at in spots:
    put("bad.prc.h5", changed(store, at))
    code, text = said_by(tessera, "verify", "bad.prc.h5", ranks=1 + at % 3)
    assert code == 65 and "bad.prc.h5" in text, (at, code, text)
put("bad.prc.h5", store[:len(store) // 2])
assert said_by(tessera, "verify", "bad.prc.h5")[0] == 65
assert said_by(tessera, "verify", "none.h5")[0] == 65
assert said_by(tessera, "-q", "impute", "straight", "-o", "imputed.h5ad")[0] == 0
code, text = said_by(tessera, "verify", "imputed.h5ad", ranks=2)
assert code == 0 and "every checksum" in text, text
imputed = open("imputed.h5ad", "rb").read()
for number, at in enumerate(rng.sample(range(len(imputed)), 40 if training.long() else 8)):
    put("imputed.h5ad", changed(imputed, at))
    code, text = said_by(tessera, "verify", "imputed.h5ad", ranks=1 + number % 3)
    assert code == 65 and "imputed.h5ad: damaged between bytes" in text, (at, code, text)
put("imputed.h5ad", imputed)
for number, (name, value) in enumerate((("X", float("nan")), ("X", float("inf")), ("obs/context/codes", 99))):
    shutil.copy("imputed.h5ad", "bad.h5ad")
    with h5py.File("bad.h5ad", "r+") as file:
        file[name][(3, 2) if name == "X" else 3] = value
    code, text = said_by(tessera, "verify", "bad.h5ad", ranks=1 + number)
    assert code == 65 and "bad.h5ad" in text, (name, code, text)
with h5py.File("bad.h5ad", "r+") as file:
    del file["var"]
assert said_by(tessera, "verify", "bad.h5ad")[0] == 65
print("stores and imputed files: damage is found")
