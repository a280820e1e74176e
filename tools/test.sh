#!/usr/bin/env bash
# Install what is missing, build, and run all tests; then the unit and MPI tests again under the address
# and undefined-behaviour sanitizers. Ends with one line: N passed, M failed[, K skipped].
# --slurm: then jobs/ on a real SLURM cluster of one node. --hosts: then a run over two network namespaces.
# --trees: then everything from the start on bare trees of Debian 12, 13 and the newest. These three need root.
# --fuzz: then tools/fuzz.sh, 20 seconds each target; without clang it is skipped. All four are on where the variable
# CI is set; SLURM and hosts, which mostly wait, then go beside the trees, and are shown after them. --long: with the
# whole matrices of kills, damages and failures (an hour).
# --quick: the unit and MPI tests and what differs from system to system, without sanitizers; --judges: with what
# others make of our files and we of theirs. --mpich: the unit and MPI tests with MPICH, and nothing else.
# usage: tools/test.sh [--slurm] [--hosts] [--trees] [--fuzz] [--long] | --quick [--judges] | --mpich
set -u
. "$(dirname "$0")/common.sh"
more="" only="" part="unit mpi quick"
[ -z "${CI-}" ] || more="--fuzz --slurm --hosts --trees"
for option in "$@"; do
    case $option in
    --slurm | --hosts | --trees | --fuzz) case $more in *$option*) ;; *) more="$more $option" ;; esac ;;
    --long) export TESS_TEST_LONG=1 ;;
    --quick | --mpich) only=$option ;;
    --judges) only=--quick part="$part judges" ;;
    *) sed -n '2,12s/^# //p' tools/test.sh >&2; exit 2 ;;
    esac
done
[ -z "$only" ] || more=""

passed=0 failed=0 skipped=0
# Many tests wait, for mpirun to start and to end: three of them keep two processors busy. On bare trees two go at a time already.
processes=3 patience=2
[ -z "${TESS_TEST_LONG-}" ] || patience=15
[ -z "$only" ] || processes=2 patience=4

# run BUILD [meson test options]: adds to the counts. A Meson that fails without counting is a failure.
run() {
    local log=$1/test-output.txt code counts
    meson test -C "$1" --no-rebuild --num-processes $processes --print-errorlogs "${@:2}" 2>&1 | tee "$log"
    code=${PIPESTATUS[0]}
    counts=$(awk -F: '/^(Ok|Expected Fail): /{ok += $2} /^(Fail|Unexpected Pass|Timeout): /{bad += $2}
        /^Skipped: /{skip += $2} END {print ok + 0, bad + 0, skip + 0}' "$log")
    set -- $counts
    [ "$code" = 0 ] || [ "$2" -gt 0 ] || set -- "$1" 1 "$3"
    [ "$1" -gt 0 ] || set -- "$1" $(($2 + 1)) "$3" # nothing ran
    passed=$((passed + $1)) failed=$((failed + $2)) skipped=$((skipped + $3))
}

# script NAME: tests/NAME/run.sh, which prints TAP lines and cleans up behind itself; or tools/fuzz.sh.
script() {
    local script=tests/$1/run.sh sudo="" limit=1800
    [ "$1" != trees ] || limit=3000 # it installs and builds four times; where packages come slowly that takes
    [ "$1" != fuzz ] || script=tools/fuzz.sh # it builds once more
    [ "$(id -u)" = 0 ] || [ "$1" = fuzz ] || ! sudo -n true 2>/dev/null || sudo="sudo -n"
    $sudo timeout -k 30 $limit "$script" 2>&1
}

# count_script CODE LOG: of what a script ended with and said.
count_script() {
    local code=$1 counts
    counts=$(awk '/^ok/{ok++} /^not ok/{bad++} /^1\.\.0 # SKIP/{skip++} END {print ok + 0, bad + 0, skip + 0}' "$2")
    set -- $counts
    { [ "$code" = 0 ] || [ "$code" = 77 ]; } && [ $(($1 + $2 + $3)) -gt 0 ] || [ "$2" -gt 0 ] || set -- "$1" 1 "$3"
    passed=$((passed + $1)) failed=$((failed + $2)) skipped=$((skipped + $3))
}

# run_script NAME [NAME…]: those after the first go beside it, one after the other, and are shown when all are over.
run_script() {
    local code name beside=""
    say "Tests: $*"
    for name in "${@:2}"; do rm -f "build/test-$name".*; done
    [ $# = 1 ] || { scripts_beside "${@:2}" & beside=$!; }
    script "$1" | tee "build/test-$1.txt"
    code=${PIPESTATUS[0]}
    [ -z "$beside" ] || wait "$beside"
    count_script "$code" "build/test-$1.txt"
    for name in "${@:2}"; do
        say "Tests: $name"
        cat "build/test-$name.txt"
        count_script "$(cat "build/test-$name.code")" "build/test-$name.txt"
    done
}
scripts_beside() {
    local name
    for name in "$@"; do
        script "$name" >"build/test-$name.txt"
        echo $? >"build/test-$name.code"
    done
}

finish() {
    printf '\n%d passed, %d failed' $passed $failed
    [ $skipped = 0 ] || printf ', %d skipped' $skipped
    printf '\n'
    [ $failed = 0 ]
    exit
}

# shellcheck disable=SC2086
tools/install.sh --tests $only $more || exit 1
if [ "$only" = --mpich ]; then
    say "Building with MPICH"
    build build-mpich -Dtests=enabled -Dmpi=mpich -Donednn=disabled
    say "Unit and MPI tests with MPICH"
    run build-mpich --suite unit --suite mpi --timeout-multiplier $patience
    finish
fi
say "Building"
build build -Dtests=enabled
say "Tests"
# Words of options are split on purpose.
# shellcheck disable=SC2046,SC2086
run build --timeout-multiplier $patience $([ -z "$only" ] || printf -- '--suite %s ' $part)
[ -z "$only" ] || finish

say "Building with sanitizers"
build build-asan -Dtests=enabled -Dbuildtype=debugoptimized -Db_sanitize=address,undefined -Db_lundef=false
say "Unit and MPI tests with sanitizers, and what reads with threads of its own"
find_leaks
export ASAN_OPTIONS=detect_leaks=$leaks:allocator_may_return_null=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
export LSAN_OPTIONS=suppressions=$PWD/tools/leaks.txt:print_suppressions=0
run build-asan --suite unit --suite mpi --suite sanitized --timeout-multiplier 4 --wrapper "$PWD/tools/leaks.sh"

slurm="" hosts="" # each with its name if it is wanted
case $more in *--slurm*) slurm=slurm ;; esac
case $more in *--hosts*) hosts=hosts ;; esac
case $more in *--fuzz*) run_script fuzz ;; esac
# shellcheck disable=SC2086
case $more in
*--trees*) run_script trees $slurm $hosts ;;
*) for name in $slurm $hosts; do run_script $name; done ;;
esac
finish
