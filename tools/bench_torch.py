#!/usr/bin/python3
"""bench_torch.py -- the Large Perturbation Model in PyTorch, as published, against the clock.

usage: bench_torch.py measure lincs|replogle PERTURBATIONS READOUTS CONTEXTS [SECONDS]
       bench_torch.py table REPORT.json ...

measure: observations a second that PyTorch trains on and predicts, in float32 and under
torch.autocast("cpu", torch.bfloat16), as JSON. It is kind to PyTorch: no data loader, all observations encoded
and in memory before the clock starts, one perturbation an observation. Predictions are of the best of three
sizes of batches, some of which stay in the processor's caches.
table: medians over reports of tools/bench_torch.sh, and ratios to the goals for the processor's unit."""
import json
import statistics
import sys
import time

RECIPES = {  # columns, units, dropout, batch, learning rate
    "lincs": (128, 256, 0.1, 1000, 0.002),
    "replogle": (32, 512, 0.0, 5000, 0.002),
}
PRECISIONS = ("float32", "bfloat16")
SIZES = (2000, 10000, 100000)  # of batches that are predicted
ROWS = (  # what, Tessera's part and line, PyTorch's
    ("training, tiles", "tiles", "training", "train"),
    ("training, single observations", "observations", "training", "train"),
    ("imputation into the file", "tiles", "imputation, into the file", "predict"),
)
AMX_GOALS = {  # thousands of observations a second, times PyTorch's better precision
    ("lincs", "training, tiles"): (2400, 0), ("replogle", "training, tiles"): (1100, 2.5),
    ("lincs", "imputation into the file"): (13000, 0), ("replogle", "imputation into the file"): (3600, 2.5),
}
FLOAT32_GOAL, TORCH_GOAL = 1.5, 2.4  # elsewhere: times Tessera's float32, times PyTorch's better precision


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

    def step(low):
        nonlocal at
        at = 0 if at + batch > n else at
        chosen = order[at:at + batch]
        at += batch
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=low):
            predicted = forward(symbols[chosen])
        torch.nn.functional.mse_loss(predicted.float(), values[chosen]).backward()
        optimizer.step()

    def predict(low, size):
        layers.eval()
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=low):
            forward(symbols[:size])
        layers.train()

    answer = {"threads": torch.get_num_threads(), "train": {}, "predict": {}}
    for precision in PRECISIONS:
        low = precision == "bfloat16"
        answer["train"][precision] = rate(seconds, batch, lambda: step(low))
        answer["predict"][precision] = max(rate(seconds / 3, size, lambda: predict(low, size)) for size in SIZES)
    return answer


def spread(values):
    if not values:
        return "-"
    text = f"{statistics.median(values) / 1e3:.1f}"
    return text if len(values) == 1 else f"{text} ({min(values) / 1e3:.1f}–{max(values) / 1e3:.1f})"


def tessera_rates(reports, recipe, part, line):
    """By precision the better of ranks and threads, a number for each report; none where nothing was measured."""
    label = {"float32": part, "bfloat16": f"{part}, bfloat16"}
    return {precision: [max(1e3 * t[recipe][label[precision]][line]["value"] for t in r["tessera"]) for r in reports
                        if label[precision] in r["tessera"][0][recipe]] for precision in PRECISIONS}


def torch_rates(reports, name):
    return {precision: [max(t[name][precision] for t in r["torch"]) for r in reports] for precision in PRECISIONS}


def better(rates):
    return max(statistics.median(values) for values in rates.values() if values)


def goals(unit, recipe, name):
    """Thousands a second, times Tessera's float32, times PyTorch; 0 is none."""
    if unit == "amx_bf16":
        rate, times = AMX_GOALS.get((recipe, name), (0, 0))
        return rate, 0, times
    if name == "training, single observations":
        return 0, 0, 0
    return 0, FLOAT32_GOAL if unit != "none" else 0, TORCH_GOAL


def judge(reached, goal, digits):
    """A number beside its goal."""
    text = f"{reached:.{digits}f}"
    return f"{text} ({goal:g}{'' if reached >= goal else ' missed'})" if goal else text


def table(reports):
    """A report: {"recipe", "torch": [measure's answers], "tessera": [bench's answers]}, for 1 and 2 threads and
    for ranks and threads: the best of each counts. Thousands of observations a second, medians (lowest and highest);
    in brackets behind the last three: goals."""
    columns = ("Tessera float32", "bfloat16", "PyTorch float32", "autocast", "Tessera's better", "× its float32", "× PyTorch's")
    width = (24, 24, 24, 24, 22, 20, 20)

    print(f"unit for bfloat16: {reports[0]['tessera'][0]['unit']}")
    print(f"{'':10}{'':30}" + "".join(f"{c:>{w}}" for c, w in zip(columns, width)))
    for recipe in RECIPES:
        some = [r for r in reports if r["recipe"] == recipe]
        for name, part, line, theirs in ROWS if some else ():
            ours, other = tessera_rates(some, recipe, part, line), torch_rates(some, theirs)
            goal = goals(some[0]["tessera"][0]["unit"], recipe, name)
            best = better(ours)
            cells = [spread(x[precision]) for x in (ours, other) for precision in PRECISIONS]
            cells += [judge(best / 1e3, goal[0], 0), judge(best / statistics.median(ours["float32"]), goal[1], 2),
                      judge(best / better(other), goal[2], 2)]
            print(f"{recipe:10}{name:30}" + "".join(f"{c:>{w}}" for c, w in zip(cells, width)))


if __name__ == "__main__":
    if len(sys.argv) >= 6 and sys.argv[1] == "measure" and sys.argv[2] in RECIPES:
        sizes = [int(x) for x in sys.argv[3:6]]
        print(json.dumps(measure(sys.argv[2], sizes, float(sys.argv[6]) if len(sys.argv) > 6 else 3)))
    elif len(sys.argv) > 2 and sys.argv[1] == "table":
        table([json.load(open(path)) for path in sys.argv[2:]])
    else:
        sys.exit(__doc__)
