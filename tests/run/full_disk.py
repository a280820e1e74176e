#!/usr/bin/python3
"""full_disk.py -- every command that writes, where there is no room, and where there is too little: exit code 73 or 74, one
sentence that names the file, nothing half-written, and what was there before is as it was. (A training whose disk is full
only for a while: faults.py.)

usage: full_disk.py TESSERA SOURCE_FOLDER
TESS_TEST_LONG=1: each where there is no room, and where there is too little."""
import os
import pathlib
import shutil
import subprocess
import tempfile

import machine

with machine.needed():
    import h5py
import training
from checks import check, fine, finish, run

place = pathlib.Path(tempfile.mkdtemp(prefix="tess_full_"))
os.chdir(place)
os.mkdir("disk")
mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", "disk"], capture_output=True, text=True)
if mounted.returncode:
    shutil.rmtree(place)
    machine.skip(f"mounting is not permitted here: {mounted.stderr.strip()}")
SMALL = ("--perturbations", 40, "--readouts", 60, "--contexts", 3, "--replicates", 2)


def fill(leave):
    disk = os.statvfs("disk")
    with open("disk/ballast", "wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, disk.f_bavail * disk.f_frsize - leave))


def make():
    fine("-q", "simulate", "-o", "data.prc.h5", *SMALL)
    fine("-q", "simulate", "-o", "data.h5ad", *SMALL)
    fine("-q", "simulate", "-o", "genes.prc.h5", "--network", "--perturbations", 30, "--readouts", 40, "--contexts", 1, "--replicates", 3)
    with open("config.yaml", "w") as file:
        file.write(f"data.store: {place}/data.prc.h5\nmodel.embedding_dim: 16\nmodel.hidden_dim: 32\nmodel.layers: 1\ntrain.epochs: 2\ntrain.lanes: 2\n")
    with open("sweep.yaml", "w") as file:
        file.write(open("config.yaml").read() + "sweep: {run.seed: [1, 2]}\n")
    fine("-q", "train", "config.yaml", "--set", "run.directory=run")
    fine("-q", "network", "infer", "genes.prc.h5", "-c", context_of("genes.prc.h5"), "-m", "correlation", "-o", "edges.tsv")
    with open("asked.tsv", "w") as file:
        print("perturbation", "readout", "context", sep="\t", file=file)
        for _ in range(2000):
            print(*first_symbols(), sep="\t", file=file)


def first_symbols():
    with h5py.File("data.prc.h5") as file:
        return [file[f"{kind}/symbol"][0].decode() for kind in ("perturbation", "readout", "context")]


def context_of(store):
    with h5py.File(store) as file:
        return file["context/symbol"][0].decode()


def commands():
    readout = first_symbols()[1]
    yield "import", "data.h5ad", "-o", "disk/a.prc.h5"
    yield "simulate", "-o", "disk/a.prc.h5", *SMALL
    yield "simulate", "-o", "disk/a.h5ad", *SMALL
    yield "simulate", "-o", "disk/a.gctx", *SMALL
    yield "simulate", "-o", "b.h5ad", "--truth", "disk/a.h5ad", *SMALL
    yield "simulate", "-o", "c.h5ad", "--network", "--gold", "disk/a.tsv", *SMALL
    yield "impute", "run", "-o", "disk/a.h5ad", "--max-size", "1G"  # which is asked for: else it is refused before
    yield "impute", "run", "-o", "disk/a.gctx", "--max-size", "1G"
    yield "impute", "run", "-o", "disk/a.h5ad", "--compress", "--max-size", "1G"
    yield "predict", "run", "asked.tsv", "-o", "disk/a.tsv"
    yield "screen", "run", "-r", readout, "-o", "disk/a.tsv"
    yield "screen", "run", "-r", readout, "-o", "disk/a.h5ad"
    yield "evaluate", "run", "--split", "train", "--resamples", "5", "--json", "disk/a.json"
    yield "evaluate", "run", "--split", "train", "--profile", "cell-eval", "-o", "disk/a.h5ad", "--real", "disk/b.h5ad"
    yield "embed", "run", "-o", "disk/a.h5ad"
    yield "export", "run", "-o", "disk/a.npz"
    yield "export", "run", "-o", "disk/arrays"
    yield "report", "run", "-o", "disk/a.html"
    yield "neighbors", "run", "-o", "disk/a.tsv"
    yield "split", "data.prc.h5", "--export", "disk/a.tsv"
    yield "network", "infer", "genes.prc.h5", "-c", context_of("genes.prc.h5"), "-m", "correlation", "-o", "disk/a.tsv"
    yield "network", "evaluate", "edges.tsv", "--gold", "gold.tsv", "--json", "disk/a.json"
    yield "plan", "config.yaml", "--rate", "1e6", "--json", "disk/a.json"
    yield "bench", "config.yaml", "--quick", "--json", "disk/a.json"
    yield "train", "config.yaml", "--set", "run.directory=disk/run"
    yield "sweep", "sweep.yaml", "--set", "run.directory=disk/swept"


def judge(words, leave, ranks):
    fill(leave)
    done = run("-q", *words, ranks=ranks, limit=60)
    os.remove("disk/ballast")
    what = f"{' '.join(map(str, words))} with {leave} bytes on {ranks} rank(s)"
    left = sorted(str(p.relative_to("disk")) for p in pathlib.Path("disk").rglob("*") if p.is_file())
    if leave and done.returncode == 0 and not [name for name in left if name.endswith(".part")]:  # it was room enough
        return clear()
    check(done.returncode in (73, 74), f"{what}: {done.returncode} {done.stderr[-600:]}")
    check("disk/" in done.stderr, f"{what}: no file is named: {done.stderr[-600:]}")
    for sign in ("bug at", "Segmentation", "signal 11", "Sanitizer", "*** ", "out of memory"):
        check(sign not in done.stderr, f"{what}: '{sign}' in {done.stderr[-600:]}")
    # a run keeps what it has, for the next try; of anything else nothing is left
    mine = [name for name in left if name.endswith(".part") or not words[0] in ("train", "sweep")]
    check(not mine, f"{what}: left: {left}")
    clear()


def clear():
    for path in pathlib.Path("disk").iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


try:
    make()
    with open("gold.tsv", "w") as file, open("edges.tsv") as edges:
        for number, line in enumerate(edges):
            if number:
                a, b = line.split("\t")[:2]
                print(a, b, number % 2, sep="\t", file=file)
    for number, words in enumerate(commands()):
        for leave in (0, 4096) if training.long() else (4096 * (number % 3 == 1),):
            judge(words, leave, 1 + (number + leave // 4096) % 2)
    judge(("split", "data.prc.h5", "--random", "--export", "disk/a.tsv"), 0, 1)
    check(run("verify", "data.prc.h5").returncode == 0, "a store is damaged by an export that had no room")
finally:
    subprocess.run(["umount", "-l", "disk"], capture_output=True)
os.chdir("/")
shutil.rmtree(place, ignore_errors=True)
finish()
