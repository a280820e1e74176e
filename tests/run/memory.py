#!/usr/bin/python3
"""The memory that a training needs is what it announces: at most 15 % more on any rank, and far less never; a prediction
keeps to what it is allowed, where the table of perturbations alone is larger. Sizes do not depend on how fast the machine
is: a stop before the second step leaves loading, a step and a checkpoint."""
import os
import re
import subprocess
import sys
import tempfile

import machine  # noqa: F401 -- the environment

tessera = os.path.abspath(sys.argv[1])
folder = tempfile.TemporaryDirectory()
os.chdir(folder.name)
SETTINGS = {"model.embedding_dim": 64, "model.hidden_dim": 256, "train.batch": 16384, "train.lanes": 16, "train.epochs": 1}


def simulate(name, *options):
    subprocess.run([tessera, "simulate", "-q", "-o", name, *options], check=True, timeout=120)


def train(store, ranks=1, code=75, threads=1, **changed):
    """Megabytes announced, measured by the program, and, for one rank, by the system."""
    settings = {**SETTINGS, "data.store": store, "run.directory": tempfile.mkdtemp(dir="."), "train.threads": threads,
                **{key.replace("__", "."): value for key, value in changed.items()}}
    with open("config.yaml", "w") as file:
        file.writelines(f"{key}: {value}\n" for key, value in settings.items())
    start = ["mpirun", "-n", str(ranks)] if ranks > 1 else []
    limit = ["--time-limit", "0.00001"] if code == 75 else []
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen([*start, tessera, "train", "-v", "config.yaml", *limit], stdout=output, stderr=output)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        said = output.read().decode()
    assert process.returncode == code, (process.returncode, said)
    announced = float(re.search(r"memory of each rank: ([0-9.]+) MB", said)[1])
    peak, again = map(float, re.search(r"peak memory of a rank: ([0-9.]+) MB of ([0-9.]+) announced", said).groups())
    assert announced == again, said
    if ranks == 1:
        system = usage.ru_maxrss * 1024 / 1e6
        assert abs(system - peak) < 0.05 * peak, (system, peak)
    print(f"{store}, {ranks} × {threads}, {changed}: {peak:.1f} MB of {announced:.1f}")
    assert peak <= 1.15 * announced, said
    return announced, peak


simulate("large.prc.h5", "--perturbations", "10000", "--readouts", "1000", "--contexts", "2")  # 80 MB
for ranks, threads in (1, 1), (2, 1), (3, 2):
    for sampling in "tiles", "observations":
        announced, peak = train("large.prc.h5", ranks, threads=threads, train__sampling=sampling)
        assert announced <= 1.6 * peak, (announced, peak)
train("large.prc.h5", data__normalize="zscore", data__top_variable=500)
train("large.prc.h5", 2, data__normalize="delta")
for ranks in 1, 3:
    train("large.prc.h5", ranks, data__streaming="true")

# Many readouts: the comparison with the baselines, at the end, is what counts.
simulate("wide.prc.h5", "--perturbations", "200", "--readouts", "2500", "--contexts", "2")
for ranks in 1, 2:
    announced, peak = train("wide.prc.h5", ranks, code=0)
    assert announced <= 1.6 * peak, (announced, peak)

# Many perturbations: their table is what counts.
simulate("tall.prc.h5", "--perturbations", "100000", "--readouts", "2", "--contexts", "1")
for ranks in 1, 3:
    announced, peak = train("tall.prc.h5", ranks)
    assert announced <= 1.6 * peak, (announced, peak)

# A whole epoch, with validation
simulate("small.prc.h5", "--perturbations", "300", "--readouts", "500", "--contexts", "2")
for ranks in 1, 2:
    train("small.prc.h5", ranks, code=0, model__hidden_dim=64)

# A table of perturbations (205 MB) that is larger than what a rank may take: rows come from the checkpoint.
ALLOWED = 195


def peak_of(*words):
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen([tessera, *words], stdout=output, stderr=output)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        assert process.returncode == 0, output.read().decode()
    return usage.ru_maxrss * 1024 / 1e6


train("tall.prc.h5", model__embedding_dim=512, model__hidden_dim=16, run__directory="wide")
with open("queries.tsv", "w") as file:  # rows from everywhere, in no order
    file.write("context\tperturbation\treadout\n")
    file.writelines(f"C1\tP{i * 7919 % 100000 + 1:06d}\tR1\n" for i in range(100000))
for output, words in (("free.tsv", []), ("kept.tsv", ["--memory", f"{ALLOWED}M"])):
    peak = peak_of("-q", "predict", "wide", "queries.tsv", "-o", output, "--blend", "off", *words)
    print(f"predict {words}: {peak:.1f} MB")
    assert (peak < ALLOWED) == bool(words), peak
assert open("free.tsv").read() == open("kept.tsv").read()
with open("split.tsv", "w") as file:  # none was held out when it was trained
    file.write("perturbation\tcontext\tsplit\n")
    file.writelines(f"P{i + 1:06d}\tC1\t{'train' if i % 400 else 'test'}\n" for i in range(100000))
subprocess.run([tessera, "split", "-q", "tall.prc.h5", "--file", "split.tsv"], check=True)
scores = ["evaluate", "wide", "--store", "tall.prc.h5", "--resamples", "20", "--json"]
for output, words in (("free.json", []), ("kept.json", ["--memory", f"{ALLOWED}M"])):
    peak = peak_of("-q", *scores, output, *words)
    print(f"evaluate {words}: {peak:.1f} MB")
    assert peak < ALLOWED or not words, peak
assert open("free.json").read() == open("kept.json").read()


# All pairs of perturbations: what is kept of them, on any rank.
def screened(*words):
    """Megabytes announced (0: nothing is said) and measured."""
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen([tessera, "screen", "wide", "-r", "R1", "--blend", "off", "-o", "pairs.tsv", "--force", *words],
                                   stdout=output, stderr=output)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        said = output.read().decode()
        assert process.returncode == 0, said
    told = re.findall(r"([0-9.e+]+) MB", said)
    return max(map(float, told), default=0), usage.ru_maxrss * 1024 / 1e6


with open("names.txt", "w") as file:
    file.writelines(f"P{i + 1:06d}\n" for i in range(1000))
_, base = screened("-p", "@names.txt")  # the model, and rows of its table
for top in 5, 400000, 499500:
    announced, peak = screened("-p", "@names.txt", "--pairs", "all", "--top", str(top))
    print(f"screen --pairs all --top {top}: {announced:.1f} MB announced, {peak - base:.1f} taken")
    assert 0.8 * (peak - base) - 4 <= announced <= 2.5 * (peak - base) + 8, (announced, peak, base)
peak = peak_of("-q", "impute", "wide", "-o", "kept.h5ad", "--blend", "off", "--memory", f"{ALLOWED}M")
print(f"impute: {peak:.1f} MB")
assert peak < ALLOWED, peak
print("ok")
