#!/usr/bin/python3
"""report.py -- tessera report: its numbers against NumPy and what other commands say, the same bytes on any number of
ranks, parts that there are no data for, refusals. (The page itself is opened by report_page.py.)

usage: report.py TESSERA SOURCE_FOLDER"""
import csv
import json
import math
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import machine

with machine.needed():
    import anndata
    import numpy as np
    from scipy import stats
import small_store
import training
from training import run

tessera, source = os.path.abspath(sys.argv[1]), pathlib.Path(sys.argv[2]).absolute()
folder = tempfile.TemporaryDirectory()
os.chdir(folder.name)
MEMBERS = 3


def close(a, b, tolerance=2e-6):
    return a is None and (b is None or math.isnan(b)) or a is not None and abs(a - b) <= tolerance * max(1, abs(b))


def prepare():
    made = small_store.rows()
    small_store.write(tessera, "data.prc.h5", made)
    training.write_config("run.yaml", {"data.store": "data.prc.h5", "run.directory": "run", "model.embedding_dim": 6,
                                       "model.hidden_dim": 16, "train.epochs": 5, "train.members": MEMBERS})
    run("-q", "train", "run.yaml")
    rng = np.random.default_rng(4)
    genes = [f"gene{i}" for i in range(12)]
    true = {(a, b): int(rng.random() < 0.2) for a in genes for b in genes if a != b}
    score = {pair: true[pair] + rng.normal() for pair in true}
    order = sorted(score, key=score.get, reverse=True)
    with open("edges.tsv", "w") as edges, open("gold.tsv", "w") as gold:
        print("regulator", "target", "score", "sign", sep="\t", file=edges)
        for a, b in reversed(order):  # the strongest come last: the report sorts
            print(a, b, repr(score[a, b]), "+" if len(a + b) % 2 else "-", sep="\t", file=edges)
        for (a, b), value in true.items():
            print(a, b, value, sep="\t", file=gold)
    pathlib.Path("pairs.tsv").write_text("perturbation\ttarget\np00\tp01\np02\tp03\np00\tnobody\n")
    return made, [(pair, score[pair], true[pair]) for pair in order]


OPTIONS = ("--pairs", "pairs.tsv", "--network", "edges.tsv", "--gold", "gold.tsv", "--resamples", "50")


def check_ranks():
    for ranks in (1, 2, 3):
        run("-q", "report", "run", "-o", "page.html", "--json", "page.json", "--force", *OPTIONS, ranks=ranks)
        bytes_ = pathlib.Path("page.html").read_bytes(), pathlib.Path("page.json").read_bytes()
        assert ranks == 1 or bytes_ == first, f"{ranks} ranks write other bytes"
        first = bytes_
    page, numbers = first[0].decode(), first[1].decode()
    inside = re.search(r'<script type="application/json" id="numbers">(.*?)</script>', page, re.S).group(1)
    assert "<" not in inside and json.loads(inside) == json.loads(numbers)
    assert len(page) < 3e6 and not re.search(r"""(src|href)\s*=\s*["']?(https?:|//)|@import|url\(\s*["']?http""", page)
    return json.loads(numbers)


# ---- numbers ----

def check_scores(page):
    """Against `evaluate --json`, which has a judge of its own (evaluate.py)."""
    run("-q", "evaluate", "run", "--json", "scores.json", "--resamples", "50")
    scores, ours = json.load(open("scores.json")), page["scores"]
    groups = [(scores, ours["all"])] + [(scores["contexts"][g["name"]], g) for g in ours["contexts"]]
    for theirs, group in groups:
        assert group["ceiling_experiments"] == (theirs["ceiling"] or {}).get("experiments"), group["name"]
    assert len(ours["contexts"]) == len(scores["contexts"]) > 1
    n = 0
    for theirs, group in groups:
        by = {"model": theirs["model"], "noise ceiling": theirs["ceiling"], **theirs["baselines"]}
        by.pop("reasons", None)  # why a baseline says nothing
        assert set(by) == set(ours["methods"])
        for method, values, intervals in zip(ours["methods"], group["values"], group["intervals"]):
            for name, value, interval in zip(ours["metrics"], values, intervals):
                want = (by[method] or {}).get(name)
                assert (value is None) == (want is None) and (value is None or close(value, want)), (method, name, value, want)
                want = ((by[method] or {}).get("intervals") or {}).get(name)
                assert (interval is None) == (want is None) and (want is None or all(map(close, interval, want)))
                n += value is not None
    assert n > 50
    return scores


def predictions():
    """Mean and deviation of each value, from what each member imputes with its blend."""
    members = []
    for i in range(1, MEMBERS + 1):
        run("-q", "impute", f"run/member-{i}", "-o", f"member{i}.h5ad", "-p", "*,@combinations")
        members.append(anndata.read_h5ad(f"member{i}.h5ad"))
    stack = np.stack([m.X for m in members]).astype(float)
    row = {name: i for i, name in enumerate(members[0].obs_names)}
    column = {name: i for i, name in enumerate(members[0].var_names)}
    return row, column, stack.mean(0), stack.std(0, ddof=1)


def held_out(made):
    row, column, mean, deviation = predictions()
    measured = {}
    for context, names, split, values in made:
        place = row.get(f"{'+'.join(sorted(names.split('+')))}@{context}")
        for readout, value in values.items():
            if split == "test" and place is not None and readout in column and not math.isnan(value):
                measured.setdefault((place, column[readout], context, readout), []).append(np.float32(value))
    at = list(measured)
    value = np.array([np.mean(measured[k]) for k in at], dtype=float)
    return value, mean[[k[0] for k in at], [k[1] for k in at]], deviation[[k[0] for k in at], [k[1] for k in at]], at


def check_values(page, scores, made):
    measured, predicted, deviation, at = held_out(made)
    v = page["values"]
    assert v["values"] == len(measured) == sum(cell[2] for cell in v["cells"]), (v["values"], len(measured))
    low, high = min(measured.min(), predicted.min()), max(measured.max(), predicted.max())
    assert close(v["low"], low, 1e-5) and close(v["high"], high, 1e-5)
    assert close(v["rmse"], math.sqrt(((measured - predicted) ** 2).mean()), 1e-5)
    edges = np.linspace(low, high, v["bins"] + 1)
    want = np.histogram2d(measured, predicted, [edges, edges])[0]
    got = np.zeros_like(want)
    for m, p, n in v["cells"]:
        got[m, p] = n
    assert np.abs(got - want).sum() <= 0.01 * len(measured) + 4, np.abs(got - want).sum()  # float32 at the edges of fields
    cover = page["coverage"]
    fit = scores["deviation"]["calibrated"]
    for name, sd in ("raw", deviation), ("calibrated", np.sqrt((fit["scale"] * deviation) ** 2 + fit["noise"] ** 2)):
        for level, share in zip(cover["level"], cover[name]):
            inside = np.abs(measured - predicted) <= stats.norm.ppf((1 + level) / 2) * sd
            assert abs(share - inside.mean()) <= 1.5 / len(measured), (name, level, share, inside.mean())
    assert close(cover["calibrated"][18], fit["coverage"]["95"], 1e-6)
    by = {}
    for value, (_, _, context, readout) in zip(measured, at):
        by.setdefault(readout, {}).setdefault(context, []).append(value)
    spread = {r: sum(np.var(x) * len(x) for x in c.values()) / max(1, sum(len(x) - 1 for x in c.values())) for r, c in by.items()}
    assert page["screen"]["file"] == max(spread, key=spread.get), (page["screen"]["file"], sorted(spread, key=spread.get)[-3:])


def check_map(page):
    """The two axes of `embed`, whose judge is embed.py, up to the grid of the page."""
    run("-q", "embed", "run", "-o", "tables.h5ad", "--pca", "2")
    table = anndata.read_h5ad("tables.h5ad")
    rows = table[(table.obs["table"] == "perturbation").to_numpy() & table.obs["trained"].to_numpy().astype(bool)]
    m = page["map"]
    assert m["perturbation"] == list(rows.obs["symbol"]) and m["trained"] == rows.n_obs
    assert [m["types"][t] for t in m["type"]] == list(rows.obs["type"])
    place = np.column_stack([m["x"], m["y"]])
    size = np.abs(place).max()
    assert np.abs(place - rows.obsm["X_pca"]).max() < 1e-3 * size
    assert close(sum(m["variance_share"]), float(table.uns["variance_share"]["perturbation"]), 1e-4)
    names = [tuple(m["perturbation"][i] for i in pair) for pair in m["pairs"]]
    assert names == [("p00", "p01"), ("p02", "p03")] and m["pairs_left_out"] == 1


def check_screen(page):
    s = page["screen"]
    run("-q", "screen", "run", "-r", s["file"], "-o", "screen.tsv")
    with open("screen.tsv", newline="") as file:
        lines = list(csv.DictReader(file, delimiter="\t"))
    assert s["in_all"] == len(lines) == len(s["rows"]["rank"])
    for i, line in enumerate(lines):
        assert s["rows"]["perturbation"][i] == line["perturbation"] and s["rows"]["trained"][i] == line["trained"]
        for name in "change", "std", "z", "measured":
            assert close(s["rows"][name][i], float(line[name] or "nan"), 1e-5), (name, line)
    run("-q", "report", "run", "--json", "given.json", "--screen", "screen.tsv", "--resamples", "10")
    given = json.load(open("given.json"))["screen"]
    assert given["command"] == "" and s["command"].startswith("tessera screen ")
    assert given["rows"]["perturbation"] == s["rows"]["perturbation"] and given["file"] == "screen.tsv"


def check_network(page, order):
    got = page["network"]
    assert got["in_all"] == len(order) and len(got["edges"]) == min(80, len(order))
    for (a, b, score, _), (pair, want, _) in zip(got["edges"], order):
        assert (a, b) == pair and close(score, want)
    assert got["gold"]["known"] == [bool(true) for *_, true in order[:80]]
    hits = np.cumsum([true for *_, true in order])
    want = np.column_stack([hits / hits[-1], hits / np.arange(1, len(order) + 1)])
    curve, at = np.array(got["gold"]["curve"]), 0
    for recall, precision in curve:  # each point is one of the curve's, in its order
        while at < len(want) and (abs(want[at][0] - recall) > 1e-6 or abs(want[at][1] - precision) > 1e-6):
            at += 1
        assert at < len(want), (recall, precision)
    assert curve[-1][0] == 1 and len(curve) >= hits[-1]


def check_infinite():
    """Edges without a finite score are counted; none but such are refused."""
    pathlib.Path("inf.tsv").write_text("regulator\ttarget\tscore\na\tb\tinf\na\tc\t2.5\nb\tc\tnan\nb\ta\t1e999\nc\ta\t7\n")
    run("-q", "report", "run/member-1", "--json", "inf.json", "--network", "inf.tsv", "--resamples", "10")
    got = json.load(open("inf.json"))["network"]
    assert [edge[:3] for edge in got["edges"]] == [["c", "a", 7], ["a", "c", 2.5]], got
    assert got["in_all"] == 5 and got["without_score"] == 3, got
    pathlib.Path("allinf.tsv").write_text("regulator\ttarget\tscore\na\tb\tinf\n")
    assert "finite" in run("report", "run/member-1", "--json", "no.json", "--network", "allinf.tsv", "--resamples", "10", code=65)
    assert not os.path.exists("no.json")


def check_latin():
    """A path that is no UTF-8 is refused; from a folder with such a name a run is reported as from any other."""
    name = os.fsdecode(b"caf\xe9")
    shutil.copytree("run/member-1", f"{name}/inner")
    os.link("edges.tsv", f"{name}/edges.tsv")
    os.link("gold.tsv", f"{name}/gold.tsv")
    assert "is not UTF-8" in run("-q", "report", f"{name}/inner", "--json", "latin.json", code=2)
    assert not os.path.exists("latin.json")
    here = os.getcwd()
    os.chdir(name)
    run("-q", "report", "inner", "--json", "latin.json", "--resamples", "10", "--network", "edges.tsv", "--gold", "gold.tsv")
    page = json.load(open("latin.json"))
    os.chdir(here)
    assert page["run"] == "inner" and page["trained"]["run"] == "inner" and page["network"]["file"] == "edges.tsv"
    assert page["trained"]["members"][0]["file"].startswith("inner/") and page["curve"]["members"][0]["member"] == "inner"
    assert len(page["network"]["edges"]) == 80 and page["network"]["gold"]["curve"]


def check_commands():
    """A shell takes the page's commands, and they make its numbers again."""
    os.link("data.prc.h5", "it's there.prc.h5")
    shutil.copytree("run/member-2", "a run")
    os.mkdir("bin")
    os.symlink(tessera, "bin/tessera")
    run("-q", "report", "run/member-1", "a run", "--json", "several.json", "--resamples", "20", "--blend", "off", "--split", "val",
        "--store", "it's there.prc.h5", "--readout", "r00,r01")
    page = json.load(open("several.json"))
    lines = [line for _, line in page["commands"]]
    assert [line.split()[1] for line in lines] == ["train", "train", "evaluate", "report"], lines
    environment = {**os.environ, "PATH": f"{os.path.abspath('bin')}:{os.environ['PATH']}"}
    for line in [*lines[:3], lines[3].replace("several.json", "second.json"), page["screen"]["command"].replace("screen.tsv", "made.tsv")]:
        subprocess.run(["sh", "-c", line], check=True, env=environment, timeout=120, capture_output=True)
    assert os.path.exists("again/used.yaml") and os.path.exists("again-2/used.yaml")
    second, scores = json.load(open("second.json")), json.load(open("scores.json"))
    for part in page:
        assert part == "commands" or second[part] == page[part], part
    assert close(page["scores"]["all"]["values"][0][0], scores["model"]["rmse"]) and scores["split"] == "val" and scores["source"]["blend"] is None
    with open("made.tsv", newline="") as file:
        assert [line["perturbation"] for line in csv.DictReader(file, delimiter="\t")] == page["screen"]["rows"]["perturbation"]


def check_limits():
    """Long inputs are thinned as the page says, the best epoch is kept, and the page stays small."""
    shutil.copytree("run/member-1", "long")
    with open("long/log.jsonl", "w") as log:
        for i in range(1, 2001):
            print(json.dumps({"epoch": i, "train_rmse": 2 / i, "val_rmse": 0.5 if i == 1232 else 1 + i / 4000, "learning_rate": 0.01}), file=log)
    rows = [(f"p{i:05d}", 10 - i / 1000) for i in range(20000)]
    pathlib.Path("large.tsv").write_text("perturbation\tchange\n" + "".join(f"{name}\t{x}\n" for name, x in rows))
    pathlib.Path("many.tsv").write_text("regulator\ttarget\tscore\n" + "".join(f"g{i}\tg{i + 1}\t{i * 7 % 300}\n" for i in range(300)))
    run("-q", "report", "long", "-o", "long.html", "--json", "long.json", "--screen", "large.tsv", "--network", "many.tsv", "--resamples", "10")
    page = json.load(open("long.json"))
    curve, screen = page["curve"]["members"][0], page["screen"]
    assert curve["epochs"] == 2000 and curve["epoch"] == [i for i in range(1, 2001) if i % 5 == 0 or i == 1232], len(curve["epoch"])
    assert min(curve["val_rmse"]) == 0.5 and len(curve["train_rmse"]) == len(curve["val_rmse"]) == 401
    ranks = screen["rows"]["rank"]
    assert screen["in_all"] == 20000 and ranks[:150] == list(range(1, 151)) and ranks[-150:] == list(range(19851, 20001)) and 900 < len(ranks) <= 1000
    assert screen["rows"]["perturbation"] == [rows[rank - 1][0] for rank in ranks]
    assert all(close(x, rows[rank - 1][1]) for x, rank in zip(screen["rows"]["change"], ranks))
    assert [edge[2] for edge in page["network"]["edges"]] == list(range(299, 219, -1)) and page["network"]["in_all"] == 300
    assert os.path.getsize("long.html") < 400e3, os.path.getsize("long.html")


def check_crowd():
    """Of more than 6000 perturbations every second is drawn, and those in pairs; twelve types keep their names, the others share one."""
    rng, n = np.random.default_rng(5), 7000
    names = sorted(f"kind{int(14 * rng.random() ** 2):02d}:{i:04d}" for i in range(n))
    with open("crowd.csv", "w") as file:
        print("perturbation", "context", "r1", "r2", sep=",", file=file)
        for name, (x, y) in zip(names, rng.normal(size=(n, 2)).round(3)):
            print(name, "c", x, y, sep=",", file=file)
    run("-q", "import", "crowd.csv", "-o", "crowd.prc.h5")
    training.write_config("crowd.yaml", {"data.store": "crowd.prc.h5", "run.directory": "crowd", "model.embedding_dim": 4,
                                         "model.hidden_dim": 4, "train.epochs": 1})
    run("-q", "train", "crowd.yaml")
    pathlib.Path("crowd.tsv").write_text(f"{names[1]}\t{names[2]}\n{names[101]}\t{names[6999]}\n")
    run("-q", "report", "crowd", "--json", "crowd.json", "--pairs", "crowd.tsv", "--resamples", "10")
    m = json.load(open("crowd.json"))["map"]
    shown = [name for i, name in enumerate(names) if i % 2 == 0 or i in (1, 101, 6999)]
    assert m["trained"] == n and m["perturbation"] == shown, (m["trained"], len(m["perturbation"]), len(shown))
    assert [[m["perturbation"][i] for i in pair] for pair in m["pairs"]] == [[names[1], names[2]], [names[101], names[6999]]]
    kinds = [name.split(":")[0] for name in shown]
    often = sorted(set(kinds), key=lambda kind: (-kinds.count(kind), kind))
    assert len(often) == 14 and m["types"] == [*often[:12], "other"], (often, m["types"])
    assert [m["types"][t] for t in m["type"]] == [kind if kind in often[:12] else "other" for kind in kinds]


def check_rest(page):
    trained = page["trained"]
    assert len(trained["members"]) == MEMBERS and trained["settings"]["model.hidden_dim"] == "16"
    for member, curve in zip(trained["members"], page["curve"]["members"]):
        log = [json.loads(line) for line in open(f"{curve['member']}/log.jsonl")]
        assert curve["epoch"] == [line["epoch"] for line in log] and all(map(close, curve["val_rmse"], [l["val_rmse"] for l in log]))
        assert member["file"].startswith(curve["member"])
    info = json.loads(run("-q", "info", "data.prc.h5", "--json"))
    assert all(member["store_hash"] == info["hash"] and member["split_hash"] == info["split_hash"] for member in trained["members"])
    assert page["store"]["hash"] == info["hash"] and page["store"]["context"] == info["context"]
    assert page["commands"][-1][1].startswith("tessera report run ") and page["versions"][0].startswith("tessera ")


# ---- what cannot be shown, and what is refused ----

def check_missing():
    """One member, no store, nothing given: each part says in a sentence what is missing; it is still a page."""
    shutil.copytree("run/member-1", "alone")
    os.rename("data.prc.h5", "away.prc.h5")
    said = run("report", "alone", "-o", "alone.html", "--json", "alone.json")
    page = json.load(open("alone.json"))
    assert "no scores" in said and "data.prc.h5" in page["scores"]["missing"]
    for part, word in ("network", "--network"), ("screen", "--readout"), ("coverage", "data.prc.h5"), ("store", "not there"):
        assert word in page[part]["missing"], (part, page[part])
    run("-q", "report", "alone", "--json", "named.json", "--readout", "r00")
    assert json.load(open("named.json"))["screen"]["in_all"] > 10
    os.rename("away.prc.h5", "data.prc.h5")
    run("-q", "report", "alone", "--json", "single.json", "--resamples", "10")
    page = json.load(open("single.json"))
    assert "train.members" in page["coverage"]["missing"] and page["values"]["values"] > 100 and "std" in page["screen"]["rows"]
    return "alone.html"


def check_refusals():
    pathlib.Path("empty.tsv").write_text("")
    pathlib.Path("strange.tsv").write_text("a\tb\n1\t2\n")
    pathlib.Path("strangers.tsv").write_text("x\ty\n")
    before = pathlib.Path("page.html").read_bytes()
    for line, code, words in (
            (["report", "run"], 2, "-o REPORT.html is missing"),
            (["report", "run", "-o", "page.pdf"], 2, "give it the ending .html"),
            (["report", "run", "-o", "page.html"], 73, "page.html: is there already"),
            (["report", "run", "-o", "new.html", "--gold", "gold.tsv"], 2, "give it with --network"),
            (["report", "run", "-o", "new.html", "--screen", "screen.tsv", "--readout", "r00"], 2, "give one of them"),
            (["report", "run", "-o", "new.html", "--split", "unused"], 2, "none of train, val, test"),
            (["report", "run", "-o", "new.html", "--screen", "empty.tsv"], 65, "empty.tsv: is empty"),
            (["report", "run", "-o", "new.html", "--screen", "strange.tsv"], 65, "no column 'perturbation'"),
            (["report", "run", "-o", "new.html", "--network", "strange.tsv"], 65, "no column 'regulator'"),
            (["report", "run", "-o", "new.html", "--network", "nowhere.tsv"], 65, "nowhere.tsv"),
            (["report", "run", "-o", "new.html", "--pairs", "strangers.tsv"], 65, "no pair of it can be drawn"),
            (["report", "run", "-o", "new.html", "--readout", "nonsense"], 65, "nonsense"),
            (["report", "nowhere", "-o", "new.html"], 65, "nowhere")):
        for ranks in (1, 2) if code == 65 else (1,):
            said = run(*line, ranks=ranks, code=code)
            assert words in said, (line, said)
    assert not os.path.exists("new.html") and pathlib.Path("page.html").read_bytes() == before
    assert not list(pathlib.Path().glob("*.part"))


def main():
    made, order = prepare()
    page = check_ranks()
    scores = check_scores(page)
    check_values(page, scores, made)
    check_map(page)
    check_screen(page)
    check_network(page, order)
    check_rest(page)
    check_infinite()
    check_limits()
    check_crowd()
    check_commands()
    check_latin()
    check_missing()
    check_refusals()
    print("fine")


main()
