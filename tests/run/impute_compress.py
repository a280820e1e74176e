#!/usr/bin/python3
"""impute --compress: the values of the uncompressed file to the bit, read by h5py, anndata, as CMap's tools read them and by our
own importer; the same file on 1, 2, 3 and 5 ranks, killed while it is computed or put together.

usage: impute_compress.py TESSERA SOURCE_FOLDER"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

try:
    import anndata
    import h5py
    import numpy as np
except ImportError as problem:
    print(f"skipped: {problem}")
    sys.exit(77)
import training

tessera = os.path.abspath(sys.argv[1])
folder = tempfile.TemporaryDirectory()
os.chdir(folder.name)
RUNS = ["one", "two"]


def run(*arguments, ranks=1, code=0, **environment):
    started = training.Started(tessera, ranks, arguments, **environment)
    got = started.wait()
    assert got == code, (arguments, ranks, got, started.text)
    return started.text


def impute(out, *options, models=RUNS, **keywords):
    return run("impute", *models, "-o", out, "--blend", "off", *options, **keywords)


def datasets(path):
    """Every dataset's bytes, but for what says when and where."""
    found = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, x: found.update({name: (x.dtype, x.shape, x[()].tobytes())})
                        if isinstance(x, h5py.Dataset) and not name.startswith("uns/provenance") else None)
    return found


def matrices(path):
    with h5py.File(path) as file:
        names = ["0/DATA/0/matrix"] if path.endswith(".gctx") else ["X", *[f"layers/{name}" for name in file["layers"]]]
        return {name: file[name][:] for name in names}, {name: (file[name].chunks, file[name].compression, file[name].shuffle) for name in names}


def stored(path):
    """The bytes of each chunk as they lie in the file, in its order."""
    with h5py.File(path) as file:
        names = ["0/DATA/0/matrix"] if path.endswith(".gctx") else ["X", *[f"layers/{name}" for name in file["layers"]]]
        return [file[name].id.read_direct_chunk((row, 0)) for name in names for row in range(0, len(file[name]), file[name].chunks[0])]


def beside(out):
    return sorted(name for name in os.listdir(".") if name.startswith(out) and name not in (out, out + ".sum"))


def same(out, plain, first=None):
    assert not beside(out), beside(out)
    one, other = datasets(out), datasets(plain)
    assert one == other, [name for name in one if one.get(name) != other.get(name)] + sorted(set(one) ^ set(other))
    assert "every checksum" in subprocess.run([tessera, "verify", out], capture_output=True, text=True, check=True).stdout
    if first:
        assert stored(out) == stored(first)


run("-q", "simulate", "-o", "s.prc.h5", "--perturbations", 700, "--readouts", 600, "--contexts", 2)
for seed, name in enumerate(RUNS):
    training.write_config(f"{name}.yaml", {"data.store": "s.prc.h5", "run.directory": name, "run.seed": seed + 1, "model.embedding_dim": 8,
                                           "model.hidden_dim": 16, "train.epochs": 1, "train.batch": 20000, "train.lanes": 2})
    run("-q", "train", f"{name}.yaml")

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
text = impute("a.h5ad", "--observed", "keep", "--compress", ranks=2)
assert "complete already" in text, text
assert "compression: level 4 (now level 9)" in impute("a.h5ad", "--observed", "keep", "--compress=9", code=73)
assert "compress" in impute("b.h5ad", "--compress=0", code=2) and "compress" in impute("b.h5ad", "--compress=x", code=2)
impute("b.h5ad", "--compress=1", "--dry-run")
assert not os.path.exists("b.h5ad") and not beside("b.h5ad")

# A file for each context; triples, where most is not asked for and takes nothing
run("-q", "impute", *RUNS, "--per-context", "contexts", "--blend", "off", "--compress", ranks=2)
impute("c1.h5ad", "-c", "C1")
with h5py.File("contexts/C1.h5ad") as one, h5py.File("c1.h5ad") as other:
    assert np.array_equal(one["X"][:], other["X"][:]) and one["X"].compression == "gzip"
with open("triples.tsv", "w") as file:
    file.writelines(f"P{i + 1:03d}\tR{i % 300 + 1:03d}\tC1\n" for i in range(600))
impute("t.h5ad", "--triples", "triples.tsv", "--compress", models=["one"])
impute("plain.t.h5ad", "--triples", "triples.tsv", models=["one"])
same("t.h5ad", "plain.t.h5ad")
assert os.path.getsize("t.h5ad") < 0.3 * os.path.getsize("plain.t.h5ad")

# Stopped while it is computed: other ranks go on; stopped while it is put together: that is done again
for ranks in 1, 2:
    name, keep = f"killed{ranks}.h5ad", ["--observed", "keep", "--compress"]
    needs = float(impute(name, *keep, "--memory", "1M", code=2, ranks=ranks).split("which needs ")[1].split(" MB")[0])
    text = impute(name, *keep, "--memory", f"{needs + 2:.1f}M", "--save-every", "0.001",
                  "--time-limit", "0.00001", ranks=ranks, code=75)
    assert beside(name) == [f"{name}.part", f"{name}.part.json"], beside(name)
    assert "unfinished" in subprocess.run([tessera, "info", f"{name}.part"], capture_output=True, text=True).stdout
    disk = os.stat(f"{name}.part")
    assert 512 * disk.st_blocks < 0.9 * disk.st_size  # what is not written takes no room
    impute(name, *keep, ranks=4 - ranks)
    same(name, "plain.a.h5ad", "a.h5ad")


def calls(*options, ranks):
    """How many calls that can fail rank 0 makes for a file."""
    text = training.Started(tessera, ranks, ["impute", *options], {"TESS_FAIL_AT": "0"})
    assert text.wait() == 0, text.text
    return int(re.search(r"rank 0: (\d+) fallible calls", text.text)[1])


def opens(path):
    try:
        h5py.File(path).close()
        return True
    except OSError:
        return False


# Killed at the last calls that can fail: chunks are put together, checksums made, names given. What is left is not taken for
# a whole file, whatever it is called, and all of it is gone on with.
for name, plain, options in (("end.h5ad", "plain.a.h5ad", ["--compress"]), ("end2.h5ad", "plain.a.h5ad", [])):
    line = [*RUNS, "-o", name, "--blend", "off", "--observed", "keep", "--save-every", "1000", *options]
    for ranks in (1, 2) if options else (1,):
        n, whole, put_together = calls(*line, "--force", "--fresh", ranks=ranks), 0, 0
        for back in range(0, 14 if options else 6, ranks):
            for left in (name, name + ".sum"):
                if os.path.exists(left):
                    os.unlink(left)
            how = "-" if back // ranks % 2 == 0 else ""  # killed; or it fails, and the program ends by itself
            started = training.Started(tessera, ranks, ["impute", *line], {"TESS_FAIL_AT": f"{how}{n - back}@0"})
            assert started.wait() != 0 or (not how and os.path.exists(name)), started.text
            assert how or not os.path.exists(f"{name}.part.deflated")
            for left in beside(name):
                assert not left.endswith(("part", "deflated")) or not opens(left), (back, left)
                put_together += left.endswith("deflated")
            whole += os.path.exists(name)
            text = run("impute", *line, ranks=3 - ranks)
            assert "going on after" in text or "complete already" in text or back > 4, text
            same(name, plain, "a.h5ad" if options else None)
        assert whole < 5 and put_together >= (2 if options else 0), (whole, put_together)


print("ok")
