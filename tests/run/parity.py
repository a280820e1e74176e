#!/usr/bin/python3
"""A training in PyTorch's words, from the same first parameters over the same full batches: after 20 steps of the
program tables, MLP, loss and predictions agree.

With a batch as large as the data an epoch is one step over all observations, whatever the sampling and the lanes.
The first parameters come from a run whose learning rate is next to nothing. The reference is float64, written as
published: one matrix over [p; r; c], every row of every table decayed at every step; of factorised kinds every value by
itself.

With train.precision bfloat16 the reference rounds what the program rounds, and both are held against the float64 training
without rounding, beside PyTorch's own: autocast."""
import json
import math
import os
import subprocess
import sys
import tempfile

import machine

with machine.needed():
    import numpy as np
    import torch
import small_store

EPOCHS, D = 20, 6
tessera = os.path.abspath(sys.argv[1])
dump_model = os.path.join(os.path.dirname(tessera), "tests", "run", "dump_model")
torch.set_num_threads(1)
torch.backends.mkldnn.set_flags(False)  # bfloat16 without oneDNN, which refuses it where machine.py keeps it to AVX2
folder = tempfile.TemporaryDirectory()
os.chdir(folder.name)


class Screen:
    """A store, and what it holds."""

    def __init__(self, name, made, weights=None):
        self.store = f"{name}.prc.h5"
        small_store.write(tessera, self.store, made, weights)
        self.perturbations = sorted({p for _, names, *_ in made for p in names.split("+")})
        self.contexts = sorted({c for c, *_ in made})
        self.readouts = sorted({r for *_, values in made for r in values})
        self.observations = [(names, c, r, split, float(np.float32(y)), w)
                             for (c, names, split, values), w in zip(made, weights or [1] * len(made))
                             for r, y in values.items() if not math.isnan(y)]


def run(directory, screen, settings, rate, epochs):
    base = {"data.store": screen.store, "run.directory": directory, "model.embedding_dim": D, "model.dropout": 0,
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


class RoundedProduct(torch.autograd.Function):
    """x W' of operands rounded to bfloat16, in the three products of a hidden layer."""

    @staticmethod
    def low(x):
        return x.to(torch.float32).to(torch.bfloat16).to(x.dtype)

    @staticmethod
    def forward(ctx, x, w):
        x, w = RoundedProduct.low(x), RoundedProduct.low(w)
        ctx.save_for_backward(x, w)
        return x @ w.T

    @staticmethod
    def backward(ctx, gradient):
        (x, w), gradient = ctx.saved_tensors, RoundedProduct.low(gradient)
        return gradient @ w, gradient.T @ x


class Model:
    """The pieces of a kind's network, in the program's order, and what it computes with them."""

    def __init__(self, screen, settings):
        self.screen, self.kind, self.rule = screen, settings.get("model.kind", "mlp"), settings["model.combination"]
        self.activation = getattr(torch.nn.functional, settings["model.activation"])
        self.alone = self.kind == "dot" and len(screen.readouts) == 1  # the perturbation, left of the context
        self.layers = 1 if self.kind == "cp" else settings["model.layers"]
        self.hidden = settings["model.hidden_dim"] if self.layers else 0
        self.blocks = {"mlp": 3, "dot": 1 if self.alone else 2, "cp": 3}[self.kind]
        self.product = lambda x, w: x @ w.T

    def shapes(self):
        H, L, mlp, s = self.hidden, self.layers, self.kind == "mlp", self.screen
        width = H or (1 if mlp else D)
        return ([(width, D)] * self.blocks + [(width,)] * (self.kind != "cp") + [(max(L - 1, 0), H, H), (max(L - 1, 0), H)] +
                ([(H,) if mlp else (D, H), (1,) if mlp else (D,)] if L else []) +
                [(len(s.perturbations), D), (len(s.readouts), D), (len(s.contexts), D)])

    def cut(self, numbers):
        """Pieces and tables, and predictions, out of dump_model's numbers."""
        out, s = [], self.screen
        for shape in [*self.shapes(), (len(s.contexts), len(s.perturbations), len(s.readouts))]:
            n = int(np.prod(shape))
            out.append(numbers[:n].astype(np.float64).reshape(shape))
            numbers = numbers[n:]
        assert len(numbers) == 0
        return out[:-1], out[-1]

    def perturbation(self, table, members):
        padded = [m + [m[0]] * (3 - len(m)) for m in members]  # maximum: repeats change nothing
        weight = torch.tensor([[1.0] * len(m) + [0.0] * (3 - len(m)) for m in members], dtype=table.dtype)
        vectors = table[torch.tensor(padded)]
        if self.rule == "max":
            return vectors.max(1).values
        assert self.rule in ("mean", "sum"), self.rule
        return (vectors * weight[:, :, None]).sum(1) / (weight.sum(1, keepdim=True) if self.rule == "mean" else 1)

    def hidden_layers(self, pieces, x):
        """`pieces`: from the first bias on."""
        x = x + pieces[0]
        for layer in range(self.layers):
            if layer:
                x = self.product(x, pieces[1][layer - 1]) + pieces[2][layer - 1]
            x = self.activation(x)
        return x

    def forward(self, pieces, members, r, c):
        table_p, table_r, table_c = pieces[-3:]
        p, c, r = self.perturbation(table_p, members), table_c[c], table_r[r]
        network, weights = pieces[:-3], pieces[:self.blocks]
        if self.kind == "cp":
            x = (p @ weights[0].T) * (1 + c @ weights[2].T) + c @ weights[1].T
        else:
            rows = {"mlp": [p, r, c], "dot": [p] if self.alone else [p, c]}[self.kind]
            x = self.hidden_layers(network[self.blocks:], torch.cat(rows, 1) @ torch.cat(weights, 1).T)
        if self.layers:
            x = x @ network[-2].t() + network[-1]
        elif self.kind == "mlp":
            x = x[:, 0]
        return x if self.kind == "mlp" else (x * (c if self.alone else r)).sum(1) / math.sqrt(D)


def scaling(screen, rule, factor, training):
    """shift and scale of every (context, readout), from the training rows' means (replicates are one experiment), then
    center and spread of all values that were scaled by them."""
    contexts, readouts = screen.contexts, screen.readouts
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


def reference(model, start, settings, rate, autocast=False):
    """The same training; returns pieces, predictions in the store's units, and the loss before each step, in normalised
    units. autocast: in PyTorch's float32 and bfloat16 instead of float64."""
    screen, kind = model.screen, settings["train.optimizer"]
    perturbations, contexts, readouts = screen.perturbations, screen.contexts, screen.readouts
    training = [o for o in screen.observations if o[3] == "train"]
    shift, scale, center, spread = scaling(screen, settings["data.normalize"], settings["data.scale"], training)
    members = [[perturbations.index(p) for p in o[0].split("+")] for o in training]
    c = torch.tensor([contexts.index(o[1]) for o in training])
    r = torch.tensor([readouts.index(o[2]) for o in training])
    y = (torch.tensor([o[4] for o in training], dtype=torch.float64) - torch.tensor(shift)[c, r]) / torch.tensor(scale)[c, r]
    y = (y - center) / spread
    weight = torch.tensor([o[5] for o in training], dtype=torch.float64)
    weight = weight / weight.mean()
    pieces = [torch.tensor(piece, dtype=torch.float32 if autocast else torch.float64, requires_grad=True) for piece in start]
    optimizer, losses = optimizer_of(kind, pieces, settings["train.weight_decay"]), []
    for epoch in range(EPOCHS):
        optimizer.param_groups[0]["lr"] = rate * settings["train.decay"] ** epoch
        optimizer.zero_grad()
        for piece in pieces:  # a row or piece without gradient is decayed all the same
            piece.grad = torch.zeros_like(piece)
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            out = model.forward(pieces, members, r, c)
        loss = (weight * (out - y) ** 2).mean()
        loss.backward()
        losses.append(float(loss) * spread ** 2)
        optimizer.step()
    grid = [(i, j, k) for i in range(len(contexts)) for j in range(len(perturbations)) for k in range(len(readouts))]
    out = model.forward(pieces, [[j] for _, j, _ in grid], torch.tensor([k for *_, k in grid]), torch.tensor([i for i, *_ in grid]))
    out = out.detach().numpy().reshape(len(contexts), len(perturbations), len(readouts))
    return [piece.detach().numpy() for piece in pieces], (center + spread * out) * scale[:, None] + shift[:, None], losses


made = small_store.rows(seed=2)
SMALL = Screen("small", made)
WEIGHTED = Screen("weighted", made, [round(0.1 + 3 * (7 * i % 11) / 11, 3) if i % 9 else 0 for i in range(len(made))])
SINGLE = Screen("single", [row for row in made if list(row[3]) == ["viability"]])
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
# The factorised kinds: dense blocks and pairs; with a single readout the context is a factor.
USUAL = {"train.optimizer": "adamw", "train.weight_decay": 0.1, "train.decay": 0.9, "data.normalize": "none", "data.scale": 5}
CASES += [{**USUAL, **case} for case in (
    {"model.kind": "dot", "train.sampling": "tiles", "train.lanes": 3, "model.layers": 2, "model.hidden_dim": 24,
     "model.combination": "mean"},
    {"model.kind": "dot", "train.sampling": "observations", "train.lanes": 1, "model.layers": 0, "model.hidden_dim": 8,
     "model.combination": "sum", "train.optimizer": "sgd", "data.scale": 1},
    {"model.kind": "dot", "train.sampling": "tiles", "train.lanes": 7, "model.layers": 3, "model.hidden_dim": 19,
     "model.combination": "max", "train.optimizer": "adam", "data.normalize": "zscore", "data.scale": 0},
    {"model.kind": "cp", "train.sampling": "tiles", "train.lanes": 16, "model.layers": 2, "model.hidden_dim": 24,
     "model.combination": "max", "data.normalize": "delta"},
    {"model.kind": "cp", "train.sampling": "observations", "train.lanes": 2, "model.layers": 0, "model.hidden_dim": 33,
     "model.combination": "mean"},
    {"single": True, "model.kind": "dot", "train.sampling": "tiles", "train.lanes": 3, "model.layers": 1, "model.hidden_dim": 24,
     "model.combination": "mean"},
    {"single": True, "model.kind": "dot", "train.sampling": "observations", "train.lanes": 5, "model.layers": 2,
     "model.hidden_dim": 19, "model.combination": "sum", "train.optimizer": "adam"},
    {"single": True, "model.kind": "cp", "train.sampling": "tiles", "train.lanes": 1, "model.layers": 1, "model.hidden_dim": 8,
     "model.combination": "mean"},
)]
# Experiments count differently (data.weight).
CASES += [{**USUAL, "weighted": True, "data.weight": "column", "model.combination": "mean", "model.hidden_dim": 24, **case} for case in (
    {"train.sampling": "observations", "train.lanes": 5, "model.layers": 2},
    {"train.sampling": "tiles", "train.lanes": 3, "model.layers": 1, "train.optimizer": "sgd", "data.scale": 1},
    {"model.kind": "dot", "train.sampling": "tiles", "train.lanes": 3, "model.layers": 2},
    {"model.kind": "dot", "train.sampling": "observations", "train.lanes": 2, "model.layers": 1, "train.optimizer": "sgd", "data.scale": 1},
    {"model.kind": "cp", "train.sampling": "tiles", "train.lanes": 3, "model.layers": 1},
)]
RATE = 0.005


def bfloat16():
    """Where tables and MLP are after the steps: program, its rounding in float64, and autocast, all from the training
    without rounding, as root mean squares relative to the way that this went."""
    settings = {**CASES[0], "train.precision": "float32", "model.hidden_dim": 96, "model.activation": "silu"}
    model = Model(SMALL, settings)
    start, _ = model.cut(run("low-start", SMALL, settings, 1e-30, 1)[0])
    got, _ = model.cut(run("low-run", SMALL, {**settings, "train.precision": "bfloat16"}, RATE, EPOCHS)[0])
    exact = reference(model, start, settings, RATE)[0]
    autocast = reference(model, start, settings, RATE, autocast=True)[0]
    model.product = RoundedProduct.apply
    rounded = reference(model, start, settings, RATE)[0]
    way = math.sqrt(sum(((a - b) ** 2).sum() for a, b in zip(exact, start)))
    off = {name: math.sqrt(sum(((a - b) ** 2).sum() for a, b in zip(pieces, of))) / way
           for name, pieces, of in (("program", got, exact), ("its rounding in float64", rounded, exact), ("autocast", autocast, exact),
                                    ("program from its rounding", got, rounded))}
    print("bfloat16, 20 steps, off the float64 training (of the way that it went): " + ", ".join(f"{k} {v:.2g}" for k, v in off.items()))
    return off


for number, settings in enumerate(CASES):
    rate, screen = RATE, SINGLE if settings.pop("single", False) else WEIGHTED if settings.pop("weighted", False) else SMALL
    settings["model.activation"] = ("silu", "relu")[number % 2]
    model = Model(screen, settings)
    start, _ = model.cut(run(f"{number}-start", screen, settings, 1e-30, 1)[0])
    numbers, log = run(f"{number}-run", screen, settings, rate, EPOCHS)
    pieces, predictions = model.cut(numbers)
    want, want_predictions, losses = reference(model, start, settings, rate)
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
off = bfloat16()
assert off["program"] > 1e-3, "nothing was rounded: nothing is tested"
assert off["program from its rounding"] < off["program"] / 3, off
assert off["program"] < off["autocast"] / 2, off  # which rounds all layers, and their sums
