#!/usr/bin/python3
"""resources.py -- what long trainings meet: memory and descriptors that must not grow, a clock that is set, a rank that is
stopped for a while, one that the system kills for its memory. What is trained has the bits of a training to which nothing happened.

usage: resources.py TESSERA SOURCE_FOLDER JUMP_CLOCK"""
import glob
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import machine

with machine.needed():
    import numpy  # noqa: F401 -- for small_store
machine.need("h5diff")
import small_store
import training

tessera, jump_clock = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[3])
folder = tempfile.TemporaryDirectory(prefix="tess_resources_")
os.chdir(folder.name)
LONG, SHORT = 200, 20
GROWTH = 2000  # kB that the heap's fragments may take
DESCRIPTORS = 64  # MPI has some thirty of its own
small_store.write(tessera, "small.prc.h5", small_store.rows())
training.write_config("config.yaml", {"data.store": "small.prc.h5", "model.embedding_dim": 8, "model.hidden_dim": 16, "train.epochs": 40,
                                      "train.batch": 1000, "train.lanes": 7, "train.learning_rate": 0.004, "checkpoint.minutes": 0.0005})


def line_of(run, *options, **changed):
    more = [x for key, value in changed.items() for x in ("--set", f"{key.replace('__', '.')}={value}")]
    return ["-q", "train", "config.yaml", "--set", f"run.directory={run}", *more, *options]


def peak(*words):
    """kB of memory that the command took, with few descriptors to lose: checkpoints open hundreds of files."""
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen([tessera, *words], stdout=output, stderr=output, env={**os.environ, **training.QUIET},
                                   preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS)))
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        assert process.returncode == 0, (words, process.returncode, output.read().decode())
    return usage.ru_maxrss


def test_growth():
    few, many = (peak(*line_of(f"epochs-{n}", train__epochs=n, train__patience=0)) for n in (SHORT, LONG))
    assert len(open(f"epochs-{LONG}/log.jsonl").readlines()) == LONG
    print(f"{SHORT} epochs: {few} kB, {LONG} epochs: {many} kB")
    assert many <= few + GROWTH, (few, many)
    with open("sweep.yaml", "w") as file:
        file.write(open("config.yaml").read() + "run.directory: swept\nsweep: {run.seed: [1, 2, 3, 4, 5, 6, 7, 8]}\n")
    one, members = peak(*line_of("one", train__epochs=3)), peak(*line_of("members", train__epochs=3, train__members=12))
    print(f"1 member: {one} kB, 12 members: {members} kB")
    peak("-q", "sweep", "sweep.yaml", "--set", "train.epochs=3")
    for words in (["verify", "members"], ["info", "members"], ["evaluate", "members", "--resamples", "5"], ["impute", "members", "-o", "all.h5ad"],
                  ["report", "members", "-o", "page.html"], ["neighbors", "members"], ["embed", "members", "-o", "embedded.h5ad"]):
        peak("-q", *words)


def same(run, what, started, code=0):
    got = started.wait()
    assert got == code, (what, got, started.text)
    if code == 0:
        assert not training.differences(run, "straight"), (what, training.differences(run, "straight"))
        assert not glob.glob(f"{run}/*.part"), (what, os.listdir(run))


def halfway(run, ranks, **more):
    """A new run, all of whose ranks are held while most of its epochs are still to come."""
    for _ in range(20):
        shutil.rmtree(run, ignore_errors=True)
        started = training.Started(tessera, ranks, line_of(run), **more)
        training.wait_for(lambda: started.over() or len(glob.glob(f"{run}/checkpoint-*.h5")) >= 2)
        if started.hold() and len(open(f"{run}/log.jsonl").readlines()) <= 20:
            return started
        started.kill_all()
        started.wait()
    raise AssertionError(f"no run could be held halfway: {started.text}")


def test_clock():
    """Neither a number, nor an end of time that was told at the start (an hour from then, by the scheduler and by --time-limit)."""
    for ranks in (1, 2):
        run, jumps = f"clock-{ranks}", os.path.abspath(f"jumps-{ranks}")
        started = training.Started(tessera, ranks, line_of(run, "--time-limit", "60"),
                                   environment={"LD_PRELOAD": jump_clock, "JUMPS": jumps, "SLURM_JOB_END_TIME": str(int(time.time()) + 3600)})
        same(run, f"a clock that jumps, {ranks} rank(s)", started)
        assert os.path.exists(jumps) and os.path.getsize(jumps) >= 3, "the clock was not seen to jump"


def test_stopped():
    """One rank of three is stopped; the others wait for it, however long, and go on."""
    started = halfway("stopped", 3)
    idle = started.pids()[1]
    for pid in started.pids():
        if pid != idle:
            started.send(pid, signal.SIGCONT)
    before = len(glob.glob("stopped/checkpoint-*.h5"))
    time.sleep(1)
    assert not started.over() and training.state_of(idle) == "T", (before, started.read())
    started.send(idle, signal.SIGCONT)
    same("stopped", "a rank that was stopped", started)


def test_killed():
    """As the system does when memory runs out: one rank is gone. mpirun ends, what is there is whole, and goes on."""
    for ranks in (2, 3):
        run = f"killed-{ranks}"
        started = halfway(run, ranks)
        victim = started.pids()[-1]
        started.send(victim, signal.SIGKILL)
        for pid in started.pids():
            if pid != victim:
                started.send(pid, signal.SIGCONT)
        code = started.wait()
        assert code != 0, (code, started.text)
        assert training.wait_for(lambda: not started.pids(), 30), "ranks are left"
        done = subprocess.run([tessera, "verify", run], capture_output=True, text=True, timeout=training.LIMIT)
        assert done.returncode == 0, (done.stdout, done.stderr)
        same(run, "after a rank was killed", training.Started(tessera, 5 - ranks, line_of(run)))


training.Started(tessera, 2, line_of("straight")).wait()
for test in (test_growth, test_clock, test_stopped, test_killed):
    begun = time.monotonic()
    test()
    print(f"{test.__name__}: as it should be, {time.monotonic() - begun:.1f} s", flush=True)
