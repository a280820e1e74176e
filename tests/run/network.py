#!/usr/bin/python3
"""network.py -- `tessera network`: edges against the same mathematics in NumPy, and against networks that are known.

usage: network.py TESSERA SOURCE_FOLDER [real]"""
import json
import os
import re
import subprocess
import sys
import tempfile

import machine

with machine.needed():
    import anndata
    import numpy as np
    from scipy.stats import norm
import checks
from checks import check

TESSERA = os.path.abspath(sys.argv[1])
QUICKSTART = os.path.abspath(os.path.join(sys.argv[2], "config", "quickstart.yaml"))
data = checks.real_data("dream4_net1.h5ad", "dream4_gold/net1.tsv")
folder = tempfile.TemporaryDirectory(prefix="tess_network_")
os.chdir(folder.name)
random = np.random.default_rng(5)


def natural(name):
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def sigmoid(x):
    return 1 / (1 + np.exp(-np.clip(x, -50, 50)))


def middle_and_noise(x):
    middle = np.nanmedian(x, 0)
    return middle, 1.4826 * np.nanmedian(abs(x - middle), 0)


def standardise(K, D, control):
    """z of knock-outs and knock-downs (NaN: not measured), noise of each readout; values that are never negative are bent."""
    everything = np.vstack([K, D, control])
    bend = lambda x: x
    if not (everything < 0).any():
        middle, noise = middle_and_noise(everything)
        use = (middle > 0) & (noise > 0)
        slope = np.clip(np.polyfit(np.log(middle[use]), np.log(noise[use]), 1)[0], 0, 0.9)
        bend = (lambda x: np.maximum(x, 0) ** (1 - slope)) if slope > 0 else bend
    middle, noise = middle_and_noise(bend(everything))
    unit = np.median(noise)
    return (bend(K) - middle) / unit, (bend(D) - middle) / unit, noise / unit


def own_effects(zk, zd, column):
    """Takes them out of zk and zd; column[i]: where regulator i is read out, or -1."""
    at = np.flatnonzero(column >= 0)
    own_k, own_d = np.full(len(zk), np.nan), np.full(len(zk), np.nan)
    own_k[at], own_d[at] = -zk[at, column[at]], -zd[at, column[at]]
    zk[at, column[at]] = zd[at, column[at]] = np.nan
    clear = (own_k > 6) & ~np.isnan(own_d)
    b = np.median(own_d[clear] / own_k[clear]) if clear.any() else 0.5
    known = own_k[~np.isnan(own_k)]
    if len(known) > 1:  # a normal distribution around what the others say, and a measurement of b times it with noise of 1
        own_d = (b * own_d + known.mean() / known.var(ddof=1)) / (b * b + 1 / known.var(ddof=1))
    else:
        own_d = own_d / b
    own = np.where(np.isnan(own_k), own_d, own_k)
    own = np.where(np.isnan(own), np.nanmedian(own) if (~np.isnan(own)).any() else 6, own)
    return np.maximum(own, 2), b


def combine(zk, zd, b):
    both = (np.nan_to_num(zk) + b * np.nan_to_num(zd)) / np.sqrt(1 + b * b)
    return np.where(np.isnan(zk), zd, np.where(np.isnan(zd), zk, both))


def evidence(zk, zd, column, own, b, added=np.nan):
    """The sum of the six kinds of evidence; NaN where a pair was neither measured nor completed (`added`, or NaN)."""
    (m, t), larger = zk.shape, max(zk.shape)
    real_from, survives, rare = norm.isf(0.135 / larger), norm.isf(0.62 / larger), 0.105 - np.log(larger)
    real = lambda z: sigmoid((z * z - real_from ** 2) / 2)
    pair = combine(zk, zd, b)
    pair = np.where(np.isnan(added), pair, np.nan_to_num(pair) + added)
    known, Z = ~np.isnan(pair), np.nan_to_num(pair)
    moved = own[:, None] * np.where(np.isnan(zk) & ~np.isnan(zd), b * np.where(np.isnan(added), 1, 1.5), 1)
    T = np.clip(-real(Z) * Z / moved, -1, 1)
    T[abs(T) < 1e-3] = 0
    steps = np.array([np.outer(T[:, column[k]], T[k]) for k in range(m) if column[k] >= 0] or [np.zeros((m, t))])
    path = np.take_along_axis(steps, abs(steps).argmax(0)[None], 0)[0]
    direct = np.where(known, np.minimum(abs(Z), abs(Z + path * moved)), 0)
    S = direct / np.cbrt(1 + 0.003 * (np.where(direct > survives, direct, 0) ** 3).sum(0))
    hub = expected_hubs(np.log1p((S > survives).sum(1)), zd, survives)
    rows = [(i, zk) for i in range(m) if i in with_row[0]] + [(i, zd) for i in range(m) if i in with_row[1]]
    Y = np.array([z[i] for i, z in rows])
    mask, Y = ~np.isnan(Y), np.nan_to_num(Y)
    with np.errstate(invalid="ignore"):
        every = np.nan_to_num(np.corrcoef(np.clip(Y, -5, 5).T))
    C = np.array([every[c] if c >= 0 else np.zeros(t) for c in column])
    L = refit(Y, mask, [(i, 1 if z is zk else b) for i, z in rows], b, (Z, S, known, column, own, moved, hub, rare, real))
    return np.where(known, S * S / 2 + 0.75 * hub[:, None] + 10 * C * C + 0.4 * np.clip(L, -10, 30), np.nan), C, pair


def expected_hubs(hub, zd, survives):
    """Of regulators with knock-downs alone: by the line through those that have both."""
    x = np.log1p(np.nansum(sigmoid((zd * zd - survives ** 2) / 2), 1))
    out, down = (np.array([i in rows for i in range(len(hub))]) for rows in with_row)
    if (out & down).sum() < 10:
        return hub
    slope, at_0 = np.polyfit(x[out & down], hub[out & down], 1)
    if slope < 0:
        slope, at_0 = 0, hub[out & down].mean()
    return np.where(~out & down, np.maximum(at_0 + slope * x, 0), hub)


def refit(Y, mask, rows, b, rest):
    Z, S, known, column, own, moved, hub, rare, real = rest
    m = len(own)
    X = np.array([Y[:, c] * real(Y[:, c]) if c >= 0 else np.zeros(len(Y)) for c in column]).T
    for r, (i, strength) in enumerate(rows):
        X[r, i] = -strength * own[i]
    noise = 1 + 1.25 * min(b * b, 1)  # of knock-downs that are alone
    scale = np.array([1 if strength == 1 or i in with_row[0] else np.sqrt(2.25 / noise) for i, strength in rows])[:, None]
    X, Y = X * scale, Y * scale
    q = (X * X).T @ mask
    v = 1 / (q / 2.25 + 16)
    prior = rare + 0.75 * hub
    L = S * S / 2 + prior[:, None]
    p = np.where(known, sigmoid(L), 0)
    beta = p * -Z / moved
    left = (Y - X @ beta) * mask
    for _ in range(10):
        before = p.copy()
        for k in sorted(range(m), key=lambda k: (-hub[k], k)):
            mean = v[k] * (X[:, k] @ left + q[k] * beta[k]) / 2.25
            L[k] = prior[k] + 0.5 * np.log(16 * v[k]) + mean ** 2 / (2 * v[k])
            p[k] = np.where(known[k], sigmoid(L[k]), 0)
            left -= np.outer(X[:, k], p[k] * mean - beta[k]) * mask
            beta[k] = p[k] * mean
        if abs(p - before).max() < 1e-3:
            break
    return L


def make(n, readouts, positive):
    """Knock-outs, knock-downs and a control of a random network whose genes are A1, A2, …; the readouts are the last ones and some more."""
    B = np.where(random.random((n, n)) < 1.5 / n, random.normal(0, 0.6, (n, n)), 0)
    np.fill_diagonal(B, 0)
    total = np.linalg.inv(np.eye(n) - 0.7 * B)
    extra = total @ np.where(random.random((n, readouts)) < 1.5 / n, 0.7, 0) if readouts else np.zeros((n, 0))
    effect = np.hstack([total, extra])
    level = 30 + 20 * random.random(effect.shape[1])
    draw = lambda strength, rows: (level - strength * 15 * effect[:rows] / np.maximum(np.abs(effect).max(0), 1e-9) * (strength > 0)
                                   + random.normal(0, 1, (rows, len(level)))).astype(np.float32)
    K, D, control = draw(1, n), draw(0.5, n), draw(0, 1)
    return (K, D, control) if positive else (K - 40, D - 40, control - 40)


def write(path, names, blocks):
    """blocks: (context, perturbation, row). A wide table, and what is NaN is empty."""
    with open(path, "w") as out:
        print("", "perturbation", "context", *names, sep=",", file=out)
        for i, (context, perturbation, row) in enumerate(blocks):
            print(i, perturbation, context, *("" if np.isnan(x) else repr(float(x)) for x in row), sep=",", file=out)


def infer(path, *options, ranks=1):
    done = checks.run("network", "infer", path, "-c", "ko", "-o", f"edges{ranks}.tsv", "--force", *options, ranks=ranks)
    assert done.returncode == 0, done.stderr
    return open(f"edges{ranks}.tsv").read()


def matrix(text, regulators, targets):
    lines = [line.split("\t") for line in text.splitlines()]
    score, sign = np.full((len(regulators), len(targets)), np.nan), np.zeros((len(regulators), len(targets)))
    row, column = {g: i for i, g in enumerate(regulators)}, {g: j for j, g in enumerate(targets)}
    for line in lines[1:]:
        score[row[line[0]], column[line[1]]] = float(line[2])
        sign[row[line[0]], column[line[1]]] = {"+": 1, "-": -1, "0": 0}[line[3]]
        parts = sum(map(float, line[6:10])) if len(line) > 4 else float(line[2])
        check(abs(parts - float(line[2])) < 1e-6, f"the parts of {line} are not its score")
    values = [float(line[2]) for line in lines[1:]]
    check(values == sorted(values, reverse=True), "edges are not in the order of their scores")
    return score, sign


def compare(what, got, expected, tolerance=1e-6):
    same = (np.isnan(got) == np.isnan(expected)).all()
    check(same and np.nanmax(abs(got - expected)) < tolerance,
          f"{what}: other pairs" if not same else f"{what}: differs by {np.nanmax(abs(got - expected))}")


def case(name, n, readouts, positive, general):
    """general: another order, guides, prefixes, missing rows and values, genes that are not read out."""
    global with_row
    K, D, control = make(n, readouts, positive)
    names = [f"A{i + 1}" for i in range(n)] + [f"Z{i + 1}" for i in range(readouts)]
    keep = np.arange(3 if general else 0, len(names))  # the first are not read out
    K, D, control, targets = K[:, keep], D[:, keep], control[:, keep], [names[k] for k in keep]
    with_row = [set(range(n)), set(range(n))]
    label, guides = (lambda g: g), [K]
    if general:
        label = lambda g: f"CRISPRi:{g}" if len(g) % 2 else f"CRISPR_{g}"
        with_row = [set(range(n)) - {4, 9, 14}, set(range(n)) - {5, 9 + 1}]
        K[7, 5] = K[8, 20] = D[8, 20] = D[11, 2] = np.nan
        guides = [K, (K + random.normal(0, 1, K.shape)).astype(np.float32)]
    rows = [("ko", label(names[i]), guide[i]) for guide in guides for i in sorted(with_row[0])]
    rows += [("kd", label(names[i]), D[i]) for i in sorted(with_row[1])] + [("ko", "control", control[0])]
    rows += [("kd", "control", 0 * control[0]), ("ko", "A1+A2", control[0]), ("other", "A1", control[0])] if general else []
    shuffled = [rows[i] for i in random.permutation(len(rows))] if general else rows
    order = random.permutation(len(targets)) if general else np.arange(len(targets))
    write("input.csv", [targets[k] for k in order], [(c, p, np.asarray(x)[order]) for c, p, x in shuffled])
    K = np.nanmean(np.array(guides, dtype=float), 0) if general else K.astype(float)
    D = D.astype(float)
    for kind, Q in enumerate((K, D)):
        Q[[i for i in range(n) if i not in with_row[kind]]] = np.nan
    column = np.array([targets.index(g) if g in targets else -1 for g in names[:n]])
    assert targets == sorted(targets, key=natural)
    for down in (True, False):
        if not down:
            with_row[1] = set()
            D[:] = np.nan
        check_methods(f"{name}, {'with' if down else 'without'} knock-downs", names[:n], targets,
                      (K, D, control), column, down)


def check_methods(name, genes, targets, blocks, column, down):
    used = [i for i in range(len(genes)) if i in with_row[0] | with_row[1]]
    if len(used) < len(genes):  # a gene that nobody perturbed is no regulator
        renumber = {i: k for k, i in enumerate(used)}
        with_row[:] = [{renumber[i] for i in rows} for rows in with_row]
        blocks, column = (blocks[0][used], blocks[1][used], blocks[2]), column[used]
        genes = [genes[i] for i in used]
    zk, zd, noise = standardise(*blocks)
    own, b = own_effects(zk, zd, column)
    score, C, pair = evidence(zk, zd, column, own, b)
    options = ["--knockdown", "kd"] if down else []
    texts = {ranks: infer("input.csv", *options, ranks=ranks) for ranks in (1, 2, 3, 5)}
    check(len(set(texts.values())) == 1, f"{name}: other bytes on other ranks")
    got, sign = matrix(texts[1], genes, targets)
    compare(f"{name}, evidence", got, score)
    check((sign == np.where(np.isnan(score), 0, -np.sign(np.nan_to_num(pair)))).all(), f"{name}: signs")
    got, _ = matrix(infer("input.csv", *options, "--method", "effect"), genes, targets)
    compare(f"{name}, effect", got, abs(pair) / np.where(noise > 0, noise, 1))
    read = np.where((column >= 0)[:, None] & ~np.isnan(pair), abs(C), np.nan)
    got, _ = matrix(infer("input.csv", *options, "--method", "correlation", ranks=3), genes, targets)
    compare(f"{name}, correlation", got, read)
    best = infer("input.csv", *options, "--edges", "50", ranks=2)
    check(best.splitlines() == texts[1].splitlines()[:51], f"{name}: --edges 50 are not the best 50")
    done = checks.run("import", "input.csv", "-o", "store.prc.h5")
    assert done.returncode == 0, done.stderr
    stored, _ = matrix(infer("store.prc.h5", *options, ranks=2), genes, targets)  # it averages replicates in single precision
    compare(f"{name}, from a store", stored, score, 0.01 if name.startswith("rectangular") else 1e-6)


def gained():
    """Genes of which there is more: what they do counts the other way round; losses count before gains of the same gene."""
    global with_row
    n = 15
    K, D, control = make(n, 3, False)
    genes, gains = [f"A{i + 1}" for i in range(n)], np.arange(1, n, 3)
    targets = genes + ["Z1", "Z2", "Z3"]
    label = {genes[i]: word + genes[i] for i, word in zip(gains, ["OE_", "CRISPRa:", "orf_", "cDNA_", "overexpression_"])}
    for Q in (K, D):
        Q[gains] = 2 * np.median(Q, 0) - Q[gains]
    rows = [("ko", label.get(g, f"CRISPRi_{g}"), x) for g, x in zip(genes, K)] + [("kd", label.get(g, g), x) for g, x in zip(genes, D)]
    rows += [("ko", "control", control[0]), ("ko", "OE_A1", K[0] + 5), ("kd", "CRISPRa_A3", D[0])]
    write("gained.csv", targets, rows)
    K, D, column = K.astype(float), D.astype(float), np.arange(n)
    with_row = [set(range(n)), set(range(n))]
    zk, zd, _ = standardise(K, D, control)
    zk[gains], zd[gains] = -zk[gains], -zd[gains]
    own, b = own_effects(zk, zd, column)
    score, _, pair = evidence(zk, zd, column, own, b)
    text = infer("gained.csv", "--knockdown", "kd")
    check(all(infer("gained.csv", "--knockdown", "kd", ranks=ranks) == text for ranks in (2, 3, 5)), "gains: other bytes on other ranks")
    got, sign = matrix(text, genes, targets)
    compare("gains", got, score)
    check((sign == np.where(np.isnan(score), 0, -np.sign(np.nan_to_num(pair)))).all(), "gains: signs")
    said = checks.run("network", "infer", "gained.csv", "-c", "ko", "--knockdown", "kd", "-o", "said.tsv").stderr
    check("10 of the perturbations are gains" in said and "2 rows of gains were left out" in said, f"gains: {said}")


def completed():
    """Knock-outs that are missing, from a model: against what `impute` says of each of its members."""
    global with_row
    n, missing, nowhere = 16, [2, 6, 9], 6  # A7 was perturbed in another context alone
    K, D, control = make(n, 4, False)
    genes = [f"A{i + 1}" for i in range(n)]
    named = ["OE_A3" if g == "A3" else g for g in genes]  # what is missing of it is a gain, too
    targets = genes + [f"Z{i + 1}" for i in range(4)]
    with_row = [set(range(n)) - set(missing), set(range(n)) - {nowhere, 11}]
    rows = [("ko", genes[i], K[i]) for i in sorted(with_row[0])] + [("kd", named[i], D[i]) for i in sorted(with_row[1])]
    write("some.csv", targets, rows + [("ko", "control", control[0])] + [("other", genes[i], K[i]) for i in (1, nowhere, 12)])
    for line in (["import", "some.csv", "-o", "some.prc.h5"],
                 ["train", QUICKSTART, *(word for s in (
                     "data.store=some.prc.h5", "run.directory=run", "model.kind=dot", "model.embedding_dim=8", "model.hidden_dim=16",
                     "train.members=2", "train.epochs=20") for word in ("--set", s))],
                 *(["impute", f"run/member-{k}", "-o", f"m{k}.h5ad", "-c", "ko", "-p", ",".join(named[i] for i in missing)] for k in (1, 2))):
        done = checks.run("-q", *line)
        assert done.returncode == 0, done.stderr
    K, D = K.astype(float), D.astype(float)
    for kind, Q in enumerate((K, D)):
        Q[[i for i in range(n) if i not in with_row[kind]]] = np.nan
    middle, noise = middle_and_noise(np.vstack([K, D, control]))
    said = []
    for k in (1, 2):
        file = anndata.read_h5ad(f"m{k}.h5ad")[:, targets]
        found = dict(zip(file.obs["perturbation"], np.asarray(file.X, float)))
        said.append((np.array([found[named[i]] for i in missing]) - middle) / np.median(noise))
    said = np.array(said) * np.where(np.array(missing) == 2, -1, 1)[:, None]
    p, sd = np.mean(said, 0), np.std(said, 0, ddof=1)
    column = np.arange(n)
    zk, zd, _ = standardise(K, D, control)
    zd[2] = -zd[2]
    own, b = own_effects(zk, zd, column)
    scored = []
    for shrunk in (p ** 3 / (p * p + sd * sd), *said):  # all members together, then each by itself
        added = np.full((n, len(targets)), np.nan)
        added[missing] = 0.5 * shrunk
        added[column, column] = np.nan
        scored.append(evidence(zk, zd, column, own, b, added))
    score, _, pair = scored[0]
    spread = np.std([s[0] for s in scored[1:]], axis=0, ddof=1)
    check(np.nanmax(spread[missing]) > 0.1, "completed: the members agree")
    check(np.nanmax(abs(added)) > 0.3, f"what is completed is next to nothing: {np.nanmax(abs(added))}")
    options = ["--knockdown", "kd", "--complete", "run"]
    for file in ("some.csv", "some.prc.h5"):
        texts = {infer(file, *options, ranks=ranks) for ranks in (1, 2, 3, 5)}
        check(len(texts) == 1, f"{file}, completed: other bytes on other ranks")
        text = texts.pop()
        got, sign = matrix(text, genes, targets)
        compare(f"{file}, completed", got, score, 1e-5)  # values of the tables are in single precision
        check((sign == np.where(np.isnan(score), 0, -np.sign(np.nan_to_num(pair)))).all(), f"{file}, completed: signs")
        std = np.full(got.shape, np.nan)
        check(text.splitlines()[0].split("\t")[-2:] == ["std", "row"], f"{file}, completed: no column std")
        for line in map(lambda x: x.split("\t"), text.splitlines()[1:]):
            std[genes.index(line[0]), targets.index(line[1])] = float(line[-2])
        compare(f"{file}, completed, std", std, spread, 1e-5)
        kinds = {(line.split("\t")[0], line.split("\t")[-1]) for line in text.splitlines()[1:]}
        check(kinds == {(g, "completed" if i in missing else "measured") for i, g in enumerate(genes)}, f"{file}, completed: {kinds}")
    said = checks.run("network", "infer", "some.csv", "-c", "ko", "-o", "completed.tsv", *options).stderr
    told = re.search(r"some.csv: (\d+) rows are predicted by run; meanwhile about ([0-9.]+) MB a rank", said)
    check(told and int(told[1]) == len(missing) and float(told[2]) > 2 * 4096 * 4 * 3 * 8 / 1e6, f"memory of completing: {said}")  # two members' batches
    done = checks.run("network", "infer", "some.csv", "-c", "other", "-o", "x.tsv", "--complete", "nowhere", ranks=2)
    check(done.returncode == 65 and "nowhere" in done.stderr, f"no run: {done.stderr}")
    write("mars.csv", targets, [("mars", g, x) for g, x in zip(genes, D)])
    done = checks.run("network", "infer", "mars.csv", "-c", "mars", "-o", "x.tsv", "--complete", "run", ranks=3)
    check(done.returncode == 65 and "'mars'" in done.stderr and not os.path.exists("x.tsv"), f"another context: {done.stderr}")


def predicted():
    """A run in place of an input: against what `impute` says of each member and of all, by NumPy and by `infer` of that file."""
    global with_row
    names = [f"A{i + 1}" for i in range(16)]
    trained = ["OE_A3" if g == "A3" else g for g in names] + ["control"]
    targets = names + [f"Z{i + 1}" for i in range(4)]
    scored = []
    for source, out in (("run", "all"), ("run/member-1", "m1"), ("run/member-2", "m2")):
        done = checks.run("-q", "impute", source, "-o", f"{out}.h5ad", "-c", "ko,kd", "-p", ",".join(trained), "--force")
        assert done.returncode == 0, done.stderr
        file = anndata.read_h5ad(f"{out}.h5ad")[:, targets]
        found = {(c, p): np.asarray(x, float) for c, p, x in zip(file.obs["context"], file.obs["perturbation"], file.X)}
        K, D = (np.array([found[c, p] for p in trained[:-1]]) for c in ("ko", "kd"))
        with_row = [set(range(16)), set(range(16))]
        zk, zd, _ = standardise(K, D, found["ko", "control"][None])
        zk[2], zd[2] = -zk[2], -zd[2]
        own, b = own_effects(zk, zd, np.arange(16))
        scored.append(evidence(zk, zd, np.arange(16), own, b)[0])
    texts = {infer("run", "--knockdown", "kd", ranks=ranks) for ranks in (1, 2, 3, 5)}
    check(len(texts) == 1, "a run: other bytes on other ranks")
    text = texts.pop()
    got, _ = matrix(text, names, targets)
    compare("a run", got, scored[0], 1e-4)  # its values are in single precision
    std = np.full(got.shape, np.nan)
    check(text.splitlines()[0].split("\t")[-1] == "std", "a run: no column std")
    for line in map(lambda x: x.split("\t"), text.splitlines()[1:]):
        std[names.index(line[0]), targets.index(line[1])] = float(line[-1])
    compare("a run, std", std, np.std(scored[1:], axis=0, ddof=1), 1e-4)
    check(np.nanmax(std) > 0.1, "a run: the members agree")
    for method in ("evidence", "effect", "correlation", "direct"):
        options = ["--knockdown", "kd", "--method", method]
        lines = [line.rsplit("\t", 1)[0] for line in infer("run", *options, ranks=2).splitlines()]
        check(lines == infer("all.h5ad", *options, ranks=2).splitlines(), f"a run, {method}: other edges than by impute")
    one = infer("run/member-1", "--knockdown", "kd", ranks=3)
    check(one == infer("m1.h5ad", "--knockdown", "kd"), "a single model: other edges than by impute")
    files = sorted(name for name in os.listdir("run/member-1") if name.endswith(".h5"))  # best-… before checkpoint-…
    check(infer(f"run/member-1/{files[0]}", "--knockdown", "kd") == one, f"a checkpoint, of {files}: other edges than its run's")
    for line, code, word in ((["run", "-c", "ko", "--complete", "run"], 2, "--complete"), (["run", "-c", "mars"], 65, "'mars'"),
                             (["run", "-c", "ko", "--knockdown", "mars"], 65, "'mars'")):
        done = checks.run("network", "infer", *line, "-o", "x.tsv", "--force", ranks=3)
        check(done.returncode == code and word in done.stderr and done.stderr.count(word) == 1, f"{line}: {done.returncode} {done.stderr}")


def scores(score, truth, depths):
    """AUROC by pairs of an edge and another; average precision and precision at k by distinct scores."""
    yes, no = score[truth], score[~truth]
    auroc = np.mean((yes[:, None] > no).astype(float) + 0.5 * (yes[:, None] == no))
    aupr, precision = 0, {}
    for value in sorted(set(score), reverse=True):
        taken, before = score >= value, score > value
        aupr += (truth & (score == value)).sum() / truth.sum() * truth[taken].mean()
        for k in depths:
            if before.sum() < k <= taken.sum():
                share = (k - before.sum()) / (taken.sum() - before.sum())
                precision[str(k)] = (truth[before].sum() + share * (truth[taken].sum() - truth[before].sum())) / k
    return auroc, aupr, precision


def evaluate(edges, gold, *options, ranks=1):
    open("edges.tsv", "w").write(edges)
    open("gold.tsv", "w").write(gold)
    done = checks.run("network", "evaluate", "edges.tsv", "--gold", "gold.tsv", "--json", "scores.json", "--force", *options, ranks=ranks)
    return json.load(open("scores.json")) if done.returncode == 0 else (done.returncode, done.stderr)


def compare_scores(what, got, score, truth, depths):
    auroc, aupr, precision = scores(score, truth, depths)
    check(abs(got["auroc"] - auroc) < 1e-9 and abs(got["aupr"] - aupr) < 1e-9, f"{what}: {got}, not {auroc} {aupr}")
    for k in map(str, depths):
        x, y = got["precision"][k], precision.get(k)
        check(x is None and y is None and "fewer" in got["precision"]["reasons"][k] if y is None else abs(x - y) < 1e-9,
              f"{what}: precision at {k} is {x}, not {y}")


def evaluated():
    genes = [f"A{i}" for i in range(14)]
    pairs = [(a, b) for a in genes for b in genes if a != b]
    truth = random.random(len(pairs)) < 0.15
    score = np.round(random.normal(0, 1, len(pairs)) + truth, 1)  # many are equal
    score[random.random(len(pairs)) < 0.2] = -np.inf  # not in the list
    listed = [f"{a}\t{b}\t{s}\n" for (a, b), s in zip(pairs, score) if np.isfinite(s)]
    listed += ["A1\tA1\t9\n", "A1\tUNKNOWN\t9\n", "UNKNOWN\tA2\t8\n"]
    depths = [1, 10, 50, 160, 10000]
    at = ["--at", ",".join(map(str, depths))]
    gold = "".join(f"{a}\t{b}\t{int(t)}\n" for (a, b), t in zip(pairs, truth)) + "A3\tA3\t1\n"
    for header, ranks in (("regulator\ttarget\tscore\n", 1), ("", 3), ("TF,target,importance\n".replace(",", "\t"), 1), ("Gene1\tGene2\tEdgeWeight\n", 2)):
        got = evaluate(header + "".join(random.permutation(listed)), gold, *at, ranks=ranks)
        compare_scores("all pairs", got, score, truth, depths)
        check(got["counts"] == {"genes": 14, "pairs": len(pairs), "true": int(truth.sum()), "scored": len(listed) - 3,
                                "outside": 2, "self": 2}, f"counts: {got['counts']}")
    # true edges alone: pairs of a regulator with every gene that is named
    edges = [(a, b) for (a, b), t in zip(pairs, truth) if t and a < "A4"]
    regulators, named = {a for a, _ in edges}, {g for edge in edges for g in edge}
    some = [i for i, (a, b) in enumerate(pairs) if a in regulators and b in named]
    got = evaluate("".join(listed), "Gene1,Gene2,Score\n" + "".join(f"{a},{b},1\n" for a, b in edges), *at)
    compare_scores("true edges alone", got, score[some], np.array([pairs[i] in edges for i in some]), depths)
    for list_, standard, words in (
            ("A1\tA2\t1\nA1\tA2\t2\n", gold, "edges.tsv:2: 'A1' to 'A2' is there already"),
            ("A1\tA2\n", gold, "edges.tsv:1: expected"), ("A1\tA2\tnan\nA1\tA3\t1\n", gold, "edges.tsv:1: expected a regulator, a target and a number"),
            ("A1\tA2\tabc\n" + "".join(listed), gold, "edges.tsv:1: expected"),
            ("".join(listed), "A1\tA2\tyes\nA2\tA1\t0\n", "gold.tsv:1: expected"),
            ("B1\tB2\t1\n", gold, "names of one kind"), ("".join(listed), "A1\tA2\t0\nA2\tA1\t0\n", "both edges and others"),
            ("".join(listed), "A1\tA2\t0\nA1\tA2\t1\n", "both 1 and 0"), ("".join(listed), "A1\tA2\t2\n", "gold.tsv:1: an edge is"),
            ("".join(listed), "A1\n", "gold.tsv:1: expected")):
        got = evaluate(list_, standard, ranks=2)
        check(got[0] == 65 and words in got[1], f"{words}: {got}")


def unlabelled():
    """Rows that do not say what they are count for nothing, and are counted."""
    targets = [f"A{i}" for i in range(1, 7)]
    rows = [("ko", g, random.normal(0, 1, 6)) for g in targets]
    write("whole.csv", targets, rows)
    write("gaps.csv", targets, [*rows, ("ko", "", random.normal(0, 9, 6)), ("", "A1", random.normal(0, 9, 6)), ("kd", "A2", random.normal(0, 9, 6))])
    said = []
    for name in "whole", "gaps":
        done = checks.run("network", "infer", f"{name}.csv", "-c", "ko", "-o", f"{name}.tsv", ranks=2)
        check(done.returncode == 0, f"{name}: {done.stderr}")
        said.append(done.stderr)
    check("without a perturbation" not in said[0] and "2 rows without a perturbation or a context were left out" in said[1], said)
    check(open("whole.tsv").read() == open("gaps.tsv").read(), "rows without a label count")


def refused():
    def refuse(line, code, words, ranks=1):
        done = checks.run("network", *line, ranks=ranks)
        check(done.returncode == code and words in done.stderr, f"{line}: {done.returncode} {done.stderr}")

    targets = [f"A{i}" for i in range(1, 13)]
    noisy = lambda: random.normal(0, 1, 12)
    write("few.csv", targets, [("ko", "A1", noisy()), ("ko", "A2", noisy()), ("ko", "control", noisy())])
    write("flat.csv", targets, [("ko", g, np.ones(12)) for g in targets])
    write("input.csv", targets, [("ko", g, noisy()) for g in targets])
    write("unread.csv", targets, [("ko", f"B{i}", noisy()) for i in range(5)])
    refuse(["infer", "unread.csv", "-c", "ko", "-m", "correlation", "-o", "x.tsv"], 65, "there is no edge: none of the perturbed genes is read out", 3)
    open("nothing.csv", "w").write("context,perturbation,A1,A2,A3\n")
    refuse(["infer", "nothing.csv", "-c", "ko", "-o", "x.tsv"], 65, "nothing.csv", 2)
    refuse(["infer", "few.csv", "-c", "ko", "-o", "x.tsv"], 65, "2 perturbed genes", 2)
    refuse(["infer", "flat.csv", "-c", "ko", "-o", "x.tsv"], 65, "do not vary", 3)
    refuse(["infer", "input.csv", "-c", "mars", "-o", "x.tsv"], 65, "no context 'mars'; there are: ko", 2)
    refuse(["infer", "input.csv", "-c", "ko", "--knockdown", "kd", "-o", "x.tsv"], 65, "no context 'kd'")
    refuse(["infer", "input.csv", "-c", "ko", "--knockdown", "ko", "-o", "x.tsv"], 2, "already")
    refuse(["infer", "input.csv", "-c", "ko", "-m", "magic", "-o", "x.tsv"], 2, "none of evidence")
    refuse(["infer", "input.csv", "-o", "x.tsv"], 2, "needs --context")
    refuse(["infer", "none.csv", "-c", "ko", "-o", "x.tsv"], 65, "none.csv", 2)
    for method in "evidence", "effect", "partial":
        refuse(["infer", "input.csv", "-c", "ko", "-m", method, "-o", "x.h5ad"], 2, ".tsv, .txt or .csv", 2)
    refuse(["guess", "input.csv"], 2, "'guess'")
    refuse(["infer", "input.csv", "-c", "ko", "-o", "x.tsv", "--gold", "gold.tsv"], 2, "--gold does not belong")
    refuse(["evaluate", "input.csv"], 2, "needs --gold")
    refuse(["evaluate", "edges.tsv", "--gold", "nowhere.tsv"], 65, "nowhere.tsv", 2)
    open("blank.tsv", "w").write("regulator\ttarget\tscore\n")
    refuse(["evaluate", "edges.tsv", "--gold", "blank.tsv"], 65, "blank.tsv: holds no pair", 2)
    open("known.tsv", "w").write("A1\tA2\t1\nA2\tA1\t0\n")
    refuse(["evaluate", "blank.tsv", "--gold", "known.tsv"], 65, "blank.tsv: holds no edge", 2)
    unlabelled()
    check(isinstance(evaluate("a\tb\t2\nb\ta\t1\n", "a\tb\t1\nb\ta\t0\n"), dict), "a small list")
    with open("/dev/full", "w") as full:  # what is printed does not arrive
        done = subprocess.run([TESSERA, "network", "evaluate", "edges.tsv", "--gold", "gold.tsv"], stdout=full, stderr=subprocess.PIPE, text=True)
    check(done.returncode == 74 and "standard output: cannot be written" in done.stderr, f"a full standard output: {done}")
    check(not os.path.exists("x.tsv"), "a refused call wrote a table")
    open("x.tsv", "w").write("mine\n")
    refuse(["infer", "input.csv", "-c", "ko", "-o", "x.tsv"], 73, "--force", 2)
    check(open("x.tsv").read() == "mine\n", "a table was replaced without --force")


def real():
    """The challenge's networks: the table against NumPy, and against the truth."""
    for net, least in ((1, (0.73, 0.96)), (2, (0.63, 0.95)), (3, (0.52, 0.90))):
        path = data / f"dream4_net{net}.h5ad"
        file = anndata.read_h5ad(path)
        genes = list(file.var_names)
        rows = {(str(c), str(p)): np.asarray(x, dtype=float) for c, p, x in zip(file.obs.context, file.obs.perturbation, file.X)}
        K, D = (np.array([rows[c, g] for g in genes]) for c in ("knockout", "knockdown"))
        zk, zd, _ = standardise(K, D, rows["knockout", "control"][None])
        global with_row
        with_row = [set(range(len(genes)))] * 2
        own, b = own_effects(zk, zd, np.arange(len(genes)))
        score, _, _ = evidence(zk, zd, np.arange(len(genes)), own, b)
        texts = set()
        for ranks in (1, 2, 3, 5):
            done = checks.run("network", "infer", path, "-c", "knockout", "--knockdown", "knockdown", "-o", "real.tsv", "--force", ranks=ranks)
            assert done.returncode == 0, done.stderr
            texts.add(open("real.tsv").read())
        check(len(texts) == 1, f"net {net}: other bytes on other ranks")
        got, _ = matrix(texts.pop(), genes, genes)
        compare(f"net {net}", got, score)
        done = checks.run("network", "evaluate", "real.tsv", "--gold", data / f"dream4_gold/net{net}.tsv", "--json", "real.json",
                          "--force")
        assert done.returncode == 0, done.stderr
        truth = np.zeros(got.shape, dtype=bool)
        for line in open(data / f"dream4_gold/net{net}.tsv"):
            a, b, edge = line.split()
            truth[genes.index(a), genes.index(b)] = edge == "1"
        off = ~np.eye(len(genes), dtype=bool)
        judged = json.load(open("real.json"))
        compare_scores(f"net {net}", judged, got[off], truth[off], [10, 100, 1000])
        check(judged["aupr"] >= least[0] and judged["auroc"] >= least[1], f"net {net}: {judged}")


if data:
    real()
else:
    case("square", 30, 0, True, False)
    case("rectangular", 25, 20, False, True)
    gained()
    completed()
    predicted()
    evaluated()
    refused()
checks.finish()
