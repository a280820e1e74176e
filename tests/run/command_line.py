#!/usr/bin/env python3
"""command_line.py -- manual pages, completions and --version --json say what --help and the table of settings say.

usage: command_line.py TESSERA SOURCE_FOLDER

Completions are asked for as the shells do: bash's function is called with words as bash cuts them, zsh completes on a
terminal. Without man or zsh on the machine their parts are left out, and said so."""
import json
import os
import pathlib
import pty
import re
import select
import shutil
import subprocess
import sys
import tempfile
import time

tessera, root = os.path.abspath(sys.argv[1]), pathlib.Path(sys.argv[2]).resolve()
work = pathlib.Path(tempfile.mkdtemp())


def output(*line, code=0):
    done = subprocess.run([str(word) for word in line], capture_output=True, text=True, timeout=60)
    assert done.returncode == code, (line, done.returncode, done.stderr)
    return done.stdout if code == 0 else done.stderr


HELP = {"": output(tessera, "--help")}
COMMANDS = re.findall(r"^  ([a-z]+) ", HELP[""], flags=re.M)
HELP.update({name: output(tessera, name, "--help") for name in COMMANDS})
# Of each command: long option -> its letter, its argument.
OPTIONS = {name: {long: (letter, argument) for letter, long, argument in re.findall(
    r"^  (?:-(\w), |    )--([a-z0-9-]+)(?:(?: |\[=)(\S+?)\]?)?(?:  | [a-zA-Z]|$)", text, flags=re.M)} for name, text in HELP.items()}
SETTINGS = {}  # key -> its choices, or None; from the reference that explains every setting
section = ""
for line in (root / "docs" / "configuration.md").read_text().splitlines():
    cells = [cell.strip().strip("`") for cell in line.replace("\\|", "¦").strip("|").split("|")]
    if re.fullmatch(r"[a-z]+\.[a-z_]+", cells[0]):
        SETTINGS[cells[0]] = cells
assert len(COMMANDS) > 15 and len(SETTINGS) > 40 and len(OPTIONS["import"]) > 30, (len(COMMANDS), len(SETTINGS), OPTIONS["import"])


def check_version():
    about = json.loads(output(tessera, "--version", "--json"))
    plain = output(tessera, "--version")
    for key, words in (("version", "tessera "), ("mpi", "MPI:  "), ("hdf5", "HDF5: "), ("blas", "BLAS: "), ("scalapack", "ScaLAPACK: "),
                       ("unit", "unit: ")):
        assert words + about[key] in plain, (key, about[key])
    assert about["commit"] is None or re.fullmatch(r"[0-9a-f]{7,40}(-dirty)?", about["commit"]), about["commit"]
    assert about["compiler"] and (about["onednn"] is None or re.match(r"\d+\.\d+", about["onednn"]))
    store = work / "s.prc.h5"
    output(tessera, "-q", "simulate", "-o", store, "--perturbations", "9", "--readouts", "5")
    made = json.loads(output(tessera, "info", "--json", store))
    assert about["formats"]["tessera-store"]["reads"] == [1, 2] and made, made
    for name, format in about["formats"].items():
        assert format["writes"] in format["reads"], (name, format)
    assert re.search(rf"^## {re.escape(about['version'])}\b", (root / "CHANGELOG.md").read_text(), flags=re.M), "no changes of this version"
    with open("/dev/full", "w") as full:
        assert subprocess.run([tessera, "--version", "--json"], stdout=full, stderr=subprocess.DEVNULL).returncode == 74


def plain_page(text):
    """A page without roff's signs; other characters than ASCII by their numbers."""
    text = re.sub(r"\\\[u([0-9A-F]{4})\]", lambda m: chr(int(m.group(1), 16)), re.sub(r"\\f[BIR]|\\&", "", text))
    for escaped, letter in ((r"\-", "-"), (r"\(aq", "'"), (r"\(ga", "`"), (r"\(ha", "^"), (r"\(ti", "~"), (r"\e", "\\")):
        text = text.replace(escaped, letter)
    return text


def check_page(name, text):
    page = work / (name or "tessera")
    page.write_text(text)
    if shutil.which("man"):
        done = subprocess.run(["man", "--warnings", "-l", "-E", "UTF-8", page], capture_output=True, text=True,
                              env={**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "100", "MANROFFSEQ": ""}, timeout=60)
        assert done.returncode == 0 and not done.stderr, (name, done.stderr)
        assert len(done.stdout.splitlines()) > 20, name
    for tool in (["mandoc", "-T", "lint", "-W", "error"], ["groff", "-man", "-ww", "-Tutf8", "-z"]):
        if shutil.which(tool[0]):
            done = subprocess.run([*tool, page], capture_output=True, text=True, timeout=60)
            assert done.returncode == 0 and not done.stderr, (name, done.stdout, done.stderr)


def squeezed(text):
    return " ".join(text.split())


def check_pages():
    for name in ["", *COMMANDS]:
        text = output(tessera, f"--man={name}" if name else "--man")
        check_page(name, text)
        page = plain_page(text)
        options = dict(re.findall(r"^\.TP\n(?:-\w, )?--([a-z0-9-]+).*\n(.*)$", page, flags=re.M))
        assert set(options) == set(OPTIONS[name]), (name, set(options) ^ set(OPTIONS[name]))
        for long, (letter, argument) in OPTIONS[name].items():
            assert re.search(rf"^{f'-{letter}, ' if letter else ''}--{long}( |\[=|$)", page, flags=re.M), (name, long, letter)
            assert not argument or argument in page, (name, argument)
            assert options[long] in HELP[name], (name, options[long])
        # What else --help says: every paragraph before the options.
        for paragraph in re.split(r"\n\n", HELP[name])[1:]:
            if not paragraph.lstrip().startswith("-") and name:
                assert squeezed(paragraph).lower().rstrip(".") in squeezed(page).lower(), (name, paragraph)
    page = plain_page(output(tessera, "--man=settings"))
    check_page("settings", output(tessera, "--man=settings"))
    described = re.findall(r"^\.TP\n([a-z]+\.[a-z_]+) \(", page, flags=re.M)
    assert set(described) == set(SETTINGS), set(described) ^ set(SETTINGS)
    assert "no page 'trian'" in output(tessera, "--man=trian", code=2)


BASH = r"""
source "$1"; shift
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*" COMP_POINT=${#COMP_LINE}
_tessera 2>&1
printf '%s\n' "${COMPREPLY[@]}"
"""


def bash(*words):
    """What bash offers for the last word; words are cut at '=' as it does."""
    cut = [part for word in words for part in (re.findall(r"[^=]+|=", word) or [""])] if "=" in "".join(words) else list(words)
    if words[-1].endswith("="):
        cut.append("")
    return set(output("bash", "--norc", "-c", BASH, "bash", work / "tessera.bash", "tessera", *cut).split())


def words_of(argument):
    return {word for word in (argument or "").split("|") if re.fullmatch(r"[a-z][a-z0-9_-]*", word)}


def check_bash():
    (work / "tessera.bash").write_text(output(tessera, "--completion", "bash"))
    assert subprocess.run(["bash", "-n", work / "tessera.bash"]).returncode == 0
    os.chdir(work)
    (work / "a file.h5").touch()
    assert bash("") == set(COMMANDS) and bash("im") == {"import", "impute"}
    assert bash("--") == {f"--{name}" for name in OPTIONS[""]}
    for name in COMMANDS:
        assert bash(name, "--") == {f"--{option}" for option in OPTIONS[name]} | {"--help"}, name
        for long, (letter, argument) in OPTIONS[name].items():
            words = words_of(argument)
            if words:
                for option in [f"--{long}"] + ([f"-{letter}"] if letter else []):
                    offered = bash(name, option, "")
                    assert words <= offered and (words == offered or "|".join(words) != argument), (name, option, offered)
                assert bash(name, f"--{long}=") >= words, (name, long)
    assert bash("impute", "--dtype", "float3") == {"float32"} and bash("impute", "--dtype=float3") == {"float32"}
    assert bash("train", "--set", "") == {f"{key}=" for key in SETTINGS}
    assert bash("train", "-s", "train.sa") == {"train.sampling="}
    assert bash("train", "--set", "model.kind=") == {"mlp", "dot", "cp", "auto"}
    assert bash("train", "--set", "model.kind=d") == {"dot"} and bash("-q", "train", "--set=model.kind=d") == {"dot"}
    assert "a" in bash("train", "--set", "data.store=a") and "a" in bash("info", "a") and "a" in bash("import", "x", "-o", "a")
    assert bash("network", "") == {"infer", "evaluate"} and bash("import", "--seed", "") == set()
    assert {"--json"} == bash("network", "evaluate", "--j")


ZSH = r"""
PS1='READY> '; unsetopt zle_bracketed_paste list_beep; fpath=($1 $fpath); autoload -Uz compinit; compinit -u -d $1/dump
zstyle ':completion:*' completer _complete
zstyle ':completion:*' list-prompt ''; LISTMAX=10000
compadd() { local -a found; builtin compadd -O found "$@"; print -rl -- $found >>$1OUT; builtin compadd "$@" }
offer() { zle list-choices; print END >>$1OUT }; zle -N offer; bindkey '^I' offer
"""


class Zsh:
    """A zsh on a terminal, which writes down what its completion finds."""
    def __init__(self):
        self.found = work / "found"
        (work / "zsh").mkdir()
        (work / "zsh" / "_tessera").write_text(output(tessera, "--completion", "zsh"))
        (work / "rc").write_text(ZSH.replace("$1OUT", str(self.found)).replace("$1", str(work / "zsh")))
        self.child, self.terminal = pty.fork()
        if self.child == 0:
            os.environ.update(TERM="dumb", LC_ALL="C.UTF-8")
            os.execvp("zsh", ["zsh", "-f", "-i"])
        self.say(f"source {work / 'rc'}; print LO''ADED\n", "LOADED")

    def say(self, text, wait):
        os.write(self.terminal, text.encode())
        seen, end = "", time.time() + 60
        while wait not in seen:
            assert time.time() < end, seen
            if select.select([self.terminal], [], [], 1)[0]:
                seen += os.read(self.terminal, 65536).decode(errors="replace")

    def complete(self, line):
        """Words offered at the end of `line`: what Tab lists."""
        self.found.write_text("")
        os.write(self.terminal, f"\x15{line}\t".encode())
        end = time.time() + 60
        while not self.found.read_text().endswith("END\n"):
            assert time.time() < end, (line, self.found.read_text())
            if select.select([self.terminal], [], [], 0.02)[0]:
                os.read(self.terminal, 65536)
        return set(self.found.read_text().split()) - {"END"}


def check_zsh():
    if not shutil.which("zsh"):
        print("zsh is missing: its completion is not tried")
        return
    zsh = Zsh()
    assert subprocess.run(["zsh", "-n", work / "zsh" / "_tessera"]).returncode == 0
    assert zsh.complete("tessera ") >= set(COMMANDS)
    for name in COMMANDS:
        offered = zsh.complete(f"tessera {name} --")
        assert {f"--{option}" for option in OPTIONS[name]} <= {word.split("=")[0] for word in offered}, (name, offered)
    assert zsh.complete("tessera impute --dtype ") == {"float32", "float16"}
    assert {key for key in zsh.complete("tessera train --set ")} == set(SETTINGS)
    assert zsh.complete("tessera train --set model.kind=") == {"mlp", "dot", "cp", "auto"}
    assert zsh.complete("tessera network ") == {"infer", "evaluate"}
    os.kill(zsh.child, 9)


check_version()
check_pages()
check_bash()
check_zsh()
shutil.rmtree(work)
