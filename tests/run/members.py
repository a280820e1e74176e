#!/usr/bin/python3
"""Several members in one run: each the same to the bit as a run of its own, on any groups and ranks; killed and gone on
with; added to; what evaluate and impute make of them, and how their deviation is calibrated, against NumPy and SciPy.

usage: members.py TESSERA SOURCE_FOLDER"""
import json
import os
import signal
import sys
import tempfile

from checks import check, finish, run

try:
    import anndata
    import h5py
    import numpy as np
    from scipy import optimize, stats
except ImportError as missing:
    print("skipped:", missing)
    sys.exit(77)
import training

tessera = os.path.abspath(sys.argv[1])
folder = tempfile.TemporaryDirectory()
os.chdir(folder.name)
Z = stats.norm.ppf([0.84, 0.975])


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
for groups, ranks in ((1, 1), (1, 2), (2, 2), (2, 3), (1, 5), (2, 5), (4, 5)):
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
LONG = ("train.epochs=400", "checkpoint.minutes=0.002", "train.members=3")
straight = training.Started(tessera, 1, words("straight", *LONG))
for name, ranks, groups, how in (("killed", 3, 2, signal.SIGKILL), ("signalled", 2, 2, signal.SIGUSR1), ("asked", 2, 2, None),
                                 ("one by one", 1, 1, signal.SIGUSR1)):
    started = training.Started(tessera, ranks, words(name, *LONG, f"train.groups={groups}"))
    here = [f"{name}/member-1"] + [f"{name}/member-2"] * (groups - 1)
    there = training.wait_for(lambda: started.over() or all(os.path.isdir(p) and any(
        f.startswith("checkpoint") and f.endswith("h5") for f in os.listdir(p)) for p in here))
    check(there and not started.over(), f"{name} ended early: {started.read()}")
    if how == signal.SIGKILL:
        started.kill_all()
        started.wait()
    else:
        if how is None:
            open(f"{name}/STOP", "w").close()
        else:  # one rank hears of it: of two groups the other must follow
            started.send(started.pids()[-1], how)
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


def imputed(path):
    a = anndata.read_h5ad(path)
    layers = {k: np.asarray(v, dtype=float) for k, v in a.layers.items()}
    return a, np.asarray(a.X, dtype=float), layers


def held_out(path, split):
    """{(perturbation, context): values} of experiments of one panel without replicates or missing values."""
    with h5py.File(path) as f:
        names = {k: [s.decode() for s in f[f"{k}/symbol"][()]] for k in ("perturbation", "readout", "context")}
        first, member = f["combination/first"][()], f["combination/member"][()]
        sets = ["+".join(names["perturbation"][m] for m in member[a:b]) for a, b in zip(first, first[1:])]
        value = f["value"][()].astype(float).reshape(len(f["experiment/split"]), -1)
        keys = zip(f["experiment/combination"][()], f["experiment/context"][()], f["experiment/split"][()], value)
        return {(sets[p], names["context"][c]): v for p, c, s, v in keys if s == split and sets[p] != "control"}, names["readout"]


def pairs(path, split):
    """Errors and deviations of what is held out."""
    a, mean, layers = imputed(path)
    at = {key: i for i, key in enumerate(zip(a.obs["perturbation"].astype(str), a.obs["context"].astype(str)))}
    truth, readouts = held_out("s.prc.h5", split)
    check(list(a.var_names) == readouts, "readouts in order")
    rows = [at[k] for k in truth if k in at]
    return (np.array([v for k, v in truth.items() if k in at]) - mean[rows]).ravel(), layers["std"][rows].ravel()


def likelihood(s, n, error, deviation):
    v = s ** 2 * deviation ** 2 + n ** 2
    return np.mean(np.log(v) + error ** 2 / v)


def within(error, deviation):
    return [float(np.mean(np.abs(error) <= z * deviation)) for z in Z]


# The run, its members by name in any number of ranks, and NumPy's mean and deviation of their predictions.
ONE_BY_ONE = [f"all-1-1/member-{k}" for k in range(1, 5)]
ok("-q", "impute", "all-1-1", "-o", "whole.h5ad")
for name, line, ranks in (("members", ONE_BY_ONE, 1), ("ranks", ["all-1-1"], 3), ("off", ["all-1-1", "--blend", "off"], 1)):
    ok("-q", "impute", *line, "-o", f"{name}.h5ad", ranks=ranks)
whole, mean, layers = imputed("whole.h5ad")
check(set(layers) == {"std", "std_calibrated"}, f"layers: {set(layers)}")
for name in ("members", "ranks"):
    other, other_mean, other_layers = imputed(f"{name}.h5ad")
    check((other_mean == mean).all() and all((other_layers[k] == layers[k]).all() for k in layers), f"{name}: the same bits")
    check(other.uns["model_hash"] == whole.uns["model_hash"], f"{name}: the same model")
each = []
for k in range(1, 5):
    ok("-q", "impute", f"all-1-1/member-{k}", "-o", f"{k}.h5ad")
    a, x, own = imputed(f"{k}.h5ad")
    check(not own, f"a single member has no layers: {set(own)}")
    each.append(x)
check(np.abs(np.mean(each, axis=0) - mean).max() < 1e-5, "the mean of the members")
check(np.abs(np.std(each, axis=0, ddof=1) - layers["std"]).max() < 1e-5, "their deviation, ddof 1")

# The calibration: the largest likelihood on validation, and what it does to the intervals of the test.
file = json.loads(text("all-1-1/deviation.json"))
for i, name in enumerate(("whole", "off")):
    fit = file["fits"][i] if len(file["fits"]) > 1 else file["fits"][0]
    error, deviation = pairs(f"{name}.h5ad", 1)
    check(file["values"] == len(error) and file["members"] == 4, f"values: {file}")
    best = min((optimize.minimize(lambda p: likelihood(*np.exp(p), error, deviation), np.log(start), method="Nelder-Mead",
                                  options={"xatol": 1e-6, "fatol": 1e-12, "maxiter": 4000})
                for start in ((1, error.std()), (3, error.std() / 9), (1e-3, error.std()))), key=lambda r: r.fun)
    mine = likelihood(fit["scale"], fit["noise"], error, deviation)
    check(mine < best.fun + 1e-6, f"{name}: likelihood {mine}, SciPy's {best.fun} at {np.exp(best.x)}: {fit}")
    check(abs(stats.spearmanr(np.abs(error), deviation)[0] - fit["rank_correlation"]) < 1e-3, f"{name}: rank correlation")
    check(np.allclose(within(error, deviation), [fit["within_68"], fit["within_95"]], atol=2e-3), f"{name}: coverage")
    total = np.sqrt((fit["scale"] * deviation) ** 2 + fit["noise"] ** 2)
    check(np.allclose(within(error, total), [fit["calibrated_within_68"], fit["calibrated_within_95"]], atol=2e-3), f"{name}")
    a, _, of = imputed(f"{name}.h5ad")
    check(a.uns["deviation_scale"] == fit["scale"] and a.uns["deviation_noise"] == fit["noise"], f"{name}: notes")
    want = np.sqrt((fit["scale"] * of["std"]) ** 2 + fit["noise"] ** 2)
    check(np.allclose(of["std_calibrated"], want, rtol=1e-6), f"{name}: layers/std_calibrated")
    check(fit["within_95"] < 0.9 < fit["calibrated_within_95"] < 0.99, f"{name}: calibrating helps: {fit}")
    line = ["evaluate", "all-1-1", "--resamples", "10", "--blend", "auto" if name == "whole" else "off"]
    ok("-q", *line, "--json", f"{name}.json")
    scores = json.loads(text(f"{name}.json"))["deviation"]
    error, deviation = pairs(f"{name}.h5ad", 2)
    total = np.sqrt((fit["scale"] * deviation) ** 2 + fit["noise"] ** 2)
    check(scores["values"] == len(error), f"{name}: {scores}")
    check(abs(stats.spearmanr(np.abs(error), deviation)[0] - scores["rank_correlation"]) < 1e-3, f"{name}: on test: {scores}")
    for got, d in ((scores["coverage"], deviation), (scores["calibrated"]["coverage"], total)):
        check(np.allclose([got["68"], got["95"]], within(error, d), atol=2e-3), f"{name}: coverage on test {got}, {within(error, d)}")
    check(scores["calibrated"]["scale"] == fit["scale"], f"{name}: {scores}")
for line, ranks in ((ONE_BY_ONE, 1), (["all-1-1"], 2), (["all-1-1"], 3), (["all-1-1"], 5)):
    ok("-q", "evaluate", *line, "--resamples", "10", "--json", "again.json", ranks=ranks)
    check(text("again.json") == text("whole.json"), f"evaluate {line} on {ranks} ranks: the same")
check("deviation of the members" in ok("evaluate", "all-1-1", "--resamples", "10"), "in the table")

# What has none says why: a single model, other runs, some of the members, a damaged or a stale file.
def reason(*line):
    ok("-q", "evaluate", *line, "--resamples", "10", "--json", "why.json")
    said = json.loads(text("why.json"))
    return said["reasons"]["deviation"] if said["deviation"] is None else said["deviation"]["reasons"]["calibrated"]


check("several models" in reason("one"), "a single model")
check("no deviation.json" in reason("alone/1", "alone/2"), "runs by themselves")
check("other members" in reason(*ONE_BY_ONE[:2]), "some of the members")
ok("-q", "impute", *ONE_BY_ONE[:2], "-o", "some.h5ad")
check(set(imputed("some.h5ad")[2]) == {"std"}, "no calibrated layer without a calibration")
good = text("all-1-1/deviation.json")
for bad, part in ((good[:-9], "is no JSON"), (good.replace('"scale"', '"scales"'), "lacks a number"),
                  (good.replace(' 1"', ' 2"'), "another version")):
    with open("all-1-1/deviation.json", "w") as out:
        out.write(bad)
    check("damaged" in reason("all-1-1"), f"a damaged file: {part}")
    done = run("verify", "all-1-1")
    check(done.returncode == 65 and part in done.stdout, f"verify: {done.stdout}")
train("all-1-1", *MIXED)
check(text("all-1-1/deviation.json") == good, "made anew by train")

# info and verify of the whole; a member that has not begun.
about = json.loads(ok("info", "all-1-1", "--json"))
check([(m["seed"], m["kind"]) for m in about["member"]] == [(str(s), k) for s, k in MEMBERS], f"info: {about['member']}")
check(about["deviation"] == json.loads(good), "info: deviation")
said = ok("verify", "all-1-1")
check(said.count("every checksum") >= 8, f"verify: {said}")
os.mkdir("all-1-1/member-5")
said = ok("impute", "all-1-1", "-o", "five.h5ad")
check("member-5: has no checkpoint yet" in said and (imputed("five.h5ad")[1] == mean).all(), f"an unfinished member: {said}")
finish()
