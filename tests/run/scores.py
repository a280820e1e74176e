#!/usr/bin/python3
"""scores.py -- scaled scores, strata, deviations from additivity and files for cell-eval, against NumPy and SciPy.

usage: scores.py TESSERA SOURCE_ROOT"""
import json
import os
import tempfile

import machine
import checks

with machine.needed():
    import anndata
    import numpy as np
    import pandas as pd

RANKS = (1, 2, 3, 5)


def run(*words, ranks=1):
    done = checks.run(*words, ranks=ranks)
    assert done.returncode == 0, (words, ranks, done.stdout, done.stderr)
    return done.stdout


def close(a, b, tolerance=1e-6):
    return abs(a - b) <= tolerance * max(1, abs(b))


def screen():
    """Single genes and pairs in four contexts, 2 replicates; some genes are in few contexts; pairs interact."""
    rng = np.random.default_rng(11)
    genes, n = [f"g{i}x" for i in range(14)], 60
    readouts = [*genes, *(f"r{i}" for i in range(n - len(genes)))]
    pairs = [(i, j) for i in range(6) for j in range(i)]
    effect = {g: rng.normal(size=n) for g in genes}
    for i, j in pairs:
        effect[f"{genes[j]}+{genes[i]}"] = effect[genes[i]] + effect[genes[j]] + rng.normal(size=n)
    rows, obs = [], []
    for c in range(8):
        level = rng.normal(size=n) * 2
        for p in ["control", *effect]:
            if p in genes[10:12] and c > 2 or p == genes[12] and c > 1 or p == genes[13] and c > 0:
                continue  # known from 2, 1, no contexts
            own = 0 if p == "control" else effect[p] * (0.2 + (hash_of(p) % 7) / 4) + 0.3 * rng.normal(size=n)
            test = c == 0 and p in genes[7:] or c < 3 and "+" in p and hash_of(p) % 3 == 0
            for _ in range(2):
                rows.append(level + own + 0.3 * rng.normal(size=n))
                obs.append((p, f"line{c}", "test" if test else "train"))
    frame = pd.DataFrame(obs, columns=["perturbation", "context", "split"], index=[f"row{i}" for i in range(len(obs))])
    path = os.path.join(folder, "screen.h5ad")
    anndata.AnnData(np.array(rows, dtype=np.float32), obs=frame, var=pd.DataFrame(index=readouts)).write_h5ad(path)
    return path


def hash_of(text):
    return sum(map(ord, text))


def evaluate(*words):
    """The JSON, which is the same text on any number of ranks."""
    texts = set()
    for ranks in RANKS:
        out = os.path.join(folder, f"scores{ranks}.json")
        run("-q", "evaluate", *words, "--json", out, ranks=ranks)
        with open(out) as file:
            texts.add(file.read())
    assert len(texts) == 1, "scores depend on the number of ranks"
    return json.loads(texts.pop())


def errors(name):
    return name.startswith(("rmse", "mae", "mse", "wmse"))


def test_scaled(place):
    """From the scores themselves: every metric between readout_mean and the ceiling, or 1."""
    scores = evaluate(place)
    seen = 0
    for part in (scores, scores["contexts"]["line1"]):
        bad, ceiling, scaled = part["baselines"]["readout_mean"], part["ceiling"], part["scaled"]
        for name, x in part["model"].items():
            if name in ("intervals", "experiments", "reasons"):
                continue
            zero = 0 if "all the same" in bad["reasons"].get(name, "") else bad[name]
            one, ends = ceiling[name] if name in ceiling else 1, scaled["ends"][name]
            assert (ends["bad"], ends["perfect"]) == (zero, one), (name, ends, zero, one)
            if x is None or zero is None or one is None or (one >= zero if errors(name) else one <= zero):
                assert scaled["model"][name] is None and scaled["model"]["reasons"][name], name
                continue
            seen += 1
            assert close(scaled["model"][name], (x - zero) / (one - zero), 1e-12), name
            low, high = scaled["model"]["intervals"][name]
            assert low <= high and (part is not scores or low - 0.2 <= scaled["model"][name] <= high + 0.2), (name, low, high)
    assert seen > 80, seen
    assert scores["scaled"]["baselines"]["readout_mean"]["rmse"] == 0 and scores["contexts"]["line1"]["scaled"]["baselines"] == {}
    return scores


class Plain:
    """Means of replicates, by perturbation and context."""

    def __init__(self, path):
        a = anndata.read_h5ad(path)
        self.readouts = list(a.var_names)
        frame = pd.DataFrame(a.X.astype(float)).groupby([a.obs[k].astype(str).to_numpy() for k in ("perturbation", "context", "split")])
        mean = {(sorted_name(p), c, s): v.to_numpy().mean(0) for (p, c, s), v in frame}
        self.test = {(p, c): v for (p, c, s), v in mean.items() if s == "test"}
        self.train = {(p, c): v for (p, c, s), v in mean.items() if s == "train"}
        self.mean = {c: np.mean([v for (p, d), v in self.train.items() if d == c and p != "control"], axis=0)
                     for c in {c for _, c in self.train}}


def sorted_name(p):
    return "+".join(sorted(p.split("+")))


def write_table(path, plain, values):
    with open(path, "w") as file:
        file.write("\t".join(["perturbation", "context", *plain.readouts]) + "\n")
        for (p, c), v in values.items():
            file.write("\t".join([p, c, *(f"{x:.9g}" for x in v)]) + "\n")


def test_interval(plain, store):
    """Of a predictions file, beside resamples from another generator: both ends of the difference move, the ceiling stays."""
    rng = np.random.default_rng(3)
    guess = {k: v + 0.4 * rng.normal(size=len(v)) for k, v in plain.test.items()}
    path = os.path.join(folder, "guess.tsv")
    write_table(path, plain, guess)
    scores = evaluate(store, "--predictions", path)
    names = sorted({p for p, _ in plain.test})
    own, bad = (np.array([sum(((of(k) - v) ** 2).sum() for k, v in plain.test.items() if k[0] == p) for p in names])
                for of in (guess.get, lambda k: plain.mean[k[1]]))
    size = np.array([sum(len(v) for k, v in plain.test.items() if k[0] == p) for p in names])
    draw = rng.integers(0, len(names), (20000, len(names)))
    own, bad = (np.sqrt(x[draw].sum(1) / size[draw].sum(1)) for x in (own, bad))
    low, high = np.percentile((own - bad) / (scores["ceiling"]["rmse"] - bad), [2.5, 97.5])
    mine = scores["scaled"]["model"]["intervals"]["rmse"]
    assert max(abs(mine[0] - low), abs(mine[1] - high)) < 0.15 * (high - low), (mine, low, high)


def test_strata(plain, store):
    path = os.path.join(folder, "guess.tsv")
    scores = evaluate(store, "--predictions", path, "--strata")
    frame = pd.read_csv(path, sep="\t", index_col=[0, 1])
    guess = {k: v.to_numpy() for k, v in frame.iterrows()}
    known = {k: sum(p == k[0] for p, _ in plain.train) for k in plain.test}
    change = {k: np.sqrt(((v - plain.train["control", k[1]]) ** 2).mean()) for k, v in plain.test.items()}
    third = {k: i * 3 // len(change) for i, k in enumerate(sorted(change, key=change.get))}
    parts = {("known_in", "0"): lambda k: known[k] == 0, ("known_in", "1"): lambda k: known[k] == 1,
             ("known_in", "2-4"): lambda k: 2 <= known[k] <= 4, ("known_in", "5+"): lambda k: known[k] >= 5,
             **{("strength", name): lambda k, i=i: third[k] == i for i, name in enumerate(("weak", "middle", "strong"))}}
    for (kind, name), inside in parts.items():
        keys, part = [k for k in plain.test if inside(k)], scores["strata"][kind][name]
        assert part["counts"]["experiments"] == len(keys) > 0, (kind, name, part["counts"], len(keys))
        for who, of in (("model", guess.get), ("readout_mean", lambda k: plain.mean[k[1]])):
            got = part["model"] if who == "model" else part["baselines"][who]
            assert close(got["rmse"], np.sqrt(np.mean([(of(k) - plain.test[k]) ** 2 for k in keys])), 1e-5), (kind, name, who)
        r = np.mean([np.corrcoef(guess[k] - plain.mean[k[1]], plain.test[k] - plain.mean[k[1]])[0, 1] for k in keys])
        assert close(part["model"]["pearson_delta_ctxmean"], r, 1e-5), (kind, name)
        assert part["ceiling"]["experiments"] == len(keys) and part["scaled"]["model"]["rmse"] is not None
        if kind == "strength":
            assert np.allclose(part["change"], [min(change[k] for k in keys), max(change[k] for k in keys)], rtol=1e-5)
    text = run("evaluate", store, "--predictions", path, "--strata", ranks=2)
    assert "trained in 2-4 contexts" in text and "strong effect" in text, text
    whole = evaluate(store, "--predictions", path)
    assert whole["strata"] is None and whole["reasons"]["strata"]
    assert {k: v for k, v in whole.items() if k not in ("strata", "reasons")} == \
        {k: v for k, v in scores.items() if k not in ("strata", "reasons")}


def test_epistasis(plain, store):
    """Deviations of measured pairs from control + the changes of both, and of what is predicted from the same."""
    rng = np.random.default_rng(4)
    path = os.path.join(folder, "pairs.tsv")
    guess, truth, found, sign, names = {}, {}, {"model": {}, "mean_components": {}, "readout_mean": {}}, {}, {}
    for (p, c), v in plain.test.items():
        single = [plain.train.get((q, c), plain.test.get((q, c))) for q in p.split("+")]
        control = plain.train["control", c]
        guess[p, c] = v + rng.normal(size=len(v))
        if len(single) < 2 or any(x is None for x in single):
            continue
        change = sum(x - control for x in single)
        truth[p, c], sign[p, c] = v - control - change, np.sign(change)
        found["model"][p, c] = guess[p, c] - control - change
        found["mean_components"][p, c] = change / 2 - change
        found["readout_mean"][p, c] = plain.mean[c] - control - change
    write_table(path, plain, guess)
    scores = evaluate(store, "--predictions", path, "--epistasis")["epistasis"]
    keys = list(truth)
    assert scores["experiments"] == len(keys) > 8 and scores["contexts"] == 3 and scores["values"] == len(keys) * len(plain.readouts)
    assert scores["combinations"] == len({p for p, _ in keys})
    y, s = (np.concatenate([of[k] for k in keys]) for of in (truth, sign))
    for name, of in found.items():
        x, got = np.concatenate([of[k] for k in keys]), scores["model"] if name == "model" else scores["baselines"][name]
        assert close(got["rmse"], np.sqrt(((x - y) ** 2).mean()), 1e-5) and close(got["pearson"], np.corrcoef(x, y)[0, 1], 1e-5), name
        assert close(got["pearson_each"], np.mean([np.corrcoef(of[k], truth[k])[0, 1] for k in keys]), 1e-5), name
        assert got["intervals"]["pearson"][0] < got["pearson"] < got["intervals"]["pearson"][1]
        for way, key in ((1, "synergy_precision"), (-1, "antagonism_precision")):
            for k in (20, 50, 100, 200):
                mine, theirs = (set(np.argsort(-way * s * z, kind="stable")[:k]) for z in (x, y))
                assert close(got[key][str(k)], len(mine & theirs) / k), (name, key, k, got[key], len(mine & theirs) / k)
    zero = scores["baselines"]["additive_components"]
    assert close(zero["rmse"], np.sqrt((y ** 2).mean()), 1e-5) and zero["pearson"] is None and zero["synergy_precision"]["20"] is None
    skill = scores["differences"]["additive_components"]["rmse"]["skill"]
    assert close(skill, 1 - scores["model"]["rmse"] / zero["rmse"])
    assert "synergy 50" in run("evaluate", store, "--predictions", path, "--epistasis", ranks=3)


def test_cell_eval(plain, store, model):
    """The two files: labels alike, control in both, predictions as `impute` has them, truth as measured."""
    whole = os.path.join(folder, "whole.h5ad")
    trained = {q for p, _ in plain.train for q in p.split("+")}
    names = sorted({p for p, _ in plain.test if trained.issuperset(p.split("+"))})
    run("-q", "impute", model, "-o", whole, "-p", ",".join(names))
    imputed = anndata.read_h5ad(whole)[:, plain.readouts].copy()
    wanted = {(sorted_name(p), c): x for p, c, x in zip(imputed.obs["perturbation"], imputed.obs["context"], np.asarray(imputed.X))}
    seen = set()
    for ranks in RANKS:
        files = [os.path.join(folder, name) for name in ("pred.h5ad", "real.h5ad")]
        run("-q", "evaluate", model, "--profile", "cell-eval", "-o", files[0], "--real", files[1], "--force", ranks=ranks)
        predicted, real = map(anndata.read_h5ad, files)
        seen.add((np.asarray(predicted.X).tobytes(), np.asarray(real.X).tobytes(), tuple(predicted.obs_names)))
    assert len(seen) == 1, "files depend on the number of ranks"
    assert list(predicted.var_names) == list(real.var_names) and sorted(real.var_names) == sorted(plain.readouts)
    assert list(predicted.obs_names) == list(real.obs_names)
    predicted, real = (a[:, plain.readouts].copy() for a in (predicted, real))
    keys = list(zip(real.obs["target_gene"].astype(str), real.obs["celltype"].astype(str)))
    assert keys == list(zip(predicted.obs["target_gene"].astype(str), predicted.obs["celltype"].astype(str)))
    tests = {k for k in plain.test if k in wanted}
    assert {(sorted_name(p), c) for p, c in keys if p != "non-targeting"} == tests and len(tests) > 20
    assert {c for p, c in keys if p == "non-targeting"} == {c for _, c in tests} and len(set(keys)) == len(keys) == len(tests) + 3
    for (p, c), x, y in zip(keys, np.asarray(predicted.X), np.asarray(real.X)):
        if p == "non-targeting":
            assert np.array_equal(x, y) and np.allclose(x, plain.train["control", c], atol=1e-5)
        else:
            assert np.array_equal(x, wanted[sorted_name(p), c]), (p, c)
            assert np.allclose(y, plain.test[sorted_name(p), c], atol=1e-5)
    done = checks.run("evaluate", model, "--profile", "cell-eval", "-o", files[0], "--real", "new.h5ad", ranks=2)
    assert done.returncode == 73 and "pred.h5ad" in done.stderr and "--force" in done.stderr and not os.path.exists("new.h5ad"), done.stderr
    for words, why in ((["--profile", "vcc"], "is not cell-eval"), (["--profile", "cell-eval", "-o", files[0]], "--real"),
                       (["-o", files[0]], "needs --profile"),
                       (["--profile", "cell-eval", "-o", files[0], "--real", files[0]], "same file")):
        done = checks.run("evaluate", model, *words, ranks=2)
        assert done.returncode == 2 and why in done.stderr, (words, done.returncode, done.stderr)
    done = checks.run("evaluate", store, "--profile", "cell-eval", "-o", files[0], "--real", files[1], ranks=2)
    assert done.returncode == 2 and "no model was given" in done.stderr, done.stderr


with tempfile.TemporaryDirectory() as folder:
    store = os.path.join(folder, "screen.prc.h5")
    path = screen()
    plain = Plain(path)
    run("-q", "import", path, "-o", store, "--split-column", "split")
    config, model = os.path.join(folder, "small.yaml"), os.path.join(folder, "run")
    with open(config, "w") as file:
        file.write("model:\n  embedding_dim: 8\n  hidden_dim: 16\ntrain:\n  epochs: 3\n  batch: 512\n  lanes: 4\n")
    run("-q", "train", config, "--set", f"data.store={store}", "--set", f"run.directory={model}")
    test_scaled(model)
    test_interval(plain, store)
    test_strata(plain, store)
    test_epistasis(plain, store)
    test_cell_eval(plain, store, model)
print("ok")
