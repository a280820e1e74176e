#!/usr/bin/python3
"""split.py -- splits of a store: shares, seeds, tables, and the leakage report.

usage: split.py TESSERA SOURCE_FOLDER"""
import itertools
import pathlib
import shutil
import tempfile

from checks import check, finish, run

place = pathlib.Path(tempfile.mkdtemp(prefix="tess_split_"))
store, table = place / "s.prc.h5", place / "out.tsv"


def split(*arguments, ranks=1):
    """{(perturbation, context): split} as --export writes it, and what was printed."""
    got = run("split", store, *arguments, "--export", table, ranks=ranks)
    check(got.returncode == 0, f"{arguments}: {got.stderr}")
    lines = [line.split("\t") for line in table.read_text().splitlines()]
    check(lines[0] == ["perturbation", "context", "split"], "header")
    return {(p, c): s for p, c, s in lines[1:]}, got.stdout


def refused(words, *arguments, code=65):
    before = store.read_bytes()
    got = run("split", store, *arguments)
    check(got.returncode == code and all(w in got.stderr for w in words), f"{arguments}: {got.returncode} {got.stderr}")
    check(store.read_bytes() == before, f"{arguments}: the store was changed")


def count(pairs, which):
    return sum(s == which for s in pairs.values())


contexts = [f"c{i}" for i in range(5)]
everywhere = [f"p{i}" for i in range(40)]
pairs = [*itertools.product(everywhere + ["control", "p0+p1"], contexts), *((f"only{i}", "c0") for i in range(20))]
(place / "in.tsv").write_text("perturbation\tcontext\tr1\tr2\n" + "".join(f"{p}\t{c}\t1\t2\n" for p, c in pairs))
check(run("import", place / "in.tsv", "-o", store).returncode == 0, "import")

# LPM's protocol: 15 % + 15 % of the 41 that other contexts measure, too
a, said = split("--target", "c0")
held = {k for k, s in a.items() if s != "train"}
check(len(a) == len(pairs) and all(c == "c0" for _, c in held), "--target holds out of its context only")
check(count(a, "val") == 6 and count(a, "test") == 6, f"--target shares: {said}")
check(not any(p.startswith("only") or p == "control" for p, _ in held), "--target takes what others measure")
check("training never sees                0" in said, f"--target leaks nothing: {said}")
before = store.read_bytes()
b, _ = split("--target", "c0", ranks=3)
check(a == b and store.read_bytes() == before, "ranks change a split")
check(split("--target", "c0", "--seed", 1)[0] != a, "the seed changes nothing")
b, _ = split("--target", "c0,c1", "--val", 0.1, "--test", 0.2)
check([count(b, s) for s in ("val", "test")] == [8, 16], "two targets")
check(all(any(b[p, c] == "train" for c in contexts) for (p, _), s in b.items() if s != "train"), "two targets, trained elsewhere")
check({k for k, s in split("--target", "c[12]")[0].items() if s != "train"}, "a pattern")
refused(["c9", "nearest known"], "--target", "c9")
refused(["nothing to hold out"], "--target", ",".join(contexts))

# without a rule nothing changes
split("--target", "c0")
before = store.read_bytes()
b, _ = split()
check(a == b and store.read_bytes() == before, "--export alone")

# pairs: all others keep a training context
b, said = split("--random", "--val", 0.3, "--test", 0.3)
trained = {p for (p, _), s in b.items() if s == "train"}
check({p for p, _ in b} == trained and not any(p.startswith("only") for (p, _), s in b.items() if s != "train"), "--random keeps one")
check(count(b, "test") == round(0.3 * 225) and count(b, "val") == round(0.3 * 225), f"--random shares {count(b, 'test')}")
b, said = split("--random", "--keep", 0, "--val", 0.5, "--test", 0.45)
check({p for (p, _), s in b.items() if s == "test"} - {p for (p, _), s in b.items() if s == "train"}, "--keep 0")
check("only" in said.split("training never sees")[1].splitlines()[0], f"unseen ones are named: {said}")
b, _ = split("--random", "--keep", 4, "--val", 0.5, "--test", 0.25)
check(count(b, "val") == 27 and count(b, "test") == 14, f"too few to hold out: {count(b, 'val')} {count(b, 'test')}")
check(all(s == "train" for (p, _), s in b.items() if p == "control"), "control")

# contexts
b, said = split("--contexts")
held = {c for (p, c), s in b.items() if s != "train"}
check(len(held) == 2 and all(b["control", c] == "train" and b["p3", c] != "train" for c in held), "--contexts")
check(f"without training data                   2: {', '.join(sorted(held))}" in said, f"untrained contexts: {said}")
b, _ = split("--contexts", "--test-contexts", "c4", "--val-contexts", "c2")
check(b["p1", "c4"] == "test" and b["p1", "c2"] == "val" and b["p1", "c0"] == "train", "contexts by name")
refused(["held out"], "--contexts", "--test-contexts", "c*")

# shares of what is trained on: nested, what is held out is held out as before, and known as far as contexts go
whole, _ = split("--target", "c1", "--seed", 5)
held = {p for (p, c), s in whole.items() if s != "train"}
check(held and all(c == "c1" for (p, c), s in whole.items() if s != "train"), "what is held out")
for what, key, stay, n in (("perturbations", 0, held, 61 - len(held)), ("contexts", 1, {"c1"}, 4)):
    kept = []
    for share in (0, 0.25, 0.5, 1):
        b, said = split("--target", "c1", "--seed", 5, f"--share-{what}", share)
        check({k for k, s in b.items() if s in ("val", "test")} == {k for k, s in whole.items() if s in ("val", "test")}, f"{what} {share}: held out")
        trained = {k[key] for k, s in b.items() if s == "train"} - {"control"}
        check(all(b[k] == (whole[k] if k[key] in trained | {"control"} else "unused") for k in b), f"{what} {share}: all of one or nothing")
        check(stay <= trained and len(trained - stay) == int(share * n + 0.5), f"{what} {share}: {sorted(trained)}")
        check(f"trained on {'4 of 4' if key == 0 else len(trained) - 1} " in said, f"{what} {share}: {said}")
        kept.append(trained)
    check(all(a <= b for a, b in zip(kept, kept[1:])), f"{what}: a larger share holds the smaller one: {kept}")
    check(kept[1] != {k[key] for k, s in split("--target", "c1", "--seed", 6, f"--share-{what}", 0.25)[0].items() if s == "train"} - {"control"}
          or key == 1, f"{what}: another seed")
split("--target", "c1", "--seed", 5)
alone, said = split("--share-contexts", 0.5, "--share-perturbations", 0.5, ranks=3)
both = split("--target", "c1", "--seed", 5, "--share-contexts", 0.5, "--share-perturbations", 0.5)[0]
check(len(both) == len(alone) and count(alone, "unused") > 0 and "val 0.15, test 0.15, seed 5; trained on 2 of 4" in said, f"of the split there is: {said}")
refused(["--share-contexts"], "--share-contexts", 1.5, code=2)

# tables: B+A is A+B; what is not listed is trained on
rows = [("p1+p0", "c0", "test"), ("p0", "c0", "test"), ("p0", "c1", "val"), ("control", "c1", "test")]


def write(lines, header="context\tsplit\tperturbation\tnote"):
    (place / "mine.tsv").write_text("\n".join([header] + [f"{c}\t{s}\t{p}\tx" for p, c, s in lines]) + "\n")
    return place / "mine.tsv"


got = run("split", store, "--file", write(rows), "--export", table)
b = {tuple(line.split("\t")[:2]): line.split("\t")[2] for line in table.read_text().splitlines()[1:]}
check(b["p0+p1", "c0"] == "test" and b["p0", "c1"] == "val" and b["control", "c1"] == "train" and count(b, "train") == len(pairs) - 3, "--file")
check("control stays" in got.stderr, f"control in a table: {got.stderr}")
everything = [("p0", c, "test") for c in contexts] + [("p1", c, "test") for c in contexts] + [("p0+p1", c, "val") for c in contexts]
run("split", store, "--file", write(everything))
got = run("split", store)
check("components that training never sees 1: p0+p1 (p0, p1)" in got.stdout, f"unseen components: {got.stdout}")
check("1 of the 1 in val" in got.stdout and "2 of the 2 in test" in got.stdout, f"unseen by split: {got.stdout}")
refused([":2:", "p99", "p9"], "--file", write([("p99", "c0", "test")]))
refused([":2:", "cx"], "--file", write([("p0", "cx", "test")]))
refused(["no experiment of 'only1' in 'c1'"], "--file", write([("only1", "c1", "test")]))
refused([":3:", "earlier line"], "--file", write([("p0", "c1", "test"), ("p0", "c1", "val")]))
refused([":2:", "is no split"], "--file", write([("p0", "c1", "held")]))
refused(["no column 'split'"], "--file", write([], header="perturbation\tcontext"))
refused(["exclude each other"], "--random", "--contexts", code=2)
refused(["--val"], "--random", "--val", 2, code=2)

# a column may put the same pair in two splits: said
(place / "in.tsv").write_text("perturbation\tcontext\tset\tr1\nA\tc\ttrain\t1\nA\tc\ttest\t2\nB\tc\t\t2\ncontrol\tc\ttest\t0\n")
got = run("import", place / "in.tsv", "-o", store, "--split-column", "set")
check(got.returncode == 0 and "control is trained on" in got.stderr, f"import with a split column: {got.stderr}")
got = run("split", store)
check("two splits                1: A in c: train and test" in got.stdout, f"in two splits: {got.stdout}")
check("unused             1" in got.stdout and "column 'set'" in got.stdout, f"the column's split: {got.stdout}")

shutil.rmtree(place, ignore_errors=True)
finish()
