#!/usr/bin/python3
"""What impute writes, in all its forms, judged by h5py, anndata and NumPy: GCTX, float16, pairs, triples, changes against the
control, kept measured values, what was trained on, a file for each context; the same on 1, 2, 3 and 5 ranks."""
import glob
import itertools
import os
import shutil
import subprocess
import sys
import tempfile

import checks
import machine

with machine.needed():
    import anndata
    import h5py
    import numpy as np
    import pandas

tessera, source = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
folder = tempfile.TemporaryDirectory()
os.chdir(folder.name)


def run(*arguments, ranks=1, code=0):
    done = checks.run(*arguments, ranks=ranks)
    assert done.returncode == code, (arguments, ranks, done.returncode, done.stdout, done.stderr)
    return done.stderr


def impute(out, *options, model=("run",), **keywords):
    return run("-q", "impute", *model, "-o", out, "--force", *options, **keywords)


def train(directory, *settings):
    keys = [x for setting in settings for x in ("--set", setting)]
    run("-q", "train", f"{source}/config/quickstart.yaml", "--set", "data.store=s.prc.h5", "--set", f"run.directory={directory}", "--set",
        "train.epochs=2", *keys)


def parse_gctx(path):
    """As cmapPy's parse: metadata of rows and columns by ids, the matrix turned; without its library."""
    text = lambda x: x.astype(str) if x.dtype.kind == "S" else x
    with h5py.File(path) as file:
        version = file.attrs["version"]
        assert (version.decode() if isinstance(version, bytes) else version) == "GCTX1.0"
        frames = []
        for name in "ROW", "COL":
            group = file[f"0/META/{name}"]
            columns = {}
            for key in group:
                values = np.empty(group[key].shape, group[key].dtype)
                group[key].read_direct(values)
                columns[key] = np.char.decode(values, "utf-8") if values.dtype.kind == "S" else values
            frames.append(pandas.DataFrame(columns).set_index("id"))
        stored = file["0/DATA/0/matrix"]
        matrix = np.empty(stored.shape, np.float32)
        stored.read_direct(matrix)
        return pandas.DataFrame(matrix.T, index=frames[0].index, columns=frames[1].index), frames[0], frames[1], text


def same_on_ranks(name, *options, model=("run",)):
    """The file on 1 rank, after the others were found to be the same."""
    ending = name[name.index("."):]
    impute(name, *options, model=model)
    for ranks in 2, 3, 5:
        impute(f"ranks{ending}", *options, model=model, ranks=ranks)
        if ending == ".gctx":
            for one, other in zip(parse_gctx(name)[:3], parse_gctx("ranks.gctx")[:3]):
                pandas.testing.assert_frame_equal(one, other)
        else:
            subprocess.run(["h5diff", "--exclude-path", "/uns/provenance", name, "ranks.h5ad"], check=True)
    run("-q", "verify", name, ranks=2)
    return name


def gctx():
    whole = anndata.read_h5ad("all.h5ad")
    data, rows, columns, _ = parse_gctx(same_on_ranks("all.gctx", "-p", "*,@combinations"))
    np.testing.assert_array_equal(data.values.T, whole.X)
    assert list(data.columns) == list(whole.obs_names) and list(data.index) == list(whole.var_names) == list(rows.index)
    assert set(columns.columns) == set(whole.obs.columns)
    for name in whole.obs.columns:
        assert list(columns[name]) == list(whole.obs[name]), name
    assert columns["perturbation"].iloc[0] == "P01" and columns["observed"].dtype.kind == "i"
    with h5py.File("all.gctx") as file:
        assert file.attrs["model_hash"].decode() == whole.uns["model_hash"]
        # as CMap's files have it: (profiles, genes)
        assert file["0/DATA/0/matrix"].shape == (len(columns), len(rows)) and file["0/DATA/0/matrix"].dtype == np.float32
    impute("other.name", "-p", "*,@combinations", "--format", "gctx")
    pandas.testing.assert_frame_equal(parse_gctx("other.name")[0], data)
    # our own importer reads the same values from both
    for name in "all.gctx", "all.h5ad":
        run("-q", "import", name, "-o", f"{name}.prc.h5", "--perturbation", "perturbation", "--context", "context")
    with h5py.File("all.gctx.prc.h5") as one, h5py.File("all.h5ad.prc.h5") as other:
        np.testing.assert_array_equal(one["value"][:], other["value"][:])
    said = subprocess.run([tessera, "info", "all.gctx"], capture_output=True, text=True, check=True).stdout
    assert "GCTX" in said and str(len(columns)) in said
    assert "complete already" in run("impute", "run", "-o", "all.gctx", "-p", "*,@combinations")
    assert "made of something else" in run("impute", "run", "-o", "all.gctx", "-p", "P01", code=73)


def gctx_of_cmap():
    """The same parts are where CMap's own files have them."""
    files, compared = glob.glob(f"{source}/../shared/data/formats/*.gctx"), 0
    with h5py.File("all.gctx") as ours:
        for path in files:
            if not h5py.is_hdf5(path):
                continue
            with h5py.File(path) as theirs:
                for name in "0/DATA/0/matrix", "0/META/ROW/id", "0/META/COL/id":
                    if name in theirs:  # some are cut down to a part
                        assert isinstance(theirs[name], h5py.Dataset) and ours[name].ndim == theirs[name].ndim
                        compared += 1
                assert ours.attrs["version"] == b"GCTX1.0"
    assert compared > 0 or not files


def halves():
    whole = anndata.read_h5ad("all.h5ad")
    half = anndata.read_h5ad(same_on_ranks("half.h5ad", "-p", "*,@combinations", "--dtype", "float16"))
    assert half.X.dtype == np.float16
    np.testing.assert_array_equal(half.X, whole.X.astype(np.float16))
    assert os.path.getsize("half.h5ad") < os.path.getsize("all.h5ad")
    backed = anndata.read_h5ad("half.h5ad", backed="r")
    np.testing.assert_array_equal(backed[["P07@C2"]].X[:], half["P07@C2"].X)
    backed.file.close()


def pairs():
    names = ["P01", "P05", "P09", "P21", "P40"]
    data = anndata.read_h5ad(same_on_ranks("pairs.h5ad", "--pairs", "all", "-p", ",".join(names + ["control"]), "-c", "C1,C3"))
    expected = ["+".join(pair) for pair in itertools.combinations(names, 2)]
    assert list(data.obs["perturbation"]) == expected * 2 and set(data.obs["type"]) == {"combination"}
    assert list(data.obs_names) == [f"{p}@{c}" for c in ("C1", "C3") for p in expected]
    with open("pairs.txt", "w") as file:
        file.write("P05\tP01\r\nP40+P09\nP01 + P05\n\n")
    some = anndata.read_h5ad(same_on_ranks("some.h5ad", "--pairs", "pairs.txt"))
    assert list(some.obs["perturbation"][:2]) == ["P01+P05", "P09+P40"] and some.shape[0] == 6
    np.testing.assert_array_equal(some[data.obs_names[data.obs_names.isin(some.obs_names)]].X,
                                  data[data.obs_names.isin(some.obs_names)].X)
    assert some["P01+P05@C1", "R03"].X[0, 0] == data["P01+P05@C1", "R03"].X[0, 0]


def triples():
    whole = anndata.read_h5ad("all.h5ad")
    lines = [("P05", "R03", "C2"), ("P01", "R70", "C1"), ("P01", "R03", "C1"), ("P05", "R03", "C2"), ("control", "R11", "C2")]
    combination = [p for p in whole.obs["perturbation"] if "+" in p][0]
    lines.append((combination, "R11", "C3"))
    for head, order in ((None, (0, 1, 2)), ("context\tperturbation\treadout", (2, 0, 1))):
        with open("triples.tsv", "w") as file:
            file.write(head + "\n" if head else "")
            file.writelines("\t".join(line[k] for k in order) + "\n" for line in lines)
        data = anndata.read_h5ad(same_on_ranks("triples.h5ad", "--triples", "triples.tsv"))
        assert list(data.obs_names) == sorted({f"{p}@{c}" for p, _, c in lines}, key=lambda x: (x.split("@")[1], x.split("@")[0]))
        assert list(data.var_names) == ["R03", "R11", "R70"] and "missing" in data.uns
        asked = {(f"{p}@{c}", r) for p, r, c in lines}
        for row, readout in itertools.product(data.obs_names, data.var_names):
            value = data[row, readout].X[0, 0]
            assert value == whole[row, readout].X[0, 0] if (row, readout) in asked else np.isnan(value), (row, readout)


def changes():
    whole = anndata.read_h5ad("all.h5ad")
    data = anndata.read_h5ad(same_on_ranks("delta.h5ad", "-p", "*,@combinations", "--delta"))
    for context in "C1", "C2", "C3":
        here = whole.obs["context"] == context
        np.testing.assert_array_equal(data[here].X, whole[here].X - whole[f"control@{context}"].X)
    assert "predicted" in data.uns["delta"] and "delta" not in whole.uns
    assert "as the model predicts it" in run("impute", "run", "-o", "said.h5ad", "--delta", "--dry-run")
    # several models: the deviation is that of the members' own changes
    for seed in 2, 3:
        train(f"seed{seed}", f"run.seed={seed}")
    runs = ("run", "seed2", "seed3")
    alone = []
    for one in runs:
        impute("one.h5ad", "--delta", "--blend", "off", model=(one,))
        alone.append(anndata.read_h5ad("one.h5ad").X.astype(float))
    data = anndata.read_h5ad(same_on_ranks("deltas.h5ad", "--delta", "--blend", "off", model=runs))
    np.testing.assert_allclose(data.X, np.mean(alone, 0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(data.layers["std"], np.std(alone, 0, ddof=1), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(data.obs["uncertainty"], data.layers["std"].mean(1), rtol=1e-5)


def kept():
    """Training values, the mean of an experiment's replicates, as the input files have them."""
    whole = anndata.read_h5ad("all.h5ad")
    data = anndata.read_h5ad(same_on_ranks("kept.h5ad", "-p", "*,@combinations", "--observed", "keep"))
    marks = data.layers["observed"].astype(bool)
    assert data.layers["observed"].dtype == np.uint8 and 0.1 < marks.mean() < 0.9
    np.testing.assert_array_equal(data.X[~marks], whole.X[~marks])
    measured = pandas.DataFrame(np.asarray(cells.X, float), columns=cells.var_names)
    keys = [cells.obs["perturbation"].astype(str).values, cells.obs["context"].astype(str).values]
    train_rows = (cells.obs["split"] == "train").values
    mean = measured[train_rows].groupby([k[train_rows] for k in keys]).mean()
    expected = np.full(data.shape, np.nan)
    for i, (p, c) in enumerate(zip(data.obs["perturbation"], data.obs["context"])):
        if (p, c) in mean.index:
            expected[i] = mean.loc[(p, c), data.var_names]
    np.testing.assert_array_equal(marks, ~np.isnan(expected))
    np.testing.assert_allclose(data.X[marks], expected[marks], rtol=1e-5, atol=1e-6)
    both = anndata.read_h5ad(same_on_ranks("both.h5ad", "-p", "*,@combinations", "--observed", "keep", "--delta"))
    control = np.concatenate([np.repeat(whole[f"control@{c}"].X, (whole.obs["context"] == c).sum(), 0) for c in ("C1", "C2", "C3")])
    np.testing.assert_array_equal(both.X, data.X - control)


def columns():
    """Targets, and what was trained on, beside the table of all experiments."""
    data = anndata.read_h5ad("all.h5ad")
    truth = cells.obs[cells.obs["split"] == "train"]
    trained = set(zip(truth["perturbation"], truth["context"]))
    parts = {(one, c) for p, c in trained for one in p.split("+")}
    for row in data.obs.itertuples():
        p, c = row.perturbation, row.context
        expected = "here" if (p, c) in trained else "elsewhere" if any(q == p for q, _ in trained) else "never"
        each = ["here" if (one, c) in parts else "elsewhere" if any(q == one for q, _ in parts) else "never" for one in p.split("+")]
        assert row.trained == expected and row.trained_context == "here", row
        assert row.trained_components == max(each, key=["here", "elsewhere", "never"].index), row
        assert row.target == p
    assert {"here", "elsewhere"} <= set(data.obs["trained"])
    with open("named.csv", "w") as file:
        file.write("id,perturbation,context,A,B\n")
        for i, p in enumerate(["control", "CRISPRi_TP53", "drug:KRAS", "x_", "plain"] * 4):
            file.write(f"{i},{p},L{i // 10},{i % 7},{i % 3}\n")
    run("-q", "import", "named.csv", "-o", "named.prc.h5")
    run("-q", "train", f"{source}/config/quickstart.yaml", "--set", "data.store=named.prc.h5", "--set", "run.directory=named", "--set", "train.epochs=1")
    impute("named.h5ad", "-p", "*,CRISPRi_TP53+drug:KRAS", model=("named",))
    named = anndata.read_h5ad("named.h5ad").obs
    assert dict(zip(named["perturbation"], named["target"])) == {
        "control": "control", "CRISPRi_TP53": "TP53", "drug:KRAS": "KRAS", "x_": "x_", "plain": "plain",
        "CRISPRi_TP53+drug:KRAS": "TP53+KRAS"}
    assert set(named["trained_components"][named["type"] == "combination"]) == {"here"}
    assert set(named["trained"][named["type"] == "combination"]) == {"never"}


def per_context():
    whole = anndata.read_h5ad("all.h5ad")
    for ranks in 1, 3:
        run("-q", "impute", "run", "--per-context", f"each{ranks}", "-p", "*,@combinations", ranks=ranks)
        assert sorted(x for x in os.listdir(f"each{ranks}") if not x.endswith(".sum")) == ["C1.h5ad", "C2.h5ad", "C3.h5ad"]
        for context in "C1", "C2", "C3":
            one, here = anndata.read_h5ad(f"each{ranks}/{context}.h5ad"), whole[whole.obs["context"] == context]
            np.testing.assert_array_equal(one.X, here.X)
            assert list(one.obs_names) == list(here.obs_names) and set(one.obs["context"]) == {context}
            for name in "trained", "observed", "target", "trained_components":
                assert list(one.obs[name]) == list(here.obs[name])
    os.remove("each1/C2.h5ad")
    os.remove("each1/C2.h5ad.sum")
    before = os.stat("each1/C1.h5ad")
    said = run("impute", "run", "--per-context", "each1", "-p", "*,@combinations")
    assert said.count("complete already") == 2 and os.stat("each1/C1.h5ad").st_mtime_ns == before.st_mtime_ns
    np.testing.assert_array_equal(anndata.read_h5ad("each1/C2.h5ad").X, anndata.read_h5ad("each3/C2.h5ad").X)
    run("-q", "impute", "run", "--per-context", "turned", "--format", "gctx", "-c", "C2")
    assert sorted(os.listdir("turned"))[0] == "C2.gctx"
    said = run("impute", "run", "--per-context", "turned", "--format", "gctx", "-c", "C1,C2", "--force")
    assert said.count("complete already") == 1 and "C1.gctx" in os.listdir("turned")  # contexts may be added
    assert "made of something else" in run("impute", "run", "--per-context", "turned", "--format", "gctx", "-c", "C1", "-p", "P01", code=73)
    assert "would be begun" in run("impute", "run", "-o", "turned.name", "--format", "gctx", "--dry-run")
    run("-q", "impute", "run", "--per-context", "listed", "--triples", "triples.tsv")
    assert [anndata.read_h5ad(f"listed/{c}.h5ad").shape[0] for c in ("C1", "C2", "C3")] == [1, 2, 1]


def another_split():
    """What was trained on is not to be learned from a store whose split has changed since."""
    shutil.copy("s.prc.h5", "split.prc.h5")
    train("split", "data.store=split.prc.h5")
    run("-q", "split", "split.prc.h5", "--random", "--seed", 99)
    said = impute("split.h5ad", model=("split",))
    data = anndata.read_h5ad("split.h5ad")
    assert "its split has changed" in said and "observed" in data.obs and "trained" not in data.obs, (said, data.obs.columns)
    assert "give --store" in impute("split_kept.h5ad", "--observed", "keep", model=("split",), code=65)
    impute("split_kept.h5ad", "--observed", "keep", "--store", "split.prc.h5", model=("split",))


def refusals():
    before = sorted(os.listdir("."))
    texts = {"one.txt": "P01\n", "twice.txt": "P01+P01\n", "three.txt": "P01+P02+P03\n", "odd.txt": "P01\tP99\n", "empty.txt": "\n",
             "short.tsv": "P01\tR01\n", "odd.tsv": "P01\tR01\tC9\n", "odder.tsv": "P01\tR0\tC1\n", "head.tsv": "perturbation\treadout\tcontext\n",
             "thrice.tsv": "perturbation\tperturbation\tperturbation\nP01\tR01\tC1\n"}
    for name, text in texts.items():
        with open(name, "w") as file:
            file.write(text)
    for options, code, words in (
            (["--pairs", "one.txt"], 65, ["'P01'", "no pair"]), (["--pairs", "twice.txt"], 65, ["no pair"]),
            (["--pairs", "three.txt"], 65, ["no pair"]), (["--pairs", "odd.txt"], 65, ["P99", "P09"]),
            (["--pairs", "empty.txt"], 65, ["empty.txt"]), (["--pairs", "missing.txt"], 65, ["missing.txt"]),
            (["--pairs", "all", "-p", "P01,control"], 2, ["no two perturbations"]), (["--pairs", "all", "-p", "P01+P05,P09"], 2, ["P01+P05"]),
            (["--pairs", "one.txt", "-p", "P01"], 2, ["--pairs all"]), (["--triples", "short.tsv"], 65, ["line 1", "tabs"]),
            (["--triples", "odd.tsv"], 65, ["C9", "C1"]), (["--triples", "odder.tsv"], 65, ["R0", "R01"]),
            (["--triples", "head.tsv"], 65, ["no triples"]), (["--triples", "thrice.tsv"], 65, ["1 perturbation: perturbation"]), (["--triples", "odd.tsv", "-c", "C1"], 2, ["leave out"]),
            (["--format", "gct"], 2, [".h5ad, .gctx"]), (["--format", "gctx", "--dtype", "float16"], 2, ["float16", "these do: .h5ad"]),
            (["--format", "gctx", "--observed", "keep"], 2, ["layers"]), (["--dtype", "float8"], 2, ["float32, float16"]),
            (["--observed", "all"], 2, ["predict, keep"]), (["--per-context", "x"], 2, ["-o"])):
        for ranks in (1, 3) if code == 65 and len(words) > 1 else (1,):
            message = impute("refused.h5ad", *options, code=code, ranks=ranks)
            assert all(word in message for word in words) and message.count("tessera impute: error:") == 1, (options, message)
    assert sorted(os.listdir(".")) == sorted(before + list(texts))


run("-q", "simulate", "-o", "cells.h5ad", "--perturbations", 40, "--readouts", 70, "--contexts", 3, "--combinations", 7, "--order", 3,
    "--sparsity", .2, "--replicates", 2)
cells = anndata.read_h5ad("cells.h5ad")
run("-q", "import", "cells.h5ad", "-o", "s.prc.h5")
train("run")
impute("all.h5ad", "-p", "*,@combinations")
for part in gctx, gctx_of_cmap, halves, pairs, triples, changes, kept, columns, per_context, another_split, refusals:
    part()
print("ok")
