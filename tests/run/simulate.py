#!/usr/bin/python3
"""Is a simulation what it says it is, judged with NumPy; and the same on any number of ranks?"""
import os
import subprocess
import sys
import tempfile

import machine

with machine.needed():
    import anndata
    import h5py
    import numpy as np

tessera = os.path.abspath(sys.argv[1])
folder = tempfile.TemporaryDirectory()
os.chdir(folder.name)


def simulate(*options, ranks=1, code=0):
    start = ["mpirun", "-n", str(ranks)] if ranks > 1 else []
    done = subprocess.run([*start, tessera, "-q", "simulate", *map(str, options)], timeout=60,
                          capture_output=True, text=True)
    assert done.returncode == code, (options, done.returncode, done.stderr)
    return done.stderr


def read(path):
    data = anndata.read_h5ad(path)
    return data, np.asarray(data.X.todense()) if hasattr(data.X, "todense") else data.X


def changes(data, values):
    """{context: {perturbation: change against the context's control}}"""
    out = {}
    for i, (p, c) in enumerate(zip(data.obs["perturbation"], data.obs["context"])):
        out.setdefault(c, {})[p] = values[i].astype("f8")
    return {c: {p: x - rows["control"] for p, x in rows.items()} for c, rows in out.items()}


def same_on_all_ranks():
    shape = ["--perturbations", 30, "--readouts", 40, "--contexts", 3, "--combinations", 7, "--order", 3,
             "--replicates", 3, "--sparsity", .3]
    ragged = ["--missing", .1, "--panel-fraction", .5, "--truth", "t{}.h5ad"]
    for name, options in {"p{}.h5ad": shape + ragged, "s{}.prc.h5": shape + ["--missing", .1],
                          "c{}.h5ad": shape + ["--cells", 5],
                          "n{}.h5ad": ["--network", "--cells", 3, "--readouts", 40]}.items():
        for ranks in 1, 2, 3, 5:
            simulate("-o", name.format(ranks), *[str(x).format(ranks) for x in options], ranks=ranks)
            subprocess.run(["h5diff", "--exclude-path", "/uns/provenance", name.format(1), name.format(ranks)], check=True)
    for ranks in 2, 3, 5:
        subprocess.run(["h5diff", "--exclude-path", "/uns/provenance", "t1.h5ad", f"t{ranks}.h5ad"], check=True)
    simulate("-o", "other.h5ad", *shape, *ragged[:-2], "--seed", 2)
    assert subprocess.run(["h5diff", "-q", "p1.h5ad", "other.h5ad"]).returncode == 1


def low_rank():
    simulate("-o", "a.h5ad", "--truth", "at.h5ad", "--perturbations", 60, "--readouts", 50, "--rank", 3,
             "--interaction", 0, "--epistasis", 0, "--combinations", 20, "--order", 3, "--replicates", 2,
             "--noise", 0.5, "--contexts", 3)
    data, values = read("a.h5ad")
    truth, true = read("at.h5ad")
    row = {name: i for i, name in enumerate(truth.obs_names)}
    noise = values - true[[row[name.split("#")[0]] for name in data.obs_names]]
    assert abs(noise.std() - 0.5) < 0.01 and abs(noise.mean()) < 0.02
    assert abs(np.corrcoef(noise[0], noise[1])[0, 1]) < 0.5  # replicates have noise of their own
    change = changes(truth, true)
    for context in change.values():
        for p, x in context.items():
            parts = sum(context[q] for q in p.split("+"))
            np.testing.assert_allclose(x, parts, atol=2e-5)
            np.testing.assert_allclose(x, change["C1"][p], atol=2e-5)  # nothing depends on the context
    singular = np.linalg.svd(np.array(list(change["C1"].values())), compute_uv=False)
    assert singular[2] > 1 and singular[3] < 1e-4, singular
    assert {len(p.split("+")) for p in change["C1"]} == {1, 2, 3}
    for bent in 0, 0.6:
        simulate("-o", f"bent{bent}.h5ad", "--noise", 0, "--nonlinearity", bent, "--controls", 1)
    straight, bent = (changes(*read(f"bent{x}.h5ad")) for x in (0, 0.6))
    for context, rows in straight.items():
        for p, x in rows.items():
            np.testing.assert_allclose(bent[context][p], 0.4 * x + 0.6 * np.tanh(x), atol=2e-5)
    simulate("-o", "b.h5ad", "--truth", "bt.h5ad", "--noise", 0, "--combinations", 5, "--controls", 1)
    np.testing.assert_array_equal(read("b.h5ad")[1], read("bt.h5ad")[1])
    change = changes(*read("bt.h5ad"))
    additive = np.mean([[c[p] for p in change["C1"]] for c in change.values()], axis=0)
    share = np.var(np.array([list(c.values()) for c in change.values()]) - additive) / np.var(additive)
    assert 0.05 < share < 0.6, share  # some interaction, less than the additive part


def synergy():
    """With one factor: a component's change is u v, a combination's deviation from their sum synergy Σ u u v."""
    shape = ["--rank", 1, "--noise", 0, "--interaction", 0, "--epistasis", 0, "--controls", 1, "--contexts", 1,
             "--combinations", 30, "--order", 3]
    simulate("-o", "plain.h5ad", *shape)
    plain = changes(*read("plain.h5ad"))["C1"]
    v = next(x / np.linalg.norm(x) for p, x in plain.items() if "+" not in p)
    scale = []
    for size in -0.5, 1:
        simulate("-o", f"synergy{size}.h5ad", *shape, "--synergy", size)
        for p, x in changes(*read(f"synergy{size}.h5ad"))["C1"].items():
            u = [plain[q] @ v for q in p.split("+")]
            products = sum(a * b for i, a in enumerate(u) for b in u[:i])
            if not products:
                np.testing.assert_allclose(x, plain[p], atol=2e-5)
                continue
            deviation = (x - plain[p]) @ v
            np.testing.assert_allclose(x - plain[p], deviation * v, atol=1e-4)
            scale.append(deviation / products / size)
    assert len(scale) == 60 and np.ptp(scale) < 1e-3 * abs(scale[0]) and abs(scale[0]) > 1e-3, scale


def mechanisms():
    """Compounds are knock-outs times a strength, and with --off-target something else beside it."""
    shape = ["--perturbations", 90, "--mechanisms", 60, "--noise", 0, "--controls", 1, "--readouts", 60]
    near = {}
    for own in 0, 0.5:
        simulate("-o", f"m{own}.h5ad", *shape, "--off-target", own, "--pairs", f"m{own}.tsv")
        change = changes(*read(f"m{own}.h5ad"))
        lines = [line.rstrip("\n").split("\t") for line in open(f"m{own}.tsv")]
        assert lines[0] == ["perturbation", "target", "strength"] and len(lines) == 61
        names = {name.split(":")[0] for name in change["C1"]}
        assert names == {"DRUG", "KO", "control"} and sum(name.startswith("KO") for name in change["C1"]) == 30
        assert len({target for _, target, _ in lines[1:]}) > 15
        for context in change.values():
            for drug, target, strength in lines[1:]:
                assert 0.5 <= float(strength) <= 1.5
                if own == 0:
                    np.testing.assert_allclose(context[drug], float(strength) * context[target], atol=3e-5)
                else:
                    near[drug, target] = np.corrcoef(context[drug], context[target])[0, 1]
    assert 0.6 < np.mean(list(near.values())) < 0.97, np.mean(list(near.values()))
    simulate("-o", "m3.h5ad", *shape, "--off-target", 0.5, "--pairs", "m3.tsv", ranks=3)
    assert open("m3.tsv").read() == open("m0.5.tsv").read()
    subprocess.run(["h5diff", "--exclude-path", "/uns/provenance", "m0.5.h5ad", "m3.h5ad"], check=True)
    for options, word in ((["--mechanisms", 100], "left"), (["--mechanisms", 5, "--network"], "network"), (["--pairs", "x.tsv"], "--mechanisms")):
        assert word in simulate("-o", "bad.h5ad", *options, code=2), options
    assert not os.path.exists("bad.h5ad") and not os.path.exists("x.tsv")


def gaps():
    simulate("-o", "g.h5ad", "--perturbations", 300, "--sparsity", .5, "--missing", .2, "--readouts", 30,
             "--panel-fraction", .5)
    data, values = read("g.h5ad")
    pairs = data.obs[data.obs["perturbation"] != "control"]
    assert 0.45 < len(pairs) / 1200 < 0.6 and pairs["perturbation"].nunique() == 300
    panel = {c: ~np.isnan(values[(data.obs["context"] == c).values]).all(0) for c in ("C1", "C2", "C3", "C4")}
    assert sorted(int(x.sum()) == 30 for x in panel.values()) == [False, False, True, True]
    full = np.isnan(values[(data.obs["context"] == "C4").values])
    assert abs(full.mean() - 0.2) < 0.03
    held = data.obs[data.obs["split"] != "train"]
    assert set(held["context"]) == {"C4"} and "control" not in set(held["perturbation"])
    shared = set(pairs[pairs["context"] == "C4"]["perturbation"]) & set(pairs[pairs["context"] != "C4"]["perturbation"])
    for split in "val", "test":
        assert abs((held["split"] == split).sum() - 0.15 * len(shared)) <= 1
    assert set(held["perturbation"]) <= shared
    simulate("-o", "h.h5ad", "--split-target", "none")
    assert set(read("h.h5ad")[0].obs["split"]) == {"train"}
    simulate("-o", "h.h5ad", "--split-target", "C1,C3")
    data = read("h.h5ad")[0]
    assert set(data.obs[data.obs["split"] == "test"]["context"]) == {"C1", "C3"}


def store():
    options = ["--perturbations", 20, "--readouts", 15, "--combinations", 4, "--replicates", 3, "--controls", 11,
               "--sparsity", .3, "--missing", .1, "--panel-fraction", .5]
    simulate("-o", "s.prc.h5", *options)
    simulate("-o", "s.h5ad", *options)
    data, values = read("s.h5ad")
    rows = data.obs.groupby(["perturbation", "context"], observed=True).indices
    with h5py.File("s.prc.h5") as file:
        def get(name):
            return file[name][:]

        perturbation, context, readout = (get(x + "/symbol").astype("U") for x in ("perturbation", "context", "readout"))
        first, member, value, fold_value = (get(x) for x in ("combination/first", "combination/member", "value", "fold/value"))
        assert list(readout) == list(data.var_names) and len(rows) == len(get("experiment/combination"))
        at = fold_at = 0
        for e, (combination, c, panel) in enumerate(zip(get("experiment/combination"), get("experiment/context"),
                                                         get("experiment/panel"))):
            name = "+".join(perturbation[member[first[combination]:first[combination + 1]]])
            mine = values[rows[name, context[c]]][:, get("panel/readout")[get("panel/first")[panel]:get("panel/first")[panel + 1]]]
            n = mine.shape[1]
            assert get("experiment/n_replicates")[e] == len(mine) == (11 if name == "control" else 3)
            assert get("experiment/n_observed")[e] == (~np.isnan(mine[0])).sum()
            assert {data.obs["split"][i] for i in rows[name, context[c]]} == {
                ["train", "val", "test"][get("experiment/split")[e]]}
            np.testing.assert_allclose(value[at:at + n], mine.mean(0), atol=2e-6)
            at += n
            folds = np.diff(get("fold/first"))[e]
            assert folds == min(len(mine), 8)
            for f in range(folds):
                np.testing.assert_allclose(fold_value[fold_at:fold_at + n], mine[f::folds].mean(0), atol=2e-6)
                assert get("fold/replicates")[get("fold/first")[e] + f] == len(mine[f::folds])
                fold_at += n
        assert at == len(value) and fold_at == len(fold_value)


def steady_state(nonlinearity):
    simulate("-o", "n.h5ad", "--network", "--readouts", 60, "--contexts", 2, "--truth", "nt.h5ad", "--gold", "n.tsv",
             "--interaction", 0, "--combinations", 10, "--nonlinearity", nonlinearity, "--noise", 0)
    truth, x = read("nt.h5ad")
    x = x.astype("f8")
    number = {g: i for i, g in enumerate(truth.var_names)}
    lines = [line.split("\t") for line in open("n.tsv").read().splitlines()[1:]]
    weights = np.zeros((60, 60))
    for regulator, target, weight in lines:
        weights[number[target], number[regulator]] = float(weight)
    assert 60 < (weights != 0).sum() < 180 and not weights.diagonal().any()
    bent = (1 - nonlinearity) * x + nonlinearity * np.tanh(x)
    inputs = x - bent @ weights.T  # baseline and shift
    names = truth.obs["perturbation"].values
    for context in "C1", "C2":
        here = (truth.obs["context"] == context).values
        control = inputs[here & (names == "control")][0]
        for i in np.flatnonzero(here):
            shift = inputs[i] - control
            hit = {number[g] for g in names[i].split("+") if g != "control"}
            assert set(np.flatnonzero(np.abs(shift) > 1e-4)) == hit, names[i]
            assert all(1.49 < -shift[g] < 2.51 for g in hit)
    np.testing.assert_allclose(read("n.h5ad")[1][:3], read("nt.h5ad")[1][:3])


def cells():
    simulate("-o", "c.h5ad", "--truth", "ct.h5ad", "--cells", 400, "--perturbations", 3, "--contexts", 2,
             "--readouts", 50, "--noise", 0, "--replicates", 2, "--controls", 2)
    data, counts = read("c.h5ad")
    assert (counts == counts.round()).all() and (counts >= 0).all() and (counts == 0).mean() > 0.01
    assert data.X.has_sorted_indices and data.n_obs == 2 * (3 * 400 + 800)
    assert data.obs.groupby(["perturbation", "context", "replicate"]).size().min() == 200
    assert set(data.obs["batch"]) == {"C1-1", "C1-2", "C2-1", "C2-2"}
    depth = counts.sum(1)
    assert abs(depth.mean() / 500 - 1) < 0.05 and 0.2 < np.log(depth).std() < 0.45
    truth, true = read("ct.h5ad")
    for i in range(truth.n_obs):
        mine = ((data.obs["perturbation"] == truth.obs["perturbation"][i])
                & (data.obs["context"] == truth.obs["context"][i])).values
        share = np.exp(true[i].astype("f8"))
        share /= share.sum()
        mean = counts[mine].mean(0)
        error = np.sqrt((500 * share * 1.1 + (0.3 * 1.1 + 0.1) * (500 * share) ** 2) / mine.sum())
        z = (mean - 500 * share) / error
        assert np.abs(z).max() < 6 and np.sqrt((z ** 2).mean()) < 1.6, z
    simulate("-o", "m.h5ad", "--network", "--readouts", 30, "--cells", 100, "--contexts", 1, "--gold", "m.tsv",
             "--depth", 9000, "--noise", 1, "--dispersion", .05)
    data, counts = read("m.h5ad")
    control = np.log1p(counts[(data.obs["perturbation"] == "control").values])
    correlation = np.abs(np.corrcoef((control - control.mean(1, keepdims=True)).T))
    number = {g: i for i, g in enumerate(data.var_names)}
    edges = [(number[a], number[b]) for a, b, _ in (x.split("\t") for x in open("m.tsv").read().splitlines()[1:])]
    linked = np.mean([correlation[e] for e in edges])
    assert linked > 1.5 * correlation[~np.eye(30, dtype=bool)].mean()  # noise travels along the edges


def refusals():
    for options, words in (([], "-o FILE"), (["-o", "x.prc.h5", "--cells", 3], ".h5ad"),
                           (["-o", "x.h5ad", "--sparsity", 2], "--sparsity"),
                           (["-o", "x.h5ad", "--gold", "g.tsv"], "--network"),
                           (["-o", "x.h5ad", "--perturbations", 3, "--combinations", 4], "--combinations"),
                           (["-o", "x.h5ad", "--split-target", "C9"], "C9"),
                           (["-o", "x.h5ad", "--truth", "x.h5ad"], "--truth")):
        message = simulate(*options, code=2)
        assert words in message, message
        assert "Traceback" not in message and message.count("\n") == 1
    message = simulate("-o", "no/such/x.h5ad", code=73)
    assert "no/such" in message
    message = simulate("-o", "x.h5ad", "--perturbations", 10000, "--replicates", 1000000, code=73)
    assert "are free" in message and "x.h5ad" in message, message
    assert not [name for name in os.listdir(".") if name.startswith("x.") or name.endswith(".part")]


same_on_all_ranks()
low_rank()
synergy()
mechanisms()
gaps()
store()
steady_state(0)
steady_state(0.7)
cells()
refusals()
print("ok")
