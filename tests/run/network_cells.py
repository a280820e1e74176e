#!/usr/bin/python3
"""network_cells.py -- `tessera network` on single cells: distances, tests and scores against SciPy, NumPy and scikit-learn.

usage: network_cells.py TESSERA SOURCE_FOLDER [real]"""
import csv
import json
import os
import re
import tempfile

import machine

with machine.needed():
    import anndata
    import numpy as np
    import scipy.sparse as sp
    from scipy.stats import mannwhitneyu, wasserstein_distance
    from sklearn.metrics import average_precision_score, roc_auc_score
import checks
from checks import check

data = checks.real_data("perturbseq.h5ad")
folder = tempfile.TemporaryDirectory(prefix="tess_network_cells_")
os.chdir(folder.name)
random = np.random.default_rng(11)
RANKS = (1, 2, 3, 5)


def run(*line, ranks=1):
    done = checks.run("network", *line, ranks=ranks)
    assert done.returncode == 0, f"{line}: {done.stderr}"
    return done


def refuse(line, code, words, ranks=1):
    done = checks.run("network", *line, ranks=ranks)
    check(done.returncode == code and words in done.stderr, f"{line}: {done.returncode} {done.stderr}")


def table(path):
    with open(path) as file:
        return list(csv.DictReader(file, delimiter="\t"))


def judge(control, sample):
    """Distance, change of the mean and p; of what is measured; None if that are fewer than 3 cells."""
    control, sample = control[~np.isnan(control)].astype(float), sample[~np.isnan(sample)].astype(float)
    if min(len(control), len(sample)) < 3:
        return None
    with np.errstate(all="ignore"):
        p = mannwhitneyu(control, sample, alternative="two-sided", method="asymptotic").pvalue
    return wasserstein_distance(control, sample), sample.mean() - control.mean(), 1.0 if np.isnan(p) else p


def judge_all(X, names, gene):
    """gene[i]: what was perturbed in cell i, "" the control, None: it does not count."""
    at = {g: [i for i, x in enumerate(gene) if x == g] for g in sorted({g for g in gene if g is not None})}
    found = {}
    for g, rows in at.items():
        for k, name in enumerate(names):
            if g and g != name and len(rows) >= 3:
                found[g, name] = judge(X[at[""], k], X[rows, k])
    return {pair: value for pair, value in found.items() if value is not None}, {g: len(rows) for g, rows in at.items()}


def compare_edges(what, rows, expected, sizes, tolerance=1e-9):
    got = {(r["regulator"], r["target"]): r for r in rows}
    check(len(got) == len(rows) and set(got) == set(expected), f"{what}: other pairs: {len(rows)} and {len(expected)}, {set(got) ^ set(expected)}")
    for pair in set(got) & set(expected):
        r, (distance, change, p) = got[pair], expected[pair]
        far = max(abs(float(r["score"]) - distance), abs(float(r["change"]) - change), abs(float(r["p"]) - p))
        check(far < tolerance, f"{what}: {pair} is {r}, not {expected[pair]}")
        check(r["sign"] == ("+" if float(r["change"]) < 0 else "-" if float(r["change"]) > 0 else "0") and int(r["cells"]) == sizes[pair[0]],
              f"{what}: sign or cells of {pair}: {r}")
    scores = [float(r["score"]) for r in rows]
    check(scores == sorted(scores, reverse=True), f"{what}: not in the order of the scores")


def infer(path, *options, ranks=1):
    done = run("infer", path, "-m", "wasserstein", "-o", f"edges{ranks}.tsv", "--force", *options, ranks=ranks)
    return open(f"edges{ranks}.tsv").read(), done.stderr


def write_cells(path, X, names, labels, contexts, extra=None, sparse=None):
    obs = {"guide": labels, "line": contexts, **(extra or {})}
    file = anndata.AnnData(X=sparse(X) if sparse else X, obs={k: np.array(v, dtype=object) for k, v in obs.items()})
    file.obs_names, file.var_names = [f"cell{i}" for i in range(len(X))], names
    file.write_h5ad(path)


def gained():
    """Cells that have more of a gene: an edge's sign is the other way round, and cells that lost the same gene count before them."""
    names = [f"G{k}" for k in range(5)] + ["OE_G0"]
    labels = ["CRISPRa_G0"] * 6 + ["orf:G1"] * 6 + ["KO_G2"] * 6 + ["OE_G2"] * 6 + ["OE_G0"] * 6 + ["control"] * 9
    X = np.round(random.normal(0, 1, (len(labels), len(names))), 2).astype(np.float32)
    write_cells("gained.h5ad", X, names, labels, ["a"] * len(labels))
    gene = {"CRISPRa_G0": "G0", "orf:G1": "G1", "KO_G2": "G2", "OE_G0": "OE_G0", "control": ""}  # OE_G0 is a readout as it is
    expected, _ = judge_all(X, names, [gene.get(l) for l in labels])
    texts = [infer("gained.h5ad", "--perturbation", "guide", "--context-column", "line", ranks=ranks) for ranks in RANKS]
    check(len({text for text, _ in texts}) == 1, "gains: other bytes on other ranks")
    check("6 cells that gained a gene which others lost" in texts[0][1], f"gains: {texts[0][1]}")
    for r in table("edges1.tsv"):
        change = expected[r["regulator"], r["target"]][1] * (-1 if r["regulator"] in ("G0", "G1") else 1)
        check(r["sign"] == ("+" if change < 0 else "-" if change > 0 else "0"), f"gains: {r}")
    check(len(table("edges1.tsv")) == len(expected) == 4 * 6 - 4, "gains: other pairs")


def general():
    """Prefixes, guides, combinations, cells without a label, other lines, genes with two cells, ties, missing and negative values."""
    random = np.random.default_rng(11)
    names = [f"G{k}" for k in range(9, 0, -1)]
    labels = ["CRISPRi_G1"] * 9 + ["G2"] * 8 + ["guide:G2"] * 3 + ["OUT"] * 5 + ["G3"] * 2 + ["G1+G2"] * 4 + [""] * 2 + ["NT"] * 30 + ["G4"] * 3
    gene = {"CRISPRi_G1": "G1", "G2": "G2", "guide:G2": "G2", "OUT": "OUT", "NT": "", "G4": "G4"}
    order = random.permutation(len(labels))
    labels = [labels[i] for i in order]
    lines = ["a" if i % 7 else "b" for i in range(len(labels))]
    X = np.round(random.normal(0, 1, (len(labels), len(names))) + np.array([x in ("G2", "OUT") for x in labels])[:, None], 1).astype(np.float32)
    X[random.random(X.shape) < 0.5] = 0
    X[:, 2] = 1  # constant
    options = ["--perturbation", "guide", "--context-column", "line", "--control", "NT", "-c", "a"]
    keep = [gene.get(l) if c == "a" else None for l, c in zip(labels, lines)]
    missing = X.copy()
    missing[[i for i, l in enumerate(labels) if l == "G4"], 4] = np.nan
    missing[5:20, 0] = np.nan
    for name, values, sparse in (("dense", missing, None), ("csr", X, sp.csr_matrix), ("csc", X, sp.csc_matrix)):
        write_cells(f"{name}.h5ad", values, names, labels, lines, sparse=sparse)
        expected, sizes = judge_all(values, names, keep)
        text, said = infer(f"{name}.h5ad", *options)
        compare_edges(name, table("edges1.tsv"), expected, sizes)
        for ranks in RANKS[1:]:
            few = ["--memory", "0.000001"] if ranks != 5 else []
            check(infer(f"{name}.h5ad", *options, *few, ranks=ranks)[0] == text, f"{name}: other bytes on {ranks} ranks")
        few = infer(f"{name}.h5ad", *options, "--memory", "0.000001")
        check(few[0] == text and "times" in few[1], f"{name}: other bytes, or one pass, with little memory: {few[1]}")
        inside = [l for l, c in zip(labels, lines) if c == "a"]
        for words in (f"{lines.count('b')} cells of other contexts", f"{inside.count('G1+G2')} cells of combinations",
                      f"{inside.count('')} cells without a perturbation", f"{inside.count('G3')} cells of 1 genes"):
            check(words in said, f"{name}: not said: {words}: {said}")
    best = infer("csr.h5ad", *options, "--edges", "5", ranks=2)[0].splitlines()
    check(best == infer("csr.h5ad", *options)[0].splitlines()[:6], "--edges 5 are not the best 5")
    counts = np.abs(X).round(0)
    write_cells("counts.h5ad", counts, names, labels, lines, sparse=sp.csr_matrix)
    total = counts.sum(1, keepdims=True, dtype=float)
    expected, sizes = judge_all(np.log1p(counts * np.where(total > 0, 100 / np.maximum(total, 1), 1)).astype(np.float32), names, keep)
    infer("counts.h5ad", *options, "--normalize-total", "100", "--log1p")
    compare_edges("normalised", table("edges1.tsv"), expected, sizes, 1e-6)
    unmeasured(X, missing, names, labels, lines, options, keep)
    bad = X.copy()
    bad[lines.index("a"), 1] = np.inf
    write_cells("infinite.h5ad", bad, names, labels, lines)
    write_cells("none.h5ad", X, names, ["G1"] * len(labels), lines)
    write_cells("few.h5ad", X[:6], names, ["G1", "G1", "G2", "NT", "NT", "NT"], ["a"] * 6)
    wasserstein = ["-m", "wasserstein", "-o", "x.tsv"]
    refuse(["infer", "infinite.h5ad", *wasserstein, *options], 65, "is infinite", 3)
    refuse(["infer", "none.h5ad", *wasserstein, *options], 65, "0 control cells", 2)
    refuse(["infer", "few.h5ad", *wasserstein, *options], 65, "no gene was perturbed alone in at least 3")
    refuse(["infer", "csr.h5ad", *wasserstein, *options, "--log1p"], 65, "has no log1p", 2)
    refuse(["infer", "csr.h5ad", *wasserstein, *options[:-1], "c"], 65, "no context 'c' in column 'line'; there are: ", 2)
    refuse(["infer", "csr.h5ad", *wasserstein, *options[:-2]], 65, "2 contexts: name one of them with --context: ", 2)
    refuse(["infer", "csr.h5ad", *wasserstein], 65, "no column 'perturbation'; there are: ", 3)
    refuse(["infer", "csr.h5ad", *wasserstein, *options, "--cutoff", "1"], 2, "--cutoff does not belong to network infer --method wasserstein")
    refuse(["infer", "csr.h5ad", "-c", "a", "-o", "x.tsv", "--keep", "@half=1"], 2, "--keep does not belong to network infer")
    refuse(["infer", "missing.h5ad", *wasserstein], 65, "missing.h5ad", 2)
    refuse(["infer", "csr.h5ad", "-m", "wasserstein"], 2, "needs -o")
    check(not os.path.exists("x.tsv"), "a refused call wrote a table")


def unmeasured(X, missing, names, labels, lines, options, keep):
    """Values, contexts and whole files that nobody measured: counted, or refused."""
    expected, _ = judge_all(missing, names, keep)
    genes = {g for g, _ in judge_all(X, names, keep)[0]}
    lacking = sum(g != name and (g, name) not in expected for g in genes for name in names)
    check(lacking > 0 and f"{lacking} pairs with fewer than 3 measured values" in infer("dense.h5ad", *options, ranks=3)[1], f"not said: {lacking} pairs")
    write_cells("empty.h5ad", X * np.nan, names, labels, lines)
    refuse(["infer", "empty.h5ad", "-m", "wasserstein", "-o", "x.tsv", *options], 65, "there is no edge", 3)
    pairs = [("G4", "G6"), ("G1", "G2"), ("G4", "G5")]  # the last is missing
    open("three.tsv", "w").writelines(f"{a}\t{b}\t1\n" for a, b in pairs)
    refuse(["evaluate", "three.tsv", "--cells", "empty.h5ad", *options], 65, "no pair that was looked at has 3 measured values", 3)
    done = run("evaluate", "three.tsv", "--cells", "dense.h5ad", *options, "--json", "three.json", "-o", "three.pairs.tsv", "--at", "2,3")
    two, three = [network["network"] for network in json.load(open("three.json"))["networks"]]
    omitted = [r for r in table("three.pairs.tsv") if r["network"] == "list" and r["omitted_by"] == "2"]
    check(two["measured_edges"] == 2 and three["measured_edges"] == 2, f"measured edges: {two} {three}")
    check(two["omitted_pairs_measured"] == sum(r["distance"] != "" for r in omitted) == two["omitted_pairs"] - 1, f"measured: {two}")
    check(three["omitted_pairs_measured"] == three["omitted_pairs"], f"measured: {three}")
    check("network: 2 of the best 3 edges and " in done.stdout, f"not said: {done.stdout}")
    # contexts: None in some cells
    file = anndata.read_h5ad("dense.h5ad")
    none = [i for i in range(len(lines)) if i % 11 == 3]
    file.obs["line"] = file.obs["line"].astype(str).where(~np.isin(np.arange(len(lines)), none)).astype("category")
    file.write_h5ad("nowhere.h5ad")
    said = infer("nowhere.h5ad", *options, ranks=2)[1]
    others = sum(l == "b" and i not in none for i, l in enumerate(lines))
    check(f"{len(none)} cells without a context" in said and f"{others} cells of other contexts" in said, f"contexts: {said}")
    # what is scaled are counts
    cancel = np.ones_like(X)
    row = next(i for i, l in enumerate(labels) if l == "NT" and lines[i] == "a")
    cancel[row] = [1e5, -1e5, 1e-20] + [0] * (len(names) - 3)
    write_cells("cancel.h5ad", cancel, names, labels, lines)
    for more in ([], ["--log1p"]):
        refuse(["infer", "cancel.h5ad", "-m", "wasserstein", "-o", "x.tsv", *options, "--normalize-total", "1e20", *more], 65,
               f"cancel.h5ad: row {row + 1}, readout 'G8': -100000 is no count (--normalize-total)", 2)
    # large values keep the columns apart
    write_cells("large.h5ad", np.abs(X) * 1e7, names, labels, lines)
    printed = run("evaluate", "three.tsv", "--cells", "large.h5ad", *options, "--at", "1,2").stdout.splitlines()
    rows = [line.split() for line in printed if re.match(r" +[123]  ", line)]
    check(len(rows) == 3 and all(len(r) == 9 and (x == "-" or float(x) >= 0 for x in r) for r in rows) and any(float(r[1]) > 1e5 for r in rows),
          f"columns: {rows}")


def connected(edges, genes, length):
    """Pairs with a path of at most `length` edges, by products of matrices."""
    names = sorted({g for edge in edges for g in edge} | set(genes))
    A = np.zeros((len(names), len(names)), dtype=int)
    for a, b in edges:
        A[names.index(a), names.index(b)] = 1
    power, all_of = np.eye(len(names), dtype=int), np.zeros_like(A)
    for _ in range(length):
        power = ((power @ A) > 0).astype(int)
        all_of |= power
    return {(names[i], names[j]) for i, j in zip(*np.nonzero(all_of)) if i != j}


def evaluate(list_, *options, ranks=1):
    run("evaluate", list_, "--cells", "cells.h5ad", "--json", f"scores{ranks}.json", "-o", f"pairs{ranks}.tsv", "--force", *options, ranks=ranks)
    return json.load(open(f"scores{ranks}.json")), table(f"pairs{ranks}.tsv")


def check_network(what, score, edges, omitted, expected):
    """One network's scores against the pairs that it is made of."""
    near = lambda a, b: (a is None and np.isnan(b)) or (a is not None and abs(a - b) < 1e-9)
    values = np.array([expected[pair] for pair in edges])
    check(near(score["distance"], values[:, 0].mean()) and near(score["changed"], (values[:, 2] < 0.05).mean()), f"{what}: {score}")
    check(near(score["distance_error"], values[:, 0].std(ddof=1) / len(edges) ** 0.5), f"{what}: error {score}")
    values = np.array([expected[pair] for pair in omitted]).reshape(-1, 3)
    rate = (values[:, 2] < 0.05).mean() if len(omitted) else np.nan
    check(score["omitted_pairs"] == len(omitted) and near(score["false_omission_rate"], rate), f"{what}: omitted {len(omitted)} {rate} {score}")


def check_evaluation(what, got, pairs, ranked, expected, length, wanted):
    """Everything that an evaluation says, against SciPy's distances (expected) and the ranked edges that count."""
    genes = {a for a, _ in expected}
    lists = {"network": ranked, "random": [(r["regulator"], r["target"]) for r in pairs if r["network"] == "random" and not r["omitted_by"]]}
    check(len(set(lists["random"])) == len(ranked) and set(lists["random"]) <= set(expected), f"{what}: the random network")
    for r in pairs:
        found = expected[r["regulator"], r["target"]]
        check(abs(float(r["distance"]) - found[0]) < 1e-9 and abs(float(r["p"]) - found[2]) < 1e-9, f"{what}: {r}, not {found}")
    for network in got["networks"]:
        k = network["edges"]
        for kind, edges in lists.items():
            if k > len(ranked):
                check(network[kind]["distance"] is None and "fewer" in network["reason"], f"{what}: {k} edges: {network}")
                continue
            free = set(expected) - connected(edges[:k], genes, length)
            omitted = [(r["regulator"], r["target"]) for r in pairs
                       if r["omitted_by"] == str(k) and r["network"] == ("list" if kind == "network" else kind)]
            check(set(omitted) <= free and len(set(omitted)) == len(omitted) == min(wanted, len(free)), f"{what}, {kind}, {k}: pairs that are connected")
            check(network[kind]["pairs_without_path"] == len(free), f"{what}, {kind}, {k}: {network[kind]}, not {len(free)}")
            check_network(f"{what}, {kind}, {k}", network[kind], edges[:k], omitted, expected)


def square():
    """A simulated experiment: every gene knocked out in some cells, its network known."""
    done = checks.run("simulate", "-o", "cells.h5ad", "--network", "--gold", "gold.tsv", "--readouts", 24, "--contexts", 1, "--cells", 24,
                      "--controls", 6, "--seed", 3, "--depth", 4000)
    assert done.returncode == 0, done.stderr
    file = anndata.read_h5ad("cells.h5ad")
    X, names = np.asarray(file.X.todense()), list(file.var_names)
    gene = [("" if p == "control" else p) for p in file.obs["perturbation"].astype(str)]
    halves = {}
    for half in (1, 2):
        infer("cells.h5ad", "--keep", f"@half={half}")
        halves[half] = table("edges1.tsv")
    cells = [{r["regulator"]: int(r["cells"]) for r in halves[half]} for half in (1, 2)]
    check(all(cells[0][g] + cells[1][g] == gene.count(g) for g in cells[0]), "the halves share cells, or lack some")
    check(0.4 < sum(cells[0].values()) / (len(gene) - gene.count("")) < 0.6, f"halves: {cells}")
    infer("cells.h5ad", "--drop", "@half=2")
    check(table("edges1.tsv") == halves[1], "--drop @half=2 is not --keep @half=1")
    expected, _ = judge_all(X, names, gene)
    ranked = [(r["regulator"], r["target"]) for r in halves[1]]
    lines = ["regulator\ttarget\tscore\n"] + [f"{a}\t{b}\t{1000 - i // 3}\n" for i, (a, b) in enumerate(ranked[:200])]
    lines += ["G01\tG01\t5\n", "G01\tMARS\t5\n", "MARS\tG02\t5\n", "VENUS\tG02\t5\n"]
    open("list.tsv", "w").writelines(lines)
    for length, wanted in ((1, 100), (2, 500), (3, 10000)):
        options = ["--path-length", length, "--pairs", wanted, "--at", "5,60,1000"]
        got, pairs = evaluate("list.tsv", *options)
        check_evaluation(f"paths of {length}", got, pairs, ranked[:200], expected, length, wanted)
        check(got["counts"]["edges"] == 200 and got["counts"]["self"] == 1 and got["counts"]["unperturbed"] == 2 and got["counts"]["unread"] == 1,
              f"counts: {got['counts']}")
        for ranks in RANKS[1:]:
            evaluate("list.tsv", *options, "--memory", "0.00001", ranks=ranks)
            check(all(open(f"{n}{ranks}.{e}").read() == open(f"{n}1.{e}").read() for n, e in (("scores", "json"), ("pairs", "tsv"))),
                  f"other bytes on {ranks} ranks")
    got, _ = evaluate("list.tsv", "--at", "60,5,60,5")
    check([n["edges"] for n in got["networks"]] == [60, 5, 200], f"equal numbers of edges: {got}")
    check(evaluate("list.tsv", "--seed", 2)[1] != evaluate("list.tsv", "--seed", 3)[1], "--seed draws nothing else")
    run("infer", "cells.h5ad", "-m", "wasserstein", "-o", "complete.tsv")
    got, pairs = evaluate("complete.tsv", "--at", "100000")
    last = got["networks"][-1]["network"]
    check(last["pairs_without_path"] == 0 and last["false_omission_rate"] is None and last["omitted_pairs"] == 0, f"a complete network: {last}")
    fair = [evaluate("list.tsv", "--at", 1, "--pairs", 1, "--seed", s)[1] for s in range(40)]
    drawn = {(r["regulator"], r["target"]) for pairs in fair for r in pairs if r["omitted_by"] == "1"}
    check(len(drawn) > 60, f"of 80 drawn pairs {len(drawn)} are distinct")  # of 551: 74 expected
    known()
    refused()


def known():
    """Beside the network that the cells are from: its column of weights is no label."""
    gold = {(r["regulator"], r["target"]) for r in table("gold.tsv")}
    run("evaluate", "complete.tsv", "--gold", "gold.tsv", "--json", "gold.json")
    scores = json.load(open("gold.json"))
    rows = table("complete.tsv")
    regulators, named = {a for a, _ in gold}, {g for edge in gold for g in edge}
    rows = [r for r in rows if r["regulator"] in regulators and r["target"] in named]
    truth, score = [(r["regulator"], r["target"]) in gold for r in rows], [float(r["score"]) for r in rows]
    check(abs(scores["auroc"] - roc_auc_score(truth, score)) < 1e-9 and abs(scores["aupr"] - average_precision_score(truth, score)) < 1e-9,
          f"against scikit-learn: {scores}")


def refused():
    cells = ["--cells", "cells.h5ad"]
    open("twice.tsv", "w").write("G01\tG02\t1\nG01\tG02\t2\n")
    open("foreign.tsv", "w").write("A\tB\t1\n")
    refuse(["evaluate", "twice.tsv", *cells], 65, "twice.tsv:2: 'G01' to 'G02' is there already", 2)
    refuse(["evaluate", "foreign.tsv", *cells], 65, "names of one kind", 3)
    refuse(["evaluate", "nowhere.tsv", *cells], 65, "nowhere.tsv", 2)
    open("blank.tsv", "w").write("regulator\ttarget\tscore\n")
    refuse(["evaluate", "blank.tsv", *cells], 65, "blank.tsv: holds no edge", 2)
    refuse(["evaluate", "list.tsv", "--cells", "nowhere.h5ad"], 65, "nowhere.h5ad", 2)
    refuse(["evaluate", "list.tsv", *cells, "--gold", "gold.tsv"], 2, "--gold does not belong to network evaluate --cells")
    refuse(["evaluate", "list.tsv", "--gold", "gold.tsv", "--path-length", "2"], 2, "--path-length does not belong")
    refuse(["evaluate", "list.tsv", *cells, "--path-length", "0"], 2, "path-length")
    refuse(["evaluate", "list.tsv", *cells, "--keep", "@half=3"], 65, "no cell with a context in column 'context' is left", 2)
    refuse(["evaluate", "list.tsv", *cells, "-o", "pairs1.tsv"], 73, "--force", 2)
    refuse(["evaluate", "list.tsv", *cells, "-o", "pairs.h5ad"], 2, ".tsv, .txt or .csv")
    refuse(["infer", "cells.h5ad", "-m", "wasserstein", "-o", "x.h5ad"], 2, ".tsv, .txt or .csv")
    for judge in (cells, ["--gold", "gold.tsv"]):
        open("mine.json", "w").write("mine")
        refuse(["evaluate", "list.tsv", *judge, "--json", "mine.json"], 73, "--force", 2)
        check(open("mine.json").read() == "mine", "a file was replaced without --force")
        refuse(["evaluate", "list.tsv", *judge, "--json", "nowhere/x.json"], 73, "directory")
        run("evaluate", "list.tsv", *judge, "--json", "mine.json", "--force")
        check("edges" in json.load(open("mine.json")), "--force replaces nothing")
    wide = [line for line in checks.run("network", "--help").stdout.splitlines() if len(line) > 100 and not re.match(" +-", line)]
    check(not wide, f"wide lines of --help: {wide}")


def real():
    """Perturb-seq of four lines: distances against SciPy, and edges that other cells confirm."""
    path = data / "perturbseq.h5ad"
    options = ["--context-column", "cell_type", "-c", "k562"]
    file = anndata.read_h5ad(path)
    file = file[file.obs["cell_type"] == "k562"]
    X, names = np.asarray(file.X.todense()).astype(np.float32), list(file.var_names)
    gene = [None if "+" in p else "" if p == "control" else p for p in file.obs["perturbation"].astype(str)]
    expected, sizes = judge_all(X, names, gene)
    texts = {infer(path, *options, ranks=ranks)[0] for ranks in RANKS}
    check(len(texts) == 1, "other bytes on other ranks")
    compare_edges("real", table("edges1.tsv"), expected, sizes)
    infer(path, *options, "--keep", "@half=1")
    run("evaluate", "edges1.tsv", "--cells", path, *options, "--keep", "@half=2", "--at", "100", "--json", "real.json", "--force")
    best = json.load(open("real.json"))["networks"][0]
    check(best["network"]["distance"] > 10 * best["random"]["distance"], f"the best 100 edges: {best}")


if data:
    real()
else:
    gained()
    general()
    square()
checks.finish()
