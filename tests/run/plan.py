#!/usr/bin/python3
"""plan.py -- what `tessera plan` says beforehand, held against trainings: bytes and messages of every kind and rank, exactly,
on 1, 2, 4 and 8 ranks (counted by count_messages.c between the program and MPI); the memory of a rank within 15 %; and what
it says of data that are not there, against a store of that shape. Times are not held against a clock.

usage: plan.py TESSERA SOURCE_FOLDER COUNT_MESSAGES"""
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import checks
import small_store
import training
from checks import check

tessera, counter = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[3])
folder = tempfile.TemporaryDirectory(prefix="tess_plan_")
os.chdir(folder.name)
KINDS = ["rows asked for", "rows fetched", "gradients of rows", "sums over lanes", "slices of the MLP", "pulse"]
RATE = ["--rate", "200000"]  # nothing is measured where times do not matter


def plan(*words, ranks=1, code=0, error=None, processes=1):
    done = checks.run("plan", *words, "--ranks", ranks, "--json", "plan.json", ranks=processes)
    check(done.returncode == code, f"plan {words}: {done.returncode} {done.stderr}")
    if error:
        check(error in done.stderr and (processes > 1 or done.stderr.count("error: ") == 1), f"plan {words}: {done.stderr!r}")
        return None
    return json.loads(pathlib.Path("plan.json").read_text())


def traced(ranks):
    for path in pathlib.Path().glob("calls.*"):
        path.unlink()
    start = ["mpirun", "-n", str(ranks)] if ranks > 1 else []
    done = subprocess.run([*start, "env", f"LD_PRELOAD={counter}", "COUNT_MESSAGES=calls", tessera, "-v", "train", "config.yaml"],
                          capture_output=True, text=True, timeout=120)
    check(done.returncode == 0, done.stderr)
    calls = []
    for rank in range(ranks):
        lines = [line.split() for line in pathlib.Path(f"calls.{rank}").read_text().splitlines()]
        calls.append([(name, *map(int, numbers)) for name, *numbers in lines])
    return calls, done.stderr


def count_steps(calls):
    """(steps, bytes and messages by kind) of a rank's first epoch: windows of steps, each begun by who asks for how many rows."""
    sums = [[0, 0] for _ in KINDS]
    # an epoch begins with the number of its steps: the largest of all ranks'
    at = next(i for i in range(len(calls)) if calls[i][0] == "allreduce" and calls[i][4] and calls[i + 1][0] == "alltoall") + 1
    steps = 0

    def take(name, kind):
        nonlocal at
        assert calls[at][0] == name, (at, calls[at - 3:at + 3], name)
        sums[kind][0] += calls[at][1]
        sums[kind][1] += calls[at][2]
        at += 1

    while calls[at][0] == "alltoall":
        window = calls[at][4]
        take("alltoall", 0)
        for _ in range(window):
            take("alltoallv", 0)
        for _ in range(window):
            take("alltoallv", 1)
            take("allreduce", 5)
            while calls[at][0] == "isend":
                take("isend", 3)
            if calls[at][0] == "allgatherv":
                take("allgatherv", 4)
            take("alltoallv", 2)
        steps += window
    return steps, sums


def compare(name, settings, numbers):
    for ranks in numbers:
        training.write_config("config.yaml", {**settings, "run.directory": f"run-{name}-{ranks}"})
        told = plan("config.yaml", *RATE, "--steps", "1000000", ranks=ranks)
        calls, said = traced(ranks)
        traffic = told["traffic"]
        for rank in range(ranks):
            steps, sums = count_steps(calls[rank])
            check(steps == traffic["steps"] == told["steps_per_epoch"], f"{name}, {ranks} ranks: {steps} steps, {traffic['steps']}")
            for kind, counted in zip(KINDS, sums):
                of = traffic["ranks_send"][kind]
                check(counted == [of["bytes"][rank], of["messages"][rank]],
                      f"{name}, rank {rank} of {ranks}, {kind}: {counted}, not {of['bytes'][rank]}, {of['messages'][rank]}")
        announced = float(re.search(r"memory of each rank: ([0-9.]+) MB", said)[1])
        layout = told["layouts"][told["asked"]]
        check(abs(layout["memory_bytes"] / 1e6 - announced) < 0.15 * announced,
              f"{name}, {ranks} ranks: {layout['memory_bytes'] / 1e6} MB planned, {announced} announced")
        check(sum(sum(traffic["ranks_send"][kind]["bytes"]) for kind in KINDS[:5]) > 0 or ranks == 1, "nothing is sent")


small_store.write(tessera, "small.prc.h5", small_store.rows())
SMALL = {"data.store": os.path.abspath("small.prc.h5"), "model.embedding_dim": 8, "model.hidden_dim": 48, "train.epochs": 1,
         "train.batch": 192, "train.lanes": 11, "model.kind": "mlp", "train.sampling": "tiles"}
compare("tiles", SMALL, (1, 2, 4, 8))
compare("observations", {**SMALL, "train.sampling": "observations", "data.top_variable": 20}, (2, 8))
compare("dot", {**SMALL, "model.kind": "dot", "train.lanes": 8}, (1, 4))

# Memory of real runs, a store that counts
checks.run("simulate", "-q", "-o", "large.prc.h5", "--perturbations", "1000", "--readouts", "1000", "--contexts", "2")
LARGE = {"data.store": os.path.abspath("large.prc.h5"), "model.embedding_dim": 64, "model.hidden_dim": 256, "train.batch": 16384,
         "train.lanes": 16, "train.epochs": 1, "model.layers": 1, "model.kind": "mlp", "train.sampling": "tiles"}
for ranks in 1, 2:
    training.write_config("config.yaml", {**LARGE, "run.directory": f"large-{ranks}"})
    told = plan("config.yaml", *RATE, ranks=ranks)["layouts"][0]["memory_bytes"] / 1e6
    done = checks.run("train", "-v", "config.yaml", ranks=ranks)
    peak = float(re.search(r"peak memory of a rank: ([0-9.]+) MB", done.stderr)[1])
    print(f"{ranks} ranks: {told:.1f} MB planned, {peak:.1f} MB taken")
    check(abs(told - peak) < 0.15 * peak, f"{ranks} ranks: {told} MB planned, {peak} MB taken")

# Data that are not there: as a store of that shape. Its validation is a tenth; the simulated store has none.
SHAPE = ["--perturbations", "1001", "--readouts", "1000", "--contexts", "2"]
there = plan("config.yaml", *RATE, ranks=4)
shape = plan("config.yaml", *RATE, *SHAPE, ranks=4)
check(abs(shape["layouts"][0]["memory_bytes"] / there["layouts"][0]["memory_bytes"] - 1) < 0.25,
      f"shape: {shape['layouts'][0]}, store: {there['layouts'][0]}")
for kind in KINDS:
    sent = [sum(made["traffic"]["ranks_send"][kind]["bytes"]) / made["traffic"]["steps"] for made in (there, shape)]
    check(abs(sent[0] - sent[1]) <= 0.1 * sent[0], f"{kind}: {sent}")
training.write_config("wide.yaml", {**LARGE, "train.lanes": 1024, "train.batch": 2**20})
wide = plan("wide.yaml", *RATE, "--perturbations", 10**8, "--readouts", "1000", "--contexts", "1", "--nodes", "16", ranks=512)
table = 10**8 * (3 * 4 * 64 + 8 + 4) / 512  # values, two moments; the step that a row last moved at, and a mark
check(wide["layouts"][0]["memory"]["model"] > table, f"a table of 10^8 rows: {wide['layouts'][0]['memory']}")
check(wide["layouts"][0]["limited_by"] and wide["steps_per_epoch"] > 80000, f"{wide['steps_per_epoch']} steps an epoch")

# One rank is compute alone; a slow network is felt; a rate is what it says.
one = plan("config.yaml", "--rate", "1000000", ranks=1)["layouts"][0]
check(0.8e6 < one["observations_per_s"] <= 1e6 and one["step"]["latency"] == one["step"]["bandwidth"] == 0, f"one rank: {one}")
slow = plan("config.yaml", *RATE, "--nodes", "2", "--network", "10ms,1Mbit/s", ranks=2)
check(slow["between_nodes"] == {"latency": 0.01, "bandwidth": 125000.0, "from": "given"}, slow["between_nodes"])
check(slow["layouts"][0]["limited_by"] == "bandwidth" and slow["layouts"][slow["best"]]["ranks"] == 1, f"slow: {slow['layouts']}")

# A step that is measured; messages, under mpirun; a run in place of its configuration
measured = plan("config.yaml", "--threads", "1", ranks=2, processes=2)
check(measured["rate"]["from"] == "measured" and measured["within_node"]["from"] == "measured", f"{measured['rate']}")
check(plan("run-tiles-2", *RATE, ranks=2)["steps_per_epoch"] > 0, "a run")
check(not [name for name in os.listdir() if name.startswith("tessera-bench")], "simulated data are left behind")

# Small data that are not there, of which single observations are drawn; fewer than a step; columns chosen; a large panel without
# the memory for its values.
training.write_config("auto.yaml", {"data.store": "nowhere.prc.h5"})
for shape, setting, steps in ((1000, 100, 2), [], 354), ((1, 1, 1), [], 1), ((10, 2, 10, "--experiments", 1), [], 1), \
        ((100, 10, 2), ["--set", "data.top_variable=5"], 4), ((20000, 20000, 10), ["--set", "data.streaming=true"], None):
    words = ["--perturbations", shape[0], "--readouts", shape[1], "--contexts", shape[2], *shape[3:], *setting]
    told = plan("auto.yaml", *RATE, *words)
    check(len(told["layouts"]) > 0 and (steps is None or told["steps_per_epoch"] == steps), f"{words}: {told}")

# Bad input
plan("config.yaml", ranks=17, code=78, error="17 ranks share 16 lanes")
plan("config.yaml", "--nodes", "3", ranks=2, code=2, error="--nodes: 3 nodes for 2 ranks")
plan("config.yaml", ranks=0, code=2, error="--ranks: '0' is no whole number")
plan("config.yaml", "--network", "fast", code=2, error="--network: 'fast' is no latency and bandwidth")
plan("config.yaml", "--network", "2us,12", code=2, error="--network: '2us,12' is no latency and bandwidth")
plan("config.yaml", "--network", "0us,1GB/s", code=2, error="--network: '0us,1GB/s'")
plan("config.yaml", "--readouts", "5", code=2, error="need --perturbations, --readouts and --contexts")
plan("config.yaml", "--experiments", "5", code=2, error="--experiments and --missing belong")
plan("config.yaml", *SHAPE, "--experiments", "3000", code=2, error="are more than perturbations")
os.mkdir("empty")
plan("empty", code=65, error="holds no used.yaml")
training.write_config("missing.yaml", {"data.store": "nowhere.prc.h5"})
plan("missing.yaml", code=65, error="nowhere.prc.h5")
plan("missing.yaml", code=65, error="nowhere.prc.h5", processes=2)
plan("nothing.yaml", code=78, error="nothing.yaml")

# A network's inverses: matrices and operations as their numbers say, for each number of ranks
told = plan("--genes", "20000", "--rate", "1e10", ranks=6)
check([one["ranks"] for one in told["layouts"]] == [1, 2, 4, 6, 8, 16, 32, 64], f"layouts: {told['layouts']}")
for one in told["layouts"]:
    pairs = 20000 * -(-20000 // one["ranks"])
    edges = max(96 * 2000001, (one["ranks"] > 1) * 80 * 3000001)  # twice --edges, sorted; with those of another rank
    way = 8 * pairs + min(8 * pairs, 2 ** 31) * (1 + 1 / one["ranks"])  # a rank's own effects, sent and received
    least = pairs * (8 + 13) + max(3 * 8 * 20000 ** 2 / one["ranks"] + way, edges)
    check(least * (1 - 1e-6) <= one["memory_bytes"] <= least * 1.03, f"memory: {one}, {least} if all blocks were dealt out evenly")
    check(abs(one["hours"] * 3600 * 0.7e10 * one["ranks"] / (36 * 20000 ** 3) - 1) < 1e-9, f"hours: {one}")
for more in (["--threads", "2"], ["--network", "2us,12GB/s"], ["--impute"], ["--perturbations", "9"], ["--nodes", "1"], ["--steps", "9"],
             ["--set", "train.lanes=4"], ["--memory", "1G"], ["--dtype", "float16"]):
    plan("--genes", "20000", *more, code=2, error=f"leave out {more[0]}\n")
plan("--genes", "20000", "--memory", "1G", "--threads", "2", code=2, error="leave out --threads, --memory\n")
wide = plan("--genes", "100000", "--rate", "1e10", ranks=4)
check([one["ranks"] for one in wide["layouts"] if not one["possible"]] == [1, 2, 4], f"beyond what ScaLAPACK counts: {wide}")
plan("config.yaml", "--genes", "20000", code=2, error="plan --genes is not about 'config.yaml'")
plan(code=2, error="plan needs a configuration, a run or --genes")

# Imputation: of everything, and of a selection; what impute itself says
told = plan("run-tiles-2", "--impute", "--rate", "1000000", ranks=4)
run = plan("run-tiles-2", "--impute", "--contexts", "c0,c1", "--perturbations", "p0*", "--dtype", "float16", "--blend", "off")
check(told["rows"] > run["rows"] == 20 and abs(told["hours"] * 3600 * 4e6 - told["rows"] * told["readouts"]) < 1, f"{told} {run}")
check(told["bytes"] > 4 * told["rows"] * told["readouts"] and run["values_per_s"] > 0, f"{told} {run}")
plan("run-tiles-2", "--impute", "--contexts", "nowhere", code=65, error="nowhere")
plan("config.yaml", "--impute", code=65, error="config.yaml")
checks.finish()
