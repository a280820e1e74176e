/* impute_labels.c -- who is who in an imputed file, and what the store knows of it. */
#include "impute.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/log.h"
#include "tessera/store.h"
#include "tessera/version.h"
#include "tessera/writer.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

/* "A+B" of a chosen set; own. */
static char *name_of(const struct imputation *work, int64_t set)
{
    struct tess_strings part = {0};
    char *name;

    for (int64_t k = work->perturbation.first[set]; k < work->perturbation.first[set + 1]; k++)
        tess_strings_add(&part, work->model.perturbation.symbol[work->perturbation.member[k]]);
    name = tess_strings_join(&part, "+", part.n);
    tess_strings_release(&part);
    return name;
}

/* Symbols of chosen sets of one; the array is own, the symbols are the vocabulary's. */
static const char **symbols_of(const struct tess_vocab *vocab, const struct tess_sets *sets)
{
    const char **symbol = TESS_NEW(const char *, sets->n);

    for (int64_t i = 0; i < sets->n; i++)
        symbol[i] = vocab->symbol[sets->member[i]];
    return symbol;
}

static void free_names(char **name, int64_t n)
{
    for (int64_t i = 0; name && i < n; i++)
        tess_free(name[i]);
    tess_free(name);
}

enum type { SINGLE, COMBINATION, CONTROL };
static const char *const type_names[] = {"single", "combination", "control"};

static enum type type_of(const struct imputation *work, int64_t set)
{
    int64_t first = work->perturbation.first[set];

    if (work->perturbation.first[set + 1] - first > 1)
        return COMBINATION;
    return strcmp(work->model.perturbation.symbol[work->perturbation.member[first]],
                  TESS_CONTROL) == 0
               ? CONTROL
               : SINGLE;
}

/* Who a row is, as codes of its perturbation set, its context and its type. Rank 0 has the rows. */
static int write_codes(const struct imputation *work, struct tess_writer *file,
                       const char *const *perturbation, const char *const *context,
                       struct tess_error *error)
{
    int64_t n_sets = work->perturbation.n, n = file->rank == 0 ? work->n_rows : 0;
    int32_t *code = TESS_NEW(int32_t, n);

    for (int64_t i = 0; i < n; i++)
        code[i] = (int32_t)(i % n_sets);
    tess_writer_write_codes(file, "perturbation", n_sets, perturbation, code, error);
    for (int64_t i = 0; i < n; i++)
        code[i] = (int32_t)(i / n_sets);
    if (error->code == TESS_OK)
        tess_writer_write_codes(file, "context", work->context.n, context, code, error);
    for (int64_t i = 0; i < n; i++)
        code[i] = (int32_t)type_of(work, i % n_sets);
    if (error->code == TESS_OK)
        tess_writer_write_codes(file, "type", 3, type_names, code, error);
    tess_free(code);
    return error->code;
}

static int write_rows(const struct imputation *work, struct tess_writer *file,
                      struct tess_error *error)
{
    int64_t n_sets = work->perturbation.n, n = file->rank == 0 ? work->n_rows : 0;
    const char **context = symbols_of(&work->model.context, &work->context);
    char **perturbation = TESS_NEW(char *, n_sets), **name = TESS_NEW(char *, n);
    int has_store = work->observed != NULL;

    for (int64_t i = 0; i < n_sets; i++)
        perturbation[i] = name_of(work, i);
    for (int64_t i = 0; i < n; i++)
        name[i] = tess_format("%s@%s", perturbation[i % n_sets], context[i / n_sets]);
    MPI_Bcast(&has_store, 1, MPI_INT, 0, file->comm);
    if (tess_writer_write_names(file, TESS_WRITER_ROWS, (const char *const *)name, error) ==
            TESS_OK &&
        write_codes(work, file, (const char *const *)perturbation, context, error) == TESS_OK &&
        has_store)
        tess_writer_write_flags(file, "observed", work->observed, error);
    free_names(perturbation, n_sets);
    free_names(name, n);
    tess_free(context);
    return error->code;
}

/* Which model made it, and how; a text that is NULL is left out. */
static int write_notes(const struct imputation *work, struct tess_writer *file,
                       struct tess_error *error)
{
    char *config = tess_config_yaml(&work->model.config, 1, 0);
    char *hash = tess_format("%016" PRIx64, work->model.hash),
         *store = tess_format("%016" PRIx64, work->model.store_hash), when[32];
    char *blend = work->blender.active ? tess_blender_name(&work->blender) : NULL;
    time_t now = time(NULL);
    struct tm utc;
    const char *const text[][2] = {{"model_hash", hash},
                                   {"store_hash", store},
                                   {"config", config},
                                   {"blend", blend},
                                   {"precision", tess_model_precision(&work->model)},
                                   {"provenance/model", work->model.path},
                                   {"provenance/program", tess_version},
                                   {"provenance/created", when},
                                   {"provenance/command", work->impute->command}};

    gmtime_r(&now, &utc);
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &utc);
    tess_writer_write_number(file, "step", (double)work->model.step, error);
    if (error->code == TESS_OK)
        tess_writer_write_number(file, "n_models", work->model.n_members, error);
    if (error->code == TESS_OK && work->n_matrices > 2 &&
        tess_writer_write_number(file, "deviation_scale", work->calibration.scale, error) ==
            TESS_OK)
        tess_writer_write_number(file, "deviation_noise", work->calibration.noise, error);
    for (int i = 0; i < 9 && error->code == TESS_OK; i++)
        if (text[i][1])
            tess_writer_write_text(file, text[i][0], text[i][1], error);
    tess_free(config);
    tess_free(hash);
    tess_free(store);
    tess_free(blend);
    return error->code;
}

int tess_imputation_write_labels(const struct imputation *work, struct tess_writer *file,
                                 struct tess_error *error)
{
    const char **readout = symbols_of(&work->model.readout, &work->readout);

    if (tess_writer_write_names(file, TESS_WRITER_READOUTS, readout, error) == TESS_OK &&
        write_rows(work, file, error) == TESS_OK)
        write_notes(work, file, error);
    tess_free(readout);
    return error->code;
}

int tess_imputation_open_store(struct imputation *work, struct tess_store *store,
                               struct tess_error *error)
{
    const char *given = work->impute->store, *path = given ? given : work->model.store_path;
    struct tess_error mine = TESS_ERROR_INIT;

    if (!path[0])
        return tess_error_set(
            error, TESS_EDATA,
            "%s: does not say which store it was trained on: name it with --store",
            work->model.path);
    if (tess_store_open(store, path, MPI_COMM_SELF, &mine) != TESS_OK)
        return tess_error_set(error, mine.code, "%s", mine.text);
    if (store->index.hash != work->model.store_hash)
        tess_warn("%s is not what %s was trained on: 'observed' says what this store measured",
                  path, work->model.path);
    tess_mapping_init(&work->component, &store->index.perturbation, &work->model.perturbation,
                      NULL);
    return TESS_OK;
}

void tess_imputation_add_combinations(struct imputation *work, const struct tess_store *store)
{
    const struct tess_index *index = &store->index;
    uint8_t *trained = TESS_NEW(uint8_t, index->n_combinations);

    for (int64_t e = 0; e < index->n_experiments; e++)
        trained[index->combination[e]] |= index->split[e] == TESS_TRAIN;
    for (int64_t i = 0; i < index->n_combinations; i++) {
        int64_t first = index->combination_first[i], n = index->combination_first[i + 1] - first;

        if (trained[i] && n > 1)
            tess_mapping_add_set(&work->component, n, index->combination_member + first,
                                 &work->perturbation);
    }
    tess_free(trained);
}

void tess_imputation_mark(struct imputation *work, const struct tess_store *store)
{
    const struct tess_index *index = &store->index;
    struct tess_sets combinations = tess_index_combinations(index);
    struct tess_mapping perturbation, context;

    tess_mapping_init_sets(&perturbation, &combinations, &work->component, &work->perturbation);
    tess_mapping_init(&context, &index->context, &work->model.context, NULL);
    for (int64_t c = 0; c < context.n; c++)
        if (context.to[c] >= 0)
            context.to[c] = tess_sets_find(&work->context, 1, &context.to[c]);
    work->observed = TESS_NEW(uint8_t, work->n_rows);
    for (int64_t e = 0; e < index->n_experiments; e++) {
        int64_t set = perturbation.to[index->combination[e]];
        int64_t place = context.to[index->context_of[e]];

        if (set >= 0 && place >= 0)
            work->observed[place * work->perturbation.n + set] = 1;
    }
    tess_mapping_release(&perturbation);
    tess_mapping_release(&context);
}
