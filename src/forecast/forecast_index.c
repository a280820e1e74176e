/* forecast_index.c -- an index without a store: of so many experiments some that stand for all. */
#include "forecast.h"

#include "tessera/alloc.h"
#include "tessera/store.h"

#include <stdio.h>

#define EXPERIMENTS   ((int64_t)1 << 20) /* of the index, about */
#define OF_A_LANE     1024 /* at least so many experiments, some dozen steps' */
#define SYMBOL_WIDTH  20 /* bytes of a perturbation's name */
#define VALIDATE_EACH 10 /* one experiment of so many is for validation */

/* Names in order of their numbers. */
static void name_all(struct tess_vocab *vocab, int64_t n, char letter)
{
    tess_vocab_reserve(vocab, n, SYMBOL_WIDTH);
    for (int64_t i = 0; i < n; i++)
        snprintf(vocab->text + i * (SYMBOL_WIDTH + 1), SYMBOL_WIDTH + 1, "%c%018lld", letter,
                 (long long)i);
}

/* Experiments are in the order of contexts, and in each of them of perturbations, as in a store:
 * n perturbations in each, evenly spread over all. */
static void fill(const struct tess_forecast_shape *shape, int64_t n, struct tess_index *index)
{
    int64_t readouts = shape->readouts;
    int64_t observed = (int64_t)((double)readouts * (1 - shape->missing) + 0.5);

    for (int64_t i = 0; i < n; i++) {
        index->combination_member[i] =
            (int64_t)((double)i * (double)shape->perturbations / (double)n);
        index->combination_first[i + 1] = i + 1;
    }
    for (int64_t r = 0; r < readouts; r++)
        index->panel_readout[r] = r;
    index->panel_first[1] = readouts;
    for (int64_t e = 0; e < index->n_experiments; e++) {
        index->combination[e] = e % n;
        index->context_of[e] = e / n;
        index->split[e] = e % VALIDATE_EACH == VALIDATE_EACH - 1 ? TESS_VAL : TESS_TRAIN;
        index->n_replicates[e] = 1;
        index->n_observed[e] = observed > 0 ? observed : 1;
    }
}

/* The table of perturbations has all of its rows, without names. */
void tess_forecast_index(const struct tess_forecast_shape *shape, int64_t lanes,
                         struct tess_index *index, double *each)
{
    double all = shape->experiments > 0 ? (double)shape->experiments
                                        : (double)shape->perturbations * (double)shape->contexts;
    int64_t most = lanes * OF_A_LANE > EXPERIMENTS ? lanes * OF_A_LANE : EXPERIMENTS, n, e;

    n = (int64_t)(all < (double)most ? all : (double)most) / shape->contexts;
    n = n > 0 ? n : 1;
    n = n < shape->perturbations ? n : shape->perturbations;
    e = n * shape->contexts;
    *each = all / (double)e;
    *index = (struct tess_index){.n_combinations = n, .n_panels = 1, .n_experiments = e};
    index->combination_first = TESS_NEW(int64_t, n + 1);
    index->combination_member = TESS_NEW(int64_t, n);
    index->panel_first = TESS_NEW(int64_t, 2);
    index->panel_readout = TESS_NEW(int64_t, shape->readouts);
    index->combination = TESS_NEW(int64_t, e);
    index->context_of = TESS_NEW(int64_t, e);
    index->panel = TESS_NEW(int64_t, e);
    index->split = TESS_NEW(int8_t, e);
    index->n_replicates = TESS_NEW(int64_t, e);
    index->n_observed = TESS_NEW(int64_t, e);
    index->fold_first = TESS_NEW(int64_t, e + 1);
    name_all(&index->readout, shape->readouts, 'r');
    name_all(&index->context, shape->contexts, 'c');
    fill(shape, n, index);
    tess_index_finish(index);
    index->perturbation = (struct tess_vocab){.n = shape->perturbations, .width = SYMBOL_WIDTH};
}
