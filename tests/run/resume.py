#!/usr/bin/python3
"""resume.py -- a training that is killed, preempted, stopped or out of time, again and again, and goes on on other numbers
of ranks, ends with the bits of one that was never disturbed.

usage: resume.py TESSERA SOURCE_FOLDER
TESS_TEST_LONG=1: at least 48 kills instead of 8."""
import glob
import json
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time

import machine

with machine.needed():
    import h5py
    import numpy  # for small_store
machine.need("h5diff")
import small_store
import training

machine.ALONE.clear()
tessera = os.path.abspath(sys.argv[1])
folder = tempfile.TemporaryDirectory()
os.chdir(folder.name)
rng = random.Random(20)
made = small_store.rows()
small_store.write(tessera, "small.prc.h5", made)
# Some 40 ms between checkpoints: a third of the time goes into writing them.
SETTINGS = {"data.store": "small.prc.h5", "model.embedding_dim": 24, "model.hidden_dim": 64, "train.epochs": 14,
            "train.batch": 60, "train.lanes": 7, "train.learning_rate": 0.004, "train.schedule": "exponential", "train.decay": 0.97, "checkpoint.minutes": 0.0007}
training.write_config("config.yaml", SETTINGS)


def start(run, ranks, *options, environment=None, **changed):
    settings = [x for k, v in changed.items() for x in ("--set", f"{k.replace('__', '.')}={v}")]
    return training.Started(tessera, ranks, ["train", "config.yaml", "--set", f"run.directory={run}", *settings, *options],
                            environment)


def train(run, ranks, *options, code=0, environment=None, **changed):
    """What a training said."""
    started = start(run, ranks, *options, environment=environment, **changed)
    got = started.wait()
    assert got == code, (run, ranks, options, changed, got, started.text)
    return started.text


def log(run):
    if not os.path.exists(f"{run}/log.jsonl"):
        return []
    with open(f"{run}/log.jsonl") as file:
        return [{k: v for k, v in json.loads(line).items() if k not in ("observations_per_s", "seconds")} for line in file]


def same_as_straight(run, straight="straight"):
    wrong = training.differences(run, straight)
    assert not wrong, wrong
    assert log(run) == log(straight), (run, log(run), log(straight))
    litter = [n for n in os.listdir(run) if n.endswith(".part") or n.endswith(".damaged")]
    assert not litter, litter


def newest_step(run):
    return max([int(re.search(r"-(\d+)\.h5$", p)[1]) for p in glob.glob(f"{run}/*.h5")], default=0)


train("straight", 2)
last = newest_step("straight")
assert len(log("straight")) == SETTINGS["train.epochs"]

# Kills and signals
WAYS = ["kill a rank", "kill all", "kill mpirun", "kill all", "usr1 mpirun", "usr1 rank", "term rank", "int rank", "term mpirun", "int mpirun"]
counts, in_writing, steps_seen, graceful = {}, 0, set(), 0


def disturb(run, ranks, way, patient=True):
    """Starts, waits for a random moment (soon, if not patient), disturbs. Was the run over before that?"""
    global in_writing, graceful
    had = newest_step(run)
    # The best state goes to disk at once, as large ones do, or waits in memory for the next checkpoint.
    started = start(run, ranks, environment={"TESS_KEPT_BYTES": rng.choice(["0", "1000000000"])},
                    checkpoint__minutes=SETTINGS["checkpoint.minutes"] if patient else 1e-9)
    before = newest_step(run)
    # The moment: after some more checkpoints, then within a step or while a file is being written.
    more, writing, jitter = rng.randrange(4) if patient else 0, rng.random() < 0.6, rng.random() * 0.03 * patient
    aims = lambda: started.over() or (glob.glob(f"{run}/*.part") if writing else True)
    training.wait_for(lambda: started.over() or newest_step(run) > before)
    for _ in range(more):
        now = newest_step(run)
        training.wait_for(lambda: started.over() or newest_step(run) > now, 5)
    training.wait_for(aims, 5, 0.0005)
    time.sleep(jitter * (0.2 if writing else 1))
    if started.over():
        assert started.wait() == 0, started.text
        return True
    in_writing += bool(glob.glob(f"{run}/*.part"))
    kind, target = way.split(" ", 1)
    pids = started.pids()
    if kind == "kill" and target == "all" or not pids:
        started.kill_all()
    elif kind == "kill":
        started.send(started.process.pid if target == "mpirun" else rng.choice(pids), signal.SIGKILL)
    else:
        number = {"usr1": signal.SIGUSR1, "term": signal.SIGTERM, "int": signal.SIGINT}[kind]
        started.send(started.process.pid if target == "mpirun" else rng.choice(pids), number)
    code = started.wait()
    # What is finished is gone on from: nothing intact is passed over.
    resumed = re.search(r"resuming from .*: step (\d+),", started.text)
    assert not resumed or int(resumed[1]) >= had and "missing or damaged" not in started.text, (had, started.text)
    if kind != "kill" and not (target == "mpirun" and kind != "usr1" and ranks > 1) and pids:
        assert code in (0, 75), (way, ranks, code, started.text)
        if code == 75:
            assert "run the same command again" in started.text and "stopped by" in started.text, started.text
            graceful += 1
    else:
        assert code != 75 or ranks == 1 or kind != "kill", (way, code, started.text)
    counts[way] = counts.get(way, 0) + 1
    steps_seen.add(newest_step(run))
    return code == 0


wanted, n, chain, too_late = 48 if training.long() else 8, 0, 0, 0
while n < wanted:
    run = f"killed-{chain}"
    for _ in range(6 if training.long() else 4):
        over = disturb(run, rng.choice([1, 2, 3, 5]), WAYS[n % len(WAYS)], too_late < 3)
        n, too_late = n + (not over), too_late + over
        if over:
            break
    said = train(run, rng.choice([1, 2, 3, 5]))
    same_as_straight(run)
    shutil.rmtree(run)
    chain += 1
    assert too_late < 5 * wanted, "runs end before they can be disturbed"
print(f"{n} kills ({in_writing} while a checkpoint was being written, {graceful} ended with 75) over {chain} runs, stopped at "
      f"{len(steps_seen)} different steps of {last}: the same bits each time", flush=True)

OFTEN = {"checkpoint__minutes": 1e-9}  # at every step


def held(run, ranks, **changed):
    """A new run whose ranks are stopped where they are after its first checkpoint, with most epochs still to come."""
    for _ in range(20):
        shutil.rmtree(run, ignore_errors=True)
        started = start(run, ranks, **{**OFTEN, **changed})
        training.wait_for(lambda: started.over() or newest_step(run) > 0)
        if started.hold() and len(log(run)) <= changed.get("train__epochs", SETTINGS["train.epochs"]) // 2:
            return started
        started.kill_all()
        started.wait()
    raise AssertionError(f"no run could be stopped early: {started.text}")


# Killed after a validation found a better state, before the next checkpoint: the newest checkpoint still speaks of the earlier
# best one, which is gone; it is gone on from all the same.
for _ in range(20):
    shutil.rmtree("later", ignore_errors=True)
    started = start("later", 2, environment={"TESS_KEPT_BYTES": "0"}, **OFTEN, checkpoint__keep=1000)
    training.wait_for(lambda: started.over() or newest_step("later") > log("straight")[1]["step"])
    started.kill_all()
    started.wait()
    best = max(int(p[-12:-3]) for p in glob.glob("later/best-*.h5"))
    if best > log("straight")[0]["step"] and os.path.exists(f"later/checkpoint-{best:09d}.h5") and len(glob.glob("later/best-*.h5")) == 1:
        break
else:
    raise AssertionError("no run could be killed after its second epoch")
for path in glob.glob("later/checkpoint-*.h5"):
    if int(path[-12:-3]) > best:
        os.unlink(path)
        os.unlink(path + ".sum")
said = train("later", 3)
assert f"checkpoint-{best:09d}.h5: step {best}," in said and "missing or damaged" not in said, said
same_as_straight("later")

# A directory is moved away under its run, and another run begins in its place: it is left alone.
started = held("moved", 2, train__epochs=1000)
os.rename("moved", "moved-away")
train("moved", 1)
before = sorted(glob.glob("moved/*.h5"))
open("moved/STOP", "w").close()
time.sleep(1.1)
started.go_on()
code = started.wait()
os.unlink("moved/STOPPED")
assert code == 73 and "another run has made itself at home" in started.text and sorted(glob.glob("moved/*.h5")) == before, (code, started.text)

# A file STOP, a time limit, the scheduler's end, in the middle of epochs: the ranks are held until it is time. (On a machine so
# slow that the time is up before the first checkpoint, a run has stopped already.)
for how in ("STOP", "--time-limit", "SLURM_JOB_END_TIME"):
    run = f"asked-{how.strip('-')}"
    if how == "STOP":
        started = held(run, 2)
        open(f"{run}/STOP", "w").close()
        time.sleep(1.1)  # rank 0 looks once a second
    else:
        end = time.time() + 8
        started = start(run, 2, *(("--time-limit", 8 / 60) if how == "--time-limit" else ()),
                        environment={how: str(int(end))} if how == "SLURM_JOB_END_TIME" else None, **OFTEN)
        training.wait_for(lambda: newest_step(run) > 0 or started.over())
        started.hold()
        time.sleep(max(0, end - time.time()))
    started.go_on()
    assert started.wait() == 75, (how, started.text)
    assert ("the file STOP" if how == "STOP" else "the time limit") in started.text, started.text
    assert not os.path.exists(f"{run}/STOP") and os.path.exists(f"{run}/STOPPED") == (how == "STOP")
    step = newest_step(run)
    text = train(run, 3)
    assert f"step {step}" in text and "resuming from" in text, text
    same_as_straight(run)

# A second signal, more than two seconds after the first, ends a run that cannot finish its step (here: one rank stays stopped)
started = held("twice", 2)
pids = started.pids()
started.send(pids[0], signal.SIGCONT)
started.send(pids[0], signal.SIGUSR1)
time.sleep(1)
assert not started.over(), started.read()
assert training.wait_for(lambda: (started.send(pids[0], signal.SIGUSR1), pids[0] not in started.pids())[1], 60, 0.5), \
    "a second signal did not end the process"
started.kill_all()
started.wait()
train("twice", 1)
same_as_straight("twice")

# A signal in the middle of validating breaks it off: nearly all of this store is for validation, an epoch is one step, after
# which there is a checkpoint. The ranks are held when it appears: the signal finds them before or within the validation.
def quiet(*arguments):
    started = training.Started(tessera, 1, ["-q", *arguments])
    assert started.wait() == 0, started.text


quiet("simulate", "-o", "wide.prc.h5", "--perturbations", 1000, "--readouts", 250, "--contexts", 2, "--split-target", "none")
quiet("split", "wide.prc.h5", "--export", "wide.tsv")
with open("wide.tsv") as file:
    table = [line.split("\t") for line in file.read().splitlines()]
for number, row in enumerate(table[1:]):
    row[2] = "train" if row[0] == "control" or number < 40 else "val"
with open("wide.tsv", "w") as file:
    file.writelines("\t".join(row) + "\n" for row in table)
quiet("split", "wide.prc.h5", "--file", "wide.tsv")
WIDE = {"data__store": "wide.prc.h5", "model__hidden_dim": 256, "model__layers": 2, "train__epochs": 1,
        "train__batch": 20000, **OFTEN}
train("wide-straight", 2, **WIDE)
started = held("wide", 2, **WIDE)
started.send(started.pids()[-1], signal.SIGUSR1)
started.go_on()
assert started.wait() == 75 and "stopped by a signal" in started.text, started.text
assert newest_step("wide") == 1 and log("wide") == [], (newest_step("wide"), log("wide"))
train("wide", 3, **WIDE)
same_as_straight("wide", "wide-straight")

# A stop after the first step; nothing to do after the last
train("first-half", 1, "--time-limit", "0.001", code=75)  # no time at all: a step, a checkpoint
said = train("first-half", 5)
assert "resuming from" in said and "step 1," in said, said
same_as_straight("first-half")
assert "nothing was left to do" in train("first-half", 2)
same_as_straight("first-half")

# Every kind of model, with a single readout as well: stopped within an epoch, gone on with by others
small_store.write(tessera, "single.prc.h5", [row for row in made if list(row[3]) == ["viability"]])
for name, settings in (("dot", {"model__kind": "dot"}), ("cp", {"model__kind": "cp", "train__sampling": "observations"}),
                       ("single", {"model__kind": "dot", "data__store": "single.prc.h5", "train__batch": 10})):
    settings = {**settings, "train__epochs": 3, "checkpoint__minutes": 15}
    train(f"{name}-straight", 1, **settings)
    train(name, 3, "--time-limit", "0.001", code=75, **settings)
    said = train(name, 2, **settings)
    assert "resuming from" in said and "step 1," in said, said
    same_as_straight(name, f"{name}-straight")

# Two at once: the second waits for the first; a signal ends the waiting
WAITS = "waiting for the run that works in it"
a = held("shared", 2)
b = start("shared", 1)
assert training.wait_for(lambda: WAITS in b.read()), b.text
b.send(b.process.pid, signal.SIGTERM)
assert b.wait() == 75 and "stopped by a signal" in b.text, b.text
b = start("shared", 1)
assert training.wait_for(lambda: WAITS in b.read()), b.text
a.send(a.pids()[-1], signal.SIGTERM)  # b waits for a minute, which the rest of a run may take on a slow machine
a.go_on()
assert a.wait() == 75 and b.wait() == 0, a.text + b.text
same_as_straight("shared")

# Settings that may change take effect from the resumed step; the rest is refused with what differs
changes = {"train__epochs": 6, "train__learning_rate": 0.001, "train__schedule": "cosine"}
straight_rates = None
for run, ranks in (("changed-1", 1), ("changed-3", 3)):
    train(run, ranks, train__epochs=3)
    said = train(run, 4 - ranks, **changes)
    assert "resuming from" in said
    rates = [line["learning_rate"] for line in log(run)]
    assert rates[:3] == [line["learning_rate"] for line in log("straight")][:3] and max(rates[3:]) <= 0.001, rates
    assert len(rates) == 6
assert not training.differences("changed-1", "changed-3")
# In the middle of an epoch as well: past learning rates stay
for run, ranks in (("within-1", 1), ("within-3", 3)):
    train(run, ranks, "--time-limit", "0.001", code=75)
    train(run, 4 - ranks, train__epochs=2, train__learning_rate=0.001, train__threads=2, checkpoint__keep=1)
    with h5py.File(training.newest(run)) as file:
        rates = list(file["schedule/rate"])
    assert rates[1] == SETTINGS["train.learning_rate"] and 0 < max(rates[2:]) <= 0.001 and len(log(run)) == 2, rates
assert not training.differences("within-1", "within-3")
said = train("changed-1", 2, code=78, **{**changes, "model__hidden_dim": 65, "train__batch": 61, "run__seed": 7})
for word in ("model.hidden_dim: 64 (now 65)", "train.batch: 60 (now 61)", "run.seed: 13 (now 7)", "--fresh"):
    assert word in said, (word, said)

# Another store, another split, another vocabulary
def with_store(path, code):
    return train("changed-1", 2, code=code, **{**changes, "data__store": path})


other = [(c, p, s, {r: v + 1 for r, v in values.items()}) for c, p, s, values in made]
small_store.write(tessera, "values.prc.h5", other)
assert "values" in with_store("values.prc.h5", 78)
small_store.write(tessera, "split.prc.h5", [(c, p, "val" if s == "test" and p != "only_test" else s, v) for c, p, s, v in made])
assert "split" in with_store("split.prc.h5", 78)
small_store.write(tessera, "names.prc.h5", [(c, p.replace("p03", "q03"), s, v) for c, p, s, v in made])
assert "'p03'" in with_store("names.prc.h5", 78)

# --fresh moves aside; other things are never moved
text = train("changed-1", 2, "--fresh")
assert "changed-1.old-1" in text and glob.glob("changed-1.old-1/checkpoint-*.h5"), text
same_as_straight("changed-1")
os.mkdir("thesis")
open("thesis/chapter1", "w").close()
assert "holds other things" in train("thesis", 1, "--fresh", code=73)
assert os.listdir("thesis") == ["chapter1"]
print("stopped, changed, refused, moved aside as they should be")
