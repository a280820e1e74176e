/* blend_predict.c -- the members of an ensemble, each blended with its own baseline. */
#include "tessera/blend.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/broadcast.h"
#include "tessera/error.h"
#include "tessera/log.h"
#include "tessera/model.h"
#include "tessera/rundir.h"
#include "tessera/store.h"
#include "tessera/text.h"

#include <math.h>
#include <string.h>

static const struct tess_blend none = {.weight = 1,
                                       .mean_weight = 1,
                                       .feature_weight = 1,
                                       .components_model = NAN,
                                       .components_sum = NAN};

static int has_baseline(const struct tess_blend *blend)
{
    return blend->weight < 1 || blend->mean_weight < 1 || blend->feature_weight < 1;
}

static int has_components(const struct tess_blend *blend)
{
    return !isnan(blend->components_sum);
}

static int is_blended(const struct tess_blend *blend)
{
    return has_baseline(blend) || has_components(blend);
}

/* The blend beside a member's checkpoint, or an error that says why it cannot be had. */
static void find(const struct tess_model *member, struct tess_blend *blend, int *there,
                 struct tess_error *error)
{
    const char *slash = strrchr(member->path, '/');
    char *directory =
        slash ? tess_format("%.*s", (int)(slash - member->path), member->path) : tess_strdup(".");

    if (tess_blend_read(slash == member->path ? "/" : directory, blend, there, error) == TESS_OK) {
        if (!*there)
            tess_error_set(error, TESS_EDATA,
                           "%s: there is no " TESS_RUN_BLEND
                           " beside it: it is made at the end of a training with validation data",
                           member->path);
        else if (blend->model_hash != member->own_hash)
            tess_error_set(error, TESS_EDATA,
                           "%s/" TESS_RUN_BLEND
                           ": belongs to another checkpoint than %s: run 'tessera train' again, "
                           "which makes it anew",
                           directory, member->path);
    }
    tess_free(directory);
}

/* What is missing is no news, nor that a checkpoint which is not the best one has no blend. */
static void pass_over(const struct tess_model *member, int there, const struct tess_error *why)
{
    const char *slash = strrchr(member->path, '/'), *name = slash ? slash + 1 : member->path;
    int expected = strncmp(name, TESS_RUN_BEST "-", strlen(TESS_RUN_BEST) + 1) == 0;

    if (expected && there)
        tess_warn("%s; the model is not blended with a baseline", why->text);
    else
        tess_debug("%s", why->text);
}

static void find_all(struct tess_blender *blender, enum tess_blend_choice choice,
                     struct tess_error *error)
{
    const struct tess_model *member = blender->model;

    for (int i = 0; i < blender->n; i++, member = member->next) {
        struct tess_error mine = TESS_ERROR_INIT;
        struct tess_blend *blend = &blender->blend[i];
        int there;

        find(member, blend, &there, &mine);
        if (mine.code != TESS_OK && choice == TESS_BLEND_ON) {
            *error = mine;
            return;
        }
        if (mine.code != TESS_OK)
            pass_over(member, there, &mine);
        if (mine.code != TESS_OK)
            *blend = none;
        else if (choice == TESS_BLEND_AUTO && !tess_blend_pays(blend))
            blend->weight = blend->mean_weight = blend->feature_weight = 1;
    }
}

int tess_blender_open(struct tess_blender *blender, const struct tess_model *model,
                      enum tess_blend_choice choice, MPI_Comm comm, struct tess_error *error)
{
    int rank;

    *blender = (struct tess_blender){.model = model, .n = model->n_members};
    blender->blend = TESS_NEW(struct tess_blend, blender->n);
    for (int i = 0; i < blender->n; i++)
        blender->blend[i] = none;
    if (choice == TESS_BLEND_OFF)
        return TESS_OK;
    MPI_Comm_rank(comm, &rank);
    if (rank == 0)
        find_all(blender, choice, error);
    if (tess_agree(comm, error) == TESS_OK)
        tess_broadcast(comm, blender->blend, (size_t)blender->n * sizeof *blender->blend);
    for (int i = 0; i < blender->n && error->code == TESS_OK; i++)
        blender->active |= is_blended(&blender->blend[i]);
    return error->code;
}

int tess_blender_check(struct tess_blender *blender, const struct tess_store *store,
                       enum tess_blend_choice choice, struct tess_error *error)
{
    const struct tess_index *index = &store->index;

    for (int i = 0; i < blender->n && blender->active; i++) {
        const struct tess_blend *blend = &blender->blend[i];

        if (!is_blended(blend) ||
            (blend->store_hash == index->hash && blend->split_hash == index->split_hash))
            continue;
        if (choice == TESS_BLEND_ON)
            return tess_error_set(error, TESS_EDATA,
                                  "%s: its %s not those of the training: its baselines are "
                                  "others than the model's weight was chosen for; name the store "
                                  "of the training with --store, or give --blend off",
                                  store->h5.path,
                                  blend->store_hash == index->hash ? "split's experiments are"
                                                                   : "values are");
        tess_warn("%s: its %s not those of the training; the model is not blended with a baseline",
                  store->h5.path,
                  blend->store_hash == index->hash ? "split's experiments are" : "values are");
        blender->active = 0;
    }
    return TESS_OK;
}

void tess_blender_join(struct tess_blender *blender, struct tess_baselines *baselines)
{
    const struct tess_index *index = &baselines->profiles->store->index;
    const struct tess_model *model = blender->model;

    blender->baselines = baselines;
    tess_mapping_init(&blender->component, &model->perturbation, &index->perturbation, NULL);
    tess_mapping_init(&blender->readout, &model->readout, &index->readout, NULL);
    tess_mapping_init(&blender->context, &model->context, &index->context, NULL);
}

void tess_blender_release(struct tess_blender *blender)
{
    tess_mapping_release(&blender->component);
    tess_mapping_release(&blender->readout);
    tess_mapping_release(&blender->context);
    tess_free(blender->blend);
    *blender = (struct tess_blender){.n = 0};
}

/* What the baselines say about the rows that are asked for. */
struct said {
    const struct tess_blender *blender; /* borrowed */
    int64_t n, n_readouts;
    int64_t *column; /* (n_readouts) of a readout among those below, -1: not in the store; own */
    int64_t *readout, n_known; /* of the store, ascending; own */
    uint8_t *known; /* (n) is the row's context in the store? own */
    uint8_t *alone; /* (n) is its perturbation known by its features alone? own */
    uint8_t *fallback; /* (n, TESS_BASELINES) own */
    double *value[TESS_BASELINES]; /* (n, n_known) own, NULL: not needed */
};

/* The distinct readouts in the store's order, and where each that is asked for stands. */
static void place_readouts(struct said *said, const int64_t *readout)
{
    const struct tess_mapping *map = &said->blender->readout;
    int64_t n = said->blender->baselines->profiles->store->index.readout.n;
    int64_t *place;

    if (said->n_readouts == 1) { /* of a list: the store's others need not be looked at */
        said->column = TESS_NEW(int64_t, 1);
        said->readout = TESS_NEW(int64_t, 1);
        said->readout[0] = map->to[readout[0]];
        said->n_known = said->readout[0] >= 0;
        said->column[0] = said->n_known - 1;
        return;
    }
    place = TESS_NEW(int64_t, n);
    said->column = TESS_NEW(int64_t, said->n_readouts);
    said->readout = TESS_NEW(int64_t, said->n_readouts);
    for (int64_t i = 0; i < said->n_readouts; i++)
        if (map->to[readout[i]] >= 0)
            place[map->to[readout[i]]] = 1;
    for (int64_t r = 0; r < n; r++)
        if (place[r]) {
            said->readout[said->n_known] = r;
            place[r] = said->n_known++;
        } else
            place[r] = -1;
    for (int64_t i = 0; i < said->n_readouts; i++)
        said->column[i] = map->to[readout[i]] < 0 ? -1 : place[map->to[readout[i]]];
    tess_free(place);
}

/* `additive` comes with those that fall back to it. */
static int needs_additive(int baseline)
{
    return baseline == TESS_INTERPOLATED || baseline == TESS_ADDITIVE_PARTS ||
           baseline == TESS_ADDITIVE_COMPONENTS;
}

/* Which baselines a blend takes. */
static void mark(const struct tess_blend *blend, uint8_t *wanted)
{
    if (has_baseline(blend))
        wanted[blend->baseline] = 1;
    if (has_components(blend))
        wanted[TESS_ADDITIVE_COMPONENTS] = wanted[TESS_NO_PERTURBATION] =
            wanted[blend->components_baseline] = 1;
    for (int b = 0; b < TESS_BASELINES; b++)
        wanted[TESS_ADDITIVE] |= wanted[b] && needs_additive(b);
}

static void said_init(struct said *said, const struct tess_blender *blender,
                      const struct tess_rows *rows, const struct tess_model_columns *columns)
{
    *said = (struct said){.blender = blender, .n = rows->n, .n_readouts = columns->n_readouts};
    place_readouts(said, columns->readout);
    said->known = TESS_NEW(uint8_t, said->n);
    said->alone = TESS_NEW(uint8_t, said->n);
    if (blender->baselines->by_features)
        said->value[TESS_FEATURES] = TESS_NEW(double, said->n * said->n_known);
    said->fallback = TESS_NEW(uint8_t, said->n * TESS_BASELINES);
    for (int i = 0; i < blender->n; i++) {
        uint8_t wanted[TESS_BASELINES] = {0};

        mark(&blender->blend[i], wanted);
        for (int b = 0; b < TESS_BASELINES; b++)
            if (wanted[b] && !said->value[b])
                said->value[b] = TESS_NEW(double, said->n * said->n_known);
    }
}

static void said_release(struct said *said)
{
    for (int b = 0; b < TESS_BASELINES; b++)
        tess_free(said->value[b]);
    tess_free(said->column);
    tess_free(said->readout);
    tess_free(said->known);
    tess_free(said->alone);
    tess_free(said->fallback);
}

/* The perturbations of the rows, as the store numbers them and their components. */
struct asked {
    int64_t *combination, *first, *member; /* none of one that has an unknown one */
    const char **symbol; /* of single ones that the store lacks, or NULL */
};

static void asked_init(struct asked *asked, const struct tess_blender *blender,
                       const struct tess_rows *rows)
{
    const struct tess_index *index = &blender->baselines->profiles->store->index;

    asked->combination = TESS_NEW(int64_t, rows->n);
    asked->first = TESS_NEW(int64_t, rows->n + 1);
    asked->member = TESS_NEW(int64_t, rows->first[rows->n] - rows->first[0]);
    asked->symbol = TESS_NEW(const char *, rows->n);
    for (int64_t i = 0; i < rows->n; i++) {
        int64_t n = rows->first[i + 1] - rows->first[i];
        int64_t *member = asked->member + asked->first[i];
        int known = tess_mapping_translate(&blender->component, n, rows->member + rows->first[i],
                                           member) == n;

        asked->combination[i] = known ? tess_index_find(index, n, member) : -1;
        asked->first[i + 1] = asked->first[i] + (known ? n : 0);
        if (n == 1 && asked->combination[i] < 0)
            asked->symbol[i] = blender->model->perturbation.symbol[rows->member[rows->first[i]]];
    }
}

static void asked_release(struct asked *asked)
{
    tess_free(asked->combination);
    tess_free(asked->first);
    tess_free(asked->member);
    tess_free(asked->symbol);
}

/* Rows of one context at a time: they mostly come so. */
static int ask(struct said *said, const struct tess_rows *rows, struct tess_error *error)
{
    const struct tess_blender *blender = said->blender;
    struct asked asked;

    asked_init(&asked, blender, rows);
    for (int64_t first = 0, end; first < said->n && error->code == TESS_OK; first = end) {
        int64_t context = tess_mapping_at(&blender->context, rows->context[first]);
        double *out[TESS_BASELINES];

        for (end = first + 1; end < said->n && rows->context[end] == rows->context[first]; end++)
            ;
        if (context < 0)
            continue;
        for (int b = 0; b < TESS_BASELINES; b++)
            out[b] = said->value[b] ? said->value[b] + first * said->n_known : NULL;
        memset(said->known + first, 1, (size_t)(end - first));
        tess_baselines_predict(blender->baselines,
                               &(struct tess_query){
                                   .context = context,
                                   .n = end - first,
                                   .combination = asked.combination + first,
                                   .n_readouts = said->n_known,
                                   .readout = said->readout,
                                   .symbol = asked.symbol + first,
                                   .first = asked.first + first,
                                   .member = asked.member,
                               },
                               out, said->fallback + first * TESS_BASELINES, error);
        for (int64_t i = first; i < end; i++)
            said->alone[i] = rows->first[i + 1] - rows->first[i] == 1 &&
                             tess_blend_by_features(said->fallback + i * TESS_BASELINES,
                                                    said->value[TESS_FEATURES]);
    }
    asked_release(&asked);
    for (int64_t i = 0; i < said->n; i++) /* a control's is itself */
        if (rows->first[i + 1] - rows->first[i] < 2)
            said->fallback[i * TESS_BASELINES + TESS_ADDITIVE_COMPONENTS] = 1;
    return error->code;
}

/* Row i of a member: a combination whose components are measured. */
static void mix_components(const struct said *said, const struct tess_blend *blend, int64_t i,
                           float *out)
{
    const double *sum = said->value[blend->components_baseline] + i * said->n_known;
    const double *control = said->value[TESS_NO_PERTURBATION] + i * said->n_known;

    for (int64_t k = 0; k < said->n_readouts; k++) {
        int64_t at = said->column[k];

        if (at >= 0)
            out[k] =
                (float)(control[at] + blend->components_model * ((double)out[k] - control[at]) +
                        blend->components_sum * (sum[at] - control[at]));
    }
}

static void mix_baseline(const struct said *said, const struct tess_blend *blend, int64_t i,
                         float *out)
{
    const uint8_t *fallback = said->fallback + i * TESS_BASELINES;
    int speaks = tess_blend_speaks(blend->baseline, fallback, said->alone[i]);
    int baseline = said->alone[i] && !speaks ? TESS_FEATURES : blend->baseline;
    const double *value = said->value[baseline] + i * said->n_known;
    double w = speaks ? blend->weight : said->alone[i] ? blend->feature_weight : blend->mean_weight;

    for (int64_t k = 0; k < said->n_readouts; k++)
        if (said->column[k] >= 0)
            out[k] = (float)(w * (double)out[k] + (1 - w) * value[said->column[k]]);
}

/* A member's predictions, blended in place. */
static void mix(const void *closure, int member, float *out)
{
    const struct said *said = closure;
    const struct tess_blend *blend = &said->blender->blend[member];

    for (int64_t i = 0; i < said->n && is_blended(blend); i++) {
        const uint8_t *fallback = said->fallback + i * TESS_BASELINES;
        float *row = out + i * said->n_readouts;

        if (!said->known[i])
            continue;
        if (has_components(blend) && !fallback[TESS_ADDITIVE_COMPONENTS])
            mix_components(said, blend, i, row);
        else if (has_baseline(blend))
            mix_baseline(said, blend, i, row);
    }
}

/* Rows with readouts of their own: what is said about each, by itself. */
struct said_lists {
    const int64_t *first; /* borrowed */
    int64_t n;
    struct said *said; /* (n) own */
};

static void mix_lists(const void *closure, int member, float *out)
{
    const struct said_lists *lists = closure;

    for (int64_t i = 0; i < lists->n; i++)
        mix(&lists->said[i], member, out + lists->first[i]);
}

static int predict_lists(const struct tess_blender *blender, const struct tess_rows *rows,
                         const struct tess_model_columns *columns, struct tess_error *error)
{
    struct said_lists lists = {columns->first, rows->n, TESS_NEW(struct said, rows->n)};

    for (int64_t i = 0; i < rows->n; i++) {
        const struct tess_rows row = {1, rows->first + i, rows->member, rows->context + i};
        const struct tess_model_columns own = {.n_readouts = lists.first[i + 1] - lists.first[i],
                                               .readout = columns->readout + lists.first[i]};

        said_init(&lists.said[i], blender, &row, &own);
        if (ask(&lists.said[i], &row, error) != TESS_OK)
            break;
    }
    if (error->code == TESS_OK)
        tess_model_predict_changed(blender->model, rows, columns,
                                   &(struct tess_model_change){&lists, mix_lists}, error);
    for (int64_t i = 0; i < rows->n; i++)
        said_release(&lists.said[i]);
    tess_free(lists.said);
    return error->code;
}

int tess_blender_predict(const struct tess_blender *blender, const struct tess_rows *rows,
                         const struct tess_model_columns *columns, struct tess_error *error)
{
    struct said said;

    if (!blender->active)
        return tess_model_predict(blender->model, rows, columns, error);
    if (columns->first)
        return predict_lists(blender, rows, columns, error);
    said_init(&said, blender, rows, columns);
    if (ask(&said, rows, error) == TESS_OK)
        tess_model_predict_changed(blender->model, rows, columns,
                                   &(struct tess_model_change){&said, mix}, error);
    said_release(&said);
    return error->code;
}

/* As many as are blended with; *additive: is that one among them? */
static int count_baselines(const struct tess_blender *blender, int *additive)
{
    uint8_t blended[TESS_BASELINES] = {0};
    int n = 0;

    for (int i = 0; i < blender->n && blender->active; i++)
        mark(&blender->blend[i], blended);
    blended[TESS_FEATURES] |=
        blender->active && blender->baselines && blender->baselines->by_features;
    for (int b = 0; b < TESS_BASELINES; b++)
        n += blended[b];
    *additive = blended[TESS_ADDITIVE];
    return n;
}

#define BLOCK_BYTES 32 /* what a block of memory takes beside what is in it */

double tess_blender_value_bytes(const struct tess_blender *blender, int listed)
{
    int additive, n = count_baselines(blender, &additive);
    double row = sizeof(struct said) + TESS_BASELINES + 1 + (4.0 + n) * BLOCK_BYTES;

    return n == 0 ? 0 : n * sizeof(double) + (listed ? row + 2 * sizeof(int64_t) : 0);
}

double tess_blender_growth(const struct tess_blender *blender)
{
    int additive;

    count_baselines(blender, &additive);
    return additive ? tess_baselines_growth(blender->baselines) : 0;
}

char *tess_blender_name(const struct tess_blender *blender)
{
    double weight = 0, features = 0;
    int baseline = -1, several = 0, components = -1, both = 0;
    char *name, *whole;

    if (!blender->active)
        return tess_strdup("model");
    for (int i = 0; i < blender->n; i++) {
        const struct tess_blend *blend = &blender->blend[i];

        weight += blend->weight / blender->n;
        features += blend->feature_weight / blender->n;
        if (has_components(blend)) {
            both |= components >= 0 && components != blend->components_baseline;
            components = blend->components_baseline;
        }
        if (!has_baseline(blend))
            continue;
        several |= baseline >= 0 && baseline != blend->baseline;
        baseline = blend->baseline;
    }
    name = baseline < 0 || weight == 1
               ? tess_strdup("model")
               : tess_format("model (%.2f) + %s (%.2f)", weight,
                             several ? "baselines" : tess_baseline_name(baseline), 1 - weight);
    if (features < 1) {
        whole = tess_format("%s, of features alone + features (%.2f)", name, 1 - features);
        tess_free(name);
        name = whole;
    }
    if (components >= 0) {
        whole = tess_format("%s, of combinations + %s", name,
                            both ? "sums of components" : tess_baseline_name(components));
        tess_free(name);
        name = whole;
    }
    return name;
}
