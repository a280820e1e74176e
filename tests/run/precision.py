#!/usr/bin/python3
"""train.precision and --precision, with sgemm in the place of a unit and, where the processor has one, with it: the same
bits on any number of ranks and threads and after an interruption, in evaluate and impute; predictions against NumPy with
the same roundings; what auto means, keeps and writes down."""
import glob
import json
import os
import subprocess
import sys
import tempfile

import machine

with machine.needed():
    import anndata
    import h5py
    import numpy as np

tessera, source = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
folder = tempfile.TemporaryDirectory()
os.chdir(folder.name)
WITHOUT = {**os.environ, "DNNL_MAX_CPU_ISA": "AVX2"}
WITH = {name: value for name, value in os.environ.items() if name != "DNNL_MAX_CPU_ISA"}
SETTINGS = ["model.kind=mlp", "model.embedding_dim=8", "model.hidden_dim=40", "model.layers=3", "model.dropout=0.1",
            "train.epochs=3", "train.batch=512", "data.store=s.prc.h5"]


def run(*words, env, ranks=1, code=0):
    start = ["mpirun", "-n", str(ranks)] if ranks > 1 else []
    done = subprocess.run([*start, tessera, *map(str, words)], capture_output=True, text=True, timeout=120, env=env)
    assert done.returncode == code, (words, ranks, done.returncode, done.stdout, done.stderr)
    return done.stdout + done.stderr


def train(directory, *more, env, ranks=1):
    sets = [f"--set={setting}" for setting in [*SETTINGS, f"run.directory={directory}", *more]]
    return run("train", f"{source}/config/quickstart.yaml", *sets, env=env, ranks=ranks)


def last(directory):
    return sorted(glob.glob(f"{directory}/checkpoint-*.h5"))[-1]


def precision_of(directory):
    with h5py.File(last(directory)) as file:
        config = file.attrs["config"]
        config = config.decode() if isinstance(config, bytes) else config
        return next(line.split()[1] for line in config.splitlines() if line.strip().startswith("precision:")), file.attrs["blas_core"]


def same_files(one, other):
    names = sorted(os.path.basename(path) for path in glob.glob(f"{one}/*.h5"))
    assert names and names == sorted(os.path.basename(path) for path in glob.glob(f"{other}/*.h5"))
    for name in names:
        with open(f"{one}/{name}", "rb") as a, open(f"{other}/{name}", "rb") as b:
            assert a.read() == b.read(), (one, other, name)


def any_layout(label, env):
    """Any number of ranks and threads, stopped and gone on with: the same bits. dot as well."""
    for kind in "mlp", "dot":
        settings = ["train.precision=bfloat16", f"model.kind={kind}"]
        train(f"{label}-{kind}", *settings, env=env)
        for ranks, threads in (2, 2), (3, 1), (5, 1):
            name = f"{label}-{kind}-{ranks}"
            train(name, *settings, f"train.threads={threads}", env=env, ranks=ranks)
            same_files(f"{label}-{kind}", name)
    train(f"{label}-cut", "train.precision=bfloat16", "train.epochs=1", env=env)
    train(f"{label}-cut", "train.precision=bfloat16", env=env, ranks=3)
    whole, cut = (h5py.File(last(f"{label}-{name}"))["mlp/value"][:] for name in ("mlp", "cut"))
    # Another number of epochs is another schedule for the first one: near, not the same.
    assert np.isfinite(cut).all() and np.abs(cut - whole).max() > 0


def low(x):
    """float32 numbers rounded to bfloat16: to nearest, ties to even."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16 << 16).astype(np.uint32).view(np.float32).astype(np.float64)


def forward(path, perturbations, context, rounded):
    """By the definition in network.h, in float64; operands of the hidden layers' products are rounded if asked for."""
    D, H, L = 8, 40, 3
    with h5py.File(path) as file:
        tables = [dict(zip(file[f"{t}/symbol"].asstr(), file[f"table/{t}/value"][:].astype("f8"))) for t in
                  ("perturbation", "readout", "context")]
        block, center, spread = file["mlp/value"][:].astype("f8"), file.attrs["center"], file.attrs["spread"]
    shapes = [(H, D)] * 3 + [(H,), (L - 1, H, H), (L - 1, H), (1, H), (1,)]
    ends = np.cumsum([0] + [int(np.prod(shape)) for shape in shapes])
    assert ends[-1] == len(block)
    wp, wr, wc, b1, w, b, wo, bo = (block[i:j].reshape(shape) for i, j, shape in zip(ends, ends[1:], shapes))
    p, r = np.array([tables[0][x] for x in perturbations]), np.array(list(tables[1].values()))
    silu = lambda z: z / (1 + np.exp(-z))
    a = silu((p @ wp.T + wc @ tables[2][context] + b1)[:, None] + (r @ wr.T)[None])
    for layer in range(L - 1):
        x, m = (low(a), low(w[layer])) if rounded else (a, w[layer])
        a = silu(x @ m.T + b[layer])
    return (a @ wo.T + bo)[..., 0] * spread + center


def predictions(label, env):
    """Of a model trained in float32, in both precisions."""
    found = {}
    for precision in "float32", "bfloat16":
        for ranks in 1, 2, 3, 5:
            out = f"{label}-{precision}-{ranks}.h5ad"
            run("-q", "impute", last("plain"), "-o", out, "--force", "--blend", "off", "--precision", precision, env=env, ranks=ranks)
            data = anndata.read_h5ad(out)
            assert data.uns["precision"] == precision
            np.testing.assert_array_equal(data.X, found.setdefault(precision, data).X)
        data = found[precision]
        for context in "C1", "C3":
            rows = data[data.obs["context"] == context]
            want = forward(last("plain"), list(rows.obs["perturbation"]), context, precision == "bfloat16")
            error = np.abs(rows.X - want).max() / np.std(want)
            # A sum that lies between two numbers may be rounded to the other one.
            assert error < (1e-5 if precision == "float32" else 2e-3), (label, precision, context, error)
            error = np.sqrt(np.mean((rows.X - want) ** 2)) / np.std(want)
            assert error < (1e-6 if precision == "float32" else 1e-4), (label, precision, context, error)
        scores = []
        run("-q", "impute", last("plain"), "-o", "every.h5ad", "--force", "-p", "*,@combinations", "--blend", "off", "--precision", precision, env=env)
        for words in ([last("plain"), "--precision", precision, "--blend", "off"], ["s.prc.h5", "--predictions", "every.h5ad"]):
            run("-q", "evaluate", *words, "--json", "scores.json", "--resamples", 5, "--halvings", 2, env=env, ranks=2)
            scores.append(json.load(open("scores.json")))
        assert scores[0]["model"] == scores[1]["model"] and scores[0]["source"]["precision"] == precision
    difference = np.sqrt(np.mean((found["float32"].X - found["bfloat16"].X) ** 2)) / np.std(found["float32"].X)
    assert 1e-5 < difference < 1e-2, difference
    return found


def what_auto_means(label, env, unit):
    low_here = "bfloat16" if unit else "float32"
    for words in [], ["--precision", "auto"]:
        run("-q", "impute", last("plain"), "-o", "auto.h5ad", "--force", "--blend", "off", *words, env=env)
        data = anndata.read_h5ad("auto.h5ad")
        assert data.uns["precision"] == low_here
        np.testing.assert_array_equal(data.X, anndata.read_h5ad(f"{label}-{low_here}-1.h5ad").X)
    text = train(f"{label}-auto", "train.precision=auto", "train.epochs=1", env=env)
    precision, core = precision_of(f"{label}-auto")
    assert precision == low_here and low_here in text, (precision, text)
    assert ("bf16" in str(core)) == unit, core


def run_keeps_what_it_began_with(units):
    """auto on one kind of machine, gone on with on another."""
    for env, other, precision in units:
        name = f"moved-{precision}"
        train(name, "train.precision=auto", "train.epochs=1", env=env)
        text = train(name, "train.precision=auto", "train.epochs=2", env=other)
        assert precision_of(name)[0] == precision and "went on" not in text
        refused = run("train", f"{source}/config/quickstart.yaml", *[f"--set={s}" for s in SETTINGS], f"--set=run.directory={name}",
                      f"--set=train.precision={'float32' if precision == 'bfloat16' else 'bfloat16'}", "--set=train.epochs=3",
                      env=env, code=78)
        assert f"train.precision: {precision}" in refused, refused


run("-q", "simulate", "-o", "s.prc.h5", "--perturbations", 40, "--readouts", 70, "--contexts", 3, env=WITHOUT)
unit = "unit: none" not in run("--version", env=WITH)
assert "unit: none" in run("--version", env=WITHOUT)
# Rows that no step has touched for a while stay as they are, so that the file holds what the model is.
train("plain", "train.precision=float32", "train.optimizer=sgd", "train.momentum=0", "train.weight_decay=0", "train.learning_rate=0.02",
      env=WITHOUT)
any_layout("emulated", WITHOUT)
without = predictions("emulated", WITHOUT)
what_auto_means("emulated", WITHOUT, False)
assert "none of auto, float32, bfloat16" in run("impute", "plain", "-o", "x.h5ad", "--precision", "half", env=WITHOUT, code=2)
assert "precision" in run("evaluate", "plain", "--precision", "16", env=WITHOUT, code=2)
if unit:
    any_layout("unit", WITH)
    here = predictions("unit", WITH)
    what_auto_means("unit", WITH, True)
    run_keeps_what_it_began_with([(WITH, WITHOUT, "bfloat16"), (WITHOUT, WITH, "float32")])
    for precision, most in ("float32", 0), ("bfloat16", 1e-4):
        error = np.sqrt(np.mean((here[precision].X - without[precision].X) ** 2)) / np.std(without[precision].X)
        assert error <= most, (precision, error)
print("both precisions, " + ("with and without a unit" if unit else "without a unit: this processor has none"))
