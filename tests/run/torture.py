#!/usr/bin/env python3
"""torture.py -- fail the n-th fallible call of one rank (TESS_FAIL_AT) and demand a clean end.

usage: torture.py TESSERA SOURCE_FOLDER [--cases N]

For each command and rank: how many fallible calls there are is found by doubling and halving; then
failures spread over them are tried. Each time every rank must end with the same code, one sentence
must say what failed, nothing may hang, and nothing half-written may lie about. --cases bounds the
failures tried for each command and rank (default 6; 0: every one)."""
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

LIMIT = 60  # seconds; a command here takes about one
tessera, source = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
cases = int(sys.argv[sys.argv.index("--cases") + 1]) if "--cases" in sys.argv else 6
place = pathlib.Path(tempfile.mkdtemp(prefix="tess_torture_"))
problems = []


class Command:
    """A command line on some ranks. prepare() restores what it starts from; allowed(): files that may lie
    in the folder after a failure, beside those that lay there before."""

    def __init__(self, name, ranks, arguments, prepare=lambda: None, allowed=(), check=lambda: None):
        self.name, self.ranks, self.arguments = name, ranks, [str(a) for a in arguments]
        self.prepare, self.allowed, self.check = prepare, allowed, check

    def run(self, fail_at=None):
        """Exit codes of all ranks (None: hung), standard error, files that are new."""
        codes = place / "codes"
        shutil.rmtree(codes, ignore_errors=True)
        codes.mkdir()
        environment = dict(os.environ, CODES=str(codes))
        environment.pop("TESS_FAIL_AT", None)
        if fail_at:
            environment["TESS_FAIL_AT"] = fail_at
        # The shell keeps each rank's code to itself: mpirun would end the others at the first failure.
        keep = '"$@"; echo $? > "$CODES/${OMPI_COMM_WORLD_RANK:-0}"'
        line = ["sh", "-c", keep, "sh", str(tessera)] + self.arguments
        if self.ranks > 1:
            line = ["mpirun", "--oversubscribe", "-n", str(self.ranks)] + line
        self.prepare()
        before = listing()
        with open(place / "error", "w+b") as error:
            process = subprocess.Popen(line, env=environment, stdout=subprocess.DEVNULL, stderr=error,
                                       cwd=place, start_new_session=True)
            try:
                process.wait(LIMIT)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                return None, "", []
            error.seek(0)
            text = error.read().decode(errors="replace")
        found = [int((codes / str(r)).read_text()) if (codes / str(r)).exists() else -1 for r in range(self.ranks)]
        return found, text, sorted(listing() - before)


def listing():
    return {str(p.relative_to(place)) for p in place.rglob("*") if p.relative_to(place).parts[0] not in ("codes", "error")}


def judge(command, fail_at, codes, text, new):
    """What is wrong with a run that was made to fail: a list of sentences."""
    if codes is None:
        return [f"still running after {LIMIT} s"]
    wrong = []
    lines = [line for line in text.splitlines() if ": error: " in line]
    if len(set(codes)) != 1:
        wrong.append(f"ranks ended with different codes: {codes}")
    if not 64 <= codes[0] <= 78 or codes[0] == 70:
        wrong.append(f"exit code {codes[0]} is not one of a failure outside")
    if len(lines) != 1:
        wrong.append(f"{len(lines)} error sentences instead of one: {text.strip()[-400:]}")
    elif "on purpose" not in lines[0]:
        wrong.append(f"the sentence hides the cause: {lines[0]}")
    for sign in ("bug at", "Sanitizer", "Segmentation", "*** "):
        if sign in text:
            wrong.append(f"'{sign}' in the output")
    left = [f for f in new if f.endswith(".part") or not any(pathlib.PurePath(f).match(a) for a in command.allowed)]
    if left:
        wrong.append(f"left behind: {', '.join(left)}")
    return wrong + [w for w in [command.check()] if w]


def clean(new):
    for name in sorted(new, reverse=True):
        path = place / name
        path.rmdir() if path.is_dir() else path.unlink()


def attempt(command, n, rank):
    """Does the n-th call's failure on `rank` fail the command? Judges it if so."""
    fail_at = f"{n}@{rank}"
    codes, text, new = command.run(fail_at)
    succeeded = codes is not None and set(codes) == {0}
    if not succeeded:
        for what in judge(command, fail_at, codes, text, new):
            problems.append(f"{command.name} on {command.ranks} ranks, TESS_FAIL_AT={fail_at}: {what}")
    clean(new)
    return not succeeded


def torture(command):
    codes, text, new = command.run()
    if codes is None or set(codes) != {0}:
        problems.append(f"{command.name} on {command.ranks} ranks fails without help: {codes} {text.strip()[-400:]}")
        return
    clean(new)
    for rank in range(command.ranks):
        tried, high = set(), 1
        while high < 1 << 20 and attempt(command, high, rank):
            tried.add(high)
            high *= 2
        low = high // 2  # fails at low, succeeds at high
        while high - low > 1:
            middle = (low + high) // 2
            if attempt(command, middle, rank):
                tried.add(middle)
                low = middle
            else:
                high = middle
        want = set(range(1, low + 1)) if cases == 0 else {1 + (low - 1) * i // max(1, cases - 1) for i in range(cases)}
        for n in sorted(want - tried - {0}):
            attempt(command, n, rank)
        print(f"{command.name} on {command.ranks} ranks, rank {rank}: {low} fallible calls", flush=True)
        if low == 0 and rank == 0:
            problems.append(f"{command.name}: no fallible call on rank 0; the test would be empty")


def main():
    for command in commands():
        torture(command)
    print("\n".join(problems) or "every failure ended cleanly")
    shutil.rmtree(place, ignore_errors=True)
    return 1 if problems else 0


def write_table(path):
    with open(path, "w") as out:
        out.write("context\tperturbation\treadout\tvalue\n")
        for c in range(3):
            for p in range(9):
                for r in range(6):
                    name = "control" if p == 0 else f"gene{p}+gene{p + 1}" if p > 6 else f"gene{p}"
                    out.write(f"line{c}\t{name}\treadout{r}\t{0.1 * c + 0.2 * p * r - 0.05 * p * c:.3f}\n")


def commands():
    table, store, kept = place / "table.tsv", place / "store.prc.h5", place / "kept.prc.h5"
    write_table(table)
    for ranks in (1, 2):
        yield Command("import", ranks, ["import", table, "-o", store])
    made = subprocess.run([tessera, "-q", "import", table, "-o", kept], cwd=place)
    if made.returncode == 0:
        subprocess.run([tessera, "-q", "split", kept, "--target", "line0"], cwd=place)

        def restore():
            shutil.copyfile(kept, store)

        def readable():
            after = subprocess.run([tessera, "info", store], cwd=place, capture_output=True, text=True)
            return None if after.returncode == 0 else f"the store is damaged: {after.stderr.strip()}"

        yield Command("split", 2, ["split", store, "--target", "line0"], prepare=restore, check=readable)
        yield Command("info", 2, ["info", kept])
        yield Command("evaluate", 2, ["evaluate", kept, "--resamples", 9, "--predictions", table, "--json", "scores.json"])
    shape = ["--perturbations", 5, "--readouts", 4, "--contexts", 2]
    yield Command("simulate a store", 2, ["simulate", "-o", place / "new.prc.h5", *shape, "--replicates", 2])
    run = place / "run"
    made = subprocess.run([tessera, "-q", "train", source / "config/quickstart.yaml", "--set", f"data.store={kept}",
                           "--set", f"run.directory={run}", "--set", "train.epochs=1"], cwd=place)
    if made.returncode == 0:
        yield Command("impute", 2, ["impute", min(run.glob("*.h5")), "-o", place / "new.h5ad"])


sys.exit(main())
