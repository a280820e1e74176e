# shellcheck shell=bash
# common.sh -- sourced by the scripts beside it: what runs of Tessera need on any cluster. What is a
# setting of Open MPI, OpenMP or OpenBLAS here can be overridden from the environment.

default() { [ -n "${!1+set}" ] || export "$1=$2"; }

# A host that dies or loses its link never says so: after 20 s of silence mpirun and its daemons ask
# every 10 s whether the other side is still there, give up after 3 questions and end the job.
for name in OMPI_MCA_oob_tcp PRTE_MCA_oob_tcp PRTE_MCA_prte; do # Open MPI 4, 5, and 6
    default ${name}_keepalive_time 20
    default ${name}_keepalive_intvl 10
    default ${name}_keepalive_probes 3
done
default OPENBLAS_NUM_THREADS 1 # Tessera calls BLAS from threads of its own
# default HDF5_USE_FILE_LOCKING FALSE # where a network file system has no locks; remove the first #
# default OMPI_MCA_io romio321        # where parallel writing hangs or fails on Lustre or GPFS

# The program of the source folder TESSERA, or of an installation, where TESSERA is PREFIX/share/tessera.
program() {
    local path
    for path in "$TESSERA/build/tessera" "$TESSERA/../../bin/tessera" "$(command -v tessera)"; do
        [ ! -x "$path" ] || { printf '%s\n' "$path"; return; }
    done
    printf '%s\n' "$TESSERA/build/tessera" # in a container, or nowhere
}

say() { printf '%s  %s\n' "$(date '+%F %T')" "$*"; }

# digits NAME…: each of these variables holds a whole number. Bash's arithmetic runs what stands in $(…)
# within a variable, so nothing from a file or the environment gets there before it was looked at.
digits() {
    local name
    for name in "$@"; do
        case ${!name} in
        '' | *[!0-9]* | ??????????*) say "$name is '${!name}', no whole number of at most nine digits"; return 1 ;;
        esac
        printf -v "$name" %d "$((10#${!name}))"
    done
}

# paths NAME…: a relative path that begins with a dash would be taken for an option.
paths() {
    local name
    for name in "$@"; do
        case ${!name} in
        -*) printf -v "$name" './%s' "${!name}" ;;
        esac
    done
}

# supervise COMMAND…: run it and return its exit code. The first SIGUSR1, SIGTERM, SIGINT or SIGHUP that
# this shell gets reaches the command as SIGUSR1: it saves, then exit code 75. mpirun would end the
# job on the others, so it gets a session of its own, out of reach of Ctrl-C and of signals to the
# group; and it must not outlive a shell that is killed. If it has not ended `patience` seconds later
# (its other host may be gone), it is ended by force; so it is by a second Ctrl-C. `asked` is the signal.
supervise() {
    local code=0 dog=''
    case " $* " in
    *" --fresh "*) say "--fresh would start over at every turn: give it to tessera by hand"; return 2 ;;
    esac
    asked=''
    if setpriv --pdeathsig TERM true 2>/dev/null; then set -- setpriv --pdeathsig TERM "$@"; fi
    setsid "$@" </dev/null &
    child=$!
    for name in USR1 TERM INT HUP; do
        # shellcheck disable=SC2064
        trap "ask $name" $name
    done
    while wait "$child"; code=$?; kill -0 "$child" 2>/dev/null; do
        [ -z "$asked" ] || [ -n "$dog" ] || { end_later & dog=$!; }
    done
    wait "$child"
    code=$? # of the program, not of a signal that came with its end
    trap '' USR1 HUP
    trap - TERM INT
    [ -z "$dog" ] || kill "$dog" 2>/dev/null
    return "$code"
}

# with_mpirun CORES OPTIONS… PROGRAM…: each rank on as many cores as it has threads.
with_mpirun() {
    local name known=()
    export OMP_NUM_THREADS=$1
    for name in OMP_NUM_THREADS OPENBLAS_NUM_THREADS OPENBLAS_CORETYPE HDF5_USE_FILE_LOCKING; do
        [ -z "${!name+set}" ] || known+=(-x "$name") # on the other hosts as well
    done
    supervise mpirun --map-by "slot:PE=$1" --bind-to core "${known[@]}" "${@:2}"
}

ask() {
    if [ -z "$asked" ]; then
        asked=$1
        say "received SIG$1: asking it to save and stop"
        kill -USR1 "$child"
        [ "$1" != TERM ] || on_term
    elif [ "$1" = INT ]; then
        say "received SIG$1 again: ending at once"
        kill -TERM "$child"
    fi
}

on_term() { :; } # what else there is to do

end_later() {
    trap - USR1 TERM INT HUP
    local wait=${patience:-150} i
    digits wait || wait=150
    for ((i = 0; i < wait; i++)); do sleep 1; done # nothing long outlives this shell
    say "no answer for $wait s: ending it by force"
    kill -TERM "$child"
    sleep 10
    kill -KILL "$child"
}

# newest RUN: the name of its newest checkpoint, of several members or trials those of all; nothing if it has none.
newest() {
    local part
    for part in "$1" "$1"/member-* "$1"/trial-* "$1"/trial-*/member-*; do
        (CDPATH='' cd -- "$part" 2>/dev/null && printf '%s\n' checkpoint-*[0-9].h5 | grep -v '\*' | sort | tail -n 1)
    done | paste -s -d ' ' -
}

# imputed OUTPUT: how many rows of an unfinished output are there, of a folder's outputs how many are whole
# as well; nothing if there is none.
imputed() {
    local part
    if [ -d "$1" ]; then
        { find "$1" -name '*.sum' | wc -l; for part in "$1"/*.part.json; do imputed "${part%.part.json}"; done; } | paste -s -d ' ' -
        return
    fi
    sed -n 's/^ *"finished": \([0-9][0-9]*\),*$/row \1/p' "$1.part.json" 2>/dev/null
}

# may_restart FILE MARK MAX: call it at each start. MARK says how far the work is; FILE remembers it and
# how often the work was started without getting further. False when that was more than MAX times.
may_restart() {
    local n='' mark='' max=$3
    digits max || return 1
    mkdir -p -- "$(dirname -- "$1")"
    [ ! -f "$1" ] || { IFS='' read -r n && IFS='' read -r mark; } <"$1"
    if [ -n "$n" ] && [ "$mark" = "$2" ] && digits n >/dev/null; then n=$((n + 1)); else n=0; fi
    printf '%d\n%s\n' "$n" "$2" >"$1"
    [ "$n" -le "$max" ] || { say "started $n times without getting further: giving up. The log above says why"; return 1; }
}

# Exit codes that the same command would only repeat: a person has to look. All others (75, a killed
# rank, a lost node, a cut network, a full disk) are worth another start.
is_final() {
    case $1 in
    0 | 2 | 65 | 70 | 73 | 78) return 0 ;;
    esac
    return 1
}
