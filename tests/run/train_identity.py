#!/usr/bin/python3
"""Checkpoints are the same to the bit on 1, 2, 3 and 5 ranks with 1 and 2 threads, for both samplings and all that
draws random numbers, sums over lanes or waits for rows; and so is what a model read from them predicts."""
import glob
import os
import shutil
import subprocess
import sys
import tempfile

import machine

with machine.needed():
    import numpy  # for small_store
import small_store

tessera = os.path.abspath(sys.argv[1])
dump_model = os.path.join(os.path.dirname(tessera), "tests", "run", "dump_model")
folder = tempfile.TemporaryDirectory()
os.chdir(folder.name)
small_store.write(tessera, "small.prc.h5", small_store.rows())
small_store.write(tessera, "single.prc.h5", [row for row in small_store.rows() if list(row[3]) == ["viability"]])

with open("config.yaml", "w") as file:
    file.write("""
data: {store: small.prc.h5}
model: {embedding_dim: 6, hidden_dim: 37, layers: 2, dropout: 0.2}
train: {epochs: 3, batch: 150, lanes: 7, learning_rate: 0.01, warmup: 0.5}
checkpoint: {keep: 2}
""")

# Together: every optimiser, rule of combination, scaling and schedule; a tile's shape that fits nothing; an MLP of more
# than one slice (4096 floats); early stopping; checkpoints on the way.
RUNS = {
    "tiles": ["train.sampling=tiles", "data.normalize=zscore", "model.combination=mean"],
    "observations": ["train.sampling=observations", "data.normalize=none", "model.combination=max",
                     "train.optimizer=adam", "train.schedule=cosine", "train.decay=0.1"],
    "shapes": ["train.sampling=tiles", "train.tile_experiments=3", "train.tile_readouts=7", "train.lanes=13",
               "data.normalize=delta", "data.top_variable=23", "model.combination=sum", "train.optimizer=sgd",
               "train.learning_rate=0.001", "model.hidden_dim=80", "train.patience=1"],
    "linear": ["train.sampling=observations", "model.layers=0", "train.lanes=5", "train.batch=64"],
    "dot": ["model.kind=dot", "data.normalize=zscore", "train.batch=700"],
    "dot-picks": ["model.kind=dot", "train.sampling=observations", "model.layers=1", "model.combination=sum", "train.optimizer=adam"],
    "single": ["model.kind=dot", "data.store=single.prc.h5", "model.combination=max", "train.batch=20"],
    "cp": ["model.kind=cp", "data.normalize=delta", "data.top_variable=23", "train.tile_experiments=3", "train.lanes=13"],
}
LAYOUTS = {"tiles": [(2, 2), (3, 1), (5, 1), (1, 2)], "observations": [(2, 1), (3, 2), (5, 2)], "shapes": [(3, 2), (5, 1)],
           "linear": [(2, 1)], "dot": [(2, 2), (5, 1)], "dot-picks": [(3, 1)], "single": [(2, 2), (5, 1)], "cp": [(3, 2)]}  # ranks, threads


def start(ranks):
    return ["mpirun", "-n", str(ranks)] if ranks > 1 else []


def run(command, code=0):
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == code, (command, done.returncode, done.stderr)
    return done.stdout


def train(directory, ranks, threads, settings, minutes=None):
    sets = [f"--set={s}" for s in settings + [f"run.directory={directory}", f"train.threads={threads}"]]
    if minutes is not None:
        sets.append(f"--set=checkpoint.minutes={minutes}")
    run([*start(ranks), tessera, "-q", "train", "config.yaml", *sets])
    return sorted(os.path.basename(path) for path in glob.glob(f"{directory}/*.h5"))


def compare(name, one, other):
    assert shutil.which("h5diff")
    for file in one:
        done = subprocess.run(["h5diff", f"{name}-a/{file}", f"{name}-b/{file}"], capture_output=True, text=True)
        assert done.returncode == 0 and not done.stdout, (name, other, file, done.stdout[:2000], done.stderr)
        with open(f"{name}-a/{file}", "rb") as a, open(f"{name}-b/{file}", "rb") as b:
            assert a.read() == b.read(), f"{name}, {other}: {file} differs where h5diff does not look"


def numbers(path, ranks=1):
    text = run([*start(ranks), dump_model, path, "numbers"])
    with open("numbers", "rb") as file:
        return text, file.read()


with open("/proc/cpuinfo") as file:
    wide = "avx512vl" in file.read()
for number, (name, settings) in enumerate(RUNS.items()):
    os.environ["OPENBLAS_CORETYPE"] = "SKYLAKEX" if wide and number % 2 == 0 else "HASWELL"
    files = train(f"{name}-a", 1, 1, settings)
    assert files[0].startswith("best-") and len(files) >= 2, files
    for ranks, threads in LAYOUTS[name]:
        assert train(f"{name}-b", ranks, threads, settings) == files
        compare(name, files, f"{ranks} ranks x {threads} threads")
        shutil.rmtree(f"{name}-b")

# How often it is saved changes no bit of what is saved in the end; a model read by several ranks is the same.
os.environ["OPENBLAS_CORETYPE"] = "SKYLAKEX" if wide else "HASWELL"
name, settings = "shapes", RUNS["shapes"]
more = train(f"{name}-b", 1, 1, settings, minutes=1e-9)
assert len(more) == 1 + 2, ("checkpoint.keep is 2", more)
files = sorted(os.path.basename(path) for path in glob.glob(f"{name}-a/*.h5"))
compare(name, files, "saved at every step")
for name in ("shapes", "dot", "single", "cp"):
    assert numbers(f"{name}-a") == numbers(f"{name}-a", 3)

# A test that cannot fail is a defect: another seed gives other bits.
train("tiles-b", 1, 1, RUNS["tiles"] + ["run.seed=14"])
files = sorted(os.path.basename(path) for path in glob.glob("tiles-a/check*.h5"))
assert subprocess.run(["h5diff", "-q", f"tiles-a/{files[0]}", f"tiles-b/{files[0]}"]).returncode == 1
print("the same bits on all layouts")
