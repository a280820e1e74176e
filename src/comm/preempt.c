/* preempt.c -- signals and the scheduler's clock. */
#include "tessera/preempt.h"

#include "tessera/clock.h"
#include "tessera/text.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SAME_REQUEST  2.0 /* seconds */
#define STALE_SECONDS 3600.0
#define SPARE_SECONDS 5.0 /* between the last of the work and the end of time */

static volatile sig_atomic_t received;
static struct timespec received_at;

/* The launcher, the batch system and a terminal may each pass one request on: only a later signal
 * is a second request. */
static void handle(int number)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now); /* async-signal-safe */
    if (!received) {
        received_at = now;
        received = number;
    } else if ((double)(now.tv_sec - received_at.tv_sec) +
                   1e-9 * (double)(now.tv_nsec - received_at.tv_nsec) >
               SAME_REQUEST)
        _exit(128 + number);
}

void tess_preempt_install(void)
{
    static const int numbers[] = {SIGUSR1, SIGTERM, SIGINT};
    struct sigaction action;

    memset(&action, 0, sizeof action);
    action.sa_handler = handle;
    action.sa_flags = SA_RESTART;
    sigemptyset(&action.sa_mask);
    for (int i = 0; i < 3; i++) /* none of them interrupts another's handler */
        sigaddset(&action.sa_mask, numbers[i]);
    for (int i = 0; i < 3; i++)
        sigaction(numbers[i], &action, NULL);
    action.sa_handler = SIG_IGN; /* a file beyond the user's limit is an error like a full disk */
    sigaction(SIGXFSZ, &action, NULL);
}

int tess_preempt_signal(void)
{
    return received;
}

/* Seconds until the batch system ends the job, 0 if it is about to; negative if it does not say. A
 * time long past is that of another job, whose environment was kept. */
static double scheduler_left(void)
{
    const char *text = getenv("SLURM_JOB_END_TIME");
    int64_t end;
    double left;

    if (!text || !tess_text_int64(text, &end))
        return -1;
    left = (double)end - (double)time(NULL);
    return left < -STALE_SECONDS ? -1 : fmax(left, 0);
}

void tess_deadline_set(struct tess_deadline *deadline, double seconds)
{
    double scheduler = scheduler_left();

    *deadline = (struct tess_deadline){.at = seconds > 0 ? tess_clock() + seconds : 0};
    if (scheduler >= 0 && (deadline->at <= 0 || tess_clock() + scheduler < deadline->at))
        deadline->at = tess_clock() + scheduler;
}

int tess_deadline_over(struct tess_deadline *deadline, double seconds)
{
    double now = tess_clock(), pause = deadline->looked > 0 ? now - deadline->looked : 0;

    deadline->looked = now;
    if (pause > deadline->longest_pause)
        deadline->longest_pause = pause;
    return deadline->at > 0 &&
           now + seconds + deadline->longest_pause + SPARE_SECONDS >= deadline->at;
}
