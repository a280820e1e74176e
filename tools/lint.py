#!/usr/bin/env python3
"""lint.py -- what the compiler does not check: layers, banned functions, lengths, layout.

usage: tools/lint.py [--layout|--structure] [SOURCE_FOLDER]
Prints one line for each finding, "file:line: what", and exits with 1 if there is any; with 77 if there is none, but the
layout could not be checked, for another clang-format would lay the code out in another way. --layout checks nothing else,
--structure all else."""
import pathlib
import re
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True  # the source folder stays as it is
from structure import Structure, without_comments

BANNED = {
    "strcpy": "snprintf or memcpy", "strncpy": "snprintf", "strcat": "tess_format", "strncat": "tess_format",
    "sprintf": "snprintf", "vsprintf": "vsnprintf", "gets": "getline", "atoi": "tess_text_int64",
    "atol": "tess_text_int64", "atof": "tess_text_double", "alloca": "tess_alloc", "rand": "tess_random_below",
    "srand": "tess_random_stream", "random": "tess_random_below", "drand48": "tess_random_uniform",
    "strtok": "tess_strings_split", "mktemp": "mkstemp", "tmpnam": "mkstemp", "asctime": "strftime",
}
MAX_FUNCTION, MAX_FILE, MAX_PARAMETERS, MAX_NESTING = 60, 600, 6, 3
FORMAT_VERSION = 14
# A function: result and name, parameters, body.
DEFINITION = re.compile(r"^(?!typedef\b|extern\b)([A-Za-z_][\w \t*]*?)\b(\w+)\s*\(([^;{}]*)\)\s*\n\{\n(.*?)^\}", re.M | re.S)
NESTED = re.compile(r"^( +)(?:if|for|while|do|switch)\b", re.M)

only = [argument for argument in sys.argv[1:] if argument in ("--layout", "--structure")]
folders = [argument for argument in sys.argv[1:] if argument not in only]
root = pathlib.Path(folders[0] if folders else pathlib.Path(__file__).parent.parent).resolve()
findings = []


def report(path, line, what):
    findings.append(f"{path.relative_to(root)}:{line}: {what}")


def count_parameters(parameters):
    """Commas at the top level, and one."""
    if parameters.strip() in ("", "void"):
        return 0
    depth, n = 0, 1
    for letter in parameters:
        depth += (letter in "([") - (letter in ")]")
        n += letter == "," and depth == 0
    return n


def check_functions(path, code):
    """Lengths, parameters and how deep statements are nested, told by the indentation, which check_format guards."""
    for match in DEFINITION.finditer(code):
        name, parameters, body = match.group(2), match.group(3), match.group(4)
        line, n_lines = code.count("\n", 0, match.start()) + 1, match.group().count("\n") + 1
        nesting = max((len(indent) // 4 for indent in NESTED.findall(body)), default=0)
        if n_lines > MAX_FUNCTION:
            report(path, line, f"{name} has {n_lines} lines, at most {MAX_FUNCTION}: divide it")
        if count_parameters(parameters) > MAX_PARAMETERS:
            report(path, line, f"{name} has {count_parameters(parameters)} parameters, at most {MAX_PARAMETERS}: "
                   "what belongs together is a struct")
        if nesting > MAX_NESTING:
            report(path, line, f"{name} is nested {nesting} deep, at most {MAX_NESTING}: what is inside is a function")


def check_c(path, text):
    code = without_comments(text)
    if not re.match(rf"/\* {re.escape(path.name)} -- ", text):
        report(path, 1, f"does not begin with '/* {path.name} -- what it is for'")
    if len(text.splitlines()) > MAX_FILE:
        report(path, 1, f"{len(text.splitlines())} lines, at most {MAX_FILE}: split it")
    if path.is_relative_to(root / "src"):
        check_functions(path, code)
    for number, line in enumerate(code.splitlines(), 1):
        for name in re.findall(r"(?<![\w.>])(\w+)\s*\(", line):
            if name in BANNED:
                report(path, number, f"{name} is banned: use {BANNED[name]}")
        call = re.search(r"\bH5[A-Z]*[a-z]\w*\s*\(", line)
        if call and path.is_relative_to(root / "src") and path.parent.name != "hdf5" and path.name != "version.c":
            report(path, number, f"{call.group()[:-1]} is src/hdf5's to call: add what is needed to its headers")
        if "MPI_COMM_WORLD" in line and path.is_relative_to(root / "src") and path.name != "main.c":
            report(path, number, "MPI_COMM_WORLD is main's: take a communicator")


def check_text(path, text):
    if text and not text.endswith("\n"):
        report(path, text.count("\n") + 1, "no newline at the end")
    for number, line in enumerate(text.splitlines(), 1):
        if "\t" in line and path.suffix != ".sh":  # <<- strips tabs
            report(path, number, "tab")
        if line != line.rstrip():
            report(path, number, "blanks at the end of the line")
        if re.search(r"\b(TO" r"DO|FIX" r"ME|X" r"XX|HA" r"CK)\b", line):
            report(path, number, "work left open")
        if re.search(r"(^|[^\w.])/(work|root|home)/", line):
            report(path, number, "path of one machine")


def run_tool(arguments, files):
    return subprocess.run(arguments + [str(f) for f in files], capture_output=True, text=True)


def check_format(files):
    program = shutil.which(f"clang-format-{FORMAT_VERSION}") or shutil.which("clang-format")
    if not program:
        return "clang-format not found"
    version = re.search(r"version (\d+)", run_tool([program, "--version"], []).stdout)
    if not version or int(version.group(1)) != FORMAT_VERSION:
        return f"clang-format is not version {FORMAT_VERSION}"
    found = run_tool([program, "--dry-run"], files).stderr
    for path in sorted(set(re.findall(r"^(\S+?):\d+:\d+: warning:", found, flags=re.M))):
        report(pathlib.Path(path), 1, "layout differs: run clang-format -i on it")
    return None


def check_structure(c_files, scripts, others):
    for path in c_files:
        check_c(path, path.read_text())
    for finding in Structure(root).check():
        report(*finding)
    for path in c_files + scripts + others:
        check_text(path, path.read_text())
    for path in scripts:
        if path.suffix != ".py" and run_tool(["bash", "-n"], [path]).returncode:
            report(path, 1, "bash cannot read it")
        if path.suffix == ".py":
            try:
                compile(path.read_text(), str(path), "exec")
            except SyntaxError as error:
                report(path, error.lineno or 1, f"Python cannot read it: {error.msg}")


def main():
    c_files = sorted(p for folder in ("src", "include", "tests") for p in (root / folder).rglob("*.[ch]"))
    scripts = sorted(p for folder in ("tools", "tests", ".ci") for p in (root / folder).rglob("*")
                     if p.is_file() and (p.suffix in (".sh", ".py") or p.name == "run"))
    others = sorted([p for p in root.rglob("meson.build") if not p.parts[len(root.parts)].startswith("build")]
                    + list((root / "config").glob("*.yaml"))
                    + list((root / "docs").rglob("*.md")) + list(root.glob("*.md")))
    if "--layout" not in only:
        check_structure(c_files, scripts, others)
    skipped = None if "--structure" in only else check_format(c_files)
    print("\n".join(findings) or f"{len(c_files)} C files, {len(scripts)} scripts: nothing found")
    if skipped:
        print(f"layout not checked: {skipped}")
    return 1 if findings else 77 if skipped else 0


sys.exit(main())
