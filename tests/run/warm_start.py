#!/usr/bin/python3
"""train --init: what a model knows it goes on with, what is new begins as it should, what is frozen stays; the same bits on any
number of ranks and across interruptions; refused where it does not fit. Exported arrays are compared with NumPy's.

usage: warm_start.py TESSERA SOURCE_FOLDER"""
import os
import shutil
import sys
import tempfile

import machine

with machine.needed():
    import h5py
    import numpy as np
machine.need("h5diff")
from checks import check, finish, run

import small_store
import training

tessera = os.path.abspath(sys.argv[1])
folder = tempfile.TemporaryDirectory()
os.chdir(folder.name)
TABLES = ["perturbation", "readout", "context"]
CONTEXT = {"c0": "k", "c1": "m", "c2": "a"}  # the new one comes first
TYPE = lambda p: p if p[0] != "p" else f"{'CRISPRi' if p < 'p07' else 'KO'}_{p}"
TYPE_OF = lambda p: p.partition("_")[0]
NEW = {"perturbation": {"CRISPRi_p06", "KO_p13"}, "context": {"a"}, "readout": {"r03"}}


def symbols(row):
    return {"perturbation": set(row[1].split("+")), "context": {row[0]}, "readout": set()}


everything = [(CONTEXT[c], "+".join(map(TYPE, p.split("+"))), s, v) for c, p, s, v in small_store.rows()]
known = [(c, p, s, {r: x for r, x in v.items() if r != "r03"}) for c, p, s, v in everything
         if not any(symbols((c, p))[t] & NEW[t] for t in ("perturbation", "context"))]
small_store.write(tessera, "known.prc.h5", known)
small_store.write(tessera, "all.prc.h5", everything)
training.write_config("c.yaml", {"model.embedding_dim": 12, "model.hidden_dim": 20, "train.epochs": 2, "train.batch": 60,
                                 "train.lanes": 6, "train.learning_rate": 0.004, "train.schedule": "constant"})


def words(directory, store, *settings, options=()):
    pairs = (f"run.directory={directory}", f"data.store={store}.prc.h5", *settings)
    return ["train", "c.yaml", *(w for s in pairs for w in ("--set", s)), *options]


def ok(*line, ranks=1):
    done = run(*line, ranks=ranks)
    check(done.returncode == 0, f"{line} on {ranks} ranks: {done.returncode} {done.stderr}")
    return done.stdout + done.stderr


def train(directory, store, *settings, options=(), ranks=1):
    return ok(*words(directory, store, *settings, options=options), ranks=ranks)


def refused(code, part, *line, ranks=1):
    done = run(*line, ranks=ranks)
    check(done.returncode == code and part in done.stderr, f"{line}: {done.returncode} {done.stderr}")


def arrays(directory):
    """Of the newest checkpoint: {table: {symbol: row}}, the network, trained symbols."""
    ok("-q", "export", training.newest(directory), "-o", f"{directory}.npz", "--force")
    file = dict(np.load(f"{directory}.npz"))
    names = {t: [s.decode() for s in file[t + "_symbols"]] for t in TABLES}
    rows = {t: dict(zip(names[t], file[t])) for t in TABLES}
    network = {k: v for k, v in file.items() if k in ("wp", "wr", "wc", "wg", "b1", "w", "b", "wo", "bo", "center", "spread")}
    return rows, network, {t: dict(zip(names[t], file[t + "_trained"])) for t in TABLES}, file


def same(a, b):
    return all(np.array_equal(a[k], b[k]) for k in b)


def predictions(directory):
    """Of all that the first model was trained on."""
    ok("-q", "predict", training.newest(directory), "queries.tsv", "-o", f"{directory}.tsv", "--blend", "off", "--precision", "float32",
       "--force")
    return np.loadtxt(f"{directory}.tsv", skiprows=1, usecols=3)


trained = [(c, p, r) for c, p, s, v in known if s == "train" for r in list(v)[:3]]
with open("queries.tsv", "w") as file:
    print("context", "perturbation", "readout", sep="\t", file=file)
    for line in trained:
        print(*line, sep="\t", file=file)

# Before the first step the values of what is known are those of the model; nothing moves at a rate of 0.
for i, (kind, normalize) in enumerate([("mlp", "none"), ("dot", "zscore"), ("cp", "delta")]):
    settings = (f"model.kind={kind}", f"data.normalize={normalize}")
    train(f"base{i}", "known", *settings)
    train(f"step0_{i}", "all", *settings, "train.learning_rate=0", "train.epochs=1", options=("--init", f"base{i}"))
    before, after = predictions(f"base{i}"), predictions(f"step0_{i}")
    spread = np.ptp(before)
    check(len(before) == len(trained) and spread > 0.1, f"{kind}: too little to compare ({len(before)}, {spread})")
    check(abs(before - after).max() < 1e-6 * max(1, spread), f"{kind}, {normalize}: off by {abs(before - after).max()}")
    old, old_network, old_trained, _ = arrays(f"base{i}")
    new, new_network, new_trained, _ = arrays(f"step0_{i}")
    check(same(new_network, old_network), f"{kind}: another network")
    for t in TABLES:
        known_here = {s for s, flag in old_trained[t].items() if flag}
        check(all(np.array_equal(new[t][s], old[t][s]) for s in known_here), f"{kind}: other rows of {t}s")
        check(all(new_trained[t][s] for s in known_here), f"{kind}: {t}s are not trained any more")
        of = lambda s: TYPE_OF(s) if t == "perturbation" else ""
        for s in set(new[t]) - known_here:
            kin = [old[t][k] for k in sorted(known_here) if of(k) == of(s)] or [old[t][k] for k in sorted(known_here)]
            check(np.allclose(new[t][s], np.mean(np.array(kin, float), axis=0), atol=1e-6), f"{kind}: {t} {s} is no mean of its kind")
        check(set(new[t]) - known_here >= NEW[t], f"nothing new among {t}s")
train("random", "all", "train.learning_rate=0", "train.epochs=1", "train.init_new=random", options=("--init", "base0"))
train("cold", "all", "train.learning_rate=0", "train.epochs=1")
for t in TABLES:
    warm, cold = arrays("random")[0][t], arrays("cold")[0][t]
    check(all(np.array_equal(warm[s], cold[s]) for s in NEW[t]), f"random {t}s are not those of a training from nothing")

# Contexts made of parts: the model's parts, and what is a context's own, are kept, whatever the numbers of their rows.
PLACES = {"k": "L_2h", "m": "M_8h", "a": "A_2h"}
small_store.write(tessera, "parts_known.prc.h5", [(PLACES[c], p, s, v) for c, p, s, v in known])
small_store.write(tessera, "parts_all.prc.h5", [(PLACES[c], p, s, v) for c, p, s, v in everything])
with open("queries.tsv", "w") as file:
    print("context", "perturbation", "readout", sep="\t", file=file)
    for c, p, r in trained:
        print(PLACES[c], p, r, sep="\t", file=file)
train("parts", "parts_known", "model.context_parts=true")
train("parts0", "parts_all", "model.context_parts=true", "train.learning_rate=0", "train.epochs=1", options=("--init", "parts"), ranks=2)
before, after = predictions("parts"), predictions("parts0")
check(abs(before - after).max() < 1e-6 * max(1, np.ptp(before)), f"parts: off by {abs(before - after).max()}")
# What is its own beside parts begins at 0, a new part as the mean of parts in its place: L_8h is what the model said by its parts.


def rows_of(directory, table, parts):
    """Rows of symbols and parts by name, as a training at a rate of 0 leaves them; the symbols' flags."""
    with h5py.File(training.newest(directory)) as file:
        names = [s.decode() for s in file[f"{table}/symbol"][()]]
        value, flag = file[f"table/{table}/value"][()], file[f"{table}/trained"][()]
    parts = sorted(parts(names), key=str.encode)
    check(len(value) == len(names) + len(parts), f"{directory}: {len(value)} rows of {len(names)} {table}s, not {len(parts)} of parts")
    return dict(zip(names, value)), dict(zip(parts, value[len(names):])), dict(zip(names, flag))


own, part, _ = rows_of("parts0", "context", lambda names: {f"{k + 1}:{x}" for n in names for k, x in enumerate(n.split("_"))})
check(not own["A_2h"].any() and own["L_2h"].any(), "a new context's own row does not begin at 0")
check(np.allclose(part["1:A"], (part["1:L"] + part["1:M"]) / 2, atol=1e-6), "1:A is not the mean of cell lines")
fourth = [("L_8h", p, s, v) for c, p, s, v in known if c == "k"]
small_store.write(tessera, "parts_more.prc.h5", [(PLACES[c], p, s, v) for c, p, s, v in known] + fourth)
small_store.write(tessera, "parts_held.prc.h5", [(PLACES[c], p, s, v) for c, p, s, v in known] + [(c, p, "test", v) for c, p, s, v in fourth if p != "control"])
train("held", "parts_held", "model.context_parts=true")
for name, ranks in (("parts", 1), ("held", 3)):
    train("more", "parts_more", "model.context_parts=true", "train.learning_rate=0", "train.epochs=1", "train.experiments=new",
          options=("--init", name, "--fresh"), ranks=ranks)
    with open("queries.tsv", "w") as file:
        print("context", "perturbation", "readout", sep="\t", file=file)
        for c, p, r in trained:
            print("L_8h", p, r, sep="\t", file=file)
    before, after = predictions(name), predictions("more")
    check(abs(before - after).max() < 1e-6 * max(1, np.ptp(before)), f"L_8h, from {name}: off by {abs(before - after).max()}")
refused(78, "model.context_parts: true (now false)", *words("no", "parts_all", options=("--init", "parts")))
refused(78, "model.noise: none (now learned)", *words("no", "parts_all", "model.context_parts=true", "model.noise=learned", options=("--init", "parts")))

# Doses count from the middle of their drug's: where that is another one, rows mean something else.
DOSED = lambda p, x: "+".join(q if q == "control" else f"{q}@{x}uM" for q in p.split("+"))
for name, some, doses in (("known", known, (1, 10)), ("all", everything, (1, 10)), ("more", everything, (1, 10, 20))):
    small_store.write(tessera, f"doses_{name}.prc.h5", [(c, DOSED(p, x), s, v) for x in doses for c, p, s, v in some])
train("doses", "doses_known", "model.doses=true")
train("doses0", "doses_all", "model.doses=true", "train.learning_rate=0", "train.epochs=1", options=("--init", "doses"), ranks=2)
with open("queries.tsv", "w") as file:
    print("context", "perturbation", "readout", sep="\t", file=file)
    for c, p, r in trained:
        print(c, DOSED(p, 10), r, sep="\t", file=file)
before, after = predictions("doses"), predictions("doses0")
check(abs(before - after).max() < 1e-6 * max(1, np.ptp(before)), f"doses: off by {abs(before - after).max()}")
own, part, flag = rows_of("doses0", "perturbation", lambda names: {"@dose", "@dose2"} | {d + x for n in names if "@" in n
                                                                                        for d in [n.partition("@")[0]] for x in ("", "@dose")})
drugs = {n.partition("@")[0] for n in own if "@" in n and flag[n] == 1}
for new in NEW["perturbation"]:
    check(new not in drugs and flag[f"{new}@10uM"] == 3, f"{new} is not new")
    check(not any(own[f"{new}@{x}uM"].any() for x in (1, 10)), f"{new}: own rows of its doses do not begin at 0")
    for end in ("", "@dose"):
        kin = [part[d + end] for d in sorted(drugs) if TYPE_OF(d) == TYPE_OF(new)]
        check(len(kin) > 1 and np.allclose(part[new + end], np.mean(kin, axis=0), atol=1e-6), f"{new}{end} is not the mean of its kind's")
refused(78, "model.doses: true (now false)", *words("no", "doses_all", options=("--init", "doses")))
refused(78, "model.doses: false (now true)", *words("no", "doses_all", "model.doses=true", options=("--init", "base0")))
refused(65, "other doses of", *words("no", "doses_more", "model.doses=true", options=("--init", "doses")), ranks=2)

# The same bits on any number of ranks, and across an interruption, without the model that it began from.
HOW = ("train.freeze=readouts, network", "train.rate_perturbations=0.5", "train.epochs=4")
for name, more in (("all", ()), ("new", ("train.experiments=new",))):
    for ranks in (1, 2, 3, 5):
        said = train(f"{name}{ranks}", "all", *HOW, *more, options=("--init", "base0"), ranks=ranks)
        check("it knows 13 of 16 perturbations, 39 of 40 readouts, 2 of 3 contexts" in said, f"{name}: {said}")
        wrong = ranks > 1 and training.differences(f"{name}1", f"{name}{ranks}")
        check(not wrong, f"{name} on {ranks} ranks: {wrong}")
    shutil.copytree("base0", "gone")
    train(f"{name}_cut", "all", *HOW[:2], *more, "train.epochs=2", options=("--init", "gone"), ranks=2)
    shutil.rmtree("gone")
    train(f"{name}_cut", "all", *HOW, *more, options=("--init", "gone"), ranks=3)
    wrong = training.differences(f"{name}1", f"{name}_cut")
    check(not wrong, f"{name}, gone on with: {wrong}")
    old, old_network, old_trained, _ = arrays("base0")
    new, new_network, _, _ = arrays(f"{name}1")
    check(same(new_network, old_network), f"{name}: the frozen network moved")
    check(all(np.array_equal(new["readout"][s], old["readout"][s]) for s, flag in old_trained["readout"].items() if flag),
          f"{name}: frozen readouts moved")
    check(not np.array_equal(new["perturbation"]["KO_p08"], old["perturbation"]["KO_p08"]), f"{name}: perturbations did not move")
    left = set(new["context"]) - {"a"}
    check(not np.array_equal(new["context"]["a"], arrays("step0_0")[0]["context"]["a"]) and left, f"{name}: the new context did not move")
check("training on" in train("dry", "all", *HOW, "train.experiments=new", options=("--init", "base0", "--dry-run")), "no plan")

# Rates by part: halves of all of them are half the rate, to the bit, lazy rows included; 0 is frozen.
PARTS = ("perturbations", "readouts", "contexts", "network")
for optimizer in ("adamw", "sgd"):
    train(f"half_{optimizer}", "all", f"train.optimizer={optimizer}", "train.learning_rate=0.002", "train.epochs=3")
    train(f"parts_{optimizer}", "all", f"train.optimizer={optimizer}", *(f"train.rate_{p}=0.5" for p in PARTS), "train.epochs=3", ranks=2)
    a, b = arrays(f"half_{optimizer}"), arrays(f"parts_{optimizer}")
    check(all(same(a[0][t], b[0][t]) for t in TABLES) and same(a[1], b[1]), f"{optimizer}: half the rates are not half the rate")
train("frozen", "all", "train.freeze=contexts")
train("zero", "all", "train.rate_contexts=0")
a, b, first = arrays("frozen"), arrays("zero"), arrays("cold")
check(all(same(a[0][t], b[0][t]) for t in TABLES), "a rate of 0 is not as frozen")
check(same(a[0]["context"], first[0]["context"]) and not same(a[0]["readout"], first[0]["readout"]), "frozen contexts moved, or nothing did")

# Members begin from members.
train("two", "known", "train.members=2", "train.epochs=1")
train("on", "all", "train.members=2", "train.learning_rate=0", "train.epochs=1", options=("--init", "two"))
for k in (1, 2):
    check(same(arrays(f"on/member-{k}")[1], arrays(f"two/member-{k}")[1]), f"member {k} did not begin from member {k}")
refused(78, "holds 2 members, but train.members is 3", *words("three", "all", "train.members=3", options=("--init", "two")))
refused(65, "name one, as two/member-1", *words("one", "all", options=("--init", "two")))

# What does not fit.
init = ("--init", "base0")
refused(78, "model.embedding_dim: 12 (now 10)", *words("no", "all", "model.embedding_dim=10", options=init))
refused(78, "model.kind: mlp (now dot)", *words("no", "all", "model.kind=dot", options=init), ranks=2)
refused(78, "data.normalize: none (now zscore)", *words("no", "all", "data.normalize=zscore", options=init))
refused(65, "nowhere: No such file", *words("no", "all", options=("--init", "nowhere")))
refused(65, "no checkpoint", *words("no", "all", options=("--init", ".")))
refused(78, "train.init_hash is set, but train.init is not", *words("no", "all", "train.init_hash=00"))
refused(78, "is another model than train.init_hash says", *words("no", "all", "train.init_hash=00", options=init))
refused(78, "train.experiments is new, but train.init is not set", *words("no", "all", "train.experiments=new"))
refused(78, "has none that trains a context", *words("no", "known", "train.experiments=new", options=init))
refused(78, "'network?' is no part", *words("no", "all", "train.freeze=network?"))
refused(78, "leave nothing that learns", *words("no", "all", f"train.freeze={','.join(PARTS)}"))
refused(78, "a step would decay", *words("no", "all", "train.rate_readouts=999", "train.weight_decay=10"))
strangers = [(c, p if p == "control" else f"x{p.replace('+', '+x')}", s, {f"y{r}": x for r, x in v.items()}) for c, p, s, v in known]
small_store.write(tessera, "strangers.prc.h5", strangers)
refused(65, "there is nothing to begin from", *words("no", "strangers", options=init))
check(not os.path.exists("no"), "a refused training left a directory")
shutil.copytree("base0", "broken")
for path in (training.newest("broken"), training.newest("broken", "best")):
    with open(path, "r+b") as file:
        file.seek(os.path.getsize(path) // 2)
        file.write(b"damage")
refused(65, "damaged", *words("no", "all", options=("--init", "broken")), ranks=3)
# `auto` stands for what the model has, or what the run began with, whatever this store would choose; a word for itself, named.
pairs = [r for r in known if "+" in r[1] or r[1] == "control" or r[2] != "train"]
small_store.write(tessera, "pairs.prc.h5", pairs)
AUTO = ("model.kind=auto", "model.combination=auto")
used = lambda directory: open(f"{directory}/used.yaml").read()
train("means", "pairs", *AUTO)
train("sums", "all", *AUTO, "train.epochs=1")
check("combination: mean" in used("means") and "combination: sum" in used("sums"), "both stores choose one rule")
for ranks in (1, 3):
    said = train(f"auto{ranks}", "all", *AUTO, options=("--init", "means"), ranks=ranks)
    check("model.combination: mean, as means has it" in said and "combination: mean" in used(f"auto{ranks}"), f"auto, {ranks} ranks: {said}")
wrong = training.differences("auto1", "auto3")
check(not wrong, f"auto on 3 ranks: {wrong}")
refused(78, "model.combination: mean (now sum)", *words("no", "all", "model.kind=auto", "model.combination=sum", options=("--init", "means")))
train("wide", "known", "model.kind=mlp", "model.combination=max", "train.sampling=observations")
few = ("model.embedding_dim=12", *AUTO, "train.sampling=auto")
check("model.kind: mlp, as wide has it" in train("kept", "all", *few, options=("--init", "wide")), "another kind than the model's")
# Whatever stood for `auto` when a run was begun stays, even if its used.yaml does not say what that was, or is gone.
train("before", "known", "model.kind=cp", "model.combination=max", "train.sampling=observations")
train("cut", "known", "model.kind=cp", "model.combination=max", "train.sampling=observations", "train.epochs=1")
text = used("cut").replace("combination: max", "combination: auto").replace("sampling: observations", "sampling: auto")
check(text.count(": auto") >= used("cut").count(": auto") + 2, "used.yaml has other lines")
open("cut/used.yaml", "w").write(text)
shutil.copytree("cut", "lost")
os.remove("lost/used.yaml")
for name, ranks in (("cut", 2), ("lost", 1)):
    train(name, "known", *few, ranks=ranks)
    wrong = training.differences("before", name)
    check(not wrong, f"{name}, gone on with by auto: {wrong}")
    check("combination: max" in used(name), f"{name}: used.yaml does not say so")
refused(78, "model.combination: max (now sum)", *words("cut", "known", "model.kind=auto", "model.combination=sum", "train.sampling=auto"))
# Another beginning than before; a model that is another one by the time that the run begins.
refused(78, "was begun from", *words("all1", "all", *HOW, options=("--init", "base1")))
refused(78, "was begun from nothing", *words("cold", "all", "train.learning_rate=0", "train.epochs=1", options=init))
shutil.copytree("base0", "moving")
os.makedirs("begun")
shutil.copy("all1/used.yaml", "begun/used.yaml")
text = open("begun/used.yaml").read()
with open("begun/used.yaml", "w") as file:
    file.write(text.replace(os.path.realpath("base0"), os.path.realpath("moving")))
shutil.rmtree("moving")
shutil.copytree("base1", "moving")
refused(78, "was changed since", *words("begun", "all", "model.kind=dot", "data.normalize=zscore", options=("--init", "moving")))
finish()
