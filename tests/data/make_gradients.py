#!/usr/bin/python3
"""make_gradients.py -- outputs, losses and gradients of small networks by PyTorch's autograd in float64.

usage: tests/data/make_gradients.py > tests/data/gradients.json      (read by tests/unit/tile.c)

The model is written as published: one matrix over the concatenated row [p; r; c], not the three blocks
that the C code keeps. Dropout masks come from an independent NumPy Philox4x32-7 (Salmon et al. 2011)."""
import json
import sys

import numpy as np
import torch

rng = np.random.default_rng(20250)


def philox(counter, key, rounds):
    """Philox4x32 of (n, 4) counters, in 64-bit arithmetic."""
    x, low = [c.astype(np.uint64) for c in counter.T], np.uint64(0xFFFFFFFF)
    k = [np.uint64(word) for word in key]
    for _ in range(rounds):
        a, b = x[0] * np.uint64(0xD2511F53), x[2] * np.uint64(0xCD9E8D57)
        x = [(b >> np.uint64(32)) ^ x[1] ^ k[0], b & low, (a >> np.uint64(32)) ^ x[3] ^ k[1], a & low]
        k = [(k[0] + np.uint64(0x9E3779B9)) & low, (k[1] + np.uint64(0xBB67AE85)) & low]
    return np.stack(x, 1).astype(np.uint32)


def check_philox():
    """Known answers of Random123's kat_vectors for philox4x32 7."""
    for counter, key, answer in [
            ([0, 0, 0, 0], [0, 0], [0x5F6FB709, 0x0D893F64, 0x4F121F81, 0x4F730A48]),
            ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, [0x5207DDC2, 0x45165E59, 0x4D8EE751, 0x8C52F662])]:
        assert philox(np.array([counter], np.uint32), key, 7)[0].tolist() == answer


def mask(case, layer):
    """(n, hidden) factors, 0 or 1 / (share kept), from 16-bit numbers. Entry f of the array, f = 128 q + 32 w
    + 16 s + k, has half s of word w of the counter (16 q + k, layer, lane)."""
    threshold = round(case["rate"] * 65536)
    f = np.arange(case["n"] * case["hidden"], dtype=np.uint64)
    counter = np.zeros((len(f), 4), np.uint64)
    counter[:, 0] = f // np.uint64(128) * np.uint64(16) + f % np.uint64(16)
    counter[:, 2:] = layer, case["lane"]
    words = philox(counter.astype(np.uint32), case["key"], 7)[np.arange(len(f)), f // np.uint64(32) % np.uint64(4)]
    numbers = words >> (f // np.uint64(16) % np.uint64(2) * np.uint64(16)).astype(np.uint32) & np.uint32(0xFFFF)
    return torch.tensor((numbers.reshape(case["n"], -1) >= threshold) * (65536 / (65536 - threshold)))


def draw(*shape, scale=1.0):
    """Numbers with few digits, so that the text is short and exact enough as float."""
    return np.round(rng.normal(size=shape) * scale, 3)


def tensor(values):
    return torch.tensor(np.float32(values).astype(np.float64), requires_grad=True)


def make_parameters(D, H, L):
    width = H if L else 1
    shapes = [(width, D)] * 3 + [(width,)] + [(H, H)] * (L - 1) + [(H,)] * (L - 1) + ([(H,), (1,)] if L else [])
    return [tensor(draw(*shape, scale=0.9 / np.sqrt(shape[-1]) if len(shape) > 1 else 0.3)) for shape in shapes]


def combine(rule, rows, members):
    vectors = {"mean": lambda x: x.mean(0), "sum": lambda x: x.sum(0), "max": lambda x: x.max(0).values}[rule]
    return torch.stack([vectors(rows[m]) for m in members])


def forward(case, parameters, p, r, c):
    L = case["layers"]
    weight = torch.cat(parameters[:3], 1)
    x = torch.cat([p, r, c], 1) @ weight.T + parameters[3]
    if L == 0:
        return x[:, 0]
    for layer in range(L):
        if layer:
            x = x @ parameters[3 + layer].T + parameters[3 + L - 1 + layer]
        x = torch.relu(x)
        if case["rate"] > 0:
            x = x * mask(case, layer)
    return x @ parameters[-2] + parameters[-1]


def numbers(x, digits=8):
    return [None if np.isnan(v) else float(f"%.{digits}g" % v) for v in np.asarray(x, np.float64).ravel()]


def make(D, H, L, rule, rate, n, n_r=7):
    n_component, n_p, n_c, n_u = 6, 5, 3, 9
    members = [sorted(rng.choice(n_component, size, replace=False).tolist()) for size in (1, 2, 3, 1, 2)]
    case = {"dim": D, "hidden": H if L else 0, "layers": L, "rule": rule, "rate": rate, "n": n,
            "key": [int(k) for k in rng.integers(0, 2**32, 2)], "lane": int(rng.integers(0, 40)),
            "member_first": np.cumsum([0] + [len(m) for m in members]).tolist(), "member": sum(members, []),
            "u_p": rng.integers(0, n_p, n_u).tolist(), "u_c": rng.integers(0, n_c, n_u).tolist(),
            "u": rng.integers(0, n_u, n).tolist(), "v": rng.integers(0, n_r, n).tolist()}
    y = draw(n)
    y[rng.random(n) < 0.2] = np.nan
    component, r, c = (tensor(draw(k, D)) for k in (n_component, n_r, n_c))
    parameters = make_parameters(D, H, L)
    p = combine(rule, component, members)
    u_p, u_c = torch.tensor(case["u_p"]), torch.tensor(case["u_c"])
    u, v = torch.tensor(case["u"]), torch.tensor(case["v"])
    out = forward(case, parameters, p[u_p[u]], r[v], c[u_c[u]])
    target = torch.tensor(np.float32(y).astype(np.float64))
    measured = ~torch.isnan(target)
    loss = ((out - target)[measured] ** 2).sum()
    gradients = torch.autograd.grad(loss, [component, r, c] + parameters, allow_unused=True)
    flat = lambda tensors: numbers(np.concatenate([t.detach().numpy().ravel() for t in tensors]))
    # the C code's order has all matrices of layers 2 ... L, then all of their biases: so has `parameters`
    case.update(y=numbers(y), component=numbers(component.detach()), r=numbers(r.detach()), c=numbers(c.detach()),
                mlp=flat(parameters), out=numbers(out.detach()), loss=float(loss), n_measured=int(measured.sum()),
                d_component=flat(gradients[:1]), d_r=flat(gradients[1:2]), d_c=flat(gradients[2:3]),
                d_mlp=flat(gradients[3:]))
    return case


check_philox()
CASES = [  # D, H, L, rule, dropout, n, readouts
    (3, 0, 0, "mean", 0, 20), (8, 0, 0, "sum", 0.5, 33),
    (8, 19, 1, "max", 0, 40), (3, 5, 1, "sum", 0.3, 40), (2, 150, 1, "mean", 0.1, 24),
    (3, 5, 2, "mean", 0, 600), (8, 19, 2, "max", 0.1, 300), (8, 32, 2, "sum", 0.5, 48),
    (8, 32, 3, "mean", 0, 64), (3, 19, 3, "sum", 0.25, 270), (3, 5, 3, "max", 0.1, 1),
    (8, 0, 0, "mean", 0, 33, 1), (8, 19, 1, "mean", 0, 40, 1), (3, 32, 2, "max", 0.1, 300, 1),
]
json.dump([make(*case) for case in CASES], sys.stdout, separators=(",", ":"))
print()
