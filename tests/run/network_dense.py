#!/usr/bin/python3
"""network_dense.py -- `tessera network infer` by methods that invert a matrix, against NumPy and against networks that are known.

usage: network_dense.py TESSERA SOURCE_FOLDER [real]"""
import json
import os
import re
import subprocess
import sys
import tempfile

import machine

with machine.needed():
    import numpy as np
    from scipy.stats import norm
import checks
from checks import check

data = checks.real_data("dream4_net1.h5ad", "dream4_gold/net1.tsv")
folder = tempfile.TemporaryDirectory(prefix="tess_dense_")
here = os.getcwd()
os.chdir(folder.name)
random = np.random.default_rng(7)
RIDGES = (0, 0.01, 0.03, 0.1, 0.3, 1, 3, 10)
RANKS = (1, 2, 3)


def write(path, names, rows):
    with open(path, "w") as out:
        print("", "perturbation", "context", *names, sep=",", file=out)
        for i, (perturbation, row) in enumerate(rows):
            print(i, perturbation, "ko", *("" if np.isnan(x) else repr(float(x)) for x in row), sep=",", file=out)


def infer(path, method, ranks=1):
    done = checks.run("network", "infer", path, "-c", "ko", "-m", method, "-o", "edges.tsv", "--force", ranks=ranks)
    assert done.returncode == 0, done.stderr
    return open("edges.tsv").read(), done.stderr


def matrix(text, regulators, targets):
    score, sign = np.full((len(regulators), len(targets)), np.nan), np.zeros((len(regulators), len(targets)))
    row, column = {g: i for i, g in enumerate(regulators)}, {g: j for j, g in enumerate(targets)}
    for line in text.splitlines()[1:]:
        regulator, target, x, s = line.split("\t")
        score[row[regulator], column[target]] = float(x)
        sign[row[regulator], column[target]] = {"+": 1, "-": -1, "0": 0}[s]
    return score * np.where(sign == 0, 1, sign)


def left_out_one_by_one(R, ridge):
    """Each row of R predicted from its effects on other genes, by direct effects that are found without that row."""
    n, left = len(R), 0
    for i in range(n):
        S = R + ridge * np.eye(n)
        S[i] = (1 + ridge) * np.eye(n)[i]
        V = np.linalg.inv(S)
        B = np.eye(n) - V / np.diag(V)
        for j in set(range(n)) - {i}:
            left += (R[i, j] - sum(R[i, k] * B[k, j] for k in range(n) if k not in (i, j))) ** 2
    return left


def direct(R, at, column):
    """R (m, t); at: perturbed genes that are read out, column: where. B and the ridge."""
    square = R[np.ix_(at, column)]
    ridge = min(RIDGES, key=lambda x: left_out_one_by_one(square, x))
    V = np.linalg.inv(square + ridge * np.eye(len(at)))
    B = np.zeros(R.shape)
    B[at] = V @ R[at]
    B[np.ix_(at, column)] = np.eye(len(at)) - V / np.diag(V)
    others = [i for i in range(len(R)) if i not in at]
    B[others] = R[others] - R[np.ix_(others, column)] @ B[at]
    return B, ridge


def case(n, unread, more, missing):
    """n genes, of which the first `unread` are not read out and the last `missing` not perturbed; `more` readouts are no genes."""
    names = [f"A{i + 1}" for i in range(n)] + [f"Z{i + 1}" for i in range(more)]
    G = np.where(random.random((n, n + more)) < 2 / n, random.choice([-1, 1], (n, n + more)) * random.uniform(0.3, 0.7, (n, n + more)), 0)
    G[:, :n][np.arange(n), np.arange(n)] = 0
    total = np.linalg.inv(np.eye(n) - 0.5 * G[:, :n])
    total = np.hstack([total, total @ G[:, n:]])
    X = (random.normal(0, 1, total.shape) - 15 * total / np.diag(total)[:, None]).astype(np.float32)
    genes, targets = names[:n - missing], names[unread:]
    X, control = X[:n - missing, unread:].astype(float), random.normal(0, 1, len(targets)).astype(np.float32).astype(float)
    if more:
        X[4, -1] = np.nan
        X[6, 6 - unread] = 1  # it does not fall
    write("input.csv", targets, list(zip(genes, X)) + [("control", control)])
    everything = np.vstack([X, control])
    middle = np.nanmedian(everything, 0)
    z = (X - middle) / np.median(1.4826 * np.nanmedian(abs(everything - middle), 0))
    at = np.arange(unread, len(genes))
    own = np.full(len(genes), np.nan)
    own[at] = -z[at, at - unread]
    weak = (own < 2).sum()
    own = np.maximum(np.where(np.isnan(own), np.nanmedian(own), own), 2)
    R = np.where(abs(z) >= norm.isf(0.62 / max(z.shape)), np.clip(-z / own[:, None], -1, 1), 0)
    R[at, at - unread] = 1
    B, ridge = direct(R, at, at - unread)
    expected = np.where(np.isnan(z), np.nan, B * own[:, None])
    expected[at, at - unread] = np.nan
    for ranks in RANKS:
        text, said = infer("input.csv", "direct", ranks)
        got = matrix(text, genes, targets)
        what = f"direct, {n} genes, {unread} not read out, {more} more, {ranks} ranks"
        check((np.isnan(got) == np.isnan(expected)).all(), f"{what}: other pairs")
        told = re.search(r"(\d+) of the perturbed genes fall by less than 2 units", said)
        check(int(told[1]) == weak if told else weak == 0, f"{what}: {weak} weak ones, said {said}")
        check(np.nanmax(abs(got - expected)) < 1e-6, f"{what}: {np.nanmax(abs(got - expected))}")
        found = re.search(r"(\d+) genes are perturbed and read out; ridge ([\d.]+); inverted by (LU|QR) .*residual ([\d.e+-]+)", said)
        check(found and int(found[1]) == len(at) and float(found[2]) == ridge and float(found[4]) < 1e-14, f"{what}: ridge {ridge}, said {said}")


def partial(n, t, lost):
    """n samples, all of them controls but for two, whatever they are; some values are missing, one readout does not vary."""
    X = (random.normal(0, 1, (n, t)) @ (np.eye(t) + (random.random((t, t)) < 1 / t) * 0.8)).astype(np.float32).astype(float)
    X[:, 3] = 5
    X[random.random(X.shape) < lost] = np.nan
    names = [f"A{i + 1}" for i in range(t)]
    write("input.csv", names, [("A1" if i == 2 else "A1+A2" if i == 3 else "control", X[i]) for i in range(n)])
    x = np.nan_to_num(X - np.nanmean(X, 0))
    length = np.sqrt((x ** 2).sum(0) / (n - 1))
    x = x / np.where(length > 0, length, 1)
    r = x.T @ x / (n - 1)
    w = x[:, :, None] * x[:, None, :]
    off = ~np.eye(t, dtype=bool)
    variance = n / (n - 1) ** 3 * ((w - w.mean(0)) ** 2).sum(0)
    weight = np.clip(variance[off].sum() / (r[off] ** 2).sum(), 0, 1)
    P = np.linalg.inv(np.where(off, (1 - weight) * r, 1))
    expected = np.where(off, -P / np.sqrt(np.outer(np.diag(P), np.diag(P))), np.nan)
    for ranks in RANKS:
        text, said = infer("input.csv", "partial", ranks)
        got = matrix(text, names, names)
        check((np.isnan(got) == np.isnan(expected)).all() and np.nanmax(abs(got - expected)) < 1e-7, f"partial, {n} x {t}, {ranks} ranks")
        check(abs(float(re.search(r"shrunk by ([\d.e-]+)", said)[1]) - weight) < 1e-3 * weight, f"partial, {n} x {t}: weight {weight}, said {said}")


def gradient(R, w, V):
    """Of 1/2 sum w (R - V^-1)^2."""
    U = np.linalg.inv(V)
    return U.T @ (w * (R - U)) @ U.T


def sparse():
    """Ten genes as inspre's example has them: a graph without cycles, 4 of 10 pairs an edge, effects of 0.2 to 0.6 up and down, total
    effects measured with some noise. The answer must be a minimum (no method is assumed), and the graph."""
    n, names = 10, [f"A{i + 1}" for i in range(10)]
    G = np.triu(np.where(random.random((n, n)) < 0.4, random.choice([-1, 1], (n, n)) * random.uniform(0.2, 0.6, (n, n)), 0), 1)
    total = np.linalg.inv(np.eye(n) - G)
    total /= np.diag(total)[:, None]
    targets = names + [f"Z{i + 1}" for i in range(14)]  # they see nothing: that tells how much noise there is
    idle = [f"N{i + 1}" for i in range(30)]  # nor do these perturbations do anything: they tell the levels
    X = random.normal(0, 1, (n, len(targets)))
    strength = random.uniform(60, 90, n)
    X[:, :n] -= strength[:, None] * total
    X = X.astype(np.float32).astype(float)
    rest = random.normal(0, 1, (len(idle) + 1, len(targets))).astype(np.float32).astype(float)
    write("input.csv", targets, list(zip(names, X)) + list(zip(idle + ["control"], rest)))
    everything = np.vstack([X, rest])
    middle = np.median(everything, 0)
    z = (X - middle) / np.median(1.4826 * np.median(abs(everything - middle), 0))
    own = np.maximum(-np.diag(z[:, :n]), 2)
    R = np.clip(-z / own[:, None], -1, 1)[:, :n]
    R[np.arange(n), np.arange(n)] = 1
    every = np.r_[own, [np.median(own)] * len(idle)]  # theirs is taken to be the middle one
    w = np.minimum(own ** 2 / np.median(every ** 2), 10)[:, None] * np.ones((n, n))
    np.fill_diagonal(w, 1)
    off, tables = ~np.eye(n, dtype=bool), []
    for ranks in RANKS:
        text, said = infer("input.csv", "inspre", ranks)
        tables.append(text)
        B = matrix(text, names + idle, targets)[:n, :n] / own[:, None]
        B[~off] = 0
        penalty = float(re.search(r"penalty ([\d.]+)", said)[1])
        first = (w * abs(R))[off].max()
        at = 19 * np.log(penalty / first) / np.log(0.01)
        check(abs(at - round(at)) < 1e-5, f"inspre: a penalty of {penalty} is not on the path from {first}")
        # B is V but for a factor of each column: that which makes the diagonal of the gradient zero
        scale = np.ones(n)
        for _ in range(200):
            g = np.diag(gradient(R, w, (np.eye(n) - B) * scale))
            J = np.array([np.diag(gradient(R, w, (np.eye(n) - B) * (scale + 1e-6 * e))) - g for e in np.eye(n)]).T / 1e-6
            step = np.linalg.solve(J, g)
            scale -= step
            if abs(step).max() < 1e-12:
                break
        g = gradient(R, w, (np.eye(n) - B) * scale)
        zero = off & (B == 0)
        check(abs(np.diag(g)).max() < 1e-8, "inspre: no such diagonal")
        check(abs(g[zero]).max() < penalty * (1 + 1e-5), f"inspre: {abs(g[zero]).max()} without an edge, penalty {penalty}")
        check(abs(g - penalty * np.sign(B))[off & (B != 0)].max() < 1e-4 * penalty,
              f"inspre: not a minimum: {abs(g - penalty * np.sign(B))[off & (B != 0)].max()}, penalty {penalty}")
        order = np.argsort(-abs(B[off]))[:int((G != 0).sum())]
        check(np.mean(G[off][order] != 0) > 0.9, f"inspre: the graph is not found: {np.mean(G[off][order] != 0)}")
        check(abs(B - G).max() < 0.25, f"inspre: an effect is wrong by {abs(B - G).max()}")
    got = [matrix(text, names + idle, targets) for text in tables]
    check(all(np.nanmax(abs(x - got[0])) < 1e-6 for x in got[1:]), "inspre: other edges on other ranks")


def refused():
    def refuse(method, words, ranks=2):
        done = checks.run("network", "infer", "input.csv", "-c", "ko", "-m", method, "-o", "x.tsv", ranks=ranks)
        check(done.returncode == 65 and words in done.stderr, f"{method}: {done.returncode} {done.stderr}")
        check(not os.path.exists("x.tsv"), "a refused call wrote a table")

    for method in ("direct", "partial", "effect", "correlation", "inspre"):
        done = checks.run("network", "infer", "nowhere.csv", "-c", "ko", "-m", method, "--cutoff", "1", "-o", "x.tsv")
        check(done.returncode == 2 and "--cutoff belongs to --method evidence" in done.stderr, f"{method} --cutoff: {done.stderr}")
    names = [f"A{i}" for i in range(1, 9)]
    write("input.csv", names, [(f"B{i}", random.normal(0, 1, 8)) for i in range(5)])
    refuse("direct", "0 of the perturbed genes are read out")
    write("input.csv", names, [("control", random.normal(0, 1, 8)) for _ in range(2)])
    refuse("partial", "2 rows and 8 readouts", 3)
    one = np.array([1, -1, 1, -1])  # without noise nothing is shrunk, and two readouts are one
    write("input.csv", ["A1", "A2", "A3"], [("control", [x, x, -x]) for x in one])
    refuse("partial", "copies of others")
    write("input.csv", ["A1", "A2", "A3"], [("control", [1, x, 2]) for x in one])
    refuse("partial", "1 of the readouts vary over the 4 rows", 3)
    write("input.csv", names, [(name, [i, 1, float("inf") if name == "A3" else 2, *range(5)]) for i, name in enumerate(names)])
    refuse("partial", "input.csv:4:A3: `inf` is infinite")
    # More than ScaLAPACK counts is refused before values are read, of which the last are no numbers.
    many = [f"G{i}" for i in range(46400)]
    write("input.csv", many, [(f"G{i}", np.zeros(len(many))) for i in range(3)])
    with open("input.csv", "a") as out:
        print("3,G4,ko", *["what"] * len(many), sep=",", file=out)
    done = checks.run("network", "infer", "input.csv", "-c", "ko", "-m", "partial", "-o", "x.tsv")
    check(done.returncode == 71 and "46400 readouts on 1 ranks" in done.stderr and "use more ranks" in done.stderr, f"{done.returncode} {done.stderr}")
    refuse("partial", "what")  # two ranks go on


def peak(n):
    """Megabytes that `effect` takes of n genes, and what it says."""
    X = random.normal(0, 1, (n, n)).round(3)
    X[np.arange(n), np.arange(n)] -= 20
    names = [f"A{i}" for i in range(n)]
    write("input.csv", names, [*zip(names, X), ("control", random.normal(0, 1, n))])
    at_work = subprocess.Popen([os.path.join(here, sys.argv[1]), "network", "infer", "input.csv", "-c", "ko", "-m", "effect", "-o",
                                "edges.tsv", "--force"], stderr=subprocess.PIPE, text=True)
    said = at_work.stderr.read()
    code, used = os.wait4(at_work.pid, 0)[1:]
    check(code == 0, f"effect of {n} genes: {said}")
    return used.ru_maxrss / 1e3, float(re.search(r"about ([\d.]+) MB a rank", said)[1])


def memory():
    """What is announced holds for small jobs, too, in which the list of edges is the largest."""
    (small, _), (large, told) = peak(4), peak(900)
    print(f"{large - small:.1f} MB beside what 4 genes take, {told} announced")
    check(large - small < 1.15 * told, f"{large - small} MB taken, {told} announced")


def real():
    """The challenge's networks: better than the changes themselves, and the same edges on other ranks."""
    import anndata
    for net in (1, 2, 3):
        path, gold = data / f"dream4_net{net}.h5ad", data / f"dream4_gold/net{net}.tsv"
        genes, aupr, tables = list(anndata.read_h5ad(path).var_names), {}, []
        for method, ranks in (("effect", 1), ("direct", 1), ("direct", 2), ("direct", 3)):
            done = checks.run("network", "infer", path, "-c", "knockout", "--knockdown", "knockdown", "-m", method, "-o", "real.tsv",
                              "--force", ranks=ranks)
            assert done.returncode == 0, done.stderr
            if method == "direct":
                tables.append(matrix(open("real.tsv").read(), genes, genes))
            done = checks.run("network", "evaluate", "real.tsv", "--gold", gold, "--json", "real.json", "--force")
            aupr[method] = json.load(open("real.json"))["aupr"]
        check(all(np.nanmax(abs(x - tables[0])) < 1e-6 for x in tables[1:]), f"net {net}: other edges on other ranks")
        check(aupr["direct"] > aupr["effect"], f"net {net}: {aupr}")


if data:
    real()
else:
    case(24, 0, 0, 0)
    case(30, 3, 12, 2)
    partial(40, 17, 0)
    partial(12, 30, 0.05)
    sparse()
    refused()
    memory()
checks.finish()
