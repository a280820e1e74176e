#!/usr/bin/python3
"""neighbors --vectors completed against NumPy: measured changes, predicted ones (from `impute`) where there are none, in units of the
replicates' noise; the same on 1, 2, 3 and 5 ranks up to rounding; the paired difference to profiles."""
import csv
import os
import pathlib
import re
import sys
import tempfile
import warnings

import machine
from checks import check, fine, finish, run

with machine.needed():
    import anndata
    import numpy as np

tessera, source = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
folder = tempfile.TemporaryDirectory()
os.chdir(folder.name)
rng = np.random.default_rng(3)
DRUGS, GENES, R = [f"drug:{i}" for i in range(60)], [f"KO_G{i}" for i in range(50)], 9
TOGETHER = ("drug:6", "KO_G20")


def make_store(name, drug_contexts, gene_contexts):
    """{(perturbation, context): replicates}: values are missing, and experiments; two perturbations are measured together alone."""
    effect, place, values = rng.normal(size=(len(GENES), 6)), rng.normal(size=(6, R)), {}
    noise = np.linalg.cholesky(0.05 * np.eye(R) + 2 * np.outer(place[0], place[0]))
    with open(f"{name}.csv", "w") as file:
        print("perturbation,context,split", *(f"r{j}" for j in range(R)), sep=",", file=file)
        for name_ in ["control", *DRUGS, *GENES]:
            if name_ == TOGETHER[1]:
                continue
            number = int(re.sub(r"\D", "", name_) or 0) % len(GENES)
            for context in drug_contexts if name_ in DRUGS else gene_contexts:
                if rng.random() < 0.2 and name_ != "control":
                    continue
                rows = (effect[number] @ place if name_ != "control" else 0) + rng.normal(size=(rng.integers(1, 4), R)) @ noise.T
                rows[rng.random(rows.shape) < 0.05] = np.nan
                rows[:, 0] = np.where(rng.random() < 0.1, np.nan, rows[:, 0]) # missing in all replicates
                rows = rows.round(4).astype(np.float32)
                symbol = "+".join(TOGETHER) if name_ == TOGETHER[0] else name_
                split = "test" if rng.random() < 0.05 and name_ != "control" and symbol == name_ else "train"
                for row in rows:
                    print(symbol, context, split, *("" if np.isnan(x) else x for x in row), sep=",", file=file)
                if split == "train":
                    values[symbol, context] = rows.astype(float)
    fine("-q", "import", f"{name}.csv", "--split-column", "split", "-o", f"{name}.prc.h5")
    fine("-q", "train", f"{source}/config/quickstart.yaml", "--set", f"data.store={name}.prc.h5", "--set", f"run.directory={name}",
         "--set", "train.epochs=3", "--set", "model.embedding_dim=6", "--set", "model.hidden_dim=10", "--set", "train.members=2")
    fine("-q", "impute", name, "-o", f"{name}.h5ad", "--blend", "off")
    return values, anndata.read_h5ad(f"{name}.h5ad")


def kind_of(name):
    return name.split(":")[0].split("_")[0]


def noise_of(values):
    """The covariance of replicates to the power of -1/2, a tenth of it spread evenly."""
    rows, freedom = [], 0
    for v in values.values():
        if len(v) > 1:
            rows.append(np.nan_to_num(v - np.nanmean(np.where(np.isnan(v).all(0), 0, v), axis=0)))
            freedom += len(v) - 1
    rows = np.concatenate(rows)
    rows -= rows.mean(0)
    s = rows.T @ rows / freedom
    w, v = np.linalg.eigh(0.9 * s + 0.1 * np.trace(s) / R * np.eye(R))
    return v / np.sqrt(w) @ v.T


def likeness(values, imputed):
    """Names of those that were trained, and their cosines."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore") # of readouts without a value
        mean_of = {key: np.nanmean(v, axis=0) for key, v in values.items()}
    contexts = sorted({c for _, c in values})
    base = {c: np.nanmean([v for (n, d), v in mean_of.items() if d == c and n != "control"], axis=0) for c in contexts}
    names = sorted({part for n, _ in values for part in n.split("+")} - {"control"})
    own = {n: [c for c in contexts if (n, c) in values] for n in names}
    shared = [c for c in contexts if all(any(c in own[n] for n in names if kind_of(n) == kind) for kind in ("drug", "KO"))]
    divide = noise_of(values)
    readouts = [f"r{j}" for j in range(R)]


    def change(name, context):
        predicted = imputed[f"{name}@{context}", readouts].X[0].astype(float)
        value = mean_of.get((name, context), np.full(R, np.nan))
        return np.where(np.isnan(value), predicted, value) - base[context]

    every = {(n, c): change(n, c) for n in names for c in contexts}
    every = {key: x @ divide for key, x in every.items()}
    parts = [np.array([np.mean([every[n, c] / np.linalg.norm(every[n, c]) for c in own[n] or contexts], axis=0) for n in names])]
    if shared:
        parts.append(np.array([np.concatenate([every[n, c] for c in shared]) for n in names]))
    cosine = 0
    for x in parts:
        for kind in ("drug", "KO"):
            mine = np.array([kind_of(n) == kind for n in names])
            x[mine] -= x[mine].mean(0)
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        cosine = cosine + x @ x.T / len(parts)
    return names, cosine, shared


def compare_lists(name, values, imputed, n_shared):
    names, cosine, shared = likeness(values, imputed)
    assert len(shared) == n_shared, shared
    index = {n: i for i, n in enumerate(names)}
    for ranks in (1, 2, 3, 5):
        done = fine("neighbors", name, "--vectors", "completed", "--type", "drug", "--among", "KO", "-k", "4", "-o", "near.tsv", "--force",
                    ranks=ranks)
        check(f"changes in {n_shared} of" in done.stderr and f"{R} axes of noise" in done.stderr, f"{name}: {done.stderr}")
        with open("near.tsv", newline="") as file:
            said = list(csv.DictReader(file, delimiter="\t"))
        drugs = [n for n in names if kind_of(n) == "drug"]
        check([line["perturbation"] for line in said] == [n for n in drugs for _ in range(4)], f"{name}: whose neighbours")
        for line in said:
            mine = {n: cosine[index[line["perturbation"]], index[n]] for n in names if kind_of(n) == "KO"}
            best = sorted(mine.values(), reverse=True)[int(line["rank"]) - 1]
            check(abs(float(line["cosine"]) - mine[line["neighbor"]]) < 2e-5 and abs(best - mine[line["neighbor"]]) < 2e-5,
                  f"{name} on {ranks}: {line} {mine[line['neighbor']]} {best}")


def compare_pairs(name, values, imputed):
    names, cosine, _ = likeness(values, imputed)
    pairs = [(f"drug:{i}", f"KO_G{i}") for i in range(50) if {f"drug:{i}", f"KO_G{i}"} <= {*names}]
    pathlib.Path("pairs.tsv").write_text("".join(f"{a}\t{b}\n" for a, b in pairs))
    done = fine("-q", "neighbors", name, "--vectors", "completed", "--among", "KO", "--pairs", "pairs.tsv", "-o", "ranks.tsv", "--force")
    with open("ranks.tsv", newline="") as file:
        said = {(line["perturbation"], line["target"]): line for line in csv.DictReader(file, delimiter="\t")}
    genes, index = [n for n in names if kind_of(n) == "KO"], {n: i for i, n in enumerate(names)}
    mine = np.array([1 + sum(cosine[index[a], index[g]] > cosine[index[a], index[b]] + 1e-6 for g in genes) for a, b in pairs])
    theirs = np.array([float(said[p]["rank"]) for p in pairs])
    check(abs(mine - theirs).max() <= 1 and (mine == theirs).mean() > 0.9, f"{name}: ranks {mine} {theirs}")
    both = [p for p in pairs if said[p]["profile_rank"]]
    check(0 < len(both) < len(pairs), f"{name}: {len(both)} pairs with profiles")
    line = re.search(r"^mean reciprocal rank +model +([\d.]+).*?profiles +([\d.]+).*?model\* +([\d.]+).*?difference +(.*?)chance",
                     done.stdout, re.M)
    difference, low, high = (float(x) for x in re.findall(r"-?[\d.]+", line.group(4).replace("…", " ")))
    check(abs(float(line.group(3)) - float(line.group(2)) - difference) < 2e-4 and low <= difference <= high, f"{name}: {line.group(0)}")
    profile = np.array([float(said[p]["profile_rank"]) for p in both])
    check(abs(np.mean(1 / profile) - float(line.group(2))) < 2e-4, f"{name}: of profiles")
    check(high - low < 0.5, f"{name}: the interval of the difference")
    return theirs


shared = make_store("shared", "ab", "abc")
compare_lists("shared", *shared, 2)
check(np.mean(compare_pairs("shared", *shared)) < 10, "those that act alike are found")
compare_lists("apart", *make_store("apart", "ab", "cd"), 0)

def few_profiles():
    """Fewer profiles than readouts: their components are those of a singular value decomposition all the same."""
    names, readouts = [*(f"drug:{i}" for i in range(14)), *(f"KO_G{i}" for i in range(14))], 70
    x = rng.normal(size=(14, readouts))
    x = np.concatenate([x, x + rng.normal(size=x.shape)]).round(4)
    pathlib.Path("few.csv").write_text(",".join(["perturbation", "context", *(f"r{j}" for j in range(readouts))]) + "\n" + "".join(
        f"{n},a,{','.join(str(v) for v in row)}\n" for n, row in zip(names, x)))
    fine("-q", "import", "few.csv", "-o", "few.prc.h5")
    fine("-q", "train", f"{source}/config/quickstart.yaml", "--set", "data.store=few.prc.h5", "--set", "run.directory=few", "--set",
         "train.epochs=1", "--set", "model.embedding_dim=4", "--set", "model.hidden_dim=4")
    place = x.astype(np.float32).astype(float) - x.mean(0)
    u, s, _ = np.linalg.svd(place, full_matrices=False)
    place = (u * s)[:, :27]
    place[:14] -= place[:14].mean(0)
    place[14:] -= place[14:].mean(0)
    place /= np.linalg.norm(place, axis=1, keepdims=True)
    cosine = place[:14] @ place[14:].T
    pathlib.Path("few.tsv").write_text("".join(f"drug:{i}\tKO_G{j}\n" for i in range(14) for j in range(14)))
    for ranks in (1, 2, 3, 5):
        said = fine("-v", "neighbors", "few", "--among", "KO", "--pairs", "few.tsv", "-o", "few_ranks.tsv", "--force", ranks=ranks).stderr
        check("components of 28 measured profiles, of which 28 were made" in said, f"a profile is made again on {ranks}: {said}")
        with open("few_ranks.tsv", newline="") as file:
            for line in csv.DictReader(file, delimiter="\t"):
                i, j = (int(re.sub(r"\D", "", line[k])) for k in ("perturbation", "target"))
                check(abs(float(line["profile_rank"]) - (cosine[i] > cosine[i, j] + 1e-9).sum() - 1) <= 1e-9, f"{line} on {ranks}")


few_profiles()
# One replicate of each says nothing of the noise; without the store there is nothing to complete.
pathlib.Path("alone.csv").write_text("perturbation,context,r0,r1,r2\n" + "".join(
    f"{p},{c},{x:.3f},{y:.3f},{z:.3f}\n" for p in ("control", "drug:1", "drug:2", "drug:3") for c in "ab" for x, y, z in [rng.normal(size=3)]))
fine("-q", "import", "alone.csv", "-o", "alone.prc.h5")
fine("-q", "train", f"{source}/config/quickstart.yaml", "--set", "data.store=alone.prc.h5", "--set", "run.directory=alone", "--set",
     "train.epochs=1", "--set", "model.embedding_dim=4", "--set", "model.hidden_dim=4")
done = fine("neighbors", "alone", "--vectors", "completed", ranks=2)
check(done.stderr.count("no replicates that differ") == 1 and done.stdout.count("\n") == 7, f"{done.stderr} {done.stdout}")
check("its split changed" not in done.stderr, done.stderr)
fine("-q", "split", "alone.prc.h5", "--random")
done = fine("neighbors", "alone", "--vectors", "completed", ranks=2)
check(done.stderr.count("its split changed") == 1, done.stderr)
os.rename("alone.prc.h5", "moved")
for ranks in 1, 3:
    done = run("-q", "neighbors", "alone", "--vectors", "completed", ranks=ranks)
    check(done.returncode == 65 and "alone.prc.h5" in done.stderr and done.stderr.count("error: ") == 1, f"{done.returncode} {done.stderr}")
finish()
