#!/usr/bin/python3
"""impute_resume.py -- an imputation that is killed, asked to stop, out of time or out of disk, and goes on on other numbers of
ranks, ends with the bits of one that was never disturbed; what is there is never overwritten, mixed up or taken for whole.

usage: impute_resume.py TESSERA SOURCE_FOLDER
TESS_TEST_LONG=1: 24 kills instead of 4."""
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import machine

with machine.needed():
    import h5py
    import numpy as np
machine.need("h5diff")
import checks
import training

tessera = os.path.abspath(sys.argv[1])
folder = tempfile.TemporaryDirectory()
os.chdir(folder.name)
rng = random.Random(11)
RUNS = ["one", "two"]
OFTEN = ["--blend", "off", "--save-every", "0.001"]


def run(*arguments, ranks=1, code=0):
    done = checks.run(*arguments, ranks=ranks, limit=training.LIMIT, env={**os.environ, **training.QUIET})
    text = done.stdout + done.stderr
    assert done.returncode == code, (arguments, ranks, done.returncode, text)
    for sign in ("bug at", "Segmentation", "signal 11", "*** "):
        assert sign not in text, text
    return text


def start(out, ranks, *options, models=RUNS):
    return training.Started(tessera, ranks, ["impute", *models, "-o", out, *OFTEN, "--memory", little(ranks), *options])


def record(out):
    """What the record says, or None: it is replaced in one step, so it is there or it is not."""
    try:
        with open(f"{out}.part.json") as file:
            return json.load(file)
    except FileNotFoundError:
        return None


def finished(out):
    return (record(out) or {"finished": -1})["finished"]


def beside(out):
    return sorted(name for name in os.listdir(".") if name.startswith(out) and name not in (out, out + ".sum"))


def same(out, straight="straight.h5ad"):
    done = subprocess.run(["h5diff", "--exclude-path", "/uns/provenance", out, straight], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert not beside(out), beside(out)
    assert "every checksum" in subprocess.run([tessera, "verify", out], capture_output=True, text=True, check=True).stdout


def remove(out):
    for ending in ("", ".sum", ".part", ".part.json", ".part.lock"):
        if os.path.exists(out + ending):
            os.unlink(out + ending)


def held(out, ranks, *options, rows=1, models=RUNS):
    """An imputation whose ranks are stopped where they are, once so many more rows are saved and before all are."""
    had = max(finished(out), 0)
    for _ in range(20):
        started = start(out, ranks, *options, models=models)
        training.wait_for(lambda: started.over() or finished(out) >= had + rows)
        if started.hold() and os.path.exists(out + ".part") and 0 < finished(out) < record(out)["rows"]:
            return started
        started.kill_all()
        started.wait()
        remove(out)
        had = 0
    raise AssertionError(f"it could not be held in the middle: {started.text}")


run("-q", "simulate", "-o", "s.prc.h5", "--perturbations", 2000, "--readouts", 100, "--contexts", 3)
for seed, name in enumerate(RUNS):
    training.write_config(f"{name}.yaml", {"data.store": "s.prc.h5", "run.directory": name, "run.seed": seed + 1, "model.embedding_dim": 8,
                                           "model.hidden_dim": 32, "train.epochs": 1, "train.batch": 20000,
                                           "train.lanes": 2})
    run("-q", "train", f"{name}.yaml")
run("-q", "impute", *RUNS, "-o", "straight.h5ad", "--blend", "off")
# What a rank needs with the smallest blocks, and room for some more rows: many rounds.
SMALLEST = {}


def little(ranks):
    if ranks not in SMALLEST:
        text = run("impute", *RUNS, "-o", "x.h5ad", "--blend", "off", "--memory", "1M", ranks=ranks, code=2)
        SMALLEST[ranks] = float(text.split("which needs ")[1].split(" MB")[0])
    return f"{SMALLEST[ranks] + 2:.1f}M"


little(2)
assert not beside("x.h5ad") and not os.path.exists("x.h5ad")

# Killed, again and again, on other numbers of ranks each time
n, wanted, over = 0, 24 if training.long() else 4, 0
while n < wanted:
    for _ in range(4):
        had, started = finished("killed.h5ad"), start("killed.h5ad", rng.choice([1, 2, 3, 5]))
        training.wait_for(lambda: started.over() or finished("killed.h5ad") > max(had, 0))
        time.sleep(0.02 * rng.random())
        if started.over():
            assert started.wait() == 0, started.text
            break
        started.kill_all()
        started.wait()
        assert os.path.exists("killed.h5ad") or finished("killed.h5ad") >= had, (had, record("killed.h5ad"))
        n += 1
    over += 1
    assert over < 10 * wanted, "imputations end before they can be killed"
    run("-q", "impute", *RUNS, "-o", "killed.h5ad", "--blend", "off", ranks=rng.choice([1, 2, 3, 5]))
    same("killed.h5ad")
    remove("killed.h5ad")
print(f"{n} kills over {over} files: the same bits each time", flush=True)

# Asked to stop: a signal to any rank, a time limit; what is done is saved
for how in ("usr1", "term", "limit"):
    if how == "limit":
        started = start("asked.h5ad", 2, "--time-limit", "0.0001")
    else:
        started = held("asked.h5ad", 2)
        started.send(started.pids()[-1], {"usr1": signal.SIGUSR1, "term": signal.SIGTERM}[how])
        started.go_on()
    code = started.wait()
    assert code == 75 and "run the same command again" in started.text and "stopped by" in started.text, (how, code, started.text)
    assert beside("asked.h5ad") == ["asked.h5ad.part", "asked.h5ad.part.json"], beside("asked.h5ad")
    rows = finished("asked.h5ad")
    text = run("impute", *RUNS, "-o", "asked.h5ad", "--blend", "off", ranks=3)
    assert f"going on after {rows} of" in text, (rows, text)
    same("asked.h5ad")
    remove("asked.h5ad")

# What is there is complete, or in the way; nothing is changed
before = os.stat("straight.h5ad").st_mtime_ns
assert "complete already" in run("impute", *RUNS, "-o", "straight.h5ad", "--blend", "off", ranks=2)
assert "complete already" in run("impute", *RUNS, "-o", "straight.h5ad", "--blend", "off", "--dry-run")
text = run("impute", *RUNS, "-o", "straight.h5ad", "--blend", "off", "-c", "C1", code=73)
assert "contexts: 3" in text and "(now 1" in text and "--force" in text, text
shutil.copy("one.yaml", "foreign.h5ad")
assert "exists already" in run("impute", "one", "-o", "foreign.h5ad", code=73)
assert os.stat("straight.h5ad").st_mtime_ns == before and not beside("straight.h5ad") and not beside("foreign.h5ad")
run("-q", "impute", *RUNS, "-o", "foreign.h5ad", "--blend", "off", "--force", ranks=2)
same("foreign.h5ad")

# An unfinished file: seen as one by all, gone on with by nothing but the same command
started = held("half.h5ad", 2)
started.kill_all()
started.wait()
rows, everything = finished("half.h5ad"), record("half.h5ad")["rows"]
for ending in ("part", "part.json"):
    shutil.copy(f"half.h5ad.{ending}", f"kept.{ending}")


def restore(out="half.h5ad"):
    for ending in ("part", "part.json"):
        shutil.copy(f"kept.{ending}", f"{out}.{ending}")


told = json.loads(subprocess.run([tessera, "info", "--json", "half.h5ad.part"], capture_output=True, text=True, check=True).stdout)
assert (told["kind"], told["rows"], told["finished"]) == ("unfinished AnnData", everything, rows), told
done = subprocess.run([tessera, "verify", "half.h5ad.part"], capture_output=True, text=True)
assert done.returncode == 65 and f"{rows} of {everything} rows" in done.stdout and "labels are right" in done.stdout, done
shutil.copy("half.h5ad.part", "renamed.h5ad")
for line in (["check", "half.h5ad.part"], ["check", "renamed.h5ad"], ["import", "renamed.h5ad", "-o", "y.prc.h5"],
             ["evaluate", "s.prc.h5", "--predictions", "renamed.h5ad"], ["verify", "renamed.h5ad"], ["info", "renamed.h5ad"]):
    done = subprocess.run([tessera, *line], capture_output=True, text=True)
    assert done.returncode == 65 and ("unfinished" in done.stdout + done.stderr or "how far" in done.stdout + done.stderr), (line, done)
try:
    h5py.File("renamed.h5ad")
    raise AssertionError("HDF5 opens an unfinished file")
except OSError:
    pass
assert f"{rows} of {everything} rows are there" in run("impute", *RUNS, "-o", "half.h5ad", "--blend", "off", "--dry-run", ranks=2)
for options, words in ((["-c", "C1,C2"], ["contexts: 3", "now 2"]), (["-p", "P00*"], ["perturbations: "]), (["-r", "R1*"], ["readouts: 100"]),
                       (["--precision", "float32"] if record("half.h5ad")["of"]["precision"] != "float32" else ["--precision", "bfloat16"],
                        ["precision: "])):
    text = run("impute", *RUNS, "-o", "half.h5ad", "--blend", "off", *options, code=2, ranks=1)
    assert all(word in text for word in [*words, "--fresh"]), text
for models, words in ((["two", "one"], ["model: "]), (["one"], ["models: 2 (now 1)"])):
    text = run("impute", *models, "-o", "half.h5ad", "--blend", "off", code=2)
    assert all(word in text for word in [*words, "--fresh"]), text
assert finished("half.h5ad") == rows
for what in ("not JSON", "another number", "another format", "no record", "short", "long", "label", "head", "link"):
    restore()
    with open("kept.part.json") as file:
        kept = json.load(file)
    if what == "not JSON":
        open("half.h5ad.part.json", "w").write("{")
    elif what in ("another number", "another format"):
        kept.update({"finished": rows + 1} if what == "another number" else {"format": "other 1"})
        json.dump(kept, open("half.h5ad.part.json", "w"))
    elif what == "no record":
        os.unlink("half.h5ad.part.json")
    elif what == "link":
        os.rename("half.h5ad.part", "elsewhere")
        os.symlink("elsewhere", "half.h5ad.part")
    else:
        size = os.path.getsize("half.h5ad.part")
        with open("half.h5ad.part", "r+b") as file:
            if what in ("short", "long"):
                file.truncate(size - 1 if what == "short" else size + 1)
            else:
                first = min(m["place"] for m in kept["matrices"])
                file.seek(3 if what == "head" else first // 2)
                byte = file.read(1)
                file.seek(-1, 1)
                file.write(bytes([byte[0] ^ 1]))
    text = run("impute", *RUNS, "-o", "half.h5ad", "--blend", "off", code=65, ranks=2 if what == "short" else 1)
    assert "half.h5ad.part" in text and "--fresh" in text and text.count("error:") == 1, (what, text)
    assert not os.path.exists("half.h5ad.part.lock")
assert finished("half.h5ad") == rows and os.path.exists("elsewhere")
run("-q", "impute", *RUNS, "-o", "half.h5ad", "--blend", "off", "--fresh")  # the link goes, not what it leads to
same("half.h5ad")
assert os.path.getsize("elsewhere") == os.path.getsize("kept.part")

# Two at once: the second is refused while the first is at work, and finds its work done afterwards
remove("half.h5ad")
started = held("half.h5ad", 1)
text = run("impute", *RUNS, "-o", "half.h5ad", "--blend", "off", code=73)
assert "another imputation writes it" in text and f"process {started.pids()[0]} on" in text, text
other = start("half.h5ad", 2)
assert training.wait_for(lambda: "waiting for" in other.read()), other.text
started.go_on()
assert started.wait() == 0 and other.wait() == 0 and "complete already" in other.text, started.text + other.text
same("half.h5ad")

# A limit on sizes, and disks without room
text = run("impute", *RUNS, "-o", "large.h5ad", "--blend", "off", "--max-size", "1M", code=2)
assert "--max-size" in text and not beside("large.h5ad"), text
for bad in (["--memory", "lots"], ["--memory", "-1G"], ["--max-size", "0"], ["--save-every", "0"], ["--time-limit", "x"]):
    assert bad[0] in run("impute", "one", "-o", "large.h5ad", *bad, code=2)


def limit_files(out, ranks):
    """Writes that fail in the middle, which no look at the disk foresees; what was saved stands."""
    started = held(out, ranks)
    rows = finished(out)
    for pid in started.pids():
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (400_000, 400_000))
    started.go_on()
    code = started.wait()
    assert code == 74 and "disk full" in started.text, (code, started.text)
    assert finished(out) >= rows and os.path.exists(out + ".part")
    run("-q", "impute", *RUNS, "-o", out, "--blend", "off", ranks=4 - ranks)
    same(out)


limit_files("limited.h5ad", 1)
remove("limited.h5ad")
limit_files("limited.h5ad", 3)

os.mkdir("disk")
if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", "disk"], capture_output=True).returncode:
    print("not tried, because mounting is not permitted here: a disk that is full")
else:
    try:
        text = run("impute", *RUNS, "-o", "disk/a.h5ad", "--blend", "off", code=2)
        assert "half of what is free" in text and "--max-size" in text, text
        with open("disk/ballast", "wb") as file:
            disk = os.statvfs("disk")
            os.posix_fallocate(file.fileno(), 0, disk.f_bavail * disk.f_frsize - 3_000_000)
        text = run("impute", *RUNS, "-o", "disk/a.h5ad", "--blend", "off", "--max-size", "1G", code=73)
        assert "are free" in text and os.listdir("disk") == ["ballast"], (text, os.listdir("disk"))
        os.unlink("disk/ballast")
        run("-q", "impute", *RUNS, "-o", "disk/a.h5ad", "--blend", "off", "--max-size", "1G")
        assert not subprocess.run(["h5diff", "--exclude-path", "/uns/provenance", "disk/a.h5ad", "straight.h5ad"]).returncode
    finally:
        subprocess.run(["umount", "disk"])
print("ok")
