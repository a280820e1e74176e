/* cmd_info.c -- what a file holds. */
#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/checkpoint.h"
#include "tessera/cli.h"
#include "tessera/error.h"
#include "tessera/h5_guard.h"
#include "tessera/info.h"
#include "tessera/rundir.h"
#include "tessera/store.h"

#include <string.h>
#include <sys/stat.h>

static const struct tess_option options[] = {
    {"json", 0, NULL, "print JSON"},
    {0},
};

static json_t *describe_store(const char *path, struct tess_error *error)
{
    struct tess_store store;
    json_t *json = NULL;

    if (tess_store_open(&store, path, MPI_COMM_SELF, error) == TESS_OK)
        json = tess_info_store(&store);
    tess_store_release(&store);
    return json;
}

/* Kinds, by an attribute of the root and what its text begins with. */
static const struct {
    const char *attribute, *value;
    json_t *(*describe)(const char *path, struct tess_error *error);
} kinds[] = {
    {"format", "tessera-store", describe_store},
    {"format", "tessera-checkpoint", tess_checkpoint_info},
    {"encoding-type", "anndata", tess_info_anndata},
};
#define N_KINDS (int)(sizeof kinds / sizeof kinds[0])

/* Which of the kinds; -1 is none. AnnData before 0.8 is known by its obs. */
static int kind_of(const char *path, struct tess_error *error)
{
    struct tess_h5 h5 = TESS_H5_INIT;
    int kind = -1;

    tess_h5_guard_start(path);
    tess_h5_open(&h5, path, MPI_COMM_NULL, 0, error);
    for (int i = 0; i < N_KINDS && kind < 0 && error->code == TESS_OK; i++) {
        char *value = NULL;

        tess_h5_read_string(&h5, "/", kinds[i].attribute, &value, error);
        if (value && strncmp(value, kinds[i].value, strlen(kinds[i].value)) == 0)
            kind = i;
        tess_free(value);
    }
    if (kind < 0 && error->code == TESS_OK && tess_h5_kind(&h5, "obs") && tess_h5_kind(&h5, "var"))
        kind = N_KINDS - 1;
    if (kind < 0)
        tess_error_set(error, TESS_EDATA,
                       "%s: is neither a store, nor a checkpoint, nor AnnData; 'tessera check' "
                       "reads other inputs",
                       path);
    tess_h5_close(&h5, error);
    tess_h5_guard_finish();
    return kind;
}

static int describe(const struct tess_call *call, const char *path, struct tess_error *error)
{
    int kind = kind_of(path, error);
    json_t *json = error->code == TESS_OK ? kinds[kind].describe(path, error) : NULL;

    if (json && tess_call_option(call, "json")) {
        json_dumpf(json, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
        putchar('\n');
    } else if (json)
        tess_info_print(json, stdout);
    if (json)
        json_decref(json);
    return error->code;
}

static int describe_path(const struct tess_call *call, struct tess_error *error)
{
    const char *path = call->args[0];
    struct tess_strings checkpoint = {0};
    struct stat status;
    char *store = NULL;

    if (stat(path, &status) == 0 && S_ISDIR(status.st_mode)) {
        if (tess_rundir_find(path, &checkpoint, &store, error) == TESS_OK)
            describe(call, checkpoint.item[0], error);
        tess_strings_release(&checkpoint);
        tess_free(store);
        return error->code;
    }
    return describe(call, path, error);
}

static int run(struct tess_call *call, struct tess_error *error)
{
    if (call->rank == 0)
        describe_path(call, error);
    return tess_agree(call->comm, error);
}

const struct tess_command tess_command_info = {
    .name = "info",
    .usage = "info FILE [--json]",
    .summary = "what a store, a checkpoint, a run or an AnnData file holds",
    .options = options,
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
