/* h5_guard.c -- the last word when HDF5 crashes. Only what is safe in a signal handler happens in
 * it. The globals are its only way to know the file. */
#include "tessera/h5_guard.h"

#include "tessera/error.h"

#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
#define N_FAULTS (sizeof faults / sizeof faults[0])

static struct sigaction before[N_FAULTS];
static const char *guarded;
static pthread_t reader;
static int depth;
static char stack[65536]; /* the fault may be that the stack is used up */

static void say(const char *text)
{
    if (write(STDERR_FILENO, text, strlen(text)) < 0)
        return; /* nobody left to tell */
}

static void end(int fault)
{
    for (size_t i = 0; i < N_FAULTS; i++)
        if (faults[i] == fault && !pthread_equal(reader, pthread_self())) {
            sigaction(fault, &before[i], NULL); /* not ours: it happens again on return */
            return;
        }
    say("tessera: ");
    say(guarded);
    say(": is damaged, or holds something that crashes the HDF5 library: get the file again, or "
        "check it with h5dump\n");
    _exit(TESS_EDATA);
}

void tess_h5_guard_start(const char *path)
{
    struct sigaction action = {.sa_handler = end, .sa_flags = SA_ONSTACK};
    stack_t own = {.ss_sp = stack, .ss_size = sizeof stack}, old;

    if (depth++ > 0)
        return;
    guarded = path;
    reader = pthread_self();
    if (sigaltstack(NULL, &old) == 0 && (old.ss_flags & SS_DISABLE))
        sigaltstack(&own, NULL);
    for (size_t i = 0; i < N_FAULTS; i++)
        sigaction(faults[i], &action, &before[i]);
}

void tess_h5_guard_finish(void)
{
    TESS_BUG_IF(depth < 1);
    if (--depth > 0)
        return;
    for (size_t i = 0; i < N_FAULTS; i++)
        sigaction(faults[i], &before[i], NULL);
    guarded = NULL;
}
