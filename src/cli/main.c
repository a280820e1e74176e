/* main.c -- the tessera program: the table of commands, and what all of them share. */
#include "commands.h"
#include "versions.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/bfloat16.h"
#include "tessera/blas.h"
#include "tessera/call.h"
#include "tessera/cli_data.h"
#include "tessera/commit.h"
#include "tessera/completion.h"
#include "tessera/error.h"
#include "tessera/h5.h"
#include "tessera/log.h"
#include "tessera/manual.h"
#include "tessera/options.h"
#include "tessera/platform.h"
#include "tessera/version.h"

#include <mpi.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct tess_command *const commands[] = {
    &tess_command_check,   &tess_command_import,  &tess_command_split,    &tess_command_info,
    &tess_command_verify,  &tess_command_train,   &tess_command_evaluate, &tess_command_impute,
    &tess_command_predict, &tess_command_export,  &tess_command_embed,    &tess_command_neighbors,
    &tess_command_screen,  &tess_command_network, &tess_command_report,   &tess_command_simulate,
    &tess_command_plan,    &tess_command_bench,   &tess_command_sweep,    NULL,
};
#define N_COMMANDS (sizeof commands / sizeof commands[0] - 1)

static const struct tess_option program_options[] = {
    {"verbose", 'v', NULL, "say more"},
    {"quiet", 'q', NULL, "warnings and errors only"},
    {"help", 'h', NULL, "explain the program; behind a command: explain the command"},
    {"version", 0, NULL, "name the version, the libraries as loaded, and the processor's unit"},
    {"json", 0, NULL, "behind --version: as JSON, with the versions of the formats of files"},
    {"man", 0, "[PAGE]", "print the manual page of the program, of a command or of the settings"},
    {"completion", 0, "bash|zsh", "print what this shell needs to complete command lines"},
    {0},
};
static const struct tess_command program = {
    .name = "tessera",
    .usage = "[-v|-q] COMMAND [options]\n       mpirun -n N tessera COMMAND [options]",
    .summary = "distributed Large Perturbation Models",
    .details =
        "Trains Large Perturbation Models from perturbation screens on clusters of CPUs, and\n"
        "predicts the experiments that nobody ran. The same configuration and data give the\n"
        "same bits on any number of processes and threads, on one kind of processor.",
    .options = program_options,
};

static void print_help(FILE *out)
{
    fprintf(out, "tessera -- %s\n\nusage: tessera %s\n\n", program.summary, program.usage);
    for (size_t i = 0; i < N_COMMANDS; i++)
        fprintf(out, "  %-10s %s\n", commands[i]->name, commands[i]->summary);
    fputc('\n', out);
    for (int i = 0; i < tess_command_n_options(&program); i++)
        tess_options_print(out, &program.options[i]);
    fputs(
        "\n'tessera COMMAND --help' explains a command; 'tessera --version' names the libraries.\n",
        out);
}

static const struct tess_command *find_command(const char *name)
{
    for (size_t i = 0; i < N_COMMANDS; i++)
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    return NULL;
}

static int refuse_command(const char *name, struct tess_error *error)
{
    const char *known[N_COMMANDS];
    struct tess_strings near = {0};

    for (size_t i = 0; i < N_COMMANDS; i++)
        known[i] = commands[i]->name;
    tess_text_nearest(name, N_COMMANDS, known, 1, &near);
    tess_error_set(error, TESS_EUSAGE, "no command '%s'%s%s%s; see tessera --help", name,
                   near.n ? ": did you mean '" : "", near.n ? near.item[0] : "",
                   near.n ? "'?" : "");
    tess_strings_release(&near);
    return error->code;
}

/* A bug on one rank ends all: the others would wait for it for ever. What was being written goes.
 */
static void abort_job(int code)
{
    tess_commit_abandon();
    MPI_Abort(MPI_COMM_WORLD, code);
}

/* One arithmetic on every rank: units that differ are not used. */
static void agree_unit(MPI_Comm comm)
{
    int unit[] = {tess_unit(), -(int)tess_unit()};

    MPI_Allreduce(MPI_IN_PLACE, unit, 2, MPI_INT, MPI_MIN, comm);
    if (unit[0] != -unit[1])
        tess_warn("the ranks' processors have different units for bfloat16: none is used");
    tess_unit_use(unit[0] == -unit[1] ? (enum tess_unit)unit[0] : TESS_UNIT_SGEMM);
    tess_debug("unit for bfloat16: %s", tess_unit_name(tess_unit()));
}

/* What was printed has arrived, or the command has failed: on a full disk, say. Collective. */
static void finish_printing(const struct tess_call *call, struct tess_error *error)
{
    if (call->rank == 0 && error->code == TESS_OK)
        tess_print_finish(error);
    tess_agree(call->comm, error);
}

/* Everything between MPI_Init and MPI_Finalize. Every rank parses the same arguments, but only rank
 * 0 speaks; all agree after each part, so that no rank goes on alone. */
static int run_command(const struct tess_command *command, int argc, char **argv,
                       struct tess_error *error)
{
    struct tess_call call = {.comm = MPI_COMM_WORLD, .command = command};

    MPI_Comm_rank(call.comm, &call.rank);
    MPI_Comm_size(call.comm, &call.n_ranks);
    tess_bug_hook = abort_job;
    tess_fail_rank(call.rank);
    if (call.rank != 0)
        tess_log_level = TESS_LOG_NONE;
    else
        tess_print_begin();
    tess_options_parse(&call, argc, argv, error); /* the same on every rank */
    if (tess_agree(call.comm, error) == TESS_OK) {
        tess_blas_agree(call.comm, error);
        agree_unit(call.comm);
        if (tess_agree(call.comm, error) == TESS_OK &&
            tess_call_check_outputs(&call, error) == TESS_OK)
            command->run(&call, error);
        finish_printing(&call, error);
    }
    if (error->code != TESS_OK && call.rank == 0) {
        fflush(stdout);
        fprintf(stderr, "tessera %s: %s%s\n", command->name,
                error->code == TESS_EINTERRUPTED ? "" : "error: ", error->text);
        if (call.n_ranks > 1 && error->rank > 0)
            fprintf(stderr, "tessera %s: (on rank %d)\n", command->name, error->rank);
    }
    tess_options_release(&call);
    return error->code;
}

static int is_flag(const char *text, const char *letter, const char *name)
{
    return strcmp(text, letter) == 0 || strcmp(text, name) == 0;
}

/* A standard stream that is closed would be the first file that is opened, and what is printed
 * would go into it. In its place comes one that reads nothing and cannot be written. */
static void fill_streams(void)
{
    for (int stream = 0; stream <= STDERR_FILENO; stream++)
        if (fcntl(stream, F_GETFD) < 0 && open("/dev/null", O_RDONLY) != stream)
            _exit(TESS_EOS); /* nobody can be told */
}

/* What is written on standard output without a command arrives, or that is an error, too. */
static int printed(void)
{
    struct tess_error error = TESS_ERROR_INIT;

    if (tess_print_finish(&error) != TESS_OK)
        fprintf(stderr, "tessera: error: %s\n", error.text);
    return error.code;
}

static int print_version(char **argv, int as_json)
{
    tess_platform_choose(argv);
    if (as_json)
        tess_versions_print_json(stdout, tess_commit, TESS_SCALAPACK);
    else {
        tess_version_print(stdout);
        printf("ScaLAPACK: %s\nunit: %s\n", TESS_SCALAPACK, tess_unit_name(tess_unit()));
    }
    return printed();
}

/* Behind "--NAME=", or NULL. */
static const char *value_of(const char *text, const char *name)
{
    size_t n = strlen(name);

    return strncmp(text, name, n) == 0 && text[n] == '=' ? text + n + 1 : NULL;
}

/* --man[=PAGE] and --completion SHELL; -1: it is neither. */
static int print_tables(char **argv, int at)
{
    const char *page = value_of(argv[at], "--man"), *shell = value_of(argv[at], "--completion");

    if (page || strcmp(argv[at], "--man") == 0) {
        if (tess_manual_print(stdout, &program, commands, page))
            return printed();
        fprintf(stderr, "tessera: error: no page '%s': give a command, or settings\n", page);
        return TESS_EUSAGE;
    }
    if (!shell && strcmp(argv[at], "--completion") == 0)
        shell = argv[at + 1] ? argv[at + 1] : "";
    if (!shell)
        return -1;
    if (tess_completion_print(stdout, &program, commands, shell))
        return printed();
    fprintf(stderr, "tessera: error: --completion needs bash or zsh\n");
    return TESS_EUSAGE;
}

/* Options before a command; `at` is left at what follows. -1: go on, else the program's end. */
static int take_options(int argc, char **argv, int *at)
{
    int code = -1;

    for (; *at < argc && argv[*at][0] == '-' && code < 0; ++*at) {
        if (is_flag(argv[*at], "-v", "--verbose"))
            tess_log_level = TESS_LOG_DEBUG;
        else if (is_flag(argv[*at], "-q", "--quiet"))
            tess_log_level = TESS_LOG_WARN;
        else if (is_flag(argv[*at], "-h", "--help"))
            return print_help(stdout), printed();
        else if (strcmp(argv[*at], "--version") == 0)
            return print_version(argv, *at + 1 < argc && strcmp(argv[*at + 1], "--json") == 0);
        else if ((code = print_tables(argv, *at)) < 0)
            break;
    }
    return code;
}

/* Help and unknown commands end before MPI_Init: they need no mpirun. */
int main(int argc, char **argv)
{
    struct tess_error error = TESS_ERROR_INIT;
    const struct tess_command *command = NULL;
    int at = 1, code;

    fill_streams();
    if ((code = take_options(argc, argv, &at)) >= 0)
        return code;
    if (at < argc)
        command = find_command(argv[at]);
    if (!command) {
        if (at < argc) {
            refuse_command(argv[at], &error);
            fprintf(stderr, "tessera: error: %s\n", error.text);
        } else
            print_help(stderr);
        return TESS_EUSAGE;
    }
    if (tess_options_help(command, argc - at, argv + at))
        return printed();
    tess_platform_choose(argv); /* may start the program again */
    tess_alloc_begin();
    tess_h5_init();
    MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &(int){0});
    run_command(command, argc - at, argv + at, &error);
    tess_fail_report();
    MPI_Finalize();
    return error.code;
}
