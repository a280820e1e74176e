# shellcheck shell=bash
# slurm.sh -- sourced by the .sbatch scripts: starting under SLURM, and going back into the queue.

id=$SLURM_JOB_ID

# begin FILE MARK: see may_restart. A job that is submitted anew tries afresh.
begin() {
    local turn=${SLURM_RESTART_COUNT:-0}
    [ "$turn" -gt 0 ] || rm -f "$1"
    say "job $id, start $((turn + 1)), on $SLURM_JOB_NODELIST; so far: ${2:-nothing}"
    may_restart "$1" "$2" "$MAX_IDLE" || exit 1
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

# end CODE MARKER: the end of this turn, or of the job. MARKER exists if a person stopped the work.
end() {
    trap '' TERM
    say "exit code $1"
    if is_final "$1" || [ -e "$2" ]; then exit "$1"; fi
    # A job that is being preempted SLURM puts back by itself; one that is being cancelled must not come back.
    if scontrol show job -o "$id" | grep -q 'JobState=RUNNING'; then
        scontrol requeue "$id" && say "back into the queue"
    fi
    exit "$1"
}
