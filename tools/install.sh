#!/usr/bin/env bash
# Install what is missing to build Tessera (and, with --tests, to test it) from the distribution.
# Looks for the things themselves first, so that a cluster's environment modules count as well.
# --slurm and --hosts: what these options of tools/test.sh need.
# usage: tools/install.sh [--tests] [--slurm] [--hosts]
set -u

usage() { sed -n '2,5s/^# //p' "$0"; }
tests=0 extra=""
for option in "$@"; do
    case $option in
    --tests) tests=1 ;;
    --slurm) extra="$extra slurm-wlm munge" ;;
    --hosts) extra="$extra iproute2" ;;
    --help) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
    esac
done

compiler() { command -v cc || command -v gcc || command -v mpicc; }
header() { echo "#include <$1>" | "$(compiler)" -E -x c - >/dev/null 2>&1; }
pc() { for name in "$@"; do pkg-config --exists "$name" && return 0; done; return 1; }
python() { /usr/bin/python3 -c "import importlib.util as u, sys; sys.exit(u.find_spec('$1') is None)"; }

# Does the machine have it? One case for each package below.
has() {
    case $1 in
    gcc) compiler ;;
    libc6-dev) header stdio.h ;;
    meson) meson --version ;;
    ninja-build) command -v ninja ;;
    pkg-config) command -v pkg-config ;;
    libopenmpi-dev) pc ompi-c mpi-c mpi mpich || command -v mpicc ;;
    openmpi-bin) command -v mpirun ;;
    libopenblas-dev) pc openblas ;;
    libhdf5-openmpi-dev) pc hdf5-openmpi hdf5-mpi hdf5 ;;
    libscalapack-openmpi-dev) pc scalapack-openmpi scalapack ;;
    libyaml-dev) pc yaml-0.1 ;;
    libjansson-dev) pc jansson ;;
    libxxhash-dev) pc libxxhash ;;
    zlib1g-dev) pc zlib ;;
    librandom123-dev) header Random123/philox.h ;;
    uthash-dev) header uthash.h ;;
    libcmocka-dev) pc cmocka ;;
    hdf5-tools) command -v h5diff ;;
    slurm-wlm) command -v slurmctld && command -v slurmd ;;
    munge) command -v munged ;;
    iproute2) command -v ip ;;
    python3-*) python "${1#python3-}" ;;
    esac >/dev/null 2>&1
}

# The environment module that has it on most clusters.
module_of() {
    case $1 in
    gcc | libc6-dev) echo gcc ;;
    meson | ninja-build) echo "meson ninja" ;;
    *openmpi-bin | libopenmpi-dev) echo openmpi ;;
    libopenblas-dev) echo openblas ;;
    *hdf5*) echo "hdf5 (built for MPI)" ;;
    libscalapack*) echo scalapack ;;
    libyaml-dev) echo libyaml ;;
    libjansson-dev) echo jansson ;;
    libxxhash-dev) echo xxhash ;;
    zlib1g-dev) echo zlib ;;
    librandom123-dev) echo random123 ;;
    libcmocka-dev) echo cmocka ;;
    python3-*) echo "python3 with ${1#python3-}" ;;
    *) echo "$1" ;;
    esac
}

missing() { for package in "$@"; do has "$package" || echo "$package"; done; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif [ -t 0 ]; then sudo "$@"
    else sudo -n "$@"; fi
}
may_install() {
    command -v apt-get >/dev/null || return 1
    [ "$(id -u)" = 0 ] || { command -v sudo >/dev/null && { [ -t 0 ] || sudo -n true 2>/dev/null; }; }
}
apt() { as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -qq "$@"; }

need="gcc libc6-dev meson ninja-build pkg-config libopenmpi-dev openmpi-bin libopenblas-dev
libhdf5-openmpi-dev libscalapack-openmpi-dev libyaml-dev libjansson-dev librandom123-dev libxxhash-dev
zlib1g-dev uthash-dev"
[ $tests = 0 ] || need="$need libcmocka-dev hdf5-tools"
# Other people's readers, who judge what we write. Tests without them are skipped and say so.
judges=$extra
[ $tests = 0 ] || judges="$judges python3-numpy python3-scipy python3-h5py python3-anndata python3-sklearn python3-torch"

# Lists of packages are split into words on purpose.
# shellcheck disable=SC2086,SC2116
lack=$(missing $need)
wish=$(missing $judges)
[ -n "$lack$wish" ] || exit 0
if may_install; then
    echo "Installing:" $lack $wish >&2
    apt update >/dev/null || echo "The list of packages could not be renewed; going on with the old one." >&2
    [ -z "$lack" ] || apt install -y --no-install-recommends $lack >/dev/null
    for package in $wish; do
        apt install -y --no-install-recommends "$package" >/dev/null 2>&1 ||
            echo "$package cannot be installed here: the tests that need it will be skipped." >&2
    done
    lack=$(missing $need)
fi
[ -n "$lack" ] || exit 0
{
    echo "Tessera cannot be built: something is missing, and this script may not or could not install it."
    echo "  packages (Debian, Ubuntu): $(echo $lack)"
    echo "  environment modules (names differ): $(for p in $lack; do module_of "$p"; done | sort -u | paste -sd, | sed 's/,/, /g')"
    echo "Install them (apt-get install --no-install-recommends …) or load them (module load …), then run this again."
} >&2
exit 1
