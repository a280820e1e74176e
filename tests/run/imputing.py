"""imputing.py -- for tests of imputed files: two small runs in a folder of their own, files of them, and whether two files are the
same."""
import os
import subprocess
import sys
import tempfile

import machine

with machine.needed():
    import h5py
import training
from training import run

tessera = os.path.abspath(sys.argv[1])
folder = tempfile.TemporaryDirectory()
os.chdir(folder.name)
RUNS = ["one", "two"]


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
