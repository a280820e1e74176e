/* main.c -- the tessera program: the table of commands, and what all of them share. */
#include "commands.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/bfloat16.h"
#include "tessera/blas.h"
#include "tessera/call.h"
#include "tessera/cli_data.h"
#include "tessera/commit.h"
#include "tessera/error.h"
#include "tessera/h5.h"
#include "tessera/log.h"
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
    &tess_command_plan,    &tess_command_bench,   &tess_command_sweep,
};
#define N_COMMANDS (sizeof commands / sizeof commands[0])

static void print_help(FILE *out)
{
    fputs("tessera -- distributed Large Perturbation Models\n\n"
          "usage: tessera [-v|-q] COMMAND [options]\n"
          "       mpirun -n N tessera COMMAND [options]\n\n",
          out);
    for (size_t i = 0; i < N_COMMANDS; i++)
        fprintf(out, "  %-10s %s\n", commands[i]->name, commands[i]->summary);
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

/* Help and unknown commands end before MPI_Init: they need no mpirun. */
int main(int argc, char **argv)
{
    struct tess_error error = TESS_ERROR_INIT;
    const struct tess_command *command = NULL;
    int at = 1;

    fill_streams();
    for (; at < argc && argv[at][0] == '-'; at++) {
        if (is_flag(argv[at], "-v", "--verbose"))
            tess_log_level = TESS_LOG_DEBUG;
        else if (is_flag(argv[at], "-q", "--quiet"))
            tess_log_level = TESS_LOG_WARN;
        else if (is_flag(argv[at], "-h", "--help"))
            return print_help(stdout), 0;
        else if (strcmp(argv[at], "--version") == 0)
            return tess_platform_choose(argv), tess_version_print(stdout),
                   printf("ScaLAPACK: %s\nunit: %s\n", TESS_SCALAPACK, tess_unit_name(tess_unit())),
                   0;
        else
            break;
    }
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
        return 0;
    tess_platform_choose(argv); /* may start the program again */
    tess_h5_init();
    MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &(int){0});
    run_command(command, argc - at, argv + at, &error);
    tess_fail_report();
    MPI_Finalize();
    return error.code;
}
