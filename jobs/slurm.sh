# shellcheck shell=bash
# slurm.sh -- sourced by the .sbatch scripts: starting under SLURM, and going back into the queue.

# A task of an array by its place: the number of the last one is that of the whole array.
id=${SLURM_ARRAY_TASK_ID:+${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID}
id=${id:-$SLURM_JOB_ID}

# begin FILE MARK [MARKER]: see may_restart and end. A job that is submitted anew tries afresh.
begin() {
    local turn=${SLURM_RESTART_COUNT:-0} until
    digits turn MAX_IDLE || exit 2
    until=$(squeue -h -j "$id" -o %e)
    # The ranks' own clock, should SLURM's warning not come; SLURM 22.05 does not set it.
    [[ $until != [0-9]* ]] || default SLURM_JOB_END_TIME "$(date -d "$until" +%s)"
    requeued=''
    [ "$turn" -gt 0 ] || rm -f -- "$1" ${3+"$3"}
    say "job $id, start $((turn + 1)), on $SLURM_JOB_NODELIST until $until; so far: ${2:-nothing}"
    may_restart "$1" "${2-}" "$MAX_IDLE" || exit 1
}

# launch PROGRAM…: on all ranks of the job, each with its threads on cores of its own.
launch() {
    local cores=${SLURM_CPUS_PER_TASK:-1}
    if [ "$LAUNCH" = srun ]; then
        export OMP_NUM_THREADS=$cores SRUN_CPUS_PER_TASK=$cores # SLURM 22.05 and later forget it
        supervise srun --mpi=pmix --cpu-bind=cores --kill-on-bad-exit=1 "$@"
    else
        with_mpirun "$cores" "$@"
    fi
}

# back PATTERN: into the queue again, if that is what SLURM says of the job. One that is being preempted it puts
# back by itself; one that is being cancelled must not come back. Neither has one of these patterns.
back() {
    [ -z "$requeued" ] && scontrol show job -o "$id" | grep -qE "$1" || return
    scontrol requeue "$id" && say "back into the queue" && requeued=1
}
out_of_time='JobState=COMPLETING Reason=TimeLimit'

# The time limit, without a warning: at once, for SLURM may kill this shell before the checkpoint is complete.
on_term() { back "$out_of_time"; }

# end CODE MARKER: the end of this turn, or of the job. MARKER exists if a person stopped the work.
end() {
    trap '' TERM
    say "exit code $1"
    is_final "$1" || [ -e "$2" ] || back "JobState=RUNNING|$out_of_time"
    exit "$1"
}
