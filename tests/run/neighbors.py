#!/usr/bin/python3
"""neighbors: lists and scores of pairs against NumPy on the exported arrays, the baseline's from the measured values; on 1, 2, 3
and 5 ranks the same bytes of lists, the same ranks of pairs; refusals and what is left out."""
import csv
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import machine
from checks import check, fine, finish, run

with machine.needed():
    import numpy as np

tessera, source = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
folder = tempfile.TemporaryDirectory()
os.chdir(folder.name)
rng = np.random.default_rng(7)
DRUGS, GENES = [f"drug:{i}" for i in range(330)], [f"KO_G{i}" for i in range(290)] # more than a tile of each
TOGETHER = ("drug:6", "KO_G20")
EFFECT = rng.normal(size=(len(DRUGS) + len(GENES), 6))
EFFECT[0] = 0


def make_store():
    """Some values are missing, one drug is for test alone, a drug and a gene are measured together alone; drug i acts as gene i does."""
    place, values = rng.normal(size=(6, 7)), {}
    EFFECT[len(DRUGS):] = EFFECT[:len(GENES)] + 0.3 * rng.normal(size=(len(GENES), 6))
    with open("rows.csv", "w") as file:
        print("perturbation,context,split", *(f"r{j}" for j in range(7)), sep=",", file=file)
        for i, name in enumerate(["control", *DRUGS, *GENES]):
            for context in ("a", "b") if name.startswith("drug") else ("c", "b"):
                row = (EFFECT[i - 1] @ place if i else np.zeros(7)) + rng.normal(size=7) * 0.1
                row[rng.random(7) < 0.05] = np.nan
                row = row.round(4)
                if name == "KO_G20":
                    continue
                name = "drug:6+KO_G20" if name == "drug:6" else name
                split = "test" if name == "drug:5" else "train"
                print(name, context, split, *("" if np.isnan(x) else x for x in row), sep=",", file=file)
                values[name, context] = row.astype(np.float32).astype(float)
    fine("-q", "import", "rows.csv", "--split-column", "split", "-o", "s.prc.h5")
    return values


def train(name, seed, kind):
    fine("-q", "train", f"{source}/config/quickstart.yaml", "--set", "data.store=s.prc.h5", "--set", f"run.directory={name}", "--set",
         f"run.seed={seed}", "--set", "train.epochs=3", "--set", "model.embedding_dim=6", "--set", "model.hidden_dim=10", "--set",
         f"model.kind={kind}")
    fine("-q", "export", name, "-o", f"{name}.npz")
    return np.load(f"{name}.npz")


def kind_of(name):
    return name.split(":")[0] if ":" in name else name.split("_")[0] if "_" in name else name


def directions(x, names, trained, center):
    x = x.astype(float)
    for kind in {kind_of(n) for n in names} if center == "type" else {None} if center == "all" else ():
        own = np.array([kind is None or kind_of(n) == kind for n in names])
        x[own] -= x[own & trained].mean(0)
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-300)


def likeness(models, names, raw, center):
    x = [m["perturbation"] if raw else m["perturbation"].astype(float) @ m["wp"].T.astype(float) for m in models]
    trained = models[0]["perturbation_trained"].astype(bool)
    unit = [directions(v, names, trained, center) for v in x]
    return sum(u @ u.T for u in unit) / len(unit)


def scale_locally(cosine, members, k):
    """CSLS (Conneau et al., 2018); members: the numbers of those that may be near."""
    other = cosine[:, members].copy()
    other[members, np.arange(len(members))] = -np.inf # itself
    hub = np.sort(other, axis=1)[:, -k:].mean(1)
    return 2 * cosine - hub[:, None] - hub


def read(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def compare_lists(name, runs, models, names, options, raw=False, center="type", kind=None, among=None, of=None, k=10, many=(), csls=0):
    fine("-q", "neighbors", *runs, "-o", f"{name}.tsv", *options)
    said, trained = read(f"{name}.tsv"), models[0]["perturbation_trained"].astype(bool)
    cosine = likeness(models, names, raw, center)
    index = {n: i for i, n in enumerate(names)}
    members = [n for i, n in enumerate(names) if trained[i] and n != "control"]
    if csls:
        cosine = scale_locally(cosine, [index[n] for n in members], csls)
    candidates = [n for n in members if among in (None, kind_of(n))]
    queries = of or [n for n in members if kind in (None, kind_of(n))]
    check([s["perturbation"] for s in said] == [q for q in sorted(queries) for _ in range(min(k, len(candidates) - (q in candidates)))],
          f"{name}: whose neighbours")
    for q in queries:
        mine = {n: cosine[index[q], index[n]] for n in candidates if n != q}
        best = sorted(mine.values(), reverse=True)
        for line in (s for s in said if s["perturbation"] == q):
            rank = int(line["rank"])
            check(abs(float(line["csls" if csls else "cosine"]) - mine[line["neighbor"]]) < 2e-6 and abs(best[rank - 1] - mine[line["neighbor"]]) < 2e-6,
                  f"{name}: neighbour {rank} of {q}")
    for ranks in many:
        fine("-q", "neighbors", *runs, "-o", "other.tsv", "--force", *options, ranks=ranks)
        check(pathlib.Path("other.tsv").read_bytes() == pathlib.Path(f"{name}.tsv").read_bytes(), f"{name}: bytes on {ranks} ranks")
    return said


def profiles(values, names):
    """Principal components of the mean training changes."""
    train = {key: v for key, v in values.items() if key[0] != "drug:5"}
    mean = {c: np.nanmean([v for (n, d), v in train.items() if d == c and n != "control"], axis=0) for c in "abc"}
    known = [n for n in names if n not in ("control", "drug:5", *TOGETHER)]
    change = {n: np.array([v - mean[c] for (m, c), v in train.items() if m == n]) for n in known}
    x = np.array([np.nansum(change[n], axis=0) / np.maximum((~np.isnan(change[n])).sum(0), 1) for n in known])
    x -= x.mean(0)
    _, _, axes = np.linalg.svd(x, full_matrices=False)
    place = x @ axes.T
    for kind in ("drug", "KO"):
        own = np.array([kind_of(n) == kind for n in known])
        place[own] -= place[own].mean(0)
    place /= np.linalg.norm(place, axis=1, keepdims=True)
    return known, place @ place.T


def ranks_of(cosine, names, pairs, candidates):
    index, out = {n: i for i, n in enumerate(names)}, []
    for q, t in pairs:
        row = np.array([cosine[index[q], index[c]] for c in candidates if c != q])
        mine = cosine[index[q], index[t]]
        out.append(1 + (row > mine + 1e-9).sum() + ((abs(row - mine) <= 1e-9).sum() - 1) / 2)
    return np.array(out)


def compare_pairs(models, names, values):
    genes = [n for n in names if n.startswith("KO_")]
    pairs = [(f"drug:{i}", f"KO_G{i}") for i in range(0, 290, 2) if i != 5] + [("drug:7", "KO_G8"), ("KO_G3", "KO_G4")]
    lines = [*pairs, pairs[0], ("drug:9", "KO_unknown"), ("drug:5", "KO_G5"), ("KO_G1", "KO_G1"), ("KO_G1", "drug:1")]
    pathlib.Path("pairs.tsv").write_text("perturbation\ttarget\n" + "".join(f"{a}\t{b}\n" for a, b in lines) + "drug:1 KO_G1\n\nother\n")
    done = fine("-q", "neighbors", "one", "two", "--pairs", "pairs.tsv", "--among", "KO", "-o", "ranks.tsv")
    said = {(s["perturbation"], s["target"]): s for s in read("ranks.tsv")}
    check(len(said) == len(pairs) and all(p in said for p in pairs), "which pairs are scored")
    check("left out: 1 unknown, 1 never trained, 2 with themselves or no candidate, 2 lines without a tab (the first: 'drug:1 KO_G1')"
          in done.stdout, "what is left out")
    mine = ranks_of(likeness(models, names, False, "type"), names, pairs, genes)
    theirs = np.array([float(said[p]["rank"]) for p in pairs])
    check(abs(mine - theirs).max() <= 1, f"ranks: {abs(mine - theirs).max()}")  # float32 may turn two neighbours round
    check((mine == theirs).mean() > 0.95, "most ranks are the same")
    known, cosine = profiles(values, names)
    check(all((said[p]["profile_rank"] == "") == bool({*p} & {*TOGETHER}) for p in pairs), "ranks of profiles that are not there")
    alone, alone_genes = [p for p in pairs if not {*p} & {*TOGETHER}], [g for g in genes if g not in TOGETHER]
    base = ranks_of(cosine, known, alone, alone_genes)
    measured = np.array([float(said[p]["profile_rank"]) for p in alone])
    check(f"measured alone: both of {len(alone)} pairs, 289 candidates" in done.stdout and len(alone) == len(pairs) - 2, "how many")
    same = ranks_of(likeness(models, names, False, "type"), names, alone, alone_genes)
    value = float(re.search(r"^mean reciprocal rank.*model\* +([\d.]+)", done.stdout, re.M).group(1))
    check(abs((1 / same).mean() - value) < 1e-3, f"the model over the same pairs: {value}")
    check(abs(base - measured).max() <= 1 and (base == measured).mean() > 0.95, f"ranks of profiles: {abs(base - measured).max()}")
    others = np.array([289 if q in genes else 290 for q, _ in pairs])
    scores = {"recall at 1": (theirs <= 1).mean(), "recall at 5": (theirs <= 5).mean(), "recall at 10": (theirs <= 10).mean(),
              "recall at 1 %": (theirs <= 0.01 * others).mean(), "recall at 5 %": (theirs <= 0.05 * others).mean(),
              "mean reciprocal rank": (1 / theirs).mean(), "mean percentile": ((theirs - 1) / (others - 1)).mean()}
    for name, value in scores.items():
        line = re.search(rf"^{name} +model(.*?)profiles(.*?)chance(.*)$", done.stdout, re.M)
        model, profile, chance = ([float(x) for x in re.findall(r"[\d.]+(?=\s|$)", part)] for part in line.groups())
        check(abs(model[0] - value) < 6e-5, f"{name}: {model[0]} for {value}")
        check(model[1] <= model[0] <= model[2] and profile[1] <= profile[0] <= profile[2], f"{name}: intervals")
        if name == "mean percentile":
            check(abs(chance[0] - 0.5) < 0.02 and chance[1] < 0.5 < chance[2], "chance")
            check(profile[2] < 0.2 < chance[1], "profiles of what acts alike are not found")
            spread = np.std([(theirs[i] - 1).mean() / 289 for i in rng.integers(0, len(pairs), (400, len(pairs)))])
            check(abs((model[2] - model[1]) / (3.92 * spread) - 1) < 0.25, "the width of an interval")
    for ranks in (2, 3, 5):
        fine("-q", "neighbors", "one", "two", "--pairs", "pairs.tsv", "--among", "KO", "-o", "other.tsv", "--force", ranks=ranks)
        other = {(s["perturbation"], s["target"]): s for s in read("other.tsv")}
        check(all(other[p]["rank"] == said[p]["rank"] for p in pairs), f"ranks of pairs on {ranks} ranks")
        check(all(abs(float(other[p]["profile_rank"]) - float(said[p]["profile_rank"])) <= 1 for p in pairs if said[p]["profile_rank"]),
              f"profiles on {ranks}")


def compare_hubs(models, names, values):
    """Ranks by CSLS, of the model and of the profiles, whose hubs are their own."""
    genes = [n for n in names if n.startswith("KO_") and n not in TOGETHER]
    pairs = [(f"drug:{i}", f"KO_G{i}") for i in range(1, 290, 2) if i != 5]
    pathlib.Path("hubs.tsv").write_text("".join(f"{a}\t{b}\n" for a, b in pairs))
    members = [i for i, n in enumerate(names) if n not in ("control", "drug:5")]
    mine = ranks_of(scale_locally(likeness(models, names, False, "type"), members, 20), names, pairs, [*genes, "KO_G20"])
    known, cosine = profiles(values, names)
    base = ranks_of(scale_locally(cosine, np.arange(len(known)), 20), known, pairs, genes)
    plain = ranks_of(cosine, known, pairs, genes)
    for ranks in (1, 2, 3):
        fine("-q", "neighbors", "one", "two", "--pairs", "hubs.tsv", "--among", "KO", "--csls", "20", "-o", "hubs_ranks.tsv", "--force",
             ranks=ranks)
        said = {(s["perturbation"], s["target"]): s for s in read("hubs_ranks.tsv")}
        for column, right in ("rank", mine), ("profile_rank", base):
            theirs = np.array([float(said[p][column]) for p in pairs])
            check(abs(right - theirs).max() <= 1 and (right == theirs).mean() > 0.95, f"{column} by CSLS on {ranks}: {right} {theirs}")
    check((plain != base).mean() > 0.1, "CSLS changes no rank of a profile")


def edges():
    """Where nothing can be said, nothing is: no length, no permutation; and a full disk is noticed."""
    done = fine("neighbors", "one", "--of", "drug:1", "--among", "control", ranks=2)
    check(done.stdout.count("\n") == 1, f"neighbours without length: {done.stdout}")
    check(done.stderr.count("1 perturbations are the only") == 1 and "--center all" in done.stderr, f"no warning: {done.stderr}")
    done = fine("neighbors", "one", "--of", "drug:1", "--among", "control", "--center", "all")
    check(done.stdout.count("\n") == 2 and "only trained" not in done.stderr, f"neighbours less the mean of all: {done.stdout}")
    done = fine("neighbors", "one", "--of", "control,drug:1", "-k", "2", ranks=2)
    check("1 of the 2 perturbations that were asked for have no neighbor" in done.stderr and done.stdout.count("\n") == 3, f"a list without a word: {done}")
    check("no neighbor" not in fine("neighbors", "one", "--of", "drug:1").stderr, "a warning of nothing")
    pathlib.Path("single.tsv").write_text("perturbation\ttargets\nKO_G1\tKO_G2\nKO_G2\tKO_G1\n")
    done = fine("-q", "neighbors", "one", "--pairs", "single.tsv", "--among", "KO", "--resamples", "50")
    check("left out: 1 unknown" in done.stdout, "a line that only begins like a heading")
    chance = [float(x) for x in re.search(r"mean percentile.*chance(.*)", done.stdout).group(1).replace("…", " ").split()]
    model = float(re.search(r"mean percentile +model +([\d.]+)", done.stdout).group(1))
    check(len(chance) == 3 and all(abs(x - model) < 2e-4 for x in chance), f"permutations without a pair count: {chance} {model}")
    if os.path.exists("/dev/full"):
        with open("/dev/full", "w") as full:
            done = subprocess.run([tessera, "-q", "neighbors", "one", "--pairs", "pairs.tsv", "-o", "lost.tsv"], stdout=full,
                                  stderr=subprocess.PIPE, text=True)
        check(done.returncode == 74 and "standard output" in done.stderr and not os.path.exists("lost.tsv"), "standard output is full")


def refusals():
    before = sorted(os.listdir("."))
    pathlib.Path("none.tsv").write_text("drug:1\tKO_unknown\n")
    pathlib.Path("list.txt").write_text("drug:2\n")
    for options, code, word in ((["--of", "drug:1x"], 65, "drug:1"), (["--of", "drug:5"], 65, "drug:5"), (["--type", "gene"], 65, "drug"),
                                (["--among", "gene"], 65, "KO"), (["-k", "0"], 2, "neighbors"),
                                (["--center", "some"], 2, "some"), (["--csls", "1001"], 2, "csls"), (["--vectors", "own"], 2, "own"), (["-o", "effective.tsv"], 73, "--force"),
                                (["--of", "drug:1", "--type", "drug"], 2, "--type"), (["--pairs", "no.tsv"], 65, "no.tsv"),
                                (["--pairs", "pairs.tsv", "-o", "-"], 2, "standard output"), (["-o", "near.xlsx"], 2, ".tsv"),
                                (["--pairs", "none.tsv"], 65, "1 one or both"), (["--pairs", "pairs.tsv", "--of", "drug:1"], 2, "--of"),
                                (["--of", "@list.txt", "-o", "list.txt", "--force"], 73, "input")):
        for ranks in (1, 3) if code == 65 else (1,):
            done = run("-q", "neighbors", "one", *options, ranks=ranks)
            check(done.returncode == code and word in done.stderr, f"{options} on {ranks}: {done.returncode} {done.stderr}")
    check(sorted(os.listdir(".")) == sorted([*before, "none.tsv", "list.txt"]), "something is left behind")
    pathlib.Path("s.prc.h5").rename("moved")
    done = fine("neighbors", "one", "--pairs", "pairs.tsv", "--among", "KO", ranks=2)
    check("profiles are not compared" in done.stderr and "profiles" not in done.stdout, "without a store")


values = make_store()
models = [train("one", 1, "mlp"), train("two", 2, "mlp")]
names = [s.decode() for s in models[0]["perturbation_symbols"]]
some = ["drug:1", "drug:200", "KO_G7", "control"]
compare_lists("effective", ["one", "two"], models, names, [], many=(2, 3, 5))
compare_lists("raw", ["one"], models[:1], names, ["--vectors", "raw", "--center", "all", "--type", "drug", "--among", "KO", "-k", "3"], True,
              "all", "drug", "KO", k=3)
compare_lists("chosen", ["two"], models[1:], names, ["--of", ",".join(some), "--center", "none", "-k", "1000", "--among", "drug"], False,
              "none", None, "drug", some, 1000, (3,))
compare_lists("dot", ["dot"], [train("dot", 3, "dot")], names, ["--among", "drug", "--type", "KO"], False, "type", "KO", "drug")
compare_lists("hubs", ["one", "two"], models, names, ["--csls", "10", "--of", ",".join(some[:3]), "--among", "KO"], False, "type", None, "KO",
              some[:3], many=(2, 3), csls=10)
compare_pairs(models, names, values)
compare_hubs(models, names, values)
edges()
refusals()
finish()
