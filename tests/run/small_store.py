"""small_store.py -- a store with everything that makes training hard, and the observations that are in it.

Three contexts, combinations of up to three, two large panels that overlap and one of a single readout, missing
values, rows for validation and test, a control, and symbols that only the test rows have."""
import subprocess

import numpy as np

PERTURBATIONS = [f"p{i:02d}" for i in range(14)]
CONTEXTS = ["c0", "c1", "c2"]
PANELS = [[f"r{i:02d}" for i in range(37)], [f"r{i:02d}" for i in range(0, 37, 4)] + ["s0", "s1"], ["viability"]]


def rows(seed=1, splits=("train",) * 8 + ("val", "test")):
    """[(context, perturbation, split, {readout: value})]: values with structure, so that a model learns something."""
    rng = np.random.default_rng(seed)
    effect = {p: rng.normal(size=3) for p in PERTURBATIONS + ["control", "only_test"]}
    place = {r: rng.normal(size=3) for panel in PANELS for r in panel}
    base = {c: rng.normal(size=3) for c in CONTEXTS}
    single = [[p] for p in PERTURBATIONS] + [["control"], ["only_test"]]
    several = [PERTURBATIONS[i:i + n] for n in (2, 3) for i in range(0, 12, n)]
    out = []
    for c in CONTEXTS:
        for panel in PANELS:
            for members in single + several:
                if rng.random() < 0.3 and members != ["control"]:
                    continue
                split = "train" if members == ["control"] else "test" if "only_test" in members else rng.choice(splits)
                change = np.mean([effect[p] for p in members], axis=0)
                values = {r: round(float(np.tanh(base[c] + change) @ place[r] + 0.1 * rng.normal()), 4) for r in panel}
                for r in panel[1:]:
                    if rng.random() < 0.15:
                        values[r] = float("nan")
                out.append((c, "+".join(members), str(split), values))
    return out


def write(tessera, path, made, weights=None):
    """Imports the rows as wide tables, one for each panel; `weights`: of the rows, in a column of its own."""
    columns, of = (["weight"], weights) if weights else ([], [])
    files = []
    for panel in sorted({tuple(values) for *_, values in made}):
        files.append(f"{path}.{len(files)}.tsv")
        with open(files[-1], "w") as file:
            print("context", "perturbation", "split", *columns, *panel, sep="\t", file=file)
            for number, (context, perturbation, split, values) in enumerate(made):
                if tuple(values) == panel:
                    print(context, perturbation, split, *of[number:number + 1], *values.values(), sep="\t", file=file)
    done = subprocess.run([tessera, "-q", "import", *files, "--split-column", "split", "-o", path,
                           *(["--weight", "weight"] if weights else [])], timeout=60, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
