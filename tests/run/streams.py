#!/usr/bin/python3
"""streams.py -- what is printed, and where it goes: control characters of symbols never reach a terminal, and stay in files;
standard streams that are closed, full, or read by nobody; names that are not UTF-8.

usage: streams.py TESSERA SOURCE_FOLDER"""
import json
import os
import pathlib
import pty
import re
import shutil
import subprocess
import sys
import tempfile

import machine
from checks import check, findings, fine, finish, run

with machine.needed():
    import anndata

tessera = os.path.abspath(sys.argv[1])
place = pathlib.Path(tempfile.mkdtemp(prefix="tess_streams_"))
os.chdir(place)
ESCAPE, BELL, DELETE, CSI = "\x1b[31mred", "be\x07ll", "de\x7flete", "c1\u009b2J"
BAD = [chr(c) for c in range(0xa0) if (c < 32 or c >= 127) and chr(c) not in "\t\n"]
LIMIT = 120


def shell(line, ranks=1):
    """A line of bash, in which $T is the program; (exit code, stdout, stderr). No trace of a crash may be in it."""
    start = f"mpirun -n {ranks} " if ranks > 1 else ""
    done = subprocess.run(["bash", "-c", line], env={**os.environ, "T": start + tessera}, capture_output=True, timeout=LIMIT)
    out, err = done.stdout.decode(), done.stderr.decode()
    for sign in ("bug at", "Segmentation", "signal 11", "Sanitizer", "*** "):
        check(sign not in out + err, f"{line}: '{sign}' in {(out + err)[-500:]}")
    return done.returncode, out, err


def on_terminal(*words):
    """What a terminal gets."""
    master, slave = pty.openpty()
    process = subprocess.Popen([tessera, *map(str, words)], stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
    os.close(slave)
    got = b""
    while True:
        try:
            piece = os.read(master, 65536)
        except OSError:  # EIO: its other end is closed
            break
        got += piece
        if not piece:
            break
    os.close(master)
    check(process.wait(LIMIT) == 0, f"{words} on a terminal: {got[-500:]}")
    return got.decode()


def make():
    names = ["control", ESCAPE, BELL, DELETE, CSI, "plain"]
    with open("data.csv", "w") as file:
        print("perturbation,context,split,g\x1b[7m1,g2,g3", file=file)
        for c, context in enumerate(("x", "y\x07", "z")):
            for p, name in enumerate(names):
                split = "test" if p == 1 + c else "val" if p == 2 + c else "train"
                print(f"{name},{context},{split},{p + c}.5,{p * c}.25,{p - c}.75", file=file)
    fine("-q", "import", "data.csv", "-o", "data.prc.h5", "--split-column", "split")
    with open("config.yaml", "w") as file:
        file.write("data.store: data.prc.h5\nrun.directory: run\nmodel.embedding_dim: 8\nmodel.hidden_dim: 8\nmodel.layers: 1\n"
                   "train.epochs: 2\ntrain.lanes: 2\n")
    fine("-q", "train", "config.yaml")


PRINTS = [("info", "data.prc.h5"), ("info", "run"), ("check", "data.csv", "--split-column", "split"), ("check", "data.prc.h5"), ("split", "data.prc.h5"),
          ("evaluate", "run", "--resamples", "5"), ("evaluate", "data.prc.h5", "--resamples", "5"), ("plan", "run"), ("verify", "run")]
TABLES = [("neighbors", "run"), ("predict", "run", "asked.tsv", "-o", "-"), ("screen", "run", "-r", "g2", "-o", "-"), ("info", "data.prc.h5", "--json")]


def test_control_characters():
    for words in PRINTS:
        for ranks in (1, 2) if words[0] == "evaluate" else (1,):
            done = fine(*words, ranks=ranks)
            bad = [c for c in BAD if c in done.stdout]
            check(not bad and done.stdout.endswith("\n"), f"{words} on {ranks} rank(s) prints {bad}: {done.stdout[:300]!r}")
    said = fine("info", "data.prc.h5").stdout + fine("evaluate", "data.prc.h5", "--resamples", "5").stdout
    check("y\\x07" in said, f"nothing of the symbols: {said}")
    with open("asked.tsv", "w") as file:
        file.write(f"perturbation\treadout\tcontext\n{ESCAPE}\tg2\ty\x07\n{CSI}\tg3\tx\n")
    for words in TABLES:  # for other programs as they are, for people not
        raw, shown = fine(*words).stdout, on_terminal("-q", *words)
        if words[0] == "info":
            check("y\x07" in json.dumps(json.loads(raw), ensure_ascii=False).replace("\\u0007", "\x07"), raw[:500])
        else:
            check("\x1b" in raw and ("\u009b" in raw or words[0] != "predict"), f"{words}: symbols are not as they are: {raw[:300]!r}")
            check("\\x1b[31mred" in shown, f"{words} on a terminal: {shown[:300]!r}")
        check(not [c for c in BAD if c in shown.replace("\r\n", "\n")], f"{words} on a terminal: {shown[:300]!r}")
    fine("-q", "report", "run", "-o", "page.html", "--json", "page.json")
    page = pathlib.Path("page.html").read_text()
    check(not [c for c in BAD if c < " " and c in page] and "red" in page, "the page holds control characters, which no HTML may")
    fine("-q", "screen", "run", "-r", "g2", "-o", "screen.tsv")
    check(ESCAPE in pathlib.Path("screen.tsv").read_text(), "a file keeps symbols")


def test_full():
    """Nothing that is printed may be lost in silence."""
    for words in PRINTS + TABLES:
        code, _, err = shell("$T -q " + " ".join(words) + " > /dev/full")
        check(code == 74 and "standard output" in err and "No space left" in err, f"{words} > /dev/full: {code} {err}")


def content(path):
    """But for when it was made."""
    return re.sub(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", b"", pathlib.Path(path).read_bytes())


def test_closed():
    """A closed stream is no file: what is written has the same bytes, what cannot be printed is said, if it can be."""
    fine("-q", "impute", "run", "-o", "whole.h5ad")
    plain = content("whole.h5ad")
    for closed in ("<&-", ">&-", "2>&-", "<&- >&- 2>&-"):
        name = "whole.h5ad"
        for made in pathlib.Path().glob("whole.h5ad*"):
            made.unlink()
        code, out, err = shell(f"$T -q impute run -o {name} {closed}")
        check(code == 0 and content(name) == plain, f"impute {closed}: {code} {out} {err}")
        code, out, err = shell(f"$T -q import data.csv --split-column split -o again.prc.h5 {closed}; $T -q verify again.prc.h5 > said.txt; cat said.txt")
        check(code == 0 and "every checksum" in out, f"import {closed}: {code} {out} {err}")
        os.remove("again.prc.h5")
        code, out, err = shell(f"$T info data.prc.h5 {closed}")
        if ">&-" in closed.replace("2>&-", ""):
            check(code == 74, f"info {closed}: {code} {out} {err}")
        else:
            check(code == 0 and "experiments" in out, f"info {closed}: {code} {out} {err}")
    code, out, err = shell("$T -q train config.yaml --set run.directory=closed <&- >&- 2>&-; $T -q verify closed")
    check(code == 0, f"train with closed streams: {code} {out} {err}")


def test_nobody_reads():
    """The reader of a pipe goes away: the command ends, by the signal or with 74, and leaves nothing half-written."""
    with open("many.tsv", "w") as file:
        file.write("perturbation\treadout\tcontext\n" + f"plain\tg2\tx\n" * 40000)
    for words, begin in (("predict run many.tsv -o -", "perturbation"), ("info run --json", "{"), ("neighbors run", ""), ("check data.csv", "")):
        code, out, err = shell(f"set -o pipefail; $T -q {words} | head -1")  # not under mpirun, which crashes itself over it
        check(out.startswith(begin) and out.count("\n") == 1 and code in (0, 74, 141), f"{words} | head -1: {code} {out} {err}")
    check(not list(pathlib.Path().glob("*.part*")), "a part is left")


def test_names():
    """Names that are not UTF-8 could not be said in used.yaml, JSON or HDF5: they are refused; a folder's own name is no matter."""
    odd = b"caf\xe9"
    shutil.copy("data.prc.h5", odd + b".prc.h5")
    for words in ([b"info", odd + b".prc.h5"], [b"train", b"config.yaml", b"--set", b"data.store=" + odd + b".prc.h5"],
                  [b"impute", b"run", b"-o", odd + b".h5ad"], [b"train", b"config.yaml", b"--set", b"run.directory=" + odd]):
        for start in ([], ["mpirun", "-n", "2"]):
            done = subprocess.run([*start, tessera, *words], capture_output=True, timeout=LIMIT)
            err = done.stderr.decode()  # the sentence itself must be UTF-8
            check(done.returncode == 2 and "caf\\xe9" in err and "not UTF-8" in err, f"{words}: {done.returncode} {err}")
    check(not os.path.exists(odd) and not os.path.exists(odd + b".h5ad"), "a refused name was made")
    os.mkdir(odd + b"-folder")
    for name in ("data.prc.h5", "config.yaml"):
        shutil.copy(name, odd + b"-folder/" + name.encode())
    inside = {"cwd": odd + b"-folder", "capture_output": True, "timeout": LIMIT}
    for words in (["train", "config.yaml"], ["impute", "run", "-o", "all.h5ad"], ["evaluate", "run", "--resamples", "5", "--json", "scores.json"]):
        done = subprocess.run([tessera, "-q", *words], **inside)
        check(done.returncode == 0, f"{words} in a folder with an odd name: {done.returncode} {done.stderr}")
    with open(odd + b"-folder/run/used.yaml", encoding="utf-8") as file:
        check("data.prc.h5" in file.read(), "used.yaml does not name the store")
    with open(odd + b"-folder/scores.json", encoding="utf-8") as file:
        json.load(file)
    shutil.copy(odd + b"-folder/all.h5ad", "copied.h5ad")
    check("provenance" in anndata.read_h5ad("copied.h5ad").uns, "no provenance")


make()
for test in (test_control_characters, test_full, test_closed, test_nobody_reads, test_names):
    before = len(findings)
    test()
    print(test.__name__, "as it should be" if len(findings) == before else "FAILED", flush=True)
os.chdir("/")
shutil.rmtree(os.fsencode(place), ignore_errors=True)
finish()
