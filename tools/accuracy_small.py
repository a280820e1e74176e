#!/usr/bin/env python3
"""Makes the table of small screens in docs/accuracy.md again: the model alone, blended, and the best baseline.

usage: accuracy_small.py DATA_FOLDER [--out DIR] [--splits N] [--kinds mlp,dot] [--screens perturbseq,simulate,thinned]

DATA_FOLDER holds perturbseq.h5ad (counts; obs columns perturbation and cell_type), jump.h5ad, oneil.h5ad and tggates.h5ad (with a
column split). Needs a built program in build/. Scores are kept in DIR; a screen that has some is not trained again.
"""
import argparse
import json
import random
import statistics
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TESSERA = ROOT / "build" / "tessera"


def call(*words):
    done = subprocess.run([TESSERA, "-q", *map(str, words)], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{words}: {done.stderr}")
    return done.stdout


def perturbseq(a, split):
    store = a.out / f"perturbseq-{split}.prc.h5"
    if not store.exists():
        call("import", a.data / "perturbseq.h5ad", "-o", store, "--perturbation", "perturbation", "--context", "cell_type",
             "--normalize-total", "1e4", "--log1p")
        call("split", store, "--random", "--seed", split)
    return store


def simulated(a, contexts, perturbations, seed):
    store = a.out / f"simulated-{contexts}-{perturbations}-{seed}.prc.h5"
    if not store.exists():
        call("simulate", "-o", store, "--contexts", contexts, "--perturbations", perturbations, "--readouts", 100, "--seed", seed)
    return store


def thinned(a, name, share, seed):
    """A share of the training experiments; the others are not used. Validation and test stay."""
    store, table = a.out / f"{name}-{share}-{seed}.prc.h5", a.out / f"{name}-{share}-{seed}.tsv"
    if not store.exists():
        call("import", a.data / f"{name}.h5ad", "-o", store, "--split-column", "split")
        call("split", store, "--export", table)
        head, *lines = table.read_text().splitlines()
        at = head.split("\t").index("split")
        lines = [line.split("\t") for line in sorted(set(lines))]
        train = [i for i, line in enumerate(lines) if line[at] == "train" and "control" not in line]
        dropped = set(train) - set(random.Random(seed).sample(train, max(1, round(len(train) * share / 100))))
        for i in dropped:
            lines[i][at] = "unused"
        table.write_text("\n".join([head, *("\t".join(line) for line in lines)]) + "\n")
        call("split", store, "--file", table)
    return store


def screens(a):
    """(name, the stores of its splits)"""
    chosen, splits = a.screens.split(","), range(1, a.splits + 1)
    if "perturbseq" in chosen:
        yield "perturbseq", [perturbseq(a, split) for split in splits]
    for contexts, perturbations in ((3, 20), (6, 20), (3, 200), (6, 200)) if "simulate" in chosen else ():
        yield f"simulated, {contexts} contexts × {perturbations}", [simulated(a, contexts, perturbations, s) for s in splits]
    for name in ("jump", "oneil", "tggates") if "thinned" in chosen else ():
        for share in (5, 10):
            yield f"{name}, {share} %", [thinned(a, name, share, seed) for seed in splits]


BASELINES = "readout_mean", "additive", "linear"


def score(a, store, kind):
    """{"model": RMSE, "blend": RMSE, "weight": w, "chosen": RMSE of the baseline that validation chose, and that of each baseline}"""
    run = store.with_suffix(f".{kind}.run")
    files = {how: store.with_suffix(f".{kind}.{how}") for how in ("off", "on")}
    if not files["on"].exists():
        words = (f"data.store={store}", f"run.directory={run}", f"model.kind={kind}", "train.threads=1")
        call("train", ROOT / "config" / "quickstart.yaml", *(f"--set={w}" for w in words))
        for how, path in files.items():
            call("evaluate", run, "--blend", how, "--json", path)
    scores = {how: json.loads(path.read_text()) for how, path in files.items()}
    blend, baselines = json.loads((run / "blend.json").read_text()), scores["off"]["baselines"]
    return {"model": scores["off"]["model"]["rmse"], "blend": scores["on"]["model"]["rmse"], "weight": blend["weight"],
            "chosen": baselines[blend["baseline"]]["rmse"], **{b: baselines[b]["rmse"] for b in BASELINES}}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=Path("accuracy-small"))
    parser.add_argument("--splits", type=int, default=10)
    parser.add_argument("--kinds", default="mlp,dot")
    parser.add_argument("--screens", default="perturbseq,simulate,thinned")
    a = parser.parse_args()
    a.out.mkdir(parents=True, exist_ok=True)
    print("| screen | splits | kind | model alone | w | blended | baseline chosen on validation | best baseline on the test "
          "| blended − chosen | blended − best |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name, stores in screens(a):
        for kind in a.kinds.split(","):
            rows = [score(a, store, kind) for store in stores]
            mean = {k: statistics.mean(r[k] for r in rows) for k in rows[0]}
            best = min(BASELINES, key=mean.get)
            cells = (name, len(rows), kind, f"{mean['model']:.4f}", f"{mean['weight']:.2f}", f"{mean['blend']:.4f}",
                     f"{mean['chosen']:.4f}", f"{best} {mean[best]:.4f}",
                     *(f"{100 * (mean['blend'] / b - 1):+.1f} %" for b in (mean["chosen"], mean[best])))
            print("|", " | ".join(map(str, cells)), "|", flush=True)


if __name__ == "__main__":
    main()
