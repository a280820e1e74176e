/* evaluate_pair.c -- a context by the model and by one that was trained on it alone. */
#include "evaluate.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/gather.h"
#include "tessera/model.h"

#include <math.h>

#define SECOND TESS_METRICS /* in (2, TESS_METRICS) */

/* Both see the same store, profiles and baselines: these are borrowed. */
struct work {
    struct tess_evaluation first, second; /* second.unit: those that it knows, own */
    int64_t begin, end; /* of the first's experiments, the context's */
    int64_t *known; /* (end - begin + 1) of the second's experiments before this one; own */
    int64_t width;
    struct tess_tally tally;
};

static void work_init(struct work *work, const struct tess_evaluation *evaluation,
                      const struct tess_model *alone, int64_t context)
{
    const struct tess_profiles *profiles = &evaluation->profiles;
    struct tess_evaluation *second = &work->second;
    uint8_t *keep;
    int64_t n;

    *work = (struct work){.first = *evaluation, .second = *evaluation};
    work->first.blender = second->blender = (struct tess_blender){.active = 0};
    work->first.blender.model = evaluation->model;
    second->blender.model = second->model = alone;
    second->perturbation = second->readout = second->context = (struct tess_mapping){0};
    while (work->begin < evaluation->n &&
           profiles->context_of[evaluation->unit[work->begin]] != context)
        work->begin++;
    for (work->end = work->begin;
         work->end < evaluation->n && profiles->context_of[evaluation->unit[work->end]] == context;)
        work->end++;
    n = work->end - work->begin;
    work->width = tess_profiles_width(profiles, context);
    work->known = TESS_NEW(int64_t, n + 1);
    second->unit = TESS_NEW(int64_t, n);
    second->n = 0;
    keep = TESS_NEW(uint8_t, n);
    tess_evaluate_known(second, n, evaluation->unit + work->begin, keep);
    for (int64_t i = 0; i < n; i++) {
        if (keep[i])
            second->unit[second->n++] = evaluation->unit[work->begin + i];
        work->known[i + 1] = second->n;
    }
    tess_free(keep);
    tess_tally_init(&work->tally, 2, evaluation->store->index.n_combinations);
}

static void work_release(struct work *work)
{
    tess_mapping_release(&work->second.perturbation);
    tess_mapping_release(&work->second.readout);
    tess_mapping_release(&work->second.context);
    tess_free(work->second.unit);
    tess_free(work->known);
    tess_tally_release(&work->tally);
}

/* The second model's values of experiments [begin, end), and the context's mean where it has none.
 */
static int predict_second(const struct work *work, int64_t begin, int64_t end, double *out,
                          struct tess_error *error)
{
    int64_t width = work->width, from = work->known[begin - work->begin];
    int64_t to = work->known[end - work->begin];
    int64_t context = work->first.profiles.context_of[work->first.unit[begin]];
    const double *mean = work->first.baselines.mean[context];
    double *known = TESS_NEW(double, (to - from) * width);

    if (to > from)
        tess_evaluate_predict(&work->second, from, to, known, NULL, error);
    for (int64_t i = begin; i < end; i++) {
        int64_t at = work->known[i - work->begin];
        const double *own =
            work->known[i - work->begin + 1] > at ? known + (at - from) * width : NULL;

        for (int64_t k = 0; k < width; k++) {
            double x = own ? own[k] : NAN;

            out[(i - begin) * width + k] = isnan(x) ? mean[k] : x;
        }
    }
    tess_free(known);
    return error->code;
}

/* Scores (end - begin, 2). What either says nothing about counts for neither. Local. */
static int score(const struct work *work, int64_t begin, int64_t end, struct tess_scores *scores,
                 struct tess_error *error)
{
    const struct tess_evaluation *first = &work->first;
    int64_t n = end - begin, width = work->width;
    int64_t context = first->profiles.context_of[first->unit[begin]];
    double shift = isnan(first->baselines.global_mean) ? 0 : first->baselines.global_mean;
    float *measured = TESS_NEW(float, n *width);
    double *said[2] = {TESS_NEW(double, n *width), TESS_NEW(double, n *width)};

    if (tess_profiles_read((struct tess_profiles *)(uintptr_t)&first->profiles, n,
                           first->unit + begin, measured, error) == TESS_OK &&
        tess_evaluate_predict(first, begin, end, said[0], NULL, error) == TESS_OK)
        predict_second(work, begin, end, said[1], error);
    for (int64_t i = 0; i < n && error->code == TESS_OK; i++) {
        struct tess_measured truth;

        tess_evaluate_mask(first, first->unit[begin + i], measured + i * width);
        for (int64_t k = i * width; k < (i + 1) * width; k++)
            if (isnan(said[1][k]))
                measured[k] = NAN;
        tess_measured_init(&truth, width, measured + i * width, first->baselines.control[context],
                           first->baselines.mean[context]);
        for (int m = 0; m < 2; m++) {
            tess_measured_score(&truth, said[m] + i * width, shift, &scores[2 * i + m]);
            tess_evaluate_leave_out(&scores[2 * i + m]);
            scores[2 * i + m].fallback = 0;
        }
        tess_measured_release(&truth);
    }
    tess_free(measured);
    tess_free(said[0]);
    tess_free(said[1]);
    return error->code;
}

/* Ranks take pieces of a round in turn; rank 0 adds all up in the order of the experiments.
 * Collective. */
static int score_all(struct work *work, struct tess_error *error)
{
    const struct tess_evaluation *first = &work->first;
    int rank, n_ranks;

    MPI_Comm_rank(first->comm, &rank);
    MPI_Comm_size(first->comm, &n_ranks);
    for (int64_t at = work->begin; at < work->end; at += n_ranks * first->chunk) {
        int64_t begin = at + rank * first->chunk, end = begin + first->chunk;
        int64_t last = at + n_ranks * first->chunk, n;
        struct tess_scores *mine, *all;

        begin = begin < work->end ? begin : work->end;
        end = end < work->end ? end : work->end;
        last = last < work->end ? last : work->end;
        n = rank == 0 ? last - at : 0;
        mine = TESS_NEW(struct tess_scores, 2 * (end - begin));
        all = TESS_NEW(struct tess_scores, 2 * n);
        if (end > begin)
            score(work, begin, end, mine, error);
        if (tess_agree(first->comm, error) == TESS_OK)
            tess_gather(first->comm, mine, 2 * (end - begin), sizeof *mine, all);
        for (int64_t i = 0; i < n && error->code == TESS_OK; i++)
            tess_tally_add(&work->tally, first->profiles.combination[first->unit[at + i]],
                           all + 2 * i);
        tess_free(mine);
        tess_free(all);
        if (error->code != TESS_OK)
            break;
    }
    return error->code;
}

/* Both on the same resamples of perturbations. Collective. */
static void estimate(struct work *work, struct tess_pair *pair)
{
    const struct tess_evaluation *first = &work->first;
    struct tess_sample sample = {0};
    double *resamples;
    int rank;

    MPI_Comm_rank(first->comm, &rank);
    if (rank == 0)
        tess_sample_init(&sample, &work->tally);
    resamples = tess_evaluate_resample(
        first, &sample, first->profiles.n_contexts + 2 + TESS_STRATA + pair->context);
    if (rank == 0)
        tess_bootstrap_init(&pair->outcome, &work->tally, &sample,
                            sample.n_groups > 1 ? first->options.n_resamples : 0, resamples);
    tess_sample_release(&sample);
    tess_free(resamples);
}

int tess_evaluate_pair(const struct tess_evaluation *evaluation, struct tess_model *alone,
                       struct tess_pair *pair, struct tess_error *error)
{
    struct work work;

    for (int64_t i = 0; i < evaluation->n; i++)
        pair->n += evaluation->profiles.context_of[evaluation->unit[i]] == pair->context;
    if (!alone || pair->n == 0)
        return TESS_OK;
    work_init(&work, evaluation, alone, pair->context);
    pair->n_by_mean = pair->n - work.second.n;
    if (score_all(&work, error) == TESS_OK)
        estimate(&work, pair);
    work_release(&work);
    return error->code;
}

const char *tess_evaluate_verdict(const struct tess_pair *pair)
{
    const struct tess_estimate *of = pair->outcome.difference;

    if (!of || isnan(of[SECOND + TESS_RMSE].low))
        return NULL;
    return of[SECOND + TESS_RMSE].high < 0  ? "helped"
           : of[SECOND + TESS_RMSE].low > 0 ? "hurt"
                                            : "no difference";
}
