/* preempt.h -- being asked to stop: signals, and the batch system's time limit. The handler notes
 * the signal and when it came, or ends the process; it calls nothing that is not async-signal-safe.
 */
#ifndef TESSERA_PREEMPT_H
#define TESSERA_PREEMPT_H

/* Catch SIGUSR1, SIGTERM and SIGINT; ignore SIGXFSZ. The first asks to stop; a second one, more
 * than two seconds later (one request may reach a process by several ways), ends the process at
 * once. Local. */
void tess_preempt_install(void);
/* The signal that was received, or 0. Local. */
int tess_preempt_signal(void);

/* Seconds until the batch system ends the job (SLURM_JOB_END_TIME), negative if it does not say.
 * Local. */
double tess_preempt_scheduler_left(void);

#endif
