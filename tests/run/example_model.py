#!/usr/bin/python3
"""The trained model that comes with the program (docs/model): copied anywhere it finds its store; its card (also of runs without scores, with
those of another model, without a store, of several members); impute, predict, screen, embed and report without training, what they say
against NumPy; made again it is the same.

usage: example_model.py TESSERA SOURCE_FOLDER"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import machine
from checks import check, fine, finish, run

with machine.needed():
    import anndata
    import h5py
    import numpy as np

root = pathlib.Path(sys.argv[2]).resolve()
tessera = pathlib.Path(sys.argv[1]).resolve()
folder = tempfile.TemporaryDirectory()
os.chdir(folder.name)
shutil.copytree(root / "docs" / "model", "elsewhere/model")
scores = json.load(open("elsewhere/model/scores.json"))
check(sum(f.stat().st_size for f in pathlib.Path("elsewhere/model").iterdir()) < 2e6, "it is small")


def near(a, b):
    return abs(a - b) < 1e-8 * abs(b)


def card_of(directory):
    return json.loads(fine("info", directory, "--json").stdout)


# The card, and the page that shows it.
whole = card_of("elsewhere/model")
card = whole["card"]
said = fine("info", "elsewhere/model").stdout
page = (root / "docs" / "model" / "README.md").read_text()
check(said[:said.index("file  ")].rstrip() in page, "docs/model/README.md has another card: see tools/example_model.sh")
with h5py.File("elsewhere/model/model.prc.h5") as f:
    names = {k: [s.decode() for s in f[f"{k}/symbol"][()]] for k in ("perturbation", "readout", "context")}
    first, member = f["combination/first"][()], f["combination/member"][()]
    sets = ["+".join(names["perturbation"][m] for m in member[a:b]) for a, b in zip(first, first[1:])]
    key = [(sets[p], names["context"][c]) for p, c in zip(f["experiment/combination"], f["experiment/context"])]
    value, split = f["value"][()].astype(float).reshape(len(key), -1), f["experiment/split"][()]
with h5py.File(next(pathlib.Path("elsewhere/model").glob("best-*.h5"))) as f:
    sizes = [d.size for name, d in f.items() if isinstance(d, h5py.Dataset)]
check(f"{np.sum(split == 0)} experiments, {np.isfinite(value[split == 0]).sum()} values of model.prc.h5" == card["trained_on"], card["trained_on"])
rows = {row["score"]: row for row in card["score"]}
check(near(rows["model"]["test_rmse"], scores["model"]["rmse"]) and near(rows["model"]["val_rmse"], whole["best_validation_rmse"]), f"scores: {rows['model']}")
check(near(rows["linear"]["test_r_delta"], scores["baselines"]["linear"]["pearson_delta"]) and
      near(rows["noise ceiling"]["test_rmse"], scores["ceiling"]["rmse"]), "baselines and ceiling stand beside them")
check(rows["model"]["test_rmse"] < min(rows[b]["test_rmse"] for b in scores["baselines"]), "it is better than all baselines")
check("test scores" not in card["limits"], card["limits"])

# Everything from the copy; the values of impute are those of predict, and as far from the measured ones as the card says.
fine("-q", "impute", "elsewhere/model", "-o", "imputed.h5ad", "-p", ",".join(sets), "--precision", "float32", ranks=2)
a = anndata.read_h5ad("imputed.h5ad")
imputed = dict(zip(zip(a.obs["perturbation"].astype(str), a.obs["context"].astype(str)), np.asarray(a[:, names["readout"]].X, float)))
apart = np.concatenate([imputed[k] - v for k, v, s in zip(key, value, split) if s == 2])
check(abs(np.sqrt(np.mean(apart ** 2)) - scores["model"]["rmse"]) < 1e-4, f"RMSE {np.sqrt(np.mean(apart ** 2))}, the card has {scores['model']['rmse']}")
with open("queries.tsv", "w") as f:
    f.write("context\tperturbation\treadout\n" + "".join(f"{c}\t{p}\t{r}\n" for p, c in key[5:400:40] for r in names["readout"][:3]))
fine("-q", "predict", "elsewhere/model", "queries.tsv", "-o", "predicted.tsv", "--precision", "float32")
lines = [line.rstrip("\n").split("\t") for line in open("predicted.tsv") if not line.startswith("#")]
at = lines[0].index("prediction")
worst = max(abs(float(x[at]) - imputed[x[1], x[0]][names["readout"].index(x[2])]) for x in lines[1:])
check(len(lines) == 31 and worst < 1e-5, f"predict and impute: {worst}")
fine("-q", "screen", "elsewhere/model", "--readout", "R02", "--direction", "up", "-o", "screen.tsv", "--precision", "float32")
lines = [line.rstrip("\n").split("\t") for line in open("screen.tsv") if not line.startswith("#")]
at = {name: i for i, name in enumerate(lines[0])}
change = {p: np.mean([imputed[p, c][1] - imputed["control", c][1] for c in names["context"]]) for p in names["perturbation"] if p != "control"}
got = {x[at["perturbation"]]: float(x[at["change"]]) for x in lines[1:]}
check(set(got) == {*change, "control"} and max(abs(got[p] - change[p]) for p in change) < 1e-4, "screen: the changes that impute has")
fine("-q", "embed", "elsewhere/model", "-o", "embedded.h5ad")
embedded = anndata.read_h5ad("embedded.h5ad").obs
check(all(set(embedded["symbol"][embedded["table"] == k]) == set(names[k]) for k in names), "embed: all rows")
fine("-q", "report", "elsewhere/model", "-o", "report.html")
check(os.path.getsize("report.html") > 50000, "a report")

# Cards of runs that lack something.
shutil.copytree("elsewhere/model", "bare")
os.remove("bare/scores.json")
os.remove("bare/model.prc.h5")
bare = card_of("bare")["card"]
check("not at hand" in bare["trained_on"] and "evaluate bare --json bare/scores.json" in bare["limits"]["test scores"], f"{bare}")
check("test_rmse" not in bare["score"][0] and bare["score"][0]["val_rmse"] == whole["best_validation_rmse"], "validation alone")
shutil.copytree("elsewhere/model", "other")
lie = {**scores, "source": {**scores["source"], "model": "0123456789abcdef"}}
json.dump(lie, open("other/scores.json", "w"))
other = card_of("other")["card"]
check("another model" in other["limits"]["test scores"] and "test_rmse" not in other["score"][0], "scores of another model are not shown")
for text in ("", "[]", "{", '{"source": 3}'):
    open("other/scores.json", "w").write(text)
    check("test scores" in card_of("other")["card"]["limits"], f"scores.json: {text}")
small = ["data.store=small.prc.h5", "train.members=2", "run.directory=several", "train.epochs=2", "model.embedding_dim=4", "model.hidden_dim=8"]
fine("-q", "simulate", "-o", "small.prc.h5", "--perturbations", 12, "--readouts", 9, "--contexts", 3, "--controls", 0)
fine("-q", "train", root / "config" / "quickstart.yaml", *(w for s in small for w in ("--set", s)))
several = card_of("several")["card"]
check(several["model"].startswith("2 members, the first: dot, 4 columns") and "deviations" not in several["limits"], f"{several}")
check("3 contexts have none" in several["limits"]["controls"] and "none was trained on" in several["limits"]["combinations"], f"{several['limits']}")
os.rename("several", "moved")
os.mkdir("all")
os.rename("moved", "all/moved")
os.rename("small.prc.h5", "all/small.prc.h5")
check("of small.prc.h5" in card_of("all/moved")["card"]["trained_on"], "a store that was moved with its run is found")

# Made again: the same bits where the libraries compute alike.
done = subprocess.run([root / "tools" / "example_model.sh", tessera, os.path.abspath("again")], capture_output=True, text=True)
check(done.returncode == 0, done.stderr)
again = card_of("again")
check(again["store_hash"] == whole["store_hash"] and again["split_hash"] == whole["split_hash"], "the same data")
check(abs(json.load(open("again/scores.json"))["model"]["rmse"] / scores["model"]["rmse"] - 1) < 0.03, "as good a model")
if again["blas_core"] == whole["blas_core"]:
    blends = [json.load(open(f"{d}/blend.json")) for d in ("again", "elsewhere/model")]
    check(blends[0] == blends[1], f"the same parameters: {blends}")
finish()
