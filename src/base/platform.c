/* platform.c -- choosing OpenBLAS's kernels, and how threads wait. */
#include "tessera/platform.h"

#include "tessera/error.h"
#include "tessera/log.h"

#include <cblas.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* The newest kernels of OpenBLAS 0.3.21 that this processor runs; NULL: its own choice is right. */
static const char *best_core(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512cd"))
        return "SkylakeX";
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return "Haswell";
#endif
    return NULL;
}

/* Core types that are at least as good as the ones above, where OpenBLAS knows the processor. */
static int good_enough(const char *core, const char *best)
{
    static const char *const wide[] = {"SkylakeX", "Cooperlake", "SapphireRapids"};
    static const char *const narrow[] = {"Haswell", "Zen", "Excavator"};

    for (int i = 0; i < 3; i++)
        if (strcasecmp(core, wide[i]) == 0 ||
            (strcasecmp(best, "Haswell") == 0 && strcasecmp(core, narrow[i]) == 0))
            return 1;
    return 0;
}

const char *tess_platform_blas_core(void)
{
    return openblas_get_corename();
}

/* Sets a variable unless the user did; 1 if it was set here. */
static int suggest(const char *name, const char *value)
{
    return value && !getenv(name) && setenv(name, value, 1) == 0;
}

void tess_platform_choose(char **argv)
{
    const char *best = best_core();
    int core = suggest("OPENBLAS_CORETYPE",
                       best && !good_enough(tess_platform_blas_core(), best) ? best : NULL);
    int wait = getenv("GOMP_SPINCOUNT") ? 0 : suggest("OMP_WAIT_POLICY", "PASSIVE");

    if (core || wait)
        execv("/proc/self/exe", argv);
    if (core) /* could not: slower, but right */
        unsetenv("OPENBLAS_CORETYPE");
}

double tess_platform_memory(int peak)
{
    FILE *file = fopen("/proc/self/status", "r");
    char line[128];
    double bytes = 0;

    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, peak ? "VmHWM:" : "VmRSS:", 6) == 0)
            bytes = 1024 * strtod(line + 6, NULL);
    if (file)
        fclose(file);
    return bytes;
}

int tess_platform_report(MPI_Comm comm, struct tess_error *error)
{
    char mine[32] = "", first[32];

    openblas_set_num_threads(1);
    snprintf(mine, sizeof mine, "%s", tess_platform_blas_core());
    memcpy(first, mine, sizeof first);
    MPI_Bcast(first, sizeof first, MPI_CHAR, 0, comm);
    if (strcmp(first, mine) != 0)
        tess_error_set(error, TESS_EOS,
                       "this rank's OpenBLAS uses %s kernels, rank 0's %s: results would depend on "
                       "the layout; set OPENBLAS_CORETYPE to one that all nodes run",
                       mine, first);
    tess_debug("OpenBLAS kernels: %s", mine);
    return error->code;
}
