/* warm.c -- a model opened to begin from: which one, whether it fits, what it knows, its scaling.
 */
#include "tessera/warm.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/broadcast.h"
#include "tessera/checkpoint.h"
#include "tessera/checksums.h"
#include "tessera/dose.h"
#include "tessera/error.h"
#include "tessera/h5_guard.h"
#include "tessera/index.h"
#include "tessera/log.h"
#include "tessera/rundir.h"
#include "tessera/text.h"
#include "tessera/trainer.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#define SAME_MIDDLE 1e-9 /* decades */

/* "model.layers: 2 (now 3)". */
static void add_difference(struct tess_strings *differ, const char *name,
                           const struct tess_config *was, const struct tess_config *is)
{
    const struct tess_param *param = tess_config_find(name);
    char *a = tess_config_get(was, param), *b = tess_config_get(is, param);
    char *text = tess_format("%s: %s (now %s)", name, a, b);

    tess_strings_add(differ, text);
    tess_free(text);
    tess_free(a);
    tess_free(b);
}

/* Rows of a features' axis mean something together with these axes, which are found from the
 * symbols of one store: they are the model's (tess_beginning_settle), or there are none. */
static int refuse_features(const struct tess_warm *warm, const struct tess_trainer *trainer,
                           struct tess_error *error)
{
    const char *const file[TESS_N_TABLES] = {trainer->config.features.perturbations,
                                             trainer->config.features.readouts, ""};

    for (int t = 0; t < TESS_N_TABLES; t++)
        if (warm->state.features[t].k != trainer->dataset.features[t].k ||
            (file[t][0] && warm->state.features[t].k == 0))
            return tess_error_set(
                error, TESS_ECONFIG,
                "%s: was trained without features.%ss: a training that begins from it can have "
                "none; leave the setting out, or train anew",
                warm->path, tess_table_names[t]);
    return TESS_OK;
}

static int has_features(const struct tess_warm *warm)
{
    return warm->state.features[TESS_TABLE_P].k > 0 || warm->state.features[TESS_TABLE_R].k > 0;
}

/* What must be the same for its parameters to mean the same. The activation is compared by what it
 * comes to, as `auto` is a choice by the kind. */
static int compare_shape(const struct tess_warm *warm, const struct tess_trainer *trainer,
                         struct tess_error *error)
{
    const struct tess_config *was = &warm->state.config, *is = &trainer->config;
    struct tess_shape a = warm->state.shape, b = trainer->shape;
    const struct {
        const char *name;
        int differs;
    } all[] = {
        {"model.kind", a.kind != b.kind},
        {"model.embedding_dim", a.dim != b.dim},
        {"model.layers", a.layers != b.layers},
        {"model.hidden_dim", a.hidden != b.hidden},
        {"model.activation", a.kind == b.kind && a.silu != b.silu},
        {"model.combination", was->model.combination != is->model.combination},
        {"model.context_parts", was->model.context_parts != is->model.context_parts},
        {"model.noise", was->model.noise != is->model.noise},
        {"model.doses", was->model.doses != is->model.doses},
        {"data.normalize", was->data.normalize != is->data.normalize},
        {"features.axes", has_features(warm) && was->features.axes != is->features.axes},
        {"data.scale", was->data.scale != is->data.scale},
    };
    struct tess_strings differ = {0};

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (all[i].differs)
            add_difference(&differ, all[i].name, was, is);
    if (differ.n > 0) {
        char *list = tess_strings_join(&differ, ", ", differ.n);

        tess_error_set(
            error, TESS_ECONFIG,
            "%s: was trained with %s: a training that begins from it must have the same; "
            "set it back",
            warm->path, list);
        tess_free(list);
    } else if (a.right != b.right)
        tess_error_set(
            error, TESS_ECONFIG,
            "%s: was trained on %s, %s has %s: a network of model.kind dot is another "
            "one then; train anew",
            warm->path, a.right == TESS_TABLE_C ? "a single readout" : "several readouts",
            trainer->store.h5.path, b.right == TESS_TABLE_C ? "a single one" : "several");
    tess_strings_release(&differ);
    return error->code;
}

/* Rows of symbols, and behind them those of parts, by name. */
static void map_rows(struct tess_mapping *to, const struct tess_state *mine,
                     const struct tess_state *from, int table)
{
    struct tess_mapping symbols, parts;
    int64_t n = mine->vocab[table].n;
    uint8_t *trained = tess_composition_parts(&from->composition[table], from->trained[table]);

    tess_mapping_init(&symbols, &mine->vocab[table], &from->vocab[table], from->trained[table]);
    tess_mapping_init(&parts, &mine->composition[table].part, &from->composition[table].part,
                      trained);
    *to = (struct tess_mapping){n + mine->n_parts[table],
                                TESS_NEW(int64_t, n + mine->n_parts[table])};
    memcpy(to->to, symbols.to, (size_t)n * sizeof *to->to);
    for (int64_t i = 0; i < mine->n_parts[table]; i++)
        to->to[n + i] = parts.to[i] >= 0 ? from->vocab[table].n + parts.to[i] : -1;
    tess_free(trained);
    tess_mapping_release(&symbols);
    tess_mapping_release(&parts);
}

/* Doses count from the middle of those that their drug has: where that moves, known rows would mean
 * something else. */
static int refuse_other_doses(const struct tess_warm *warm, const struct tess_trainer *trainer,
                              const struct tess_vocab *symbols, struct tess_error *error)
{
    const struct tess_vocab *known = &warm->state.vocab[TESS_TABLE_P];

    for (int64_t i = 0; trainer->config.model.doses && i < symbols->n; i++) {
        const char *symbol = symbols->symbol[i];
        double is, was;
        int kind, kind_was;
        struct tess_dose dose;

        if (!tess_dose_read(symbol, &dose))
            continue;
        tess_dose_middle(symbols, symbol, dose.length, &is, &kind);
        tess_dose_middle(known, symbol, dose.length, &was, &kind_was);
        if (kind_was >= 0 && (kind != kind_was || fabs(is - was) > SAME_MIDDLE))
            return tess_error_set(
                error, TESS_EDATA,
                "%s: knows other doses of '%.*s' than %s has: with model.doses a training can "
                "begin from a model only where known drugs have the same doses; train anew",
                warm->path, (int)dose.length, symbol, trainer->store.h5.path);
    }
    return TESS_OK;
}

/* What is known of the trainer's symbols. */
static int map_symbols(struct tess_warm *warm, const struct tess_trainer *trainer,
                       struct tess_error *error)
{
    struct tess_state mine = tess_trainer_state(trainer);
    int64_t control = tess_vocab_find(&mine.vocab[TESS_TABLE_P], TESS_CONTROL);

    if (refuse_other_doses(warm, trainer, &mine.vocab[TESS_TABLE_P], error) != TESS_OK)
        return error->code;
    for (int t = 0; t < TESS_N_TABLES; t++) {
        map_rows(&warm->to[t], &mine, &warm->state, t);
        warm->n_symbols[t] = mine.vocab[t].n;
        for (int64_t i = 0; i < mine.vocab[t].n; i++)
            warm->n_known[t] += warm->to[t].to[i] >= 0;
    }
    if (warm->n_known[TESS_TABLE_R] == 0 &&
        warm->n_known[TESS_TABLE_P] == (control >= 0 && warm->to[TESS_TABLE_P].to[control] >= 0))
        return tess_error_set(
            error, TESS_EDATA,
            "%s: was trained on no readout and no perturbation of %s (theirs are as '%s' and '%s', "
            "here '%s' and '%s'): there is nothing to begin from; are symbols spelt otherwise?",
            warm->path, trainer->store.h5.path, warm->state.vocab[TESS_TABLE_R].symbol[0],
            warm->state.vocab[TESS_TABLE_P].symbol[warm->state.vocab[TESS_TABLE_P].n - 1],
            mine.vocab[TESS_TABLE_R].symbol[0],
            mine.vocab[TESS_TABLE_P].symbol[mine.vocab[TESS_TABLE_P].n - 1]);
    return TESS_OK;
}

/* Of the sidecar, which has the sums of all blocks: the file was just held against it. Rank 0. */
static void hash_file(struct tess_warm *warm, struct tess_error *error)
{
    char *name = tess_format("%s.sum", warm->path), block[4096];
    XXH3_state_t *sum = XXH3_createState();
    FILE *file = fopen(name, "r");
    size_t n;

    XXH3_64bits_reset(sum);
    while (file && (n = fread(block, 1, sizeof block, file)) > 0)
        XXH3_64bits_update(sum, block, n);
    if (!file || ferror(file))
        tess_error_set(error, TESS_EDATA, "%s: cannot be read", name);
    if (file)
        fclose(file);
    snprintf(warm->hash, sizeof warm->hash, "%016" PRIx64, XXH3_64bits_digest(sum));
    XXH3_freeState(sum);
    tess_free(name);
}

/* This checkpoint, by every rank. Collective. */
static int read_head(struct tess_warm *warm, struct tess_error *error)
{
    int rank;

    MPI_Comm_rank(warm->comm, &rank);
    if (tess_checksums_verify(warm->path, warm->comm, NULL, error) != TESS_OK)
        return error->code;
    tess_h5_guard_start(warm->path);
    if (tess_h5_open(&warm->h5, warm->path, MPI_COMM_NULL, 0, error) == TESS_OK)
        tess_checkpoint_read_head(&warm->h5, &warm->state, error);
    tess_h5_guard_finish();
    if (rank == 0 && error->code == TESS_OK)
        hash_file(warm, error);
    if (tess_agree(warm->comm, error) == TESS_OK)
        MPI_Bcast(warm->hash, TESS_WARM_HASH, MPI_CHAR, 0, warm->comm);
    return error->code;
}

/* The first intact one of the candidates; damaged ones are named in warnings. Collective. */
static int read_first_intact(struct tess_warm *warm, const struct tess_strings *candidate,
                             struct tess_error *error)
{
    for (size_t i = 0; i < candidate->n; i++) {
        struct tess_error mine = TESS_ERROR_INIT, ignored = TESS_ERROR_INIT;

        tess_free(warm->path);
        warm->path = tess_strdup(candidate->item[i]);
        if (read_head(warm, &mine) == TESS_OK)
            return TESS_OK;
        if (i + 1 == candidate->n)
            *error = mine;
        else
            tess_warn("%s; trying an older checkpoint", mine.text);
        tess_state_release(&warm->state);
        tess_h5_close(&warm->h5, &ignored);
    }
    return error->code;
}

static void say(const struct tess_warm *warm, const struct tess_trainer *trainer)
{
    int64_t new = 0;

    for (int t = 0; t < TESS_N_TABLES; t++)
        new += warm->n_symbols[t] - warm->n_known[t];
    tess_info("begins from %s: it knows %lld of %lld perturbations, %lld of %lld readouts, %lld of "
              "%lld contexts%s%s",
              warm->path, (long long)warm->n_known[TESS_TABLE_P],
              (long long)warm->n_symbols[TESS_TABLE_P], (long long)warm->n_known[TESS_TABLE_R],
              (long long)warm->n_symbols[TESS_TABLE_R], (long long)warm->n_known[TESS_TABLE_C],
              (long long)warm->n_symbols[TESS_TABLE_C], new > 0 ? "; new ones begin as " : "",
              new == 0                                               ? ""
              : trainer->config.train.init_new == TESS_INIT_NEW_MEAN ? "the mean of their kind"
                                                                     : "random numbers");
    if (has_features(warm))
        tess_info("features are those that %s has: no file of features is read", warm->path);
    if (warm->n_known[TESS_TABLE_R] == 0)
        tess_warn("%s: was trained on none of the readouts of %s", warm->path,
                  trainer->store.h5.path);
}

int tess_warm_open(struct tess_warm *warm, const struct tess_trainer *trainer, const char *path,
                   MPI_Comm comm, struct tess_error *error)
{
    struct tess_strings candidate = {0};
    char *store = NULL;
    int rank;

    *warm = (struct tess_warm){.comm = comm, .h5 = TESS_H5_INIT};
    MPI_Comm_rank(comm, &rank);
    if (rank == 0)
        tess_rundir_find(path, &candidate, &store, error);
    if (tess_agree(comm, error) == TESS_OK) {
        tess_broadcast_strings(comm, &candidate);
        if (read_first_intact(warm, &candidate, error) == TESS_OK &&
            refuse_features(warm, trainer, error) == TESS_OK &&
            compare_shape(warm, trainer, error) == TESS_OK &&
            map_symbols(warm, trainer, error) == TESS_OK)
            say(warm, trainer);
    }
    tess_strings_release(&candidate);
    tess_free(store);
    return tess_agree(comm, error);
}

int tess_warm_scale(struct tess_warm *warm, struct tess_dataset *dataset, struct tess_error *error)
{
    struct tess_scaling *to = &dataset->scaling, *from = &warm->state.scaling;
    const int64_t *context = warm->to[TESS_TABLE_C].to, *readout = warm->to[TESS_TABLE_R].to;

    if (tess_checkpoint_read_scaling(&warm->h5, &warm->state, error) == TESS_OK && to->shift &&
        !from->shift)
        tess_error_set(error, TESS_EDATA,
                       "%s: lacks the scaling of data.normalize: the file is "
                       "damaged",
                       warm->path);
    if (tess_agree(warm->comm, error) != TESS_OK)
        return error->code;
    to->center = from->center;
    to->spread = from->spread;
    for (int64_t c = 0; to->shift && c < warm->n_symbols[TESS_TABLE_C]; c++)
        for (int64_t r = 0; context[c] >= 0 && r < to->n_readouts; r++)
            if (readout[r] >= 0) {
                int64_t at = context[c] * from->n_readouts + readout[r];

                to->shift[c * to->n_readouts + r] = from->shift[at];
                to->scale[c * to->n_readouts + r] = from->scale[at];
            }
    return TESS_OK;
}

void tess_warm_release(struct tess_warm *warm)
{
    struct tess_error ignored = TESS_ERROR_INIT;

    if (!warm->path)
        return;
    for (int t = 0; t < TESS_N_TABLES; t++)
        tess_mapping_release(&warm->to[t]);
    tess_state_release(&warm->state);
    tess_h5_close(&warm->h5, &ignored);
    tess_free(warm->path);
    *warm = (struct tess_warm){.h5 = TESS_H5_INIT};
}
