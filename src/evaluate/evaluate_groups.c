/* evaluate_groups.c -- scores of all experiments, chunk by chunk, and what they make together. */
#include "evaluate.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/broadcast.h"
#include "tessera/error.h"
#include "tessera/gather.h"
#include "tessera/log.h"

#define CHUNK_SCORES ((int64_t)1 << 13) /* halvings' scores of a chunk, at most */

/* Sums over the experiments of a group, as they come in on rank 0. */
struct sums {
    struct tess_tally tally;
    struct tess_ceiling_parts ceiling;
};

/* Experiments are cut into chunks, each of one context, by the store and the options alone (with
 * --memory, by what that leaves). Ranks take them in turn; each round's scores go to rank 0, which
 * adds them up in the order of the experiments: the same bits on any number of ranks, and no more
 * than a round is ever held. */
struct scoring {
    struct tess_evaluation *evaluation;
    int rank, n_ranks;
    int64_t n_chunks, *first; /* (n_chunks + 1) experiments; own */
    struct tess_held_out held_out;
    struct sums all, context;
    struct sums stratum[TESS_STRATA]; /* all zeroes without options.strata */
    struct tess_evaluate_chunk mine; /* this rank's */
    struct tess_scores *round, *round_half; /* of all ranks' chunks; rank 0; own */
    int64_t at, at_half; /* how far they are used up */
};

static int64_t context_of(const struct tess_evaluation *evaluation, int64_t i)
{
    return evaluation->profiles.context_of[evaluation->unit[i]];
}

static void cut(struct scoring *scoring)
{
    const struct tess_evaluation *evaluation = scoring->evaluation;
    int64_t most = CHUNK_SCORES / evaluation->options.n_halvings;

    most = most < 1 ? 1 : most > evaluation->chunk ? evaluation->chunk : most;
    scoring->first = TESS_NEW(int64_t, evaluation->n + 1);
    for (int64_t i = 0, begin = 0; i < evaluation->n; i++)
        if (i + 1 == evaluation->n || i + 1 - begin == most ||
            context_of(evaluation, i + 1) != context_of(evaluation, i)) {
            begin = i + 1;
            scoring->first[++scoring->n_chunks] = begin;
        }
}

static void sums_init(struct sums *sums, const struct tess_evaluation *evaluation)
{
    tess_tally_init(&sums->tally, evaluation->n_methods, evaluation->store->index.n_combinations);
    tess_ceiling_parts_init(&sums->ceiling, evaluation->options.n_halvings);
}

static void scoring_init(struct scoring *scoring, struct tess_evaluation *evaluation)
{
    *scoring = (struct scoring){.evaluation = evaluation};
    MPI_Comm_rank(evaluation->comm, &scoring->rank);
    MPI_Comm_size(evaluation->comm, &scoring->n_ranks);
    cut(scoring);
    sums_init(&scoring->all, evaluation);
    sums_init(&scoring->context, evaluation);
    for (int s = 0; s < TESS_STRATA && evaluation->options.strata; s++)
        sums_init(&scoring->stratum[s], evaluation);
    if (scoring->rank == 0 && evaluation->options.strata) {
        evaluation->stratum = TESS_NEW(struct tess_group, TESS_STRATA);
        for (int s = 0; s < TESS_STRATA; s++)
            evaluation->stratum[s].context = -1;
    }
    if (scoring->rank == 0) {
        evaluation->group = TESS_NEW(struct tess_group, evaluation->profiles.n_contexts + 1);
        evaluation->group[0].context = -1;
        evaluation->n_groups = 1;
    }
}

static void sums_release(struct sums *sums)
{
    tess_tally_release(&sums->tally);
    tess_free(sums->ceiling.sum);
}

static void scoring_release(struct scoring *scoring)
{
    sums_release(&scoring->all);
    sums_release(&scoring->context);
    for (int s = 0; s < TESS_STRATA; s++)
        sums_release(&scoring->stratum[s]);
    tess_held_out_release(&scoring->held_out);
    tess_free(scoring->first);
}

static void chunk_release(struct tess_evaluate_chunk *chunk)
{
    tess_free(chunk->score);
    tess_free(chunk->half);
    tess_free(chunk->noise);
    *chunk = (struct tess_evaluate_chunk){0};
}

/* Room for what is found of chunk `number`, of nothing if there is no such. */
static int chunk_init(struct scoring *scoring, int64_t number, struct tess_error *error)
{
    const struct tess_evaluation *evaluation = scoring->evaluation;
    struct tess_evaluate_chunk *chunk = &scoring->mine;
    int64_t n, width = 0, folds = 0;

    if (number < scoring->n_chunks) {
        chunk->begin = scoring->first[number];
        chunk->end = scoring->first[number + 1];
        width = tess_profiles_width(&evaluation->profiles, context_of(evaluation, chunk->begin));
    }
    n = chunk->end - chunk->begin;
    for (int64_t i = chunk->begin; i < chunk->end; i++)
        folds += tess_evaluate_has_folds(evaluation, i);
    chunk->n_half = folds * evaluation->options.n_halvings;
    chunk->score = tess_alloc_large((size_t)(n * evaluation->n_methods), sizeof *chunk->score,
                                    "scores", error);
    chunk->half =
        tess_alloc_large((size_t)chunk->n_half, sizeof *chunk->half, "the ceiling", error);
    chunk->noise = tess_alloc_large((size_t)(n * width), sizeof(double), "noise", error);
    return error->code;
}

/* This rank's chunk of a round. Local. */
static int score_chunk(struct scoring *scoring, int64_t number, struct tess_error *error)
{
    struct tess_evaluation *evaluation = scoring->evaluation;
    struct tess_evaluate_chunk *chunk = &scoring->mine;

    if (chunk_init(scoring, number, error) != TESS_OK || chunk->end == chunk->begin)
        return error->code;
    if (tess_evaluate_halve(evaluation, chunk, error) == TESS_OK)
        tess_evaluate_score(evaluation, &scoring->held_out, chunk, error);
    for (int64_t i = chunk->begin; i < chunk->end && error->code == TESS_OK; i++)
        evaluation->n_left_out += scoring->held_out.left_out[i - scoring->held_out.begin];
    return error->code;
}

/* The round's chunks one after the other on rank 0: ranks have consecutive ones. */
static void gather_round(struct scoring *scoring)
{
    MPI_Comm comm = scoring->evaluation->comm;
    struct tess_evaluate_chunk *chunk = &scoring->mine;
    int64_t mine[2] = {(chunk->end - chunk->begin) * scoring->evaluation->n_methods, chunk->n_half};
    int64_t all[2];

    scoring->at = scoring->at_half = 0;
    if (scoring->n_ranks == 1) { /* it is all there */
        scoring->round = chunk->score;
        scoring->round_half = chunk->half;
        chunk->score = chunk->half = NULL;
        return;
    }
    MPI_Reduce(mine, all, 2, MPI_INT64_T, MPI_SUM, 0, comm);
    scoring->round = TESS_NEW(struct tess_scores, scoring->rank == 0 ? all[0] : 0);
    scoring->round_half = TESS_NEW(struct tess_scores, scoring->rank == 0 ? all[1] : 0);
    tess_gather(comm, chunk->score, mine[0], sizeof *chunk->score, scoring->round);
    tess_gather(comm, chunk->half, mine[1], sizeof *chunk->half, scoring->round_half);
}

/* The next experiment's scores to one group. half: its halvings', or NULL. */
static void add_scores(const struct scoring *scoring, struct sums *sums, struct tess_group *to,
                       int64_t i, const struct tess_scores *half)
{
    const struct tess_evaluation *evaluation = scoring->evaluation;
    const struct tess_scores *score = scoring->round + scoring->at;

    tess_tally_add(&sums->tally, evaluation->profiles.combination[evaluation->unit[i]], score);
    if (half)
        tess_ceiling_parts_add(&sums->ceiling, half, score);
    to->n++;
    to->n_observations += (int64_t)score->pool.n;
    for (int m = 0; m < evaluation->n_methods; m++)
        to->fallbacks[m] += score[m].fallback;
}

static void add_experiment(struct scoring *scoring, int64_t i, struct tess_group *group)
{
    const struct tess_evaluation *evaluation = scoring->evaluation;
    const struct tess_scores *half = NULL;

    if (tess_evaluate_has_folds(evaluation, i)) {
        half = scoring->round_half + scoring->at_half;
        scoring->at_half += evaluation->options.n_halvings;
    }
    add_scores(scoring, &scoring->context, group, i, half);
    add_scores(scoring, &scoring->all, &evaluation->group[0], i, half);
    for (int which = 0; which < 2 && evaluation->options.strata; which++) {
        int stratum = which ? evaluation->strength[i] : evaluation->known[i];

        if (stratum >= 0)
            add_scores(scoring, &scoring->stratum[stratum], &evaluation->stratum[stratum], i, half);
    }
    scoring->at += evaluation->n_methods;
}

static void add_chunk(struct scoring *scoring, int64_t chunk)
{
    struct tess_evaluation *evaluation = scoring->evaluation;
    int64_t begin = scoring->first[chunk], context = context_of(evaluation, begin);

    if (scoring->rank != 0)
        return;
    if (begin == 0 || context_of(evaluation, begin - 1) != context)
        evaluation->group[evaluation->n_groups++].context = context;
    for (int64_t i = begin; i < scoring->first[chunk + 1]; i++)
        add_experiment(scoring, i, &evaluation->group[evaluation->n_groups - 1]);
}

/* Rank 0's sample to all, and the resamples of each rank's blocks to rank 0: (n_resamples, width).
 * Collective. */
static double *resample(const struct scoring *scoring, struct tess_sample *sample, int64_t stream)
{
    const struct tess_evaluation *evaluation = scoring->evaluation;
    struct tess_draw draw = {evaluation->options.n_resamples, evaluation->options.seed,
                             (uint64_t)stream};
    int64_t n_blocks = (draw.n_resamples + TESS_RESAMPLES - 1) / TESS_RESAMPLES, width, first, end;
    double *mine, *all;

    MPI_Bcast(&sample->n_methods, 4, MPI_INT64_T, 0, evaluation->comm);
    if (scoring->rank != 0)
        tess_sample_alloc(sample);
    tess_broadcast(evaluation->comm, sample->column_of,
                   (size_t)tess_sample_n_sums(sample) * sizeof *sample->column_of);
    tess_broadcast(evaluation->comm, sample->metric, TESS_METRICS * sizeof *sample->metric);
    tess_broadcast(evaluation->comm, sample->column,
                   (size_t)(sample->n_columns * sample->n_groups) * sizeof(double));
    width = tess_sample_width(sample);
    n_blocks = sample->n_groups > 1 ? n_blocks : 0; /* else there is nothing to draw from */
    first = n_blocks * scoring->rank / scoring->n_ranks;
    end = n_blocks * (scoring->rank + 1) / scoring->n_ranks;
    mine = TESS_NEW(double, (end - first) * TESS_RESAMPLES * width);
#pragma omp parallel for schedule(static) num_threads(evaluation->n_threads)
    for (int64_t b = first; b < end; b++)
        tess_bootstrap_block(sample, &draw, b, mine + (b - first) * TESS_RESAMPLES * width);
    if (scoring->n_ranks == 1)
        return mine;
    all = TESS_NEW(double, scoring->rank == 0 ? n_blocks * TESS_RESAMPLES * width : 0);
    tess_gather(evaluation->comm, mine, (end - first) * TESS_RESAMPLES * width, sizeof *mine, all);
    tess_free(mine);
    return all;
}

/* Every score between that of the context's mean and the noise ceiling; what has no ceiling (ranks,
 * shares) is perfect at 1. Of contexts the model's alone. */
static void scale(const struct tess_evaluation *evaluation, struct tess_group *group,
                  const struct tess_sample *sample, const double *resamples)
{
    double perfect[TESS_METRICS];
    struct tess_ends ends = {.bad = evaluation->has_model + TESS_READOUT_MEAN,
                             .n_methods =
                                 group->context < 0 ? evaluation->n_methods : evaluation->has_model,
                             .perfect = perfect,
                             .reason = group->ceiling.reason};

    for (int k = 0; k < TESS_METRICS; k++)
        perfect[k] = k < TESS_DISCRIMINATION ? tess_ceiling_value(&group->ceiling, k) : 1;
    tess_bootstrap_scale(&group->outcome, sample,
                         sample->n_groups > 1 ? evaluation->options.n_resamples : 0, resamples,
                         &ends);
}

/* A group (rank 0's) whose experiments have all been added. Collective. */
static void finish_group(struct scoring *scoring, struct sums *sums, struct tess_group *group,
                         int64_t stream)
{
    struct tess_evaluation *evaluation = scoring->evaluation;
    struct tess_sample sample = {0};
    double *resamples;

    if (scoring->rank == 0)
        tess_sample_init(&sample, &sums->tally);
    resamples = resample(scoring, &sample, stream);
    if (scoring->rank == 0) {
        tess_bootstrap_init(&group->outcome, &sums->tally, &sample,
                            sample.n_groups > 1 ? evaluation->options.n_resamples : 0, resamples);
        tess_ceiling_parts_finish(evaluation, &sums->ceiling, group);
        scale(evaluation, group, &sample, resamples);
        tess_tally_clear(&sums->tally);
    }
    tess_sample_release(&sample);
    tess_free(resamples);
}

static void finish_context(struct scoring *scoring, int64_t context)
{
    struct tess_evaluation *evaluation = scoring->evaluation;
    struct tess_group *group = NULL;

    if (scoring->rank == 0) {
        group = &evaluation->group[evaluation->n_groups - 1];
        group->n_unscored = evaluation->n_unscored[context];
    }
    finish_group(scoring, &scoring->context, group, context + 1);
}

/* All experiments, and the strata. */
static void finish_all(struct scoring *scoring)
{
    struct tess_evaluation *evaluation = scoring->evaluation;

    if (scoring->rank == 0)
        evaluation->group[0].n_unscored = (int64_t)evaluation->unscored.n;
    finish_group(scoring, &scoring->all, evaluation->group, 0);
    for (int s = 0; s < TESS_STRATA && evaluation->options.strata; s++)
        finish_group(scoring, &scoring->stratum[s],
                     evaluation->stratum ? &evaluation->stratum[s] : NULL,
                     evaluation->profiles.n_contexts + 1 + s);
}

/* Scores that are there on rank 0 go into their groups; those that are complete are finished. */
static void use_round(struct scoring *scoring, int64_t first)
{
    const struct tess_evaluation *evaluation = scoring->evaluation;

    for (int64_t c = first; c < first + scoring->n_ranks && c < scoring->n_chunks; c++) {
        int64_t end = scoring->first[c + 1], context = context_of(evaluation, end - 1);

        add_chunk(scoring, c);
        if (end == evaluation->n || context_of(evaluation, end) != context)
            finish_context(scoring, context);
    }
}

int tess_evaluate_groups(struct tess_evaluation *evaluation, struct tess_error *error)
{
    struct tess_progress progress;
    struct scoring scoring;

    scoring_init(&scoring, evaluation);
    tess_progress_init(&progress, "scoring", "experiments", evaluation->n);
    for (int64_t c = 0; c < scoring.n_chunks && error->code == TESS_OK; c += scoring.n_ranks) {
        score_chunk(&scoring, c + scoring.rank, error);
        if (tess_agree(evaluation->comm, error) == TESS_OK) {
            gather_round(&scoring);
            use_round(&scoring, c);
            tess_progress_show(&progress, scoring.first[c + 1]);
            tess_free(scoring.round);
            tess_free(scoring.round_half);
        }
        chunk_release(&scoring.mine);
    }
    tess_progress_release(&progress);
    if (error->code == TESS_OK) {
        finish_all(&scoring);
        MPI_Allreduce(MPI_IN_PLACE, &evaluation->n_left_out, 1, MPI_INT64_T, MPI_SUM,
                      evaluation->comm);
    }
    scoring_release(&scoring);
    return error->code;
}
