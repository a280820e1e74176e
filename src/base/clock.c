/* clock.c -- the monotonic clock. */
#include "tessera/clock.h"

#include <time.h>

double tess_clock(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}
