/* preempt.h -- being asked to stop: signals, time limits, the batch system's end. The handler notes
 * the signal and when it came, or ends the process; it calls nothing that is not async-signal-safe.
 * Local. */
#ifndef TESSERA_PREEMPT_H
#define TESSERA_PREEMPT_H

/* Catch SIGUSR1, SIGTERM and SIGINT; ignore SIGXFSZ. The first asks to stop; a second one, more
 * than two seconds later (one request may reach a process by several ways), ends the process at
 * once. */
void tess_preempt_install(void);
/* The signal that was received, or 0. */
int tess_preempt_signal(void);

/* When the work must be over. Zeroes: never. */
struct tess_deadline {
    double at; /* tess_clock(); 0: there is none */
    double looked, longest_pause; /* the last look; the longest time between two of them */
};
/* In `seconds` (0: no limit), or before that when the batch system ends the job
 * (SLURM_JOB_END_TIME). */
void tess_deadline_set(struct tess_deadline *deadline, double seconds);
/* Is it time to stop, if `seconds` are needed to end well? One more pause like the longest, and
 * some seconds, are kept free as well. */
int tess_deadline_over(struct tess_deadline *deadline, double seconds);

#endif
