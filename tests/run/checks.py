"""checks.py -- for scripts that go on after a check has failed: what was checked, and commands on some ranks."""
import os
import pathlib
import subprocess
import sys

import machine

findings, n_checks = [], 0


def check(truth, what):
    global n_checks
    n_checks += 1
    if not truth:
        findings.append(what)


def finish():
    """Says what failed and ends the script."""
    for finding in findings[:20]:
        print("FAILED", finding)
    print(f"{n_checks} checks, {len(findings)} findings")
    sys.exit(bool(findings))


def real_data(*needed):
    """The folder of real data, where the script is asked for its part on them (a third argument `real`), else None. That part
    is a test of its own, so that it is skipped, and not passed, where they, or the files needed, are missing."""
    if "real" not in sys.argv[3:]:
        return None
    data = pathlib.Path(sys.argv[2]).resolve().parent / "shared" / "data"
    for path in (data, *(data / name for name in needed)):
        if not path.exists():
            machine.skip(f"no {path}")
    return data


def run(*arguments, ranks=1, program=os.path.abspath(sys.argv[1]), limit=120):
    line = [program, *map(str, arguments)]
    if ranks > 1:
        line = ["mpirun", "-n", str(ranks), *line]
    return subprocess.run(line, capture_output=True, text=True, timeout=limit)


def fine(*line, ranks=1):
    """A command that has to go well."""
    done = run(*line, ranks=ranks)
    assert done.returncode == 0, (line, ranks, done.stdout, done.stderr)
    return done
