#!/usr/bin/python3
"""make_optimizer.py -- what PyTorch's optimisers and schedules do, in float64.

usage: tests/data/make_optimizer.py > tests/data/optimizer.json      (read by tests/unit/optimizer.c)"""
import json
import sys

import numpy as np
import torch

rng = np.random.default_rng(7)
N, STEPS = 9, 40
SCALE = 0.25  # what the gradient is multiplied by, as the caller divides by a count


def numbers(x):
    return [float("%.10g" % v) for v in np.asarray(x, np.float64).ravel()]


def run(kind, weight_decay, momentum):
    x = torch.tensor(np.float32(np.round(rng.normal(size=N), 3)).astype(np.float64), requires_grad=True)
    gradient = np.round(rng.normal(size=(STEPS, N)) * 10.0 ** rng.integers(-3, 2, (1, N)), 5)
    gradient[10:20] = 0                       # a stretch without any
    gradient[:, 0] = 0                        # and one parameter that never has one
    rate = np.round(0.05 * 0.95 ** np.arange(STEPS), 6)
    made = {"case": kind, "weight_decay": weight_decay, "momentum": momentum, "n": N, "steps": STEPS, "scale": SCALE,
            "x0": numbers(x.detach()), "gradient": numbers(gradient), "rate": numbers(rate)}
    optimizer = {"adam": lambda: torch.optim.Adam([x], weight_decay=weight_decay),
                 "adamw": lambda: torch.optim.AdamW([x], weight_decay=weight_decay),
                 "sgd": lambda: torch.optim.SGD([x], 1.0, momentum=momentum, weight_decay=weight_decay)}[kind]()
    path = []
    for t in range(STEPS):
        optimizer.param_groups[0]["lr"] = rate[t]
        x.grad = torch.tensor(np.float32(gradient[t]).astype(np.float64)) * SCALE
        optimizer.step()
        path.append(x.detach().numpy().copy())
    return {**made, "x": numbers(path)}


def schedule(make, epochs, steps, per_step):
    """The rate of every step."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.02)
    scheduler, rates = make(optimizer), []
    for _ in range(epochs):
        for _ in range(steps):
            rates.append(scheduler.get_last_lr()[0])
            optimizer.step()
            if per_step:
                scheduler.step()
        if not per_step:
            scheduler.step()
    return numbers(rates)


rules = torch.optim.lr_scheduler
json.dump({
    "runs": [run("adamw", 0.01, 0), run("adamw", 0, 0), run("adam", 0.01, 0), run("adam", 0, 0), run("sgd", 0.01, 0.9),
             run("sgd", 0, 0.5), run("sgd", 0.1, 0)],
    "epochs": 6, "steps": 5, "base": 0.02,
    "exponential": schedule(lambda o: rules.ExponentialLR(o, 0.9), 6, 5, False),
    "cosine": schedule(lambda o: rules.CosineAnnealingLR(o, 30, 0.02 * 0.1), 6, 5, True),
    # over two epochs of five steps: 1/10, 2/10 ... of the base, then the base
    "warmup": schedule(lambda o: rules.LinearLR(o, 0.1, 1.0, 9), 6, 5, True),
}, sys.stdout, separators=(",", ":"))
print()
