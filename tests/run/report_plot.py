#!/usr/bin/python3
"""report_plot.py -- tools/plot.py: every figure of a report as PNG and PDF, none of them blank, the same from the page and from its
JSON; what a report lacks is said, what it does not know is refused.

usage: report_plot.py TESSERA SOURCE_FOLDER"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import machine

with machine.needed():
    import matplotlib.image
    import numpy as np
import small_store
import training
from training import run

tessera, source = os.path.abspath(sys.argv[1]), pathlib.Path(sys.argv[2]).absolute()
folder = tempfile.TemporaryDirectory()
os.chdir(folder.name)
FIGURES = ["curve", "scores", "contexts", "transfer", "values", "coverage", "map", "screen", "hits", "network", "gold"]


def plot(*arguments, code=0):
    done = subprocess.run([sys.executable, source / "tools" / "plot.py", *arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == code, (arguments, done.returncode, done.stderr)
    return done.stdout + done.stderr


def prepare():
    small_store.write(tessera, "data.prc.h5", small_store.rows())
    training.write_config("run.yaml", {"data.store": "data.prc.h5", "run.directory": "run", "model.embedding_dim": 6, "model.hidden_dim": 16,
                                       "train.epochs": 4, "train.members": 2})
    run("-q", "train", "run.yaml")
    with open("edges.tsv", "w") as edges, open("gold.tsv", "w") as gold:
        print("regulator", "target", "score", "sign", sep="\t", file=edges)
        for i in range(9):
            for k in range(9):
                if i != k:
                    print(f"g{i}", f"g{k}", (i * 5 + k * 7) % 23, "+-"[k % 2], sep="\t", file=edges)
                    print(f"g{i}", f"g{k}", int((i * 5 + k * 7) % 23 > 16), sep="\t", file=gold)
    options = ["--resamples", "20", "--network", "edges.tsv"]
    os.makedirs("run/transfer")
    pathlib.Path("run/transfer/transfer.tsv").write_text(
        "context\ttrain_experiments\ttest_experiments\tby_context_mean\tverdict\tmetric\tall\talone\tdifference\tdifference_low\tdifference_high\n" +
        "".join(f"c{c}\t40\t12\t3\t{verdict}\trmse\t0.5\t0.6\t{c - 1}\t{c - 1.5}\t{c - 0.5}\n" for c, verdict in enumerate(["helped", "hurt", "no difference"])))
    run("-q", "report", "run", "-o", "page.html", "--json", "page.json", "--gold", "gold.tsv", *options)
    run("-q", "report", "run/member-1", "--json", "bare.json", "--resamples", "20")


def check_picture(path):
    """Has it ink, of several colours, over a good part of its area, and white around it?"""
    pixels = (matplotlib.image.imread(path)[..., :3] * 255).round().astype(int)
    ink = (pixels < 250).any(-1)
    assert 0.004 < ink.mean() < 0.6, (path, ink.mean())
    rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    assert rows[-1] - rows[0] > 0.6 * ink.shape[0] and columns[-1] - columns[0] > 0.6 * ink.shape[1], path
    coloured = pixels[(pixels.max(-1) - pixels.min(-1)) > 60]  # data are coloured, axes are not
    assert len(coloured) > 80, (path, len(coloured))


def main():
    prepare()
    said = plot("page.json", "-o", "png", "--format", "png")
    assert said.split() == [f"png/{name}.png" for name in FIGURES], said
    for name in FIGURES:
        check_picture(f"png/{name}.png")
    plot("page.html", "-o", "again", "--format", "png", "--only", "map,scores")
    for name in "map", "scores":
        assert pathlib.Path(f"again/{name}.png").read_bytes() == pathlib.Path(f"png/{name}.png").read_bytes(), name
    plot("page.json", "-o", "pdf")
    for name in FIGURES:
        pdf = pathlib.Path(f"pdf/{name}.pdf").read_bytes()
        assert pdf.startswith(b"%PDF") and len(pdf) > 4000, (name, len(pdf))
    plot("page.json", "-o", "r", "--format", "png", "--only", "scores", "--metric", "pearson")
    assert pathlib.Path("r/scores.png").read_bytes() != pathlib.Path("png/scores.png").read_bytes()
    said = plot("bare.json", "-o", "bare")
    for name, word in ("transfer", "--transfer"), ("coverage", "train.members"), ("network", "--network"), ("gold", "--network"):
        assert any(line.startswith(f"{name}: left out: ") and word in line for line in said.splitlines()), said
        assert not os.path.exists(f"bare/{name}.pdf")
    assert os.path.exists("bare/map.pdf")
    names = json.load(open("page.json"))
    names["network"]["edges"] = [["a$_1$", "b$\\nonsense{$", 1.0, "+"], ["$", "a$_1$", 0.5, "-"]]
    pathlib.Path("names.json").write_text(json.dumps(names))
    plot("names.json", "-o", "names", "--format", "svg", "--only", "network")
    assert all(f"<!-- {name} -->" in pathlib.Path("names/network.svg").read_text() for name, *_ in names["network"]["edges"])  # as they are
    assert "no figure nonsense" in plot("page.json", "--only", "nonsense", code=1)
    assert "no score nonsense" in plot("page.json", "--metric", "nonsense", code=1)
    assert "nowhere.json" in plot("nowhere.json", code=1)
    pathlib.Path("other.json").write_text("[]")
    assert "is no report" in plot("other.json", code=1)
    print("fine")


main()
