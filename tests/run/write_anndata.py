#!/usr/bin/python3
"""What Python's anndata makes of the files we write; the same on any number of ranks."""
import os
import subprocess
import sys
import tempfile

import machine

with machine.needed():
    import anndata
    import numpy as np

writer = os.path.join(os.path.dirname(os.path.abspath(sys.argv[1])), "tests/mpi/mpi_anndata")


def write(ranks, path, kind):
    subprocess.run(["mpirun", "-n", str(ranks), writer, path, kind], check=True,
                   stdout=subprocess.DEVNULL, timeout=60)


def check_common(data):
    assert list(data.obs_names) == ["a", "b", "c", "d", "e", "f", "ångström"]
    assert list(data.var_names) == ["TP53", "MYC", "ß-Catenin", "longer than the others", "E"]
    assert list(data.obs.columns) == ["kind", "many", "count", "flag", "share"]
    assert list(data.var.columns) == []
    kind = data.obs["kind"]
    assert list(kind.cat.categories) == ["control", "drug", "µM"] and not kind.cat.ordered
    assert list(kind.cat.codes) == [0, 1, 2, -1, 1, 0, 2]
    assert list(data.obs["many"].astype(object).fillna("none")) == [
        "level 0", "level 199", "level 128", "level 127", "none", "level 5", "level 6"]
    assert list(data.obs["count"]) == [0, 10, 20, 30, 40, 50, 2**40]
    assert data.obs["flag"].dtype == bool
    assert list(data.obs["flag"]) == [True, False, False, True, True, False, True]
    assert list(data.obs["share"]) == [0.5, 0, 1, 0.25, 0, 0, 0.125]
    assert data.uns["provenance"]["command"] == "tessera, 2 µ"
    assert data.uns["provenance"]["empty"] == ""
    assert data.uns["provenance"]["deep"]["number"] == 0.1
    assert list(data.uns["notes"]) == ["one", "two"]
    dense = np.arange(35, dtype="f4").reshape(7, 5)
    dense[0, 1] = np.nan
    np.testing.assert_array_equal(data.layers["std"], dense)
    return dense


with tempfile.TemporaryDirectory() as folder:
    for kind in "dense", "csr":
        first = f"{folder}/{kind}_1.h5ad"
        for ranks in 1, 2, 3, 5:
            path = f"{folder}/{kind}_{ranks}.h5ad"
            write(ranks, path, kind)
            subprocess.run(["h5diff", first, path], check=True, timeout=60)
        data = anndata.read_h5ad(first)
        dense = check_common(data)
        if kind == "csr":
            dense = np.zeros((7, 5), "f4")
            for i in range(7):
                for k in range(i % 3):
                    dense[i, 2 * k + 1] = 10 * i + k
            np.testing.assert_array_equal(data.X.toarray(), dense)
        else:
            assert data.X.dtype == np.float32
            np.testing.assert_array_equal(data.X, dense)
        copy = f"{folder}/copy.h5ad"
        data.write_h5ad(copy)  # everything read is something that anndata can write
        backed = anndata.read_h5ad(first, backed="r")
        assert backed.shape == (7, 5)
        backed.file.close()
    assert sorted(os.listdir(folder)) == sorted(
        [f"{kind}_{ranks}.h5ad" for kind in ("dense", "csr") for ranks in (1, 2, 3, 5)] + ["copy.h5ad"])
print("ok")
