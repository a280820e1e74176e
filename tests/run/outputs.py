#!/usr/bin/python3
"""outputs.py -- what is written: never over an input, never into what is no file, never mixed with what another program writes
at the same time, and nothing half-written is left behind by signals.

usage: outputs.py TESSERA SOURCE_FOLDER"""
import glob
import hashlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import checks
import training
from checks import check

signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup ignores it, and what it starts would, too

tessera, source = os.path.abspath(sys.argv[1]), pathlib.Path(sys.argv[2]).resolve()
folder = tempfile.TemporaryDirectory(prefix="tess_outputs_")
os.chdir(folder.name)
SMALL = ["--perturbations", "12", "--readouts", "6", "--contexts", "3"]
LARGE = ["--perturbations", "1500", "--readouts", "800", "--contexts", "4"]
LONG = ["--perturbations", "4000", "--readouts", "1200", "--contexts", "4"]  # some seconds of writing, in which it can be stopped


def content(path):
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


def parts():
    return sorted(glob.glob("*.part") + glob.glob("*/*.part"))


def plain(*line, code=0):
    done = checks.run(*line)
    assert done.returncode == code, (line, done.returncode, done.stderr)
    return done.stderr


def make_inputs():
    with open("own.csv", "w") as out:
        out.write("id,perturbation,context,TP53,CDKN1A\n")
        for i in range(40):
            out.write(f"{i},{'control' if i % 8 == 0 else f'gene{i % 8}'},line{i // 8 % 3},{0.1 * i:.2f},{3 - 0.2 * i:.2f}\n")
    with open("genes.txt", "w") as out:
        out.write("gene1\ngene2\n")
    pathlib.Path("table.csv").write_text("id,batch\n" + "".join(f"{i},{i % 2}\n" for i in range(40)))
    plain("import", "own.csv", "-o", "own.prc.h5")
    plain("split", "own.prc.h5", "--random", "--export", "split.tsv")
    training.write_config("config.yaml", {"data.store": os.path.abspath("own.prc.h5"), "model.embedding_dim": 4, "model.hidden_dim": 8,
                                          "train.epochs": 2, "train.batch": 16, "train.lanes": 2})
    plain("train", "config.yaml", "--set", "run.directory=run")
    os.symlink("own.csv", "link.csv")
    os.link("own.csv", "hard.csv")
    os.mkdir("place")
    os.mkfifo("fifo")


def refused():
    """(command, the output that is refused, a word of the sentence): nothing may be changed, nothing computed."""
    best = sorted(glob.glob("run/best-*.h5"))[0]
    wide, store, run = ["import", "own.csv"], "own.prc.h5", "run"
    for out, word in (("own.csv", "input"), ("link.csv", "input"), ("hard.csv", "input"), ("./own.csv", "input"), ("place", "directory"),
                      ("place/", "directory"), ("/dev/null", "no regular file"), ("/dev/stdout", "no regular file"),
                      ("fifo", "no regular file"), ("", "no name"), ("nowhere/x.h5", "directory")):
        yield [*wide, "-o", out], word
    yield [*wide, "--metadata", "table.csv", "-o", "table.csv"], "input"
    yield ["split", store, "--export", store], "input"
    yield ["split", store, "--file", "split.tsv", "--export", "split.tsv"], "input"
    yield ["split", store, "--export", "place"], "directory"
    yield ["evaluate", store, "--json", store], "input"
    yield ["evaluate", store, "--predictions", "own.csv", "--json", "own.csv"], "input"
    for out in (store, best, best + ".sum", "run/used.yaml", "run/log.jsonl", "run/lock"):
        yield ["evaluate", run, "--json", out], "input"
    yield ["evaluate", best, "--json", store], "input"
    yield ["evaluate", "run/kept.h5", "--json", store], "input"  # a checkpoint under a name of its owner's
    yield ["evaluate", run, "--json", "/dev/full"], "no regular file"
    yield ["impute", run, "-p", "@genes.txt", "-o", "genes.h5ad"], "input"  # a link to genes.txt
    yield ["impute", run, "-p", "@sums.h5ad.sum", "-o", "sums.h5ad"], "input"
    yield ["impute", run, "-o", "folder.h5ad"], "directory"
    yield ["simulate", *SMALL, "-o", "a.h5ad", "--truth", "./a.h5ad"], "same file"
    yield ["simulate", *SMALL, "-o", "place", "--truth", "a.h5ad"], "directory"
    yield ["simulate", *SMALL, "--network", "-o", "a.h5ad", "--gold", "place"], "directory"
    yield ["bench", "config.yaml", "--quick", "--json", "config.yaml"], "input"
    yield ["bench", "config.yaml", "--quick", "--json", store], "input"  # the configuration names it
    yield ["train", "config.yaml", "--set", "run.directory=genes.txt"], "directory"


def check_refused():
    os.symlink("genes.txt", "genes.h5ad")
    for ending in ("", ".sum"):
        shutil.copy(sorted(glob.glob("run/best-*.h5"))[0] + ending, "run/kept.h5" + ending)
    shutil.copy("genes.txt", "sums.h5ad.sum")
    os.mkdir("folder.h5ad")
    before = {name: content(name) for name in glob.glob("**", recursive=True) if os.path.isfile(name)}
    for line, word in refused():
        for ranks in (1, 2) if line[-1] in ("sums.h5ad", "run/lock") else (1,):
            done = checks.run(*line, ranks=ranks)
            check(done.returncode in (2, 73) and word in done.stderr, f"{line} on {ranks}: {done.returncode} {done.stderr}")
            check("values, about" not in done.stderr and not done.stdout, f"{line}: work was done first: {done.stdout}{done.stderr}")
    now = {name: content(name) for name in glob.glob("**", recursive=True) if os.path.isfile(name)}
    check(now == before, f"changed: {set(now.items()) ^ set(before.items())}")
    device = os.stat("/dev/null")
    check(device.st_rdev and not os.path.isfile("/dev/null"), "/dev/null is no device any more")
    # what is none of the inputs may be replaced as ever
    for name in ("run/scores.json", "scores.json", "scores.json"):
        plain("evaluate", "run", "--json", name, "--resamples", "5")
    plain("split", "own.prc.h5", "--file", "split.tsv", "--export", "other.tsv")
    check(content("split.tsv") == content("other.tsv"), "an exported split is not what was read")


tried = []  # what could be caught in the middle


def started(ranks, *line):
    return training.Started(tessera, ranks, line)


def writing(ranks, *line, before=()):
    """A command that was stopped where it is while it has a temporary file of its own; None where none could be caught in that
    moment, which is a matter of luck and of the machine."""
    for _ in range(20):
        one = started(ranks, *line)
        training.wait_for(lambda: one.over() or set(parts()) - set(before), pause=0.0005)
        if one.hold() and set(parts()) - set(before) and not one.over():
            return one
        one.go_on()
        one.wait()
    print(f"not tried, because it could not be stopped while it writes: {line}", flush=True)
    return None


def rows(path, n):
    with open(path, "w") as out:
        out.write("perturbation,context," + ",".join(f"r{k}" for k in range(40)) + "\n")
        for i in range(n):
            out.write(f"{'control' if i % 50 == 0 else f'g{i % 50}'},c{i % 7}," + ",".join(str((i * k) % 17) for k in range(40)) + "\n")


def race(name, slow, quick, ranks, old):
    """`slow` is stopped in the middle; `quick` writes the same name meanwhile and has it; `slow` hears of it."""
    if old:
        plain(*quick, "-o", name)
    first = writing(ranks, *slow, "-o", name)
    if first is None:
        return
    tried.append(name)
    mine = parts()
    other = checks.run(*quick, "-o", name)
    what = f"two of {slow[0]} on {ranks} rank(s), {'an' if old else 'no'} earlier {name}"
    check(other.returncode == 0, f"{what}: the other one: {other.returncode} {other.stderr}")
    check(parts() == mine, f"{what}: temporary files {mine} became {parts()}")
    won = content(name)
    first.go_on()
    code = first.wait()
    check(code == 73 and "another program" in first.text, f"{what}: {code} {first.text}")
    check(content(name) == won, f"{what}: the file is not the one that was finished first")
    check(not parts(), f"{what}: left behind: {parts()}")
    seen = checks.run("verify", name)
    check(seen.returncode == 0, f"{what}: {seen.stdout} {seen.stderr}")


IMPORT = ["import", "rows.csv", "--memory", "0.000003"]  # so little that files are read many times while the store is open


def check_races():
    rows("rows.csv", 3000)
    race("made1.prc.h5", ["simulate", *LONG], ["simulate", *SMALL], 1, old=True)
    race("made2.prc.h5", ["simulate", *LONG], ["simulate", *SMALL], 2, old=False)
    race("made2.h5ad", ["simulate", *LONG], ["simulate", *SMALL], 2, old=True)
    race("rows.prc.h5", IMPORT, ["import", "own.csv"], 1, old=False)
    plain("simulate", *LARGE, "-o", "large.prc.h5")
    plain("train", "config.yaml", "--set", "data.store=large.prc.h5", "--set", "train.epochs=1", "--set", "train.batch=65536",
          "--set", "model.hidden_dim=64", "--set", "run.directory=large")
    race("imputed1.h5ad", ["impute", "large"], ["impute", "run"], 1, old=False)
    race("imputed2.h5ad", ["impute", "large"], ["impute", "run"], 2, old=True)


def check_signals():
    interrupt, term, hang_up, user = signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1
    make, impute = ["simulate", *LONG, "-o", "kept.prc.h5"], ["impute", "large", "-o", "kept.h5ad"]
    cases = [([*IMPORT, "-o", "kept.prc.h5"], 1, (interrupt, term, hang_up)), (make, 1, (user,)), (make, 2, (interrupt, term)),
             (impute, 1, (hang_up,)), (impute, 2, (interrupt,))]
    for name in ("kept.prc.h5", "kept.h5ad"):
        pathlib.Path(name).write_text("kept")
    for line, ranks, numbers in cases:
        for number in numbers:
            name = line[-1]
            one = writing(ranks, *line)
            if one is None:
                pathlib.Path(name).write_text("kept")
                continue
            before = content(name)
            tried.append(number)
            for pid in [one.process.pid] if ranks > 1 else one.pids():
                one.send(pid, number)
            one.go_on()
            code = one.wait()
            what = f"{line[0]} on {ranks} rank(s), {number.name}"
            check(code != 0, f"{what}: exit code 0")
            training.wait_for(lambda: not one.pids() and not parts(), 10)
            check(not parts(), f"{what}: left behind: {parts()}")
            # mpirun may be slower than what is left to do: then the file is the new one, and whole
            check(content(name) == before or ranks > 1 and checks.run("verify", name).returncode == 0, f"{what}: spoilt the earlier file")


def check_leftovers():
    """What SIGKILL leaves blocks nobody and is nobody's to remove; a run removes its own."""
    killed = writing(1, *IMPORT, "-o", "killed.prc.h5")
    if killed is not None:
        killed.kill_all()
        killed.wait()
        left = parts()
        check(len(left) == 1 and not os.path.exists("killed.prc.h5"), f"killed: {left}")
        plain("simulate", *SMALL, "-o", "killed.prc.h5")
        check(parts() == left, f"a stale temporary file: {left} became {parts()}")
        os.unlink(left[0])
    foreign = {"run/photo.part": "x", "run/notes.0123abcd.part": "y", "run/checkpoint-000000001.h5.part": "z"}
    own = ["run/used.yaml.0123abcd.part", "run/checkpoint-000000007.h5.0123abcd.part", "run/best-000000007.h5.sum.0123abcd.part"]
    for name in [*foreign, *own]:
        pathlib.Path(name).write_text(foreign.get(name, ""))
    plain("train", "config.yaml", "--set", "run.directory=run", "--set", "train.epochs=3")
    check(all(os.path.exists(name) for name in foreign), f"a run removed what it did not make: {os.listdir('run')}")
    check(not any(os.path.exists(name) for name in own), f"a run left its own: {os.listdir('run')}")
    for name in foreign:
        os.unlink(name)
    pathlib.Path("precious").write_text("precious\n" * 20)
    before = content("precious")
    for where in ("run", "fresh"):
        os.makedirs(where, exist_ok=True)
        pathlib.Path(where, "lock").unlink(missing_ok=True)
        os.symlink("../precious", f"{where}/lock")
        done = checks.run("train", "config.yaml", "--set", f"run.directory={where}", "--set", "train.epochs=4")
        check(done.returncode == 73 and "symbolic link" in done.stderr, f"a link at lock: {done.returncode} {done.stderr}")
        check(content("precious") == before, "a run wrote through a link at its lock")
    os.unlink("run/lock")
    plain("train", "config.yaml", "--set", "run.directory=run", "--set", "train.epochs=4")


def check_open_elsewhere():
    """A file that another program has open: the sentence says that, not that it is damaged."""
    try:
        import h5py
    except ImportError:
        print("not tried, because h5py is not installed: a file that is open elsewhere")
        return
    plain("simulate", *SMALL, "-o", "held.h5ad")
    shutil.copy("own.prc.h5", "held.prc.h5")
    best = shutil.copy(sorted(glob.glob("run/best-*.h5"))[0], "held.h5")
    shutil.copy(sorted(glob.glob("run/best-*.h5.sum"))[0], "held.h5.sum")
    lines = {"held.h5ad": (["info"], ["check"], ["import", "-o", "z.prc.h5"]), best: (["info"], ["evaluate", "--store", "own.prc.h5"]),
             "held.prc.h5": (["info"], ["verify"], ["evaluate"], ["split", "--random"])}
    for name, commands in lines.items():
        mark = subprocess.Popen([sys.executable, "-c", "import h5py, sys; f = h5py.File(sys.argv[1], 'r+'); print('ready', flush=True); "
                                 "sys.stdin.read()", name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        mark.stdout.readline()
        for line in commands:
            done = checks.run(line[0], name, *line[1:])
            check(done.returncode == 65 and "another program has it open" in done.stderr + done.stdout,
                  f"{line[0]} of {name}, open in h5py: {done.returncode} {done.stdout} {done.stderr}")
            check("FILE_LOCKING" not in done.stderr + done.stdout, f"{line[0]}: {done.stderr}")
        mark.communicate("")
    one = training.Started(tessera, 1, ["train", "config.yaml", "--set", "run.directory=long", "--set", "train.epochs=1000000",
                                        "--set", "train.patience=0", "--set", "data.store=held.prc.h5"])
    training.wait_for(lambda: one.over() or os.path.exists("long/log.jsonl") and os.path.getsize("long/log.jsonl"))
    done = checks.run("split", "held.prc.h5", "--random", "--seed", "4")
    check(done.returncode == 0 or "another program has it open" in done.stderr, f"split during train: {done.returncode} {done.stderr}")
    for pid in one.pids():
        one.send(pid, signal.SIGTERM)
    one.wait()
    done = checks.run("info", "own.csv")
    check(done.returncode == 65 and "another program" not in done.stderr, f"a table: {done.stderr}")
    pathlib.Path("cut.h5").write_bytes(pathlib.Path("own.prc.h5").read_bytes()[:5000])
    done = checks.run("info", "cut.h5")
    check(done.returncode == 65 and "truncated" in done.stderr, f"cut off: {done.stderr}")


make_inputs()
begun = time.monotonic()
for part in (check_refused, check_races, check_signals, check_leftovers, check_open_elsewhere):
    part()
    print(f"{part.__name__}: {time.monotonic() - begun:.0f} s", flush=True)
check(len(tried) >= 4, f"of two writers and of signals only {tried} could be tried")
os.chdir("/")
checks.finish()
