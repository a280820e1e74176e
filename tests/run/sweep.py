#!/usr/bin/python3
"""sweep.py -- trials of a sweep: a grid and a random sample as a second implementation makes them; each the same to the bit as a
training with its settings, on any ranks and groups; done ones left alone, stopped and killed ones gone on with, more of them added;
one that diverges; the winner; and everything that is refused, with the line.

usage: sweep.py TESSERA SOURCE_FOLDER"""
import itertools
import json
import math
import os
import re
import shutil
import signal
import sys
import tempfile
import time

from checks import check, finish, run

import training

tessera = os.path.abspath(sys.argv[1])
folder = tempfile.TemporaryDirectory()
os.chdir(folder.name)
BASE = "data.store: s.prc.h5\nmodel: {embedding_dim: 8, hidden_dim: 16}\ntrain: {lanes: 6, epochs: 3}\nrun.seed: 7\n"
GRID = BASE + ("sweep:\n  model:\n    dropout: [0, 0.2]\n  train.learning_rate: {from: 0.001, to: 0.1, steps: 3, scale: log}\n")


def ok(*line, ranks=1):
    done = run(*line, ranks=ranks)
    check(done.returncode == 0, f"{line} on {ranks} ranks: {done.returncode} {done.stderr}")
    return done.stdout


def refused(code, part, *line, ranks=1):
    done = run(*line, ranks=ranks)
    check(done.returncode == code and part in done.stderr and done.stderr.count("error: ") == 1, f"{line}: {done.returncode} {done.stderr}")


def write(name, text):
    with open(name, "w") as file:
        file.write(text)
    return name


def rows(text):
    lines = [line.split("\t") for line in text.splitlines()]
    return [dict(zip(lines[0], line)) for line in lines[1:]]


def listed(name, *more):
    return rows(ok("-q", "sweep", name, "--set", "run.directory=none", "--list", *more))


def table(directory):
    """Without what depends on the clock."""
    with open(f"{directory}/sweep.tsv") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in rows(file.read())]


def words(config, directory, *settings):
    return ["sweep", config, *(w for s in (f"run.directory={directory}", *settings) for w in ("--set", s))]


def same(directory, numbers, reference):
    for k in numbers:
        difference = training.differences(f"{reference}/trial-{k}", f"{directory}/trial-{k}")
        check(not difference, f"{directory}, trial {k}: {difference}")


ok("-q", "simulate", "-o", "s.prc.h5", "--perturbations", "40", "--readouts", "20", "--contexts", "4")
ok("-q", "split", "s.prc.h5", "--random", "--keep", "2")
write("grid.yaml", GRID)

# A grid: the last setting changes first; ranges in both scales, whole numbers, doubles once.
expected = [{"trial": str(n), "model.dropout": d, "train.learning_rate": r}
            for n, (d, r) in enumerate(itertools.product(("0", "0.2"), ("0.001", "0.01", "0.1")), 1)]
check(listed("grid.yaml") == expected, f"the grid: {listed('grid.yaml')}")
write("whole.yaml", BASE + "sweep: {model.hidden_dim: {from: 16, to: 256, steps: 5, scale: log}, run.seed: {from: 1, to: 2, steps: 4}, "
                           "model.kind: [dot, mlp]}\n")
want = [(str(h), str(s), k) for h in (16, 32, 64, 128, 256) for s in (1, 2) for k in ("dot", "mlp")]
check([tuple(list(r.values())[1:]) for r in listed("whole.yaml")] == want, f"whole numbers: {listed('whole.yaml')}")

# A random sample: reproducible, in its range, spread over it, and sample i does not depend on how many there are, nor on other settings.
RANDOM = BASE.replace("{", "{{").replace("}", "}}") + ("sweep:\n  method: random\n  samples: {n}\n  seed: {seed}\n  train.learning_rate: {{from: 1e-4, to: 1e-1, scale: log}}\n"
                 "  model.dropout: {{from: 0, to: 0.5}}\n  model.layers: {{from: 1, to: 4}}\n  model.kind: [mlp, dot, cp]\n{more}")
write("random.yaml", RANDOM.format(n=400, seed=3, more=""))
drawn = listed("random.yaml")
check(drawn == listed("random.yaml") and len(drawn) == 400, "the same sample again")
check(listed("random.yaml", "--set", "sweep.samples=30") == drawn[:30], "more samples leave the first as they are")
check(listed(write("more.yaml", RANDOM.format(n=400, seed=3, more="  train.warmup: {from: 0, to: 2}\n")))[9]["model.dropout"] == drawn[9]["model.dropout"],
      "another setting leaves the others as they are")
check([r["model.dropout"] for r in listed("random.yaml", "--set", "sweep.seed=4")] != [r["model.dropout"] for r in drawn], "another seed")
rate, dropout = ([float(r[k]) for r in drawn] for k in ("train.learning_rate", "model.dropout"))
check(all(1e-4 <= x <= 0.1 for x in rate) and all(0 <= x <= 0.5 for x in dropout), "within the range")
logs = [(math.log10(x) + 4) / 3 for x in rate]
for name, share in (("log", logs), ("linear", [x / 0.5 for x in dropout])):
    mean, spread = sum(share) / 400, math.sqrt(sum((x - sum(share) / 400) ** 2 for x in share) / 400)
    check(abs(mean - 0.5) < 4 * 0.2887 / 20 and abs(spread - 0.2887) < 0.03, f"{name}: uniform? mean {mean}, deviation {spread}")
for key, values in ("model.layers", "1234"), ("model.kind", ("mlp", "dot", "cp")):
    counts = [sum(r[key] == v for r in drawn) for v in values]
    check(sum(counts) == 400 and min(counts) > 0.7 * 400 / len(values), f"{key}: {counts}")
few = listed(write("few.yaml", BASE + "sweep: {method: random, samples: 50, model.layers: [1, 2], model.kind: [mlp, dot]}\n"))
check(len(few) == 4 and len({(r["model.layers"], r["model.kind"]) for r in few}) == 4, f"those that are the same are one: {few}")

# Each trial is a training with its settings, whoever trains it; tables of the same bytes but for the seconds.
ok("-q", *words("grid.yaml", "straight"))
for row in expected:
    ok("-q", "train", write("one.yaml", BASE), *(w for k, v in row.items() if k != "trial" for w in ("--set", f"{k}={v}")),
       "--set", f"run.directory=alone/trial-{row['trial']}")
same("straight", range(1, 7), "alone")
for ranks, groups in ((2, 2), (3, 2), (5, 4)):
    ok("-q", *words("grid.yaml", f"on-{ranks}-{groups}", f"sweep.groups={groups}"), ranks=ranks)
    same(f"on-{ranks}-{groups}", range(1, 7), "alone")
    check(table(f"on-{ranks}-{groups}") == table("straight"), f"table of {ranks} ranks, {groups} groups")

# The table, the winner, its run.
got = table("straight")
for row in got:
    with open(f"straight/trial-{row['trial']}/log.jsonl") as file:
        scores = [json.loads(line)["val_rmse"] for line in file]
    check(float(row["val_rmse"]) == min(scores) and row["epochs"] == "3" and row["state"] == "done"
          and scores[int(row["best_epoch"]) - 1] == min(scores), f"a line: {row} {scores}")
best = min(got, key=lambda row: float(row["val_rmse"]))
about = json.load(open("straight/sweep.json"))
check(about["winner"]["trial"] == int(best["trial"]) and os.readlink("straight/best") == f"trial-{best['trial']}", f"the winner: {about['winner']}")
check(about["winner"]["settings"] == {k: float(best[k]) for k in ("model.dropout", "train.learning_rate")} and len(about["trials"]) == 6, "as JSON")
ok("-q", "evaluate", "straight/best", "--resamples", "10")
ok("-q", "verify", "straight/trial-2")
before = os.stat("straight/trial-3").st_mtime_ns
said = run(*words("grid.yaml", "straight"))
check("nothing was left to train" in said.stderr and "best by validation: trial " + best["trial"] in said.stdout, f"again: {said.stderr}")
check(os.stat("straight/trial-3").st_mtime_ns == before, "a trial that is done is left alone")
ok("-q", "train", "straight/trial-4.yaml")
same("straight", [4], "alone")

# One by one, as tasks of an array; the table of a part; a trial whose run is gone; more trials; the same numbers from anywhere.
ok("-q", *words("grid.yaml", "tasks"), "--trial", "5", ranks=2)
ok("-q", *words("grid.yaml", "tasks"), "--trial", "2")
check(sorted(os.listdir("tasks")) == ["trial-2", "trial-2.json", "trial-2.yaml", "trial-5", "trial-5.json", "trial-5.yaml"], f"{os.listdir('tasks')}")
check(ok("-q", *words("grid.yaml", "tasks"), "--array") == "1,3-4,6\n", "what is left")
ok("-q", *words("grid.yaml", "tasks"), "--table")
check([r["state"] for r in table("tasks")] == ["new", "done", "new", "new", "done", "new"], f"a part: {table('tasks')}")
shutil.rmtree("tasks/trial-2")
write("wider.yaml", GRID.replace("[0, 0.2]", "[0.1, 0, 0.2]"))
check([r["trial"] for r in rows(ok("-q", *words("wider.yaml", "tasks"), "--list"))] == ["1", "3", "4", "6", "2", "7", "8", "5", "9"],
      f"those that are there keep their numbers: {ok('-q', *words('wider.yaml', 'tasks'), '--list')}")
ok("-q", *words("grid.yaml", "tasks", "sweep.groups=2"), ranks=2)
same("tasks", range(1, 7), "alone")
check(table("tasks") == table("straight"), "one by one and the rest")
ok("-q", *words("wider.yaml", "tasks"))
check([r["trial"] for r in table("tasks")] == ["7", "8", "9", "1", "2", "3", "4", "5", "6"], f"three more: {table('tasks')}")
check(ok("-q", *words("wider.yaml", "tasks"), "--array") == "", "nothing left")
refused(2, "there is no such trial", *words("grid.yaml", "tasks"), "--trial", "77")

# Members in a trial, groups in groups.
ok("-q", *words("grid.yaml", "members", "train.members=2", "train.groups=2", "sweep.groups=2"), ranks=5)
for k in 1, 6:
    check(not training.differences(f"members/trial-{k}/member-1", f"alone/trial-{k}"), f"members of trial {k}")
mean = [json.loads(open(f"members/trial-1/member-{m}/log.jsonl").readlines()[-1])["val_rmse"] for m in (1, 2)]
check(abs(float(table("members")[0]["val_rmse"]) - sum(mean) / 2) < 1e-8 and os.path.exists("members/trial-1/deviation.json"), f"their mean: {mean}")

# Stopped, killed, gone on with on other ranks.
LONG = ("train.epochs=150", "checkpoint.minutes=0.002")
write("long.yaml", GRID.replace("[0, 0.2]", "[0.2]"))
for name, ranks, groups, how in (("killed", 3, 2, signal.SIGKILL), ("signalled", 2, 2, signal.SIGUSR1), ("asked", 2, 2, None)):
    started = training.Started(tessera, ranks, words("long.yaml", name, *LONG, f"sweep.groups={groups}"))
    there = training.wait_for(lambda: started.over() or all(os.path.isdir(p) and any(f.startswith("checkpoint") and f.endswith("h5") for f in os.listdir(p))
                                                            for p in (f"{name}/trial-1", f"{name}/trial-2")))
    check(there and started.hold(), f"{name} ended early: {started.read()}")
    if how == signal.SIGKILL:
        started.kill_all()
        started.wait()
    else:
        if how is None:
            open(f"{name}/STOP", "w").close()
            time.sleep(1.1)  # rank 0 looks once a second
        else:  # one rank hears of it: the other group must follow
            started.send(started.pids()[-1], how)
        started.go_on()
        code = started.wait()
        check(code == 75 and "run the same command again" in started.text, f"{name}: {code} {started.text}")
    check(not os.path.exists(f"{name}/sweep.tsv"), f"{name}: a table too early")
ok("-q", *words("long.yaml", "long", LONG[0]))
for name, ranks, groups in (("killed", 2, 2), ("signalled", 1, 1), ("asked", 3, 3)):
    ok("-q", *words("long.yaml", name, LONG[0], f"sweep.groups={groups}"), ranks=ranks)
    same(name, range(1, 4), "long")
    check(table(name) == table("long"), f"{name}: the table")
code = run(*words("long.yaml", "limited", *LONG), "--time-limit", "0.0001").returncode
check(code == 75, f"a time limit: {code}")

# What diverges is said, has no score, and does not end the others; if all do, that is an error.
write("wild.yaml", BASE + "train.optimizer: sgd\ntrain.weight_decay: 0\nsweep: {train.learning_rate: [0.001, 900]}\n")
for again in range(2):
    said = run(*words("wild.yaml", "wild"))
    check(said.returncode == 0 and ("trial 2 diverged" in said.stderr) == (again == 0), f"diverged: {said.returncode} {said.stderr}")
    check([(r["state"], r["val_rmse"] != "") for r in table("wild")] == [("done", True), ("diverged", False)], f"{table('wild')}")
write("wild.yaml", BASE + "train.optimizer: sgd\ntrain.weight_decay: 0\nsweep: {train.learning_rate: [800, 900]}\n")
refused(65, "all 2 trials diverged", *words("wild.yaml", "wilder"), ranks=2)

# Another split: what is done is of the old one.
shutil.copy("s.prc.h5", "t.prc.h5")
write("other.yaml", GRID.replace("s.prc.h5", "t.prc.h5"))
ok("-q", *words("other.yaml", "other"))
ok("-q", "split", "t.prc.h5", "--random", "--keep", "2", "--seed", "5")
refused(78, "split", *words("other.yaml", "other"))
ok("-q", "split", "t.prc.h5", "--contexts", "--val", "0", "--test", "0.3")
refused(65, "nothing to validate with", *words("other.yaml", "other"))

# Everything is checked before anything is trained.
check(not os.path.exists("no"), "")
refused(78, "sweep.groups is 3, but there are only 2 ranks", *words("grid.yaml", "no", "sweep.groups=3"), ranks=2)
refused(78, "trial 2: ", *words(write("bad.yaml", BASE + "sweep: {train.batch: [64, 2]}\n"), "no"))
check(not os.path.exists("no"), "a trial that cannot be trained: nothing was begun")
said = run(*words("grid.yaml", "no"), "--dry-run")
check(said.returncode == 0 and re.search(r"6 trials of 2 settings.*\n.*memory of each rank: at most", said.stderr) and not os.path.exists("no"), f"{said.stderr}")
refused(73, "holds other things than a sweep", *words("grid.yaml", "straight/trial-1"))
refused(78, "run.directory is not set", "sweep", "grid.yaml")
refused(78, "grid.yaml:7: the section 'sweep' is for 'tessera sweep'", "train", "grid.yaml")
refused(2, "exclude each other", "sweep", "grid.yaml", "--list", "--array")
refused(78, "has no section 'sweep'", "sweep", write("plain.yaml", BASE))
for text, part in (
        ("sweep: {model.dropot: [0, 1]}", ":5: there is no setting 'model.dropot': did you mean 'model.dropout'?"),
        ("sweep:\n  model.dropout: [0,\n    2]", ":7: 'model.dropout' is '2', but takes a number from 0 to 0.99"),
        ("sweep: {train.threads: [1, 2]}", ":5: 'train.threads' cannot be swept over"),
        ("sweep: {run.directory: [a, b]}", "'run.directory' cannot be swept over"),
        ("sweep: {data.store: [a, b]}", "different stores cannot be compared"),
        ("sweep: {model.dropout: []}", ":5: a list is empty"),
        ("sweep: {model.dropout: [[0], 1]}", ":5: a list stands where one value"),
        ("sweep: {model.dropout: [{from: 0}]}", ":5: a list holds a group"),
        ("sweep: {model.dropout: {from: 0, to: 0.5}}", ":5: the range of 'model.dropout' has no 'steps'"),
        ("sweep: {model.dropout: {from: 0, steps: 3}}", "has no 'to'"),
        ("sweep: {model.dropout: {from: 0.5, to: 0.1, steps: 3}}", "'to' must be the larger one"),
        ("sweep: {model.dropout: {from: 0, to: 0.1, steps: 3, scale: log}}", "begin above 0"),
        ("sweep: {model.dropout: {from: 0, to: 0.1, steps: 1}}", "from 2 to 1000"),
        ("sweep: {model.dropout: {from: 0, to: 0.1, steps: 2, scale: root}}", "takes one of linear, log"),
        ("sweep: {model.dropout: {from: 0, to: 1, steps: 2}}", ":5: 'model.dropout' is '1', but takes"),
        ("sweep: {model.dropout: {from: 0, too: 1}}", "there is no setting 'model.dropout.too'"),
        ("sweep: {model.kind: {from: mlp, to: dot}}", "'model.kind' is no number: give it a list"),
        ("sweep: {model.kind: [mlp, dott]}", "takes one of mlp, dot, cp, auto"),
        ("sweep: {method: best, model.dropout: [0]}", "takes one of grid, random"),
        ("sweep: {method: random, model.dropout: [0, 0.1]}", "sweep.samples is not set"),
        ("sweep: {samples: 0, model.dropout: [0]}", "'sweep.samples' is '0', but takes a whole number from 1 to 10000"),
        ("sweep: {model.dropout: [0], model: {dropout: [1]}}", "given twice"),
        ("sweep: {model.kind: [mlp, dot]}\ntrain.members: 2\ntrain.member_kinds: dot,cp", ":5: 'model.kind' is swept over, but train.member_kinds"),
        ("sweep: 5", "'sweep' is a section"),
        ("sweep:\n  run.seed: {from: 1, to: 1000, steps: 1000}\n  model.layers: {from: 1, to: 11, steps: 11}\n", "more than 10000 trials (with 'model.layers'"),
        ("sweep: {model.dropout: [0]}\nmodel.dropout: [0, 1]", ":6: a list stands where one value")):
    refused(78, part, "sweep", write("bad.yaml", BASE + text + "\n"), "--set", "run.directory=no")
refused(78, "is swept over (grid.yaml:7)", *words("grid.yaml", "no", "model.dropout=0.1"))
refused(78, "stand in the file alone", *words("grid.yaml", "no", "sweep.model.dropout=0.1"))
check(not os.path.exists("no"), "nothing is left behind")
finish()
