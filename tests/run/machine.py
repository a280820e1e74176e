"""machine.py -- imported for what it does: sets what MPI needs on one small machine (tools/mpi.env), unless it is set."""
import os
import pathlib

for line in (pathlib.Path(__file__).parents[2] / "tools" / "mpi.env").read_text().splitlines():
    name, equals, value = line.partition("=")
    if equals and not name.startswith("#"):
        os.environ.setdefault(name, value)

# Units for bfloat16 are for the tests that ask for them (precision.py): everywhere else predictions are float32, whatever
# the processor.
os.environ.setdefault("DNNL_MAX_CPU_ISA", "AVX2")
