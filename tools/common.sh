# shellcheck shell=bash
# common.sh -- sourced by the scripts beside it: the environment that MPI needs on small machines, and
# building. Leaves the caller in the source folder.
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

while IFS= read -r line; do
    case $line in [A-Z]*=*) export "${line?}" ;; esac
done <tools/mpi.env
export OPENBLAS_NUM_THREADS=1

say() { printf '\n== %s\n' "$*"; }
fail() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; exit 1; }

# What a build folder is configured for: compiler, MPI and packages, with what they say of themselves.
# One that comes, goes or is renewed changes it.
found_here() {
    local name
    printf '%s\n' "${CC-}" "${CFLAGS-}" "${CPPFLAGS-}" "${LDFLAGS-}" "$(meson --version)" "$(${CC:-cc} --version 2>&1 | head -n 1)"
    for name in mpicc mpirun; do readlink -f "$(command -v $name)"; done
    for name in ompi-c mpich mpi-c mpi hdf5-openmpi hdf5-mpich hdf5-mpi hdf5 scalapack-openmpi scalapack-mpich scalapack openblas openblas-lapack lapack \
        yaml-0.1 jansson libxxhash zlib libarchive cmocka; do
        printf '%s: %s\n' $name "$(pkg-config --modversion $name 2>/dev/null) $(pkg-config --cflags --libs $name 2>/dev/null)"
    done
}

# has_options DIR [-DNAME=VALUE…]: is the folder set up with them?
has_options() {
    python3 - "$@" <<'END'
import json, sys
with open(sys.argv[1] + "/meson-info/intro-buildoptions.json") as file:
    values = {o["name"]: o["value"] for o in json.load(file)}
for option in sys.argv[2:]:
    name, _, wanted = option[2:].partition("=")
    value = values.get(name)
    if wanted != (",".join(value) if isinstance(value, list) else str(value)):
        sys.exit(1)
END
}

# configure DIR [-DNAME=VALUE…]: sets the folder up, changes its options, or sets it up anew, with the options that it
# was given so far, when what was found for it has changed.
configure() {
    local found=$1/configured-for.txt
    if [ -f "$1/build.ninja" ] && [ "$(found_here)" = "$(cat "$found" 2>/dev/null)" ]; then
        has_options "$@" || meson setup --reconfigure "$@"
    elif [ -f "$1/meson-private/coredata.dat" ]; then # set up once; not one whose first time failed
        rm -f "$found"
        meson setup --wipe "$@" && found_here >"$found"
    else
        meson setup "$@" && found_here >"$found"
    fi
}

# build DIR [meson options]: quiet unless it fails; what was said stays in DIR/build-log.txt. With goals=NAME before it
# only that is built.
build() {
    local dir=$1 log
    log=$(mktemp)
    configure "$@" >"$log" 2>&1 && ninja -C "$dir" ${goals-} >>"$log" 2>&1 || {
        tail -n 40 "$log" >&2
        rm -f "$log"
        fail "building into $dir failed; the lines above say why"
    }
    mv "$log" "$dir/build-log.txt"
}

# find_leaks: is the leak check possible here? 1 or 0 in $leaks. Some containers forbid what it needs.
find_leaks() {
    local probe
    leaks=0 probe=$(mktemp)
    echo 'int main(void) { return 0; }' | ${CC:-cc} -fsanitize=address -x c -o "$probe" - && ASAN_OPTIONS=detect_leaks=1 "$probe" && leaks=1
    rm -f "$probe"
    [ $leaks = 1 ] || echo "The leak check does not work here and is left out."
}
