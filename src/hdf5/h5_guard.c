/* h5_guard.c -- the last word when HDF5 crashes or does not come to an end. Only what is safe in a
 * signal handler happens in it. The globals are its only way to know the file. */
#include "tessera/h5_guard.h"

#include "tessera/commit.h"
#include "tessera/error.h"
#include "tessera/text.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define TICKS   10 /* looks in a second of computing */
#define SECONDS 30 /* of it; unpacking the largest chunk that there can be takes less */
#define BYTES   ((long long)3 << 30) /* one call reads up to 2 GiB, and is seen when it is done */
#define UNSEEN  20 /* times as long, where the system does not tell of reads */

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
#define N_FAULTS (sizeof faults / sizeof faults[0])

static struct sigaction before[N_FAULTS], before_timer;
static const char *guarded;
static pthread_t reader;
static int depth, has_timer;
static timer_t timer; /* of this thread's computing: others may spin */
static char stack[65536]; /* the fault may be that the stack is used up */

static struct { /* since bytes last moved */
    char path[64]; /* where the system tells of them */
    long long moved, own, resident, page;
    int64_t ticks, most_ticks;
} idle;

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

/* The number behind `label` in a file of the system's; -1: there is none. What such looks read
 * themselves adds up in idle.own. */
static long long number_in(const char *path, const char *label)
{
    char text[512];
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = file < 0 ? 0 : read(file, text, sizeof text - 1);
    const char *at;
    long long number = 0;

    if (file >= 0)
        close(file);
    n = n < 0 ? 0 : n;
    text[n] = '\0';
    idle.own += n;
    at = strstr(text, label);
    if (!at)
        return -1;
    for (at += strlen(label); *at >= '0' && *at <= '9'; at++)
        number = 10 * number + (*at - '0');
    return number;
}

/* Bytes that the thread read from files so far, but for looks; -1: unknown. */
static long long bytes_read(void)
{
    long long own = idle.own, n = number_in(idle.path, "rchar: ");

    return n > 0 ? n - own : -1;
}

static void look(int signal_number)
{
    int was = errno;
    long long moved = bytes_read(), written = number_in(idle.path, "wchar: ");
    long long resident = number_in("/proc/self/statm", " ") * idle.page;

    (void)signal_number;
    if (moved >= 0)
        moved += written;
    if (moved != idle.moved) {
        idle.moved = moved;
        idle.resident = resident;
        idle.ticks = 0;
    } else if (++idle.ticks >= idle.most_ticks * (moved < 0 ? UNSEEN : 1) ||
               resident - idle.resident > BYTES)
        give_up(": is damaged: the HDF5 library does not come to an end with it; get the file "
                "again, or check it with h5dump\n");
    errno = was;
}

static void start_looking(void)
{
    struct sigaction action = {.sa_handler = look, .sa_flags = SA_ONSTACK | SA_RESTART};
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGPROF};
    const struct timespec often = {.tv_nsec = 1000000000 / TICKS};
    const char *text = getenv("TESS_HDF5_SECONDS");
    int64_t seconds = SECONDS;
    pid_t thread = (pid_t)syscall(SYS_gettid);

    if (!text || !tess_text_int64(text, &seconds) || seconds < 1 || seconds > INT32_MAX)
        seconds = SECONDS;
    snprintf(idle.path, sizeof idle.path, "/proc/self/task/%ld/io", (long)thread);
    idle.page = sysconf(_SC_PAGESIZE);
    idle.most_ticks = seconds * TICKS;
    idle.moved = -2; /* begins with the first look */
    idle.ticks = 0;
    event.sigev_notify_thread_id = thread;
    sigaction(SIGPROF, &action, &before_timer);
    has_timer = timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &timer) == 0;
    if (has_timer)
        timer_settime(timer, 0, &(struct itimerspec){often, often}, NULL);
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
    start_looking();
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
