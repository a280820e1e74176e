/* neighbors.c -- who is asked for, and what is said of them. */
#include "tessera/neighbors.h"

#include "nearest.h"
#include "profile_axes.h"
#include "pairs.h"
#include "vectors.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/index.h"
#include "tessera/log.h"
#include "tessera/select.h"
#include "tessera/sheet.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define COMPONENTS 50 /* of measured profiles */

struct work {
    const struct tess_neighbors *neighbors;
    const struct tess_model *model;
    MPI_Comm comm;
    int rank;
    struct tess_kinds kinds;
    struct tess_vectors vectors;
    struct tess_directions directions;
    uint8_t *candidate; /* (perturbations) 0 or 1 */
    struct tess_sheet sheet; /* of rank 0 */
    int64_t *begin; /* of the members */
};

static int make_vectors(const void *closure, int64_t first, int64_t n, float *out,
                        struct tess_error *error)
{
    return tess_vectors_make(closure, first, n, out, error);
}

static int prepare(struct work *work, struct tess_error *error)
{
    const struct tess_neighbors *neighbors = work->neighbors;
    struct tess_origin origin = {.closure = &work->vectors, .make = make_vectors};

    tess_kinds_init(&work->kinds, work->model);
    work->candidate = TESS_NEW(uint8_t, work->kinds.n);
    for (int64_t i = 0; i < work->kinds.n; i++)
        work->candidate[i] = (uint8_t)tess_kinds_has(&work->kinds, i, neighbors->among);
    tess_kinds_check(&work->kinds, "--among", neighbors->among, error);
    tess_kinds_check(&work->kinds, "--type", neighbors->type, error);
    if (error->code == TESS_OK)
        tess_vectors_open(&work->vectors, work->model, TESS_TABLE_P, !neighbors->raw, error);
    if (tess_agree(work->comm, error) != TESS_OK)
        return error->code;
    work->begin = TESS_NEW(int64_t, work->vectors.n_members + 1);
    for (int m = 0; m <= work->vectors.n_members; m++)
        work->begin[m] = tess_vectors_begin(&work->vectors, m);
    origin.n = work->vectors.n;
    origin.width = work->vectors.width;
    origin.n_parts = work->vectors.n_members;
    origin.begin = work->begin;
    return tess_directions_init(&work->directions, &origin, &work->kinds, neighbors->center,
                                work->comm, error);
}

/* ---- lists ---- */

/* Numbers of whom neighbours are asked for, on every rank; own of the caller. */
static int choose(const struct work *work, struct tess_sets *sets, struct tess_error *error)
{
    const struct tess_choice choice = {&work->model->perturbation, work->kinds.trained,
                                       "perturbation", work->model->path, 0};
    int named = work->neighbors->of->n > 0;

    if (work->rank == 0 && named)
        tess_select(&choice, work->neighbors->of, sets, error);
    if (tess_agree(work->comm, error) != TESS_OK)
        return error->code;
    if (named)
        tess_sets_broadcast(work->comm, sets);
    for (int64_t i = 0; !named && i < work->kinds.n; i++)
        if (tess_kinds_has(&work->kinds, i, work->neighbors->type))
            tess_sets_add(sets, 1, &i);
    return TESS_OK;
}

static const char *const list_columns[] = {"perturbation", "rank", "neighbor", "cosine"},
                         *const pair_columns[] = {"perturbation", "target", "candidates", "rank",
                                                  "profile_rank"};

static void write_lists(struct work *work, const struct tess_likeness_queries *queries, int64_t k,
                        const struct tess_near *near)
{
    const struct tess_vocab *vocab = &work->model->perturbation;

    for (int64_t i = 0; i < queries->n * k; i++) {
        if (near[i].number < 0)
            continue;
        tess_sheet_text(&work->sheet, vocab->symbol[queries->row[i / k]]);
        tess_sheet_count(&work->sheet, i % k + 1);
        tess_sheet_text(&work->sheet, vocab->symbol[near[i].number]);
        tess_sheet_number(&work->sheet, near[i].cosine, 1);
        tess_sheet_end(&work->sheet);
    }
}

static int list(struct work *work, const struct tess_likeness *likeness, struct tess_error *error)
{
    int64_t batch = tess_likeness_batch(likeness), k = work->neighbors->k;
    struct tess_near *near = TESS_NEW(struct tess_near, batch * k);
    struct tess_sets sets = {0};

    if (choose(work, &sets, error) == TESS_OK && work->rank == 0)
        tess_sheet_head(&work->sheet, 4, list_columns);
    for (int64_t q = 0; q < sets.n && error->code == TESS_OK; q += batch) {
        const struct tess_likeness_queries some = {sets.n - q < batch ? sets.n - q : batch,
                                                   sets.member + q};

        if (tess_nearest_find(likeness, &some, k, near, error) == TESS_OK && work->rank == 0)
            write_lists(work, &some, k, near);
    }
    tess_sets_release(&sets);
    tess_free(near);
    return error->code;
}

/* ---- pairs ---- */

static int copy_rows(const void *closure, int64_t first, int64_t n, float *out,
                     struct tess_error *error)
{
    const struct tess_profile_axes *measured = closure;

    (void)error;
    memcpy(out, measured->value + first * measured->k, (size_t)(n * measured->k) * sizeof *out);
    return TESS_OK;
}

/* The same by measured profiles; `rank` stays NULL, with a warning, where there are none. */
static int rank_measured(const struct work *work, const struct tess_pairs *pairs, double **rank,
                         struct tess_error *error)
{
    struct tess_error why = TESS_ERROR_INIT;
    struct tess_kinds kinds = work->kinds;
    struct tess_directions directions = {.center = 0};
    struct tess_likeness likeness = {&directions, work->candidate, work->comm};
    struct tess_profile_axes measured;

    if (tess_profile_axes_init(&measured, work->model, COMPONENTS, work->comm, &why) == TESS_OK) {
        const int64_t begin[] = {0, measured.k};
        const struct tess_origin origin = {measured.n, measured.k, 1, begin, &measured, copy_rows};

        kinds.trained = measured.known;
        *rank = TESS_NEW(double, pairs->n_queries * pairs->n_targets);
        if (tess_directions_init(&directions, &origin, &kinds, work->neighbors->center, work->comm,
                                 error) == TESS_OK)
            tess_pairs_rank(pairs, &likeness, *rank, error);
        tess_directions_release(&directions);
    } else
        tess_warn("%s: measured profiles are not compared", why.text);
    tess_profile_axes_release(&measured);
    return error->code;
}

static void print_row(const char *name, const struct tess_pairs_outcome *outcome, int s)
{
    printf("  %-9s %7.4f  %7.4f … %7.4f", name, outcome->value[s], outcome->low[s],
           outcome->high[s]);
}

static void print_scores(const struct work *work, const struct tess_pairs *pairs,
                         double *const rank[2], const int64_t *others)
{
    struct tess_pairs_outcome outcome[3];
    int64_t resamples = work->neighbors->resamples, n_candidates = 0;

    for (int64_t i = 0; i < work->kinds.n; i++)
        n_candidates += work->candidate[i];
    tess_pairs_score(pairs, rank[0], others, resamples, &outcome[0]);
    if (rank[1])
        tess_pairs_score(pairs, rank[1], others, resamples, &outcome[1]);
    tess_pairs_permute(pairs, rank[0], others, resamples, &outcome[2]);
    printf("%" PRId64 " pairs of %" PRId64 " perturbations, among %" PRId64 " candidates\n",
           pairs->n, pairs->n_queries, n_candidates);
    printf("left out: %" PRId64 " unknown, %" PRId64 " never trained, %" PRId64
           " with themselves or no candidate\n",
           pairs->n_unknown, pairs->n_untrained, pairs->n_left_out);
    for (int s = 0; s < TESS_PAIRS_SCORES; s++) {
        printf("%-20s", tess_pairs_names[s]);
        print_row("model", &outcome[0], s);
        if (rank[1])
            print_row("profiles", &outcome[1], s);
        print_row("chance", &outcome[2], s);
        putchar('\n');
    }
}

static void write_pairs(struct work *work, const struct tess_pairs *pairs, double *const rank[2],
                        const int64_t *others)
{
    const struct tess_vocab *vocab = &work->model->perturbation;

    tess_sheet_head(&work->sheet, 5, pair_columns);
    for (int64_t i = 0; i < pairs->n; i++) {
        int64_t q = pairs->query[i], t = pairs->target[i], at = q * pairs->n_targets + t;

        tess_sheet_text(&work->sheet, vocab->symbol[pairs->queries[q]]);
        tess_sheet_text(&work->sheet, vocab->symbol[pairs->targets[t]]);
        tess_sheet_count(&work->sheet, others[q]);
        tess_sheet_number(&work->sheet, rank[0][at], 0);
        tess_sheet_number(&work->sheet, rank[1] ? rank[1][at] : NAN, 0);
        tess_sheet_end(&work->sheet);
    }
}

static int score(struct work *work, const struct tess_likeness *likeness, struct tess_error *error)
{
    double *rank[2] = {NULL, NULL};
    struct tess_pairs pairs;

    if (tess_pairs_read(&pairs, work->neighbors->pairs, &work->kinds, work->candidate, work->comm,
                        error) == TESS_OK) {
        rank[0] = TESS_NEW(double, pairs.n_queries *pairs.n_targets);
        if (tess_pairs_rank(&pairs, likeness, rank[0], error) == TESS_OK)
            rank_measured(work, &pairs, &rank[1], error);
    }
    if (error->code == TESS_OK && work->rank == 0) {
        int64_t *others = TESS_NEW(int64_t, pairs.n_queries);

        for (int64_t i = 0; i < work->kinds.n; i++)
            for (int64_t q = 0; q < pairs.n_queries && work->candidate[i]; q++)
                others[q] += pairs.queries[q] != i;
        print_scores(work, &pairs, rank, others);
        if (work->neighbors->output)
            write_pairs(work, &pairs, rank, others);
        tess_free(others);
    }
    tess_pairs_release(&pairs);
    tess_free(rank[0]);
    tess_free(rank[1]);
    return error->code;
}

int tess_neighbors_run(const struct tess_neighbors *neighbors, const struct tess_model *model,
                       MPI_Comm comm, struct tess_error *error)
{
    struct work work = {.neighbors = neighbors, .model = model, .comm = comm};
    struct tess_likeness likeness;

    MPI_Comm_rank(comm, &work.rank);
    if (work.rank == 0)
        tess_sheet_open(&work.sheet, neighbors->output, neighbors->force, error);
    if (tess_agree(comm, error) == TESS_OK && prepare(&work, error) == TESS_OK) {
        likeness = (struct tess_likeness){&work.directions, work.candidate, comm};
        if (neighbors->pairs)
            score(&work, &likeness, error);
        else
            list(&work, &likeness, error);
        if (error->code == TESS_OK && work.rank == 0)
            tess_sheet_finish(&work.sheet, error);
        tess_agree(comm, error);
    }
    tess_sheet_release(&work.sheet);
    tess_directions_release(&work.directions);
    tess_vectors_release(&work.vectors);
    tess_kinds_release(&work.kinds);
    tess_free(work.candidate);
    tess_free(work.begin);
    return error->code;
}
