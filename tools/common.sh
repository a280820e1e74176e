# shellcheck shell=bash
# common.sh -- sourced by the scripts beside it: the environment that MPI needs on small machines, and
# building. Leaves the caller in the source folder.
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
# Containers forbid reading another process's memory; more ranks than cores must not spin.
export OMPI_MCA_btl_vader_single_copy_mechanism=none
export OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_mpi_yield_when_idle=1
export OPENBLAS_NUM_THREADS=1

say() { printf '\n== %s\n' "$*"; }
fail() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; exit 1; }

# build DIR [meson options]: quiet unless it fails.
build() {
    local dir=$1 log
    shift
    log=$(mktemp)
    { [ -f "$dir/build.ninja" ] || meson setup "$dir" "$@"; } >"$log" 2>&1 && ninja -C "$dir" >>"$log" 2>&1 || {
        tail -n 40 "$log" >&2
        rm -f "$log"
        fail "building into $dir failed; the lines above say why"
    }
    rm -f "$log"
}
