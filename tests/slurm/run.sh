#!/usr/bin/env bash
# jobs/train.sbatch and impute.sbatch on a real SLURM cluster of one node, this machine, that lives in a folder of its own
# beside whatever SLURM there is: preempted, out of time, cancelled, hopeless. About three minutes.
# usage: tests/slurm/run.sh   (root; slurm-wlm and munge installed; build/tessera built)
set -u
. "$(dirname "$0")/../tap.sh"
[ "$(id -u)" = 0 ] || skip_all "SLURM: its daemons need root here"
for name in slurmctld slurmd munged mungekey h5diff; do
    command -v $name >/dev/null || skip_all "SLURM: $name is missing (packages slurm-wlm, munge, hdf5-tools)"
done

host=$(hostname -s) cores=2
export SLURM_CONF=$work/slurm/slurm.conf
stop_daemon() { # PIDFILE
    local id
    read -r id <"$1" || return
    kill "$id" && until_true 10 not_running "$id" || kill -KILL "$id"
} 2>/dev/null
not_running() { ! kill -0 "$1"; }
no_jobs() { local jobs; jobs=$(squeue -h) && [ -z "$jobs" ]; } # no answer is not "none"

stop() {
    [ -z "${up-}" ] || { scancel -u root; until_true 60 no_jobs; } >/dev/null 2>&1
    stop_daemon "$work/slurm/slurmd.pid"
    stop_daemon "$work/slurm/slurmctld.pid"
    stop_daemon "$work/munge/pid"
}

start_munge() {
    mkdir -m 711 "$work/munge"
    local at=$work/munge
    mungekey --create --keyfile="$at/key" &&
        munged --key-file="$at/key" --socket="$at/socket" --pid-file="$at/pid" --log-file="$at/log" --seed-file="$at/seed" &&
        munge -S "$at/socket" -n | unmunge -S "$at/socket" >/dev/null
}

start_slurm() {
    local at=$work/slurm
    mkdir -p "$at/state" "$at/spool"
    cat >"$SLURM_CONF" <<-END
	ClusterName=test
	SlurmctldHost=$host(localhost)
	SlurmctldPort=$((20000 + $$ % 10000))
	SlurmdPort=$((30000 + $$ % 10000))
	AuthType=auth/munge
	AuthInfo=socket=$work/munge/socket
	CredType=cred/munge
	ProctrackType=proctrack/pgid
	TaskPlugin=task/none
	MpiDefault=none
	ReturnToService=2
	SlurmUser=root
	SlurmdUser=root
	StateSaveLocation=$at/state
	SlurmdSpoolDir=$at/spool
	SlurmctldPidFile=$at/slurmctld.pid
	SlurmdPidFile=$at/slurmd.pid
	SlurmctldLogFile=$at/slurmctld.log
	SlurmdLogFile=$at/slurmd.log
	SelectType=select/cons_tres
	SelectTypeParameters=CR_Core
	SlurmdParameters=config_overrides
	PreemptType=preempt/partition_prio
	PreemptMode=REQUEUE
	JobRequeue=1
	KillWait=30
	MinJobAge=86400
	SchedulerParameters=sched_interval=2,bf_interval=2
	NodeName=$host NodeAddr=localhost CPUs=$cores RealMemory=1000 State=UNKNOWN
	PartitionName=low Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=REQUEUE
	PartitionName=high Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
	END
    slurmctld >"$at/out" 2>&1 && slurmd >>"$at/out" 2>&1 && up=1 && until_true 60 idle
}
idle() { [ "$(sinfo -h -o %t)" = idle ]; }

# train NAME LAUNCH [sbatch options]: the script itself, as users run it; its job number.
train() {
    local name=$1 launch=$2
    shift 2
    study "$name"
    (cd "$work" && sbatch --parsable -o "$name.log" --ntasks-per-node=$cores --cpus-per-task=1 "$@" \
        --export=ALL,LAUNCH="$launch",TESSERA="${source:-$OLDPWD}",CONFIG="$work/$name.yaml",STORE="$work/data.prc.h5",RUN="$work/$name",MAX_IDLE="${idle:-5}" \
        "$OLDPWD/jobs/train.sbatch")
}
state() { scontrol show job -o "$1" | grep -o "JobState=[A-Z]*"; }
is() { [ "$(state "$1")" = "JobState=$2" ]; }
waiting_again() { is "$1" PENDING && [ "$(scontrol show job -o "$1" | grep -o 'Restarts=[0-9]*')" = "Restarts=$2" ]; }
# A requeued job is made to wait for two minutes, which a test has not got. A few seconds it needs: the
# credential of its last turn is revoked, and one of the same second would be refused.
go_on() { # NAME JOB SECONDS RESTARTS
    until_true "$3" waiting_again "$2" "$4" && sleep 3 && until_true 60 started "$1" "$2" $(($4 + 1))
}
started() {
    grep -q ", start $3, on" "$work/$1.log" || { scontrol update jobid="$2" StartTime=now; sleep 2; false; }
}

# preempt NAME LAUNCH
preempt() {
    local job urgent
    job=$(train "$1" "$2")
    until_true 90 went "$1" 10 || { bad "$1: does not train" "$work/$1.log"; return; }
    urgent=$(cd "$work" && sbatch --parsable -o /dev/null -p high -n $cores --wrap 'sleep 1')
    until_true 150 is "$urgent" COMPLETED && until_true 60 waiting_again "$job" 1 ||
        { bad "$1: not requeued" "$work/$1.log"; return; }
    grep -q 'stopped by a signal after a complete checkpoint' "$work/$1.log" ||
        bad "$1: no checkpoint when preempted" "$work/$1.log"
    end_soon "$1"
    go_on "$1" "$job" 30 1
    until_true 150 is "$job" COMPLETED && grep -q 'resuming from' "$work/$1.log" && same_as_undisturbed "$1" &&
        pass "$1: preempted, requeued, resumed with $2: the same bits" ||
        bad "$1: preempted with $2" "$work/$1.log"
}

# Two jobs beside each other, of one rank each, of which the first is warned. SLURM looks at the time every 30 s, and warns
# at the first look from 30 s before the moment asked for: here between 30 and 60 s after the start. (With a limit of a
# minute the first look may come before anybody listens.) The other one only hears that it has been ended; its ranks
# do not know the time either. Until then the ranks are held, for what they do in a minute an undisturbed run has to do too.
out_of_time() {
    local job unwarned after
    job=$(train limit mpirun --ntasks-per-node=1 --time=2 --signal=B:USR1@60)
    deaf_to_time
    unwarned=$(source=$work/timeless train unwarned mpirun --ntasks-per-node=1 --time=1 --signal=B:CONT@1)
    after=$(cd "$work" && sbatch --parsable -o after.log --ntasks-per-node=1 --cpus-per-task=1 --dependency=afterok:"$job:$unwarned" \
        --export=ALL,TESSERA="$OLDPWD",RUN="$work/limit",OUTPUT="$work/imputed.h5ad" "$OLDPWD/jobs/impute.sbatch")
    hold_until_asked limit &
    hold_until_asked unwarned &
    until_true 150 waiting_again "$job" 1 && until_true 60 is "$after" PENDING || { bad "limit: not requeued" "$work/limit.log"; return; }
    end_soon limit
    until_true 150 waiting_again "$unwarned" 1 || { bad "unwarned: not requeued" "$work/unwarned.log"; return; }
    end_soon unwarned
    go_on limit "$job" 30 1
    go_on unwarned "$unwarned" 30 1
    until_true 150 is "$job" COMPLETED && grep -q 'received SIGUSR1' "$work/limit.log" && grep -q 'until 20' "$work/limit.log" &&
        grep -q 'resuming from' "$work/limit.log" && same_as_undisturbed limit &&
        pass "limit: out of time, requeued, resumed: the same bits" || bad "limit" "$work/limit.log"
    until_true 150 is "$unwarned" COMPLETED && grep -q 'received SIGTERM' "$work/unwarned.log" &&
        grep -q 'resuming from' "$work/unwarned.log" && same_as_undisturbed unwarned &&
        pass "limit without a warning: requeued, resumed: the same bits" || bad "unwarned" "$work/unwarned.log"
    until_true 90 is "$after" COMPLETED && [ -s "$work/imputed.h5ad" ] &&
        pass "impute: waited for the last turns" || bad "impute" "$work/after.log"
}
hold_until_asked() {
    until_true 90 went "$1" 5 && until_true 90 newest "$1" && to_ranks STOP "$1"
    until_true 150 grep -q 'received SIG' "$work/$1.log"
    to_ranks CONT "$1"
}
# An imputation is held after its first rows are saved, until it hears that the job is preempted: so it is in the middle.
impute_preempted() {
    local job urgent
    timeout 120 "$tessera" -q simulate -o "$work/big.prc.h5" --perturbations 3000 --readouts 2000 --contexts 3 --sparsity 0.95 &&
        timeout 120 "$tessera" -q train "$work/study.yaml" --set data.store="$work/big.prc.h5" --set run.directory="$work/big" \
            --set train.epochs=1 --set train.batch=65536 || { bad "impute: nothing to impute with"; return; }
    job=$(cd "$work" && sbatch --parsable -o big.log --ntasks-per-node=$cores --cpus-per-task=1 \
        --export=ALL,TESSERA="$OLDPWD",RUN="$work/big",OUTPUT="$work/big.h5ad" "$OLDPWD/jobs/impute.sbatch" --blend off --save-every 0.001)
    until_true 90 rows_saved && to_imputers STOP
    urgent=$(cd "$work" && sbatch --parsable -o /dev/null -p high -n $cores --wrap 'sleep 1')
    until_true 90 grep -q 'received SIG' "$work/big.log"
    to_imputers CONT
    until_true 150 is "$urgent" COMPLETED && until_true 60 waiting_again "$job" 1 ||
        { bad "impute: not requeued" "$work/big.log"; return; }
    go_on big "$job" 30 1
    until_true 150 is "$job" COMPLETED && grep -q 'rows, which are saved' "$work/big.log" && grep -q 'going on after' "$work/big.log" &&
        timeout 120 "$tessera" -q impute "$work/big" -o "$work/alone.h5ad" --blend off &&
        h5diff -q --exclude-path /uns/provenance "$work/big.h5ad" "$work/alone.h5ad" && [ ! -e "$work/big.h5ad.part" ] &&
        pass "impute: preempted, requeued, gone on with: the same bits" || bad "impute preempted" "$work/big.log"
}
rows_saved() { grep -q '"finished": [1-9]' "$work/big.h5ad.part.json"; }
to_imputers() {
    for id in $(pgrep -f "^$tessera impute .*$work/big.h5ad "); do kill -"$1" "$id"; done
}
to_ranks() {
    for id in $(pgrep -f "^$tessera train .*run.directory=$work/$2\$"); do kill -"$1" "$id"; done
}
deaf_to_time() {
    mkdir -p "$work/timeless/build"
    cp -r jobs "$work/timeless"
    printf '#!/bin/sh\nunset SLURM_JOB_END_TIME\nexec %s "$@"\n' "$tessera" >"$work/timeless/build/tessera"
    chmod +x "$work/timeless/build/tessera"
}

cancel() {
    local job
    job=$(train cancelled mpirun)
    until_true 90 went cancelled 3
    scancel "$job"
    until_true 90 no_jobs && until_true 60 is "$job" CANCELLED && [ -n "$(newest cancelled)" ] &&
        pass "cancelled: a checkpoint, and not back in the queue" || bad "cancelled" "$work/cancelled.log"

    job=$(train stopped mpirun)
    until_true 90 went stopped 3
    touch "$work/stopped/STOP"
    until_true 90 no_jobs && until_true 60 is "$job" FAILED && [ -e "$work/stopped/STOPPED" ] &&
        pass "stopped by a person: not back in the queue" || bad "stopped" "$work/stopped.log"
}

# Trials as tasks of an array, one core each, of which both are preempted; then the table, and the bits of a training.
array() {
    local job urgent n
    printf '%s\n' 'sweep:' '  model.dropout: [0, 0.2]' >>"$work/study.yaml"
    study sweep
    job=$(cd "$work" && sbatch --parsable -o "sweep-%a.log" --ntasks-per-node=1 --cpus-per-task=1 --array="$("$tessera" -q sweep "$work/sweep.yaml" \
        --set run.directory="$work/sweep" --array)" --export=ALL,TESSERA="$OLDPWD",CONFIG="$work/sweep.yaml",STORE="$work/data.prc.h5",RUN="$work/sweep" \
        "$OLDPWD/jobs/sweep.sbatch")
    for n in 1 2; do until_true 90 went sweep/trial-$n 10 || { bad "array: trial $n does not train" "$work/sweep-$n.log"; return; }; done
    urgent=$(cd "$work" && sbatch --parsable -o /dev/null -p high -n $cores --wrap 'sleep 1')
    until_true 150 is "$urgent" COMPLETED && until_true 60 waiting_again "${job}_1" 1 && until_true 60 waiting_again "${job}_2" 1 ||
        { bad "array: not requeued" "$work/sweep-1.log"; return; }
    scancel "$job"
    until_true 60 no_jobs
    for n in 1 2; do
        grep -q 'stopped by a signal after a complete checkpoint' "$work/sweep-$n.log" || bad "array: no checkpoint of trial $n" "$work/sweep-$n.log"
    done
    sed -i 's/^  epochs: .*/  epochs: 20/' "$work/study.yaml"
    study short
    job=$(cd "$work" && sbatch --parsable -o "short-%a.log" --ntasks-per-node=1 --cpus-per-task=1 --array=1-2 \
        --export=ALL,TESSERA="$OLDPWD",CONFIG="$work/short.yaml",STORE="$work/data.prc.h5",RUN="$work/short" "$OLDPWD/jobs/sweep.sbatch")
    until_true 150 is "${job}_1" COMPLETED && until_true 60 is "${job}_2" COMPLETED &&
        timeout 120 "$tessera" -q sweep "$work/short.yaml" --set run.directory="$work/short" >"$work/short.log" 2>&1 &&
        grep -q 'best by validation' "$work/short.log" && timeout 120 "$tessera" -q train "$work/short/trial-2.yaml" --set run.directory="$work/one" &&
        h5diff -q "$(newest short/trial-2)" "$(newest one)" &&
        pass "array: preempted and requeued task by task; done, the table, the same bits" || bad "array" "$work/short-1.log"
    sed -i '/^sweep:/,$d' "$work/study.yaml"
}

# A program that dies each time in the place of Tessera.
give_up() {
    local job source=$work/dying idle=1
    mkdir -p "$source/build"
    cp -r jobs "$source"
    printf '#!/bin/sh\nkill -9 $$\n' >"$source/build/tessera"
    chmod +x "$source/build/tessera"
    job=$(train hopeless mpirun)
    go_on hopeless "$job" 60 1 && go_on hopeless "$job" 60 2
    until_true 60 is "$job" FAILED && grep -q 'started 2 times without getting further' "$work/hopeless.log" &&
        pass "hopeless: given up" || bad "hopeless" "$work/hopeless.log"
}

make_study
start_munge || { bad "munged does not start" "$work/munge/log"; exit 1; }
start_slurm || { bad "SLURM does not start" "$work/slurm/slurmctld.log"; tail -n 5 "$work/slurm/out" "$work/slurm/slurmd.log"; exit 1; }
# A case that failed leaves nothing to the next one.
case_of() { "$@"; scancel -u root; until_true 60 no_jobs; } 2>/dev/null
case_of preempt preempted mpirun
if srun --mpi=list 2>&1 | grep -q pmix; then case_of preempt preempted-srun srun; fi
case_of impute_preempted
case_of out_of_time
case_of cancel
case_of array
case_of give_up
printf '1..%d\n' $((n_ok + n_bad))
[ $n_bad = 0 ]
