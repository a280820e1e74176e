#!/usr/bin/env bash
# Install what is missing to build Tessera (and, with --tests, to test it) from the distribution.
# Looks for the things themselves first, so that a cluster's environment modules count as well.
# --slurm, --hosts, --trees, --quick, --mpich: what these options of tools/test.sh need; --fuzz, --site: what tools/fuzz.sh and
# tools/site.sh need.
# usage: tools/install.sh [--tests] [--slurm] [--hosts] [--trees] [--quick] [--mpich] [--fuzz] [--site]
set -u

usage() { sed -n '2,7s/^# //p' "$0"; }
tests=0 extra="" judges="numpy scipy h5py anndata sklearn matplotlib torch yaml jinja2" layout="clang-format-14 chromium mkdocs man-db zsh lmod" mpi=openmpi
for option in "$@"; do
    case $option in
    --tests) tests=1 ;;
    --slurm) extra="$extra slurm-wlm munge" ;;
    --hosts) extra="$extra iproute2" ;;
    --trees) extra="$extra debootstrap git" ;;
    --fuzz) extra="$extra clang libclang-rt-dev libomp-dev" ;;
    --site) extra="$extra mkdocs" ;;
    --quick) judges="numpy scipy h5py anndata sklearn" layout="" ;;
    --mpich) mpi=mpich judges="" layout="" ;;
    --help) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
    esac
done

compiler() { command -v cc || command -v gcc || command -v mpicc; }
header() { echo "#include <$1>" | "$(compiler)" -E -x c - >/dev/null 2>&1; }
# The first of these HDF5s that there is: a serial one does not do.
parallel() {
    for name in "$@"; do
        ! pkg-config --exists "$name" || { defines "$name" | grep -q 'H5_HAVE_PARALLEL 1'; return; }
    done
    return 1
}
# shellcheck disable=SC2046
defines() { echo '#include <H5pubconf.h>' | "$(compiler)" $(pkg-config --cflags "$1") -E -dM -x c -; }
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
    libhdf5-openmpi-dev) parallel hdf5-openmpi hdf5-mpi hdf5 ;;
    libscalapack-openmpi-dev) pc scalapack-openmpi scalapack ;;
    libmpich-dev) pc mpich ;;
    mpich) command -v mpirun.mpich ;;
    libhdf5-mpich-dev) parallel hdf5-mpich ;;
    libscalapack-mpich-dev) pc scalapack-mpich scalapack ;;
    libyaml-dev) pc yaml-0.1 ;;
    libjansson-dev) pc jansson ;;
    libxxhash-dev) pc libxxhash ;;
    zlib1g-dev) pc zlib ;;
    libarchive-dev) pc libarchive ;;
    librandom123-dev) header Random123/philox.h ;;
    uthash-dev) header uthash.h ;;
    libdnnl-dev) header dnnl.h ;;
    libcmocka-dev) pc cmocka ;;
    hdf5-tools) command -v h5diff ;;
    clang-format-14) command -v clang-format-14 || clang-format --version 2>/dev/null | grep -q "version 14\\." ;;
    slurm-wlm) command -v slurmctld && command -v slurmd ;;
    munge) command -v munged ;;
    iproute2) command -v ip ;;
    chromium) command -v chromium || command -v chromium-browser || command -v google-chrome ;;
    debootstrap | git | clang | mkdocs | zsh) command -v "$1" ;;
    man-db) command -v man ;;
    lmod) ls /usr/share/lmod/lmod/libexec/lmod ;;
    libclang-rt-dev) ls "$(clang -print-resource-dir)"/lib/linux/libclang_rt.fuzzer-*.a ;;
    libomp-dev) echo '#include <omp.h>' | clang -fopenmp -E -x c - ;;
    python3-*) python "${1#python3-}" ;;
    esac >/dev/null 2>&1
}

# The environment module that has it on most clusters.
module_of() {
    case $1 in
    gcc | libc6-dev) echo gcc ;;
    meson | ninja-build) echo "meson ninja" ;;
    *openmpi-bin | libopenmpi-dev) echo openmpi ;;
    mpich | libmpich-dev) echo mpich ;;
    libopenblas-dev) echo openblas ;;
    *hdf5*) echo "hdf5 (built for MPI)" ;;
    *scalapack*) echo scalapack ;;
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
zlib1g-dev libarchive-dev uthash-dev"
[ $mpi = openmpi ] || need=$(echo "$need" | sed 's/openmpi-bin/mpich/; s/openmpi/mpich/g')
[ $tests = 0 ] || need="$need libcmocka-dev hdf5-tools"
# oneDNN, which can be done without; and other people's readers, who judge what we write: tests without them are skipped
# and say so.
[ $tests = 1 ] || judges="" layout=""
judges="libdnnl-dev $extra $layout $(for name in $judges; do echo "python3-$name"; done)"

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
        apt install -y --no-install-recommends "$package" >/dev/null 2>&1 || case $package in
            libdnnl-dev) echo "$package cannot be installed here: matrix units for bfloat16 will not be used." >&2 ;;
            *) echo "$package cannot be installed here: the tests that need it will be skipped." >&2 ;;
        esac
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
