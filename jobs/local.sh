#!/usr/bin/env bash
# Train on this machine, or on the hosts of HOSTFILE without a batch system, until it is done: started again
# when a rank was killed, a host lost or the disk full. Ctrl-C: a checkpoint, then the end (twice: at once);
# the same command goes on later. A file STOP in the run directory ends it as well.
# usage: CONFIG=… STORE=… RUN=… RANKS=… jobs/local.sh [options of tessera train]
TESSERA=${TESSERA:-$(cd "$(dirname "$0")/.." && pwd)} # Tessera's source folder, built in build/
CONTAINER=${CONTAINER:-}                              # or: apptainer exec image.sif (Tessera built with its libraries)
CONFIG=${CONFIG:-$TESSERA/config/quickstart.yaml}     # the settings
STORE=${STORE:-data.prc.h5}                           # the data
RUN=${RUN:-run}                                       # the run directory
THREADS=${THREADS:-1}                                 # threads of a rank
RANKS=${RANKS:-}                                      # ranks, or nothing: on all cores; ranks x threads <= train.lanes
HOSTFILE=${HOSTFILE:-}                                # "HOST slots=N" a line, or nothing: this machine
MAX_IDLE=${MAX_IDLE:-5}                               # starts in a row without a new checkpoint, then it gives up
PAUSE=${PAUSE:-10}                                    # seconds between two starts

. "$TESSERA/jobs/common.sh" || exit 78
digits THREADS MAX_IDLE || exit 2
cores=$(lscpu -p=core,socket | grep -v '^#' | sort -u | wc -l)
[ -n "$RANKS" ] || RANKS=$((cores / THREADS < 16 ? cores / THREADS : 16))
digits RANKS || exit 2
paths CONFIG STORE RUN HOSTFILE
RUN=${RUN%/}
rm -f -- "$RUN.restarts" "$RUN/STOPPED"
while may_restart "$RUN.restarts" "$(newest "$RUN")" "$MAX_IDLE"; do
    with_mpirun "$THREADS" -n "$RANKS" ${HOSTFILE:+--hostfile "$HOSTFILE"} \
        $CONTAINER "$(program)" train "$CONFIG" --set data.store="$STORE" --set run.directory="$RUN" "$@"
    code=$?
    if is_final $code || [ -n "$asked" ] || [ -e "$RUN/STOPPED" ]; then exit $code; fi
    say "exit code $code: starting again in $PAUSE s"
    sleep "$PAUSE"
done
exit 1
