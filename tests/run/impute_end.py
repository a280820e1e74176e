#!/usr/bin/python3
"""The end of an imputation, killed or failing at each of its last steps, compressed and not: what is left is not taken for a whole
file, and is gone on with on other ranks to the same bits.

usage: impute_end.py TESSERA SOURCE_FOLDER"""
import os
import re
import subprocess
import time

from imputing import RUNS, beside, h5py, impute, run, same, tessera, training

impute("plain.a.h5ad", "--observed", "keep")
# What programs left that were killed while they wrote a sidecar or a record is swept up; what is another file's is not.
mine, others = ["swept.h5ad.sum.0123abcd.part", "swept.h5ad.part.json.0123abcd.part"], ["swept.h5ad.0123abcd.part", "xswept.h5ad.sum.0123abcd.part"]
for left in mine + others:
    open(left, "w").close()
impute("swept.h5ad", "--observed", "keep", ranks=2)
assert not any(map(os.path.exists, mine)) and all(map(os.path.exists, others)), os.listdir(".")
impute("a.h5ad", "--compress", "--observed", "keep")

# Stopped while it is computed: other ranks go on; stopped while it is put together: that is done again
for ranks in 1, 2:
    name, keep = f"killed{ranks}.h5ad", ["--observed", "keep", "--compress"]
    needs = float(impute(name, *keep, "--memory", "1M", code=2, ranks=ranks).split("which needs ")[1].split(" MB")[0])
    text = impute(name, *keep, "--memory", f"{needs + 2:.1f}M", "--save-every", "0.001",
                  "--time-limit", "0.00001", ranks=ranks, code=75)
    assert beside(name) == [f"{name}.part", f"{name}.part.json"], beside(name)
    assert "unfinished" in subprocess.run([tessera, "info", f"{name}.part"], capture_output=True, text=True).stdout
    disk = os.stat(f"{name}.part")
    assert 512 * disk.st_blocks < 0.9 * disk.st_size  # what is not written takes no room
    # Each go does a round at least; then all rows are there, and it is the chunks that time runs out for
    together = "stopped by the time limit when all rows were saved and the whole file was being put together"
    for _ in range(9):
        if together in text:
            break
        text = impute(name, *keep, "--time-limit", "0.00001", ranks=ranks, code=75)
    os.environ["SLURM_JOB_END_TIME"] = str(int(time.time()))  # the job's own limit, rather than one that is given
    text = impute(name, *keep, ranks=3 - ranks, code=75)
    del os.environ["SLURM_JOB_END_TIME"]
    assert text.count(together) == 1 and "going on after 1402 of 1402 rows" in text, text
    assert beside(name) == [f"{name}.part", f"{name}.part.json"] and not os.path.exists(name), beside(name)
    impute(name, *keep, "--time-limit", "1000", ranks=4 - ranks)
    same(name, "plain.a.h5ad", "a.h5ad")


def calls(*options, ranks):
    """How many calls that can fail rank 0 makes for a file."""
    text = training.Started(tessera, ranks, ["impute", *options], {"TESS_FAIL_AT": "0"})
    assert text.wait() == 0, text.text
    return int(re.search(r"rank 0: (\d+) fallible calls", text.text)[1])


def opens(path):
    try:
        h5py.File(path).close()
        return True
    except OSError:
        return False


# Killed at the last calls that can fail: chunks are put together, checksums made, names given. What is left is not taken for
# a whole file, whatever it is called, and all of it is gone on with.
for name, plain, options in (("end.h5ad", "plain.a.h5ad", ["--compress"]), ("end2.h5ad", "plain.a.h5ad", [])):
    line = [*RUNS, "-o", name, "--blend", "off", "--observed", "keep", "--save-every", "1000", *options]
    for ranks in (1, 2) if options else (1,):
        n, whole, put_together = calls(*line, "--force", "--fresh", ranks=ranks), 0, 0
        for back in range(0, 9 if options else 4, 2 * ranks - 1):
            for left in (name, name + ".sum"):
                if os.path.exists(left):
                    os.unlink(left)
            how = "-" if back % 2 == 0 else ""  # killed; or it fails, and the program ends by itself
            started = training.Started(tessera, ranks, ["impute", *line], {"TESS_FAIL_AT": f"{how}{n - back}@0"})
            assert started.wait() != 0 or (not how and os.path.exists(name)), started.text
            assert how or not os.path.exists(f"{name}.part.deflated")
            for left in beside(name):
                assert not left.endswith(("part", "deflated")) or not opens(left), (back, left)
                put_together += left.endswith("deflated")
            whole += os.path.exists(name)
            text = run("impute", *line, ranks=3 - ranks)
            # Chunks are put together from a record that says all; a plain file's says what --save-every had it say, here nothing.
            assert "going on after" in text or "complete already" in text or back > 2 or not options, text
            same(name, plain, "a.h5ad" if options else None)
        print(f"{name} on {ranks} ranks: left, and gone on with", flush=True)
        assert whole < 5 and put_together >= (1 if options else 0), (whole, put_together)


print("ok")
