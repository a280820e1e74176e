/* sample.h -- a small store for tests: two contexts, two panels, combinations, folds. */
#ifndef TESSERA_TESTS_SAMPLE_H
#define TESSERA_TESTS_SAMPLE_H

#include "tessera/alloc.h"
#include "tessera/store.h"

#include <math.h>
#include <string.h>

static inline int64_t *sample_numbers(int64_t n, const int64_t *from)
{
    int64_t *own = TESS_NEW(int64_t, n);

    memcpy(own, from, (size_t)n * sizeof *own);
    return own;
}

#define SAMPLE(...)                                                                                \
    sample_numbers(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t), (int64_t[]){__VA_ARGS__})

/* Combinations: A, A+B, B, control. Panels: {r0}, {r0, r1, r2}. Experiments 0 … 5. */
static inline void sample_index(struct tess_index *index)
{
    static const char *const symbol[] = {"A", "B", "control"},
                             *const readout[] = {"r0", "r1", "r2"}, *const context[] = {"c0", "c1"};

    *index = (struct tess_index){.n_combinations = 4, .n_panels = 2, .n_experiments = 6};
    tess_vocab_init(&index->perturbation, 3, symbol, NULL);
    tess_vocab_init(&index->readout, 3, readout, NULL);
    tess_vocab_init(&index->context, 2, context, NULL);
    index->combination_first = SAMPLE(0, 1, 3, 4, 5);
    index->combination_member = SAMPLE(0, 0, 1, 1, 2);
    index->panel_first = SAMPLE(0, 1, 4);
    index->panel_readout = SAMPLE(0, 0, 1, 2);
    index->combination = SAMPLE(0, 3, 0, 1, 2, 3);
    index->context_of = SAMPLE(0, 0, 1, 1, 1, 1);
    index->panel = SAMPLE(0, 0, 1, 1, 1, 1);
    index->split = (int8_t *)tess_alloc(6, 1);
    index->split[3] = TESS_TEST;
    index->n_replicates = SAMPLE(1, 3, 1, 2, 1, 9);
    index->n_observed = SAMPLE(0, 0, 0, 0, 0, 0);
    index->fold_first = SAMPLE(0, 0, 3, 3, 5, 5, 7);
    index->fold_replicates = SAMPLE(1, 1, 1, 1, 1, 4, 5);
    tess_index_finish(index);
}

/* Value i of the store (which 0) or of its folds (1). */
static inline float sample_value(int which, int64_t i)
{
    return i % 5 == 3 ? NAN : (float)(which ? -1 : 1) * (float)(i + 1) / 8;
}

#endif
