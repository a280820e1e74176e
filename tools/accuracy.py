#!/usr/bin/env python3
"""Makes the tables of docs/accuracy.md again: the recipes of config/ on real data, several seeds.

usage: accuracy.py DATA_FOLDER [--out DIR] [--seeds 13,14,…] [--ranks N] [--files tggates,jump,oneil] [--recipes …]
       accuracy.py DATA_FOLDER --best [--out DIR] [--seeds 13,14,…] [--files …]
       accuracy.py DATA_FOLDER --times [--out DIR] [--seeds 13,14,15] [--files …]

DATA_FOLDER holds tggates.h5ad, jump.h5ad and oneil.h5ad with obs columns perturbation, context and split. Needs a built
program in build/. Every run is kept in DIR, and one that is there already is not trained again. The recipes: lincs, the
published one; mlp and dot, the program's defaults for these kinds of model.

--best: three mlp, three dot and all six of them as one model (config/best.yaml). Of five seeds there are five groups of
three that follow each other, the first after the last, so that a difference is paired.

--times: PyTorch (Debian's, python3-torch) with the published recipe and Tessera with the tile recipe in turns on an
idle machine with two cores, each the better of two ways to use them: 1 or 2 threads, 2 ranks or 2 threads. Seconds
until PyTorch's lowest validation RMSE; PyTorch's are of training alone, Tessera's of training and validation.
"""
import argparse
import json
import math
import os
import re
import shutil
import statistics
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TESSERA = ROOT / "build" / "tessera"
# Test RMSE after the last epoch of the published model in PyTorch 1.13 (LINCS recipe, 80 epochs, seeds 13 to 17).
PYTORCH = {
    "tggates": [0.2943, 0.2901, 0.3024, 0.3027, 0.2947],
    "jump": [0.3372, 0.3807, 0.3832, 0.3425, 0.3636],
    "oneil": [13.22, 13.45, 13.14, 13.23, 13.38],
}
RECIPES = {
    "lincs": ("lincs.yaml", ["train.epochs=80"]),
    "mlp": ("quickstart.yaml", ["model.kind=mlp"]),
    "dot": ("quickstart.yaml", ["model.kind=dot"]),
}
KINDS = ["mlp", "dot"]
MEMBERS = 3  # of each kind in config/best.yaml


def call(*words):
    print("$", *words, flush=True)
    subprocess.run([str(w) for w in words], check=True)


def train(store, run, config, settings, ranks):
    if (run / "scores.json").exists():
        return
    start = ["mpirun", "-n", ranks] if ranks > 1 else []
    words = [f"--set={s}" for s in [f"data.store={store}", f"run.directory={run}", *settings]]
    call(*start, TESSERA, "train", ROOT / "config" / config, *words)
    call(TESSERA, "-q", "evaluate", sorted(run.glob("checkpoint-*.h5"))[-1], "--json", run / "scores.json")


def runs_of(a, name, recipe):
    """The recipe's runs, a seed each, trained and scored."""
    store, (config, settings) = stored(a, name), RECIPES[recipe]
    runs = {seed: a.out / f"{name}-{recipe}-{seed}" for seed in a.seeds.split(",")}
    for seed, run in runs.items():
        train(store, run, config, [*settings, f"run.seed={seed}"], a.ranks)
    return list(runs.values())


def together(a, label, runs):
    """Scores of the mean of what the runs predict after their last epochs."""
    out = a.out / f"{label}.json"
    call(TESSERA, "-q", "evaluate", *(sorted(r.glob("checkpoint-*.h5"))[-1] for r in runs), "--json", out)
    return json.loads(out.read_text())


def mean_and_sd(values):
    return f"{statistics.mean(values):.4f} ({statistics.stdev(values) if len(values) > 1 else 0:.4f})"


def best(a):
    """Groups of three seeds, in turn: the mlp alone, dot alone, and both."""
    rows = []
    for name in a.files.split(","):
        mlp, dot = (runs_of(a, name, recipe) for recipe in ("mlp", "dot"))
        scores = []
        for i in range(len(mlp)):
            group = [(i + k) % len(mlp) for k in range(MEMBERS)]
            members = [mlp[k] for k in group], [dot[k] for k in group]
            scores.append([together(a, f"{name}-best", runs)["model"]["rmse"] for runs in (*members, sum(members, []))])
        columns = list(zip(*scores))
        gained = [both - alone for alone, _, both in scores]
        rows.append(f"| `{name}` | " + " | ".join(map(mean_and_sd, columns)) + f" | {statistics.mean(gained):+.4f} "
                    f"({statistics.stdev(gained) if len(gained) > 1 else 0:.4f}) | {sum(g < 0 for g in gained)} of {len(gained)} |")
    print("\n| data | 3 mlp: test RMSE, mean (sd) | 3 dot | 3 mlp + 3 dot | difference to 3 mlp, mean (sd) | groups where it wins |")
    print("|---|---|---|---|---|---|", *rows, sep="\n")


def lowest_validation(run):
    return min(json.loads(line)["val_rmse"] for line in (run / "log.jsonl").read_text().splitlines())


def curve_of_torch(path, seed, threads, epochs):
    """(seconds of training until then, validation RMSE, test RMSE) after each epoch; the kernels are Tessera's."""
    version = subprocess.run([TESSERA, "--version"], capture_output=True, text=True, check=True).stdout
    core = re.search(r"^BLAS:.* (\w+) MAX_THREADS", version, re.M)
    words = ["/usr/bin/python3", ROOT / "tools" / "accuracy_torch.py", path, f"--seed={seed}", f"--epochs={epochs}"]
    environment = {"OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)}
    if core:
        environment["OPENBLAS_CORETYPE"] = core[1]
    done = subprocess.run(words, env={**os.environ, **environment}, capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return [(line["seconds"], line["val_rmse"], line["test_rmse"]) for line in lines]


def curve_of_tessera(store, run, seed, kind, way):
    """(seconds of training and validation until then, validation RMSE) after each epoch."""
    shutil.rmtree(run, ignore_errors=True)
    start, threads = (["mpirun", "-n", "2"], 1) if way == "ranks" else ([], 2)
    words = [f"--set={s}" for s in [f"data.store={store}", f"run.directory={run}", f"run.seed={seed}",
                                     f"model.kind={kind}", f"train.threads={threads}"]]
    subprocess.run([*start, TESSERA, "-q", "train", ROOT / "config" / "quickstart.yaml", *words], check=True)
    spent, points = 0.0, []
    for line in (run / "log.jsonl").read_text().splitlines():
        line = json.loads(line)
        spent += line["seconds"]["epoch"] + line["seconds"]["validation"]
        points.append((spent, line["val_rmse"]))
    return points


def times(a):
    """A turn is a seed: PyTorch's two ways for some epochs and the faster one to the end, then each kind of Tessera's, its two ways."""
    print("| data | seed | kind | PyTorch: val RMSE, lowest | s until then | s in all | Tessera: s until that | val RMSE, last | s in all | ratio |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name in a.files.split(","):
        path, store, ratios = a.data / f"{name}.h5ad", stored(a, name), {kind: [] for kind in KINDS}
        for seed in a.seeds.split(","):
            threads = min((1, 2), key=lambda n: curve_of_torch(path, seed, n, 3)[-1][0])
            theirs = curve_of_torch(path, seed, threads, 80)
            until, lowest, _ = min(theirs, key=lambda point: point[1])
            for kind in KINDS:
                ours = [curve_of_tessera(store, a.out / f"{name}-times", seed, kind, way) for way in ("ranks", "threads")]
                reached, ours = min((next((t for t, rmse in points if rmse <= lowest), math.inf), points) for points in ours)
                ratios[kind].append(until / reached)
                print(f"| `{name}` | {seed} | {kind} | {lowest:.4f} | {until:.1f} | {theirs[-1][0]:.1f} | {reached:.2f} | {ours[-1][1]:.4f} "
                      f"| {ours[-1][0]:.1f} | {ratios[kind][-1]:.1f} |", flush=True)
        for kind in KINDS:
            print(f"| `{name}` | median | {kind} | | | | | | | **{statistics.median(ratios[kind]):.1f}** |", flush=True)


def stored(a, name):
    store = a.out / f"{name}.prc.h5"
    if not store.exists():
        call(TESSERA, "-q", "import", a.data / f"{name}.h5ad", "-o", store, "--split-column", "split")
    return store


def error(values):
    return statistics.stdev(values) / math.sqrt(len(values))


def recipes(a):
    rows, beaten, paired = [], [], []
    for name in a.files.split(","):
        for recipe in a.recipes.split(","):
            runs = runs_of(a, name, recipe)
            scores = [json.loads((run / "scores.json").read_text()) for run in runs]
            rmse, theirs = [s["model"]["rmse"] for s in scores], PYTORCH[name]
            gap = statistics.mean(rmse) - statistics.mean(theirs)
            pooled = math.hypot(error(rmse), error(theirs)) if len(rmse) > 1 else math.nan
            rows.append(f"| `{name}` | {recipe} | {mean_and_sd(rmse)}: " + " ".join(f"{x:.4f}" for x in rmse)
                        + f" | {mean_and_sd(theirs)} | {gap:+.4f} = {gap / pooled:+.2f} SE"
                        + f" | {statistics.mean(map(lowest_validation, runs)):.4f} |")
            mean = together(a, f"{name}-{recipe}", runs)
            for k, d in mean["differences"].items():
                if k != "reasons" and d and d.get("rmse"):
                    low, high = d["rmse"]["interval"]
                    paired.append(f"| `{name}` | {recipe} | {mean['model']['rmse']:.4f} | {k} | "
                                  f"{mean['baselines'][k]['rmse']:.4f} | {d['rmse']['difference']:+.4f} [{low:+.4f}, {high:+.4f}] |")
            lowest = min((b["rmse"], k) for k, b in scores[0]["baselines"].items() if b and b.get("rmse") is not None)
            beaten.append(f"| `{name}` | {recipe} | {lowest[1]} {lowest[0]:.4f} | "
                          + " ".join(f"{x - lowest[0]:+.4f}" for x in rmse) + " |")
    print("\n| data | recipe | test RMSE, mean (sd): seeds | PyTorch | difference | lowest val RMSE |")
    print("|---|---|---|---|---|---|", *rows, sep="\n")
    print("\n| data | recipe | mean of the seeds, RMSE | baseline | its RMSE | difference, 95 % interval |")
    print("|---|---|---|---|---|---|", *paired, sep="\n")
    print("\n| data | recipe | best baseline | model − baseline, by seed |\n|---|---|---|---|", *beaten, sep="\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=Path("accuracy"))
    parser.add_argument("--best", action="store_true")
    parser.add_argument("--times", action="store_true")
    parser.add_argument("--seeds", default="13,14,15,16,17")
    parser.add_argument("--ranks", type=int, default=1)
    parser.add_argument("--files", default="tggates,jump,oneil")
    parser.add_argument("--recipes", default="lincs,mlp,dot")
    a = parser.parse_args()
    a.out.mkdir(parents=True, exist_ok=True)
    if a.times:
        return times(a)
    if a.best:
        return best(a)
    return recipes(a)


if __name__ == "__main__":
    main()
