#!/usr/bin/python3
"""data.streaming: values are read from the store when they are needed. The same bits as in memory, on any ranks, resumed
or not, and where sessions of one run differ in it; a store that is cut short, changed, unreadable or compressed ends the training on all
ranks with a sentence, and what was saved goes on.

usage: streaming.py TESSERA SOURCE_FOLDER FAIL_READS
TESS_TEST_LONG=1: a store four times as large as the memory that a rank takes."""
import glob
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import machine

with machine.needed():
    import numpy  # for small_store
import small_store
import training

tessera = os.path.abspath(sys.argv[1])
fail_reads = os.path.abspath(sys.argv[3])  # reads fail once the file "broken" is there
folder = tempfile.TemporaryDirectory()
os.chdir(folder.name)
os.environ.setdefault("OPENBLAS_CORETYPE", "HASWELL")
# With sanitizers: what libraries of MPI keep to the end is none of ours, and fail_reads comes before them.
os.environ["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0:verify_asan_link_order=0"
small_store.write(tessera, "small.prc.h5", small_store.rows())
small_store.write(tessera, "single.prc.h5", [row for row in small_store.rows() if list(row[3]) == ["viability"]])
SETTINGS = {"data.store": "small.prc.h5", "model.embedding_dim": 6, "model.hidden_dim": 37, "model.layers": 2, "train.epochs": 3,
            "train.batch": 150, "train.lanes": 7, "train.learning_rate": 0.01}
RUNS = {
    "mlp-tiles": {"train.sampling": "tiles", "data.normalize": "zscore"},
    "mlp-shapes": {"train.sampling": "tiles", "train.tile_experiments": 3, "train.tile_readouts": 5, "data.normalize": "delta",
                   "data.top_variable": 23},
    "mlp-observations": {"train.sampling": "observations", "data.top_variable": 23},
    "dot-tiles": {"model.kind": "dot", "data.normalize": "zscore", "train.batch": 700},
    "dot-observations": {"model.kind": "dot", "train.sampling": "observations", "data.normalize": "delta"},
    "dot-single": {"model.kind": "dot", "data.store": "single.prc.h5", "train.batch": 20},
    "cp-tiles": {"model.kind": "cp", "data.scale": 0, "train.tile_experiments": 3},
    "cp-observations": {"model.kind": "cp", "train.sampling": "observations"},
}
LAYOUTS = [(1, 1), (2, 2), (3, 1), (5, 1), (1, 2)]


def start(run, ranks=1, threads=1, streaming=True, arguments=(), environment=None, **more):
    sets = {"run.directory": run, "train.threads": threads, "data.streaming": str(streaming).lower(), **more}
    words = ["train", "config.yaml", *arguments, *(f"--set={key}={value}" for key, value in sets.items())]
    return training.Started(tessera, ranks, words, environment)


def train(run, *words, code=0, **more):
    started = start(run, *words, **more)
    assert started.wait() == code, (run, words, started.text)
    return started.text


def same(a, b):
    files = sorted(os.path.basename(path) for path in glob.glob(f"{a}/*.h5"))
    assert len(files) >= 2 and files == sorted(os.path.basename(path) for path in glob.glob(f"{b}/*.h5")), (a, b, files)
    for file in files:
        assert pathlib.Path(a, file).read_bytes() == pathlib.Path(b, file).read_bytes(), f"{b}/{file} differs"


# The same bits, whatever is computed and by how many; and what is said of the time.
for number, (name, settings) in enumerate(RUNS.items()):
    training.write_config("config.yaml", {**SETTINGS, **settings})
    train(f"{name}-memory", streaming=False)
    for ranks, threads in [LAYOUTS[2 * number % 5], LAYOUTS[(2 * number + 1) % 5]]:
        said = train(f"{name}-{ranks}", ranks, threads)
        assert re.search(r"preparing \d+ %, reading \d+ %, compute \d+ %", said), said
        same(f"{name}-memory", f"{name}-{ranks}")
        shutil.rmtree(f"{name}-{ranks}")
train(f"{name}-other", **{"run.seed": 14})  # a test that cannot fail is a defect
assert training.differences(f"{name}-memory", f"{name}-other")

# Stopped after a while, in the middle of an epoch or not, and gone on with the other way of it: the settings of a run
# do not hold data.streaming.
training.write_config("config.yaml", {**SETTINGS, **RUNS["mlp-tiles"]})
sessions = 0
while True:
    started = start("mixed", 1 + sessions % 3, streaming=sessions % 2 == 0, arguments=["--time-limit", "0.00001"])
    code = started.wait()
    assert code in (0, 75), started.text
    sessions += 1
    if code == 0 or sessions == 4:
        break
train("mixed", 2)
assert sessions > 2 and not training.differences("mlp-tiles-memory", "mixed")

# Blocks that are damaged are found before the first step, and a store that is compressed is refused.
store = pathlib.Path("small.prc.h5").read_bytes()
import h5py  # noqa: E402 -- small_store needs numpy alone

with h5py.File("small.prc.h5") as file:
    place = file["value"].id.get_offset()
    n_values = file["value"].size
damaged = bytearray(store)
damaged[place + 4 * (n_values // 2)] ^= 1
pathlib.Path("damaged.prc.h5").write_bytes(damaged)
for ranks in 1, 3:
    said = train("damaged", ranks, code=65, **{"data.store": "damaged.prc.h5", "data.scale": 0, "data.normalize": "none"})
    assert said.count("do not match their checksum") == 1, said
shutil.copy("small.prc.h5", "packed.prc.h5")
with h5py.File("packed.prc.h5", "r+") as file:
    values = file["value"][:]
    del file["value"]
    file.create_dataset("value", data=values, chunks=(64,), compression="gzip")
said = train("packed", 2, code=65, **{"data.store": "packed.prc.h5"})
assert said.count("is compressed or in pieces") == 1, said
train("packed", 1, streaming=False, **{"data.store": "packed.prc.h5"})

# Reading fails midway, on one rank or on all: one sentence, no rank waits, and the run goes on once the store is back.
training.write_config("config.yaml", {**SETTINGS, **RUNS["mlp-tiles"], "train.epochs": 12})
train("straight")


def spoil(what):
    """Of what is read from now on; the place is the last value's, which every epoch needs."""
    if what == "cut":
        os.truncate("small.prc.h5", place + 400)
    elif what == "broken":
        pathlib.Path("broken").touch()
    else:
        with open("small.prc.h5", "r+b") as file:
            file.seek(place + 4 * (n_values - 1))
            file.write(b"\0\0\200?")


def mend():
    pathlib.Path("small.prc.h5").write_bytes(store)
    pathlib.Path("broken").unlink(missing_ok=True)


for ranks, what in (1, "cut"), (3, "cut"), (2, "changed"), (1, "broken"), (3, "broken"):
    run = f"{what}-{ranks}"
    preload = {"LD_PRELOAD": fail_reads, "FAIL_READS": os.path.abspath("broken"), "FAIL_READS_RANK": str(ranks - 1)}
    started = start(run, ranks, **{"checkpoint.minutes": 1e-9}, environment=preload if what == "broken" else None)
    assert training.wait_for(lambda: glob.glob(f"{run}/checkpoint-*.h5") or started.over()) and started.hold(), started.read()
    spoil(what)
    started.go_on()
    code, said = (74, "values cannot be read any more: Input/output error") if what == "broken" else (65, "while the training reads it")
    assert started.wait() == code, started.text
    assert started.text.count("error: small.prc.h5: ") == 1 and said in started.text, started.text
    mend()
    train(run, 2)
    assert not training.differences("straight", run), run



def opened(started):
    """Has rank 0, which is stopped, the store open?"""
    stopped = [pid for pid in started.pids() if training.state_of(pid) == "T"]
    files = [os.path.join(f"/proc/{pid}/fd", name) for pid in stopped for name in os.listdir(f"/proc/{pid}/fd")]
    return any(os.path.exists(file) and os.path.samefile(file, "small.prc.h5") for file in files)


# Changed between the opening of the store and the first step: noticed, wherever rank 0 is then.
for ranks, every in (1, 6), (3, 17):
    noticed, call = 0, 1
    while True:
        started = start("early", ranks, arguments=["--fresh", "--time-limit", "0.00001"], environment={"TESS_STOP_AT": str(call)})
        assert training.wait_for(lambda: started.over() or any(training.state_of(pid) == "T" for pid in started.pids())), started.read()
        at_work = opened(started)
        os.utime("small.prc.h5")
        started.go_on()
        if started.wait() == 75 and noticed:
            break  # after the last read
        assert started.process.returncode == (65 if at_work else 75), (call, started.text)
        if at_work:
            assert started.text.count("error: small.prc.h5: ") == 1 and "while the training reads it" in started.text, started.text
        noticed += at_work
        call += every
    assert noticed > 1 and "stopped by the time limit" in started.text, (noticed, started.text)

# Four times as large as what a rank takes for an epoch with its validation and the comparison with the baselines.
if os.environ.get("TESS_TEST_LONG"):
    subprocess.run([tessera, "simulate", "-q", "-o", "large.prc.h5", "--perturbations", "40000", "--readouts", "4000", "--contexts", "2"],
                   check=True, timeout=300)
    training.write_config("config.yaml", {"data.store": "large.prc.h5", "train.epochs": 1, "model.kind": "dot", "model.embedding_dim": 16,
                                          "model.hidden_dim": 32, "train.batch": 131072})
    said = train("large", arguments=("-v",))
    announced = float(re.search(r"memory of each rank: ([0-9.]+) MB", said)[1])
    peak = float(re.search(r"peak memory of a rank: ([0-9.]+) MB", said)[1])
    size = os.path.getsize("large.prc.h5") / 1e6
    print(f"a store of {size:.0f} MB: {peak:.0f} MB of {announced:.0f} announced")
    assert peak <= 1.15 * announced and 4 * peak < size, said

print("ok")
