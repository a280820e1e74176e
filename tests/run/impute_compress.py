#!/usr/bin/python3
"""impute --compress: the values of the uncompressed file to the bit, read by h5py, anndata, as CMap's tools read them and by our
own importer; the same file on 1, 2, 3 and 5 ranks.

usage: impute_compress.py TESSERA SOURCE_FOLDER"""
import os
import re
import shutil

import machine

with machine.needed():
    import anndata
    import h5py
    import numpy as np
from imputing import RUNS, beside, datasets, impute, matrices, run, same

# Every form, on any number of ranks and threads
for name, options, models in (("a.h5ad", ["--observed", "keep"], RUNS), ("half.h5ad", ["--dtype", "float16"], ["one"]),
                              ("g.gctx", [], ["one"]), ("few.h5ad", ["-p", "P001,P002,P003", "-r", "R001,R002"], ["one"])):
    plain = "plain." + name
    impute(plain, *options, models=models)
    text = impute(name, "--compress", *options, models=models)
    assert "at most" in text and "compressed" in text, text
    same(name, plain)
    (values, layout), (straight, _) = matrices(name), matrices(plain)
    for key in values:
        assert np.array_equal(values[key].view("u1"), straight[key].view("u1")), key
        chunks, compression, shuffle = layout[key]
        assert compression == "gzip" and shuffle and chunks[1] == values[key].shape[1], layout
        assert chunks[0] == len(values[key]) or chunks[0] * chunks[1] * (2 if "half" in name else 4) <= 1 << 20, layout
    if name != "few.h5ad":
        assert os.path.getsize(name) < 0.95 * os.path.getsize(plain), (os.path.getsize(name), os.path.getsize(plain))
    for ranks in (2, 3, 5) if name == "a.h5ad" else (3,) if name == "g.gctx" else ():
        impute(name, "--compress", *options, "--force", "--fresh", "--threads", 1 + ranks % 2, models=models, ranks=ranks)
        same(name, plain, "first." + name if os.path.exists("first." + name) else None)
        shutil.copy(name, "first." + name)
adata, straight = anndata.read_h5ad("a.h5ad"), anndata.read_h5ad("plain.a.h5ad")
assert np.array_equal(adata.X, straight.X) and adata.obs.equals(straight.obs)
backed = anndata.read_h5ad("a.h5ad", backed="r")
assert np.array_equal(np.asarray(backed["P005@C1"].X), straight["P005@C1"].X)
backed.file.close()
for name in "a.h5ad", "g.gctx":  # and by our own importer
    for path in name, "plain." + name:
        run("-q", "import", path, "-o", path + ".prc.h5", "--perturbation", "perturbation", "--context", "context")
    one, other = datasets(f"{name}.prc.h5"), datasets(f"plain.{name}.prc.h5")
    assert one["value"] == other["value"], list(one)
open("a.h5ad.part.deflated", "w").close()  # of an imputation that was to replace it, and was killed
text = impute("a.h5ad", "--observed", "keep", "--compress", "--max-size", "1000", ranks=2)  # it is there: no room is asked for
assert "complete already" in text and not os.path.exists("a.h5ad.part.deflated"), text
assert "compression: level 4 (now level 9)" in impute("a.h5ad", "--observed", "keep", "--compress=9", code=73)
assert "compress" in impute("b.h5ad", "--compress=0", code=2) and "compress" in impute("b.h5ad", "--compress=x", code=2)
impute("b.h5ad", "--compress=1", "--dry-run")
assert not os.path.exists("b.h5ad") and not beside("b.h5ad")

# A file for each context; triples, where most is not asked for and takes nothing
text = run("impute", *RUNS, "--per-context", "contexts", "--blend", "off", "--compress", ranks=2)
impute("c1.h5ad", "-c", "C1")
sizes = re.search(r"values, at most ([0-9.]+) MB", text), re.search(r"are whole, at most ([0-9.]+) MB are taken", text)
assert 1.4 < float(sizes[1][1]) / float(sizes[0][1]) < 1.6, text  # one of the two files is put together at a time
with h5py.File("contexts/C1.h5ad") as one, h5py.File("c1.h5ad") as other:
    assert np.array_equal(one["X"][:], other["X"][:]) and one["X"].compression == "gzip"
with open("triples.tsv", "w") as file:
    file.writelines(f"P{i + 1:03d}\tR{i % 300 + 1:03d}\tC1\n" for i in range(600))
impute("t.h5ad", "--triples", "triples.tsv", "--compress", models=["one"])
impute("plain.t.h5ad", "--triples", "triples.tsv", models=["one"])
same("t.h5ad", "plain.t.h5ad")
assert os.path.getsize("t.h5ad") < 0.3 * os.path.getsize("plain.t.h5ad")
print("ok")
