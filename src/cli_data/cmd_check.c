/* cmd_check.c -- what is wrong with files, and what would be imported. */
#include "tessera/cli_data.h"

#include "import_options.h"

#include "tessera/agree.h"
#include "tessera/error.h"

#include <inttypes.h>
#include <sys/stat.h>

static const struct tess_option options[] = {TESS_IMPORT_OPTIONS, {0}};

/* `end`: what ended the look, a problem like the others; or NULL. */
static void print_problems(const struct tess_problems *problems, const char *end)
{
    if (end)
        printf("%s\n", end);
    for (size_t i = 0; i < problems->text.n; i++)
        printf("%s\n", problems->text.item[i]);
    if (problems->n > (int64_t)problems->text.n)
        printf("… and %" PRId64 " more (--limit 0 prints all)\n",
               problems->n - (int64_t)problems->text.n);
    printf("%-15s %" PRId64 "\n", "problems", problems->n + (end != NULL));
}

/* Rank 0. The same reading as import's, without a store to write: what is right here is right
 * there. */
static int check_files(struct tess_call *call, struct tess_error *error)
{
    struct tess_import_result result = {0};
    struct tess_problems problems = {.go_on = 1};
    struct tess_import_call in;

    if (tess_import_call_init(&in, call, error) == TESS_OK) {
        int64_t n;
        int ended;

        problems.limit = in.limit;
        tess_import_run(&in.options, NULL, &problems, &result, error);
        ended = error->code == TESS_EDATA;
        print_problems(&problems, ended ? error->text : NULL);
        if (ended)
            *error = (struct tess_error)TESS_ERROR_INIT;
        else if (result.kind.n > 0)
            tess_import_print(&result, stdout);
        n = problems.n + ended;
        if (n && error->code == TESS_OK)
            tess_error_set(error, TESS_EDATA, "%" PRId64 " problem%s", n, n == 1 ? "" : "s");
    }
    tess_import_result_release(&result);
    tess_problems_release(&problems);
    tess_import_call_release(&in);
    return error->code;
}

/* Opening checks the index, verify every value. Collective. */
static int check_store(struct tess_call *call, const char *path, struct tess_error *error)
{
    struct tess_summary summary;
    struct tess_store store;

    if (tess_store_open(&store, path, call->comm, error) != TESS_OK)
        return error->code;
    if (tess_store_verify(&store, error) == TESS_OK && call->rank == 0) {
        tess_summary_init(&summary, &store.index);
        printf("%s: a store, every checksum is right\n", path);
        tess_summary_print(&summary, stdout);
        tess_summary_release(&summary);
    }
    tess_store_release(&store);
    return error->code;
}

/* Looking into a pipe would use it up. */
static int is_file(const char *path)
{
    struct stat status;

    return stat(path, &status) == 0 && S_ISREG(status.st_mode);
}

static int run(struct tess_call *call, struct tess_error *error)
{
    int store = call->rank == 0 && is_file(call->args[0]) && tess_store_is(call->args[0], error);

    if (tess_agree(call->comm, error) != TESS_OK)
        return error->code;
    MPI_Bcast(&store, 1, MPI_INT, 0, call->comm);
    if (store && call->n_args > 1)
        return tess_error_set(error, TESS_EUSAGE, "%s is a store: check stores one at a time",
                              call->args[0]);
    if (store)
        return check_store(call, call->args[0], error);
    if (call->rank == 0)
        check_files(call, error);
    return tess_agree(call->comm, error);
}

const struct tess_command tess_command_check = {
    .name = "check",
    .usage = "check FILE… [options]",
    .summary = "every problem of input files, one line each, and what they would give",
    .details = "Takes import's options and reads the files in the same way, but writes nothing.\n"
               "Problems are printed as FILE:ROW:COLUMN: WHAT; with any the exit code is 65.\n"
               "Of a store it verifies every checksum.",
    .options = options,
    .min_args = 1,
    .max_args = -1,
    .run = run,
};
