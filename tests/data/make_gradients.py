#!/usr/bin/python3
"""make_gradients.py -- outputs, losses and gradients of small networks by PyTorch's autograd in float64.

usage: tests/data/make_gradients.py > tests/data/gradients.json      (read by tests/unit/tile.c)

The model is written as published: one matrix over the concatenated row [p; r; c], not the blocks that the C code
keeps; of factorised models every value by itself. Dropout masks come from an independent NumPy Philox4x32-7 (Salmon et
al. 2011)."""
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


def mask(case, layer, n):
    """(n, hidden) factors, 0 or 1 / (share kept), from 16-bit numbers. Entry f of the array, f = 128 q + 32 w
    + 16 s + k, has half s of word w of the counter (16 q + k, layer, lane)."""
    threshold = round(case["rate"] * 65536)
    f = np.arange(n * case["hidden"], dtype=np.uint64)
    counter = np.zeros((len(f), 4), np.uint64)
    counter[:, 0] = f // np.uint64(128) * np.uint64(16) + f % np.uint64(16)
    counter[:, 2:] = layer, case["lane"]
    words = philox(counter.astype(np.uint32), case["key"], 7)[np.arange(len(f)), f // np.uint64(32) % np.uint64(4)]
    numbers = words >> (f // np.uint64(16) % np.uint64(2) * np.uint64(16)).astype(np.uint32) & np.uint32(0xFFFF)
    return torch.tensor((numbers.reshape(n, -1) >= threshold) * (65536 / (65536 - threshold)))


def draw(*shape, scale=1.0):
    """Numbers with few digits, so that the text is short and exact enough as float."""
    return np.round(rng.normal(size=shape) * scale, 3)


def tensor(values):
    return torch.tensor(np.float32(values).astype(np.float64), requires_grad=True)


def make_parameters(kind, D, H, L):
    """In the C code's order: what the first layer takes, its bias, all matrices of layers 2 ... L, all of their biases,
    the output."""
    width = H or (1 if kind == "mlp" else D)
    blocks = {"mlp": 3, "dot": 2, "alone": 1, "cp": 3}[kind]
    shapes = [(width, D)] * blocks + [(width,)] * (kind != "cp") + [(H, H)] * (L - 1) + [(H,)] * (L - 1)
    shapes += ([(H,), (1,)] if kind == "mlp" else [(D, H), (D,)]) if L else []
    return [tensor(draw(*shape, scale=0.9 / np.sqrt(shape[-1]) if len(shape) > 1 else 0.3)) for shape in shapes]


def combine(rule, rows, members):
    vectors = {"mean": lambda x: x.mean(0), "sum": lambda x: x.sum(0), "max": lambda x: x.max(0).values}[rule]
    return torch.stack([vectors(rows[m]) for m in members])


def dropped(case, layer, x):
    return x * mask(case, layer, len(x)) if case["rate"] > 0 else x


def low(x):
    """Rounded to bfloat16, by way of float32 as in the C code."""
    return x.to(torch.float32).to(torch.bfloat16).to(torch.float64)


class LowProduct(torch.autograd.Function):
    """x wᵀ with operands in bfloat16 and exact sums, here and in both products of the way back."""

    @staticmethod
    def forward(ctx, x, w):
        ctx.save_for_backward(low(x), low(w))
        return low(x) @ low(w).T

    @staticmethod
    def backward(ctx, gradient):
        x, w = ctx.saved_tensors
        return low(gradient) @ w, low(gradient).T @ x


def product(case, x, w):
    return LowProduct.apply(x, w) if case["precision"] == "bfloat16" else x @ w.T


def layers(case, weight, parameters, x):
    """The hidden layers; `parameters`: from the first bias on."""
    L = case["layers"]
    x = x @ weight.T + parameters[0]
    for layer in range(L):
        if layer:
            x = product(case, x, parameters[layer]) + parameters[L - 1 + layer]
        x = dropped(case, layer, getattr(torch.nn.functional, case["activation"])(x))
    return x


made_of = [None, None]  # the last activations and the right rows of the last forward pass


def forward_mlp(case, parameters, p, r, c):
    u_p, u_c, u, v = (torch.tensor(case[name]) for name in ("u_p", "u_c", "u", "v"))
    rows = torch.cat([p[u_p[u]], r[v], c[u_c[u]]], 1)
    x = layers(case, torch.cat(parameters[:3], 1), parameters[3:], rows)
    made_of[:] = x, None
    return x @ parameters[-2] + parameters[-1] if case["layers"] else x[:, 0]


def forward_factors(case, parameters, p, r, c):
    """Dropout is by left rows: perturbations in contexts, or perturbations alone."""
    u_p, u_c, u, v = (torch.tensor(case[name]) for name in ("u_p", "u_c", "u", "v"))
    if case["kind"] == "cp":
        wp, wc, wg = parameters[:3]
        left = dropped(case, 0, (p[u_p] @ wp.T) * (1 + c[u_c] @ wg.T) + c[u_c] @ wc.T)
    elif len(r) == 1:
        left = layers(case, parameters[0], parameters[1:], p)
    else:
        left = layers(case, torch.cat(parameters[:2], 1), parameters[2:], torch.cat([p[u_p], c[u_c]], 1))
    last = left
    if case["layers"]:
        left = left @ parameters[-2].T + parameters[-1]
    made_of[:] = (last[u_p[u]], c[u_c[u]]) if case["kind"] == "dot" and len(r) == 1 else (last[u], r[v])
    left, right = (left[u_p[u]], c[u_c[u]]) if case["kind"] == "dot" and len(r) == 1 else (left[u], r[v])
    return (left * right).sum(1) / np.sqrt(case["dim"])


def numbers(x, digits=8):
    return [None if np.isnan(v) else float(f"%.{digits}g" % v) for v in np.asarray(x, np.float64).ravel()]


def make_dense(n_u, n_r, sizes):
    """Blocks of E left rows x T right rows, as pairs; every other one with rows side by side and no list of columns."""
    blocks, u, v = [], [], []
    for number, (E, T) in enumerate(sizes):
        rows, columns = rng.permutation(n_u)[:E], rng.permutation(n_r)[:T]
        if number % 2:
            rows, columns = np.arange(E), n_r - T + np.arange(T)
        u += np.repeat(rows, T).tolist()
        v += np.tile(columns, E).tolist()
        blocks.append({"E": E, "T": T, "column": [] if number % 2 else rng.permutation(T + 2)[:T].tolist()})
    return {"n": len(u), "u": u, "v": v, "dense": blocks}


def make(D, H, L, rule, rate, n, n_r=7, kind="mlp", dense=(), precision="float32", activation="relu",
         weighted=False, noise=False):
    n_component, n_p, n_c, n_u = 6, 5, 3, 9
    members = [sorted(rng.choice(n_component, size, replace=False).tolist()) for size in (1, 2, 3, 1, 2)]
    case = {"kind": kind, "precision": precision, "activation": activation, "dim": D, "hidden": H if L else 0, "layers": L, "rule": rule, "rate": rate, "n": n,
            "key": [int(k) for k in rng.integers(0, 2**32, 2)], "lane": int(rng.integers(0, 40)),
            "member_first": np.cumsum([0] + [len(m) for m in members]).tolist(), "member": sum(members, []),
            "u_p": rng.integers(0, n_p, n_u).tolist(), "u_c": rng.integers(0, n_c, n_u).tolist(),
            "u": rng.integers(0, n_u, n).tolist(), "v": rng.integers(0, n_r, n).tolist()}
    if dense:
        case.update(make_dense(n_u, n_r, dense))
    y = draw(case["n"])
    y[rng.random(case["n"]) < 0.2] = np.nan
    component, r, c = (tensor(draw(k, D)) for k in (n_component, n_r, n_c))
    parameters = make_parameters("alone" if kind == "dot" and n_r == 1 else kind, D, case["hidden"], L)
    p = combine(rule, component, members)
    out = (forward_mlp if kind == "mlp" else forward_factors)(case, parameters, p, r, c)
    target = torch.tensor(np.float32(y).astype(np.float64))
    measured = ~torch.isnan(target)
    if noise:  # the logarithm of a variance, from what the output is made of; nothing flows back into that
        case["noise"] = 1
        last, right = made_of
        extra = [tensor(draw(last.shape[1], scale=0.04)), tensor(0.3 + draw(1, scale=0.03))] + ([] if kind == "mlp" else [tensor(draw(D, scale=0.04))])
        s = 10 * (last.detach() @ extra[0] + extra[1] + (0 if kind == "mlp" else right.detach() @ extra[2]))
        parameters += extra
    squares = (out - target)[measured] ** 2
    if weighted:  # of left rows; one counts nothing
        case["weight"] = np.round(rng.uniform(0.1, 3, n_u), 3).tolist()[:-1] + [0]
        factor = torch.tensor(np.float32(case["weight"]).astype(np.float64))[torch.tensor(case["u"])][measured]
        squares = squares * factor
    loss = squares.sum()
    whole = loss
    if noise:  # an error of more than ten deviations counts as one of ten
        q = ((out - target).detach()[measured] ** 2 * torch.exp(-s[measured]))
        assert q.max() < 100
        whole = loss + ((s[measured] + q) * (factor if weighted else 1)).sum()
    gradients = [g if g is not None else torch.zeros_like(x) for x in [component, r, c] + parameters
                 for g in torch.autograd.grad(whole, x, retain_graph=True, allow_unused=True)]
    flat = lambda tensors: numbers(np.concatenate([t.detach().numpy().ravel() for t in tensors]))
    case.update(y=numbers(y), component=numbers(component.detach()), r=numbers(r.detach()), c=numbers(c.detach()),
                mlp=flat(parameters), loss=float(loss), n_measured=int(measured.sum()),
                d_component=flat(gradients[:1]), d_r=flat(gradients[1:2]), d_c=flat(gradients[2:3]),
                d_mlp=flat(gradients[3:]))
    if kind == "mlp":
        case["out"] = numbers(out.detach())
    return case


check_philox()
CASES = [  # D, H, L, rule, dropout, n, readouts, kind, dense blocks
    (3, 0, 0, "mean", 0, 20), (8, 0, 0, "sum", 0.5, 33),
    (8, 19, 1, "max", 0, 40), (3, 5, 1, "sum", 0.3, 40), (2, 150, 1, "mean", 0.1, 24),
    (3, 5, 2, "mean", 0, 600), (8, 19, 2, "max", 0.1, 300), (8, 32, 2, "sum", 0.5, 48),
    (8, 32, 3, "mean", 0, 64), (3, 19, 3, "sum", 0.25, 270), (3, 5, 3, "max", 0.1, 1),
    (8, 0, 0, "mean", 0, 33, 1), (8, 19, 1, "mean", 0, 40, 1), (3, 32, 2, "max", 0.1, 300, 1),
    (8, 0, 0, "mean", 0, 33, 7, "dot"), (3, 19, 1, "sum", 0.3, 40, 7, "dot"),
    (17, 9, 2, "max", 0, 60, 7, "dot"), (3, 17, 3, "mean", 0.25, 64, 7, "dot"),
    (3, 0, 0, "max", 0.5, 0, 23, "dot", [(9, 23)]), (8, 19, 1, "mean", 0, 0, 23, "dot", [(5, 9), (9, 4), (1, 23)]),
    (17, 11, 2, "sum", 0.1, 0, 23, "dot", [(7, 20), (2, 1), (6, 23), (9, 17)]),
    (8, 5, 3, "mean", 0, 0, 7, "dot", [(9, 7), (9, 7)]),
    (8, 0, 0, "mean", 0, 40, 1, "dot"), (17, 11, 1, "max", 0.3, 60, 1, "dot"), (3, 19, 2, "sum", 0, 33, 1, "dot"),
    (5, 9, 3, "mean", 0.1, 48, 1, "dot"),
    (8, 9, 1, "mean", 0, 60, 7, "cp"), (3, 32, 1, "max", 0.2, 40, 7, "cp"), (8, 5, 1, "sum", 0, 40, 1, "cp"),
    (17, 6, 1, "sum", 0, 0, 23, "cp", [(9, 23)]),
    (2, 150, 1, "mean", 0.1, 0, 23, "cp", [(5, 9), (9, 4), (1, 23), (8, 20)]),
    (3, 5, 2, "mean", 0, 600, 7, "mlp", (), "bfloat16"), (8, 32, 3, "max", 0.1, 270, 7, "mlp", (), "bfloat16"),
    (8, 19, 2, "sum", 0.25, 33, 1, "mlp", (), "bfloat16"), (17, 9, 3, "mean", 0.1, 60, 7, "dot", (), "bfloat16"),
    (17, 11, 2, "sum", 0.1, 0, 23, "dot", [(7, 20), (2, 1), (6, 23), (9, 17)], "bfloat16"),
    (5, 32, 2, "mean", 0.1, 48, 1, "dot", (), "bfloat16"),
    *[case + (precision, "silu") for precision in ("float32", "bfloat16") for case in [
        (8, 19, 1, "max", 0, 40, 7, "mlp", ()), (3, 5, 2, "mean", 0, 600, 7, "mlp", ()), (8, 32, 3, "sum", 0.25, 270, 7, "mlp", ()),
        (8, 19, 2, "mean", 0.1, 33, 1, "mlp", ()), (3, 17, 3, "mean", 0.25, 64, 7, "dot", ()), (5, 9, 2, "mean", 0.1, 48, 1, "dot", ()),
        (17, 11, 2, "sum", 0.1, 0, 23, "dot", [(7, 20), (2, 1), (6, 23), (9, 17)])]],
    *[case + (True,) for case in [  # left rows have weights
        (3, 19, 2, "mean", 0.1, 600, 7, "mlp", (), "float32", "silu"), (8, 5, 1, "sum", 0, 33, 1, "mlp", (), "float32", "relu"),
        (3, 19, 1, "sum", 0.3, 40, 7, "dot", (), "float32", "relu"), (8, 5, 2, "mean", 0, 40, 1, "dot", (), "float32", "relu"),
        (17, 11, 2, "sum", 0.1, 0, 23, "dot", [(7, 20), (2, 1), (6, 23), (9, 17)], "float32", "silu"),
        (8, 9, 1, "mean", 0, 60, 7, "cp", (), "float32", "relu"), (3, 7, 1, "sum", 0, 0, 23, "cp", [(9, 23), (4, 5)], "float32", "relu")]],
    *[case + (True,) for case in [  # with an output for the noise
        (3, 19, 2, "mean", 0.1, 600, 7, "mlp", (), "float32", "silu", False), (8, 5, 1, "sum", 0, 33, 1, "mlp", (), "float32", "relu", True),
        (8, 0, 0, "mean", 0, 33, 7, "mlp", (), "float32", "relu", False), (3, 19, 1, "sum", 0.3, 40, 7, "dot", (), "float32", "relu", True),
        (8, 5, 2, "mean", 0, 40, 1, "dot", (), "float32", "silu", False), (8, 0, 0, "mean", 0, 33, 7, "dot", (), "float32", "relu", False),
        (17, 11, 2, "sum", 0.1, 0, 23, "dot", [(7, 20), (2, 1), (6, 23), (9, 17)], "float32", "silu", True),
        (8, 9, 1, "mean", 0, 60, 7, "cp", (), "float32", "relu", False), (3, 7, 1, "sum", 0, 0, 23, "cp", [(9, 23), (4, 5)], "float32", "relu", True)]],
]
json.dump([make(*case) for case in CASES], sys.stdout, separators=(",", ":"))
print()
