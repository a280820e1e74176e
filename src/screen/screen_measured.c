/* screen_measured.c -- what the store says of this rank's perturbations: their score as measured,
 * and where they were trained. */
#include "screen.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/log.h"
#include "tessera/profiles.h"
#include "tessera/store.h"

#include <math.h>

struct measuring {
    struct screening *work;
    struct tess_store store;
    struct tess_profiles profiles;
    struct tess_mapping component, context; /* the model's numbers in the store */
    int64_t *combination; /* (end - begin) of this rank's perturbations in the store, -1; own */
    uint8_t *screened; /* (contexts of the store) own */
    /* Of the context in work: */
    int64_t *readout, *place; /* (readouts) numbers in the store; among the context's; own */
    float *control, *change; /* (readouts) own */
};

/* Is every readout known to the store? Otherwise no score can be had. */
static int place_readouts(struct measuring *measuring)
{
    const struct screening *work = measuring->work;
    int64_t K = work->signature.n;
    struct tess_mapping readout;
    int known = 1;

    tess_mapping_init(&readout, &work->model.readout, &measuring->store.index.readout, NULL);
    measuring->readout = TESS_NEW(int64_t, K);
    measuring->place = TESS_NEW(int64_t, K);
    measuring->control = TESS_NEW(float, K);
    measuring->change = TESS_NEW(float, K);
    for (int64_t k = 0; k < K; k++) {
        measuring->readout[k] = readout.to[work->signature.readout[k]];
        known = known && measuring->readout[k] >= 0;
    }
    tess_mapping_release(&readout);
    return known;
}

static void find_combinations(struct measuring *measuring)
{
    const struct screening *work = measuring->work;
    const struct tess_sets *sets = &work->perturbation;

    measuring->combination = TESS_NEW(int64_t, work->end - work->begin);
    for (int64_t i = work->begin; i < work->end; i++) {
        int64_t n = sets->first[i + 1] - sets->first[i], *member = TESS_NEW(int64_t, n);

        n = tess_mapping_translate(&measuring->component, n, sets->member + sets->first[i], member);
        measuring->combination[i - work->begin] =
            n < 0 ? -1 : tess_index_find(&measuring->store.index, n, member);
        tess_free(member);
    }
}

/* The readouts' values in a context, of training if they are there, else of validation or test: 1,
 * or 0 if one is missing. room: (readouts of the context). */
static int values_of(struct measuring *measuring, int64_t context, int64_t combination, float *room,
                     float *out, struct tess_error *error)
{
    static const int split[] = {TESS_TRAIN, TESS_VAL, TESS_TEST};
    int64_t n = measuring->work->signature.n, missing = n;

    for (int64_t k = 0; k < n; k++)
        out[k] = NAN;
    for (int i = 0; i < 3 && missing > 0 && combination >= 0; i++) {
        int64_t unit = tess_profiles_find(&measuring->profiles, context, combination, split[i]);
        const float *row =
            unit < 0 ? NULL : tess_profiles_row(&measuring->profiles, unit, room, error);

        for (int64_t k = 0; k < n && row; k++)
            if (isnan(out[k]) && measuring->place[k] >= 0 && !isnan(row[measuring->place[k]])) {
                out[k] = row[measuring->place[k]];
                missing--;
            }
    }
    return missing == 0;
}

/* Where the model knows a control, changes are against the measured one: without it there are
 * none. */
static int find_control(struct measuring *measuring, int64_t context, float *room,
                        struct tess_error *error)
{
    const struct tess_index *index = &measuring->store.index;
    int64_t combination = index->control < 0 ? -1 : tess_index_find(index, 1, &index->control);

    for (int64_t k = 0; k < measuring->work->signature.n; k++)
        measuring->control[k] = 0;
    return measuring->work->control < 0 ||
           values_of(measuring, context, combination, room, measuring->control, error);
}

/* Is the experiment in the store, in whatever split? */
static int ran(const struct measuring *measuring, int64_t context, int64_t combination)
{
    static const int split[] = {TESS_TRAIN, TESS_VAL, TESS_TEST};
    int found = 0;

    for (int i = 0; i < 3 && combination >= 0 && !found; i++)
        found = tess_profiles_find(&measuring->profiles, context, combination, split[i]) >= 0;
    return found;
}

static void mark_context(struct measuring *measuring, int64_t place, int64_t context)
{
    struct screening *work = measuring->work;

    for (int64_t i = 0; i < work->end - work->begin && work->cell; i++)
        work->cell[i * work->context.n + place].ran =
            ran(measuring, context, measuring->combination[i]);
}

static int measure_context(struct measuring *measuring, int64_t context, struct tess_error *error)
{
    struct screening *work = measuring->work;
    float *room = TESS_NEW(float, tess_profiles_width(&measuring->profiles, context));

    tess_profiles_place(&measuring->profiles, context, work->signature.n, measuring->readout,
                        measuring->place);
    if (find_control(measuring, context, room, error))
        for (int64_t i = 0; i < work->end - work->begin && error->code == TESS_OK; i++) {
            if (!values_of(measuring, context, measuring->combination[i], room, measuring->change,
                           error))
                continue;
            for (int64_t k = 0; k < work->signature.n; k++)
                measuring->change[k] -= measuring->control[k];
            work->result[i].measured +=
                tess_screen_score(&work->signature, work->screen->cosine, measuring->change);
            work->result[i].n_measured++;
        }
    tess_free(room);
    return error->code;
}

/* In how many contexts a perturbation was trained: those that are screened, and others. */
static void count_trained(const struct measuring *measuring, int64_t combination,
                          struct screen_result *result)
{
    const struct tess_profiles *profiles = &measuring->profiles;

    for (int64_t c = 0; c < profiles->n_contexts && combination >= 0; c++)
        if (tess_profiles_find(profiles, c, combination, TESS_TRAIN) >= 0) {
            result->n_trained += measuring->screened[c];
            result->n_elsewhere += !measuring->screened[c];
        }
}

/* Of a context where the control was never trained its change is against what the model makes of
 * it. */
static void warn_of_control(const struct measuring *measuring)
{
    const struct screening *work = measuring->work;
    const struct tess_index *index = &measuring->store.index;
    int64_t control = index->control < 0 ? -1 : tess_index_find(index, 1, &index->control);
    struct tess_strings without = {0};

    for (int64_t c = 0; c < work->context.n; c++) {
        int64_t number = work->context.member[c],
                context = tess_mapping_at(&measuring->context, number);

        if (control < 0 || context < 0 ||
            tess_profiles_find(&measuring->profiles, context, control, TESS_TRAIN) < 0)
            tess_strings_add(&without, work->model.context.symbol[number]);
    }
    if (without.n > 0) {
        char *list = tess_strings_join(&without, ", ", 5);

        tess_warn("%zu of the %lld contexts never had a control in training, so changes there are "
                  "against one that the model extrapolates: %s",
                  without.n, (long long)work->context.n, list);
        tess_free(list);
    }
    tess_strings_release(&without);
}

/* With a store that is open. Local. */
static int measure(struct measuring *measuring, struct tess_error *error)
{
    struct screening *work = measuring->work;
    const struct tess_index *index = &measuring->store.index;
    int known;

    tess_profiles_init(&measuring->profiles, &measuring->store, TESS_PROFILES_BYTES);
    tess_mapping_init(&measuring->component, &work->model.perturbation, &index->perturbation, NULL);
    tess_mapping_init(&measuring->context, &work->model.context, &index->context, NULL);
    measuring->screened = TESS_NEW(uint8_t, index->context.n);
    known = place_readouts(measuring);
    find_combinations(measuring);
    for (int64_t c = 0; c < work->context.n && error->code == TESS_OK; c++) {
        int64_t context = tess_mapping_at(&measuring->context, work->context.member[c]);

        if (context < 0)
            continue;
        measuring->screened[context] = 1;
        mark_context(measuring, c, context);
        if (known && work->screen->next == 0)
            measure_context(measuring, context, error);
    }
    if (work->knows_trained && work->control >= 0)
        warn_of_control(measuring);
    for (int64_t i = 0; i < work->end - work->begin && work->knows_trained; i++)
        count_trained(measuring, measuring->combination[i], &work->result[i]);
    return error->code;
}

int tess_screening_measure(struct screening *work, struct tess_error *error)
{
    struct measuring measuring = {.work = work};
    struct tess_error mine = TESS_ERROR_INIT;
    const char *path = tess_model_store(&work->model, work->screen->store, 1, &mine);

    if (!path || tess_store_open(&measuring.store, path, work->comm, &mine) != TESS_OK) {
        if (work->screen->store || work->screen->next > 0)
            return tess_error_set(error, mine.code, "%s", mine.text);
        tess_warn("nothing is said of what was measured and trained: %s", mine.text);
    } else {
        const struct tess_model *other = tess_model_trained_elsewhere(
            &work->model, measuring.store.index.hash, measuring.store.index.split_hash);

        work->knows_trained = !other;
        if (other)
            tess_warn("%s is not what %s was trained on, or its split has changed since: nothing "
                      "is said of what was trained",
                      path, other->path);
        measure(&measuring, error);
        tess_profiles_release(&measuring.profiles);
        tess_store_release(&measuring.store);
    }
    for (int64_t i = 0; i < work->end - work->begin; i++)
        work->result[i].measured /= (double)work->result[i].n_measured; /* NaN: nowhere */
    tess_mapping_release(&measuring.component);
    tess_mapping_release(&measuring.context);
    tess_free(measuring.combination);
    tess_free(measuring.screened);
    tess_free(measuring.readout);
    tess_free(measuring.place);
    tess_free(measuring.control);
    tess_free(measuring.change);
    return error->code;
}
