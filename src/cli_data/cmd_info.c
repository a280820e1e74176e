/* cmd_info.c -- what a file holds. */
#include "tessera/cli_data.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/blend.h"
#include "tessera/call.h"
#include "tessera/checkpoint.h"
#include "tessera/error.h"
#include "tessera/info.h"
#include "tessera/log.h"
#include "tessera/rundir.h"
#include "tessera/store.h"
#include "tessera/writer.h"
#include "tessera/zarr.h"

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

static json_t *describe_file(const char *path, struct tess_error *error)
{
    int kind = tess_info_kind(path, error);

    if (error->code != TESS_OK)
        return NULL;
    if (kind == TESS_INFO_UNFINISHED)
        return tess_info_unfinished(path, error);
    return kind == TESS_INFO_STORE ? describe_store(path, error)
           : kind == TESS_INFO_CHECKPOINT
               ? tess_checkpoint_info(path, error)
               : tess_writer_describe(tess_writer_types[kind - TESS_INFO_MATRIX], path, error);
}

/* What a run has beside its checkpoint. */
static void add_blend(const char *directory, json_t *json)
{
    struct tess_error wrong = TESS_ERROR_INIT;
    struct tess_blend blend;
    int there;

    if (tess_blend_read(directory, &blend, &there, &wrong) != TESS_OK)
        tess_warn("%s", wrong.text);
    else if (there)
        json_object_set_new(json, "blend", tess_blend_json(&blend));
}

/* NULL: there was an error. */
static void print(const struct tess_call *call, json_t *json)
{
    if (json && tess_call_option(call, "json")) {
        json_dumpf(json, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
        putchar('\n');
    } else if (json)
        tess_info_print(json, stdout);
    json_decref(json);
}

/* run: the directory that the file was found in; NULL: it was named itself. */
static int describe(const struct tess_call *call, const char *path, const char *run,
                    struct tess_error *error)
{
    json_t *json = describe_file(path, error);

    if (json && run)
        add_blend(run, json);
    print(call, json);
    return error->code;
}

static int describe_path(const struct tess_call *call, struct tess_error *error)
{
    const char *path = call->args[0];
    struct tess_strings checkpoint = {0};
    struct stat status;
    char *store = NULL;

    if (tess_zarr_refuse(path, error) != TESS_OK)
        return error->code;
    if (stat(path, &status) == 0 && S_ISDIR(status.st_mode)) {
        if (tess_rundir_holds_members(path))
            print(call, tess_info_members(path, error));
        else if (tess_rundir_find(path, &checkpoint, &store, error) == TESS_OK)
            describe(call, checkpoint.item[0], path, error);
        tess_strings_release(&checkpoint);
        tess_free(store);
        return error->code;
    }
    return describe(call, path, NULL, error);
}

/* Rank 0 alone: heads of files are small. */
static int run(struct tess_call *call, struct tess_error *error)
{
    if (call->rank == 0)
        describe_path(call, error);
    return tess_agree(call->comm, error);
}

const struct tess_command tess_command_info = {
    .name = "info",
    .usage = "info FILE [--json]",
    .summary =
        "what a store, a checkpoint, a run or an AnnData file, also an unfinished one, holds",
    .options = options,
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
