"""checks.py -- for scripts that go on after a check has failed: what was checked, and commands on some ranks."""
import os
import pathlib
import subprocess
import sys
import tempfile

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


def run(*arguments, ranks=1, program=os.path.abspath(sys.argv[1]), limit=120, env=None, **more):
    """On several ranks each one's exit code counts: by itself mpirun takes a second to end the others when the first one
    fails, and nobody would see that one of them waits forever. Codes that differ are a list, which nobody expects."""
    line, ways = [program, *map(str, arguments)], {"capture_output": True, "text": True, "errors": "replace", "timeout": limit, **more}
    ways["env"] = machine.environment(ranks, env)
    if ranks == 1:
        return subprocess.run(line, **ways)
    with tempfile.NamedTemporaryFile("r") as codes:
        done = subprocess.run(["mpirun", "-n", str(ranks), "sh", "-c", '"$@"; echo $? >>"$0"', codes.name, *line], **ways)
        found = codes.read().split()
    if done.returncode == 0:
        done.returncode = int(found[0]) if len(found) == ranks and len(set(found)) == 1 else found
    return done


def fine(*line, ranks=1):
    """A command that has to go well."""
    done = run(*line, ranks=ranks)
    assert done.returncode == 0, (line, ranks, done.stdout, done.stderr)
    return done
