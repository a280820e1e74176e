#!/usr/bin/python3
"""accuracy_torch.py -- the published recipe in PyTorch on real data: validation RMSE against seconds of training.

usage: accuracy_torch.py FILE.h5ad [--epochs 80] [--seed 13]

obs has perturbation (A+B is a combination, whose embedding is the mean), context and split; replicates are averaged
first. It is kind to PyTorch: all observations are encoded and in memory before the clock starts, and validation does
not count. Prints one JSON line an epoch."""
import argparse
import json
import time

import anndata
import numpy as np
import torch
from torch.nn import functional

import bench_torch

DECAY = 0.97  # of the learning rate, each epoch
SPLITS = ("train", "val", "test")


def numbered(words):
    """The distinct words, and each word's number among them."""
    known, number = np.unique(words, return_inverse=True)
    return list(known), torch.from_numpy(number)


def load(path):
    """Rows of the three tables (as many as symbols), components of each experiment's perturbation, and for each split
    (experiment, readout, value) of what is measured."""
    file = anndata.read_h5ad(path)
    keys = ["perturbation", "context", "split"]
    frame = file.to_df().reset_index(drop=True)
    mean = frame.groupby([file.obs[k].astype(str).to_numpy() for k in keys]).mean()
    perturbation, context, split = (mean.index.get_level_values(i) for i in range(3))
    parts = [name.split("+") for name in perturbation]
    components, number = numbered(np.concatenate(parts))
    contexts, context = numbered(context)
    width, first = max(map(len, parts)), 0
    member = torch.full((len(parts), width), len(components))  # the row behind the last one fills up
    for i, names in enumerate(parts):
        member[i, :len(names)] = number[first:first + len(names)]
        first += len(names)
    values = torch.from_numpy(mean.to_numpy(np.float32))
    sets = {}
    for s in SPLITS:
        chosen = torch.from_numpy((split == s).copy())[:, None] & ~torch.isnan(values)
        experiment, readout = chosen.nonzero(as_tuple=True)
        sets[s] = experiment, readout, values[chosen]
    return (len(components) + 1, values.shape[1], len(contexts)), member, context, sets


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("--epochs", type=int, default=80)
    parser.add_argument("--seed", type=int, default=13)
    a = parser.parse_args()
    torch.manual_seed(a.seed)
    rows, member, context, sets = load(a.file)
    columns, units, dropout, batch, learning_rate = bench_torch.RECIPES["lincs"]
    layers, _ = bench_torch.build(rows, columns, units, dropout)
    p, r, c = layers["tables"]
    optimizer = torch.optim.AdamW(layers.parameters(), learning_rate)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, DECAY)

    def predict(experiment, readout):
        names = member[experiment]
        left = p(names[:, 0]) if names.shape[1] == 1 else functional.embedding_bag(
            names, p.weight, mode="mean", padding_idx=rows[0] - 1)
        return layers["network"](torch.cat((left, r(readout), c(context[experiment])), 1)).squeeze(1)

    experiment, readout, value = sets["train"]
    seconds = 0.0
    for epoch in range(1, a.epochs + 1):
        start = time.perf_counter()
        for chosen in torch.randperm(len(value)).split(batch):
            optimizer.zero_grad()
            functional.mse_loss(predict(experiment[chosen], readout[chosen]), value[chosen]).backward()
            optimizer.step()
        scheduler.step()
        seconds += time.perf_counter() - start
        layers.eval()
        with torch.no_grad():
            rmse = {s: functional.mse_loss(predict(*sets[s][:2]), sets[s][2]).item() ** 0.5 for s in SPLITS[1:]}
        layers.train()
        print(json.dumps({"epoch": epoch, "seconds": seconds, **{f"{s}_rmse": x for s, x in rmse.items()}}), flush=True)


if __name__ == "__main__":
    main()
