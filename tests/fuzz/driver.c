/* driver.c -- runs a target: as libFuzzer's engine asks, or over files and folders.
 *
 * usage (without libFuzzer): fuzz_NAME FILE|FOLDER…
 *
 * A target whose libraries crash by themselves runs each input in a process of its own. What that
 * one covered comes back through shared memory, so that libFuzzer is guided by it all the same. */
#include "fuzz.h"

#include "tessera/error.h"
#include "tessera/h5.h"
#include "tessera/h5_guard.h"
#include "tessera/log.h"

#include <mpi.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef FUZZ_ENGINE
#define SECONDS 20 /* that an input may take */
#else
#define SECONDS 120 /* machines that run tests are busy */
#endif
#define FOUND 99 /* exit code of a process that found something */

__attribute__((weak)) void fuzz_begin(void)
{
}

static char folder[64], path[128];
static pid_t owner;

void fuzz_fail(const char *file, int line, const char *what)
{
    fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, what);
    abort();
}

static void remove_folder(void)
{
    DIR *dir = getpid() == owner ? opendir(folder) : NULL;
    struct dirent *entry;

    while (dir && (entry = readdir(dir)))
        if (entry->d_name[0] != '.') {
            snprintf(path, sizeof path, "%s/%.60s", folder, entry->d_name);
            unlink(path);
        }
    if (dir)
        closedir(dir);
    if (dir)
        rmdir(folder);
}

const char *fuzz_file(const char *name, const void *data, size_t n)
{
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    file = fopen(path, "wb");
    FUZZ_CHECK(file && (n == 0 || fwrite(data, 1, n, file) == n));
    fclose(file);
    return path;
}

char *fuzz_text(const uint8_t *data, size_t n)
{
    char *text = malloc(n + 1);

    FUZZ_CHECK(text);
    memcpy(text, data, n);
    text[n] = '\0';
    return text;
}

unsigned fuzz_take(const uint8_t **data, size_t *n)
{
    if (*n == 0)
        return 0;
    ++*data;
    --*n;
    return (*data)[-1];
}

void fuzz_refused(const struct tess_error *error, int other, const char *name)
{
    int right = (error->code == TESS_EDATA || error->code == other) && error->text[0] &&
                !strchr(error->text, '\n') && (!name || strstr(error->text, name));

    if (!right)
        fprintf(stderr, "refused with code %d: %s\n", error->code, error->text);
    FUZZ_CHECK(right);
}

#ifdef FUZZ_ENGINE
/* Counters of what was covered, as -fsanitize=fuzzer lays them down. */
extern uint8_t counters __asm__("__start___sancov_cntrs"), counters_end
    __asm__("__stop___sancov_cntrs");
#define N_COUNTERS ((size_t)(&counters_end - &counters))
#else
static uint8_t counters;
#define N_COUNTERS 0
#endif
static uint8_t *covered;

#ifdef FUZZ_ENGINE
void __sanitizer_print_stack_trace(void);

/* HDF5's own crashes are told by what the sanitizer says of them (is_theirs). */
void tess_h5_guard_start(const char *guarded)
{
    (void)guarded;
}
void tess_h5_guard_finish(void)
{
}

static void end_late(int number)
{
    (void)number;
    __sanitizer_print_stack_trace();
    _exit(FOUND);
}
#endif

static char *child_says(char *name, size_t room)
{
    snprintf(name, room, "%s/said", folder);
    return name;
}

static void run_child(const uint8_t *data, size_t n)
{
    char name[128];

    FUZZ_CHECK(freopen(child_says(name, sizeof name), "w", stderr));
#ifdef FUZZ_ENGINE
    signal(SIGALRM, end_late);
#endif
    alarm(SECONDS);
    fuzz_one(data, n);
    if (N_COUNTERS)
        memcpy(covered, &counters, N_COUNTERS);
    fflush(NULL);
    _exit(0);
}

/* Is it the HDF5 library that crashed, or did not come to an end? Then the innermost functions that
 * are no sanitizer's are its. (In the program a guard ends it with a sentence.) */
static int is_theirs(FILE *said)
{
    char line[4096];
    int frames = 0;

    while (said && frames < 5 && fgets(line, sizeof line, said)) {
        if (!strstr(line, "    #"))
            continue;
        if (strstr(line, "libhdf5") && !strstr(line, "/tests/"))
            return 1;
        if (strstr(line, "/src/"))
            return 0;
        frames += !strstr(line, "__sanitizer") && !strstr(line, "__interceptor") &&
                  !strstr(line, "end_late");
    }
    return 0;
}

static void judge(int status)
{
    char name[128], line[4096];
    FILE *said;

    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return;
#ifndef FUZZ_ENGINE
    if (WIFEXITED(status) && WEXITSTATUS(status) == TESS_EDATA) /* the guard's last word */
        return;
#endif
    said = fopen(child_says(name, sizeof name), "r");
    if (is_theirs(said)) {
        fclose(said);
        return;
    }
    if (said)
        rewind(said);
    while (said && fgets(line, sizeof line, said))
        fputs(line, stderr);
    if (WIFSIGNALED(status))
        fprintf(stderr, "ended by signal %d\n", WTERMSIG(status));
    fuzz_fail(__FILE__, __LINE__, "an input is read, or refused with a sentence");
}

static void fork_one(const uint8_t *data, size_t n)
{
    pid_t child = fork();
    int status = 0;

    FUZZ_CHECK(child >= 0);
    if (child == 0)
        run_child(data, n);
    while (waitpid(child, &status, 0) < 0)
        FUZZ_CHECK(errno == EINTR);
    if (N_COUNTERS)
        memcpy(&counters, covered, N_COUNTERS);
    judge(status);
}

/* MPI takes the signals of crashes for itself, where libFuzzer keeps the input that led to one. */
static void begin_mpi(void)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    enum { N_FAULTS = sizeof faults / sizeof faults[0] };
    struct sigaction before[N_FAULTS];

    for (int i = 0; i < N_FAULTS; i++)
        sigaction(faults[i], NULL, &before[i]);
    MPI_Init(NULL, NULL);
    for (int i = 0; i < N_FAULTS; i++)
        sigaction(faults[i], &before[i], NULL);
}

static void begin(void)
{
    tess_log_level = TESS_LOG_NONE;
    owner = getpid();
    snprintf(folder, sizeof folder, "%s/tess_fuzz_XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    FUZZ_CHECK(mkdtemp(folder));
    atexit(remove_folder);
    if (fuzz_needs == FUZZ_NOTHING)
        return;
    tess_h5_init();
    begin_mpi();
    covered = mmap(NULL, N_COUNTERS + 1, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    FUZZ_CHECK(covered != MAP_FAILED);
    fuzz_begin();
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    begin();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (fuzz_needs == FUZZ_PROCESS)
        fork_one(data, n);
    else
        fuzz_one(data, n);
    return 0;
}

#ifndef FUZZ_ENGINE
static int n_run;

static void run_file(const char *name)
{
    FILE *file = fopen(name, "rb");
    char *data = NULL;
    size_t n = 0, room = 0, got;

    FUZZ_CHECK(file);
    do {
        room = room ? 2 * room : 65536;
        FUZZ_CHECK((data = realloc(data, room)));
        got = fread(data + n, 1, room - n, file);
        n += got;
    } while (got > 0 && n == room);
    fclose(file);
    fprintf(stderr, "%s\n", name); /* the last one that is named is the bad one */
    if (fuzz_needs != FUZZ_PROCESS)
        alarm(SECONDS);
    LLVMFuzzerTestOneInput((const uint8_t *)data, n);
    alarm(0);
    free(data);
    n_run++;
}

static void run_path(const char *name)
{
    DIR *dir = opendir(name);
    struct dirent *entry;
    char inner[4096];

    if (!dir) {
        run_file(name);
        return;
    }
    while ((entry = readdir(dir)))
        if (entry->d_name[0] != '.') {
            snprintf(inner, sizeof inner, "%s/%s", name, entry->d_name);
            run_path(inner);
        }
    closedir(dir);
}

int main(int argc, char **argv)
{
    begin();
    for (int i = 1; i < argc; i++)
        if (access(argv[i], F_OK) == 0)
            run_path(argv[i]);
    printf("%d inputs\n", n_run);
    return n_run == 0;
}
#endif
