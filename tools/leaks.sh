#!/usr/bin/env bash
# Run a test of a sanitizer build. Where the leak checker itself crashed, at the end of a program, it is run once more
# with the checker's thread-local part left out, which is what it crashes in on some processors. A leak is a leak: it
# is not tried again.
# usage: tools/leaks.sh COMMAND…   (meson test --wrapper)
set -u
log=$(mktemp)
trap 'rm -f "$log"' EXIT
trap 'kill -TERM "$child" 2>/dev/null' TERM INT HUP

# run COMMAND…: shows and keeps what it says; its exit code.
run() {
    local code
    "$@" >"$log" 2>&1 &
    child=$!
    wait "$child"
    code=$?
    cat "$log"
    return "$code"
}
run "$@"
code=$?
if [ $code != 0 ] && grep -qE 'Tracer caught signal|LeakSanitizer has encountered a fatal error' "$log" &&
    ! grep -qE 'detected memory leaks|ERROR: AddressSanitizer|runtime error:' "$log"; then
    echo "tools/leaks.sh: the leak checker crashed; once more with LSAN_OPTIONS=use_tls=0"
    LSAN_OPTIONS=${LSAN_OPTIONS:+$LSAN_OPTIONS:}use_tls=0 run "$@"
    code=$?
fi
exit $code
