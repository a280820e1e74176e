#!/usr/bin/python3
"""faults.py -- what goes wrong around a training: a full disk, a limit on file sizes, a directory that cannot be written or
is removed, a store that is replaced, numbers that run away. The run goes on or ends with a sentence; run again, it has the
bits of one to which nothing happened.

usage: faults.py TESSERA SOURCE_FOLDER
TESS_TEST_LONG=1: each on several numbers of ranks."""
import glob
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import machine

with machine.needed():
    import numpy  # for small_store
machine.need("h5diff")
import small_store
import training

machine.ALONE.clear()
tessera = os.path.abspath(sys.argv[1])
folder = tempfile.TemporaryDirectory()
os.chdir(folder.name)
small_store.write(tessera, "small.prc.h5", small_store.rows())
# A checkpoint is 1.1 MB: large enough to be half written.
SETTINGS = {"data.store": "small.prc.h5", "model.embedding_dim": 24, "model.hidden_dim": 256, "train.epochs": 4,
            "train.batch": 60, "train.lanes": 7, "train.learning_rate": 0.004, "checkpoint.minutes": 0.0005}
training.write_config("config.yaml", SETTINGS)
mounts = []


def start(run, ranks, *options, **more):
    changed = [x for k, v in more.items() if "__" in k for x in ("--set", f"{k.replace('__', '.')}={v}")]
    more = {k: v for k, v in more.items() if "__" not in k}
    return training.Started(tessera, ranks, ["train", "config.yaml", "--set", f"run.directory={run}", *changed, *options], **more)


def train(run, ranks, *options, code=0, **more):
    started = start(run, ranks, *options, **more)
    got = started.wait()
    assert got == code, (run, ranks, options, got, started.text)
    for sign in ("bug at", "Segmentation", "signal 11", "*** "):
        assert sign not in started.text, started.text
    return started.text


def steps(run):
    return sorted(glob.glob(f"{run}/*.h5"))


def epochs(run):
    try:
        with open(f"{run}/log.jsonl") as file:
            return len(file.readlines())
    except OSError:
        return 0


def halfway(run, ranks, n_steps=2, idle=False, **more):
    """A new run whose ranks are stopped where they are once some checkpoints are there (idle: and none is being written), with
    most of its epochs still to come."""
    for _ in range(20):
        shutil.rmtree(run, ignore_errors=True)
        started = start(run, ranks, **{"checkpoint__minutes": 1e-9, **more})  # one at every step
        training.wait_for(lambda: started.over() or len(steps(run)) >= n_steps)
        while started.hold() and idle and glob.glob(f"{run}/*.part"):
            started.go_on()
            time.sleep(0.001)
        if not started.over() and epochs(run) <= SETTINGS["train.epochs"] // 2:
            return started
        started.kill_all()
        started.wait()
    raise AssertionError(f"no run could be stopped halfway: {started.text}")


def mounted(name, options):
    """A small file system of its own, or None where that is not permitted."""
    os.mkdir(name)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", name], capture_output=True, text=True)
    if done.returncode:
        print(f"not tried, because mounting is not permitted here: {done.stderr.strip()}")
        return None
    mounts.append(os.path.abspath(name))
    return name


def fill(path, leave):
    """Leaves about so many bytes free."""
    with open(path, "wb") as file:
        disk = os.statvfs(path)
        os.posix_fallocate(file.fileno(), 0, disk.f_bavail * disk.f_frsize - leave)


def clear(run, ranks, **more):
    """Run again: the bits of a straight run."""
    text = train(run, ranks, **more)
    assert not training.differences(run, "straight"), training.differences(run, "straight")
    assert not glob.glob(f"{run}/*.part")
    return text


def full_disk(ranks, leave):
    """Nearly full from the start, then full, then with room again while the run goes on."""
    place = mounted(f"disk-{ranks}-{leave}", "size=24m")
    if not place:
        return
    run, ballast = f"{place}/run", f"{place}/ballast"
    started = halfway(run, ranks, 3, idle=True)
    fill(ballast, leave)
    started.go_on()
    training.wait_for(lambda: started.over() or "goes on" in started.read())
    os.remove(ballast)
    code = started.wait()
    assert "goes on, earlier checkpoints stand" in started.text, started.text
    assert code in (0, 73, 74), (code, started.text)  # 74: the best one could not be written
    clear(run, 3 - ranks % 2)

    # Full to the end: the last good checkpoint stands, the code says so.
    started = halfway(run, ranks, 3, idle=True)
    fill(ballast, leave)
    started.go_on()
    code = started.wait()
    assert code in (73, 74), (code, started.text)
    assert "earlier checkpoints stand" in started.text, started.text
    left = steps(run)
    assert left and not glob.glob(f"{run}/*.part"), os.listdir(run)
    os.remove(ballast)
    text = clear(run, ranks)
    assert "resuming from" in text, text


def file_limit(ranks):
    """Writes that fail in the middle of a file, which no look at the disk foresees."""
    run = f"limited-{ranks}"
    started = halfway(run, ranks)
    for pid in started.pids():
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (600_000, 600_000))
    started.go_on()
    code = started.wait()
    assert code == 74, (code, started.text)
    assert started.text.count("goes on, earlier checkpoints stand") > 3, started.text
    for sign in ("bug at", "Segmentation", "signal 11", "*** "):
        assert sign not in started.text, started.text
    assert steps(run) and not glob.glob(f"{run}/*.part"), os.listdir(run)
    assert len(open(f"{run}/log.jsonl").readlines()) == SETTINGS["train.epochs"]
    assert "resuming from" in clear(run, ranks)


def read_only():
    place = mounted("read-only", "size=24m")
    if not place:
        return
    run = f"{place}/run"
    train(run, 2, "--time-limit", "0.001", code=75)
    shutil.copy("small.prc.h5", f"{place}/small.prc.h5")
    subprocess.run(["mount", "-o", "remount,ro", place], check=True)
    done = subprocess.run([tessera, "split", f"{place}/small.prc.h5", "--random"], capture_output=True, text=True)
    assert done.returncode == 73 and "cannot be opened for writing: Read-only" in done.stderr, (done.returncode, done.stderr)
    for ranks in (1, 2):
        text = train(run, ranks, code=73)
        assert "Read-only" in text and run in text, text
        assert "Read-only" in train(f"{place}/new", ranks, code=73)
    subprocess.run(["mount", "-o", "remount,rw", place], check=True)
    clear(run, 3)


def forbidden(ranks):
    """Nobody may write into the directory any more, under a run. Root may always: it becomes somebody else."""
    somebody = [] if os.geteuid() else ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all"]
    if somebody:
        os.chmod(".", 0o755)
        try:
            subprocess.run([*somebody, tessera, "--version"], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as problem:
            print(f"not tried, because nobody else can start the program: {problem}")
            return
    place = f"forbidden-{ranks}"
    os.mkdir(place)
    os.chmod(place, 0o777)
    started = halfway(f"{place}/run", ranks, idle=True, prefix=somebody)
    left = steps(f"{place}/run")
    os.chmod(f"{place}/run", 0o555)
    started.go_on()
    code = started.wait()
    assert code == 73 and "Permission denied" in started.text and "MPI_ERR" not in started.text, (code, started.text)
    assert "goes on, earlier checkpoints stand" in started.text, started.text
    assert steps(f"{place}/run") == left and not glob.glob(f"{place}/run/*.part")
    assert "cannot" in train(f"{place}/run", ranks, code=73, prefix=somebody)
    os.chmod(f"{place}/run", 0o755)
    assert "resuming from" in clear(f"{place}/run", 3 - ranks % 2, prefix=somebody)


def removed(ranks):
    run = f"removed-{ranks}"
    started = halfway(run, ranks, idle=True)
    shutil.rmtree(run)
    started.go_on()
    code = started.wait()
    assert "was removed under the run" in started.text, started.text
    assert code == 0, (code, started.text)
    newest = training.newest(run)
    assert subprocess.run(["h5diff", newest, training.newest("straight")]).returncode == 0
    train(run, ranks)
    assert json.loads(open(f"{run}/log.jsonl").readlines()[-1])["epoch"] == SETTINGS["train.epochs"]


def replaced_store():
    """The file is replaced while a run works: it goes on with what it read; the next one refuses, until it is back."""
    shutil.copy("small.prc.h5", "kept.prc.h5")
    small_store.write(tessera, "other.prc.h5", small_store.rows(seed=2))
    started = halfway("replaced", 2)
    os.replace("other.prc.h5", "small.prc.h5")
    started.send(started.pids()[-1], signal.SIGTERM)
    started.go_on()
    assert started.wait() == 75, started.text
    text = train("replaced", 2, code=78)
    assert "small.prc.h5" in text and "--fresh" in text, text
    os.replace("kept.prc.h5", "small.prc.h5")
    clear("replaced", 3)
    # Overwritten in place: as long as the run goes on, it is the one that began
    with open("small.prc.h5", "rb") as file:
        good = file.read()
    started = halfway("overwritten", 2)
    with open("small.prc.h5", "r+b") as file:
        file.write(bytes(len(good)))
    started.go_on()
    assert started.wait() == 0, started.text
    assert not training.differences("overwritten", "straight"), training.differences("overwritten", "straight")
    train("overwritten", 2, code=65)
    with open("small.prc.h5", "wb") as file:
        file.write(good)
    # A flipped value is found when it is read, on any number of ranks.
    import h5py
    with h5py.File("small.prc.h5") as file:
        at = file["value"].id.get_offset() + 4 * (file["value"].shape[0] // 2)
    with open("small.prc.h5", "wb") as file:
        file.write(good[:at] + bytes([good[at] ^ 1]) + good[at + 1:])
    for ranks in (1, 3):
        text = train("replaced", ranks, "--fresh", code=65)
        assert "checksum" in text and "small.prc.h5" in text, text
    with open("small.prc.h5", "wb") as file:
        file.write(good)


def runs_away():
    """NaN: the sentence names step, lane and the largest gradient, or which parameter; the last good checkpoint stands, and a
    lower learning rate goes on from it."""
    loss = r"the loss is not finite any more at step \d+, in lane [0-6] \(largest finite gradient \d[\d.e+]*\)"
    for ranks, minutes in [(1, 15), (3, 15), (1, 0.0005), (3, 0.0005)] if training.long() else [(2, 15), (2, 0.0005)]:
        run = f"wild-{ranks}-{minutes}"
        tame = {"train__optimizer": "sgd", "train__weight_decay": 0, "checkpoint__minutes": minutes}
        train(run, 1, "--time-limit", "0.001", code=75, train__learning_rate=1e-6, **tame)
        text = train(run, ranks, code=65, train__learning_rate=500, **tame)
        assert re.search(loss if minutes == 15 else loss + "|not finite any more at step", text), text
        assert "lower train.learning_rate" in text and "the last checkpoint stands" in text, text
        for path in steps(run):
            import h5py
            with h5py.File(path) as file:
                assert all(numpy.isfinite(file[f"table/{t}/value"][:]).all() for t in file["table"]), path
                assert numpy.isfinite(file["mlp/value"][:]).all(), path
        if minutes == 15:
            assert "resuming from" in train(run, ranks, train__learning_rate=1e-6, **tame)


try:
    train("straight", 2)
    for ranks in (1, 3) if training.long() else (2,):
        file_limit(ranks)
    print("a limit on file sizes: survived", flush=True)
    for ranks, leave in ((1, 0), (2, 600_000), (3, 0)) if training.long() else ((2, 600_000),):
        full_disk(ranks, leave)
    print("full disks: survived", flush=True)
    read_only()
    for ranks in (1, 3) if training.long() else (2,):
        forbidden(ranks)
    for ranks in (1, 3) if training.long() else (2,):
        removed(ranks)
    print("read-only and removed directories: as they should be", flush=True)
    replaced_store()
    runs_away()
    print("a replaced store, numbers that run away: as they should be")
finally:
    for place in mounts:
        subprocess.run(["umount", "-l", place], capture_output=True)
