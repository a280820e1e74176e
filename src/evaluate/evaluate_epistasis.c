/* evaluate_epistasis.c -- by how much combinations deviate from the sum of their components'
 * changes, and how well that is predicted.
 *
 * With the changes of a context's components against its control (or, without one, its mean), all
 * measured, the deviation of a value is what is left of it when control and changes are taken away.
 * What a method predicts of it is its prediction less the same. As for all scores, experiments are
 * cut into chunks by the store alone and added up in their order on rank 0. */
#include "evaluate.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/gather.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK 64 /* experiments at most, of one context */
enum { LONGEST = 200 }; /* of tess_cut */
enum { METHODS = TESS_METHODS + 1, LISTS = METHODS + 1 }; /* the last list is what was measured */

struct strong {
    double x;
    int64_t at; /* experiment and readout */
};

/* The LONGEST strongest of what was offered, and some more. */
struct list {
    int64_t n;
    struct strong *item; /* (2 * LONGEST) own */
    int sorted; /* the first LONGEST bound what can come in */
};

struct work {
    struct tess_evaluation *evaluation;
    int n_methods;
    int64_t n_chunks, *range; /* (n_chunks, 2) experiments; own */
    struct tess_tally tally; /* rank 0 */
    struct list list[2][LISTS]; /* synergy, antagonism */
    int64_t widest;
};

/* What a chunk's experiments deviate by: (n, width), NaN where it is not known. Own. */
struct deviations {
    int64_t begin, n, width;
    float *measured;
    double *additive, *sign; /* what no deviation would be; the direction of its change */
    double *mean; /* the mean of the components' changes, on top of control */
    struct tess_evaluate_batch batch;
};

static int64_t context_of(const struct tess_evaluation *evaluation, int64_t i)
{
    return evaluation->profiles.context_of[evaluation->unit[i]];
}

/* The unit of one component alone: trained on, if there is such a one; -1: none is measured. */
static int64_t single_of(const struct tess_evaluation *evaluation, int64_t context, int64_t member)
{
    static const int order[] = {TESS_TRAIN, TESS_VAL, TESS_TEST};
    const struct tess_index *index = &evaluation->store->index;
    int64_t combination = tess_index_find(index, 1, &member), unit = -1;

    for (int s = 0; s < 3 && combination >= 0 && unit < 0; s++) {
        int64_t observed = 0;

        unit = tess_profiles_find(&evaluation->profiles, context, combination, order[s]);
        for (int64_t k = unit < 0 ? 0 : evaluation->profiles.row_first[unit];
             unit >= 0 && k < evaluation->profiles.row_first[unit + 1]; k++)
            observed += index->n_observed[evaluation->profiles.row[k]];
        unit = observed > 0 ? unit : -1;
    }
    return unit;
}

/* A combination whose components are all measured alone in its context? */
static int is_judged(const struct tess_evaluation *evaluation, int64_t i)
{
    const struct tess_index *index = &evaluation->store->index;
    int64_t combination = evaluation->profiles.combination[evaluation->unit[i]];
    int64_t first = index->combination_first[combination];
    int64_t end = index->combination_first[combination + 1];

    for (int64_t k = first; k < end; k++)
        if (single_of(evaluation, context_of(evaluation, i), index->combination_member[k]) < 0)
            return 0;
    return end - first > 1;
}

const char *tess_evaluate_epistasis_method(const struct tess_evaluation *evaluation, int method)
{
    return method < evaluation->has_model    ? "model"
           : method == evaluation->n_methods ? "mean_components"
                                             : tess_baseline_name(method - evaluation->has_model);
}

/* Chunks of consecutive experiments that are judged. */
static void cut(struct work *work)
{
    struct tess_evaluation *evaluation = work->evaluation;
    struct tess_epistasis *to = &evaluation->epistasis;
    int64_t *range = TESS_NEW(int64_t, 2 * evaluation->n), before = -1;

    for (int64_t i = 0, n = 0; i < evaluation->n; i++) {
        int64_t context = context_of(evaluation, i);
        int64_t width = tess_profiles_width(&evaluation->profiles, context);

        if (!is_judged(evaluation, i))
            continue;
        if (before == context && range[2 * n - 1] == i && i - range[2 * n - 2] < CHUNK)
            range[2 * n - 1] = i + 1;
        else {
            range[2 * n] = i;
            range[2 * n++ + 1] = i + 1;
        }
        to->n_experiments++;
        to->n_contexts += before != context;
        before = context;
        work->widest = width > work->widest ? width : work->widest;
        work->n_chunks = n;
    }
    work->range = range;
}

static int compare(const void *a, const void *b)
{
    const struct strong *u = a, *v = b;

    return u->x != v->x ? (u->x < v->x) - (u->x > v->x) : (u->at > v->at) - (u->at < v->at);
}

static void shorten(struct list *list)
{
    qsort(list->item, (size_t)list->n, sizeof *list->item, compare);
    list->sorted = list->n >= LONGEST;
    list->n = list->sorted ? LONGEST : list->n;
}

static void offer(struct list *list, double x, int64_t at)
{
    struct strong one = {x, at};

    if (list->sorted && compare(&one, &list->item[LONGEST - 1]) > 0)
        return;
    if (list->n == (int64_t)2 * LONGEST)
        shorten(list);
    list->item[list->n++] = one;
}

static void deviations_release(struct deviations *of)
{
    tess_evaluate_batch_release(&of->batch);
    tess_free(of->measured);
    tess_free(of->additive);
    tess_free(of->sign);
    tess_free(of->mean);
}

/* Control and what the components of experiment number i of the chunk change. */
static int add_components(struct deviations *of, struct tess_evaluation *evaluation, int64_t i,
                          struct tess_error *error)
{
    const struct tess_baselines *baselines = &evaluation->baselines;
    const struct tess_index *index = &evaluation->store->index;
    int64_t context = context_of(evaluation, of->begin), width = of->width;
    int64_t combination = evaluation->profiles.combination[evaluation->unit[of->begin + i]];
    int64_t first = index->combination_first[combination];
    int64_t end = index->combination_first[combination + 1];
    const double *from =
        baselines->control[context] ? baselines->control[context] : baselines->mean[context];
    float *row = TESS_NEW(float, width);

    for (int64_t m = first; m < end && error->code == TESS_OK; m++) {
        int64_t unit = single_of(evaluation, context, index->combination_member[m]);

        tess_profiles_read(&evaluation->profiles, 1, &unit, row, error);
        for (int64_t k = 0; k < width; k++)
            of->sign[i * width + k] += (double)row[k] - from[k];
    }
    for (int64_t k = 0; k < width; k++) {
        double sum = of->sign[i * width + k];

        of->additive[i * width + k] = from[k] + sum;
        of->mean[i * width + k] = from[k] + sum / (double)(end - first);
        of->sign[i * width + k] = (sum > 0) - (sum < 0);
    }
    tess_free(row);
    return error->code;
}

static int deviations_init(struct deviations *of, struct tess_evaluation *evaluation,
                           const int64_t *range, struct tess_error *error)
{
    int64_t n = range[1] - range[0], context = context_of(evaluation, range[0]);
    int64_t width = tess_profiles_width(&evaluation->profiles, context);

    *of = (struct deviations){.begin = range[0], .n = n, .width = width};
    of->measured = TESS_NEW(float, n *width);
    of->additive = TESS_NEW(double, n *width);
    of->sign = TESS_NEW(double, n *width);
    of->mean = TESS_NEW(double, n *width);
    if (tess_profiles_read(&evaluation->profiles, n, evaluation->unit + range[0], of->measured,
                           error) == TESS_OK)
        tess_evaluate_batch_init(&of->batch, evaluation, range[0], range[1], error);
    for (int64_t i = 0; i < n && error->code == TESS_OK; i++) {
        tess_evaluate_mask(evaluation, evaluation->unit[range[0] + i], of->measured + i * width);
        add_components(of, evaluation, i, error);
    }
    for (int64_t k = 0; k < n * width; k++)
        of->measured[k] = (float)((double)of->measured[k] - of->additive[k]);
    return error->code;
}

/* What a method predicts of the deviations of experiment number i of the chunk: out (width). */
static void predict(const struct tess_evaluation *evaluation, const struct deviations *of,
                    int method, int64_t i, double *out)
{
    int zero = method == evaluation->has_model + TESS_ADDITIVE_COMPONENTS;
    const double *value = method == evaluation->n_methods ? of->mean : of->batch.value[method];

    for (int64_t k = i * of->width; k < (i + 1) * of->width; k++)
        *out++ = zero ? 0 : value[k] - of->additive[k];
}

static void offer_all(struct work *work, int list, const struct deviations *of, int64_t i,
                      const double *deviation)
{
    for (int64_t k = 0; k < of->width; k++) {
        double x = deviation[k] * of->sign[i * of->width + k];
        int64_t at = (of->begin + i) * work->widest + k;

        if (isnan(of->measured[i * of->width + k]))
            continue;
        offer(&work->list[0][list], x, at);
        offer(&work->list[1][list], -x, at);
    }
}

void tess_evaluate_leave_out(struct tess_scores *scores)
{
    for (int k = TESS_DISCRIMINATION; k < TESS_METRICS; k++)
        if (k <= TESS_CENTROID || k >= TESS_NO_TARGETS) {
            scores->value[k] = NAN;
            scores->reason[k] = TESS_ONE_EXPERIMENT;
        }
}

static void score(struct work *work, const struct deviations *of, int64_t i,
                  struct tess_scores *scores)
{
    double *out = TESS_NEW(double, of->width), *zero = TESS_NEW(double, of->width);
    struct tess_measured truth;

    tess_measured_init(&truth, of->width, of->measured + i * of->width, zero, NULL);
    for (int m = 0; m < work->n_methods; m++) {
        predict(work->evaluation, of, m, i, out);
        tess_measured_score(&truth, out, 0, &scores[m]);
        tess_evaluate_leave_out(&scores[m]);
        offer_all(work, m, of, i, out);
    }
    for (int64_t k = 0; k < of->width; k++)
        out[k] = (double)of->measured[i * of->width + k];
    offer_all(work, METHODS, of, i, out);
    tess_measured_release(&truth);
    tess_free(out);
    tess_free(zero);
}

/* Chunk c of this rank, if there is one: scores (n, n_methods), own of the caller. Local. */
static int64_t score_chunk(struct work *work, int64_t c, struct tess_scores **scores,
                           struct tess_error *error)
{
    struct deviations of;
    int64_t n;

    *scores = NULL;
    if (c >= work->n_chunks)
        return 0;
    n = work->range[2 * c + 1] - work->range[2 * c];
    *scores = TESS_NEW(struct tess_scores, n * work->n_methods);
    if (deviations_init(&of, work->evaluation, work->range + 2 * c, error) == TESS_OK)
        for (int64_t i = 0; i < n; i++)
            score(work, &of, i, *scores + i * work->n_methods);
    deviations_release(&of);
    return n;
}

/* A round's scores, in the order of the experiments. Collective. */
static void add_round(struct work *work, int64_t first, int n_ranks, int64_t n,
                      const struct tess_scores *mine)
{
    struct tess_evaluation *evaluation = work->evaluation;
    int64_t all = 0;
    struct tess_scores *scores;

    MPI_Reduce(&n, &all, 1, MPI_INT64_T, MPI_SUM, 0, evaluation->comm);
    scores = TESS_NEW(struct tess_scores, all * work->n_methods);
    tess_gather(evaluation->comm, mine, n * work->n_methods, sizeof *mine, scores);
    for (int64_t c = first, at = 0; all > 0 && c < first + n_ranks && c < work->n_chunks; c++)
        for (int64_t i = work->range[2 * c]; i < work->range[2 * c + 1]; i++) {
            tess_tally_add(&work->tally, evaluation->profiles.combination[evaluation->unit[i]],
                           scores + at);
            evaluation->epistasis.n_values += (int64_t)scores[at].pool.n;
            at += work->n_methods;
        }
    tess_free(scores);
}

/* The strongest of all ranks on rank 0. Collective. */
static void gather_list(const struct work *work, struct list *list)
{
    MPI_Comm comm = work->evaluation->comm;
    struct strong *all;
    int64_t n = 0;

    shorten(list);
    MPI_Reduce(&list->n, &n, 1, MPI_INT64_T, MPI_SUM, 0, comm);
    all = TESS_NEW(struct strong, n + 2 * LONGEST);
    tess_gather(comm, list->item, list->n, sizeof *all, all);
    tess_free(list->item);
    *list = (struct list){.n = n, .item = all};
    shorten(list);
}

/* Share of the k strongest that are among the k predicted as strongest. */
static double precision(const struct list *truth, const struct list *predicted, int64_t k)
{
    double shared = 0;

    if (truth->n < k || truth->item[k - 1].x <= 0 ||
        predicted->item[0].x == predicted->item[predicted->n - 1].x)
        return NAN;
    for (int64_t i = 0; i < k; i++)
        for (int64_t j = 0; j < k; j++)
            shared += truth->item[i].at == predicted->item[j].at;
    return shared / (double)k;
}

static void find_precisions(struct work *work)
{
    struct tess_epistasis *to = &work->evaluation->epistasis;

    for (int d = 0; d < 2; d++)
        for (int m = 0; m < LISTS; m++)
            if (m < work->n_methods || m == METHODS)
                gather_list(work, &work->list[d][m]);
    for (int m = 0; m < work->n_methods && to->synergy; m++)
        for (int c = 0; c < TESS_CUTS; c++) {
            int64_t at = m * TESS_CUTS + c;

            to->synergy[at] = precision(&work->list[0][METHODS], &work->list[0][m], tess_cut[c]);
            to->antagonism[at] = precision(&work->list[1][METHODS], &work->list[1][m], tess_cut[c]);
        }
}

/* Scores and their intervals, on rank 0. Collective. */
static void finish(struct work *work, int rank)
{
    struct tess_evaluation *evaluation = work->evaluation;
    struct tess_sample sample = {0};
    double *resamples;

    if (rank == 0) {
        evaluation->epistasis.synergy = TESS_NEW(double, METHODS *TESS_CUTS);
        evaluation->epistasis.antagonism = TESS_NEW(double, METHODS *TESS_CUTS);
        tess_sample_init(&sample, &work->tally);
    }
    find_precisions(work);
    resamples = tess_evaluate_resample(evaluation, &sample,
                                       evaluation->profiles.n_contexts + 1 + TESS_STRATA);
    if (rank == 0)
        tess_bootstrap_init(&evaluation->epistasis.outcome, &work->tally, &sample,
                            sample.n_groups > 1 ? evaluation->options.n_resamples : 0, resamples);
    tess_sample_release(&sample);
    tess_free(resamples);
}

int tess_evaluate_epistasis(struct tess_evaluation *evaluation, struct tess_error *error)
{
    struct work work = {.evaluation = evaluation, .n_methods = evaluation->n_methods + 1};
    int rank, n_ranks;

    if (!evaluation->options.epistasis)
        return TESS_OK;
    MPI_Comm_rank(evaluation->comm, &rank);
    MPI_Comm_size(evaluation->comm, &n_ranks);
    evaluation->epistasis.n_methods = work.n_methods;
    cut(&work);
    tess_tally_init(&work.tally, work.n_methods, evaluation->store->index.n_combinations);
    for (int d = 0; d < 2; d++)
        for (int m = 0; m < LISTS; m++)
            work.list[d][m].item = TESS_NEW(struct strong, 2 * LONGEST);
    for (int64_t c = 0; c < work.n_chunks && error->code == TESS_OK; c += n_ranks) {
        struct tess_scores *mine;
        int64_t n = score_chunk(&work, c + rank, &mine, error);

        if (tess_agree(evaluation->comm, error) == TESS_OK)
            add_round(&work, c, n_ranks, n, mine);
        tess_free(mine);
    }
    if (error->code == TESS_OK && work.n_chunks > 0)
        finish(&work, rank);
    for (int d = 0; d < 2; d++)
        for (int m = 0; m < LISTS; m++)
            tess_free(work.list[d][m].item);
    tess_tally_release(&work.tally);
    tess_free(work.range);
    return error->code;
}
