"""training.py -- trainings for tests: started on some ranks, watched, killed, waited for under a time limit, compared."""
import glob
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

import machine

LIMIT = 240  # seconds for any command here; they take about three, but other work may go before them
QUIET = {"OMP_WAIT_POLICY": "passive"}


def long():
    """Is the long form of the test asked for?"""
    return os.environ.get("TESS_TEST_LONG", "") not in ("", "0")


def descendants(pid):
    found, wave = [], [pid]
    while wave:
        children = []
        for p in wave:
            for path in glob.glob(f"/proc/{p}/task/*/children"):
                try:
                    with open(path) as file:
                        children += map(int, file.read().split())
                except OSError:
                    pass
        found, wave = found + children, children
    return found


def name_of(pid):
    try:
        with open(f"/proc/{pid}/comm") as file:
            return file.read().strip()
    except OSError:
        return ""


def state_of(pid):
    """T: stopped; Z: dead."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(") ")[2][:1]
    except OSError:
        return "Z"


class Started:
    """A command on some ranks, running in a session of its own."""

    def __init__(self, tessera, ranks, arguments, environment=None, prefix=(), **more):
        start = ["mpirun", "-n", str(ranks)] if ranks > 1 else []
        self.ranks, self.text, self.program = ranks, None, pathlib.Path(tessera).name
        self.line = [*prefix, *start, str(tessera), *map(str, arguments)]
        self.output = tempfile.TemporaryFile()
        self.process = subprocess.Popen(self.line, env={**machine.environment(ranks), **QUIET, **(environment or {})}, stdin=subprocess.DEVNULL,
                                        stdout=self.output, stderr=self.output, start_new_session=True, **more)

    def pids(self):
        """Of the ranks that live."""
        return [p for p in [self.process.pid, *descendants(self.process.pid)] if name_of(p) == self.program]

    def send(self, pid, number):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass

    def hold(self):
        """Stops every rank where it is, so that what comes next does not depend on how fast it is; False if none lives."""
        held = self.pids()
        for pid in held:
            self.send(pid, signal.SIGSTOP)
        for pid in held:
            wait_for(lambda: state_of(pid) in "TZ", 20)
        return bool(held)

    def go_on(self):
        for pid in self.pids():
            self.send(pid, signal.SIGCONT)

    def kill_all(self):
        """mpirun first, so that nobody can clean up; then every rank."""
        everybody = [self.process.pid, *descendants(self.process.pid)]
        for pid in everybody:
            self.send(pid, signal.SIGKILL)

    def over(self):
        return self.process.poll() is not None

    def wait(self, limit=LIMIT):
        """Exit code; everything printed is in `text`. A hang ends the test."""
        if not wait_for(self.over, limit):  # Popen.wait with a limit looks every 50 ms: half as long again as a small command
            self.kill_all()
            self.process.wait()
            raise AssertionError(f"still running after {limit} s: {' '.join(self.line)}\n{self.read()}")
        self.read()
        return self.process.returncode

    def read(self):
        self.output.seek(0)
        self.text = self.output.read().decode(errors="replace")
        return self.text


def run(*arguments, ranks=1, code=0, program=os.path.abspath(sys.argv[1]), **more):
    """All that the program says, which has to end with this code."""
    started = Started(program, ranks, arguments, **more)
    got = started.wait()
    assert got == code, (arguments, ranks, got, started.text)
    return started.text


def write_config(path, settings):
    with open(path, "w") as file:
        for key, value in settings.items():
            file.write(f"{key}: {value}\n")


def newest(run, kind="checkpoint"):
    files = sorted(glob.glob(f"{glob.escape(str(run))}/{kind}-*.h5"))
    assert files, f"{run} holds no {kind}"
    return files[-1]


def differences(a, b):
    """Of the newest checkpoint and the best one of two runs: what h5diff says; empty if they are the same."""
    said = []
    for kind in ("checkpoint", "best"):
        one, other = newest(a, kind), newest(b, kind)
        if os.path.basename(one) != os.path.basename(other):
            said.append(f"{one} and {other} are of different steps")
            continue
        done = subprocess.run(["h5diff", "-v", one, other], capture_output=True, text=True, timeout=LIMIT)
        if done.returncode:
            said.append(f"{one} and {other}: {done.stdout[-1500:]} {done.stderr[-500:]}")
    return "\n".join(said)


def wait_for(condition, limit=LIMIT, pause=0.002):
    """The condition's first true value; None if time ran out."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(pause)
    return None
