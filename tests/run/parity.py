#!/usr/bin/python3
"""A training in PyTorch's words, from the same first parameters over the same full batches: after 20 steps of the
program tables, MLP, loss and predictions agree.

With a batch as large as the data an epoch is one step over all observations, whatever the sampling and the lanes.
The first parameters come from a run with a learning rate of 0. The reference is float64, written as published: one
matrix over [p; r; c], every row of every table decayed at every step."""
import json
import math
import os
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import torch
except ImportError as problem:
    print(f"skipped: {problem}")
    sys.exit(77)
import small_store

EPOCHS, D = 20, 6
tessera = os.path.abspath(sys.argv[1])
dump_model = os.path.join(os.path.dirname(tessera), "tests", "run", "dump_model")
folder = tempfile.TemporaryDirectory()
os.chdir(folder.name)
made = small_store.rows(seed=2)
small_store.write(tessera, "small.prc.h5", made)

perturbations = sorted({p for _, name, *_ in made for p in name.split("+")})
contexts = sorted({c for c, *_ in made})
readouts = sorted({r for *_, values in made for r in values})
observations = [(name, c, r, split, float(np.float32(y))) for c, name, split, values in made
                for r, y in values.items() if not math.isnan(y)]


def run(directory, settings, rate, epochs):
    base = {"data.store": "small.prc.h5", "run.directory": directory, "model.embedding_dim": D, "model.dropout": 0,
            "train.batch": 100000, "train.schedule": "exponential", "train.learning_rate": rate, "train.epochs": epochs, "checkpoint.keep": 1}
    with open("config.yaml", "w") as file:
        file.writelines(f"{key}: {value}\n" for key, value in {**base, **settings}.items())
    done = subprocess.run([tessera, "-q", "train", "config.yaml"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    checkpoint = [name for name in os.listdir(directory) if name.startswith("checkpoint") and name.endswith(".h5")]
    assert len(checkpoint) == 1, checkpoint
    done = subprocess.run([dump_model, f"{directory}/{checkpoint[0]}", "numbers"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with open(f"{directory}/log.jsonl") as file:
        return np.fromfile("numbers", np.float32), [json.loads(line) for line in file]


def cut(numbers, H, L):
    """MLP pieces, tables and predictions out of dump_model's numbers."""
    width = H if L else 1
    shapes = [(width, D)] * 3 + [(width,), (max(L - 1, 0), H, H), (max(L - 1, 0), H)] + ([(H,), (1,)] if L else [])
    shapes += [(len(perturbations), D), (len(readouts), D), (len(contexts), D)]
    shapes += [(len(contexts), len(perturbations), len(readouts))]
    out = []
    for shape in shapes:
        n = int(np.prod(shape))
        out.append(numbers[:n].astype(np.float64).reshape(shape))
        numbers = numbers[n:]
    assert len(numbers) == 0
    return out[:-1], out[-1]


def forward(pieces, members, r, c, L, rule):
    table_p, table_r, table_c = pieces[-3:]
    padded = [m + [m[0]] * (3 - len(m)) for m in members]  # maximum: repeats change nothing
    weight = torch.tensor([[1.0] * len(m) + [0.0] * (3 - len(m)) for m in members], dtype=torch.float64)
    vectors = table_p[torch.tensor(padded)]
    if rule == "max":
        p = vectors.max(1).values
    else:
        assert rule in ("mean", "sum"), rule
        p = (vectors * weight[:, :, None]).sum(1) / (weight.sum(1, keepdim=True) if rule == "mean" else 1)
    x = torch.cat([p, table_r[r], table_c[c]], 1) @ torch.cat(pieces[:3], 1).T + pieces[3]
    if L == 0:
        return x[:, 0]
    for layer in range(L):
        if layer:
            x = x @ pieces[4][layer - 1].T + pieces[5][layer - 1]
        x = torch.relu(x)
    return x @ pieces[6] + pieces[7]


def scaling(rule, factor, training):
    """shift and scale of every (context, readout), from the training rows' means (replicates are one experiment), then
    center and spread of all values that were scaled by them."""
    shift, scale = np.zeros((len(contexts), len(readouts))), np.ones((len(contexts), len(readouts)))
    for i, context in enumerate(contexts):
        for j, readout in enumerate(readouts):
            y = [o[4] for o in training if o[1] == context and o[2] == readout]
            control = [o[4] for o in training if o[1] == context and o[2] == readout and o[0] == "control"]
            if rule != "none" and y:
                shift[i, j] = np.mean(control) if rule == "delta" and control else np.mean(y)
            if rule == "zscore" and len(y) > 1 and np.std(y, ddof=1) > 0:
                scale[i, j] = np.std(y, ddof=1)
    if not factor:
        return shift, scale, 0, 1
    at = [(contexts.index(o[1]), readouts.index(o[2])) for o in training]
    y = [(o[4] - shift[i]) / scale[i] for o, i in zip(training, at)]
    return shift, scale, np.mean(y), np.std(y, ddof=1) / factor


def optimizer_of(kind, parameters, decay):
    return {"adamw": lambda: torch.optim.AdamW(parameters, weight_decay=decay),
            "adam": lambda: torch.optim.Adam(parameters, weight_decay=decay),
            "sgd": lambda: torch.optim.SGD(parameters, 1.0, momentum=0.9, weight_decay=decay)}[kind]()


def reference(start, settings, rate):
    """The same training; returns pieces, predictions in the store's units, and the loss before each step, in normalised
    units."""
    L, rule, kind = settings["model.layers"], settings["model.combination"], settings["train.optimizer"]
    training = [o for o in observations if o[3] == "train"]
    shift, scale, center, spread = scaling(settings["data.normalize"], settings["data.scale"], training)
    members = [[perturbations.index(p) for p in o[0].split("+")] for o in training]
    c = torch.tensor([contexts.index(o[1]) for o in training])
    r = torch.tensor([readouts.index(o[2]) for o in training])
    y = (torch.tensor([o[4] for o in training], dtype=torch.float64) - torch.tensor(shift)[c, r]) / torch.tensor(scale)[c, r]
    y = (y - center) / spread
    pieces = [torch.tensor(piece, requires_grad=True) for piece in start]
    optimizer, losses = optimizer_of(kind, pieces, settings["train.weight_decay"]), []
    for epoch in range(EPOCHS):
        optimizer.param_groups[0]["lr"] = rate * settings["train.decay"] ** epoch
        optimizer.zero_grad()
        for piece in pieces:  # a row or piece without gradient is decayed all the same
            piece.grad = torch.zeros_like(piece)
        loss = ((forward(pieces, members, r, c, L, rule) - y) ** 2).mean()
        loss.backward()
        losses.append(float(loss) * spread ** 2)
        optimizer.step()
    grid = [(i, j, k) for i in range(len(contexts)) for j in range(len(perturbations)) for k in range(len(readouts))]
    out = forward(pieces, [[j] for _, j, _ in grid], torch.tensor([k for *_, k in grid]),
                  torch.tensor([i for i, *_ in grid]), L, rule)
    out = out.detach().numpy().reshape(len(contexts), len(perturbations), len(readouts))
    return [piece.detach().numpy() for piece in pieces], (center + spread * out) * scale[:, None] + shift[:, None], losses


CASES = [
    {"train.sampling": "observations", "train.lanes": 1, "model.layers": 2, "model.hidden_dim": 24, "train.optimizer": "adamw",
     "train.weight_decay": 0.5, "train.decay": 0.97, "model.combination": "mean", "data.normalize": "none", "data.scale": 0},
    {"train.sampling": "tiles", "train.lanes": 16, "model.layers": 3, "model.hidden_dim": 19, "train.optimizer": "adam",
     "train.weight_decay": 0.01, "train.decay": 0.9, "model.combination": "sum", "data.normalize": "zscore", "data.scale": 0},
    {"train.sampling": "observations", "train.lanes": 5, "model.layers": 1, "model.hidden_dim": 33, "train.optimizer": "sgd",
     "train.weight_decay": 0.02, "train.decay": 1, "model.combination": "max", "data.normalize": "delta", "data.scale": 2},
    {"train.sampling": "tiles", "train.lanes": 7, "model.layers": 0, "model.hidden_dim": 8, "train.optimizer": "adamw",
     "train.weight_decay": 0.01, "train.decay": 0.5, "model.combination": "mean", "data.normalize": "zscore", "data.scale": 5},
    {"train.sampling": "tiles", "train.lanes": 3, "model.layers": 2, "model.hidden_dim": 24, "train.optimizer": "adamw",
     "train.weight_decay": 0.1, "train.decay": 0.9, "model.combination": "mean", "data.normalize": "none", "data.scale": 5},
]
for number, settings in enumerate(CASES):
    H, L, rate = settings["model.hidden_dim"], settings["model.layers"], 0.005
    start, _ = cut(run(f"{number}-start", settings, 0, 1)[0], H, L)
    numbers, log = run(f"{number}-run", settings, rate, EPOCHS)
    pieces, predictions = cut(numbers, H, L)
    want, want_predictions, losses = reference(start, settings, rate)
    assert [line["step"] for line in log] == list(range(1, EPOCHS + 1)), "an epoch is one step"
    for line, loss in zip(log, losses):
        assert abs(line["train_loss"] - loss) < 1e-5 * max(loss, 1), (number, line["epoch"], line["train_loss"], loss)
    for i, (got, wanted, first) in enumerate(zip(pieces, want, start)):
        error = np.abs(got - wanted).max() if wanted.size else 0
        assert error < 1e-4, f"case {number}: piece {i} is off by {error:.3g}"
        assert not wanted.size or np.abs(wanted - first).max() > 1e-3, "nothing was learned: nothing is tested"
    error = np.abs(predictions - want_predictions).max()
    assert error < 1e-4 * max(1, np.abs(want_predictions).max()), f"case {number}: predictions are off by {error:.3g}"
    print(f"case {number}: loss {losses[0]:.4f} -> {losses[-1]:.4f}; tables and MLP within "
          f"{max(np.abs(g - w).max() for g, w in zip(pieces, want) if w.size):.2g}, predictions {error:.2g}")
