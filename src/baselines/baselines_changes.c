/* baselines_changes.c -- sums of a perturbation's changes, made once for all contexts. */
#include "baselines_changes.h"

#include "tessera/alloc.h"
#include "tessera/error.h"

#include <string.h>

#define FEW 32 /* contexts that are added up again rather than one taken away */

static void sum_init(struct tess_change_sum *sum, int64_t n)
{
    sum->sum = TESS_NEW(double, n);
    sum->count = TESS_NEW(int32_t, n);
}

static void sum_release(struct tess_change_sum *sum)
{
    tess_free(sum->sum);
    tess_free(sum->count);
}

void tess_changes_init(struct tess_changes *changes, struct tess_profiles *profiles,
                       double *const *mean)
{
    const struct tess_index *index = &profiles->store->index;

    *changes = (struct tess_changes){.profiles = profiles, .mean = mean};
    changes->of = TESS_NEW(struct tess_change_sum, index->n_combinations);
    changes->room = TESS_NEW(float, index->readout.n);
    sum_init(&changes->spare, index->readout.n);
}

void tess_changes_release(struct tess_changes *changes)
{
    for (int64_t p = 0; changes->of && p < changes->profiles->store->index.n_combinations; p++)
        sum_release(&changes->of[p]);
    sum_release(&changes->spare);
    tess_free(changes->of);
    tess_free(changes->room);
    *changes = (struct tess_changes){0};
}

/* sign: 1 adds the unit's changes, -1 takes them away. */
static void add_unit(struct tess_changes *changes, int64_t unit, int sign,
                     struct tess_change_sum *sum, struct tess_error *error)
{
    struct tess_profiles *profiles = changes->profiles;
    int64_t context = profiles->context_of[unit];
    const int64_t *readout = profiles->readout + profiles->readout_first[context];
    const float *row = tess_profiles_row(profiles, unit, changes->room, error);

    for (int64_t i = 0; row && i < tess_profiles_width(profiles, context); i++) {
        double x = tess_profiles_change(changes->mean, context, row, i);

        if (isnan(x))
            continue;
        sum->sum[readout[i]] += sign * x;
        sum->count[readout[i]] += sign;
    }
}

static void add_all(struct tess_changes *changes, int64_t combination, int64_t except,
                    struct tess_change_sum *sum, struct tess_error *error)
{
    const struct tess_profiles *profiles = changes->profiles;
    int64_t n = profiles->store->index.readout.n;

    memset(sum->sum, 0, (size_t)n * sizeof *sum->sum);
    memset(sum->count, 0, (size_t)n * sizeof *sum->count);
    for (int64_t i = profiles->trained_first[combination];
         i < profiles->trained_first[combination + 1] && error->code == TESS_OK; i++)
        if (profiles->trained_in[i] != except)
            add_unit(changes, profiles->trained[i], 1, sum, error);
}

static size_t sum_bytes(const struct tess_changes *changes)
{
    return (size_t)changes->profiles->store->index.readout.n * (sizeof(double) + sizeof(int32_t));
}

double tess_changes_growth(const struct tess_changes *changes)
{
    double all =
               (double)changes->profiles->store->index.n_combinations * (double)sum_bytes(changes),
           most = (double)changes->profiles->budget;

    return (all < most ? all : most) - (double)changes->bytes;
}

/* Kept as long as there is room: later ones are made anew each time. */
static struct tess_change_sum *everywhere(struct tess_changes *changes, int64_t combination,
                                          struct tess_error *error)
{
    struct tess_change_sum *sum = &changes->of[combination];
    int64_t n = changes->profiles->store->index.readout.n;
    size_t bytes = sum_bytes(changes);

    if (sum->sum)
        return sum;
    if (changes->bytes + bytes <= changes->profiles->budget) {
        sum_init(sum, n);
        changes->bytes += bytes;
    } else
        sum = &changes->spare;
    add_all(changes, combination, -1, sum, error);
    return sum;
}

/* A context whose own training unit must not count (some of its replicates are held out) is left
 * out of a short sum, and taken away from a long one: of m changes of at most a, that is off by
 * less than m · 1e-16 · a after the division by m - 1, as much as the sum itself. */
const struct tess_change_sum *tess_changes_elsewhere(struct tess_changes *changes, int64_t context,
                                                     int64_t combination, struct tess_error *error)
{
    const struct tess_profiles *profiles = changes->profiles;
    int64_t first = profiles->trained_first[combination];
    int64_t n = profiles->trained_first[combination + 1] - first;
    int64_t own = tess_profiles_find(profiles, context, combination, TESS_TRAIN);
    size_t readouts = (size_t)profiles->store->index.readout.n;
    struct tess_change_sum *sum = &changes->spare;

    if (own < 0)
        sum = everywhere(changes, combination, error);
    else if (n <= FEW)
        add_all(changes, combination, context, sum, error);
    else {
        const struct tess_change_sum *all = everywhere(changes, combination, error);

        if (all != sum) {
            memcpy(sum->sum, all->sum, readouts * sizeof *sum->sum);
            memcpy(sum->count, all->count, readouts * sizeof *sum->count);
        }
        add_unit(changes, own, -1, sum, error);
    }
    return error->code == TESS_OK ? sum : NULL;
}
