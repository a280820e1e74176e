#!/usr/bin/python3
"""What train refuses, and how it ends: sentences, exit codes, what it leaves behind; damaged checkpoints; stopping and
going on gives the bits of a straight run."""
import glob
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile

import machine

with machine.needed():
    import h5py
    import numpy  # for small_store
import small_store

tessera = os.path.abspath(sys.argv[1])
dump_model = os.path.join(os.path.dirname(tessera), "tests", "run", "dump_model")
folder = tempfile.TemporaryDirectory()
os.chdir(folder.name)
made = small_store.rows()
small_store.write(tessera, "small.prc.h5", made)
SETTINGS = {"data.store": "small.prc.h5", "model.embedding_dim": 6, "model.hidden_dim": 19, "train.epochs": 3,
            "train.batch": 150, "train.lanes": 7, "checkpoint.keep": 2}


def listing():
    return sorted(os.path.join(root, name) for root, folders, names in os.walk(".") for name in folders + names)


def train(*options, ranks=1, code=0, environment=None, **changed):
    """Standard error of a training; settings by name, with __ for the dot."""
    with open("config.yaml", "w") as file:
        for key, value in {**SETTINGS, **{k.replace("__", "."): v for k, v in changed.items()}}.items():
            if value is not None:
                file.write(f"{key}: {value}\n")
    start = ["mpirun", "-n", str(ranks)] if ranks > 1 else []
    done = subprocess.run([*start, tessera, "train", "config.yaml", *options], capture_output=True, text=True, timeout=60,
                          env={**os.environ, **(environment or {})})
    assert done.returncode == code, (changed, options, done.returncode, done.stdout, done.stderr)
    errors = [line for line in done.stderr.splitlines() if line.startswith("tessera train: error: ")]
    assert len(errors) == (code not in (0, 75)), done.stderr
    return errors[0] if errors else done.stdout + done.stderr


def refused(code, words, *options, **changed):
    """A refusal says why and leaves everything as it was."""
    train_files = set(listing()) | {"./config.yaml"}
    said = train(*options, code=code, **changed)
    for word in words:
        assert word in said, (word, said)
    assert set(listing()) == train_files, set(listing()) ^ train_files



# Refusals
refused(78, ["data.store"], data__store=None, run__directory="r")
refused(78, ["run.directory"])
refused(65, ["none.prc.h5"], data__store="none.prc.h5", run__directory="r")
refused(65, ["config.yaml"], data__store="config.yaml", run__directory="r")
refused(78, ["train.lanes", "3 ranks", "2 lanes"], ranks=3, train__lanes=2, run__directory="r")
refused(78, ["train.batch", "lanes"], train__batch=6, run__directory="r")
refused(78, ["train.weight_decay"], train__weight_decay=10, train__learning_rate=0.5, run__directory="r")
refused(78, ["train.decay", "exponential"], train__schedule="exponential", run__directory="r")
refused(78, ["train.epoch", "did you mean", "train.epochs"], "--set", "train.epoch=4", run__directory="r")
refused(78, ["model.dropout", "0.99"], "--set", "model.dropout=1.5", run__directory="r")
refused(78, ["train.optimizer", "adamw"], "--set", "train.optimizer=lion", run__directory="r")
os.mkdir("other")
with open("other/thesis.txt", "w") as file:
    file.write("mine")
refused(73, ["other", "run.directory"], run__directory="other")
refused(73, ["other", "run.directory"], ranks=2, run__directory="other")
with open("plain", "w") as file:
    file.write("a file")
refused(73, ["plain"], run__directory="plain")

# A dry run says what it would do and leaves nothing behind.
before = set(listing()) | {"./config.yaml"}
for ranks in (1, 2):
    said = train("--dry-run", ranks=ranks, run__directory="r")
    for word in ("memory of each rank", "129 experiments", "17", "7 lanes", "checkpoint"):
        assert word in said, (word, said)
assert set(listing()) == before

# Stores that lack something
small_store.write(tessera, "untrained.prc.h5", [(c, p, "test", v) for c, p, _, v in made if p != "control"])
refused(65, ["training"], data__store="untrained.prc.h5", run__directory="r")
small_store.write(tessera, "unvalidated.prc.h5", [(c, p, "train", v) for c, p, _, v in made])
train(ranks=2, data__store="unvalidated.prc.h5", run__directory="unvalidated", train__patience=1)
assert glob.glob("unvalidated/checkpoint-*.h5") and not glob.glob("unvalidated/best*")
with open("unvalidated/log.jsonl") as file:
    lines = [json.loads(line) for line in file]
assert len(lines) == 3 and all(line["val_rmse"] is None and line["train_rmse"] > 0 for line in lines), lines
small_store.write(tessera, "tiny.prc.h5", [("c", "a", "train", {"r": 1.5, "s": float("nan")})])
for sampling in ("tiles", "observations"):  # more lanes and ranks than anything else
    train(ranks=3, data__store="tiny.prc.h5", run__directory=f"tiny-{sampling}", train__sampling=sampling)

# Numbers that run away: one sentence, the same code on all ranks, no half-written file
for ranks in (1, 3):
    said = train(ranks=ranks, code=65, run__directory=f"wild-{ranks}", train__learning_rate=1000, train__weight_decay=0,
                 train__optimizer="sgd", train__epochs=50)
    assert "not finite" in said and "train.learning_rate" in said, said
    assert not glob.glob(f"wild-{ranks}/*.part")

# The log: a line an epoch, complete
train(run__directory="run", ranks=2)
with open("run/log.jsonl") as file:
    lines = [json.loads(line) for line in file]
assert [line["epoch"] for line in lines] == [1, 2, 3]
for line in lines:
    assert {"step", "epoch", "train_loss", "val_rmse", "val_rmse_contexts", "observations_per_s", "seconds"} <= set(line)
    assert set(line["val_rmse_contexts"]) == {"c0", "c1", "c2"}
    assert {"epoch", "compute", "communication", "waiting", "validation"} <= set(line["seconds"])
last = max(glob.glob("run/checkpoint-*.h5"))
best = max(glob.glob("run/best-*.h5"))


# Damage: every part of a checkpoint
def opened(path, code):
    done = subprocess.run([dump_model, path], capture_output=True, text=True, timeout=60)
    assert done.returncode == code, (path, done.returncode, done.stderr)
    return done.stdout if code == 0 else done.stderr


def flip(path, offset, bit=3):
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1 << bit]))


def offset_of(path, name):
    with h5py.File(path) as file:
        return file[name].id.get_offset() + file[name].id.get_storage_size() // 2


hash_of_last = opened(last, 0)
assert opened("run", 0) == opened(best, 0)
rng = random.Random(1)
places = [offset_of(last, f"table/{t}/{part}") for t in ("perturbation", "readout", "context")
          for part in ("value", "m", "v", "last", "check")]
places += [offset_of(last, name) for name in ("mlp/value", "mlp/check_value", "schedule/rate", "context/symbol")]
places += [rng.randrange(os.path.getsize(last)) for _ in range(12)]
for place in places:
    shutil.copy(last, "copy.h5")
    shutil.copy(last + ".sum", "copy.h5.sum")
    flip("copy.h5", place)
    assert "copy.h5" in opened("copy.h5", 65)
shutil.copy(last, "copy.h5")
os.truncate("copy.h5", os.path.getsize("copy.h5") - 100)
opened("copy.h5", 65)
shutil.copy(last, "copy.h5")
flip("copy.h5.sum", 40)
assert "copy.h5.sum" in opened("copy.h5", 65)
os.remove("copy.h5.sum")
assert "copy.h5.sum" in opened("copy.h5", 65)
flip(best, offset_of(best, "mlp/value"))  # a run falls back to an older one, and says so
assert opened("run", 0) == hash_of_last

# Stopped and gone on with on other ranks: the bits of a straight run
KEPT = dict(train__epochs=3, train__batch=300, checkpoint__minutes=1e-9, checkpoint__keep=100)
train(run__directory="straight", **KEPT)
files = sorted(os.path.basename(path) for path in glob.glob("straight/*.h5"))
shutil.copytree("straight", "gone-on")
steps = sorted(glob.glob("gone-on/checkpoint-*.h5"))
assert len(steps) > 20, steps
for path in [*steps[len(steps) // 3:], *glob.glob("gone-on/best-*.h5")]:
    os.remove(path)
    os.remove(path + ".sum")
flip(steps[len(steps) // 3 - 1], offset_of("straight/" + os.path.basename(steps[0]), "mlp/value"))
said = train(run__directory="gone-on", ranks=3, **{**KEPT, "checkpoint__minutes": 15})
assert "resum" in said and "older" in said, said
for name in (files[-1], max(name for name in files if name.startswith("best"))):
    with open(f"straight/{name}", "rb") as a, open(f"gone-on/{name}", "rb") as b:
        assert a.read() == b.read(), name
with open("straight/log.jsonl") as a, open("gone-on/log.jsonl") as b:
    for one, other in zip(a, b):
        one, other = json.loads(one), json.loads(other)
        assert one["val_rmse"] == other["val_rmse"] and one["train_loss"] == other["train_loss"], (one, other)
said = train(run__directory="gone-on", code=78, **{**KEPT, "model__hidden_dim": 20})
assert "model.hidden_dim" in said, said
# A kind that is chosen from the data stands in the checkpoint, which goes on with it
said = train(run__directory="chosen", model__kind="auto", train__epochs=1)
assert "model.kind: dot is chosen" in said, said
with h5py.File(sorted(glob.glob("chosen/checkpoint-*.h5"))[-1]) as file:
    assert b"kind: dot" in file.attrs["config"], file.attrs["config"]
said = train(run__directory="chosen", model__kind="auto", train__epochs=2, ranks=2)
assert "resum" in said, said
said = train(run__directory="chosen", model__kind="mlp", train__epochs=2, code=78)
assert "model.kind" in said, said
print("refusals, ends, damage and going on are as they should be")
