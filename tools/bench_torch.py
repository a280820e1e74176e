#!/usr/bin/python3
"""bench_torch.py -- the Large Perturbation Model in PyTorch, as published, against the clock.

usage: bench_torch.py measure lincs|replogle PERTURBATIONS READOUTS CONTEXTS [SECONDS]
       bench_torch.py table REPORT.json ...

measure: observations a second that PyTorch trains on and predicts, as JSON. It is kind to PyTorch: no data
loader, all observations encoded and in memory before the clock starts, one perturbation an observation. It
predicts 100 000 observations at a time, for which the goals were set; smaller batches, which stay in the
processor's caches on some machines, have a line of their own.
table: medians over reports of tools/bench_torch.sh, and ratios."""
import json
import statistics
import sys
import time

RECIPES = {  # columns, units, dropout, batch, learning rate
    "lincs": (128, 256, 0.1, 1000, 0.002),
    "replogle": (32, 512, 0.0, 5000, 0.002),
}
GOALS = {  # of the ratios
    ("lincs", "training, tiles"): 20, ("replogle", "training, tiles"): 3.2,
    ("lincs", "training, single observations"): 5,
    ("lincs", "imputation into the file"): 9, ("replogle", "imputation into the file"): 3.8,
}


def build(rows, columns, units, dropout):
    """Three tables and the network over a concatenated row; weights as published."""
    import torch
    from torch import nn

    layers = nn.ModuleDict({
        "tables": nn.ModuleList(nn.Embedding(n, columns) for n in rows),
        "network": nn.Sequential(nn.Linear(3 * columns, units), nn.ReLU(), nn.Dropout(dropout),
                                 nn.Linear(units, units), nn.ReLU(), nn.Dropout(dropout), nn.Linear(units, 1)),
    })
    for layer in layers["network"]:
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight, nn.init.calculate_gain("relu"))

    def forward(symbols):
        found = [table(column) for table, column in zip(layers["tables"], symbols.unbind(1))]
        return layers["network"](torch.cat(found, 1)).squeeze(1)

    return layers, forward


def rate(seconds, observations, work):
    """Observations a second of work(), repeated for `seconds` after a first time to warm up."""
    work()
    start, n = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        work()
        n += 1
    return n * observations / (time.perf_counter() - start)


def measure(recipe, rows, seconds):
    import torch

    columns, units, dropout, batch, learning_rate = RECIPES[recipe]
    torch.manual_seed(1)
    n = 1 << 20
    symbols = torch.stack([torch.randint(size, (n,)) for size in rows], 1)
    values = torch.randn(n)
    layers, forward = build(rows, columns, units, dropout)
    optimizer = torch.optim.AdamW(layers.parameters(), learning_rate)
    order, at = torch.randperm(n), 0

    def step():
        nonlocal at
        at = 0 if at + batch > n else at
        chosen = order[at:at + batch]
        at += batch
        optimizer.zero_grad(set_to_none=True)
        torch.nn.functional.mse_loss(forward(symbols[chosen]), values[chosen]).backward()
        optimizer.step()

    def predict(size):
        layers.eval()
        with torch.inference_mode():
            forward(symbols[:size])
        layers.train()

    sizes = {size: rate(seconds / 3, size, lambda size=size: predict(size)) for size in (2000, 10000, 100000)}
    return {"threads": torch.get_num_threads(), "train": rate(seconds, batch, step),
            "predict": sizes[100000], "predict, best batch": max(sizes.values())}


def spread(values):
    return f"{statistics.median(values) / 1e3:8.1f}  ({min(values) / 1e3:.1f}–{max(values) / 1e3:.1f})"


def table(reports):
    """A report: {"recipe", "torch": [measure's answers], "tessera": [bench's answers]}, for 1 and 2 threads and
    for ranks and threads: the best of each counts."""
    print(f"{'':10} {'':32} {'Tessera, k/s':>26} {'PyTorch, k/s':>26}  ratio  goal")
    missed = 0
    for recipe in RECIPES:
        some = [r for r in reports if r["recipe"] == recipe]
        for name, part, key, theirs in [
                ("training, tiles", "tiles", "training", "train"),
                ("training, single observations", "observations", "training", "train"),
                ("imputation into the file", "tiles", "imputation, into the file", "predict"),
                ("against PyTorch's best batch", "tiles", "imputation, into the file", "predict, best batch")]:
            if not some:
                continue
            ours = [max(1e3 * t[recipe][part][key]["value"] for t in r["tessera"]) for r in some]
            other = [max(t[theirs] for t in r["torch"]) for r in some]
            ratio = statistics.median(ours) / statistics.median(other)
            goal = GOALS.get((recipe, name))
            missed += goal is not None and ratio < goal
            print(f"{recipe:10} {name:32} {spread(ours):>26} {spread(other):>26}  {ratio:5.1f}"
                  + (f"  {goal:4g}" + ("" if ratio >= goal else "  missed") if goal else ""))
    return missed


if __name__ == "__main__":
    if len(sys.argv) >= 6 and sys.argv[1] == "measure" and sys.argv[2] in RECIPES:
        sizes = [int(x) for x in sys.argv[3:6]]
        print(json.dumps(measure(sys.argv[2], sizes, float(sys.argv[6]) if len(sys.argv) > 6 else 3)))
    elif len(sys.argv) > 2 and sys.argv[1] == "table":
        table([json.load(open(path)) for path in sys.argv[2:]])
    else:
        sys.exit(__doc__)
