/* cmd_info.c -- what a file holds. */
#include "tessera/cli_data.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/blend.h"
#include "tessera/call.h"
#include "tessera/card.h"
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
        json_dumpf(json, tess_print_raw(), JSON_INDENT(2) | JSON_REAL_PRECISION(9));
        fputc('\n', tess_print_raw());
    } else if (json)
        tess_info_print(json, stdout);
    json_decref(json);
}

/* Of a run directory, whose best checkpoint it is: its card first. */
static json_t *describe_run(const char *path, const char *checkpoint, const char *store,
                            struct tess_error *error)
{
    json_t *file = describe_file(checkpoint, error), *all;

    if (!file)
        return NULL;
    all = json_pack("{s:o}", "card", tess_card(path, store, file));
    json_object_update(all, file);
    json_decref(file);
    add_blend(path, all);
    return all;
}

/* The card is made from the first member's checkpoint. */
static json_t *describe_members(const char *path, struct tess_error *error)
{
    json_t *members = tess_info_members(path, error), *first, *all = NULL;
    struct tess_strings checkpoint = {0}, member = {0};
    struct tess_error none = TESS_ERROR_INIT;
    char *store = NULL;

    if (members && tess_rundir_expand(path, &member, &none) == TESS_OK &&
        tess_rundir_find(member.item[0], &checkpoint, &store, &none) == TESS_OK &&
        (first = tess_checkpoint_info(checkpoint.item[0], &none))) {
        json_object_set_new(first, "members", json_integer((json_int_t)member.n));
        all = json_pack("{s:o}", "card", tess_card(path, store, first));
        json_object_update(all, members);
        json_decref(first);
        json_decref(members);
        members = all;
    }
    tess_strings_release(&checkpoint);
    tess_strings_release(&member);
    tess_free(store);
    return members;
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
            print(call, describe_members(path, error));
        else if (tess_rundir_find(path, &checkpoint, &store, error) == TESS_OK)
            print(call, describe_run(path, checkpoint.item[0], store, error));
        tess_strings_release(&checkpoint);
        tess_free(store);
        return error->code;
    }
    print(call, describe_file(path, error));
    return error->code;
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
