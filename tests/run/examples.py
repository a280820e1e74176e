#!/usr/bin/python3
"""Examples in documents do what they print (tests/run/documents.py holds all others against the commands' options). Blocks that begin with ```console are sessions: lines after `$ ` are run, those below are what is
printed, where `…` alone stands for any lines and within a line for anything. Numbers with a point may be off by a twentieth or 0.03, for
processors differ; all others are exact. Blocks of a page run one after the other in a folder of its own, with config/, docs/ and tools/ in it.
```console FILE: needs FILE of the real data, and is left out without it. Blocks that begin with ```python run in between, where
the page says ```console at all.

usage: examples.py TESSERA SOURCE_FOLDER PAGE…"""
import importlib.util
import os
import pathlib
import re
import subprocess
import sys
import tempfile

from checks import check, finish

program, root = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
data = root.parent / "shared" / "data"
NUMBER = re.compile(r"([-+]?\d+(?:\.\d+)?(?:e[+-]?\d+)?)")


def near(x, y):
    """Numbers as the document has them, and as they came."""
    return x == y or ("." in x and "." in y and abs(float(x) - float(y)) <= max(0.03, 0.05 * abs(float(x))))


def alike(printed, line):
    """A line as the document has it, and as it came. A number that … cuts off is not one, but the text that it begins or ends with."""
    pattern, numbers = "", []
    for piece in re.split("(…)", " ".join(printed.split())):
        words = NUMBER.split(piece)
        for k, word in enumerate(words):
            cut = "…" in printed and (k == 1 and not words[0] or k == len(words) - 2 and not words[-1])
            whole = k % 2 and not cut
            numbers += [word] if whole else []
            pattern += ".*" if word == "…" else NUMBER.pattern if whole else re.escape(word)
    found = re.fullmatch(pattern, " ".join(line.split()))
    return found is not None and all(map(near, numbers, found.groups()))


def find(printed, streams, skipped):
    """The next line of standard output or of the messages that is like it; of output, none may be passed over unless `…` says so."""
    for name, lines in streams.items():
        for i, line in enumerate(lines):
            if alike(printed, line):
                del lines[:i + 1]
                return True
            if name == "out" and not skipped and line.strip():
                break
    return False


def judge(where, printed, done):
    streams, skipped = {"out": done.stdout.splitlines(), "err": done.stderr.splitlines()}, False
    check(done.returncode == 0, f"{where}: exit code {done.returncode}: {done.stderr[-300:]}")
    for line in printed:
        if line.strip() == "…":
            skipped = True
        elif line.strip():
            left = streams["out"][:2] + streams["err"][:4]
            check(find(line, streams, skipped), f"{where}:\n  is printed: {line}\n  but is:     {left}")
            skipped = False
    rest = [line for line in streams["out"] if line.strip()]
    check(not printed or skipped or not rest, f"{where}: more is printed than the document has: {rest[:2]}")


def sessions(text):
    """Commands with what they print."""
    command, printed = None, []
    for line in [*text.splitlines(), "$ "]:
        if command is not None and command.endswith("\\"):
            command = command[:-1] + line
        elif line.startswith("$ "):
            if command:
                yield command, printed
            command, printed = line[2:], []
        else:
            printed.append(line)


def run_block(page, kind, text, environment):
    if kind[0] == "python":
        if needed(text):
            print(f"{page.name}: Python is left out without {needed(text)}")
            return
        done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=300, env=environment)
        check(done.returncode == 0, f"{page.name}, Python: {done.stderr[-800:]}")
        return
    for file in kind[1:]:
        found = next(data.rglob(file), None)
        if found is None:
            print(f"{page.name}: left out without {file}")
            return
        if not os.path.lexists(file):
            os.symlink(found, file)
    for command, printed in sessions(text):
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=400, env=environment,
                              stdin=subprocess.DEVNULL)
        judge(f"{page.name}: $ {command}", printed, done)


def needed(text):
    """What a Python block imports that is not here."""
    names = re.findall(r"^import (\w+)", text, flags=re.M)
    return [name for name in names if importlib.util.find_spec(name) is None]


def main():
    binaries = tempfile.TemporaryDirectory()
    os.symlink(program, f"{binaries.name}/tessera")
    environment = {**os.environ, "PATH": f"{binaries.name}:{os.environ['PATH']}", "MPLBACKEND": "Agg"}
    for page in (root / name for name in sys.argv[3:]):
        blocks = re.findall(r"^```(console|python)\b([^\n]*)\n(.*?)^```", page.read_text(), flags=re.S | re.M)
        check(any(kind == "console" for kind, _, _ in blocks), f"{page.name} has a session")
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            for name in ("config", "docs", "tools", "jobs"):
                os.symlink(root / name, name)
            for kind, words, text in blocks:
                if "notest" not in words.split():
                    run_block(page, [kind, *words.split()], text, environment)
            os.chdir(root)
    finish()


main()
