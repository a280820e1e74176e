"""machine.py -- imported also for what it does: sets what MPI needs on one small machine (tools/mpi.env), unless it is set; and a
test that needs what is not installed here is skipped."""
import contextlib
import os
import pathlib
import shutil
import sys

for line in (pathlib.Path(__file__).parents[2] / "tools" / "mpi.env").read_text().splitlines():
    name, equals, value = line.partition("=")
    if equals and not name.startswith("#"):
        os.environ.setdefault(name, value)

# Units for bfloat16 are for the tests that ask for them (precision.py): everywhere else predictions are float32, whatever
# the processor.
os.environ.setdefault("DNNL_MAX_CPU_ISA", "AVX2")

# For a process that is not under mpirun: Open MPI 4 starts no daemon beside it, which takes as long as most commands here, and
# makes no folder, which would be the same for all of them. (Under mpirun folders are needed.) Tests of what happens to a
# process that is killed or sent signals clear this: they go as users' commands do.
ALONE = {"OMPI_MCA_ess_singleton_isolated": "1", "OMPI_MCA_orte_create_session_dirs": "0"}


def environment(ranks, given=None):
    """That of a command on so many ranks."""
    return {**(os.environ if given is None else given), **(ALONE if ranks == 1 else {})}


def skip(why):
    """Ends the test: it is neither passed nor failed."""
    print(f"skipped: {why}")
    sys.exit(77)


@contextlib.contextmanager
def needed(*also):
    """Around imports of packages; other errors that say that something is not here."""
    try:
        yield
    except (ImportError, *also) as problem:
        skip(problem)


def need(program):
    if not shutil.which(program):
        skip(f"{program} is not installed")
