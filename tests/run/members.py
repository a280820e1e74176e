#!/usr/bin/python3
"""Several members in one run: each the same to the bit as a run of its own, on any groups and ranks; killed and gone on
with; added to; refused where it does not go together. (What evaluate and impute make of them: deviation.py.)

usage: members.py TESSERA SOURCE_FOLDER"""
import json
import os
import signal
import sys
import tempfile
import time

from checks import check, finish, run

import training

tessera = os.path.abspath(sys.argv[1])
folder = tempfile.TemporaryDirectory()
os.chdir(folder.name)


def words(directory, *settings):
    return ["train", "c.yaml", *(w for s in (f"run.directory={directory}", *settings) for w in ("--set", s))]


def ok(*line, ranks=1):
    done = run(*line, ranks=ranks)
    check(done.returncode == 0, f"{line} on {ranks} ranks: {done.returncode} {done.stderr}")
    return done.stdout + done.stderr


def train(directory, *settings, ranks=1):
    return ok(*words(directory, *settings), ranks=ranks)


def refused(code, part, *line, ranks=1):
    done = run(*line, ranks=ranks)
    check(done.returncode == code and part in done.stderr, f"{line}: {done.returncode} {done.stderr}")


def text(path):
    with open(path) as file:
        return file.read()


def same_members(directory, n, what):
    for k in range(1, n + 1):
        difference = training.differences(f"alone/{k}", f"{directory}/member-{k}")
        check(not difference, f"{what}, member {k}: {difference}")
        check(text(f"{directory}/member-{k}/blend.json") == text(f"alone/{k}/blend.json"), f"{what}: blend.json of {k}")


training.write_config("c.yaml", {"data.store": "s.prc.h5", "model.embedding_dim": 8, "model.hidden_dim": 16, "model.dropout": 0.2,
                                 "train.lanes": 6, "train.epochs": 3, "run.seed": 7})
ok("-q", "simulate", "-o", "s.prc.h5", "--perturbations", "40", "--readouts", "20", "--contexts", "4")
ok("-q", "split", "s.prc.h5", "--random", "--keep", "2")

# Members are runs with their seeds and kinds, whoever trains them.
MEMBERS = [(7, "mlp"), (7, "dot"), (8, "mlp"), (8, "dot")]
MIXED = ("train.members=4", "train.member_kinds=mlp, dot")
for k, (seed, kind) in enumerate(MEMBERS, 1):
    train(f"alone/{k}", f"run.seed={seed}", f"model.kind={kind}")
for groups, ranks in ((1, 1), (2, 2), (1, 3), (2, 3), (2, 5)):
    name = f"all-{groups}-{ranks}"
    train(name, *MIXED, f"train.groups={groups}", ranks=ranks)
    same_members(name, 4, f"{groups} groups of {ranks} ranks")
    check(text(f"{name}/deviation.json") == text("all-1-1/deviation.json"), f"deviation.json of {name}")
check(sorted(os.listdir("all-1-1")) == ["deviation.json", "lock", *(f"member-{k}" for k in range(1, 5)), "used.yaml"],
      f"what is in it: {os.listdir('all-1-1')}")
said = train("all-1-1", *MIXED)
check(said.count("nothing was left to do") == 4 and "deviation of" not in said, f"finished members: {said}")
ok("-q", "train", "all-1-1/member-3/used.yaml")
same_members("all-1-1", 4, "a member trained by its own used.yaml")

# Neighbouring seeds, added to later; one member is a run as ever.
train("grows", "train.members=2")
before = text("grows/deviation.json")
train("grows", "train.members=3", "train.groups=2", ranks=3)
check(not training.differences("grows/member-1", "alone/1"), "the first member has run.seed")
check(not training.differences("grows/member-2", "alone/3"), "the second run.seed + 1")
check(text("grows/deviation.json") != before and json.loads(text("grows/deviation.json"))["members"] == 3, "calibrated anew")
train("one", "train.members=1")
check(os.path.exists("one/log.jsonl") and not os.path.exists("one/member-1"), "one member is a run by itself")
check(not training.differences("one", "alone/1"), "one member")

# Killed, stopped, gone on with on other groups and ranks.
LONG = ("train.epochs=300", "checkpoint.minutes=0.002", "train.members=3")
straight = training.Started(tessera, 1, words("straight", *LONG))
for name, ranks, groups, how in (("killed", 3, 2, signal.SIGKILL), ("signalled", 2, 2, signal.SIGUSR1), ("asked", 2, 2, None),
                                 ("one by one", 1, 1, signal.SIGUSR1)):
    started = training.Started(tessera, ranks, words(name, *LONG, f"train.groups={groups}"))
    here = [f"{name}/member-1"] + [f"{name}/member-2"] * (groups - 1)
    there = training.wait_for(lambda: started.over() or all(os.path.isdir(p) and any(
        f.startswith("checkpoint") and f.endswith("h5") for f in os.listdir(p)) for p in here))
    check(there and started.hold(), f"{name} ended early: {started.read()}")  # held: fast machines do not run on to the end
    if how == signal.SIGKILL:
        started.kill_all()
        started.wait()
    else:
        if how is None:
            open(f"{name}/STOP", "w").close()
            time.sleep(1.1)  # rank 0 looks once a second
        else:  # one rank hears of it: of two groups the other must follow
            started.send(started.pids()[-1], how)
        started.go_on()
        code = started.wait()
        check(code == 75 and "run the same command again" in started.text, f"{name}: {code} {started.text}")
        check(os.path.exists(f"{name}/STOPPED") == (how is None), f"{name}: STOPPED")
    check(not os.path.exists(f"{name}/deviation.json"), f"{name}: calibrated too early")
check(straight.wait() == 0, straight.text)
for name, ranks, groups in (("killed", 2, 2), ("signalled", 1, 1), ("asked", 3, 1), ("one by one", 2, 2)):
    train(name, *LONG, f"train.groups={groups}", ranks=ranks)
    for k in (1, 2, 3):
        difference = training.differences(f"straight/member-{k}", f"{name}/member-{k}")
        check(not difference, f"{name}, member {k}: {difference}")
    check(text(f"{name}/deviation.json") == text("straight/deviation.json"), f"{name}: deviation.json")

# Impossible numbers, other settings.
refused(78, "train.groups is 3, but there are only 2 ranks", *words("no", "train.members=4", "train.groups=3"), ranks=2)
refused(78, "some groups would have nothing to train", *words("no", "train.members=2", "train.groups=3"), ranks=3)
refused(78, "'model.kind' is 'mpl'", *words("no", "train.members=2", "train.member_kinds=mpl,dot"))
refused(78, "names 3 kinds, but train.members is 2", *words("no", "train.members=2", "train.member_kinds=mlp,dot,cp"))
refused(78, "set model.kind instead", *words("no", "train.member_kinds=dot"))
refused(78, "leaves no seeds", *words("no", "train.members=2", "run.seed=4294967295"))
check(not os.path.exists("no"), "nothing is left behind")
refused(78, "holds 3 members, but train.members is 2", *words("grows", "train.members=2"))
refused(78, "holds 3 members, but train.members is 1", *words("grows"))
refused(78, "holds a single run", *words("one", "train.members=2"))
refused(78, "train.weight_decay: 0.1 (now 0.2)", *words("grows", "train.members=5", "train.weight_decay=0.2", "train.groups=2"), ranks=2)
refused(78, "train.member_kinds", *words("grows", "train.members=4", "train.member_kinds=dot"))
check(not os.path.exists("grows/member-4"), "no member is begun with other settings")
check("member 1 of 3" in ok(*words("no", "train.members=3"), "--dry-run") and not os.path.exists("no"), "a dry run")

# info and verify of the whole; a member that has not begun.
about = json.loads(ok("info", "all-1-1", "--json"))
check([(m["seed"], m["kind"]) for m in about["member"]] == [(str(s), k) for s, k in MEMBERS], f"info: {about['member']}")
check(about["deviation"]["model_hash"] == json.loads(text("all-1-1/deviation.json"))["model_hash"], "info: deviation")
said = ok("verify", "all-1-1")
check(said.count("every checksum") >= 8, f"verify: {said}")
os.mkdir("all-1-1/member-5")
said = ok("evaluate", "all-1-1", "--resamples", "10")
check("member-5: has no checkpoint yet" in said and "within 95 %" in said, f"an unfinished member: {said}")
finish()
