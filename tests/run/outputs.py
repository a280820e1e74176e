#!/usr/bin/python3
"""outputs.py -- what is written: never over an input, never into what is no file, never mixed with what another program writes
at the same time, and nothing half-written is left behind by signals.

usage: outputs.py TESSERA SOURCE_FOLDER"""
import fcntl
import glob
import hashlib
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import checks
import machine
import training
from checks import check

signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup ignores it, and what it starts would, too

machine.ALONE.clear()
tessera, source = os.path.abspath(sys.argv[1]), pathlib.Path(sys.argv[2]).resolve()
folder = tempfile.TemporaryDirectory(prefix="tess_outputs_")
os.chdir(folder.name)
SMALL = ["--perturbations", "12", "--readouts", "6", "--contexts", "3"]
OTHER = ["--perturbations", "15", "--readouts", "5", "--contexts", "2"]


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
    yield ["evaluate", run, "--predictions", "genes.h5ad", "--profile", "cell-eval", "-o", "genes.h5ad", "--real", "new.h5ad"], "input"
    yield ["evaluate", run, "--profile", "cell-eval", "-o", "new.h5ad", "--real", "nowhere/real.h5ad"], "directory"
    yield ["impute", run, "-p", "@genes.txt", "-o", "genes.h5ad"], "input"  # a link to genes.txt
    yield ["impute", run, "-p", "@sums.h5ad.sum", "-o", "sums.h5ad"], "input"
    yield ["impute", run, "-o", "folder.h5ad"], "directory"
    yield ["predict", run, "genes.txt", "-o", "genes.txt"], "input"
    yield ["embed", run, "-o", "folder.h5ad"], "directory"
    for option in "--pairs", "--network", "--screen":
        yield ["report", run, option, "genes.txt", "--json", "genes.txt", "--force"], "input"
    yield ["report", run, "-o", "a.html", "--json", "./a.html"], "same file"
    yield ["neighbors", run, "--of", "@genes.txt", "-o", "genes.txt", "--force"], "input"
    yield ["predict", run, "split.tsv", "-o", "split.tsv", "--force"], "input"
    yield ["simulate", *SMALL, "-o", "a.h5ad", "--truth", "./a.h5ad"], "same file"
    yield ["simulate", *SMALL, "-o", "place", "--truth", "a.h5ad"], "directory"
    yield ["simulate", *SMALL, "--network", "-o", "a.h5ad", "--gold", "place"], "directory"
    yield ["simulate", *SMALL, "--mechanisms", "4", "-o", "a.h5ad", "--pairs", "place"], "directory"
    yield ["network", "infer", store, "-c", "line0", "-o", store], "input"
    yield ["network", "evaluate", "split.tsv", "--gold", "genes.txt", "--json", "genes.txt"], "input"
    yield ["network", "evaluate", "split.tsv", "--cells", "own.csv", "-o", "own.csv", "--force"], "input"
    yield ["network", "infer", "own.csv", "-m", "wasserstein", "-o", "own.csv", "--force"], "input"
    for method in "direct", "inspre", "partial", "wasserstein":
        yield ["network", "infer", "own.csv", "-c", "line0", "-m", method, "-o", "own.csv", "--force"], "input"
        yield ["network", "infer", "own.csv", "-c", "line0", "-m", method, "-o", "nowhere/x.tsv"], "directory"
        yield ["network", "infer", "own.csv", "-c", "line0", "-m", method, "-o", "a.h5ad"], ".tsv"
    for judge in (["--cells", "own.csv"], ["--gold", "genes.txt"]):
        yield ["network", "evaluate", "split.tsv", *judge, "--json", "split.tsv", "--force"], "input"
        yield ["network", "evaluate", "split.tsv", *judge, "--json", "nowhere/x.json"], "directory"
        yield ["network", "evaluate", "split.tsv", *judge, "--json", "config.yaml"], "--force"
    yield ["network", "evaluate", "split.tsv", "--cells", "own.csv", "--json", "a.tsv", "-o", "./a.tsv"], "same file"
    yield ["bench", "config.yaml", "--quick", "--json", "config.yaml"], "input"
    yield ["plan", "config.yaml", "--rate", "1e6", "--json", "config.yaml"], "input"
    yield ["plan", "config.yaml", "--rate", "1e6", "--json", store], "input"
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


def is_locked():
    """Is a commit under way in this directory?"""
    directory = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(directory)


def stopped_at(ranks, line, call):
    """The command, stopped before that fallible call of rank 0, or over."""
    one = training.Started(tessera, ranks, line, {"TESS_STOP_AT": str(call)})
    training.wait_for(lambda: one.over() or any(training.state_of(pid) == "T" for pid in one.pids()))
    return one


found = {}


def find_call(ranks, line, name, claimed):
    """The last fallible call at which the command has a temporary file, and has claimed its name or has not: looked for with
    another output, which exists where the real one does."""
    copy = "looked-for" + name[name.index("."):]
    for ending in ("", ".sum"):
        pathlib.Path(copy + ending).unlink(missing_ok=True)
        if os.path.exists(name + ending):
            shutil.copy(name + ending, copy + ending)
    kept = {ending: pathlib.Path(copy + ending).read_bytes() for ending in ("", ".sum") if os.path.exists(copy + ending)}
    key = (ranks, *line, copy, tuple(kept), claimed)
    one = None
    while key not in found:
        call = calls_of(ranks, [*line, "-o", copy]) if one is None else call - 1
        assert call > 0, f"{line} never stops with a temporary file, {'claimed' if claimed else 'not claimed'}"
        for ending in ("", ".sum"):
            pathlib.Path(copy + ending).unlink(missing_ok=True)
            if ending in kept:
                pathlib.Path(copy + ending).write_bytes(kept[ending])
        before = parts()
        one = stopped_at(ranks, [*line, "-o", copy], call)
        if set(parts()) - set(before) and is_locked() == claimed:
            found[key] = call
        one.go_on()
        assert one.wait() == 0, one.text
    for ending in ("", ".sum"):
        pathlib.Path(copy + ending).unlink(missing_ok=True)
    return found[key]


def calls_of(ranks, line):
    counted = training.Started(tessera, ranks, line, {"TESS_FAIL_AT": "0"})
    assert counted.wait() == 0, counted.text
    return int(re.search(r"rank 0: (\d+) fallible calls", counted.text).group(1))


def stopped(ranks, line, name, claimed=False):
    """The command, with `-o name`, stopped while its temporary file is there: before it claims the name, or between that and
    the renaming."""
    one = stopped_at(ranks, [*line, "-o", name], find_call(ranks, line, name, claimed))
    assert not one.over() and is_locked() == claimed, one.read()
    return one


def rows(path, n):
    with open(path, "w") as out:
        out.write("perturbation,context," + ",".join(f"r{k}" for k in range(40)) + "\n")
        for i in range(n):
            out.write(f"{'control' if i % 50 == 0 else f'g{i % 50}'},c{i % 7}," + ",".join(str((i * k) % 17) for k in range(40)) + "\n")


def check_whole(name, what):
    check(not parts(), f"{what}: left behind: {parts()}")
    seen = checks.run("verify", name)
    check(seen.returncode == 0, f"{what}: {seen.stdout} {seen.stderr}")


def race(name, slow, quick, ranks, old):
    """`slow` is stopped in the middle; `quick` writes the same name meanwhile and has it; `slow` hears of it."""
    if old:
        plain(*quick, "-o", name)
    first = stopped(ranks, slow, name)
    mine = parts()
    other = checks.run(*quick, "-o", name)
    what = f"two of {slow[0]} on {ranks} rank(s), {'an' if old else 'no'} earlier {name}"
    check(len(mine) == 1 and other.returncode == 0, f"{what}: {mine}; the other one: {other.returncode} {other.stderr}")
    check(parts() == mine, f"{what}: temporary files {mine} became {parts()}")
    won = content(name)
    first.go_on()
    code = first.wait()
    check(code == 73 and "another program" in first.text, f"{what}: {code} {first.text}")
    check(content(name) == won, f"{what}: the file is not the one that was finished first")
    check_whole(name, what)


IMPORT, IMPUTE = ["import", "rows.csv"], ["impute", "run", "--force", "-p", "gene1,gene2"]


def check_races():
    rows("rows.csv", 300)
    race("made1.prc.h5", ["simulate", *OTHER], ["simulate", *SMALL], 1, old=True)
    race("made2.prc.h5", ["simulate", *OTHER], ["simulate", *SMALL], 2, old=False)
    race("made2.h5ad", ["simulate", *OTHER], ["simulate", *SMALL], 2, old=True)
    race("rows.prc.h5", IMPORT, ["import", "own.csv"], 1, old=False)


def check_claims():
    """Stopped between claiming the name and renaming, where a sidecar is written. (Two imputations never get there together.)"""
    whole, other = ["impute", "run"], ["simulate", *OTHER]
    for old in (False, True):
        name, what = f"claimed{int(old)}.h5ad", f"claimed, {'an' if old else 'no'} earlier file"
        if old:
            plain(*whole, "-o", name)
        first = stopped(1, IMPUTE, name, claimed=True)
        mine = parts()
        second = training.Started(tessera, 1, [*other, "-o", name])
        training.wait_for(lambda: second.over() or set(parts()) - set(mine))  # has begun: it saw the name before
        first.go_on()
        codes = first.wait(), second.wait()
        check(codes == (0, 73) and "another program" in second.text, f"{what}: {codes} {first.text} {second.text}")
        check_whole(name, what)
        pathlib.Path(name).unlink()
        pathlib.Path(name + ".sum").unlink()
        if old:
            plain(*whole, "-o", name)
        first = stopped(1, IMPUTE, name, claimed=True)
        pathlib.Path("foreign").write_text("of a program without locks")
        os.rename("foreign", name)
        first.go_on()
        code = first.wait()
        check(code == 73 and "another program" in first.text, f"{what}, taken without locks: {code} {first.text}")
        check(pathlib.Path(name).read_text() == "of a program without locks" and parts() == [name + ".part"], f"{what}: taken without locks: it is gone")
        for ending in (".part", ".part.json"):  # what was made stays until somebody decides
            pathlib.Path(name + ending).unlink()
    pathlib.Path(name).unlink()
    first = stopped(1, IMPUTE, name, claimed=True)
    done = checks.run(*other, "-o", "elsewhere.h5ad")
    check(done.returncode == 73 and "locked directory" in done.stderr, f"locked for long: {done.returncode} {done.stderr}")
    first.go_on()
    check(first.wait() == 0, f"the one that had locked it: {first.text}")
    check_whole(name, "locked for long")


def check_signals():
    interrupt, term, hang_up, user, pipe = signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGPIPE
    make = ["simulate", *OTHER]
    cases = [(IMPORT, "kept.prc.h5", 1, (interrupt, term, hang_up, pipe)), (make, "kept.prc.h5", 1, (user,)),
             (make, "kept.prc.h5", 2, (interrupt, term))]
    plain("simulate", *SMALL, "-o", "kept.prc.h5")
    for line, name, ranks, numbers in cases:
        for number in numbers:
            before = content(name)
            one = stopped(ranks, line, name)
            for pid in [one.process.pid] if ranks > 1 else one.pids():
                one.send(pid, number)
            if ranks == 1:
                one.go_on()  # mpirun does that itself
            code = one.wait()
            what = f"{line[0]} on {ranks} rank(s), {number.name}"
            check(code != 0, f"{what}: exit code 0")
            training.wait_for(lambda: not one.pids() and not parts(), 10)
            check(not parts(), f"{what}: left behind: {parts()}")
            # mpirun may be slower than what is left to do: then the file is the new one, and whole
            check(content(name) == before or ranks > 1 and checks.run("verify", name).returncode == 0, f"{what}: spoilt the earlier file")


def check_leftovers():
    """What SIGKILL leaves blocks nobody and is nobody's to remove; a run removes its own."""
    killed = stopped(1, IMPORT, "killed.prc.h5")
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
for part in (check_refused, check_races, check_claims, check_signals, check_leftovers, check_open_elsewhere):
    part()
    print(f"{part.__name__}: {time.monotonic() - begun:.0f} s", flush=True)
os.chdir("/")
checks.finish()
