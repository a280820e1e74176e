#!/usr/bin/python3
"""screen.py -- tessera screen against NumPy: scores from what `impute` writes of each member, measured ones from the data that the
store was made of; the same bytes on any number of ranks; refusals, and nothing half-written.

usage: screen.py TESSERA SOURCE_FOLDER"""
import csv
import json
import math
import os
import subprocess
import sys
import tempfile

import machine

with machine.needed():
    import anndata
    import numpy as np
    from scipy import stats
import small_store
import training
from training import run

tessera = os.path.abspath(sys.argv[1])
folder = tempfile.TemporaryDirectory()
os.chdir(folder.name)
COLUMNS = ["rank", "perturbation", "target", "change", "std", "z", "agreement", "measured", "measured_in", "trained"]
MEMBERS = 3


def screen(out, *options, run_="run", ranks=1):
    run("-q", "screen", run_, "-o", out, "--force", *options, ranks=ranks)
    with open(out, newline="") as file:
        lines = list(csv.reader(file, delimiter="," if out.endswith(".csv") else "\t"))
    assert lines[0] == COLUMNS, lines[0]
    return [dict(zip(COLUMNS, line)) for line in lines[1:]]


def measured_values(made):
    """{(perturbation, context): {readout: value}}: replicates are one; of training, else of validation, else of test."""
    found = {}
    for context, names, split, values in made:
        for readout, value in values.items():
            if not math.isnan(value):
                at = found.setdefault(("+".join(sorted(names.split("+"))), context), {}).setdefault(readout, {})
                at.setdefault(split, []).append(np.float32(value))
    order = ["train", "val", "test"]
    return {key: {r: np.mean(by[min(by, key=order.index)]) for r, by in values.items()} for key, values in found.items()}


def score(weights, change, cosine):
    if not cosine:
        return (weights * change).sum() / np.abs(weights).sum()
    size = math.sqrt((weights ** 2).sum() * (change ** 2).sum())
    return (weights * change).sum() / size if size else 0


def expected(members, made, signature, contexts, perturbations, cosine, down, control):
    """Rows by perturbation."""
    weights, readouts = np.array(list(signature.values())), list(signature)
    values = measured_values(made)


    def changes(member, p, c):
        value = member[f"{p}@{c}", readouts].X[0].astype(float)
        return value - (member[f"control@{c}", readouts].X[0].astype(float) if control else 0)

    rows = {}
    for p in perturbations:
        each = np.array([[score(weights, changes(m, p, c), cosine) for c in contexts] for m in members])
        said = []
        for c in contexts:
            own, base = values.get((p, c), {}), values.get(("control", c), {})
            if all(r in own for r in readouts) and (not control or all(r in base for r in readouts)):
                said.append(score(weights, np.array([own[r] - (base[r] if control else 0) for r in readouts]), cosine))
        here = [c for c, names_, split, v in made if split == "train" and "+".join(sorted(names_.split("+"))) == p and
                any(not math.isnan(x) for x in v.values())]
        rows[p] = {"change": each.mean(), "std": each.mean(1).std(ddof=1) if len(members) > 1 else math.nan,
                   "agreement": np.mean(each.mean(0) < 0 if down else each.mean(0) > 0),
                   "measured": np.mean(said) if said else math.nan, "measured_in": len(said),
                   "trained": "here" if set(here) & set(contexts) else "elsewhere" if here else "never"}
    spread = [row["change"] for p, row in rows.items() if p != "control" or not control]
    for row in rows.values():
        row["z"] = (row["change"] - np.mean(spread)) / np.std(spread, ddof=1)
    return rows


def compare(got, rows, down):
    assert len(got) == len(rows) and {line["perturbation"] for line in got} == set(rows)
    order = [float(line["change"]) for line in got]
    assert order == sorted(order, reverse=not down), order
    assert [int(line["rank"]) for line in got] == list(range(1, len(got) + 1))
    for line in got:
        want = rows[line["perturbation"]]
        assert line["target"] == "+".join(part.split(":")[-1] for part in line["perturbation"].split("+")), line
        for key in "change", "std", "z", "agreement", "measured":
            value = float(line[key]) if line[key] else math.nan
            assert (math.isnan(value) and math.isnan(want[key])) or abs(value - want[key]) < 1e-5 * max(1, abs(want[key])), \
                (line, key, want[key])
        assert int(line["measured_in"]) == want["measured_in"] and line["trained"] == want["trained"], (line, want)


def prepare(name, made):
    small_store.write(tessera, f"{name}.prc.h5", made)
    training.write_config(f"{name}.yaml", {"data.store": f"{name}.prc.h5", "run.directory": name, "model.embedding_dim": 6,
                                           "model.hidden_dim": 16, "train.epochs": 4, "train.members": MEMBERS})
    run("-q", "train", f"{name}.yaml")
    members = []
    for i in range(1, MEMBERS + 1):
        run("-q", "impute", f"{name}/member-{i}", "-o", f"{name}-{i}.h5ad", "--blend", "off", "-p", "*,@combinations")
        members.append(anndata.read_h5ad(f"{name}-{i}.h5ad"))
    return members


NEVER = {("c0", "p03"), ("c0", "p05"), ("c0", "p09"), ("c2", "p01"), ("c2", "p04"), ("c2", "p11"), ("c1", "p02"), ("c2", "p08")}
made = [row for row in small_store.rows(seed=4) if row[:2] not in NEVER]
members = prepare("run", made)
single = [p for p in dict.fromkeys(members[0].obs["perturbation"]) if "+" not in p]
every = list(dict.fromkeys(members[0].obs["perturbation"]))
SIGNATURE = {"r00": 1.0, "r05": -2.0, "r11": 0.5}
with open("signature.tsv", "w") as file:
    file.write("readout\tweight\n" + "".join(f"{r}\t{w}\n" for r, w in SIGNATURE.items()) + "r02\t0\n\n")
with open("pairs.txt", "w") as file:
    file.write("p03\tp00\np01+p07\n")
CASES = [  # options, signature, contexts, perturbations, cosine, down
    (["-r", "r03"], {"r03": 1.0}, ["c0", "c1", "c2"], single, False, False),
    (["-r", "r0[12],r20", "--direction", "down", "-c", "c1"], {"r01": 1.0, "r02": 1.0, "r20": 1.0}, ["c1"], single, False, True),
    (["--signature", "signature.tsv", "--score", "cosine", "-p", ",".join(every), "-c", "c2,c0"], SIGNATURE, ["c0", "c2"], every, True, False),
    (["--signature", "signature.tsv", "--direction", "down", "--score", "sum"], SIGNATURE, ["c0", "c1", "c2"], single, False, True),
]
for number, (options, signature, contexts, perturbations, cosine, down) in enumerate(CASES):
    got = screen(f"{number}.tsv", *options, "--blend", "off")
    compare(got, expected(members, made, signature, contexts, perturbations, cosine, down, True), down)
    with open(f"{number}.tsv", "rb") as file:
        plain = file.read()
    for ranks in (2, 3, 5):
        screen("again.tsv", *options, "--blend", "off", ranks=ranks)
        with open("again.tsv", "rb") as file:
            assert file.read() == plain, (options, ranks)
assert any(line["measured"] for line in got) and any(not line["measured"] for line in got), "nothing is tested"

# Pairs that were never measured; the first lines alone; standard output; one model has no deviation; commas.
got = screen("pairs.tsv", "-r", "r03", "--pairs", "pairs.txt")
assert {line["perturbation"] for line in got} == {"p00+p03", "p01+p07"}, got
whole = screen("0.tsv", "-r", "r03")
assert screen("top.csv", "-r", "r03", "--top", "4") == whole[:4]
done = subprocess.run([tessera, "-q", "screen", "run", "-r", "r03", "-o", "-"], capture_output=True, text=True, check=True)
with open("0.tsv") as file:
    assert done.stdout == file.read()
assert all(line["std"] == "" for line in screen("one.tsv", "-r", "r03", run_="run/member-2"))

# Blended with a baseline the control is what was measured where the baseline says it, not the mean of what was perturbed.
for i in range(1, MEMBERS + 1):
    run("-q", "impute", f"run/member-{i}", "-o", f"blended-{i}.h5ad", "--blend", "on", "-p", "*,@combinations")
blended = [anndata.read_h5ad(f"blended-{i}.h5ad") for i in range(1, MEMBERS + 1)]
assert max(np.abs(a.X - b.X).max() for a, b in zip(blended, members)) > 1e-3, "nothing is blended: nothing is tested"
for options, cosine in (["-r", "r03,r06"], False), (["-r", "r03,r06", "--score", "cosine"], True):
    compare(screen("blended.tsv", *options, "--blend", "on"),
            expected(blended, made, {"r03": 1.0, "r06": 1.0}, ["c0", "c1", "c2"], single, cosine, False, True), False)
values = measured_values(made)
for i in range(MEMBERS):
    with open(f"run/member-{i + 1}/blend.json") as file:
        blend = json.load(file)
    for c in ("c0", "c1", "c2"):
        row = f"control@{c}"
        for readout in set(values["control", c]) & {"r01", "r03", "r06", "r10"}:
            own, mixed = (float(m[row, readout].X[0, 0]) for m in (members[i], blended[i]))
            want = blend["weight"] * own + (1 - blend["weight"]) * values["control", c][readout]
            assert abs(mixed - want) < 1e-4, (i, row, readout, own, mixed, want)

# Weights of any size are the same signature.
for size in 1e-200, 1e300:
    with open("sized.tsv", "w") as file:
        file.writelines(f"{r}\t{w * size!r}\n" for r, w in SIGNATURE.items())
    for kind in "sum", "cosine":
        assert screen("sized.csv", "--signature", "sized.tsv", "--score", kind) == screen("s.csv", "--signature", "signature.tsv", "--score", kind)

# What to measure next: experiments that are in no split, by the value of knowing them.
def gains(members, made, readout, contexts, perturbations, hits, down):
    ran = {("+".join(sorted(p.split("+"))), c) for c, p, *_ in made}
    rows = []
    for c in contexts:
        control = [m[f"control@{c}", readout].X[0, 0].astype(float) for m in members]
        each = {p: np.array([m[f"{p}@{c}", readout].X[0, 0].astype(float) - b for m, b in zip(members, control)])
                for p in perturbations if p != "control"}
        order = sorted((x.mean() for x in each.values()), reverse=not down)
        at = (order[hits - 1] + order[hits]) / 2
        for p, x in each.items():
            if (p, c) not in ran:
                z = abs(x.mean() - at) / x.std(ddof=1)
                rows.append((p, c, x.std(ddof=1) * (stats.norm.pdf(z) - z * stats.norm.cdf(-z)), x.mean(), x.std(ddof=1)))
    return sorted(rows, key=lambda row: -row[2])


for options, contexts, hits, down in ((["--hits", "4"], ["c0", "c1", "c2"], 4, False), (["-c", "c0,c2", "--direction", "down"], ["c0", "c2"], 2, True)):
    want = gains(members, made, "r03", contexts, single, hits, down)
    assert len(want) > 5
    for ranks in 1, 3:
        run("-q", "screen", "run", "-r", "r03", "--next", 5, "-o", f"next-{ranks}.tsv", "--force", "--blend", "off", *options, ranks=ranks)
    with open("next-1.tsv", newline="") as file:
        got = list(csv.DictReader(file, delimiter="\t"))
    assert len(got) == 5 and list(got[0]) == ["rank", "perturbation", "context", "gain", "change", "std"], got
    for line, row in zip(got, want):
        assert (line["perturbation"], line["context"]) == row[:2], (line, row)
        assert np.allclose([float(line[k]) for k in ("gain", "change", "std")], row[2:], rtol=1e-4, atol=1e-7), (line, row)
    with open("next-1.tsv") as one, open("next-3.tsv") as three:
        assert one.read() == three.read()

# The same as AnnData: obs has the columns, X the scores of each context, the layer their deviations.
table = screen("as.tsv", "-r", "r03,r06", "-c", "c2,c0", "--direction", "down", "--top", "9", "--blend", "off")
for ranks in 1, 2, 3, 5:
    run("-q", "screen", "run", "-r", "r03,r06", "-c", "c2,c0", "--direction", "down", "--top", 9, "-o", f"as-{ranks}.h5ad", "--blend", "off",
        ranks=ranks)
    got = anndata.read_h5ad(f"as-{ranks}.h5ad")
    assert list(got.var_names) == ["c0", "c2"] and list(got.obs_names) == [line["perturbation"] for line in table], got
    assert list(got.obs.columns) == COLUMNS[1:] and got.uns["direction"] == "down" and got.uns["score"] == "sum", got
    if ranks == 1:
        first = got
    assert got.obs.equals(first.obs) and (got.X == first.X).all() and (got.layers["std"] == first.layers["std"]).all(), ranks
    for (name, row), line in zip(got.obs.iterrows() if ranks == 1 else (), table):
        for key in COLUMNS[1:]:
            value = line[key] if key in ("perturbation", "target", "trained") else float(line[key] or "nan")
            same = row[key] == value if isinstance(value, str) else np.isclose(row[key], value, rtol=1e-6, equal_nan=True)
            assert same, (name, key, row[key], value)
        each = np.array([[np.mean([m[f"{name}@{c}", r].X[0, 0].astype(float) - m[f"control@{c}", r].X[0, 0] for r in ("r03", "r06")])
                          for c in ("c0", "c2")] for m in members])
        assert np.allclose(got[name].X, each.mean(0), atol=1e-5) and np.allclose(got[name].layers["std"], each.std(0, ddof=1), atol=1e-5)

# A screen without a control has changes for values; types; all pairs, of few.
bare = [(c, "+".join(p if p[-1] in "13579" else f"drug:{p}" for p in names.split("+")), split, values)
        for c, names, split, values in made if names != "control"]
members = prepare("bare", bare)
every = list(dict.fromkeys(members[0].obs["perturbation"]))
drugs = [p for p in every if all(part.startswith("drug:") for part in p.split("+"))]
assert 0 < len(drugs) < len(every)
for options, own in ([], [p for p in drugs if "+" not in p]), (["-p", ",".join(every)], drugs):
    compare(screen("typed.tsv", "-r", "r03", "--type", "drug", "--blend", "off", *options, run_="bare"),
            expected(members, bare, {"r03": 1.0}, ["c0", "c1", "c2"], own, False, False, False), False)
single = [p for p in every if "+" not in p]
names = [p for p in single if p.startswith("drug:")]
with open("every.txt", "w") as file:
    file.writelines(f"{a}\t{b}\n" for i, a in enumerate(names) for b in names[i + 1:])
assert screen("all.tsv", "-r", "r03", "--type", "drug", "--pairs", "all", run_="bare") == \
    screen("every.tsv", "-r", "r03", "--pairs", "every.txt", run_="bare")
for which in "all", "every.txt":
    run("-q", "screen", "bare", "-r", "r03", "--next", 4, "--type", "drug", "--pairs", which, "-o", f"next-{which[:3]}.tsv")
with open("next-all.tsv") as one, open("next-eve.tsv") as other:
    assert one.read() == other.read()
compare(screen("bare.tsv", "-r", "r03,r04", "--blend", "off", run_="bare"),
        expected(members, bare, {"r03": 1.0, "r04": 1.0}, ["c0", "c1", "c2"], single, False, False, False), False)

# The best of all pairs are what sorting all of them gives; some contexts have no control.
rng = np.random.default_rng(5)
wide = [(c, p, "train", {"a": float(rng.normal()), "b": float(rng.normal())}) for c in ("c0", "c1", "c2")
        for p in ["control", *(f"drug:{i}" for i in range(200))] if (c, p) != ("c1", "control")]
small_store.write(tessera, "wide.prc.h5", wide)
training.write_config("wide.yaml", {"data.store": "wide.prc.h5", "run.directory": "wide", "model.embedding_dim": 4, "model.hidden_dim": 8,
                                    "train.epochs": 2, "train.members": 2})
run("-q", "train", "wide.yaml")
for direction in "up", "down":
    options = ["-r", "a", "--pairs", "all", "--direction", direction, "--blend", "off"]
    whole = screen("whole.tsv", *options, "--top", "20000", run_="wide")
    assert len(whole) == 200 * 199 // 2 and [float(line["change"]) for line in whole] == sorted(
        (float(line["change"]) for line in whole), reverse=direction == "up")
    best = screen("best.tsv", *options, "--top", "300", run_="wide")
    for line, same in zip(best, whole):
        assert {k: v for k, v in line.items() if k != "z"} == {k: v for k, v in same.items() if k != "z"}, (line, same)
        assert abs(float(line["z"]) - float(same["z"])) < 1e-5 * abs(float(same["z"])), (line, same)
    assert len(best) == 300
    with open("best.tsv", "rb") as file:
        plain = file.read()
    for ranks in (2, 3, 5) if direction == "up" else ():
        screen("again.tsv", *options, "--top", "300", run_="wide", ranks=ranks)
        with open("again.tsv", "rb") as file:
            assert file.read() == plain, (options, ranks)
text = run("screen", "wide", "-r", "a", "-o", "c.tsv", ranks=2)
assert "1 of the 3 contexts never had a control" in text and text.count("extrapolates: c1") == 1, text
assert "control in training" not in run("screen", "wide", "-r", "a", "-o", "c.tsv", "-f", "-c", "c0,c2")

# Another store than the training's: what was measured there, and nothing of what was trained.
changed = [(c, p, s, {r: v + 1 for r, v in values.items()}) for c, p, s, values in made]
small_store.write(tessera, "changed.prc.h5", changed)
text = run("screen", "run", "-o", "changed.tsv", "-r", "r03", "--store", "changed.prc.h5", "--blend", "off", ranks=2)
assert "is not what" in text, text
with open("changed.tsv", newline="") as file:
    lines = list(csv.DictReader(file, delimiter="\t"))
assert all(line["trained"] == "" for line in lines) and any(line["measured"] for line in lines)
os.rename("run.prc.h5", "away.prc.h5")
text = run("screen", "run", "-o", "away.tsv", "-r", "r03", ranks=3)
assert "nothing is said of what was measured" in text, text
os.rename("away.prc.h5", "run.prc.h5")

# Refusals: one sentence, nothing is left.
open("taken.h5ad", "w").close()
before = set(os.listdir("."))
for name, text in (("twice", "r00\t1\nr00\t2\n"), ("words", "r00\tmuch\n"), ("three", "r00\t1\t2\n"), ("none", "readout\tweight\n"),
                   ("stranger", "r00\t1\nr0O\t1\n"), ("infinite", "r00\tinf\n")):
    with open(f"{name}.sig", "w") as file:
        file.write(text)
    before.add(f"{name}.sig")
REFUSED = [
    (["-r", "r03"], 2, "-o OUT"), (["-o", "x.pdf", "-r", "r03"], 2, "the ending .tsv, .txt, .csv or .h5ad"),
    (["-o", "x.H5AD", "-r", "r03"], 2, "the ending .tsv, .txt, .csv or .h5ad"), (["-o", ".h5ad", "-r", "r03"], 2, "the ending .tsv, .txt, .csv or .h5ad"),
    (["-o", "./.h5ad", "-r", "r03"], 2, "the ending .tsv, .txt, .csv or .h5ad"),
    (["-o", "x.tsv"], 2, "--readout LIST or --signature"),
    (["-o", "x.tsv", "-r", "r03", "--signature", "signature.tsv"], 2, "not both"), (["-o", "x.tsv", "-r", "r3"], 65, "r03"),
    (["-o", "x.tsv", "-r", "r03", "--direction", "left"], 2, "neither up nor down"), (["-o", "x.tsv", "-r", "r03", "-c", "c9"], 65, "c9"),
    (["-o", "x.tsv", "-r", "r03", "-p", "p77"], 65, "p77"), (["-o", "x.tsv", "-r", "r03", "--pairs", "pairs.txt", "-p", "p01"], 2, "--pairs"),
    (["-o", "x.tsv", "-r", "r03", "--hits", "3"], 2, "--hits is for --next"), (["-o", "x.tsv", "-r", "r03", "--next", "0"], 2, "--next"),
    (["-o", "x.tsv", "-r", "r03", "--next", "3", "--top", "2"], 2, "--top"),
    (["-o", "x.tsv", "-r", "r03", "--next", "3", "--hits", "99"], 2, "no choice"),
    (["-o", "x.h5ad", "-r", "r03", "--next", "3"], 2, "--next lists"), (["-o", "x.tsv", "-r", "r03", "--type", "drug"], 65, "there are: "),
    (["-o", "x.tsv", "-r", "r03", "--pairs", "all", "-p", "p01"], 65, "make no pair"),
    (["-o", "x.tsv", "-r", "r03", "--pairs", "all", "-p", "p01+p02"], 65, "p01+p02"),
    (["-o", "taken.h5ad", "-r", "r03"], 73, "is there already"),
    (["-o", "0.tsv", "-r", "r03"], 73, "is there already"), (["-o", "x.tsv", "-r", "r03", "--store", "gone.prc.h5"], 65, "gone.prc.h5"),
    (["-o", "x.tsv", "--signature", "twice.sig"], 65, "there twice"), (["-o", "x.tsv", "--signature", "words.sig"], 65, "words.sig:1"),
    (["-o", "x.tsv", "--signature", "three.sig"], 65, "three.sig:1"), (["-o", "x.tsv", "--signature", "none.sig"], 65, "holds no readout"),
    (["-o", "x.tsv", "--signature", "stranger.sig"], 65, "r0O"), (["-o", "x.tsv", "--signature", "infinite.sig"], 65, "infinite.sig:1"),
    (["-o", "x.tsv", "--signature", "gone.sig"], 65, "gone.sig"),
]
for options, code, words in REFUSED:
    for ranks in (1, 3) if code != 2 else (1,):
        text = run("screen", "run", *options, ranks=ranks, code=code)
        assert words in text and text.count("error: ") == 1, (options, text)
assert "several" in run("screen", "run/member-1", "-o", "x.tsv", "-r", "r03", "--next", 3, code=2)
assert set(os.listdir(".")) == before, set(os.listdir(".")) ^ before
print("ok")
