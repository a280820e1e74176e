#!/usr/bin/env bash
# Fuzzing: the targets of tests/fuzz built with clang, libFuzzer and sanitizers, each let run for a while, two at a time.
# It goes on from the inputs that earlier runs kept in build-fuzz/inputs; what was found is in build-fuzz/found/TARGET: put
# it into tests/fuzz/found/TARGET when it is mended, and tools/test.sh keeps an eye on it.
# usage: tools/fuzz.sh [--seconds N] [--long] [TARGET…]     (of each target: 20 seconds, --long: an hour; all targets)
set -u
. "$(dirname "$0")/common.sh"
seconds=20 targets=""
while [ $# -gt 0 ]; do
    case $1 in
    --seconds) seconds=${2-}; shift ;;
    --long) seconds=3600 ;;
    -*) sed -n '2,5s/^# //p' tools/fuzz.sh >&2; exit 2 ;;
    *) targets="$targets $1" ;;
    esac
    shift
done
case $seconds in '' | *[!0-9]*) fail "--seconds: '$seconds' is no number of seconds" ;; esac
tools/install.sh --tests --fuzz || exit 1
command -v clang >/dev/null || { echo "1..0 # SKIP fuzzing: clang is not installed"; exit 77; }

say "Building with clang and libFuzzer"
export CC=clang
goals=fuzz_programs build build-fuzz -Dtests=enabled -Dbuildtype=debugoptimized -Db_sanitize=address,undefined -Db_lundef=false \
    -Dc_args=-fsanitize=fuzzer-no-link
[ -n "$targets" ] || targets=$(cd build-fuzz/tests/fuzz && for program in fuzz_*; do [ ! -f "$program" ] || echo "${program#fuzz_}"; done)
for target in $targets; do
    [ -x "build-fuzz/tests/fuzz/fuzz_$target" ] || fail "no target $target in tests/fuzz/meson.build"
done

# Memory: more at a time than any of these small inputs can need is a finding.
export TESS_FUZZ_SEEDS=$PWD/build-fuzz/tests/fuzz/seeds
find_leaks
export ASAN_OPTIONS=allocator_may_return_null=1:detect_leaks=$leaks:quarantine_size_mb=16 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
export LSAN_OPTIONS=suppressions=$PWD/tools/leaks.txt:print_suppressions=0
one() {
    local inputs=build-fuzz/inputs/$1 found=build-fuzz/found/$1 log=build-fuzz/fuzz-$1.txt code
    mkdir -p "$inputs" "$found"
    local folders=("$inputs")
    for code in "tests/fuzz/corpus/$1" "tests/fuzz/found/$1"; do [ ! -d "$code" ] || folders+=("$code"); done
    "build-fuzz/tests/fuzz/fuzz_$1" -max_total_time="$seconds" -timeout=20 -malloc_limit_mb=600 -rss_limit_mb=3000 -print_final_stats=1 \
        -artifact_prefix="$found/" "${folders[@]}" >"$log" 2>&1
    code=$?
    awk -v name="$1" -v code=$code '/^#[0-9]+.* cov: /{for (i = 1; i < NF; i++) if ($i == "cov:") cover = $(i + 1)}
        /number_of_executed_units/{runs = $2}
        END {printf "%s - fuzz_%s: %d executions, %d places covered%s\n", code ? "not ok" : "ok", name, runs, cover, code ? ", a finding" : ""}' "$log"
    [ $code = 0 ] || { tail -n 30 "$log" | sed 's/^/# /'; echo "# $found"; }
}
export -f one
export seconds
say "Fuzzing, $seconds seconds each"
results=$(mktemp)
# shellcheck disable=SC2086
printf '%s\n' $targets | xargs -P 2 -I{} bash -c 'one "$1"' _ {} | tee "$results"
good=$(grep -c '^ok' "$results") bad=$(grep -c '^not ok' "$results")
rm -f "$results"
printf '\n%d passed, %d failed\n' "$good" "$bad"
[ "$bad" = 0 ] && [ "$good" -gt 0 ]
