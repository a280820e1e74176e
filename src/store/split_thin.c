/* split_thin.c -- a share of what a split trains on: how much more of it would bring. */
#include "tessera/split.h"

#include "tessera/alloc.h"
#include "tessera/random.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <xxhash.h>

/* Contexts, or combinations: which of them an experiment has, and who is in no lottery. */
struct lottery {
    const char *what; /* of the stream */
    int64_t n;
    const int64_t *of; /* (n_experiments) borrowed */
    uint8_t *trained, *stays; /* (n) own */
};

static struct lottery lottery_of(const struct tess_index *index, const int8_t *split,
                                 const char *what, int64_t n, const int64_t *of)
{
    struct lottery lottery = {.what = what,
                              .n = n,
                              .of = of,
                              .trained = TESS_NEW(uint8_t, n),
                              .stays = TESS_NEW(uint8_t, n)};

    for (int64_t e = 0; e < index->n_experiments; e++) {
        lottery.trained[of[e]] |= split[e] == TESS_TRAIN;
        lottery.stays[of[e]] |= split[e] == TESS_VAL || split[e] == TESS_TEST;
    }
    return lottery;
}

/* The first of a permutation that does not depend on the share stay. Returns how many of how many.
 */
static int64_t draw(struct lottery *lottery, double share, int64_t seed, int64_t *n)
{
    int64_t *candidate = TESS_NEW(int64_t, lottery->n), kept;
    uint64_t stream = XXH3_64bits_withSeed(lottery->what, strlen(lottery->what), 3);

    *n = 0;
    for (int64_t i = 0; i < lottery->n; i++)
        if (lottery->trained[i] && !lottery->stays[i])
            candidate[(*n)++] = i;
    tess_random_permute(tess_random_stream((uint64_t)seed, TESS_RANDOM_SPLIT, stream), *n,
                        candidate);
    kept = (int64_t)llround(share * (double)*n);
    for (int64_t k = 0; k < kept; k++)
        lottery->stays[candidate[k]] = 1;
    tess_free(candidate);
    return kept;
}

static void apply(const struct tess_index *index, const struct lottery *lottery, int8_t *split)
{
    for (int64_t e = 0; e < index->n_experiments; e++)
        if (split[e] == TESS_TRAIN && !lottery->stays[lottery->of[e]])
            split[e] = TESS_UNUSED;
    tess_free(lottery->trained);
    tess_free(lottery->stays);
}

void tess_split_thin(const struct tess_index *index, const struct tess_split_share *share,
                     int8_t *split, char *method)
{
    struct lottery context =
        lottery_of(index, split, "contexts", index->context.n, index->context_of);
    struct lottery perturbation =
        lottery_of(index, split, "perturbations", index->n_combinations, index->combination);
    int64_t n[2], kept[2];
    size_t length = strlen(method);

    for (int64_t c = 0; c < index->n_combinations; c++)
        perturbation.stays[c] |= (uint8_t)tess_index_is_control(index, c);
    kept[0] = draw(&context, share->contexts, share->seed, &n[0]);
    kept[1] = draw(&perturbation, share->perturbations, share->seed, &n[1]);
    apply(index, &context, split);
    apply(index, &perturbation, split);
    snprintf(method + length, TESS_SPLIT_METHOD - length,
             "; trained on %" PRId64 " of %" PRId64 " contexts and %" PRId64 " of %" PRId64
             " perturbations without a held-out experiment, seed %" PRId64,
             kept[0], n[0], kept[1], n[1], share->seed);
}
