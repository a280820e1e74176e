#!/usr/bin/python3
"""predictions.py -- predictions as people have them: experiments and readouts left out, rows without any value,
several rows of one experiment, other spellings; large values; scores above the noise ceiling. The judge is NumPy.

usage: predictions.py TESSERA SOURCE_FOLDER"""
import json
import math
import os
import pathlib
import shutil
import tempfile
import warnings

import machine
from checks import check, finish, run

with machine.needed():
    import numpy as np

os.environ.update(OMPI_MCA_mpi_yield_when_idle="1", OMP_WAIT_POLICY="PASSIVE")  # more ranks than processors
warnings.filterwarnings("ignore", message="Mean of empty slice")
place = pathlib.Path(tempfile.mkdtemp(prefix="tess_predictions_"))
RANKS = (1, 2, 3, 5)
N = 32
READOUTS = [f"r{i:02d}" for i in range(N)]


def f4(x):
    """As a store holds it."""
    return np.asarray(x, dtype=np.float32).astype(float)


def write_wide(name, rows, more=""):
    """rows: [(perturbation, context, split or None, values)]; what is NaN is an empty cell."""
    split = ",split" if rows[0][2] else ""
    text = [f"perturbation,context{split}," + ",".join(READOUTS)]
    for p, c, s, x in rows:
        text.append(",".join([p, c] + ([s] if split else []) + ["" if np.isnan(v) else repr(float(v)) for v in x]))
    (place / name).write_text("\n".join(text) + "\n")
    return place / name


def write_long(name, rows):
    text = ["perturbation\tcontext\treadout\tvalue"]
    for p, c, _, x in rows:
        text += [f"{p}\t{c}\t{r}\t{float(v)!r}" for r, v in zip(READOUTS, x) if not np.isnan(v)]
    (place / name).write_text("\n".join(text) + "\n")
    return place / name


def make_store(name, rows):
    store = place / (name + ".prc.h5")
    done = run("-q", "import", write_wide(name + ".csv", rows), "-o", store, "--split-column", "split")
    check(done.returncode == 0, f"import {name}: {done.stderr}")
    return store


def evaluate(store, *words, ranks=(1, 2)):
    """The scores, which must be the same bytes on any number of ranks, and what was printed."""
    texts, said = set(), ""
    for n in ranks:
        out = place / f"scores{n}.json"
        done = run("-q", "evaluate", store, "--resamples", 20, "--json", out, *words, ranks=n)
        check(done.returncode == 0, f"{words} on {n} ranks: {done.returncode} {done.stderr}")
        said = done.stdout
        texts.add(out.read_text())
    check(len(texts) == 1, f"{words}: scores depend on the number of ranks")
    return json.loads(texts.pop()), said


# --- the judge ------------------------------------------------------------------------------------------------------

def ranks_of(x):
    order = np.argsort(x, kind="stable")
    rank = np.empty(len(x))
    rank[order] = np.arange(1, len(x) + 1)
    for v in set(x.tolist()):
        rank[x == v] = rank[x == v].mean()
    return rank


def pearson(x, y):
    return np.corrcoef(x, y)[0, 1] if len(x) > 2 and np.ptp(x) > 1e-9 and np.ptp(y) > 1e-9 else np.nan


def of_change(x, y, reference, suffix, out):
    keep = ~np.isnan(y + reference)
    x, y = x[keep] - reference[keep], y[keep] - reference[keep]
    for name, k in (("", 0), ("_top20", 20)):
        if len(y) <= k:
            continue
        top = np.argsort(-np.abs(y), kind="stable")[:k] if k else slice(None)
        a, b = x[top], y[top]
        out[f"pearson{suffix}{name}"] = pearson(a, b)
        out[f"spearman{suffix}{name}"] = pearson(ranks_of(a), ranks_of(b))
        out[f"cosine{suffix}{name}"] = a @ b / math.sqrt((a @ a) * (b @ b)) if len(a) > 2 and a @ a > 1e-18 else np.nan
        out[f"mse{suffix}{name}"] = ((a - b) ** 2).mean()
        out[f"mae{suffix}{name}"] = np.abs(a - b).mean()


def in_top(x, k):
    """1 for what is among the k largest; what is equal shares the last places."""
    least = np.sort(x)[-k]
    return np.where(x > least, 1.0, np.where(x == least, (k - (x > least).sum()) / (x == least).sum(), 0.0))


def of_overlap(x, y, reference, out):
    keep = ~np.isnan(y + reference)
    x, y = x[keep] - reference[keep], y[keep] - reference[keep]
    if len(y) > 20:
        mine, theirs = in_top(np.abs(x), 20), in_top(np.abs(y), 20)
        out["overlap_at_20"] = (mine * theirs).sum() / 20
        out["direction_match"] = (theirs * (np.sign(x) == np.sign(y))).sum() / 20


def of_rank(x, spoken, own, others, reference, out):
    """Distances over the readouts that the prediction and the candidate have."""
    def distances(of):
        return [of(x[k], m[k]) if (k := spoken & ~np.isnan(m)).sum() > 2 else np.nan for m in others]

    def cosine(m):
        k = spoken & ~np.isnan(m + reference)
        a, b = x[k] - reference[k], m[k] - reference[k]
        return 1 - a @ b / math.sqrt((a @ a) * (b @ b)) if k.sum() > 2 and a @ a > 1e-18 else np.nan

    def place_of(d, name):
        rest = [v for i, v in enumerate(d) if i != own and not np.isnan(v)]
        if rest and not np.isnan(d[own]):
            out[name] = 1 - (sum(v < d[own] for v in rest) + 0.5 * sum(v == d[own] for v in rest)) / len(rest)

    place_of(distances(lambda a, b: np.abs(a - b).mean()), "discrimination_l1")
    place_of(distances(lambda a, b: ((a - b) ** 2).mean()), "discrimination_l2")
    place_of([cosine(m) for m in others], "discrimination_cosine")
    d = distances(lambda a, b: ((a - b) ** 2).mean())
    rest = [v for i, v in enumerate(d) if i != own and not np.isnan(v)]
    if rest and not np.isnan(d[own]):
        out["centroid_accuracy"] = sum(v > d[own] for v in rest) / len(rest)


class Judge:
    """train, test: {(perturbation, context): values}; guess: the same, NaN where nothing is predicted."""

    def __init__(self, train, test, guess):
        self.train, self.contexts = train, sorted({c for _, c in train})
        self.mean = {c: np.nanmean([v for (p, d), v in train.items() if d == c and p != "control"], axis=0) for c in self.contexts}
        self.guess = {k: guess[k] for k in test if k in guess and (~np.isnan(guess[k] + test[k])).any()}
        self.test = {k: np.where(np.isnan(self.guess[k]), np.nan, test[k]) for k in self.guess}
        self.left_out = sum(int((~np.isnan(test[k])).sum() - (~np.isnan(v)).sum()) for k, v in self.test.items())
        self.missing = sorted(set(test) - set(self.guess))

    def change(self, p, c):
        return self.train[p, c] - self.mean[c]

    def additive(self, p, c):
        there = [self.change(p, d) for d in self.contexts if d != c and (p, d) in self.train]
        return self.mean[c] + (np.nan_to_num(np.nanmean(there, axis=0)) if there else 0)

    def score(self, method):
        x, y, single = [], [], []
        for (p, c), truth in self.test.items():
            guess, out = method(p, c), {}
            keep = ~np.isnan(truth)
            x.append(guess[keep])
            y.append(truth[keep])
            control, mean = self.train.get(("control", c)), self.mean[c]
            if control is not None:
                of_change(guess, truth, control, "_delta", out)
            of_change(guess, truth, mean, "_delta_ctxmean", out)
            main = mean if control is None else control
            of_overlap(guess, truth, main, out)
            inside = [k for k in self.test if k[1] == c]
            if len(inside) > 1:
                of_rank(guess, ~np.isnan(self.guess[p, c]), inside.index((p, c)), [self.test[k] for k in inside], main, out)
            single.append(out)
        x, y = np.concatenate(x), np.concatenate(y)
        result = {"rmse": math.sqrt(((x - y) ** 2).mean()), "mae": np.abs(x - y).mean(),
                  "r2": 1 - ((x - y) ** 2).sum() / ((y - y.mean()) ** 2).sum(), "pearson": pearson(x, y)}
        for name in {name for out in single for name in out}:
            values = [out[name] for out in single if not np.isnan(out.get(name, np.nan))]
            if values:
                result[name] = np.mean(values)
        return result


def compare(what, scores, wanted):
    for name, value in wanted.items():
        got = scores[name]
        if np.isnan(value):
            check(got is None, f"{what} {name}: {got}, undefined by the judge")
        else:
            check(got is not None and abs(got - value) <= 2e-5 * max(1, abs(value)), f"{what} {name}: {got}, the judge has {value}")


def compare_all(what, scores, judge):
    compare(what, scores["model"], judge.score(lambda p, c: judge.guess[p, c]))
    compare(what + ", readout_mean", scores["baselines"]["readout_mean"], judge.score(lambda p, c: judge.mean[c]))
    compare(what + ", additive", scores["baselines"]["additive"], judge.score(judge.additive))
    counts, source = scores["counts"], scores["source"]
    check(counts["experiments"] == len(judge.test) and counts["unscored"] == len(judge.missing), f"{what}: {counts}, {len(judge.test)}")
    check(sorted(source["unscored"]) == sorted(f"{p} in {c}" for p, c in judge.missing), f"{what}: {source['unscored']}, {judge.missing}")
    check(counts["observations"] == sum(int((~np.isnan(v)).sum()) for v in judge.test.values()), f"{what}: {counts}")
    check(source["left_out_values"] == judge.left_out, f"{what}: {source['left_out_values']} left out, the judge has {judge.left_out}")
    for c, one in scores["contexts"].items():
        check(one["counts"]["experiments"] == sum(d == c for _, d in judge.test), f"{what}, {c}: experiments")
        check(one["counts"]["unscored"] == sum(d == c for _, d in judge.missing), f"{what}, {c}: unscored")


# --- a screen --------------------------------------------------------------------------------------------------------

def screen(rng, scale=1.0):
    """Three contexts, one without control; combinations; missing values; 15 experiments held out."""
    singles = [f"p{i}" for i in range(8)]
    names = singles + ["p0+p1", "p2+p3", "p1+p4"]
    effect = {p: rng.normal(size=N) for p in singles}
    rows, train, test = [], {}, {}
    for c in "xyz":
        level, own = rng.normal(size=N) * 3, rng.normal(size=(N, N)) * 0.1
        for p in ["control"] * (c != "z") + names:
            e = sum((effect[q] for q in p.split("+") if q in effect), np.zeros(N))
            value = f4(scale * (5 + level + e + e @ own + 0.3 * rng.normal(size=N)))
            value[rng.random(N) < 0.06] = np.nan
            held = p != "control" and (names.index(p) + ord(c)) % 2 == 0
            rows.append((p, c, "test" if held else "train", value))
            (test if held else train)[p, c] = value
    return rows, train, test


def test_issue():
    """A context, six readouts: the measured values of A, C and D are predicted, B is left out."""
    rng = np.random.default_rng(3)
    rows = [(p, "x", s, np.append(f4(rng.normal(size=6)), [np.nan] * (N - 6)))
            for p, s in [("control", "train"), ("T1", "train"), ("T2", "train")] + [(p, "test") for p in "ABCD"]]
    store = make_store("issue", rows)
    scores, said = evaluate(store, "--predictions", write_wide("acd.csv", [(p, c, None, x) for p, c, s, x in rows if p in "ACD"]), ranks=RANKS)
    check(scores["model"]["rmse"] == 0 and abs(scores["model"]["pearson_delta"] - 1) < 1e-12, f"B left out: {scores['model']}")
    check("1 more is not scored: the predictions say nothing about it (B in x)" in said, said)
    empty = [(p, c, None, x * np.nan if p == "A" else x) for p, c, s, x in rows if p in "ACD"]
    scores, said = evaluate(store, "--predictions", write_wide("empty.csv", empty))
    check(scores["model"]["rmse"] == 0 and scores["counts"]["unscored"] == 2, f"A is predicted, but NaN: {scores['counts']}")
    check("2 more are not scored: the predictions say nothing about them (A in x, …)" in said, said)
    scores, said = evaluate(store, "--predictions", write_wide("none.csv", [(p, c, None, x * np.nan) for p, c, s, x in rows if p in "AB"]))
    check(scores["model"] is None and "none of the 4" in scores["reasons"]["model"], "nothing but NaN is predicted")


def leave_out(rng, test, experiments, readouts, values):
    """Predictions of some experiments, of some readouts everywhere, of some values."""
    lacking = rng.random(N) < readouts
    guess = {}
    for k, v in test.items():
        if rng.random() < experiments:
            continue
        x = f4(np.nan_to_num(v, nan=5.0) + 0.5 * rng.normal(size=N))
        x[lacking | (rng.random(N) < values)] = np.nan
        if rng.random() < 0.15:
            x[:] = np.nan
        if rng.random() < 0.15:  # predicted only where nothing is measured
            x[~np.isnan(v)] = np.nan
        guess[k] = x
    return guess


def test_subsets():
    rng = np.random.default_rng(5)
    rows, train, test = screen(rng)
    store = make_store("screen", rows)
    judge = Judge(train, test, {k: f4(np.nan_to_num(v, nan=5.0) + rng.normal(size=N)) for k, v in test.items()})
    scores, _ = evaluate(store, "--predictions", write_wide("whole.csv", [(*k, None, x) for k, x in judge.guess.items()]))
    compare_all("everything", scores, judge)
    for trial in range(4):
        guess = leave_out(rng, test, 0.35 * (trial % 3), 0.25 * (trial % 2), 0.15 * (trial // 2))
        out = [(*k, None, x) for k, x in guess.items()]
        out += [("unknown", "x", None, np.ones(N)), ("p0", "nowhere", None, np.ones(N))]
        rng.shuffle(out)
        write = write_long if trial % 3 == 1 else write_wide
        scores, _ = evaluate(store, "--predictions", write(f"part{trial}", out), ranks=RANKS)
        judge = Judge(train, test, guess)
        compare_all(f"trial {trial}", scores, judge)
        check(scores["source"]["unused_predictions"] == 2 * N, f"trial {trial}: unused {scores['source']}")


def test_cells():
    """Several rows of an experiment are averaged, in double precision, and counted."""
    rng = np.random.default_rng(6)
    rows, train, test = screen(rng)
    store = make_store("cells", rows)
    cells, guess, averaged, n_rows = [], {}, 0, 0
    for i, (k, v) in enumerate(test.items()):
        n = i % 4
        mine = f4([np.where(rng.random(N) < 0.1, np.nan, 5 + rng.normal(size=N)) for _ in range(n)]).reshape(n, N)
        cells += [(*k, None, x) for x in mine]
        if n:
            guess[k] = f4(np.nanmean(mine, axis=0))
        averaged, n_rows = averaged + (n > 1), n_rows + (n if n > 1 else 0)
    rng.shuffle(cells)
    scores, said = evaluate(store, "--predictions", write_wide("cells_guess.csv", cells), ranks=(1, 3))
    compare_all("cells", scores, Judge(train, test, guess))
    check(scores["source"]["averaged_predictions"] == {"experiments": averaged, "rows": n_rows}, scores["source"])
    check(f"{n_rows} rows of the predictions are averaged: {averaged} experiments have several" in said, said)


def test_spellings():
    rng = np.random.default_rng(7)
    rows, train, test = screen(rng)
    store = make_store("spelt", rows)
    plain = [(*k, None, f4(5 + rng.normal(size=N))) for k in test]
    other = {"p0+p1": "p1 + p0", "p2+p3": '"p2 +p3+ctrl"', "p1+p4": "p1+p4+control", "p0": "p0+ctrl", "p3": "control+p3", "p5": "ctrl+p5"}
    a, _ = evaluate(store, "--predictions", write_wide("plain.csv", plain), ranks=(1,))
    b, _ = evaluate(store, "--predictions", write_wide("other.csv", [(other.get(p, p), *rest) for p, *rest in plain]), ranks=(1, 2))
    check(a == b and not a["source"]["unscored"], "other spellings of combinations and controls")
    named = write_wide("named.csv", [("NT + " + p, *rest) for p, *rest in plain])
    b, _ = evaluate(store, "--predictions", named, "--control", "NT,none", ranks=(1, 2))
    check(a == b, "--control names the file's control")
    b, _ = evaluate(store, "--predictions", named, ranks=(1,))
    check(b["model"] is None, "NT is no control unless it is named")
    done = run("evaluate", store, "--control", "NT")
    check(done.returncode == 2 and "--predictions" in done.stderr, f"--control alone: {done.stderr}")


# --- large values ------------------------------------------------------------------------------------------------------

def linear_judge(train, test):
    """The linear baseline: axes of all training changes, ridge regression a context, at least 1e-10 of the mean eigenvalue."""
    contexts = sorted({c for _, c in train})
    mean = {c: np.nanmean([v for (p, d), v in train.items() if d == c and p != "control"], axis=0) for c in contexts}
    change = {k: np.nan_to_num(v - mean[k[1]]) for k, v in train.items() if k[0] != "control"}
    axes = np.linalg.svd(np.array(list(change.values())), full_matrices=False)[2][:10].T
    factor = {k: v @ axes for k, v in change.items()}

    def seen(p, c):
        there = [factor[p, d] for d in contexts if d != c and (p, d) in factor]
        return np.mean(there, axis=0) if there else None

    def predict(p, c):
        pairs = [(seen(q, c), z) for (q, d), z in factor.items() if d == c]
        x, z = (np.array([pair[i] for pair in pairs if pair[0] is not None]).reshape(-1, axes.shape[1]) for i in (0, 1))
        gram = x.T @ x
        ridge = max(0.1, 1e-10 * np.trace(gram) / len(gram))
        f = seen(p, c)
        return mean[c] if f is None else mean[c] + axes @ (f @ np.linalg.solve(gram + ridge * np.eye(len(gram)), x.T @ z))

    e = np.concatenate([(predict(p, c) - v)[~np.isnan(v)] for (p, c), v in test.items()])
    return math.sqrt((e ** 2).mean())


def test_large():
    """Raw intensities near 1e8: scores, not a bug's exit code; and the same ones in other units."""
    r = {}
    for scale in (1, 1e8, 1e12, 1e30):
        rows, train, test = screen(np.random.default_rng(8), scale)
        scores, _ = evaluate(make_store(f"large{scale:g}", rows), ranks=(1, 2) if scale == 1e8 else (1,))
        linear = scores["baselines"]["linear"]
        wanted = linear_judge(train, test)
        check(abs(linear["rmse"] / wanted - 1) < 1e-4, f"scale {scale:g}: linear {linear['rmse']}, the judge has {wanted}")
        r[scale] = linear["pearson_delta_ctxmean"]
    check(abs(r[1e8] - r[1e12]) < 1e-3 and abs(r[1e12] - r[1e30]) < 1e-3, f"the scale decides a correlation: {r}")
    few = [(p, c, "test" if (p, c) == ("P3", "y") else "train", f4(np.random.default_rng(ord(c) + i).normal(1e8, 1e7, N)))
           for i, p in enumerate(["control"] + [f"P{i}" for i in range(8)]) for c in "xy"]
    scores, _ = evaluate(make_store("few", few), ranks=(1,))
    check(scores["baselines"]["linear"]["rmse"] > 0, "two contexts of eight perturbations near 1e8")
    check(run("evaluate", make_store("huge", [(p, c, s, np.sign(x) * 3e38) for p, c, s, x in few])).returncode == 0, "values near the largest")


# --- the noise ceiling ---------------------------------------------------------------------------------------------------

def test_ceiling():
    rng = np.random.default_rng(9)
    rows, train, test = screen(rng)
    noisy = []
    for p, c, s, x in rows:
        noisy += [(p, c, s, f4(x + rng.normal(size=N))) for _ in range(3 if s == "test" and p != "p7" else 1)]
    store = make_store("replicates", noisy)
    mean = {k: np.mean([x for p, c, s, x in noisy if (p, c) == k], axis=0) for k in test}
    near = {k: f4(np.nan_to_num(v, nan=5.0) + 0.1 * rng.normal(size=N)) for k, v in mean.items()}
    for k in near:  # without replicates there is no ceiling: bad predictions of such experiments are no part of the comparison
        near[k] = near[k] + 50 if k[0] == "p7" else near[k]
    scores, said = evaluate(store, "--predictions", write_wide("near.csv", [(*k, None, x) for k, x in near.items()]), ranks=(1, 3))
    above = scores["above_ceiling"]
    check(above and "rmse" in above["metrics"] and "pearson_delta" in above["metrics"], f"above the ceiling: {above}")
    check(scores["model"]["rmse"] > scores["ceiling"]["rmse"], "judged on the experiments with replicates alone")
    check(above and above["experiments"] == scores["ceiling"]["experiments"] and "two reagents of one gene" in above["meaning"], f"{above}")
    sentence = "The predictions are above the noise ceiling in rmse, r2"
    check(said.count(sentence) == 1 and "repeats in other contexts" in said.split(sentence)[1].splitlines()[0], said)
    far = [(*k, None, f4(np.nan_to_num(v, nan=5.0) + 3 * rng.normal(size=N))) for k, v in mean.items()]
    scores, said = evaluate(store, "--predictions", write_wide("far.csv", far), ranks=(1,))
    check(scores["above_ceiling"] is None and "no score is better" in scores["reasons"]["above_ceiling"], "below the ceiling")
    check("above the noise ceiling" not in said, said)
    scores, said = evaluate(store, ranks=(1,))
    check(scores["above_ceiling"] is None and "no model" in scores["reasons"]["above_ceiling"], "no model, nothing above")


test_issue()
test_subsets()
test_cells()
test_spellings()
test_large()
test_ceiling()
shutil.rmtree(place, ignore_errors=True)
finish()
