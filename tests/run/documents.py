#!/usr/bin/env python3
"""documents.py -- documents say what the program does: docs/commands.md is its --help, commands and
options in examples exist, links lead somewhere.

usage: documents.py TESSERA SOURCE_FOLDER"""
import pathlib
import re
import subprocess
import sys

tessera, root = sys.argv[1], pathlib.Path(sys.argv[2])
problems = []


def output(*line):
    return subprocess.run(line, capture_output=True, text=True, check=True).stdout


commands = re.findall(r"^  ([a-z]+) ", output(tessera, "--help"), flags=re.M)
known = {name: set(re.findall(r"--[a-z][a-z0-9-]*", output(tessera, name, "--help"))) for name in commands}

generated = root / "docs" / "commands.md"
if not generated.exists() or generated.read_text() != output(root / "tools" / "commands.sh", tessera):
    problems.append("docs/commands.md differs from the program: run tools/update_reference.sh")

examples = (root / "tests" / "run" / "meson.build").read_text()
# Command lines stand in code: `…` or a fenced block, where a backslash goes on on the next line.
for page in sorted([root / "README.md", *(root / "docs").rglob("*.md")]):
    text = page.read_text()
    code = re.findall(r"```[^\n]*\n(.*?)```", text, flags=re.S) if page != generated else []
    blocks = "\n".join(code).replace("\\\n", " ").splitlines()
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.S))
    for kind, block in re.findall(r"^```([^\n]*)\n(.*?)^```", text, flags=re.S | re.M) if page != generated else []:
        if re.search(r"^\$ ", block, flags=re.M) and not kind.startswith("console"):
            problems.append(f"{page.name}: a session that nobody runs: its block must begin with ```console (tests/run/examples.py): {block[:60]}")
        if kind.startswith("console") and page.relative_to(root).as_posix() not in examples:
            problems.append(f"{page.name}: has sessions, but tests/run/meson.build does not give it to examples.py")
    for line in blocks + inline:
        line = line.split(" #")[0]
        for match in re.finditer(r"\btessera((?: -[vq])*) ([a-z]+)\b([^|;&]*)", line):
            name = match.group(2)
            if name not in known:
                problems.append(f"{page.name}: there is no command 'tessera {name}'")
                continue
            for option in re.findall(r"(?<!\S)--[a-z][a-z0-9-]*", match.group(3)):
                if option not in known[name] | {"--help"}:
                    problems.append(f"{page.name}: 'tessera {name}' has no option {option}")
    for target in re.findall(r"\]\(([^)#:]+)[^):]*\)", text):
        if not (page.parent / target).exists():
            problems.append(f"{page.name}: the link to {target} leads nowhere")

print("\n".join(problems) or f"{len(commands)} commands: the documents are right")
sys.exit(1 if problems else 0)
