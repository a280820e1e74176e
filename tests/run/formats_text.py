#!/usr/bin/python3
"""GCT, long and wide tables, matrices by columns: what dump_source says of them against a plain reading in Python; every
kind of bad input against the sentence it must get; mutated files must be read or refused, never
crash or hang."""
import gzip
import itertools
import json
import os
import random
import re
import subprocess
import sys
import tempfile

import machine

with machine.needed():
    import numpy as np
from checks import check, finish, real_data

program = os.path.join(os.path.dirname(os.path.abspath(sys.argv[1])), "tests", "run", "dump_source")
data = real_data()
folder = tempfile.mkdtemp(prefix="tessera_text_")
MISSING = {"", "NA", "nan", "NaN", "N/A"}


def dump(path, **options):
    """(JSON with "values", None) or (None, (code, stderr))"""
    values = os.path.join(folder, "values")
    words = [w for k, v in options.items() for w in ("--" + k.replace("_", "-"), str(v))]
    run = subprocess.run([program, path, values, *words], capture_output=True, timeout=20)
    if run.returncode:
        return None, (run.returncode, run.stderr.decode(errors="replace"))
    out = json.loads(run.stdout)
    out["values"] = np.fromfile(values, "f4").reshape(out["rows"], len(out["readouts"]))
    return out, None


def write(name, text):
    path = os.path.join(folder, name)
    data = text if isinstance(text, bytes) else text.encode()
    with open(path, "wb") as file:
        file.write(gzip.compress(data) if name.endswith(".gz") else data)
    return path


def number(text):
    return np.float32("nan") if text.strip() in MISSING else np.float32(float(text))


def same(out, readouts, columns, values, problems=()):
    mine = {k: [x if x is not None else "" for x in v] for k, v in out["columns"].items()}
    theirs = {k: ["" if x in MISSING else x for x in v] for k, v in columns.items()}
    return (out["readouts"] == list(readouts) and mine == theirs and all(re.search(p, q) for p, q in itertools.zip_longest(problems, out["problems"], fillvalue="$^"))
            and np.array_equal(out["values"], np.array(values, "f4"), equal_nan=True))


# ---- GCT ----

def plain_gct(path, naming=0):
    lines = [line.split("\t") for line in open(path, encoding="utf-8").read().splitlines()]
    before, meta = 2, 0
    if lines[0][0] == "#1.3":
        before, meta = 1 + int(lines[1][2]), int(lines[1][3])
    naming = lines[2].index(naming) if naming else 0
    columns = {"id": lines[2][before:]}
    columns.update({line[0]: ["" if x == "-666" else x for x in line[before:]] for line in lines[3:3 + meta]})
    data = [line for line in lines[3 + meta:] if line != [""]]
    values = [[number(x) for x in line[before:]] for line in data]
    return [line[naming] for line in data], columns, np.array(values).T


def test_real_gct():
    incomplete = {"modzs_n25x50.gct": [":2: announces 50 data lines, but there are 36"]}
    names = ["mini_gctoo_for_testing.gct", "mini_gctoo_for_testing_nometa.gct", "modzs_n25x50.gct",
             "older_version_v1_2.gct", "test_p100.gct", "test_parse_gct_int_ids.gct",
             "gct_text_named.gctx"]
    for name in names:
        path = os.path.join(data, "formats", name)
        if name.endswith(".gctx"):
            out, failed = dump(path)
            check(failed and failed[0] == 65 and "is named .gctx but holds"
                  " a GCT" in failed[1], "the wrong name is told")
            path = write("renamed.gct", open(path, "rb").read())
        expected = plain_gct(path)
        packed = write("packed.gct.gz", open(path, "rb").read())
        for file, options in itertools.product((path, packed), ({}, {"rows": 7, "backwards": 1})):
            out, failed = dump(file, **options)
            check(out and same(out, *expected, incomplete.get(name, ())), f"{name} {options} {failed}")
    path = os.path.join(data, "formats", "test_p100.gct")
    out, failed = dump(path, readout="pr_p100_modified_peptide_code")
    expected = plain_gct(path, "pr_p100_modified_peptide_code")
    check(out and same(out, *expected), f"named by row metadata {failed}")
    _, failed = dump(os.path.join(data, "formats", "test_concat_gctoo_test_main_fake_empty_file.gct"))
    check(failed and failed[0] == 65 and "is empty" in failed[1], "empty file")


def own_gct(version, rng, n_rows=5, n_columns=4, row_fields=2, column_fields=3):
    """A GCT file of that version: names and values of all kinds."""
    row_fields, column_fields = (1, 0) if version == "1.2" else (row_fields, column_fields)
    names = ["id", *[f"field{k}" for k in range(row_fields)], *[f"profile {k}" for k in range(n_columns)]]
    lines = [["Name", "Description", *names[2:]] if version == "1.2" else names]
    for k in range(column_fields):
        lines.append([f"about{k}", *["-666"] * row_fields, *[rng.choice(["A549", "-666", "10 µM", ""]) for _ in range(n_columns)]])
    for i in range(n_rows):
        lines.append([f"{i}_at", *[rng.choice(["TP53", "say hi", "na"]) for _ in range(row_fields)],
                      *[rng.choice(["NaN", "NA", "1", "-2.5e-3", "0.125"]) for _ in range(n_columns)]])
    size = f"{n_rows}\t{n_columns}" + ("" if version == "1.2" else f"\t{row_fields}\t{column_fields}")
    return f"#{version}\n{size}\n" + "".join("\t".join(line) + "\n" for line in lines)


def test_gct():
    rng = random.Random(5)
    for version in ("1.2", "1.3"):
        path = write("own.gct", own_gct(version, rng))
        packed = write("own.gct.gz", open(path, "rb").read())
        for file, options in itertools.product((path, packed), ({}, {"rows": 3, "backwards": 1})):
            out, failed = dump(file, **options)
            check(out and same(out, *plain_gct(path)), f"own GCT {version} {options} {failed}")


# ---- tables ----

ODD = ['plain', 'with, comma', 'with; semicolon', 'say "hi"', 'naïve β', '5" end', "None", "#tag",
       "007", "10.50", "A+B"]


def cell(text, separator, rng):
    if '"' in text or separator in text or rng.random() < 0.1:
        return '"' + text.replace('"', '""') + '"'
    return text


def table(rows, separator, rng, end="\n"):
    return "".join(separator.join(cell(x, separator, rng) for x in row) + end for row in rows)


VARIANTS = [("a.tsv", "\t", "", "\n"), ("a.csv", ",", "", "\r\n"), ("a.txt", ";", "\ufeff", "\n"),
            ("a.tsv.gz", "\t", "# made by hand, with a comment\n\n#\n", "\n"),
            ("a.csv.gz", ",", "\ufeff# both\r\n", "\r\n")]


def long_rows(rng):
    rows = [[p, c, r, s, f"{rng.gauss(0, 3):.{rng.choice([2, 6, 17])}g}", "unused"]
            for p in ODD for c in ("A375", "U2OS", "") for s in ("train", "test")
            for r in ["g%d" % i for i in range(rng.randrange(1, 12))] for _ in range(rng.choice([1, 1, 2]))]
    for row in rows:
        if rng.random() < 0.05:
            row[4] = rng.choice(["NA", "", "NaN", " 1.5 ", "-0", "1e-40", "+3"])
    return rows


def plain_long(rows):
    """Rows by (group in order of appearance, k-th repetition), readouts in order of appearance."""
    readouts = list(dict.fromkeys(row[2] for row in rows))
    groups, seen = {}, {}
    for p, c, r, s, x, _ in rows:
        k = seen[p, c, s, r] = seen.get((p, c, s, r), -1) + 1
        groups.setdefault((p, c, s), {}).setdefault(k, {})[r] = number(x)
    keys = [(key, k) for key in groups for k in sorted(groups[key])]
    columns = {name: [key[i] for key, _ in keys] for i, name in enumerate(("perturbation", "context", "split"))}
    return readouts, columns, [[groups[key][k].get(r, np.nan) for r in readouts] for key, k in keys]


def test_long():
    rng = random.Random(1)
    rows = long_rows(rng)
    shuffled = rows[:]
    rng.shuffle(shuffled)
    header = ["perturbation", "context", "readout", "split", "value", "more"]
    for (name, separator, before, end), data in itertools.product(VARIANTS, (rows, shuffled)):
        order = rng.sample(range(6), 6)
        pick = lambda row: [row[i] for i in order]
        text = before + table(map(pick, [header] + data), separator, rng, end)
        path = write(name, text if rng.random() < 0.5 else text.rstrip("\r\n"))
        for options in ({}, {"rows": 5, "backwards": 1}):
            out, failed = dump(path, split_column="split", **options)
            check(out and out["ragged"] and same(out, *plain_long(data)), f"long {name} {options} {failed}")
    text = "gene,drug,dose,cell,effect\nG,d,10,A,1\nG,d,1,A,2\nH,d,10,A,3\n"
    out, failed = dump(write("b.csv", text), perturbation="drug,dose", context="cell", readout="gene", value="effect")
    check(out and same(out, ["G", "H"], {
        "drug": ["d", "d"], "dose": ["10", "1"], "cell": ["A", "A"]}, [[1, 3], [2, np.nan]]), f"other names {failed}")


def test_wide():
    rng = random.Random(2)
    readouts = ["g%d" % i for i in range(37)] + ["with, comma", 'say "hi"']
    rows = [[p, c, f"rep{i}"] + [f"{rng.gauss(0, 3):.{rng.choice([3, 17])}g}" if rng.random() < 0.9 else
                                 rng.choice(["NA", "", "nan"]) for _ in readouts]
            for i in range(3) for c in ("A375", "U2OS") for p in ODD]
    columns = {"perturbation": [r[0] for r in rows], "context": [r[1] for r in rows], "well": [r[2] for r in rows]}
    values = [[number(x) for x in r[3:]] for r in rows]
    for name, separator, before, end in VARIANTS:
        text = before + table([["perturbation", "context", "well"] + readouts] + rows, separator, rng, end)
        path = write(name, text)
        for options in ({}, {"rows": 5}, {"rows": 4, "backwards": 1}):
            out, failed = dump(path, id_columns="well", **options)
            check(out and not out["ragged"] and same(out, readouts, columns, values), f"wide {name} {options} {failed}")
    out, failed = dump(write("index.csv", ",context,perturbation,g\n0,A,p,1\n1,A,q,2\n"))
    check(out and same(out, ["g"], {
        "perturbation": ["p", "q"], "context": ["A", "A"]}, [[1], [2]]), f"written index {failed}")


# ---- metadata from elsewhere ----

def test_annotation():
    gct = write("profiles.gct", GCT12 + "g\td\t1\t2\nh\td\t3\t4\n")
    info = write("info.txt.gz", "x\tsig_id\tdrug\tdose\n1\tz\tq\t9\n2\tb\tp\t10.0\n3\ta\tp\tNA\n")
    wish = {"perturbation": "drug", "context": "dose", "metadata": info}
    out, failed = dump(gct, metadata_id="sig_id", **wish)
    check(out and same(out, ["g", "h"], {
        "id": ["a", "b"], "drug": ["p", "p"], "dose": ["", "10.0"]}, [[1, 3], [2, 4]]), f"joined {failed}")
    _, failed = dump(gct, **wish)
    check(failed and failed[0] == 65 and "profiles.gct: none of the 2 ids is in the table (file: a; table: 1): " in failed[1]
          and "its column `x`, --metadata-id" in failed[1], f"by a wrong column {failed}")
    _, failed = dump(gct, **{**wish, "metadata": write("none.tsv", "id\tdrug\tdose\n")})
    check(failed and "none of the 2 ids is in the table (file: a; table: no lines)" in failed[1], f"no lines {failed}")
    for options, sentence in (({"metadata_id": "sig"}, "no column `sig` (--metadata-id names it); there are: x, sig_id"),
                              ({"replicate": "well"}, "no column `well`"), ({"metadata": gct}, "no column `drug`")):
        _, failed = dump(gct, **{**wish, **options})
        check(failed and failed[0] == 65 and sentence in failed[1], f"metadata {options} {failed}")
    twice = write("twice.tsv", "id\tdrug\tdose\na\tp\t1\na\tq\t1\n")
    out, failed = dump(gct, **{**wish, "metadata": twice})
    check(out and "twice.tsv:3:id: `a` appears twice" in out["problems"][0], f"an id twice {failed}")
    wide = write("wide.csv", "Meta_well,Meta_plate,g\na,1,5\nb,2,6\n")
    out, failed = dump(wide, id_columns="Meta_*", metadata_id="sig_id", **wish)
    check(out and same(out, ["g"], {
        "Meta_well": ["a", "b"], "Meta_plate": ["1", "2"], "drug": ["p", "p"], "dose": ["", "10.0"]}, [[5], [6]]), f"wide joined {failed}")
    # a table is joined by its column `id`, or its first, without being told so
    for header, data in (("well,id,g", "w1,a,5\nw2,b,6\n"), ("well,g", "a,5\nb,6\n"), (",g", "a,5\nb,6\n")):
        wide = write("own.csv", header + "\n" + data)
        out, failed = dump(wide, id_columns="well" if "id" in header else "", metadata_id="sig_id", **wish)
        key = "id" if "id" in header else header.split(",")[0] or "index"
        columns = {key: ["a", "b"], "drug": ["p", "p"], "dose": ["", "10.0"], **({"well": ["w1", "w2"]} if key == "id" else {})}
        check(out and same(out, ["g"], columns, [[5], [6]]), f"joined by {key} {failed}")
    long = write("own_long.csv", "sample,readout,value\na,g,1\nb,g,2\na,h,3\n")
    out, failed = dump(long, metadata_id="sig_id", **wish)
    check(out and same(out, ["g", "h"], {
        "sample": ["a", "b"], "drug": ["p", "p"], "dose": ["", "10.0"]}, [[1, 3], [2, np.nan]]), f"long joined {failed}")
    for name, text, sentence in (("i.html", "<!DOCTYPE html>", "is a web page"), ("i.csv", b"\xff\xfei\0d\0", "UTF-16"),
                                 ("i.tsv", b"\x89HDF\r\n\x1a\n", "is HDF5, where a table"), ("i.txt", "", "the file is empty")):
        _, failed = dump(gct, **{**wish, "metadata": write(name, text)})
        check(failed and failed[0] == 65 and f"{name}: " in failed[1] and sentence in failed[1], f"metadata {name} {failed}")


# ---- text of other times and places ----

def test_coding():
    """What is not UTF-8 is Windows-1252, cell by cell; Python decodes it independently."""
    rng = random.Random(5)
    usable = [b for b in range(0x80, 0x100) if b not in (0x81, 0x8d, 0x8f, 0x90, 0x9d)]
    words = [b"IC50_\xb5M", b"\xe9", "naïve β".encode(), b"5 \x80", b"plain"]
    words += [bytes(rng.choice(usable) for _ in range(rng.randrange(1, 6))) + b"%d" % i for i in range(60)]

    def text(word):
        try:
            return word.decode()
        except UnicodeDecodeError:
            return word.decode("cp1252")

    names = list(dict.fromkeys(map(text, words)))
    words = [next(w for w in words if text(w) == n) for n in names]
    for name, separator in (("coded.csv", b","), ("coded.tsv.gz", b"\t"), ("coded.txt", b";")):
        lines = [separator.join([b"perturbation", b"context"] + words)]
        lines += [separator.join([w, b"x"] + [b"%d" % i] * len(words)) for i, w in enumerate(words)]
        out, failed = dump(write(name, b"\n".join(lines)))
        check(out and same(out, names, {"perturbation": names, "context": ["x"] * len(names)}, [[i] * len(names) for i in range(len(names))]), f"{name} {failed}")
    lines = [b"#1.2", b"%d\t%d" % (len(words), len(words)), b"\t".join([b"NAME", b"Description"] + words)]
    lines += [b"\t".join([w, b"na"] + [b"%d" % i] * len(words)) for i, w in enumerate(words)]
    out, failed = dump(write("coded.gct", b"\n".join(lines)))
    check(out and same(out, names, {"id": names}, [list(range(len(names)))] * len(names)), f"GCT {failed}")


def test_cr():
    """Lines that end with CR alone, as old Macs and today's Excel write them."""
    for name, text in (("cr.csv", "# made\nperturbation,context,g\nd,A,1\ne,A,2"), ("cr.tsv.gz", LONG + "d\tA\tg\t1\ne\tA\tg\t2\n")):
        out, failed = dump(write(name, text.replace("\n", "\r")), rows=1)
        check(out and same(out, ["g"], {"perturbation": ["d", "e"], "context": ["A", "A"]}, [[1], [2]]), f"{name} {failed}")
    out, failed = dump(write("cr.gct", (GCT12 + "g\td\t1\t2\nh\td\t3\t4\n").replace("\n", "\r")))
    check(out and same(out, ["g", "h"], {"id": ["a", "b"]}, [[1, 3], [2, 4]]), f"cr.gct {failed}")


# ---- columns: which hold values, and what they are ----

def test_index():
    path = write("pandas.csv", ",context,perturbation,g\n0,A,p,1\n1,B,q,2\n")
    columns = {"context": ["A", "B"], "perturbation": ["p", "q"]}
    for options, more in (({"id_columns": "index"}, {"index": ["0", "1"]}), ({"replicate": "index"}, {"index": ["0", "1"]}), ({}, {})):
        out, failed = dump(path, **options)
        check(out and same(out, ["g"], {**columns, **more}, [[1], [2]]), f"index {options} {failed}")
    out, failed = dump(path, context="index")
    check(out and out["readouts"] == ["context", "g"] and out["columns"]["index"] == ["0", "1"], f"index as context {failed}")
    out, failed = dump(write("two.csv", ",perturbation,context,index\nx,p,c,1\n"))
    check(out and out["readouts"] == ["index"], f"a column that is called index {failed}")


def test_values():
    path = write("chosen.csv", "note,perturbation,context,g1,g2,batch,date,g1\nn,p,c,1,2,b,2020-01-01,7\n")
    for values, names, row in (("g2", ["g2"], [2]), ("g[2-9],g2", ["g2"], [2])):
        out, failed = dump(path, values=values)
        check(out and same(out, names, {"perturbation": ["p"], "context": ["c"]}, [row]), f"values {values} {failed}")
    out, failed = dump(path, values="g*")
    check(out and out["problems"] and ":1:g1: this column appears twice" in out["problems"][0], f"a name twice {failed}")
    _, failed = dump(path, values="g2,h*")
    check(failed and failed[0] == 65 and "no column `h*` (--values names it)" in failed[1], f"values of none {failed}")
    _, failed = dump(write("long.csv", LONG + "p\tc\tr\t1\n"), values="value")
    check(failed and failed[0] == 65 and "is a long table: only of a wide table" in failed[1], f"values of a long table {failed}")


def test_missing():
    words = ["ND", ".", "-", "-999", " - ", "inf", "-Infinity", "1e40", "2", "NA"]
    values = [[np.nan], [np.nan], [np.nan], [np.nan], [np.nan], [np.nan], [np.nan], [np.nan], [2], [np.nan]]
    columns = {"perturbation": [f"p{i}" for i in range(10)], "context": ["c"] * 10}
    wide = write("missing.csv", "perturbation,context,g\n" + "".join(f"p{i},c,{w}\n" for i, w in enumerate(words)))
    long = write("missing.tsv", LONG + "".join(f"p{i}\tc\tg\t{w}\n" for i, w in enumerate(words)))
    gct = write("missing.gct", "#1.2\n1\t10\nN\tD\t" + "\t".join(columns["perturbation"]) + "\ng\tna\t" + "\t".join(words) + "\n")
    for path in (wide, long, gct):
        out, failed = dump(path, missing="ND,.,-,-999", infinite_missing=1)
        check(out and not out["problems"] and np.array_equal(out["values"], np.array(values, "f4"), equal_nan=True), f"missing words {path} {failed}")
        out, failed = dump(path)
        check(out and len(out["problems"]) == 7, f"without them {path} {failed} {out and out['problems']}")


def plain_matrix(lines, naming, label):
    """[(column, label)] -> {readout: value} by the rows' order: units by first line, columns within."""
    names = lines[0]
    values = [k for k, name in enumerate(names) if name not in ("index", "cell", "split", naming)]
    units, count = {}, {}
    for line in lines[1:]:
        readout = line[names.index(naming)] if naming else "value"
        key = tuple(line[names.index(n)] for n in label)
        k = count[key, readout] = count.get((key, readout), -1) + 1
        units.setdefault((key, k), []).append((readout, line))
    rows = []
    for (key, _), members in units.items():
        for k in values:
            rows.append((names[k], key, {r: number(line[k]) for r, line in members}))
    readouts = list(dict.fromkeys(r for _, m in units.items() for r, _ in m)) if not naming else list(dict.fromkeys(line[names.index(naming)] for line in lines[1:]))
    return readouts, {"@column": [r[0] for r in rows], **{n: [r[1][i] for r in rows] for i, n in enumerate(label)}}, [[r[2].get(x, np.nan) for x in readouts] for r in rows]


def test_matrix():
    rng = random.Random(6)
    drugs = ["A", "B", "A+B", "control", "A"]  # the last is a replicate
    value = lambda: rng.choice(["", "NA", f"{rng.gauss(0, 2):.5g}", f"{rng.gauss(0, 2):.17g}"])
    lines = [["index", "cell", "split"] + drugs]
    lines += [[f"g{rng.randrange(7)}", rng.choice(["A375", "U2OS"]), rng.choice(["train", "test"])] + [value() for _ in drugs] for _ in range(60)]
    for (name, separator, before, end), naming in itertools.product(VARIANTS, (None, "index")):
        # without a name for the readouts the index is the lines' numbers, and lines are replicates
        body = lines[1:] if naming else [[str(i), *line[1:]] for i, line in enumerate(lines[1:])]
        text = before + table([[""] + lines[0][1:]] + body, separator, rng, end)
        path = write("matrix_" + name, text)
        for more in ({}, {"rows": 1}, {"rows": 7}, {"rows": 13, "backwards": 1}):
            options = {"columns": 1, "context": "cell", "split_column": "split", **({"readout": naming} if naming else {}), **more}
            out, failed = dump(path, **options)
            check(out and out["ragged"] and same(out, *plain_matrix(lines, naming, ["cell", "split"])), f"matrix {name} {options} {failed}")
    # contexts in the columns
    path = write("contexts.csv", "drug,note,A375,U2OS\nd,x,1,2\ne,y,,4\n")
    out, failed = dump(path, columns=2, perturbation="drug", id_columns="no*")
    check(out and same(out, ["value"], {"drug": ["d", "d", "e", "e"], "@column": ["A375", "U2OS"] * 2}, [[1], [2], [np.nan], [4]]), f"contexts {failed}")
    out, failed = dump(path, columns=2, perturbation="drug", values="U*", readout="viability")
    check(out and same(out, ["viability"], {"drug": ["d", "e"], "@column": ["U2OS", "U2OS"]}, [[2], [4]]), f"chosen contexts {failed}")
    # genes × samples, what the samples are stands in a table of their own
    genes = write("genes.tsv", "gene\tlength\ts1\ts2\ts3\ng\t10\t1\t2\t3\nh\t20\t4\t5\t6\n")
    sheet = write("sheet.csv", "sample,drug,cell\ns3,p,A\ns1,q,B\ns2,p,A\n")
    out, failed = dump(genes, columns=1, readout="gene", id_columns="length", perturbation="drug", context="cell", metadata=sheet)
    check(out and same(out, ["g", "h"], {"@column": ["s1", "s2", "s3"], "drug": ["q", "p", "p"], "cell": ["B", "A", "A"]}, [[1, 4], [2, 5], [3, 6]]), f"samples {failed}")
    # bad cells: each once, a column of text once
    path = write("bad_matrix.csv", ",note,A,B\nx,hm,1,2\ny,hm,low,inf\nz,hm,3,4\n")
    for rows in (1, 2, 100):
        out, failed = dump(path, columns=1, context="index", rows=rows)
        said = out["problems"] if out else []
        check(len(said) == 3 and any("column 2, `note`, holds text in 3 rows: name it in --id-columns" in p for p in said) and
              any(p.endswith("bad_matrix.csv:3:A: `low` is not a number") for p in said) and any(":3:B: `inf` is infinite" in p for p in said), f"bad cells {said} {failed}")
    for name, text, options, sentence in (
            ("m1.csv", ",A\n", {}, "no usable rows"), ("m2.csv", "cell,\nx,1\n", {"context": "cell"}, "no values"),
            ("m3.csv", ",A,B\nx,1\n", {}, "line 2 has 2 fields, the header 3"), ("m4.gct", GCT12, {}, "is a GCT: only of a table"),
            ("m5.csv", ",A\nx,1\n", {"id_columns": "what"}, "no column `what`")):
        out, failed = dump(write(name, text), **{"columns": 1, "context": "index", **options})
        said = failed[1] if failed else str(out["problems"])
        check(failed and failed[0] == 65 and sentence in said, f"{name} {said}")


# ---- what is wrong must be said ----

LONG = "perturbation\tcontext\treadout\tvalue\n"
WIDE = "perturbation,context,g,h\n"
GCT12 = "#1.2\n2\t2\nNAME\tDescription\ta\tb\n"
GCT13 = "#1.3\n2\t2\t1\t1\nid\tsymbol\ta\tb\npert\tna\tx\ty\n"
# name, contents, sentences that errors or problems must hold
BAD = [
    ("empty.tsv", "", ["the file is empty"]),
    ("comments.tsv", "# a\n\n# b\n", ["only comments and empty lines"]),
    ("header.tsv", LONG, ["a header, but no usable rows"]),
    ("header.csv", WIDE, ["a header, but no usable rows"]),
    ("prose.txt", "Dear reader\nthis is prose\n", ["no tab, comma or semicolon separates columns"]),
    ("column.tsv", "drug\tcontext\treadout\tvalue\nd\tA\tg\t1\n",
     ["no column `perturbation`", "--perturbation", "drug, context, readout, value"]),
    ("value.tsv", "perturbation\tcontext\treadout\tscore\nd\tA\tg\t1\n", ["no column `value`", "--value"]),
    ("wide.csv", "perturbation,g,h\nd,1,2\n", ["no column `context`", "perturbation, g, h"]),
    ("only.csv", "perturbation,context\nd,A\n", ["every column is metadata"]),
    ("ragged.tsv", LONG + "d\tA\tg\t1\nd\tA\tg\nd\tA\tg\t1\t2\n",
     [":3: 3 fields, but the header has 4", ":4: 5 fields", "row names"]),
    ("ragged.csv", WIDE + "d,A,1,2\n\nd,A,1\n", [":4: 3 fields, but the header has 4"]),
    ("text.tsv", "# c\n" + LONG + "d\tA\tg\thigh\nd\tA\th\t1,5\nd\tA\ti\tinf\nd\tA\tj\t1e39\nd\tA\t\t1\n",
     [":3:value: `high` is not a number", ":4:value: `1,5` is not a number (write a decimal point",
      ":5:value: `inf` is infinite", ":6:value: `1e39` is infinite", ":7:readout: the readout is missing"]),
    ("text.csv", WIDE + "d,A,1,x\nd,A,-inf,2\n", [":2:h: `x` is not a number", ":3:g: `-inf` is infinite"]),
    ("twice.csv", "perturbation,context,g,h,g\nd,A,1,2,3\n", [":1:g: this column appears twice"]),
    ("nameless.csv", "perturbation,context,g,,h\nd,A,1,2,3\n", [":1: column 4 has no name"]),
    ("quote.csv", WIDE + 'd,A,1,2\n"d,A,1,2\n', [":3: a quote that opens a field is not closed"]),
    ("zero.tsv", LONG.encode() * 5000 + b"d\tA\tg\0\t1\n", ["holds a zero byte"]),
    ("utf16.csv", (WIDE + "d,A,1,2\n").encode("utf-16"), ["is UTF-16 text: save it as UTF-8 (iconv"]),
    ("utf16.gct", "#1.2\n".encode("utf-16-be"), ["is UTF-16 text"]),
    ("utf16.tsv", LONG.encode("utf-16-le"), ["is UTF-16 text"]),
    ("some_cr.csv", "perturbation,context,g\rd,A,1\nd,A,1\n", ["some lines end with a carriage return alone"]),
    ("r.tsv", "perturbation\tcontext\tg1\n1\tcontrol\tx\t0.5\n2\tA\tx\t0.7\n",
     ["r.tsv: line 2 has 4 fields, the header 3 (R writes row names without a header"]),
    ("end.csv", "perturbation,context,g\nd,A,1,\ne,A,2,\n", ["line 2 has 4 fields, the header 3 (the line ends with a separator"]),
    ("end_header.csv", "perturbation,context,g,\nd,A,1\ne,A,2\n", ["line 2 has 3 fields, the header 4 (the header ends with a separator"]),
    ("end_both.csv", "perturbation,context,g,\nd,A,1,\n", [":1: column 4 has no name (does the header end with a separator?)"]),
    ("gct_tabs.gct", "#1.2\n1\t2\nNAME\tDescription\ta\tb\ng\td\t1\t2\t\n", ["line 4 has 5 fields, the header 4"]),
    ("lfs.h5ad", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", ["is a Git LFS pointer, not the file itself"]),
    ("page.h5ad", "<!DOCTYPE html><html><body>403</body></html>\n", ["is a web page, not the file itself"]),
    ("page.csv", "\n<html>\n<body>a,b,c</body>", ["is a web page, not the file itself"]),
    ("packed.gctx.gz", b"\x89HDF\r\n\x1a\n" + bytes(100), ["is HDF5 packed with gzip", "gunzip"]),
    ("book.csv", b"PK\3\4" + bytes(100), ["Excel workbook"]),
    ("notes.csv", "perturbation,context,note,g\n" + "".join(f"d,A,n{i},{i}\n" for i in range(500)),
     ["column 3, `note`, holds text in 500 rows: name it in --id-columns"]),
    ("comma.csv", "perturbation;context;g\n" + "d;A;1,5\n" * 50, ["column 3, `g`, holds decimal commas in 50 rows: write decimal points"]),
    ("named.h5ad", WIDE + "d,A,1,2\n", ["is named .h5ad but holds a wide table"]),
    ("named.gct", WIDE + "d,A,1,2\n", ["is named .gct but holds a wide table"]),
    ("gct_end.gct", "#1.2\n", ["ends after line 1"]),
    ("gct_counts.gct", "#1.2\n2\n", ["line 2: expected two counts"]),
    ("gct_counts13.gct", "#1.3\n2\t2\n", ["line 2: expected four counts"]),
    ("gct_words.gct", "#1.2\ntwo\t2\n", ["line 2: expected two counts"]),
    ("gct_negative.gct", "#1.3\n2\t-2\t1\t1\n", ["line 2: expected four counts"]),
    ("gct_zero.gct", "#1.2\n0\t0\n", ["announce no data"]),
    ("gct_lie.gct", GCT12.replace("2\t2", "2\t999999999") + "g\td\t1\t2\n", ["4 columns, but line 2 announces 1000000001"]),
    ("gct_rows.gct", GCT12 + "g\td\t1\t2\n", [":2: announces 2 data lines, but there are 1"]),
    ("gct_more.gct", GCT12 + "g\td\t1\t2\nh\td\t1\t2\ni\td\t1\t2\n", ["announces 2 data lines, but there are 3"]),
    ("gct_none.gct", GCT12, ["no usable lines of data"]),
    ("gct_meta.gct", "#1.3\n2\t2\t1\t3\nid\tsymbol\ta\tb\npert\tna\tx\ty\n", ["within the profile metadata"]),
    ("gct_bad.gct", GCT13 + "g\tG\t1\tlow\ng\tG\t-Infinity\t2\n",
     [":5:b: `low` is not a number", ":6:a: `-Infinity` is infinite", ":6: readout `g` appears twice"]),
    ("gct_ragged.gct", GCT13 + "g\tG\t1\nh\tH\t1\t2\n", [":5: 3 fields, but the header has 4"]),
    ("gct_nameless.gct", GCT13 + "g\tG\t1\t2\n\tH\t1\t2\n", [":6: the readout has no name"]),
]


def test_bad():
    for name, text, sentences in BAD:
        out, failed = dump(write(name, text))
        said = failed[1] if failed else "\n".join(out["problems"])
        check(all(s in said for s in sentences) and (not failed or failed[0] == 65), f"{name}: {said!r}")
    rng = random.Random(3)
    body = LONG + "".join(f"d\tA\tg{i}\t{rng.random()}\n" for i in range(200000))
    packed = gzip.compress(body.encode(), 1)
    path = os.path.join(folder, "cut.tsv.gz")
    flipped = bytearray(packed)
    flipped[len(packed) // 2] ^= 0xff
    for data, sentence in ((packed[:-9], "break off after line"), (packed[:len(packed) // 2], "break off after line"),
                           (bytes(flipped), "damaged gzip data"), (packed[:12], "")):
        open(path, "wb").write(data)
        _, failed = dump(path)
        check(failed and failed[0] == 65 and sentence in failed[1], f"cut gzip {failed}")
    open(path, "wb").write(gzip.compress(LONG.encode() + b"d\tA\tg\t1\n") + gzip.compress(b"d\tA\th\t2\n"))
    out, failed = dump(path)
    check(out and same(out, ["g", "h"], {"perturbation": ["d"], "context": ["A"]}, [[1, 2]]), f"two gzip members {failed}")
    _, failed = dump(os.path.join(folder, "absent.tsv"))
    check(failed and failed[0] == 65 and "No such file" in failed[1], "absent file")


def mutate(data, rng):
    data = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 5, 20])):
        at, what = rng.randrange(len(data)), rng.randrange(6)
        if what == 0:
            data[at] = rng.randrange(256)
        elif what == 1:
            del data[at:at + rng.choice([1, 2, 10, 1000])]
        elif what == 2:
            data[at:at] = rng.choice([b"\t", b",", b'"', b"\n", b"\r", b"\0", b"1e999", b"-", b"9" * 30, b"\xff\xfe"])
        elif what == 3:
            piece = data[at:at + 50]
            at = rng.randrange(len(data))
            data[at:at] = piece
        elif what == 4:
            del data[at + 1:]
        else:
            data[at:at] = bytes(data[at:at + 1]) * rng.choice([10, 5000])
        if not data:
            return b""
    return bytes(data)


def test_mutations():
    rng = random.Random(4)
    rows = [["perturbation", "context", "readout", "split", "value", "more"]] + long_rows(rng)[:60]
    seeds = [(GCT13 + "g\tG\t1\t2\nh\tH\t3\tNA\n").encode(), (GCT12 + "g\td\t1\t2\nh\td\t1\t2\n").encode(),
             table(rows, ",", rng).encode(), table(rows, "\t", rng).encode(),
             (WIDE + "d,A,1,2\ne,A,3,NA\n" * 20).encode()]
    seeds.append(gzip.compress(seeds[3]))
    for i in range(300):
        data = mutate(seeds[i % len(seeds)], rng)
        path = os.path.join(folder, "mutated")
        open(path, "wb").write(data)
        try:
            out, failed = dump(path, rows=3, columns=rng.choice([0, 0, 1, 2]))
        except subprocess.TimeoutExpired:
            out, failed = None, (-1, "timed out")
        check(not failed or failed[0] == 65 and re.match(r"[^\n]*mutated: ", failed[1]), f"mutation {i}: {failed} {data[:200]!r}")


for test in (test_real_gct,) if data else (test_gct, test_long, test_wide, test_coding, test_cr, test_index, test_values, test_missing,
                                           test_matrix, test_annotation, test_bad, test_mutations):
    test()
subprocess.run(["rm", "-rf", folder], check=True)
finish()
