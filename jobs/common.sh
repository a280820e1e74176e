# shellcheck shell=bash
# common.sh -- sourced by the scripts beside it: what runs of Tessera need on any cluster. Everything
# here that is a setting of Open MPI, HDF5 or the kernel's can be overridden from the environment.

default() { [ -n "${!1+set}" ] || export "$1=$2"; }

# A host that dies or loses its link never says so: after 20 s of silence mpirun and its daemons ask
# every 10 s whether the other side is still there, give up after 3 questions and end the job.
default OMPI_MCA_oob_tcp_keepalive_time 20
default OMPI_MCA_oob_tcp_keepalive_intvl 10
default OMPI_MCA_oob_tcp_keepalive_probes 3
default OMP_NUM_THREADS 1      # the scripts set it to the cores of a rank
default OPENBLAS_NUM_THREADS 1 # Tessera calls BLAS from its own threads
default OMP_PROC_BIND close
default OMP_PLACES cores

say() { printf '%s  %s\n' "$(date '+%F %T')" "$*"; }

# supervise COMMAND…: run it and return its exit code. The first SIGUSR1, SIGTERM, SIGINT or SIGHUP that
# this shell gets reaches the command as SIGUSR1: checkpoint, then exit code 75. mpirun would end the
# job on the others, so it is kept out of reach of Ctrl-C (a session of its own), and must not outlive
# a shell that is killed. A command that has not ended `patience` seconds later (its other host may be
# gone) is ended by force; so it is by a second Ctrl-C. `asked` names the signal.
supervise() {
    local code dog=
    asked=
    if setpriv --pdeathsig TERM true 2>/dev/null; then set -- setpriv --pdeathsig TERM "$@"; fi
    setsid "$@" </dev/null &
    child=$!
    for name in USR1 TERM INT HUP; do
        # shellcheck disable=SC2064
        trap "ask $name" $name
    done
    while wait "$child"; code=$?; kill -0 "$child" 2>/dev/null; do
        [ -z "$asked" ] || [ -n "$dog" ] || { end_later "$child" & dog=$!; }
    done
    [ -z "$dog" ] || kill "$dog" 2>/dev/null
    return "$code"
}

ask() {
    if [ -z "$asked" ]; then
        say "received SIG$1: asking for a checkpoint"
        kill -USR1 "$child"
    elif [ "$1" = INT ]; then
        say "received SIG$1 again: ending at once"
        kill -TERM "$child"
    fi
    asked=${asked:-$1}
}

end_later() {
    trap - USR1 TERM INT HUP
    sleep "${patience:-120}"
    say "no answer for ${patience:-120} s: ending it by force"
    kill -TERM "$1"
    sleep 10
    kill -KILL "$1"
}

# newest_step RUN: the step of its newest checkpoint; nothing if it has none.
newest_step() { (cd "$1" 2>/dev/null && ls checkpoint-*[0-9].h5 2>/dev/null | sort | tail -n 1); }

# may_restart FILE MARK MAX: call it at each start. MARK says how far the work is; FILE remembers it and
# how often the work was started without getting further. False when that was more than MAX times.
may_restart() {
    local mark='' n=0
    [ ! -e "$1" ] || { read -r n && read -r mark; } <"$1"
    if [ "$mark" = "$2" ] && [ -e "$1" ]; then n=$((n + 1)); else n=0; fi
    mkdir -p "$(dirname "$1")"
    printf '%d\n%s\n' "$n" "$2" >"$1"
    [ "$n" -le "$3" ]
}

# Exit codes that the same command would only repeat: a person has to look. All others (75, a killed
# rank, a lost node, the network, a disk that was full) are worth another start.
is_final() {
    case $1 in
    0 | 2 | 65 | 70 | 73 | 78) return 0 ;;
    esac
    return 1
}
