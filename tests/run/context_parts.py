#!/usr/bin/python3
"""Contexts as sums of parts (model.context_parts): pairs of a cell and a time that nobody measured are predicted, far better than
by a model without parts; a context's vector is the sum of rows, by the checkpoint; the same bits on any number of ranks and after
a stop; every command takes such a context; names without parts are refused."""
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
CELLS, TIMES = ["A", "B", "C", "D"], ["2h", "8h", "24h"]
HIDDEN = {"A_8h", "C_24h"}
NEVER = "D_2h"  # in no file
OWN = 0.3  # weight of a context's own row


def truth():
    """Effects that a cell and a time share out: (perturbation, context, readout)."""
    rng = np.random.default_rng(5)
    readout = rng.normal(size=(3, 30))
    effect, cell, time = (rng.normal(size=(n, 3)) @ readout for n in (40, 4, 3))
    strength = 1 + 0.5 * rng.normal(size=3)
    return {f"{c}_{t}": cell[i] + time[k] + strength[k] * effect for i, c in enumerate(CELLS) for k, t in enumerate(TIMES)}


def write_table(values, path):
    """Whole contexts are in the test split."""
    rng = np.random.default_rng(6)
    with open(path, "w") as file:
        file.write("perturbation\tcell\ttime\tsplit\t" + "\t".join(f"R{r}" for r in range(30)) + "\n")
        for context, matrix in values.items():
            if context == NEVER:
                continue
            cell, time = context.split("_")
            for p, row in enumerate(matrix):
                split = "test" if context in HIDDEN else "val" if rng.random() < 0.1 else "train"
                noisy = row + 0.05 * rng.normal(size=30)
                file.write(f"P{p:02}\t{cell}\t{time}\t{split}\t" + "\t".join(f"{x:.4f}" for x in noisy) + "\n")


def train(directory, *settings, ranks=1, options=(), **more):
    keys = [x for setting in settings for x in ("--set", setting)]
    return run("-q", "train", f"{source}/config/quickstart.yaml", "--set", "data.store=store.prc.h5", "--set",
               f"run.directory={directory}", "--set", "model.kind=mlp", "--set", "train.epochs=40", "--set", "model.embedding_dim=8",
               "--set", "model.hidden_dim=32", *keys, *options, ranks=ranks, **more)


def error_of(directory, values, contexts=HIDDEN, ranks=1):
    """RMSE of imputed contexts that were never measured."""
    run("-q", "impute", directory, "-o", f"{directory}.h5ad", "--contexts", ",".join(sorted(contexts)), "--blend", "off", "--force",
        ranks=ranks)
    with h5py.File(f"{directory}.h5ad") as file:
        def column(name):
            group = file["obs"][name]
            if isinstance(group, h5py.Group):
                return [group["categories"].asstr()[i] for i in group["codes"][:]]
            return list(group.asstr()[:])
        index = file["var"].attrs["_index"]
        readouts = [int(name[1:]) for name in file["var"][index].asstr()[:]]
        rows = list(zip(column("perturbation"), column("context")))
        wanted = np.array([values[c][int(p[1:])][readouts] for p, c in rows])
        assert set(column("trained_context")) == {"never"}
        return float(np.sqrt(np.mean((file["X"][:] - wanted) ** 2)))


def digest(directory):
    return [hashlib.sha256(open(path, "rb").read()).hexdigest() for path in sorted(glob.glob(f"{directory}/best-*.h5"))]


def check_vectors():
    """What is exported as a context's vector, against the rows in the checkpoint."""
    run("-q", "export", "parts", "-o", "parts.npz")
    arrays = np.load("parts.npz")
    names = [name.decode().rstrip("\0") for name in arrays["context_symbols"]]
    parts = sorted({f"{k + 1}:{part}" for name in names for k, part in enumerate(name.split("_"))})
    with h5py.File(glob.glob("parts/best-*.h5")[0]) as file:
        table, trained = file["table/context/value"][:], file["context/trained"][:]
        assert table.shape[0] == len(names) + len(parts)
        for i, name in enumerate(names):
            assert trained[i] == (2 if name in HIDDEN else 1), (name, trained[i])
            if name in HIDDEN:
                assert not table[i].any()  # nothing of its own
            places = [len(names) + parts.index(f"{k + 1}:{part}") for k, part in enumerate(name.split("_"))]
            if (file["table/context/last"][places] == file.attrs["step"]).all() and file["table/context/last"][i] in (
                    file.attrs["step"], 0) and name not in HIDDEN:
                np.testing.assert_allclose(arrays["context"][i], OWN * table[i] + table[places].sum(0), rtol=1e-5, atol=1e-6)
    for name in HIDDEN:  # sums hold between the exported vectors, too: own parts are small beside those that are shared
        assert np.isfinite(arrays["context"][names.index(name)]).all() and arrays["context"][names.index(name)].any()


def judge(path):
    """The baseline `additive_parts` in NumPy: RMSE over contexts without training data."""
    with h5py.File(path) as file:
        names = [s.decode() for s in file["context/symbol"][()]]
        rows = list(zip(file["experiment/combination"][()], (names[c].split("_") for c in file["experiment/context"][()]),
                        file["experiment/split"][()], file["value"][()].reshape(-1, 30).astype(float)))
    parts = {"_".join(c): c for _, c, _, _ in rows}
    mean = {name: np.mean([y for _, d, s, y in rows if d == c and s == 0], axis=0) for name, c in parts.items() if name not in HIDDEN}

    def total(context, values, shrinkage):
        all_of = np.mean(list(values.values()), axis=0)
        apart = [[y - all_of for d, y in values.items() if parts[d][k] == parts[context][k]] for k in range(2)]
        return all_of + sum(np.sum(some, axis=0) / (len(some) + shrinkage) for some in apart if some)
    errors = []
    for p, c, split, y in rows:
        if split == 2:
            changes = {"_".join(d): z - mean["_".join(d)] for q, d, s, z in rows if q == p and s == 0}
            errors.append(np.mean((total("_".join(c), mean, 0) + total("_".join(c), changes, 1) - y) ** 2))
    return np.sqrt(np.mean(errors))


def ask_made():
    """A pair that is in no file, by every command, whatever else is asked for."""
    with open("made.tsv", "w") as file:
        file.write(f"context\tperturbation\treadout\nA_2h\tP03\tR7\n{NEVER}\tP03\tR7\nC_24h\tP11\tR2\n{NEVER}\tP11\tR2\n")
    for ranks in (1, 3):
        run("-q", "predict", "parts", "made.tsv", "-o", f"made{ranks}.tsv", ranks=ranks)
    assert open("made1.tsv").read() == open("made3.tsv").read()
    with open("made1.tsv", newline="") as file:
        answers = [np.float32(line["prediction"]) for line in csv.DictReader(file, delimiter="\t")]
    run("-q", "impute", "parts", "-o", "made.h5ad", "-c", f"{NEVER},B_2h", ranks=2)
    with h5py.File("made.h5ad") as file:
        rows = [s.decode() for s in file["obs"][file["obs"].attrs["_index"]][:]]
        readouts = [s.decode() for s in file["var"][file["var"].attrs["_index"]][:]]
        assert file["X"][rows.index(f"P03@{NEVER}"), readouts.index("R7")] == answers[1]
        assert file["X"][rows.index(f"P11@{NEVER}"), readouts.index("R2")] == answers[3]
    run("-q", "screen", "parts", "--readout", "R7", "-c", f"A_8h,{NEVER}", "-o", "made_screen.h5ad", ranks=2)
    with h5py.File("made_screen.h5ad") as file:
        contexts = [s.decode() for s in file["var"][file["var"].attrs["_index"]][:]]
        assert set(contexts) == {"A_8h", NEVER} and np.isfinite(file["X"][:]).all(), contexts
    for context in ("E_2h", "D", "D_2h_x"):
        assert context in run("impute", "parts", "-o", "no.h5ad", "-c", context, code=65, ranks=2)


def ask():
    with open("queries.tsv", "w") as file:
        file.write("context\tperturbation\treadout\nA_8h\tP03\tR7\nC_24h\tP11\tR2\n")
        file.write("B_2h\tP11\tR2\n")
    run("-q", "predict", "parts", "queries.tsv", "-o", "out.tsv")
    with open("out.tsv", newline="") as file:
        lines = list(csv.DictReader(file, delimiter="\t"))
    assert [float(line["prediction"]) for line in lines]
    assert [line["known_by"] for line in lines] == ["parts", "parts", "data"]
    assert all(np.isnan(float(line["deviation"])) for line in lines)
    arrays = np.load("parts.npz")
    for name, way, trained in zip(*(arrays[f"context_{x}"] for x in ("symbols", "known_by", "trained"))):
        name = name.decode().rstrip("\0")
        assert way == (b"parts" if name in HIDDEN else b"data") and trained == (name not in HIDDEN), (name, way)
    run("-q", "evaluate", "parts", "--split", "test", "--resamples", 0, "--json", "scores.json", ranks=2)
    got, wanted = json.load(open("scores.json"))["baselines"]["additive_parts"]["rmse"], judge("store.prc.h5")
    assert abs(got / wanted - 1) < 1e-6, (got, wanted)
    run("-q", "embed", "parts", "-o", "embed.h5ad")
    run("-q", "verify", glob.glob("parts/best-*.h5")[0])


def main():
    values = truth()
    write_table(values, "data.tsv")
    run("-q", "import", "data.tsv", "-o", "store.prc.h5", "--perturbation", "perturbation", "--context", "cell,time", "--split-column",
        "split")
    train("parts", "model.context_parts=true")
    train("whole")
    known, blind = error_of("parts", values), np.std([values[c] for c in HIDDEN])
    assert "A_8h" in (said := run("impute", "whole", "-o", "no.h5ad", "--contexts", "A_8h", code=65)), said
    print(f"contexts never measured: RMSE {known:.3f}, deviation {blind:.3f}")
    assert known < 0.35 * blind
    made, blind = error_of("parts", values, {NEVER}, ranks=2), np.std(values[NEVER])
    print(f"a context in no file: RMSE {made:.3f}, deviation {blind:.3f}")
    assert made < 0.35 * blind
    short = ["model.context_parts=true", "train.epochs=2"]
    for ranks in (1, 2, 3, 5):
        train(f"short{ranks}", *short, ranks=ranks)
        assert digest(f"short{ranks}") == digest("short1"), ranks
    for ranks in (2, 1):
        train("stopped", *short, ranks=ranks, code=75, options=["--time-limit", "0.001"])
    train("stopped", *short, ranks=3)
    assert digest("stopped") == digest("short1")
    check_vectors()
    ask()
    ask_made()
    text = open("data.tsv").read().replace("\tB\t", "\tB_x\t")
    open("uneven.tsv", "w").write(text)
    os.remove("store.prc.h5")
    run("-q", "import", "uneven.tsv", "-o", "store.prc.h5", "--perturbation", "perturbation", "--context", "cell,time",
        "--split-column", "split")
    said = train("no", "model.context_parts=true", code=65, ranks=2)
    assert "store.prc.h5" in said and "has 3" in said, said


main()
