#!/usr/bin/env bash
# jobs/local.sh and jobs/train.pbs: asked to stop, killed, hopeless. (SLURM: tests/slurm/run.sh.)
# usage: jobs.sh TESSERA SOURCE
set -u
tessera=$1
. "$2/tests/tap.sh"
command -v mpirun >/dev/null && command -v h5diff >/dev/null || { echo "mpirun or h5diff is missing"; exit 77; }
make_study
mkdir -p "$work/source/build" "$work/bin"
cp -r jobs config "$work/source"
ln -s "$tessera" "$work/source/build/tessera"
export TESSERA=$work/source STORE=$work/data.prc.h5 RANKS=1 PAUSE=1
exec 2>&1

# background NAME COMMAND…: with its own CONFIG and RUN; $script is its process. The shell makes what it starts with & deaf
# to SIGINT, and newer versions of timeout keep it so.
background() {
    study "$1"
    CONFIG=$work/$1.yaml RUN=$work/$1 timeout 300 env --default-signal=INT "${@:2}" >>"$work/$1.log" 2>&1 &
    script=$!
}
stop() { [ -z "${script-}" ] || kill -KILL $(pgrep -P "$script"); } 2>/dev/null # takes its job along
ended() { # CODE: the script ends with it
    local code
    wait "$script"
    code=$?
    [ $code = "$1" ] || { echo "# exit code $code, not $1"; return 1; }
}

ctrl_c() {
    background ctrl-c setsid -w "$TESSERA/jobs/local.sh" # a terminal's Ctrl-C goes to the whole group
    until_true 90 went ctrl-c 5
    kill -INT -- "-$(pgrep -o -P "$script")" 2>/dev/null || kill -INT "$(pgrep -o -P "$script")"
    ended 75 && grep -q 'stopped by a signal after a complete checkpoint' "$work/ctrl-c.log" || return
    end_soon ctrl-c
    CONFIG=$work/ctrl-c.yaml RUN=$work/ctrl-c timeout 120 "$TESSERA/jobs/local.sh" >>"$work/ctrl-c.log" 2>&1 &&
        same_as_undisturbed ctrl-c
}

# A rank is killed, and later the script: mpirun must not go on alone.
killed() {
    background killed "$TESSERA/jobs/local.sh"
    until_true 90 newest killed || return
    kill_ranks killed
    until_true 90 grep -q 'resuming from' "$work/killed.log" || return
    local mine
    mine=$(pgrep -o -P "$script")
    kill -KILL "$mine"
    wait "$script"
    until_true 60 no_ranks killed
}
# The processes whose command line names the run, and that are Tessera's.
ranks_of() { pgrep -f "^$TESSERA/build/tessera train .*run.directory=$work/$1"; }
no_ranks() { [ -z "$(ranks_of "$1")" ]; }
kill_ranks() { for id in $(ranks_of "$1"); do kill -KILL "$id"; done; }

stop_file() {
    background stop "$TESSERA/jobs/local.sh"
    until_true 90 went stop 3
    touch "$work/stop/STOP"
    ended 75 && [ -e "$work/stop/STOPPED" ] && [ "$(grep -c 'training on' "$work/stop.log")" = 1 ]
}

fake() { # BODY: a program in the place of Tessera
    mkdir -p "$work/fake/build"
    cp -r jobs "$work/fake"
    printf '#!/bin/sh\necho started\n%s\n' "$1" >"$work/fake/build/tessera"
    chmod +x "$work/fake/build/tessera"
}
hopeless() {
    fake 'kill -9 $$'
    MAX_IDLE=2 TESSERA=$work/fake background hopeless "$TESSERA/jobs/local.sh"
    ended 1 && [ "$(grep -c '^started' "$work/hopeless.log")" = 3 ]
}
deaf() { # as ranks are that wait for a host that is gone
    fake 'trap "" USR1; exec sleep 60'
    patience=2 TESSERA=$work/fake background deaf "$TESSERA/jobs/local.sh"
    until_true 60 grep -q '^started' "$work/deaf.log"
    kill -TERM "$(pgrep -o -P "$script")"
    wait "$script"
    grep -q 'no answer for 2 s' "$work/deaf.log"
}
wrong() { # an error that only a person can mend ends it
    background wrong "$TESSERA/jobs/local.sh" --set train.batch=nonsense
    ended 78
}
fresh_refused() {
    background fresh "$TESSERA/jobs/local.sh" --fresh
    ended 2
}

# What stands in a file, a name or a setting is never run: bash's arithmetic would, with $(…) in a variable.
crafted() {
    local bait="x[\$(touch $work/bait)]" n
    fake 'printf "<%s>\n" "$@"'
    (
        . jobs/common.sh
        printf '%s\nmark\n' "$bait" >"$work/restarts"
        may_restart "$work/restarts" mark 2 && [ "$(cat "$work/restarts")" = $'0\nmark' ] || exit 1
        printf '08\nmark\n' >"$work/restarts" # no octal number either
        may_restart "$work/restarts" mark 9 && [ "$(cat "$work/restarts")" = $'9\nmark' ] || exit 1
        may_restart "$work/restarts" mark 9 && exit 1
        may_restart "$work/restarts" further 9 && [ "$(cat "$work/restarts")" = $'0\nfurther' ]
    ) || return
    for n in THREADS RANKS MAX_IDLE; do
        ! env "$n=$bait" TESSERA="$work/fake" CONFIG=c RUN="$work/crafted" timeout 60 "$TESSERA/jobs/local.sh" || return
    done
    ! env SLURM_JOB_ID=1 SLURM_RESTART_COUNT="$bait" MAX_IDLE=2 SLURM_JOB_NODELIST=n PATH="$work/bin:$PATH" \
        bash -c '. "$1/jobs/common.sh"; squeue() { :; }; . "$1/jobs/slurm.sh"; begin "$2"' bash "$PWD" "$work/slurm" || return
    printf '%s\n\n' "$bait" >"$work/crafted.restarts"
    echo localhost >"$work/nodes"
    env CONFIG=c RUN="$work/crafted" TESSERA="$work/fake" PBS_O_WORKDIR="$work" PBS_JOBID=7 PBS_NODEFILE="$work/nodes" TESSERA_TURN=1 \
        timeout 60 bash jobs/train.pbs && [ ! -e "$work/bait" ]
} >"$work/crafted.log"

# Names with blanks, quotes, $(…) and a leading dash reach the program as they are.
names() {
    local name="-o \$(touch bait2) 'x' \"y\""
    fake 'printf "<%s>\n" "$@"'
    mkdir -p "$work/names/one run" "$work/names/bin"
    (
        cd "$work/names" || exit 1
        CONFIG=$name STORE=$name RUN=$name TESSERA=$work/fake timeout 60 "$TESSERA/jobs/local.sh" a 'b c' || exit 1
        # impute.sbatch, with mpirun in the place of SLURM: newer versions of it would ask for the rest of an allocation
        export PRTE_MCA_ras=^slurm PRTE_MCA_plm=^slurm
        printf '#!/bin/sh\nexit 0\n' | tee bin/squeue bin/scontrol >/dev/null
        chmod +x bin/*
        export SLURM_JOB_ID=1 SLURM_JOB_NODELIST=n SLURM_SUBMIT_DIR=$PWD TESSERA=$work/fake PATH=$PWD/bin:$PATH SLURM_RESTART_COUNT=0
        RUN='one run' OUTPUT=-o.h5ad timeout 60 bash "$work/fake/jobs/impute.sbatch" --threads 2
        RUN='one two' OUTPUT=out.h5ad timeout 60 bash "$work/fake/jobs/impute.sbatch"
        CONFIG=$name STORE=-s RUN='a sweep' timeout 60 bash "$work/fake/jobs/sweep.sbatch" --set train.epochs=3
        RUN='a sweep' SLURM_ARRAY_JOB_ID=4 SLURM_ARRAY_TASK_ID=07 timeout 60 bash "$work/fake/jobs/sweep.sbatch"
        ! RUN='a sweep' SLURM_ARRAY_JOB_ID=4 SLURM_ARRAY_TASK_ID='1;x' timeout 60 bash "$work/fake/jobs/sweep.sbatch" || touch "$work/names/bait2"
    ) >"$work/names.log"
    [ ! -e "$work/names/bait2" ] && grep -qxF "<./$name>" "$work/names.log" && grep -qxF "<data.store=./$name>" "$work/names.log" &&
        grep -qxF "<run.directory=./$name>" "$work/names.log" && grep -qxF '<b c>' "$work/names.log" &&
        grep -qxF '<one run>' "$work/names.log" && grep -qxF '<./-o.h5ad>' "$work/names.log" &&
        grep -qxF '<sweep>' "$work/names.log" && grep -qxF '<run.directory=a sweep>' "$work/names.log" && grep -qxF '<train.epochs=3>' "$work/names.log" &&
        grep -qxF '<--trial>' "$work/names.log" && grep -qxF '<7>' "$work/names.log" && [ -e "$work/names/a sweep.trial-7.restarts" ] &&
        grep -qxF '<one>' "$work/names.log" && grep -qxF '<two>' "$work/names.log"
}

# PBS: its commands are not here; a qsub that writes down how it was called is.
pbs() {
    printf '#!/bin/sh\necho "$TESSERA_TURN $*" >>%s/qsub\n' "$work" >"$work/bin/qsub"
    chmod +x "$work/bin/qsub"
    echo localhost >"$work/nodes"
    local turn="env PATH=$work/bin:$PATH PBS_O_WORKDIR=$work PBS_JOBID=7 PBS_NODEFILE=$work/nodes MINUTES=0.1"
    background pbs $turn bash "$TESSERA/jobs/train.pbs"
    ended 75 && grep -q '^1 -v TESSERA_TURN,.*train.pbs$' "$work/qsub" || return
    end_soon pbs
    CONFIG=$work/pbs.yaml RUN=$work/pbs TESSERA_TURN=1 timeout 120 $turn MINUTES=9 bash "$TESSERA/jobs/train.pbs" >>"$work/pbs.log" 2>&1 &&
        [ "$(wc -l <"$work/qsub")" = 1 ] && same_as_undisturbed pbs || return
    background pbs-deleted $turn MINUTES=9 bash "$TESSERA/jobs/train.pbs"
    until_true 90 went pbs-deleted 3
    kill -TERM "$(pgrep -o -P "$script")"
    ended 75 && [ "$(wc -l <"$work/qsub")" = 1 ]
}

check() { "$1" && pass "$2" || bad "$2" "$work/${3:-$1}.log"; }
check ctrl_c "Ctrl-C: a checkpoint, the end; again: the same bits" ctrl-c
check killed "a killed rank: started again; a killed script takes its job along"
check stop_file "STOP: ends, and is not started again" stop
check hopeless "no progress: given up"
check deaf "no answer to a signal: ended by force"
check wrong "a wrong setting: ended"
check fresh_refused "--fresh: refused" fresh
check crafted "a crafted count of starts, crafted settings: nothing of them is run"
check names "names with blanks, quotes, dollars and dashes"
check pbs "PBS: out of time, submitted again, the same bits; deleted: not again"
[ $n_bad = 0 ]
