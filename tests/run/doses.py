#!/usr/bin/python3
"""Doses and times as numbers: import --dose gives one spelling to one dose and refuses what is none; a model with model.doses predicts
doses that were never measured through every command, with the same bits on any number of ranks and after a stop; the baseline
`interpolated` is that of NumPy; curves."""
import csv
import glob
import hashlib
import json
import os
import sys
import tempfile

import machine

with machine.needed():
    import h5py
    import numpy as np
from training import run

tessera, source = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
folder = tempfile.TemporaryDirectory()
os.chdir(folder.name)
N, READOUTS, LINES = 24, 20, ["A", "B"]
DOSES = [1e-7, 1e-6, 1e-5]
SPELLED = {1e-7: ["100 nM", "0.1uM"], 1e-6: ["1uM", "1000 nM", "0.001mM"], 1e-5: ["10 uM", "1e-5 M"]}
NAMES = {1e-7: "100nM", 1e-6: "1uM", 1e-5: "10uM"}


def truth():
    """Saturating effects: (drug, line, dose) to a profile."""
    rng = np.random.default_rng(3)
    effect = rng.normal(size=(N, 3)) @ rng.normal(size=(3, READOUTS))
    middle, line = 10 ** rng.uniform(-6.7, -5.3, N), 1 + 0.4 * rng.normal(size=(2, READOUTS))
    base = rng.normal(size=(2, READOUTS))
    return {(d, c, x): base[i] + line[i] * effect[d] * x / (x + middle[d]) for d in range(N) for i, c in enumerate(LINES)
            for x in [0, *DOSES, 3.3e-6]}


def split_of(d, x):
    """Middle doses of two thirds of the drugs, and high doses of some, are left out."""
    return "train" if x not in (1e-6, 1e-5) or (x == 1e-6 and d % 3 == 0) or (x == 1e-5 and d % 4) else "val" if d % 2 else "test"


def write_table(values, path, head="drug\tconc\tline\tsplit\t", name="drug{:02}"):
    rng = np.random.default_rng(4)
    with open(path, "w") as file:
        file.write(head + "\t".join(f"R{r:02}" for r in range(READOUTS)) + "\n")
        for (d, c, x), row in values.items():
            if x == 3.3e-6 or (x == 0 and d > 0):
                continue
            for spelled in SPELLED.get(x, ["0"]):
                noisy = row + 0.03 * rng.normal(size=READOUTS)
                file.write(f"{name.format(d)}\t{spelled}\t{c}\t{split_of(d, x)}\t" + "\t".join(f"{v:.4f}" for v in noisy) + "\n")


def check_import(values):
    write_table(values, "data.tsv")
    run("-q", "import", "data.tsv", "-o", "store.prc.h5", "--perturbation", "drug", "--context", "line", "--dose", "conc",
        "--split-column", "split")
    with h5py.File("store.prc.h5") as file:
        names = [s.decode() for s in file["perturbation/symbol"][()]]
        rows = len(file["experiment/split"])
    assert names == sorted(["control"] + [f"drug{d:02}@{NAMES[x]}" for d in range(N) for x in DOSES]), names
    assert rows == 2 * (1 + N * len(DOSES))  # spelled differently, they are replicates
    numbers, word = [line.split("\t") for line in open("data.tsv").read().splitlines()[:8]], ["conc"]
    for cells, hours in zip(numbers[1:], ["24", "1 d", "90 min", "1.5h", "24h", "30s", "24 h"]):
        cells[1:1], word = [hours], word
    numbers[0][1:1] = ["time"]
    for cells in numbers[1:]:
        cells[2] = "Middle" if cells[2] != "0" else "0"
    open("words.tsv", "w").write("\n".join("\t".join(cells) for cells in numbers) + "\n")
    run("-q", "import", "words.tsv", "-o", "words.prc.h5", "--perturbation", "drug", "--context", "line", "--dose", "conc", "--time",
        "time", "--time-unit", "h", "--dose-levels", "Low=1,Middle=0.5", "--dose-unit", "mM", "--split-column", "none")
    with h5py.File("words.prc.h5") as file:
        names = [s.decode() for s in file["perturbation/symbol"][()]]
    assert names == ["control", "drug00@500uM@1.5h", "drug00@500uM@24h", "drug00@500uM@30s"], names


def check_refused():
    lines = open("data.tsv").read().splitlines()
    usual = ["--perturbation", "drug", "--context", "line", "--dose", "conc", "--split-column", "split"]
    for cell, said in ("10 foo", "is no dose"), ("-1 uM", "negative"), ("3 ug/mL", "different kinds"), ("", "has no dose"):
        cells = lines[5].split("\t")
        cells[1] = cell
        open("bad.tsv", "w").write("\n".join([*lines[:5], "\t".join(cells), *lines[6:]]) + "\n")
        answer = run("import", "bad.tsv", "-o", "bad.prc.h5", *usual, code=65)
        assert said in answer and "6" in answer and "bad.tsv" in answer and not os.path.exists("bad.prc.h5"), answer
    open("bad.tsv", "w").write("\n".join([*lines[:5], lines[5].replace("drug", "x+drug", 1), *lines[6:]]) + "\n")
    assert "combination" in run("import", "bad.tsv", "-o", "bad.prc.h5", *usual, code=65)
    # One component with its dose stays one, whatever its name or its number holds.
    def components(file, *more):
        run("-q", "import", file, "-o", "one.prc.h5", "--perturbation", "drug", "--context", "line", "--dose", "conc", "--split-column",
            "split", *more)
        with h5py.File("one.prc.h5") as store:
            assert np.all(np.diff(store["combination/first"][()]) == 1)
            return {s.decode() for s in store["perturbation/symbol"][()]}
    made = lines[5].split("\t")[0].replace("drug", "x+drug")
    assert any(name.startswith(f"{made}@") for name in components("bad.tsv", f"--plus-literal={made}"))
    assert "drug00@1uM" in components("data.tsv", "--separator", "@")
    levels = {"1uM": "1000000000", "10 uM": "2e10"}
    rows = [line.split("\t") for line in lines[1:]]
    open("bad.tsv", "w").write("\n".join([lines[0], *("\t".join([row[0], levels[row[1]], *row[2:]]) for row in rows if row[1] in levels)]) + "\n")
    assert {"drug00@1e09", "drug00@2e10"} <= components("bad.tsv")
    for more in (["--dose-unit", "foo"], ["--time-unit", "uM"], ["--dose-levels", "Low"], ["--combine", "drug,line"]):
        assert more[0] in run("import", "data.tsv", "-o", "bad.prc.h5", "--context", "line", "--dose", "conc", *more, code=2)
    assert "--dose" in run("import", "data.tsv", "-o", "bad.prc.h5", "--time", "conc", code=2)


def train(directory, *settings, ranks=1, options=(), **more):
    keys = [x for setting in settings for x in ("--set", setting)]
    return run("-q", "train", f"{source}/config/quickstart.yaml", "--set", "data.store=store.prc.h5", "--set",
               f"run.directory={directory}", "--set", "model.kind=mlp", "--set", "train.epochs=40", "--set", "model.embedding_dim=8",
               "--set", "model.hidden_dim=32", "--set", "model.doses=true", *keys, *options, ranks=ranks, **more)


def digest(directory):
    return [hashlib.sha256(open(path, "rb").read()).hexdigest() for path in sorted(glob.glob(f"{directory}/best-*.h5"))]


def judge(path):
    """The baseline `interpolated` in NumPy: RMSE over the test experiments that it can tell, and each of its predictions."""
    with h5py.File(path) as file:
        names = [s.decode() for s in file["perturbation/symbol"][()]]
        first, member = file["combination/first"][()], file["combination/member"][()]
        rows = zip(file["experiment/combination"][()], file["experiment/context"][()], file["experiment/split"][()],
                   file["value"][()].reshape(-1, READOUTS).astype(float))
        units = {(names[member[first[p]]], c): (s, y) for p, c, s, y in rows}
    amount = {"nM": 1e-9, "uM": 1e-6}
    log = {name: (name.split("@")[0], np.log10(float(name.split("@")[1][:-2]) * amount[name[-2:]])) for name in names if "@" in name}
    middle = {drug: np.mean([x for d, x in log.values() if d == drug]) for drug, _ in log.values()}
    at = {name: (drug, x - middle[drug]) for name, (drug, x) in log.items()}
    trained = {key: y for key, (s, y) in units.items() if s == 0 and key[0] in at}
    line = {}
    for c in range(2):
        x = np.array([at[name][1] for name, of in trained if of == c])
        y = np.array([y for (_, of), y in trained.items() if of == c])
        line[c] = np.linalg.lstsq(np.stack([np.ones_like(x), x], 1), y, rcond=None)[0]
    apart = {key: y - line[key[1]][0] - line[key[1]][1] * at[key[0]][1] for key, y in trained.items()}
    of_drug = {}
    for (name, c), y in apart.items():
        of_drug.setdefault((at[name][0], c), []).append((at[name][1], y))
    pairs = [(a, b) for doses in of_drug.values() for a, b in zip(sorted(doses, key=lambda d: d[0]),
                                                                  sorted(doses, key=lambda d: d[0])[1:])]
    low, high, both = (sum(u @ v for u, v in some) for some in (
        [(a[1], a[1]) for a, _ in pairs], [(b[1], b[1]) for _, b in pairs], [(a[1], b[1]) for a, b in pairs]))
    decades = np.mean([b[0] - a[0] for a, b in pairs])
    growth = np.clip(np.log(high / low) / (2 * decades), -2.302585, 2.302585)
    kept = np.clip(max(both / np.sqrt(low * high), 0) ** (1 / decades), 0.01, 0.999)

    def covariance(x, y):
        return np.exp(growth * (x + y)) * kept ** abs(x - y)
    said, errors = {}, []
    for (name, c), (split, y) in units.items():
        if split != 2 or name not in at:
            continue
        drug, x = at[name]
        others = sorted(of_drug.get((drug, c), []), key=lambda d: d[0])
        near = [d for d in others if d[0] < x][-1:] + [d for d in others if d[0] > x][:1]
        assert near
        weights = np.linalg.solve([[covariance(a[0], b[0]) for b in near] for a in near], [covariance(x, a[0]) for a in near])
        said[name, c] = line[c][0] + line[c][1] * x + sum(w * d[1] for w, d in zip(weights, near))
        errors.append(np.mean((said[name, c] - y) ** 2))
    return np.sqrt(np.mean(errors)), said


def read(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def ask(values):
    """The same dose, never measured, by every command, and whatever else is asked."""
    with open("queries.tsv", "w") as file:
        file.write("context\tperturbation\treadout\n")
        for d in range(N):
            file.write(f"A\tdrug{d:02}@3300nM\tR03\nB\tdrug{d:02}@3.3uM\tR04\nB\tdrug{d:02}@1uM\tR04\n")
    for ranks in (1, 3):
        run("-q", "predict", "dosed", "queries.tsv", "-o", f"out{ranks}.tsv", ranks=ranks)
    assert open("out1.tsv").read() == open("out3.tsv").read()
    answers = read("out1.tsv")
    wanted = [values[int(q["perturbation"][4:6]), q["context"], 1e-6 if q["perturbation"].endswith("@1uM") else 3.3e-6][int(q["readout"][1:])]
              for q in answers]
    error = np.sqrt(np.mean((np.array([float(q["prediction"]) for q in answers]) - wanted) ** 2))
    print(f"doses never measured: RMSE {error:.3f}, deviation {np.std(wanted):.3f}")
    assert error < 0.5 * np.std(wanted)
    run("-q", "impute", "dosed", "-o", "imputed.h5ad", "-p", "drug05@3.3uM,drug02@1uM,drug01@10uM", ranks=2)
    with h5py.File("imputed.h5ad") as file:
        index = [s.decode() for s in file["obs"][file["obs"].attrs["_index"]][:]]
        column = file["obs"]["trained_components"]
        marks = dict(zip(index, column["categories"].asstr()[:][column["codes"][:]]))
        values_of = dict(zip(index, file["X"][:]))
    assert {name[:-2]: mark for name, mark in marks.items()} == {"drug05@3.3uM": "never", "drug02@1uM": "never", "drug01@10uM": "here"}, marks
    predicted = {(q["perturbation"], q["context"], q["readout"]): np.float32(q["prediction"]) for q in answers}
    assert values_of["drug05@3.3uM@B"][4] == predicted["drug05@3.3uM", "B", "R04"]
    assert values_of["drug05@3.3uM@A"][3] == predicted["drug05@3300nM", "A", "R03"]
    run("-q", "screen", "dosed", "--readout", "R04", "-p", "drug05@3.3uM,drug06@3.3uM,drug07@1uM", "-o", "screen.tsv", ranks=2)
    assert {row["perturbation"] for row in read("screen.tsv")} >= {"drug05@3.3uM", "drug06@3.3uM"}
    with open("queries.tsv", "w") as file:
        file.write("context\tperturbation\treadout\nA\tcontrol\tR03\nA\tdrug05@0uM\tR03\nA\tdrug05@0M@24h\tR03\n")
    run("-q", "predict", "dosed", "queries.tsv", "-o", "nothing.tsv", ranks=2)
    nothing = read("nothing.tsv")
    assert [q["perturbation"] for q in nothing] == ["control", "drug05@0uM", "drug05@0M@24h"], nothing
    assert len({q["prediction"] for q in nothing}) == 1, nothing
    with open("queries.tsv", "w") as file:
        file.write("context\tperturbation\treadout\nA\tdrug99@0uM\tR03\n")
    assert "drug99@0uM" in run("predict", "dosed", "queries.tsv", "-o", "no.tsv", code=65)
    with open("queries.tsv", "w") as file:
        file.write("context\tperturbation\treadout\nA\tdrug99@1uM\tR03\n")
    said = run("predict", "dosed", "queries.tsv", "-o", "no.tsv", code=65)
    assert "drug99@1uM" in said and "line 2" in said, said
    assert "drug05@3ug/mL" in run("impute", "dosed", "-o", "no.h5ad", "-p", "drug05@3ug/mL", code=65, ranks=2)


def check_curves():
    run("-q", "predict", "dosed", "--curve", "drug05,drug06", "--doses", "0.1uM:10uM:5", "-o", "curve.tsv", "-r", "R03,R04", "-c", "B", ranks=2)
    rows = read("curve.tsv")
    assert [row["perturbation"] for row in rows[:5]] == [f"drug05@{x}" for x in ("100nM", "316.227766nM", "1uM", "3.16227766uM", "10uM")]
    assert [row["drug"] for row in rows] == ["drug05"] * 5 + ["drug06"] * 5 and {row["context"] for row in rows} == {"B"}
    assert np.allclose([float(row["dose"]) for row in rows[:5]], np.logspace(-7, -5, 5), rtol=1e-6)
    run("-q", "impute", "dosed", "-o", "curve.h5ad", "-p", "drug05@3.16227766uM", "-c", "B")
    with h5py.File("curve.h5ad") as file:
        assert file["X"][0, 4] == np.float32(rows[3]["R04"])
    run("-q", "predict", "dosed", "--curve", "drug05", "-o", "all.tsv")
    assert len(read("all.tsv")) == 26
    assert "drug99" in run("predict", "dosed", "--curve", "drug99", "-o", "no.tsv", code=65)
    for doses in ("1uM", "1uM:0.1uM:3", "0uM:1uM:3", "1uM:1ug/mL:3", "1uM:2uM:0", "1uM:2uM:1000000000000"):
        assert "--doses" in run("predict", "dosed", "--curve", "drug05", "--doses", doses, "-o", "no.tsv", code=2), doses
    run("predict", "dosed", "-o", "no.tsv", code=2)
    run("predict", "dosed", "queries.tsv", "--doses", "1uM:2uM:3", "-o", "no.tsv", code=2)


def check_times(values):
    """A dose without a time says nothing of a drug that has names with times only."""
    write_table({key: row for key, row in values.items() if key[0] < 8}, "timed.tsv", name="drug{:02}")
    lines = [line.split("\t") for line in open("timed.tsv").read().splitlines()]
    with open("timed.tsv", "w") as file:
        for i, line in enumerate(lines):
            file.write("\t".join([*line[:2], "time" if i == 0 else "6 h" if i % 2 else "1 d", *line[2:]]) + "\n")
    run("-q", "import", "timed.tsv", "-o", "timed.prc.h5", "--perturbation", "drug", "--context", "line", "--dose", "conc", "--time", "time",
        "--split-column", "split")
    train("timed", "data.store=timed.prc.h5", "train.epochs=1")
    run("-q", "impute", "timed", "-o", "timed.h5ad", "-p", "drug05@3uM@12h")
    for where, name in (("timed", "drug05@3uM"), ("dosed", "drug05@3uM@12h")):
        said = run("impute", where, "-o", "no.h5ad", "-p", name, code=65, ranks=2)
        assert name in said, said


def check_features():
    """Features of doses that nobody measured are not known where the file names doses: they cannot be asked for. Where it names drugs
    all doses have the drug's: one that nobody measured is placed by both, as cp, which is linear in the vector of a perturbation, shows."""
    with h5py.File("store.prc.h5") as file, open("features.tsv", "w") as out:
        out.write("symbol\tx\ty\n")
        for i, s in enumerate(file["perturbation/symbol"][()]):
            out.write(f"{s.decode()}\t{i % 3}\t{i % 5}\n")
    train("features", "features.perturbations=features.tsv", "train.epochs=1")
    run("-q", "impute", "features", "-o", "features.h5ad", "-p", "drug05@1uM")
    assert "drug05@3uM" in run("impute", "features", "-o", "no.h5ad", "-p", "drug05@3uM", code=65)
    rng = np.random.default_rng(5)
    with open("drugs.tsv", "w") as out:
        out.write("symbol\tx\ty\n" + "".join(f"drug{d:02}\t{rng.normal()}\t{rng.normal()}\n" for d in range(N) if d != 7))
    # One step an epoch: every row that has a gradient is up to date in the checkpoint.
    train("drugs", "features.perturbations=drugs.tsv", "features.axes=2", "model.kind=cp", "train.epochs=6", "train.batch=1000000",
          "train.learning_rate=0.05", "train.schedule=constant", "train.lanes=3")
    with h5py.File(sorted(glob.glob("drugs/checkpoint-*.h5"))[-1]) as file:
        names = [s.decode() for s in file["perturbation/symbol"][()]]
        table, value, last = (file[p][()] for p in ("table/perturbation/value", "features/perturbation/value", "table/perturbation/last"))
        trained, step = file["perturbation/trained"][()], file.attrs["step"]
    parts = sorted({"@dose", "@dose2", *(f"drug{d:02}{x}" for d in range(N) for x in ("", "@dose"))})
    own, part, axes = table[:len(names)], dict(zip(parts, table[len(names):-2])), table[-2:]
    assert len(table) == len(names) + len(parts) + 2 and (last[len(names):] == step).all() and (last[:len(names)][trained == 1] == step).all()
    assert all(np.isnan(x).all() == (n.startswith("drug07") or n == "control") for n, x in zip(names, value))
    place = {n.partition("@")[0]: x for n, x in zip(names, value)}

    def vector(drug, dose):
        x = np.log10(dose) - np.mean(np.log10(DOSES))
        at = place[drug] if drug != "drug07" else [0, 0]
        return part[drug] + x * part[f"{drug}@dose"] + 0.5 * x * part["@dose"] + 0.5 * x * x * part["@dose2"] + at @ axes
    known = [(f"drug{d:02}", x) for d in range(N) for x in DOSES]
    new = [(f"drug{d:02}", 3.3e-6) for d in (3, 5, 7)]
    for ranks in (1, 3):
        with open("queries.tsv", "w") as file:
            file.write("context\tperturbation\treadout\n" + "".join(f"A\t{d}@{x}M\tR03\n" for d, x in known + new))
        run("-q", "predict", sorted(glob.glob("drugs/checkpoint-*.h5"))[-1], "queries.tsv", "-o", f"drugs{ranks}.tsv", "--blend", "off",
            "--precision", "float32", ranks=ranks)
    answers = read("drugs1.tsv")
    assert answers == read("drugs3.tsv")
    y = np.array([float(q["prediction"]) for q in answers])
    x = np.array([vector(*n) + (0.3 * own[names.index(f"{n[0]}@{NAMES[n[1]]}")] if n in known else 0) for n in known + new])
    x = np.column_stack([x, np.ones(len(x))])
    fit, _, rank, _ = np.linalg.lstsq(x[:len(known)], y[:len(known)], rcond=None)
    spread = np.ptp(y)
    assert rank == x.shape[1] and spread > 0.01 and abs(x @ fit - y).max() < 1e-4 * spread, (rank, spread, abs(x @ fit - y).max())
    assert [q["known_by"] for q in answers[-3:]] == ["features", "features", "parts"]


def check_blended(said):
    """A dose that nobody trained, of a drug with features and with other doses, is blended with what these say (`said`, by NumPy)."""
    with open("drugs/blend.json") as file:
        blend = json.load(file)
    assert blend["baseline"] == "interpolated" and blend["weight"] < 0.95 and "feature_weight" in blend, blend
    asked = [(name, c) for name, c in said if not name.startswith("drug07")]
    with open("queries.tsv", "w") as file:
        file.write("context\tperturbation\treadout\n" + "".join(f"{LINES[c]}\t{name}\tR03\n" for name, c in asked))
    got = {}
    for how in ("on", "off"):
        run("-q", "predict", "drugs", "queries.tsv", "-o", f"{how}.tsv", "--blend", how, "--precision", "float32", ranks=2)
        got[how] = np.array([float(q["prediction"]) for q in read(f"{how}.tsv")])
    assert {q["known_by"] for q in read("on.tsv")} == {"features"}
    wanted = blend["weight"] * got["off"] + (1 - blend["weight"]) * np.array([said[of][3] for of in asked])
    assert len(asked) > 5 and abs(got["on"] - wanted).max() < 1e-5, (asked, got, wanted)


def check_ensemble():
    """Of models that know parts and one that does not nothing is made, however often it is asked for."""
    train("words", "model.doses=false", "train.epochs=1")
    with open("queries.tsv", "w") as file:
        file.write("context\tperturbation\treadout\nA\tdrug05@3.3uM\tR03\nB\tdrug06@2uM\tR03\nA\tdrug05@1uM\tR03\n")
    for models in (["features", "words"], ["words", "dosed"], ["dosed", "words"]):
        run("-q", "predict", *models, "queries.tsv", "-o", "both.tsv", "--unknown", "nan", "--force")
        assert [q["prediction"] for q in read("both.tsv")][:2] == ["nan", "nan"], models


def main():
    values = truth()
    check_import(values)
    check_refused()
    train("dosed")
    run("-q", "evaluate", "dosed", "--json", "scores.json", "--resamples", 0, ranks=2)
    scores = json.load(open("scores.json"))
    wanted, said = judge("store.prc.h5")
    got = scores["baselines"]["interpolated"]["rmse"]
    assert abs(got / wanted - 1) < 1e-6, (got, wanted)
    assert "additive_parts" not in scores["baselines"]
    print("model", scores["model"]["rmse"], "interpolated", got, "mean", scores["baselines"]["readout_mean"]["rmse"])
    assert scores["model"]["rmse"] < 0.7 * scores["baselines"]["readout_mean"]["rmse"]
    ask(values)
    check_curves()
    check_times(values)
    check_features()
    check_blended(said)
    check_ensemble()
    short = ["train.epochs=2"]
    for ranks in (1, 2, 3, 5):
        train(f"short{ranks}", *short, ranks=ranks)
        assert digest(f"short{ranks}") == digest("short1"), ranks
    for ranks in (2, 1):
        train("stopped", *short, ranks=ranks, code=75, options=["--time-limit", "0.001"])
    train("stopped", *short, ranks=3)
    assert digest("stopped") == digest("short1")
    run("-q", "verify", glob.glob("dosed/best-*.h5")[0])
    run("-q", "import", "data.tsv", "-o", "plain.prc.h5", "--perturbation", "drug,conc", "--context", "line", "--split-column", "split")
    said = run("train", f"{source}/config/quickstart.yaml", "--set", "data.store=plain.prc.h5", "--set", "run.directory=no", "--set",
               "model.doses=true", code=65, ranks=2)
    assert "plain.prc.h5" in said and "model.doses" in said, said


main()
