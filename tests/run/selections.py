#!/usr/bin/python3
"""selections.py -- lists and tables as people write them (byte order mark, CRLF, blanks, quotes), selections of nothing,
words for splits, and data of which no value is measured: in every command that takes them.

usage: selections.py TESSERA SOURCE_FOLDER"""
import csv
import io
import pathlib
import shutil
import tempfile

import machine
from checks import check, finish, run

with machine.needed():
    import h5py
    import numpy as np

place = pathlib.Path(tempfile.mkdtemp(prefix="tess_selections_"))


def text(name, content):
    (place / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return place / name


def fine(*words, **how):
    done = run(*words, **how)
    check(done.returncode == 0, f"{words}: {done.returncode} {done.stderr}")
    return done


def refused(code, parts, *words, **how):
    done = run(*words, **how)
    check(done.returncode == code and all(part in done.stderr for part in parts), f"{words}: {done.returncode} {done.stderr}")


def chosen(*options, ranks=1):
    """(perturbations, contexts) of an imputed file."""
    out = place / "out.h5ad"
    if fine("-q", "impute", place / "run", "-o", out, *options, ranks=ranks).returncode:
        return [], []
    with h5py.File(out) as f:
        names = [n.decode() if isinstance(n, bytes) else n for n in f["obs/_index"][:]]
    out.unlink()
    return sorted({n.split("@")[0] for n in names}), sorted({n.split("@")[1] for n in names})


def test_lists():
    rows = "".join(f"{p},{c},{i}.5,{i}\n" for i, (p, c) in enumerate((p, c) for p in ("control", "A", "B", "C D") for c in ("x", "y")))
    store = place / "s.prc.h5"
    fine("-q", "import", text("s.csv", "perturbation,context,g1,g2\n" + rows), "-o", store)
    text("c.yaml", "model:\n  embedding_dim: 4\n  hidden_dim: 8\ntrain:\n  epochs: 1\n  lanes: 2\n")
    fine("-q", "train", place / "c.yaml", "--set", f"data.store={store}", "--set", f"run.directory={place}/run")
    for name, content in (("bom.txt", "\ufeffA\r\n B \r\n"), ("blanks.txt", "\n\t B\t\n  A"), ("plain.txt", "A\nB\n")):
        for ranks in (1, 2):
            check(chosen("-p", f"@{text(name, content)}", ranks=ranks)[0] == ["A", "B"], f"-p @{name} on {ranks} ranks")
    check(chosen("-p", place / "bom.txt", "-c", f"@{text('contexts.txt', chr(0xfeff) + ' y ')}") == (["A", "B"], ["y"]), "-c @contexts.txt")
    check(chosen("-p", f"@{text('combinations.txt', 'B + A+ctrl' + chr(13) + chr(10) + ' C D ')}")[0] == ["A+B", "C D"], "combinations in a list")
    check(chosen("-p", " A , ctrl")[0] == ["A", "control"], "blanks and a name of the control on the command line")
    for option in ("-p", "-c", "-r", "--perturbations"):
        for nothing in ("", ","):
            refused(2, ["names nothing"], "impute", place / "run", "-o", place / "none.h5ad", option, nothing)
    refused(2, ["--contexts ''"], "impute", place / "run", "-o", place / "none.h5ad", "--contexts=", ranks=2)
    refused(65, ["holds no names"], "impute", place / "run", "-o", place / "none.h5ad", "-p", f"@{text('empty.txt', chr(0xfeff) + chr(10))}")
    refused(65, ["UTF-8"], "impute", place / "run", "-o", place / "none.h5ad", "-p", f"@{text('utf16.txt', 'A'.encode('utf-16'))}")
    check(not (place / "none.h5ad").exists(), "a refused selection wrote a file")
    for option in ("--target", "--test-contexts"):
        refused(2, [f"{option} '' names nothing"], "split", store, option, "", *(["--contexts"] if "test" in option else []))


def splits_of(store):
    """{(perturbation, context): split}, as Python's csv reads the export."""
    fine("-q", "split", store, "--export", place / "split.tsv")
    with open(place / "split.tsv", newline="") as file:
        rows = list(csv.reader(file, dialect="excel-tab"))
    check(rows[0] == ["perturbation", "context", "split"], f"header {rows[0]}")
    return {(p, c): s for p, c, s in rows[1:]}


def test_words():
    words = {"A": "training", "B": "Validation", "C": "valid", "D": "TRAIN", "E": "test", "F": "val", "G": "unused"}
    means = {"A": "train", "B": "val", "C": "val", "D": "train", "E": "test", "F": "val", "G": "unused"}
    table = "perturbation,context,split,g1\n" + "".join(f"{p},x,{s},{i}.5\n" for i, (p, s) in enumerate(words.items()))
    store = place / "words.prc.h5"
    fine("-q", "import", text("words.csv", table), "-o", store, "--split-column", "split")
    check(splits_of(store) == {(p, "x"): s for p, s in means.items()}, f"words of a column: {splits_of(store)}")
    fine("-q", "split", store, "--file", text("words.tsv", "\ufeffsplit\tperturbation\tcontext\r\n" + "".join(
        f"{s}\t{p}\tx\r\n" for p, s in zip(words, reversed(words.values())))))
    check(splits_of(store) == {(p, "x"): s for p, s in zip(means, reversed(means.values()))}, f"words of a table: {splits_of(store)}")
    for word in ("validation", "valid"):
        check("split 'val'" in fine("evaluate", store, "--split", word).stdout, f"evaluate --split {word}")


def test_ensemble():
    """Each of several models is held against the store, not the first alone; they know what all were trained on."""
    store, pairs = place / "e.prc.h5", [(p, c) for p in ("control", "A", "B", "C") for c in ("x", "y")]
    rows = "".join(f"{p},{c},{i}.5,{i},{i * i}\n" for i, (p, c) in enumerate(pairs))
    fine("-q", "import", text("e.csv", "perturbation,context,g1,g2,g3\n" + rows), "-o", store)
    for name, held in (("one", "A"), ("two", "B")):
        table = text("e.tsv", "perturbation\tcontext\tsplit\n" + f"{held}\tx\ttest\n{held}\ty\ttest\n")
        fine("-q", "split", store, "--file", table)
        fine("-q", "train", place / "c.yaml", "--set", f"data.store={store}", "--set", f"run.directory={place}/{name}")
    for order in (("one", "two"), ("two", "one")):
        refused(65, ["its split has changed", "one"], "evaluate", *(place / name for name in order))
    done = fine("evaluate", place / "two", place / "one", "--store", store)
    check("is not the store" in done.stderr, f"an ensemble of two splits: {done.stderr}")
    fine("-q", "impute", place / "two", "-o", place / "out.h5ad", "-p", "A")
    refused(65, ["by name only", "A, B"], "impute", place / "two", place / "one", "-o", place / "out.h5ad", "-p", "A,B,C")


ODD = ["tab\there", "line\nfeed", "carriage\rreturn", 'a "quote"', '"all"', "plain", " blank ", "crlf\r\nend", '"', "tab\t"]


def test_split_tables():
    """What is exported is read back exactly, by us and by other readers."""
    def strings(group, name, values):
        group.create_dataset(name, data=np.array(values, dtype=object), dtype=h5py.string_dtype()).attrs["encoding-type"] = "string-array"

    pairs = [(p, c) for p in ODD for c in ("x", "y\tz", 'l\n"q"')]
    with h5py.File(place / "odd.h5ad", "w") as f:
        f.attrs["encoding-type"] = "anndata"
        f.create_dataset("X", data=np.ones((len(pairs), 2), "f4")).attrs["encoding-type"] = "array"
        for name, columns in (("obs", {"_index": [f"n{i}" for i in range(len(pairs))], "perturbation": [p for p, _ in pairs],
                                       "context": [c for _, c in pairs]}), ("var", {"_index": ["g1", "g2"]})):
            group = f.create_group(name)
            group.attrs["encoding-type"], group.attrs["_index"] = "dataframe", "_index"
            group.attrs.create("column-order", data=np.array(list(columns)[1:], dtype=object), dtype=h5py.string_dtype())
            for key, values in columns.items():
                strings(group, key, values)
    store = place / "odd.prc.h5"
    fine("-q", "import", place / "odd.h5ad", "-o", store, "--plus-literal")
    with h5py.File(store) as f:
        stored = {kind: {s.decode() if isinstance(s, bytes) else s for s in f[f"{kind}/symbol"][:]} for kind in ("perturbation", "context")}
    fine("-q", "split", store, "--random", "--val", 0.3, "--test", 0.3)
    before = splits_of(store)
    check({p for p, _ in before} == stored["perturbation"] and {c for _, c in before} == stored["context"], f"names by csv: {before}")
    check(len(set(before.values())) == 3, "three splits")
    table = (place / "split.tsv").read_bytes()
    fine("-q", "split", store, "--random", "--seed", 5)
    check(splits_of(store) != before, "another split")
    fine("-q", "split", store, "--file", text("back.tsv", table), ranks=2)
    check(splits_of(store) == before, "our own reading back")
    written = io.StringIO(newline="")
    csv.writer(written, dialect="excel-tab").writerows([("context", "split", "perturbation")] + [(c, s, p) for (p, c), s in before.items()])
    fine("-q", "split", store, "--random", "--seed", 5)
    fine("-q", "split", store, "--file", text("theirs.tsv", written.getvalue()))
    check(splits_of(store) == before, "what Python's csv writes")
    refused(65, [":2:", "quote"], "split", store, "--file", text("open.tsv", 'perturbation\tcontext\tsplit\n"plain\tx\ttest\n'))
    refused(65, [":3:", "quote"], "split", store, "--file", text("more.tsv", 'perturbation\tcontext\tsplit\nplain\tx\ttest\n"plain"s\tx\ttest\n'))
    refused(65, [":4:", "nobody"], "split", store, "--file",
            text("lines.tsv", 'perturbation\tcontext\tsplit\n"line\nfeed"\tx\ttest\nnobody\tx\ttest\n'))
    check(splits_of(store) == before, "a refused table changed the split")


def test_ambiguous():
    """A and B together beside a symbol A+B: a table cannot tell them apart, so none is written."""
    store, table = place / "both.prc.h5", place / "both.tsv"
    pairs = text("both.csv", "perturbation,context,g1\nA,x,1\nB,x,2\nA+B,x,3\nB+A,x,4\n")
    fine("-q", "import", pairs, "-o", store, "--plus-literal=A+B")
    refused(65, ["'A+B' would be read as another"], "split", store, "--export", table)
    check(not table.exists(), "a table that says something else")


def test_nothing_measured():
    empty = text("empty.csv", "perturbation,context,split,g1,g2\ncontrol,x,train,,\nA,x,train,NA,\nB,x,test,NaN,\n")
    for command in ("check", "import"):
        done = run(command, empty, "--split-column", "split", *(["-o", place / "empty.prc.h5"] if command == "import" else []))
        check(done.returncode == 65 and "no value is measured: all 6 of 3 experiments are missing" in done.stdout + done.stderr, f"{command}: {done}")
    check(not (place / "empty.prc.h5").exists(), "a store of nothing")
    store = place / "part.prc.h5"
    fine("-q", "import", text("part.csv", "perturbation,context,split,g1,g2\ncontrol,x,train,,\nA,x,train,NA,\nB,x,test,1,2\nC,x,val,,\n"),
         "-o", store, "--split-column", "split")
    train = ["train", text("d.yaml", "train:\n  epochs: 1\n"), "--set", f"data.store={store}", "--set", f"run.directory={place}/never"]
    for ranks in (1, 3):
        refused(65, ["the 2 experiments of the training split have no measured value"], *train, ranks=ranks)
        refused(65, ["no training experiment has a measured value"], "evaluate", store, ranks=ranks)
        refused(65, ["the 1 experiments held out as 'val' have no measured value"], "evaluate", store, "--split", "val", ranks=ranks)
    with h5py.File(place / "part.prc.h5") as f:
        check(int(f["experiment/n_observed"][:].sum()) == 2, "observed values")
    guess = text("guess.csv", "perturbation,context,g1,g2\nB,x,1,2.5\n")
    said = fine("evaluate", store, "--predictions", guess, "--json", place / "guess.json").stdout
    check("no training experiment but control" in said and "nan" not in said, said)


def test_zero_bytes():
    """Whatever is read line by line: a zero byte would cut a name. It is refused with file and line, and nothing is written."""
    store, out = place / "s.prc.h5", place / "zero.out.h5ad"
    said = "zero byte"
    lists = text("zero.txt", b"A\nB\0x\n")
    many = 20000  # lines before it: one in the first bytes makes a file a binary one
    values = text("zero.csv", b"perturbation,context,g1,g2\n" + many * b"control,x,1,2\n" + b"A\0,x,1,2\n")
    table = text("zero.tsv", b"perturbation\tcontext\tsplit\r\nA\tx\ttest\r\nB\0\tx\ttest\r\n")
    edges = text("edges.tsv", b"A\tg1\t1\nB\0\tg1\t0\n")
    fine_edges = text("fine_edges.tsv", b"A\tg1\t1\nB\tg1\t0\n")
    plain = place / "s.csv"
    for where, line, *words in (
            (table, 3, "split", store, "--file", table),
            (lists, 2, "impute", place / "run", "-o", out, "-p", f"@{lists}"),
            (lists, 2, "impute", place / "run", "-o", out, "--pairs", lists),
            (lists, 2, "check", plain, "--keep", f"perturbation=@{lists}"),
            (lists, 2, "check", plain, "--control", f"@{lists}"),
            (lists, 2, "neighbors", place / "run", "--pairs", lists),
            (text("triples.tsv", b"A\tg1\tx\nB\0\tg1\tx\n"), 2, "impute", place / "run", "-o", out, "--triples", place / "triples.tsv"),
            (text("asked.tsv", b"perturbation\treadout\tcontext\nA\tg1\0\tx\n"), 2, "predict", place / "run", place / "asked.tsv", "-o", place / "zero.out.tsv"),
            (text("signature.tsv", b"g1\t1\ng2\0\t2\n"), 2, "screen", place / "run", "--signature", place / "signature.tsv", "-o", place / "zero.out.tsv"),
            (values, many + 2, "check", values), (values, many + 2, "import", values, "-o", place / "zero.out.prc.h5"),
            (values, many + 2, "evaluate", store, "--predictions", values, "--split", "train"),
            (text("metadata.tsv", b"id\tperturbation\nr1\tA\0\n"), 2, "check", text("bare.tsv", "id\tcontext\tg1\tg2\nr1\tx\t1\t2\n"), "--metadata",
             place / "metadata.tsv", "--perturbation", "perturbation"),
            (text("features.tsv", b"perturbation\tf1\n" + many * b"A\t1\n" + b"B\0\t2\n"), many + 2, "train", place / "c.yaml", "--set", f"data.store={store}", "--set",
             f"run.directory={place}/never", "--set", f"features.perturbations={place}/features.tsv"),
            (edges, 2, "network", "evaluate", edges, "--gold", fine_edges), (edges, 2, "network", "evaluate", fine_edges, "--gold", edges)):
        for ranks in (1, 2) if words[0] in ("split", "train", "predict") else (1,):
            done = run("-q", *words, ranks=ranks)
            text_said = done.stdout + done.stderr
            check(done.returncode == 65 and said in text_said and where.name in text_said and (f"line {line}" in text_said or f":{line}:" in text_said),
                  f"a zero byte on line {line} of {where.name}: {words[0]} on {ranks}: {done.returncode} {text_said[-400:]}")
    check(not list(place.glob("zero.out*")) and not (place / "never").exists(), f"written: {list(place.glob('zero.out*'))}")


def test_no_used():
    """A run that lost its used.yaml: whoever needs the store says so, by name, and what to do; with --store it goes on."""
    lost, store = place / "lost", place / "s.prc.h5"
    shutil.copytree(place / "run", lost)
    (lost / "used.yaml").unlink()
    for ranks in (1, 2):
        refused(65, [f"{lost}/used.yaml: cannot be read: No such file", "put it back", "--store"], "evaluate", lost, ranks=ranks)
    checkpoint = sorted(lost.glob("checkpoint-*.h5"))[0]
    refused(65, [f"{lost}/used.yaml", "put it back"], "evaluate", checkpoint)
    refused(65, [f"{lost}/used.yaml", "--store"], "impute", lost, "-o", place / "no.h5ad", "--observed", "keep")
    refused(65, [f"{lost}: holds no used.yaml"], "plan", lost)
    asked = text("pairs.tsv", "A\tB\n")
    for words in (("impute", lost, "-o", place / "no1.h5ad"), ("embed", lost, "-o", place / "no2.h5ad"), ("report", lost, "-o", place / "no.html"),
                  ("screen", lost, "-r", "g1", "-o", place / "no.tsv"), ("neighbors", lost, "--pairs", asked)):
        done = run(*words)
        check(f"{lost}/used.yaml" in done.stderr and "put it back" in done.stderr and "Success" not in done.stderr, f"{words}: {done}")
    done = run("verify", lost)
    check(done.returncode == 65 and f"{lost}/used.yaml" in done.stdout + done.stderr, f"verify: {done}")
    fine("evaluate", lost, "--store", store, "--split", "train", "--resamples", 5)
    for content, what in ((b"", "empty"), (b"data:\n  store: \0\n", "zero byte"), (b"run:\n  seed: 1\n", "has no data.store"), (b"data: {\n", "YAML")):
        (lost / "used.yaml").write_bytes(content)
        refused(65, [f"{lost}/used.yaml", what], "evaluate", lost)


test_lists()
test_zero_bytes()
test_no_used()
test_ensemble()
test_words()
test_split_tables()
test_ambiguous()
test_nothing_measured()
shutil.rmtree(place, ignore_errors=True)
finish()
