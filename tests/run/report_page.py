#!/usr/bin/python3
"""report_page.py -- the page of tessera report in a real browser (Chromium, headless): no error and no request, each figure with
its marks, letters that cover nothing and stay inside, search, zoom, keyboard, choices, saved tables equal to the numbers; light
and dark, 1000 and 400 pixels wide without anything that is wider; printed. report_page.js does in the page what a reader would.

usage: report_page.py TESSERA SOURCE_FOLDER"""
import html
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import machine
import training
from training import run

chromium = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)
if not chromium:
    machine.skip("there is no Chromium (tools/install.sh --tests)")
tessera, source = os.path.abspath(sys.argv[1]), pathlib.Path(sys.argv[2]).absolute()
folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)  # the browser's children may write a while longer
os.chdir(folder.name)
FIGURES = {"figure-curve", "figure-scores", "figure-contexts", "figure-transfer", "figure-values", "figure-coverage", "figure-map", "figure-waterfall",
           "figure-hits", "figure-network", "figure-gold"}
# What no page could know: names that would end the script or begin a comment.
STRANGE = ["KO:</script><b>x", "KO:<!--<script>", "KO:a&amp;b\"'"]


def browse(*flags, page="shell.html"):
    line = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-extensions",
            "--disable-background-networking", "--disable-component-update", f"--user-data-dir={folder.name}/profile", "--window-size=1100,900",
            "--host-resolver-rules=MAP * ~NOTFOUND", *flags, pathlib.Path(page).absolute().as_uri()]
    done = subprocess.run(line, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def look(name, widths, *flags):
    """What report_page.js found in a page."""
    page = pathlib.Path(name).read_text()
    watch = ("<script>window.ERRORS = []; addEventListener('error', e => ERRORS.push(e.message)); "
             "addEventListener('unhandledrejection', e => ERRORS.push(String(e.reason))); "
             "addEventListener('securitypolicyviolation', e => ERRORS.push(e.violatedDirective + ' ' + e.blockedURI)); "
             "for (const k of ['error', 'warn']) console[k] = (...a) => ERRORS.push(a.join(' '));</script>")
    assert page.count("<title>") == 1
    frame = json.dumps({"page": page.replace("<title>", watch + "<title>"), "widths": widths, "name": json.loads(numbers_in(page))["map"]["perturbation"][3]})
    script = (source / "tests" / "run" / "report_page.js").read_text()
    pathlib.Path("shell.html").write_text("<!DOCTYPE html><meta charset=utf-8><body><script>const FRAME = " + frame.replace("<", "\\u003c") +
                                          f";\n{script}</script></body>")
    text = browse("--dump-dom", "--virtual-time-budget=20000", *flags)
    found = re.search(r'<pre id="findings">(.*?)</pre>', text, re.S)
    assert found, text[-500:]
    found = json.loads(html.unescape(found.group(1)))
    assert "failed" not in found, found["failed"]
    return found


def numbers_in(page):
    return re.search(r'<script type="application/json" id="numbers">(.*?)</script>', page, re.S).group(1)


def prepare():
    with open("data.tsv", "w") as out:
        print("perturbation", "context", "split", *(f"gene{r:02d}" for r in range(25)), sep="\t", file=out)
        for p, name in enumerate(["control", *STRANGE, *(f"KO:{i:02d}" for i in range(30)), *(f"DRUG:{i:02d}" for i in range(30))]):
            for c in range(4):
                for replicate in range(2):
                    split = "train" if p == 0 else ("test" if (p + c) % 5 == 0 else "val" if (p + c) % 7 == 0 else "train")
                    values = [f"{0.3 * c + (p * (r + 2) % 7 - 3) * 0.4 * (p > 0) + (p * 5 + r * 3 + c * 11 + replicate * 17) % 13 * 0.05:.3f}" for r in range(25)]
                    print('"' + name.replace('"', '""') + '"' if '"' in name else name, f"a context of the name {c}", split, *values, sep="\t", file=out)
    run("-q", "import", "data.tsv", "--split-column", "split", "-o", "data.prc.h5")
    training.write_config("run.yaml", {"data.store": "data.prc.h5", "run.directory": "run", "model.embedding_dim": 6, "model.hidden_dim": 16,
                                       "train.epochs": 6, "train.members": 2, "train.batch": 256})
    run("-q", "train", "run.yaml")
    genes = [f"a gene {i}" for i in range(20)]
    with open("edges.tsv", "w") as edges, open("gold.tsv", "w") as gold:
        print("regulator", "target", "score", "sign", sep="\t", file=edges)
        for i, a in enumerate(genes):
            for k, b in enumerate(genes):
                if a != b:
                    print(a, b, (i * 7 + k * 3) % 19 + i / 100, "+-"[(i + k) % 2], sep="\t", file=edges)
                    print(a, b, int((i * 7 + k * 3) % 19 > 14 and i % 3 > 0), sep="\t", file=gold)
    os.makedirs("run/transfer")  # as evaluate --transfer leaves it (transfer.py)
    with open("run/transfer/transfer.tsv", "w") as out:
        print("context", "train_experiments", "test_experiments", "by_context_mean", "verdict", "metric", "all", "alone", "difference",
              "difference_low", "difference_high", sep="\t", file=out)
        for c, verdict in enumerate(["helped", "hurt", "no difference", "no training experiment"]):
            for metric in "rmse", "r2":
                print(f"a context of the name {c}", 40, 12, 3, verdict, metric, *([0.5, 0.6, c - 1, c - 1.5, c - 0.5] if c < 3 else [""] * 5), sep="\t", file=out)
    pathlib.Path("pairs.tsv").write_text("".join(f"DRUG:{i:02d}\tKO:{i:02d}\n" for i in range(10)))
    run("-q", "report", "run", "-o", "page.html", "--json", "page.json", "--pairs", "pairs.tsv", "--network", "edges.tsv", "--gold", "gold.tsv",
        "--resamples", "50")
    run("-q", "report", "run/member-1", "-o", "bare.html", "--resamples", "10")


def check_figures(found, widths, names=FIGURES):
    for width in map(str, widths):
        here = found[width]
        assert not here["errors"] and not here["requests"], (width, here["errors"], here["requests"])
        assert here["layout"]["scroll"] <= 0 and not here["layout"]["wide"], (width, here["layout"])
        assert set(here["figures"]) == names, names ^ set(here["figures"])
        for name, figure in here["figures"].items():
            assert figure["marks"] >= 2 and figure["empty"] <= figure["marks"] * 0.05, (name, figure)
            assert not figure["outside"], (width, name, figure["outside"])
            assert not figure["over"], (width, name, figure["over"])
            assert figure["label"] and figure["caption"].startswith("Figure ") and len(figure["caption"]) > 60, figure
            assert figure["stops"] == 1 and figure["named"], (name, figure)


def contrast(one, other):
    def light(colour):
        parts = [int(x) / 255 for x in re.findall(r"\d+", colour)[:3]]
        return sum(w * (x / 12.92 if x <= 0.03928 else ((x + 0.055) / 1.055) ** 2.4) for w, x in zip((0.2126, 0.7152, 0.0722), parts))
    a, b = sorted((light(one), light(other)))
    return (b + 0.05) / (a + 0.05)


def check_theme(layout, dark):
    assert layout["dark"] == dark, layout
    for text in "ink", "soft":
        assert contrast(layout[text], layout["ground"]) >= 4.5, (text, layout)
    assert contrast(layout["edge"], layout["ground"]) >= 3, layout
    assert (contrast(layout["ground"], "rgb(0, 0, 0)") < 2) == dark, layout


def check_search(found, page):
    s, n = found["search"], len(page["map"]["perturbation"])
    name = page["map"]["perturbation"][3]
    assert s["one"]["found"] == 1 and s["one"]["faint"] == n - 1 and s["one"]["names"] == 1 and s["one"]["said"] == f"1 found: {name}", s["one"]
    assert s["none"] == {"found": 0, "said": "0 found"} and s["after"] == 0, s
    ticks, spread = s["zoom"]["ticks"], s["zoom"]["spread"]
    assert spread[1] > spread[0] * 1.4 and spread[2] > spread[1] * 1.1, spread  # a button, the wheel
    assert s["zoom"]["place"][3] != s["zoom"]["place"][2] and abs(spread[3] - spread[2]) < 1, s["zoom"]  # dragged
    assert ticks[4] == ticks[0] and abs(spread[4] - spread[0]) < 1 and ticks[1] != ticks[0], ticks


    assert s["kept"], "the focus is lost"
    assert 3 < s["deep"]["ticks"] < 40 and s["deep"]["spread"] > spread[2], s["deep"]  # a hundred times "+"


def check_broken():
    """A section that cannot be drawn takes no other with it."""
    text = pathlib.Path("page.html").read_text()
    broken = re.sub(r'"cells":\[', '"cells":7,"was":[', text, count=1)
    assert broken != text
    pathlib.Path("broken.html").write_text(broken)
    found = look("broken.html", [1000])
    assert found["missing"] == [text for text in found["missing"] if "could not be drawn" in text] and len(found["missing"]) == 1, found["missing"]
    assert set(found["1000"]["figures"]) == FIGURES - {"figure-values"} and "H2 Commands and versions" in found["headings"], found["headings"]


def check_words():
    """Experiments that were trained on are not called held out, nor a file's rows a ranking; hashes are of the store they stand by."""
    pathlib.Path("top.tsv").write_text("perturbation\tchange\n" + "".join(f"KO:{i:02d}\t{0.9 - i / 10}\n" for i in range(8)))
    text = pathlib.Path("data.tsv").read_text()
    pathlib.Path("other.tsv").write_text(text[:-1].rpartition("\n")[0] + "\n")
    run("-q", "import", "other.tsv", "--split-column", "split", "-o", "other.prc.h5")
    hashes = [json.loads(run("-q", "info", store, "--json")) for store in ("data.prc.h5", "other.prc.h5")]
    for split in "train", "val":
        run("-q", "report", "run", "-o", f"{split}.html", "--split", split, "--screen", "top.tsv", "--resamples", "10",
            *(["--store", "other.prc.h5"] if split == "val" else []))
        found = look(f"{split}.html", [1000])
        captions = {name: figure["caption"] for name, figure in found["1000"]["figures"].items()}
        assert f"H2 Scores on {'trained' if split == 'train' else 'validation'} experiments" in found["headings"], found["headings"]
        assert not any("held-out" in words for words in [found["lead"], *captions.values(), *found["headings"]]), (found["lead"], captions)
        assert ("trained on" if split == "train" else "somewhat too good") in found["lead"], found["lead"]
        assert ("very values" in captions["figure-coverage"]) == (split == "val"), captions
        assert captions["figure-waterfall"].startswith("Figure") and "The 8 rows of top.tsv" in captions["figure-waterfall"] and "All 8 rows" in captions["figure-hits"], captions
        assert [hashes[0]["hash"] in found["facts"], hashes[1]["hash"] in found["facts"]] == [True, split == "val"], found["facts"]
        assert len(found["warnings"]) == (split == "val"), found["warnings"]


def check_keyboard(found):
    assert set(found["keyboard"]) == FIGURES
    for name, one in found["keyboard"].items():
        assert all(one["said"]) and one["said"][0] != one["said"][2] and one["tip"], (name, one)
        assert one["ring"] == "3.5px", (name, one)
    assert all(changed for _, changed in found["choices"]) and len(found["choices"]) == 4, found["choices"]


def check_saved(found, page):
    """The files that the buttons save are the numbers of the page."""
    tables = {name: [line.split("\t") for line in text.rstrip("\n").split("\n")] for name, text in found["saved"]["texts"].items()}

    def same(name, head, rows):
        got = tables.pop(f"{name}.tsv")
        assert got[0] == head and len(got) == len(rows) + 1, (name, got[0], len(got), len(rows))
        for line, row in zip(got[1:], rows):
            for text, value in zip(line, row, strict=True):
                assert (text == "" if value is None else float(text) == value if isinstance(value, (int, float)) else text == value), (name, line, row)

    m, s, v, cover, scores = page["map"], page["screen"]["rows"], page["values"], page["coverage"], page["scores"]
    same("map", ["perturbation", "type", "pc1", "pc2"], [[a, m["types"][t], x, y] for a, t, x, y in zip(m["perturbation"], m["type"], m["x"], m["y"])])
    assert set(STRANGE) <= set(m["perturbation"])
    head = ["rank", "perturbation", "change", "std", "z", "measured", "trained"]
    same("screen", head, list(zip(*(s[name] for name in head))))
    same("transfer", ["context", "train_experiments", "test_experiments", "by_context_mean", "rmse_all", "rmse_alone", "difference", "low", "high", "verdict"],
         page["transfer"]["rows"])
    assert [row[6] for row in page["transfer"]["rows"]] == [-1, 0, 1, None] and page["transfer"]["contexts_in_all"] == 4, page["transfer"]
    same("network", ["regulator", "target", "score", "sign", "known"], [[*e, None if k is None else int(k)] for e, k in
                                                                         zip(page["network"]["edges"], page["network"]["gold"]["known"], strict=True)])
    same("precision_recall", ["recall", "precision"], page["network"]["gold"]["curve"])
    same("coverage", ["level", "raw", "calibrated"], list(zip(cover["level"], cover["raw"], cover["calibrated"])))
    same("curve", ["member", "epoch", "train_rmse", "val_rmse", "learning_rate"],
         [[c["member"], *row] for c in page["curve"]["members"] for row in zip(c["epoch"], c["train_rmse"], c["val_rmse"], c["learning_rate"])])
    for name, groups in ("scores", [scores["all"]]), ("scores_by_context", scores["contexts"]):
        same(name, ["context", "method", "metric", "value", "low", "high"],
             [[g["name"], method, metric, g["values"][i][k], *(g["intervals"][i][k] or [None, None])] for g in groups
              for i, method in enumerate(scores["methods"]) for k, metric in enumerate(scores["metrics"]) if g["values"][i][k] is not None])
    got = tables.pop("predicted_and_measured.tsv")
    assert [int(line[4]) for line in got[1:]] == [cell[2] for cell in v["cells"]] and abs(float(got[1][0]) - (v["low"] + v["cells"][0][0] * (v["high"] - v["low"]) / v["bins"])) < 1e-6
    assert not tables and all(found["saved"]["shown"]), (tables.keys(), found["saved"]["shown"])


def main():
    prepare()
    page = json.load(open("page.json"))
    found = look("page.html", [1000, 400])
    check_figures(found, [1000, 400])
    check_theme(found["1000"]["layout"], dark=False)
    check_search(found, page)
    check_keyboard(found)
    check_saved(found, page)
    check_broken()
    check_words()
    assert found["links"] and found["labels"] and not found["missing"], found["missing"]
    assert [h[:2] for h in found["headings"]].count("H1") == 1 and "H2 Map of perturbations" in found["headings"]
    dark = look("page.html", [1000, 400], "--force-dark-mode", "--blink-settings=preferredColorScheme=0")
    check_figures(dark, [1000, 400])
    check_theme(dark["400"]["layout"], dark=True)
    bare = look("bare.html", [1000])
    check_figures(bare, [1000], FIGURES - {"figure-coverage", "figure-network", "figure-gold", "figure-transfer"})
    assert len(bare["missing"]) == 2 and "train.members" in bare["missing"][0] and "--network" in bare["missing"][1], bare["missing"]
    browse("--print-to-pdf=page.pdf", "--virtual-time-budget=5000", page="page.html")
    pdf = pathlib.Path("page.pdf").read_bytes()
    assert pdf.startswith(b"%PDF") and len(pdf) > 50000 and 4 <= len(re.findall(rb"/Type\s*/Page\b", pdf)) <= 15, len(pdf)
    print("fine")


main()
