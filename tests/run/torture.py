#!/usr/bin/env python3
"""torture.py -- fail the n-th fallible call of one rank (TESS_FAIL_AT) and demand a clean end.

usage: torture.py TESSERA SOURCE_FOLDER [--cases N]

For each command and rank, failures are spread over the fallible calls that it makes (TESS_FAIL_AT=0 counts
them). Each time every rank must end with the same code, one sentence must say what failed, nothing may hang,
and nothing half-written may lie about. --cases bounds the failures tried for each command and rank
(default 5; 0, and with TESS_TEST_LONG=1: every one). A training, an import and an imputation are then run once more, and must
have the bits of one that never failed; they are also killed at calls spread in the same way (TESS_FAIL_AT=-n@rank)."""
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile

import machine
import training

LIMIT = 180  # seconds; a command here takes about one, but other work may go before it
tessera, source = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
cases = int(sys.argv[sys.argv.index("--cases") + 1]) if "--cases" in sys.argv else 0 if training.long() else 5
place = pathlib.Path(tempfile.mkdtemp(prefix="tess_torture_"))
problems = []


class Command:
    """A command line on some ranks. prepare() restores what it starts from; allowed(): files that may lie
    in the folder after a failure, beside those that lay there before; keeps: unfinished ones too, for the next try. What check() and always() return is a complaint;
    the first is asked after failures only."""

    def __init__(self, name, ranks, arguments, prepare=lambda: None, allowed=(), check=lambda: None, always=lambda: None,
                 kills=False, keeps=()):
        self.name, self.ranks, self.arguments = name, ranks, [str(a) for a in arguments]
        self.prepare, self.allowed, self.check, self.always, self.kills = prepare, allowed, check, always, kills
        self.keeps = keeps

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
            line = ["mpirun", "-n", str(self.ranks)] + line
        self.prepare()
        before = listing()
        with open(place / "error", "w+b") as error:
            process = subprocess.Popen(line, env=environment, stdout=subprocess.DEVNULL, stderr=error,
                                       cwd=place, start_new_session=True)
            if not training.wait_for(lambda: process.poll() is not None, LIMIT):
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
    elif "on purpose" not in text:
        wrong.append(f"the sentence hides the cause: {lines[0]}")
    for sign in ("bug at", "Sanitizer", "Segmentation", "*** "):
        if sign in text:
            wrong.append(f"'{sign}' in the output")
    fits = lambda name, patterns: any(pathlib.PurePath(name).match(p) for p in patterns)
    left = [f for f in new if not fits(f, command.keeps) and (f.endswith(".part") or not fits(f, command.allowed))]
    if left:
        wrong.append(f"left behind: {', '.join(left)}")
    return wrong + [w for w in [command.check()] if w]


def clean(new):
    for name in sorted(new, reverse=True):
        path = place / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def attempt(command, n, rank):
    """Does the n-th call's failure on `rank` fail the command? Judges it if so."""
    fail_at = f"{n}@{rank}"
    codes, text, new = command.run(fail_at)
    succeeded = codes is not None and set(codes) == {0}
    if not succeeded:
        for what in judge(command, fail_at, codes, text, new):
            problems.append(f"{command.name} on {command.ranks} ranks, TESS_FAIL_AT={fail_at}: {what}")
    wrong = command.always()
    if wrong:
        problems.append(f"{command.name} on {command.ranks} ranks, TESS_FAIL_AT={fail_at}: {wrong}")
    clean(new)
    return not succeeded


def shoot(command, n, rank):
    """Killed at the n-th call. What matters is what comes after."""
    codes, text, new = command.run(f"-{n}@{rank}")
    wrong = "still running" if codes is None else command.always()
    if wrong:
        problems.append(f"{command.name} on {command.ranks} ranks, killed at {n}@{rank}: {wrong}")
    clean(new)


def spread(n, cases):
    return range(1, n + 1) if cases == 0 or n <= cases else sorted({1 + (n - 1) * i // (cases - 1) for i in range(cases)})


def torture(command):
    codes, text, new = command.run("0")  # fails nothing, counts
    if codes is None or set(codes) != {0}:
        problems.append(f"{command.name} on {command.ranks} ranks fails without help: {codes} {text.strip()[-400:]}")
        return
    clean(new)
    calls = {int(r): int(n) for r, n in re.findall(r"rank (\d+): (\d+) fallible calls", text)}
    for rank in range(command.ranks):
        n = calls.get(rank, 0)
        want = spread(n, cases)
        failed = sum(attempt(command, at, rank) for at in want)
        print(f"{command.name}, rank {rank} of {command.ranks}: {n} fallible calls, {failed} of {len(want)} failures "
              "ended the command", flush=True)
        if command.kills:
            want = spread(n, (cases + 1) // 2)
            for at in want:
                shoot(command, at, rank)
            print(f"{command.name}, rank {rank} of {command.ranks}: killed at {len(want)} of these calls", flush=True)
    if not calls.get(0):
        problems.append(f"{command.name}: no fallible call on rank 0; the test would be empty")


def main():
    for command in commands():
        torture(command)
    print("\n".join(problems) or "every failure ended cleanly")
    shutil.rmtree(place, ignore_errors=True)
    return 1 if problems else 0


SMALL = ["--perturbations", "12", "--readouts", "6", "--contexts", "3", "--combinations", "4", "--replicates", "2"]


def plain(*line):
    return subprocess.run([str(x) for x in (tessera, "-q", *line)], cwd=place, capture_output=True, text=True, env=machine.environment(1))


def again_whole(path, same, *line):
    """A file that is there is whole; the command again gives the bits of `same`, and leaves nothing else."""
    wrong = None
    if path.exists() and plain("verify", path).returncode:
        wrong = f"a file that is not whole: {path.name}"
    stale = listing()
    again = plain(*line, "-o", path)
    left = sorted(listing() - stale - {str(f.relative_to(place)) for f in (path, path.with_name(path.name + ".sum"))})
    if again.returncode:
        wrong = f"'{line[0]}' fails afterwards: {again.stderr.strip()}"
    elif subprocess.run(["h5diff", "--exclude-path", "/uns/provenance", path, same], capture_output=True).returncode:
        wrong = f"{path.name} is not as it was"
    elif left:  # what a kill left before stays: it is nobody's to remove
        wrong = f"left behind: {', '.join(left)}"
    path.unlink(missing_ok=True)
    return wrong


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
    run, again = place / "run", place / "again"
    settings = {"model.embedding_dim": 4, "model.hidden_dim": 8, "train.epochs": 2, "train.batch": 64,
                "train.lanes": 4, "data.store": kept, "data.normalize": "zscore"}
    settled = [source / "config" / "quickstart.yaml"] + [f"--set={key}={value}" for key, value in settings.items()]
    straight, retraining = settled + [f"--set=run.directory={run}"], settled + [f"--set=run.directory={again}"]
    write_table(table)
    first = place / "first.prc.h5"
    plain("import", table, "-o", first)
    yield Command("import", 2, ["import", table, "-o", store], always=lambda: again_whole(store, first, "import", table),
                  kills=True)
    yield Command("simulate", 2, ["simulate", "-o", place / "made.h5ad"] + SMALL)
    yield Command("simulate a store", 2, ["simulate", "-o", place / "made.prc.h5"] + SMALL)
    for line in (["simulate", "-o", kept] + SMALL, ["train"] + straight):
        made = plain(*line)
        if made.returncode != 0:
            problems.append(f"{line[0]} fails without help: {made.stderr.strip()}")
            return

    def restore():
        shutil.copyfile(kept, store)

    def forget():
        shutil.rmtree(again, ignore_errors=True)

    def go_on():
        forget()
        shutil.copytree(half, again)

    def straight_bits():
        return works("train", *retraining) or training.differences(again, run) or litter(again)

    def litter(folder):
        left = [name.name for name in folder.iterdir() if name.suffix in (".part", ".damaged")]
        return f"left behind: {', '.join(left)}" if left else None

    def works(*line):
        after = plain(*line)
        return None if after.returncode == 0 else f"'{line[0]}' fails afterwards: {after.stderr.strip()}"

    def split_again():
        """A half-written split is found; split again, the store is whole."""
        seen = plain("check", store)
        if seen.returncode not in (0, 65) or seen.returncode and "split it again" not in seen.stderr:
            return f"after split, 'check' says {seen.returncode}: {seen.stderr.strip()}"
        return works("split", store, "--random") or works("check", store) or works("verify", store)

    yield Command("split", 2, ["split", store, "--random"], prepare=restore, always=split_again, kills=True)
    yield Command("check", 2, ["check", kept])
    yield Command("info", 1, ["info", kept])
    yield Command("train", 2, ["train"] + retraining, prepare=forget, allowed=("again", "again/*"), always=straight_bits,
                  kills=True)
    half = place / "half"
    plain("train", *settled, f"--set=run.directory={half}", "--time-limit=0.001")
    yield Command("train, resumed", 2, ["train"] + retraining, prepare=go_on, allowed=("again", "again/*"),
                  always=straight_bits, kills=True)
    sweeping, swept, found = place / "sweep.yaml", place / "swept", place / "found"
    sweeping.write_text("".join(f"{key}: {value}\n" for key, value in settings.items()) + "sweep: {model.dropout: [0, 0.2], groups: 2}\n")
    plain("sweep", sweeping, f"--set=run.directory={found}", "--set=sweep.groups=1")

    def swept_bits():
        wrong = works("sweep", sweeping, f"--set=run.directory={swept}", "--set=sweep.groups=1")
        return wrong or next((d for d in (training.differences(swept / t, found / t) or litter(swept / t) for t in ("trial-1", "trial-2")) if d), None)

    yield Command("sweep", 2, ["sweep", sweeping, f"--set=run.directory={swept}"], prepare=lambda: shutil.rmtree(swept, ignore_errors=True),
                  allowed=("swept", "swept/*", "swept/*/*"), always=swept_bits, kills=True)
    yield Command("verify", 2, ["verify", run, kept])
    yield Command("evaluate", 2, ["evaluate", run, "--json", place / "scores.json", "--resamples", "10"])
    yield Command("evaluate, more", 2, ["evaluate", run, "--strata", "--epistasis", "--resamples", "10", "--profile", "cell-eval", "-o",
                                        place / "predicted.h5ad", "--real", place / "measured.h5ad"], allowed=("predicted.h5ad", "measured.h5ad"))
    imputed, guess = place / "imputed.h5ad", place / "guess.h5ad"
    plain("impute", run, "-o", guess)
    yield Command("impute", 2, ["impute", run, "-o", imputed], always=lambda: again_whole(imputed, guess, "impute", run, "--force"),
                  kills=True, keeps=("imputed.h5ad.part", "imputed.h5ad.part.json"))
    queries, answers = place / "queries.tsv", place / "answers.tsv"
    queries.write_text("".join(f"{c}\t{p}\tR{r}\n" for c in ("C1", "C2") for p in ("P01", "P02") for r in (1, 2, 3)))
    yield Command("predict", 2, ["predict", run, queries, "-o", answers, "--unknown", "nan"])
    yield Command("embed", 2, ["embed", run, "-o", place / "tables.h5ad"])
    yield Command("neighbors", 2, ["neighbors", run, "-o", place / "near.tsv"])
    yield Command("report", 2, ["report", run, "-o", place / "page.html", "--json", place / "page.json", "--resamples", "10"])
    known = place / "pairs.tsv"
    known.write_text("P01\tP02\nP02\tP03\n")
    yield Command("neighbors, pairs", 2, ["neighbors", run, "--pairs", known, "--resamples", "10", "-o", place / "ranks.tsv"])
    yield Command("neighbors, completed", 2, ["neighbors", run, "--vectors", "completed", "-o", place / "near.tsv"])
    yield Command("screen", 2, ["screen", run, "-r", "R1", "-o", place / "screen.h5ad"])
    yield Command("screen, pairs", 2, ["screen", run, "-r", "R1", "--pairs", "all", "--top", "5", "-o", place / "screen.tsv"])
    yield Command("network", 3, ["network", "infer", kept, "-c", "C1", "-o", place / "edges.tsv"])
    yield Command("network, completed", 2, ["network", "infer", kept, "-c", "C1", "--complete", run, "-o", place / "completed.tsv"])
    cells, edges = place / "cells.h5ad", place / "cells.tsv"
    plain("simulate", "-o", cells, "--network", "--readouts", 6, "--contexts", 1, "--cells", 8, "--controls", 1)
    plain("network", "infer", cells, "-m", "wasserstein", "-o", edges)
    for method in "direct", "inspre", "partial":
        yield Command(f"network, {method}", 3, ["network", "infer", cells, "-c", "C1", "-m", method, "-o", place / f"{method}.tsv"])
    yield Command("network, cells", 3, ["network", "infer", cells, "-m", "wasserstein", "-o", place / "scored.tsv"])
    yield Command("network, judged by cells", 3, ["network", "evaluate", edges, "--cells", cells, "-o", place / "judged.tsv", "--json", place / "judged.json"],
                  allowed=("judged.tsv",))
    yield Command("plan", 2, ["plan", run, "--rate", "1e6", "--json", place / "plan.json"])
    yield Command("evaluate predictions", 2, ["evaluate", kept, "--predictions", guess, "--resamples", "10"])


sys.exit(main())
