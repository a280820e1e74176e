/* h5_guard.c -- the last word when HDF5 crashes. Only what is safe in a signal handler happens in
 * it. The globals are its only way to know the file. */
#include "tessera/h5_guard.h"

#include "tessera/commit.h"
#include "tessera/error.h"

#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SECONDS 5 /* of computing, not of waiting for a disk; such a read takes less than one */

static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
#define N_FAULTS (sizeof faults / sizeof faults[0])

static struct sigaction before[N_FAULTS], before_timer;
static const char *guarded;
static pthread_t reader;
static int depth, has_timer;
static timer_t timer; /* of this thread's computing: others may spin */
static char stack[65536]; /* the fault may be that the stack is used up */

static void say(const char *text)
{
    if (write(STDERR_FILENO, text, strlen(text)) < 0)
        return; /* nobody left to tell */
}

static void give_up(const char *what)
{
    say("tessera: ");
    say(guarded);
    say(what);
    tess_commit_abandon();
    _exit(TESS_EDATA);
}

static void end_circle(int signal_number)
{
    (void)signal_number;
    give_up(": is damaged: the HDF5 library does not come to an end with its texts; get the file "
            "again, or check it with h5dump\n");
}

static void end(int fault)
{
    for (size_t i = 0; i < N_FAULTS; i++)
        if (faults[i] == fault && !pthread_equal(reader, pthread_self())) {
            sigaction(fault, &before[i], NULL); /* not ours: it happens again on return */
            return;
        }
    give_up(": is damaged, or holds something that crashes the HDF5 library: get the file again, "
            "or check it with h5dump\n");
}

void tess_h5_guard_start(const char *path)
{
    struct sigaction action = {.sa_handler = end, .sa_flags = SA_ONSTACK};
    struct sigaction circle = {.sa_handler = end_circle, .sa_flags = SA_ONSTACK};
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGPROF};
    stack_t own = {.ss_sp = stack, .ss_size = sizeof stack}, old;

    if (depth++ > 0)
        return;
    guarded = path;
    reader = pthread_self();
    /* Another alternate stack (of a sanitizer, of MPI) stays: handlers run on that one. */
    if (sigaltstack(NULL, &old) == 0 && (old.ss_flags & SS_DISABLE))
        sigaltstack(&own, NULL);
    for (size_t i = 0; i < N_FAULTS; i++)
        sigaction(faults[i], &action, &before[i]);
    sigaction(SIGPROF, &circle, &before_timer);
    has_timer = timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &timer) == 0;
}

void tess_h5_guard_finish(void)
{
    TESS_BUG_IF(depth < 1);
    if (--depth > 0)
        return;
    for (size_t i = 0; i < N_FAULTS; i++)
        sigaction(faults[i], &before[i], NULL);
    if (has_timer)
        timer_delete(timer);
    has_timer = 0;
    sigaction(SIGPROF, &before_timer, NULL);
    guarded = NULL;
}

void tess_h5_guard_start_texts(void)
{
    if (depth > 0 && has_timer)
        timer_settime(timer, 0, &(struct itimerspec){.it_value.tv_sec = SECONDS}, NULL);
}

void tess_h5_guard_finish_texts(void)
{
    if (depth > 0 && has_timer)
        timer_settime(timer, 0, &(struct itimerspec){0}, NULL);
}
