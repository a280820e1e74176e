"""structure.py -- where things lie and who may use them: the part of lint.py that looks at all files at once.

Read are definitions and uses by name, not includes alone: a function counts where it is defined. Every check
returns (path, line, what)."""
import re

# Folders of src, lower ones first, and what each stands upon; what those stand upon, it may use too.
FOLDERS = {
    "base": [],
    "doses": ["base"],
    "comm": ["base"],
    "linalg": ["comm"],
    "config": ["comm"],
    "hdf5": ["comm"],
    "anndata": ["hdf5"],
    "store": ["hdf5", "doses"],
    "source": ["store"],
    "formats": ["source", "anndata"],
    "writer": ["formats"],
    "import": ["formats"],
    "products": ["config"],
    "optimizer": ["config"],
    "kernel": ["products", "compose"],
    "compose": ["config", "doses"],
    "model": ["kernel", "optimizer", "hdf5"],
    "trained": ["model", "doses"],
    "export": ["trained"],
    "features": ["formats", "compose"],
    "dataset": ["kernel", "features"],
    "train": ["model", "dataset"],
    "metrics": ["base"],
    "profiles": ["store"],
    "baselines": ["metrics", "profiles", "compose"],
    "blend": ["trained", "baselines"],
    "warm": ["train"],
    "run": ["warm", "blend"],
    "evaluate": ["blend", "formats"],
    "sweep": ["run", "evaluate"],
    "transfer": ["run", "evaluate"],
    "scorecard": ["evaluate", "writer"],
    "impute": ["blend", "writer"],
    "query": ["blend", "source"],
    "screen": ["blend", "source", "writer"],
    "simulate": ["writer"],
    "inspect": ["blend", "writer"],
    "inverse": ["linalg"],
    "effects": ["formats", "blend", "inverse"],
    "networks": ["effects"],
    "gold": ["source"],
    "cells": ["networks", "gold"],
    "bench": ["train", "impute", "simulate", "linalg"],
    "forecast": ["bench", "networks"],
    "options": ["blend", "writer"],
    "cli_data": ["options", "import", "inspect", "simulate", "cells"],
    "discover": ["linalg", "blend", "writer"],
    "report": ["scorecard", "inspect", "networks", "gold", "discover", "screen"],
    "cli": ["cli_data", "sweep", "transfer", "scorecard", "forecast", "query", "export", "screen", "discover", "report"],
}
# They know no other ranks.
ALONE = {"base", "doses", "products", "kernel", "optimizer", "compose", "metrics"}
MPI_ALONE = {"MPI_Abort", "MPI_Get_library_version", "MPI_MAX_LIBRARY_VERSION_STRING", "MPI_COMM_WORLD"}
# Headers without functions, which no .c file gives a folder.
HEADER_FOLDER = {"vectorised": "base", "regulation_options": "effects", "command": "options", "cli_data": "cli_data"}
MAX_FILES, MAX_LINES = 16, 3000
LEAST_STATIC = 0.6  # of all functions: what no other file needs is nobody else's

# At the left margin, without static, the braces of the body on a line of their own.
FUNCTION = re.compile(r"^(?!(?:VECTORISED\w* )?static\b|typedef\b|extern\b)[A-Za-z_][\w \t*]*?\b(\w+)\s*\([^;{}]*\)\s*\n\{", re.M)
VARIABLE = re.compile(r"^(?!static\b|typedef\b|extern\b)[A-Za-z_][\w \t*]*?\b(tess_\w+)(?:\[\w*\])*\s*=", re.M)
PROTOTYPE = re.compile(r"^(?!static\b|typedef\b|extern\b)[A-Za-z_][\w \t*]*?\b(\w+)\s*\([^;{}]*\)[^;{}]*;", re.M)
EXTERN = re.compile(r"^extern\b([^;]*);", re.M)
INCLUDE = re.compile(r'^#include "([^"]+)"', re.M)


def without_comments(text):
    """Comments, strings and characters replaced by blanks; lines stay."""
    pattern = r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\''
    return re.sub(pattern, lambda m: re.sub(r"[^\n]", " ", m.group()), text, flags=re.S)


def below(folder):
    """All that a folder stands upon, itself included."""
    return {folder}.union(*(below(other) for other in FOLDERS.get(folder, [])))


def line_of(text, position):
    return text.count("\n", 0, position) + 1


def names_file(header, path):
    """Is `path` the header's .c file, or a part of it?"""
    return path.stem == header.stem or path.stem.startswith(header.stem + "_")


class Structure:
    def __init__(self, root):
        self.root = root
        self.text = {p: p.read_text() for p in sorted(root.glob("src/*/*.[ch]")) + sorted(root.glob("include/tessera/*.h"))}
        self.code = {p: without_comments(text) for p, text in self.text.items()}
        self.sources = [p for p in self.code if p.suffix == ".c"]
        self.headers = [p for p in self.code if p.suffix == ".h"]
        self.defined = {}  # name -> the .c file
        self.functions = set()
        for path in self.sources:
            for match in FUNCTION.finditer(self.code[path]):
                self.defined[match.group(1)] = path
                self.functions.add(match.group(1))
            for match in VARIABLE.finditer(self.code[path]):
                self.defined[match.group(1)] = path

    def is_public(self, header):
        return header.is_relative_to(self.root / "include")

    def folder(self, path):
        """That a file belongs to; a public header: to that of its .c files. None: to several, or to none."""
        if not self.is_public(path):
            return path.parent.name
        if path.stem in HEADER_FOLDER:
            return HEADER_FOLDER[path.stem]
        homes = {p.parent.name for p in self.sources if p.stem == path.stem}
        homes = homes or {p.parent.name for p in self.sources if names_file(path, p)}
        return homes.pop() if len(homes) == 1 else None

    def uses(self, path):
        """(name, line) of what a file takes from other .c files."""
        for match in re.finditer(r"(?<![\w.>])(?<!struct )(?<!enum )([A-Za-z_]\w*)(\s*\()?", self.code[path]):
            name, called = match.groups()
            home = self.defined.get(name)
            if home and home != path and (called or name.startswith("tess_")):
                yield name, line_of(self.code[path], match.start())

    def check_folders(self):
        for folder in sorted({p.parent for p in self.sources}):
            sources = [p for p in self.sources if p.parent == folder]
            lines = sum(len(self.text[p].splitlines()) for p in sources)
            if folder.name not in FOLDERS:
                yield sources[0], 1, f"src/{folder.name} stands on nothing: add it to FOLDERS in tools/structure.py"
            if len(sources) > MAX_FILES:
                yield sources[0], 1, f"src/{folder.name} has {len(sources)} .c files, at most {MAX_FILES}: divide it"
            if lines > MAX_LINES:
                yield sources[0], 1, f"src/{folder.name} has {lines} lines of .c files, at most {MAX_LINES}: divide it"

    def check_uses(self):
        """A function or variable of a folder that is not below this one."""
        for path in self.code:
            mine, told = self.folder(path), set()
            for name, line in self.uses(path):
                other = self.defined[name].parent.name
                if mine and name.startswith("tess_") and other not in below(mine) and name not in told:
                    told.add(name)
                    yield path, line, f"{mine} may not use {name} of {other}: dependencies point down"

    def check_includes(self):
        for path in self.code:
            mine = self.folder(path)
            if mine is None:
                yield path, 1, "belongs to no folder: name it like its .c file or add it to HEADER_FOLDER in tools/structure.py"
                continue
            for match in INCLUDE.finditer(self.text[path]):
                name, line = match.group(1), line_of(self.text[path], match.start())
                public = self.root / "include" / name
                other = self.folder(public) if public in self.code else mine
                if other and other not in below(mine):
                    yield path, line, f"{mine} may not include {public.name} of {other}: dependencies point down"
                if public not in self.code and path.parent / name not in self.code:
                    yield path, line, f"{name} is neither beside this file nor in include/"

    def check_headers(self):
        """What a header declares is defined where its name says; a header of one folder lies in it."""
        for header in self.headers:
            mine = self.folder(header)
            for match in PROTOTYPE.finditer(self.code[header]):
                name, home = match.group(1), self.defined.get(match.group(1))
                line = line_of(self.code[header], match.start(1))
                if not home:
                    yield header, line, f"{name} is defined nowhere"
                elif home.parent.name != mine or not names_file(header, home):
                    yield header, line, (f"{name} is defined in {home.relative_to(self.root)}: "
                                         f"it belongs into {header.stem}.c or a {header.stem}_*.c of the header's folder")
            for match in EXTERN.finditer(self.code[header]):
                for name in re.findall(r"\btess_\w+(?=\s*[,\[]|\s*$)", match.group(1)):
                    home = self.defined.get(name)
                    if home and home.parent.name != mine:
                        yield header, line_of(self.code[header], match.start()), f"{name} is defined in src/{home.parent.name}"
            if self.is_public(header) and mine:
                users = [p for p, text in self.text.items() if f'"tessera/{header.name}"' in text]
                if all(not self.is_public(p) and p.parent.name == mine for p in users):
                    yield header, 1, f"serves src/{mine} alone: it belongs beside its sources"

    def check_alone(self):
        for path in self.code:
            if self.folder(path) not in ALONE:
                continue
            for match in re.finditer(r"\bMPI_\w+", self.code[path]):
                if match.group() not in MPI_ALONE:
                    yield path, line_of(self.code[path], match.start()), f"{match.group()}: src/{self.folder(path)} knows no other ranks"

    def check_names(self):
        """What other files can see carries the library's prefix; most functions are seen by their file alone."""
        static = sum(len(re.findall(r"^(?:VECTORISED\w* )?static\b[^;{}]*\)\n\{", code, re.M)) for code in self.code.values())
        for name in sorted(self.functions):
            if not name.startswith("tess_") and name != "main":
                path = self.defined[name]
                yield path, line_of(self.code[path], re.search(rf"\b{name}\s*\([^;{{}}]*\)\s*\n\{{", self.code[path]).start()), (
                    f"{name} is no static function and has no prefix tess_")
        if self.functions and self.sources and len(self.functions) > 20 and static < LEAST_STATIC * (static + len(self.functions)):
            yield self.sources[0], 1, f"{static} of {static + len(self.functions)} functions are static, at least {LEAST_STATIC:.0%} should be"

    def check_used(self):
        """What no other file needs, a test or a header's macro among them, is static, or goes."""
        tests = "\n".join(p.read_text() for p in sorted(self.root.glob("tests/**/*.[ch]")))
        words = {path: set(re.findall(r"\w+", code)) for path, code in self.code.items()}
        counts = {path: re.findall(r"\w+", code) for path, code in self.code.items() if path.suffix == ".h"}
        named_in_tests = set(re.findall(r"\w+", tests))
        for name in sorted(self.functions - {"main"}):
            home = self.defined[name]
            if name in named_in_tests or any(name in words[p] for p in self.sources if p != home):
                continue
            if not any(names.count(name) > 1 for names in counts.values()):
                yield home, 1, f"{name} is used by no other file: make it static, or remove it"

    def check_contracts(self):
        """A public function says whether all ranks have to call it: beside it, in its paragraph, or on top of its header."""
        says = re.compile(r"\b([Ll]ocal|[Cc]ollective|[Pp]ure)\b")
        for header in filter(self.is_public, self.headers):
            text = self.text[header]
            if says.search(text[:text.find("*/")]):
                continue
            for match in PROTOTYPE.finditer(self.code[header]):
                paragraph = text[:match.start()].rsplit("\n\n", 1)[-1]
                rest = text[match.end():text.find("\n", match.end())]
                if not says.search(paragraph + rest):
                    yield header, line_of(text, match.start(1)), f"{match.group(1)}: is it local or collective?"

    def check_circles(self):
        """Files of a folder that need each other."""
        needs = {path: {} for path in self.sources}
        for path in self.sources:
            for name, line in self.uses(path):
                if self.defined[name].parent == path.parent:
                    needs[path].setdefault(self.defined[name], (name, line))
        reached = {path: self.reachable(needs, path) for path in self.sources}
        told = set()
        for path in self.sources:
            circle = {other for other in reached[path] if path in reached[other]}
            if not circle or path in told:
                continue
            told |= circle
            ties = [f"{a.name} -> {b.name} ({needs[a][b][0]})" for a in sorted(circle) for b in sorted(needs[a]) if b in circle]
            yield path, min(line for b, (_, line) in needs[path].items() if b in circle), f"circle of files: {', '.join(ties)}"

    @staticmethod
    def reachable(needs, path):
        seen, rest = set(), list(needs[path])
        while rest:
            at = rest.pop()
            if at not in seen:
                seen.add(at)
                rest += needs[at]
        return seen

    def check(self):
        for one in (self.check_folders, self.check_includes, self.check_uses, self.check_headers, self.check_alone,
                    self.check_names, self.check_used, self.check_contracts, self.check_circles):
            yield from one()
