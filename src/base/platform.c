/* platform.c -- choosing OpenBLAS's kernels, and how threads wait. */
#include "tessera/platform.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/log.h"

#include <cblas.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* Kernels of OpenBLAS up to 0.3.34 that do without AVX2, and without AVX-512. Names that are not
 * here are those of newer processors than the table. */
static const char *const old_cores[] = {
    "Katmai", "Coppermine",   "Northwood",   "Prescott",  "Banias",     "Atom",        "Core2",
    "Penryn", "Dunnington",   "Nehalem",     "Athlon",    "Opteron",    "Barcelona",   "Nano",
    "Bobcat", "Opteron_SSE3", "Sandybridge", "Bulldozer", "Piledriver", "Steamroller", "Unknown",
    NULL};
static const char *const narrow_cores[] = {"Haswell", "Zen", "Excavator", NULL};

static int is_among(const char *const *names, const char *name)
{
    while (*names && strcasecmp(*names, name) != 0)
        names++;
    return *names != NULL;
}

const char *tess_platform_better_core(const char *core, int has_avx2, int has_avx512)
{
    if (has_avx512 && (is_among(old_cores, core) || is_among(narrow_cores, core)))
        return "SkylakeX";
    return has_avx2 && is_among(old_cores, core) ? "Haswell" : NULL;
}

/* NULL: OpenBLAS's own choice is right. */
static const char *better_core(void)
{
#if defined(__x86_64__)
    /* What the kernels for SkylakeX need of AVX-512: F, CD, BW, DQ and VL. */
    int wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
               __builtin_cpu_supports("avx512cd");

    return tess_platform_better_core(
        tess_platform_blas_core(), __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"),
        wide);
#else
    return NULL;
#endif
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

/* OpenBLAS chooses its kernels while it is loaded, before main: only a new start makes it choose
 * again. What was set is inherited, so that the second start sets nothing and goes on. */
void tess_platform_choose(char **argv)
{
    int core = suggest("OPENBLAS_CORETYPE", better_core());
    /* Threads meet some ten times a step: they wait awake for about as long as waking up takes, and
     * no longer, as with more threads than cores spinning ones would slow the others down. */
    int wait = getenv("OMP_WAIT_POLICY") ? 0 : suggest("GOMP_SPINCOUNT", "5000");

    if (core || wait)
        execv("/proc/self/exe", argv);
    if (core) /* could not: slower, but right */
        unsetenv("OPENBLAS_CORETYPE");
}

/* proc(5): VmHWM and VmRSS are in units of 1024 bytes. */
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

void tess_platform_threads(int64_t n)
{
    if (n > 0)
        omp_set_num_threads(tess_int(n));
    else if (!getenv("OMP_NUM_THREADS"))
        omp_set_num_threads(1);
}
