#!/usr/bin/env python3
"""Makes the table and the picture of docs/reach.md, "Scaling", again: accuracy by the share of contexts, and of perturbations, that
a model was trained on, beside the additive baseline, the best baseline and the noise ceiling.

usage: scaling_study.py OUT NAME=STORE[@TARGET] … [--draws N,N,…] [--shares X,X,…] [--set KEY=VALUE …] [--ranks N] [--picture FILE.png|.svg]

Of each store's target context (default: the one with most held-out experiments) `tessera split --target` holds out perturbations,
anew in each draw; `tessera split --share-contexts` or `--share-perturbations` leaves a share of everything else in training. What is
scored is the same at every share of a draw: held-out perturbations that the smallest share of contexts still measures elsewhere. A
draw in which those are fewer than ten is passed over. A store simulated:SIZE is made by `tessera simulate`. Every score is kept in
OUT, and what is there is not made again. Needs a built program in build/, NumPy and matplotlib."""
import argparse
import json
import shutil
import subprocess
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402

from plot import COLOURS, GREY, MARKERS  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
TESSERA = ROOT / "build" / "tessera"
AXES = ("contexts", "perturbations")
LEAST = 10  # perturbations that are scored
LINES = {"model": ("the model", COLOURS[0], MARKERS[0]), "blend": ("with its baseline", COLOURS[4], MARKERS[1]),
         "additive": ("additive", COLOURS[1], MARKERS[2]), "best": ("best baseline", COLOURS[3], MARKERS[3]), "ceiling": ("noise ceiling", GREY, "")}


def call(*words, ranks=1):
    done = subprocess.run([*(["mpirun", "-n", str(ranks)] if ranks > 1 else []), TESSERA, "-q", *map(str, words)], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, words))}: {done.stderr}")
    return done.stdout


def read_table(path):
    return [line.split("\t") for line in path.read_text().splitlines()[1:]]


def write_table(path, rows):
    path.write_text("\n".join("\t".join(row) for row in [["perturbation", "context", "split"], *rows]) + "\n")


class Study:
    """One store, one draw of what is held out and of the order in which contexts and perturbations come."""

    def __init__(self, options, name, store, target, draw):
        self.options, self.name, self.draw = options, name, draw
        self.folder = options.out / name / str(draw)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.store, self.base = self.folder / "s.prc.h5", self.folder / "base.tsv"
        shutil.copy(store, self.store)
        self.scored = self.hold_out(target)

    def split(self, *words):
        """The rows of the split that these options make, as they now stand in the store."""
        table = self.folder / "now.tsv"
        call("split", self.store, *words, "--seed", self.draw, "--export", table)
        return read_table(table)

    def hold_out(self, target):
        """What the smallest share of contexts leaves unknown is not scored at any share. How many perturbations are."""
        whole = self.split("--target", target)
        write_table(self.base, whole)
        for _ in range(2):  # what is held out no more may be drawn as a perturbation to train on
            least = self.split("--file", self.base, "--share-contexts", self.options.shares[0])
            known = {p for p, _, s in least if s == "train"}
            whole = [[p, c, "unused" if s in ("val", "test") and p not in known else s] for p, c, s in whole]
            write_table(self.base, whole)
        return len({p for p, _, s in whole if s == "test"})

    def point(self, axis, share):
        """Scores at a share, from where they are kept or made now."""
        kept = self.folder / (f"{axis}-{share}.json" if share < 1 else "all.json")
        if not kept.exists():
            kept.write_text(json.dumps(self.make(axis, share)))
        return json.loads(kept.read_text())

    def make(self, axis, share):
        run = self.folder / "run"
        rows = self.split("--file", self.base, f"--share-{axis}", share)
        shutil.rmtree(run, ignore_errors=True)
        settings = [f"--set={s}" for s in (*self.options.set, f"data.store={self.store}", f"run.directory={run}", f"run.seed={13 + self.draw}")]
        call("train", ROOT / "config" / "quickstart.yaml", *settings, ranks=self.options.ranks)
        found = {"experiments": sum(s == "train" for *_, s in rows), "contexts": len({c for _, c, s in rows if s == "train"}),
                 "perturbations": len({p for p, _, s in rows if s == "train"} - {"control"})}
        for blend, name in ("off", "model"), ("auto", "blend"):
            scores = self.folder / "scores.json"
            call("evaluate", run, "--blend", blend, "--json", scores, "--resamples", 10, ranks=self.options.ranks)
            one = json.loads(scores.read_text())
            found[name] = one["model"]["rmse"]
            found["additive"] = one["baselines"]["additive"]["rmse"]
            found["best"] = min(b["rmse"] for b in one["baselines"].values() if b and b.get("rmse") is not None)
            found["ceiling"] = (one.get("ceiling") or {}).get("rmse")
        return found


def target_of(store):
    contexts = json.loads(call("info", store, "--json"))["context"]
    return max(contexts, key=lambda c: c["val"] + c["test"])["context"]


def study(options, name, store, draws):
    """{axis: [(share, {score: [value of each draw]})]}, and how many perturbations were scored in each draw."""
    path, _, target = store.partition("@")
    if path.startswith("simulated:"):
        n, made = int(path.partition(":")[2]), options.out / f"{name}.prc.h5"
        if not made.exists():
            call("simulate", "-o", made, "--perturbations", n, "--readouts", n, "--contexts", 16, "--replicates", 3, "--interaction", 0.5)
        path = made
    found, scored, draw = {axis: [(share, []) for share in options.shares] for axis in AXES}, [], 0
    while len(scored) < draws and draw < 20 * draws:
        one, draw = Study(options, name, path, target or target_of(path), draw), draw + 1
        if one.scored < LEAST:
            continue
        scored.append(one.scored)
        for axis in AXES:
            for share, points in found[axis]:
                points.append(one.point(axis, share))
                print(name, "draw", one.draw, axis, share, points[-1], flush=True)
    if not scored:
        raise SystemExit(f"{name}: no draw leaves {LEAST} perturbations that the smallest share of contexts knows: give larger shares")
    return found, scored


def values(points, key):
    return np.array([p[key] for p in points if p[key] is not None], float)


def cell(points, key):
    x = values(points, key)
    return "–" if len(x) == 0 else f"{x.mean():.4f}" + (f" ± {x.std(ddof=1) / np.sqrt(len(x)):.4f}" if len(x) > 1 else "")


def tables(results):
    text = ""
    for name, (found, scored) in results.items():
        text += f"\n`{name}`, {len(scored)} draws, {', '.join(map(str, scored))} perturbations scored\n\n"
        text += "| share of | | contexts | perturbations | experiments | " + " | ".join(LINES[k][0] for k in LINES) + " |\n" + "|---" * 10 + "|\n"
        for axis in AXES:
            for share, points in found[axis]:
                sizes = [f"{np.mean([p[k] for p in points]):.0f}" for k in ("contexts", "perturbations", "experiments")]
                text += f"| {axis} | {share:g} | " + " | ".join(sizes + [cell(points, k) for k in LINES]) + " |\n"
    return text


def draw_all(results, path):
    plt.rcParams.update({"font.size": 8, "axes.titlesize": 8, "svg.hashsalt": "tessera"})
    figure, grid = plt.subplots(2, len(results), figsize=(2.4 * len(results), 4.4), layout="constrained", squeeze=False, sharey="col")
    for column, (name, (found, _)) in enumerate(results.items()):
        for row, axis in enumerate(AXES):
            ax = grid[row][column]
            for key, (text, colour, marker) in LINES.items():
                if key == "blend":
                    continue
                at = [(share, values(points, key)) for share, points in found[axis]]
                at = [(share, x.mean(), x.std(ddof=1) / np.sqrt(len(x)) if len(x) > 1 else 0) for share, x in at if len(x)]
                if at:
                    share, mean, error = map(np.array, zip(*at))
                    ax.errorbar(share, mean, error, color=colour, marker=marker, ms=3.5, lw=1.1, ls="--" if key == "ceiling" else "-", label=text)
            ax.set_xscale("log", base=2)
            ax.set_xticks([share for share, _ in found[axis]], [f"{share:g}" for share, _ in found[axis]])
            ax.minorticks_off()
            ax.spines[["top", "right"]].set_visible(False)
            ax.set(xlabel=f"share of {axis}", ylabel="test RMSE" if column == 0 else None, title=name if row == 0 else None)
    figure.get_layout_engine().set(rect=(0, 0.05, 1, 0.95))  # the legend stands below
    figure.legend(*grid[0][0].get_legend_handles_labels(), frameon=False, loc="lower center", ncol=4)
    figure.savefig(path, dpi=110, metadata={"Date": None} if path.suffix == ".svg" else None)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("store", nargs="+", help="NAME=STORE[@TARGET]; STORE may be simulated:SIZE")
    parser.add_argument("--draws", type=lambda text: list(map(int, text.split(","))), default=[3], help="of each store, or of all")
    parser.add_argument("--shares", type=lambda text: sorted(map(float, text.split(","))), default=[0.125, 0.25, 0.5, 1])
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="of the training")
    parser.add_argument("--ranks", type=int, default=1)
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    results = {}
    for i, one in enumerate(options.store):
        name, _, store = one.partition("=")
        results[name] = study(options, name, store, options.draws[i % len(options.draws)])
    text = tables(results)
    print(text)
    (options.out / "tables.md").write_text(text)
    draw_all(results, options.picture or options.out / "scaling.png")


if __name__ == "__main__":
    main()
