# shellcheck shell=bash
# slurm.sh -- sourced by the .sbatch scripts: starting under SLURM, and going back into the queue.

id=${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID}
id=${id:-$SLURM_JOB_ID}

# begin FILE MARK: see may_restart. A job that is submitted anew may try afresh.
begin() {
    local turn=${SLURM_RESTART_COUNT:-0}
    [ "$turn" -gt 0 ] || rm -f "$1"
    say "job $id, start $((turn + 1)) on $SLURM_JOB_NODELIST; so far: ${2:-nothing}"
    may_restart "$1" "$2" "${MAX_IDLE:-5}" || {
        say "started $((MAX_IDLE + 1)) times without getting further: giving up. The log above says why"
        exit 1
    }
}

# launch PROGRAM…: on all ranks of the job.
launch() {
    local cores=${SLURM_CPUS_PER_TASK:-1}
    export OMP_NUM_THREADS=$cores SRUN_CPUS_PER_TASK=$cores
    if [ "$LAUNCH" = srun ]; then
        supervise srun --mpi=pmix --cpu-bind=cores --kill-on-bad-exit=1 "$@"
    else
        supervise mpirun --map-by "slot:PE=$cores" --bind-to core "$@"
    fi
}

# end CODE MARKER: the end of this turn, or of the job. MARKER exists if a person stopped the work.
end() {
    say "exit code $1"
    if is_final "$1" || [ -e "$2" ]; then exit "$1"; fi
    # Preempted, SLURM has put the job back itself; cancelled, it must not come back.
    case $(scontrol show job -o "$id" | grep -o 'JobState=[A-Z]*') in
    JobState=RUNNING) scontrol requeue "$id" && say "back into the queue" ;;
    esac
    exit "$1"
}
