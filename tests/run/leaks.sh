#!/usr/bin/env bash
# tools/leaks.sh: a crash of the leak checker is tried again, once; a leak, and anything else, fails at once.
# usage: leaks.sh TESSERA SOURCE
set -u
. "$2/tests/tap.sh"
exec 2>&1
wrapper=$PWD/tools/leaks.sh

# program NAME BODY: says how often it was started, and then what BODY says.
program() {
    printf '#!/bin/sh\necho started >>%s/%s.n\n%s\n' "$work" "$1" "$2" >"$work/$1"
    chmod +x "$work/$1"
}
# ends NAME CODE TIMES
ends() {
    LSAN_OPTIONS=print_suppressions=0 "$wrapper" "$work/$1" >"$work/$1.log" 2>&1
    [ $? = "$2" ] && [ "$(wc -l <"$work/$1.n")" = "$3" ] && pass "$1" || bad "$1" "$work/$1.log"
}
tracer='echo "==7==LeakSanitizer has encountered a fatal error." >&2; exit 1'
program passes 'exit 0'
ends passes 0 1
program fails 'echo "[  FAILED  ] tests: 1 test(s)"; exit 3'
ends fails 3 1
program crash "case \$LSAN_OPTIONS in print_suppressions=0:use_tls=0) exit 0 ;; esac; $tracer"
ends crash 0 2
program crash-of-the-tracer 'case $LSAN_OPTIONS in *use_tls=0) exit 0 ;; esac; echo "Tracer caught signal 11: addr=0x0" >&2; exit 23'
ends crash-of-the-tracer 0 2
program always "$tracer"
ends always 1 2
program leak-then "case \$LSAN_OPTIONS in *use_tls=0) echo 'ERROR: LeakSanitizer: detected memory leaks'; exit 23 ;; esac; $tracer"
ends leak-then 23 2
program both 'echo "ERROR: LeakSanitizer: detected memory leaks"; echo "Tracer caught signal 11"; exit 23'
ends both 23 1

# A real leak, of a real checker.
printf '#include <stdlib.h>\nint main(int n, char **a) { (void)a; volatile char *p = malloc(7 + n); p[0] = 1; p = 0; return 0; }\n' >"$work/leak.c"
echo 'int main(void) { return 0; }' >"$work/clean.c"
if cc -fsanitize=address -o "$work/clean" "$work/clean.c" && ASAN_OPTIONS=detect_leaks=1 "$work/clean" >/dev/null 2>&1; then
    cc -O0 -fsanitize=address -o "$work/leak.real" "$work/leak.c"
    program leak "ASAN_OPTIONS=detect_leaks=1:exitcode=23 exec $work/leak.real"
    ends leak 23 1
    grep -q 'detected memory leaks' "$work/leak.log" && pass "a leak is named" || bad "a leak is named" "$work/leak.log"
fi
printf '1..%d\n' $((n_ok + n_bad))
[ $n_bad = 0 ]
