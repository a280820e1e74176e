/* transfer_place.c -- where the training of a context lies, and whether it is over. */
#include "transfer.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/fitted.h"
#include "tessera/log.h"
#include "tessera/rundir.h"
#include "tessera/store.h"

#include <ctype.h>
#include <jansson.h>
#include <string.h>

#define FORMAT "tessera-transfer 1"

#define NAME_LENGTH 100 /* so much of a context's name */

/* The number makes it one of its own, whatever the name has that a file's cannot have. */
static char *name_of(const struct tess_transfer *transfer, int64_t i, const char *ending)
{
    int64_t context = transfer->context[i].context;
    char *name = tess_strdup(transfer->store->index.context.symbol[context]), *all;

    for (size_t k = 0; name[k]; k++)
        if (!isalnum((unsigned char)name[k]) && !strchr("._-", name[k]))
            name[k] = '_';
    all = tess_format("%lld-%.*s%s", (long long)context + 1, NAME_LENGTH, name, ending);
    tess_free(name);
    return all;
}

char *tess_transfer_path(const struct tess_transfer *transfer, int64_t i, const char *ending)
{
    char *name = name_of(transfer, i, ending);
    char *path = tess_format("%s/%s", transfer->directory, name);

    tess_free(name);
    return path;
}

static json_t *result_json(const struct tess_transfer *transfer, int64_t i, int64_t state)
{
    const struct tess_index *index = &transfer->store->index;

    return json_pack("{s:s, s:s, s:s, s:o, s:o, s:o}", "format", FORMAT, "context",
                     index->context.symbol[transfer->context[i].context], "state",
                     state == TESS_TRANSFER_DONE ? "done" : "diverged", "store_hash",
                     tess_fitted_hash(index->hash), "split_hash",
                     tess_fitted_hash(index->split_hash), "settings",
                     tess_fitted_hash(transfer->settings));
}

/* Whatever it says, it says it as this program would now, or it counts for nothing. */
static const char *parse(json_t *json, void *out)
{
    json_t **result = out;

    *result = json_incref(json);
    return NULL;
}

static int has_model(const char *directory)
{
    int64_t *step, n = tess_rundir_list(directory, TESS_RUN_BEST, &step);

    tess_free(step);
    if (n == 0) {
        n = tess_rundir_list(directory, TESS_RUN_CHECKPOINT, &step);
        tess_free(step);
    }
    return n > 0 || tess_rundir_holds_members(directory);
}

void tess_transfer_look(struct tess_transfer *transfer, int64_t i)
{
    char *name = name_of(transfer, i, ".json"), *run = tess_transfer_path(transfer, i, "");
    json_t *result = NULL;
    const struct tess_fitted_parser parser = {parse, &result};
    struct tess_error damaged = TESS_ERROR_INIT;
    int there;

    transfer->context[i].state = TESS_TRANSFER_NEW;
    if (tess_fitted_read(transfer->directory, name, &parser, &there, &damaged) != TESS_OK)
        tess_warn("%s; the training is gone on with", damaged.text);
    for (int64_t state = TESS_TRANSFER_DONE; result && state <= TESS_TRANSFER_DIVERGED; state++) {
        json_t *wanted = result_json(transfer, i, state);

        if (json_equal(result, wanted) && (state == TESS_TRANSFER_DIVERGED || has_model(run)))
            transfer->context[i].state = state;
        json_decref(wanted);
    }
    json_decref(result);
    tess_free(name);
    tess_free(run);
}

int tess_transfer_finish(struct tess_transfer *transfer, int64_t i, int64_t state,
                         struct tess_error *error)
{
    char *name = name_of(transfer, i, ".json");
    json_t *json = result_json(transfer, i, state);

    tess_fitted_write(transfer->directory, name, json, error);
    json_decref(json);
    tess_free(name);
    return error->code;
}
