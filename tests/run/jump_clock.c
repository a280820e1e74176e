/* jump_clock.c -- loaded before the C library (LD_PRELOAD): from the third time on that it is asked
 * for, the time of day is a day ahead, a day behind, and right, in turns, as of a machine whose
 * clock is set; the monotonic clock goes on. Each jump that was seen is counted in the file $JUMPS,
 * a byte each. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define DAY 86400

static int real_clock(clockid_t clock, struct timespec *now)
{
    static int (*next)(clockid_t, struct timespec *);

    if (!next)
        *(void **)&next = dlsym(RTLD_NEXT, "clock_gettime");
    return next(clock, now);
}

/* Seconds by which the time of day is wrong now. */
static long shift(void)
{
    static _Atomic long asked;
    static _Atomic long last;
    long n = asked++, seconds = n < 2 ? 0 : (n % 3 - 1) * DAY;

    if (seconds != last && getenv("JUMPS")) {
        int file = open(getenv("JUMPS"), O_WRONLY | O_CREAT | O_APPEND, 0666);

        if (file >= 0) {
            if (write(file, "x", 1) < 0)
                _exit(1);
            close(file);
        }
    }
    last = seconds;
    return seconds;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int result = real_clock(clock, now);

    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += shift();
    return result;
}

int gettimeofday(struct timeval *now, void *zone)
{
    struct timespec time;

    (void)zone;
    clock_gettime(CLOCK_REALTIME, &time);
    now->tv_sec = time.tv_sec;
    now->tv_usec = time.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *out)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    if (out)
        *out = now.tv_sec;
    return now.tv_sec;
}
