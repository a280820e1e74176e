/* neighbors.c -- who is asked for, and what is said of them. */
#include "tessera/neighbors.h"

#include "completed.h"
#include "hubs.h"
#include "nearest.h"
#include "pairs.h"
#include "profile_axes.h"
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
#include <stdio.h>
#include <string.h>

#define COMPONENTS 50 /* of measured profiles */

struct work {
    const struct tess_neighbors *neighbors;
    const struct tess_model *model;
    MPI_Comm comm;
    int rank;
    struct tess_kinds kinds;
    struct tess_vectors vectors;
    struct tess_measurements measured; /* open for completed vectors */
    struct tess_completed completed;
    struct tess_directions directions;
    uint8_t *candidate; /* (perturbations) 0 or 1 */
    struct tess_sheet sheet; /* of rank 0 */
    int64_t *begin; /* of the members */
    int is_completed;
};

static int make_vectors(const void *closure, int64_t first, int64_t n, float *out,
                        struct tess_error *error)
{
    return tess_vectors_make(closure, first, n, out, error);
}

static int open_vectors(struct work *work, struct tess_origin *origin, struct tess_error *error)
{
    tess_vectors_open(&work->vectors, work->model, TESS_TABLE_P,
                      work->neighbors->vectors == TESS_NEIGHBORS_EFFECTIVE, error);
    if (tess_agree(work->comm, error) != TESS_OK)
        return error->code;
    work->begin = TESS_NEW(int64_t, work->vectors.n_members + 1);
    for (int m = 0; m <= work->vectors.n_members; m++)
        work->begin[m] = tess_vectors_begin(&work->vectors, m);
    origin->width = work->vectors.width;
    origin->n_parts = work->vectors.n_members;
    origin->begin = work->begin;
    origin->closure = &work->vectors;
    origin->make = make_vectors;
    return TESS_OK;
}

static int open_completed(struct work *work, struct tess_origin *origin, struct tess_error *error)
{
    struct tess_completed *completed = &work->completed;

    if (tess_measurements_open(&work->measured, work->model, work->comm, error) != TESS_OK ||
        tess_completed_init(completed, work->model, &work->measured, &work->kinds, error) !=
            TESS_OK)
        return error->code;
    tess_info("changes in %" PRId64 " of %" PRId64 " contexts side by side, beside their mean over "
              "those where each was measured; %" PRId64 " axes of noise",
              completed->n_shared, work->measured.profiles.n_contexts, completed->noise.k);
    origin->width = completed->begin[completed->n_parts];
    origin->n_parts = completed->n_parts;
    origin->begin = completed->begin;
    origin->closure = completed;
    origin->make = tess_completed_make;
    return TESS_OK;
}

/* Those whose mean is themselves: nothing of them is left. */
static void warn_alone(const struct work *work)
{
    int64_t *n = TESS_NEW(int64_t, work->kinds.name.n), n_alone = 0;

    for (int64_t i = 0; i < work->kinds.n; i++)
        n[work->kinds.type[i]] += work->kinds.trained[i];
    for (int64_t i = 0; i < work->kinds.n; i++)
        n_alone += (work->candidate[i] || tess_kinds_has(&work->kinds, i, NULL)) &&
                   n[work->kinds.type[i]] == 1;
    if (n_alone > 0 && work->neighbors->center == TESS_NEIGHBORS_BY_TYPE)
        tess_warn("%" PRId64 " perturbations are the only trained ones of their type and are alike "
                  "to nothing, less their type's mean: use --center all",
                  n_alone);
    tess_free(n);
}

static int prepare(struct work *work, struct tess_error *error)
{
    const struct tess_neighbors *neighbors = work->neighbors;
    struct tess_origin origin = {.n = work->model->perturbation.n};

    tess_kinds_init(&work->kinds, work->model);
    work->candidate = TESS_NEW(uint8_t, work->kinds.n);
    for (int64_t i = 0; i < work->kinds.n; i++)
        work->candidate[i] = (uint8_t)tess_kinds_has(&work->kinds, i, neighbors->among);
    tess_kinds_check(&work->kinds, "--among", neighbors->among, error);
    tess_kinds_check(&work->kinds, "--type", neighbors->type, error);
    if (tess_agree(work->comm, error) != TESS_OK)
        return error->code;
    if (work->rank == 0)
        warn_alone(work);
    if ((work->is_completed ? open_completed(work, &origin, error)
                            : open_vectors(work, &origin, error)) != TESS_OK)
        return error->code;
    return tess_directions_init(&work->directions, &origin, &work->kinds, neighbors->center,
                                work->comm, error);
}

/* ---- lists ---- */

/* Numbers of whom neighbours are asked for, on every rank; own of the caller. */
static int choose(const struct work *work, struct tess_sets *sets, struct tess_error *error)
{
    const struct tess_choice choice = {.vocab = &work->model->perturbation,
                                       .trained = work->kinds.trained,
                                       .what = "perturbation",
                                       .source = work->model->path};
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

/* What CSLS takes off; NULL if it is not asked for. `also`: n perturbations beside the candidates.
 */
static float *find_hubs(const struct work *work, const struct tess_directions *directions,
                        const uint8_t *candidate, const struct tess_likeness_queries *also,
                        struct tess_error *error)
{
    uint8_t *wanted;
    float *hub;

    if (work->neighbors->csls == 0)
        return NULL;
    wanted = TESS_NEW(uint8_t, work->kinds.n);
    for (int64_t i = 0; i < work->kinds.n; i++)
        wanted[i] = candidate[i];
    for (int64_t i = 0; i < also->n; i++)
        wanted[also->row[i]] = 1;
    hub = tess_hubs_find(directions, wanted, work->neighbors->csls, work->comm, error);
    tess_free(wanted);
    return hub;
}

static const char *const list_columns[] = {"perturbation", "rank", "neighbor", "cosine"},
                         *const csls_columns[] = {"perturbation", "rank", "neighbor", "csls"},
                         *const pair_columns[] = {"perturbation", "target", "candidates", "rank",
                                                  "profile_rank"};

/* Returns how many have no neighbour at all. */
static int64_t write_lists(struct work *work, const struct tess_likeness_queries *queries,
                           int64_t k, const struct tess_near *near)
{
    const struct tess_vocab *vocab = &work->model->perturbation;
    int64_t n_alone = 0;

    for (int64_t i = 0; i < queries->n * k; i++) {
        n_alone += i % k == 0 && near[i].number < 0;
        if (near[i].number < 0)
            continue;
        tess_sheet_text(&work->sheet, vocab->symbol[queries->row[i / k]]);
        tess_sheet_count(&work->sheet, i % k + 1);
        tess_sheet_text(&work->sheet, vocab->symbol[near[i].number]);
        tess_sheet_number(&work->sheet, near[i].likeness, 1);
        tess_sheet_end(&work->sheet);
    }
    return n_alone;
}

static int list(struct work *work, struct tess_error *error)
{
    struct tess_likeness likeness = {&work->directions, work->candidate, NULL, work->comm};
    int64_t batch = 0, k = 0, n_alone = 0;
    struct tess_near *near = NULL;
    struct tess_sets sets = {0};
    float *hub = NULL;

    for (int64_t i = 0; i < work->kinds.n; i++)
        k += work->candidate[i];
    k = k < work->neighbors->k ? k : work->neighbors->k;
    if (choose(work, &sets, error) == TESS_OK) {
        hub = find_hubs(work, &work->directions, work->candidate,
                        &(struct tess_likeness_queries){sets.n, sets.member}, error);
        likeness.hub = hub;
        batch = tess_nearest_batch(&likeness, k, sets.n);
        near = tess_alloc_large((size_t)(batch * k), sizeof *near, "lists of neighbors", error);
    }
    if (tess_agree(work->comm, error) == TESS_OK && work->rank == 0)
        tess_sheet_head(&work->sheet, 4, hub ? csls_columns : list_columns);
    for (int64_t q = 0; q < sets.n && error->code == TESS_OK; q += batch) {
        const struct tess_likeness_queries some = {sets.n - q < batch ? sets.n - q : batch,
                                                   sets.member + q};

        if (tess_nearest_find(&likeness, &some, k, near, error) == TESS_OK && work->rank == 0)
            n_alone += write_lists(work, &some, k, near);
    }
    if (n_alone > 0 && error->code == TESS_OK)
        tess_warn("%" PRId64 " of the %" PRId64 " perturbations that were asked for have no "
                  "neighbor: nothing of them is left without the mean of their type (--center "
                  "all or none leaves more), or there is nobody else",
                  n_alone, sets.n);
    tess_sets_release(&sets);
    tess_free(near);
    tess_free(hub);
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

/* At which ranks the pairs are found, among some candidates. */
struct ranking {
    double *rank; /* (queries, targets) NaN: not compared; NULL: none at all; own */
    uint8_t *candidate; /* (perturbations) own */
    int64_t *others; /* (queries) candidates beside each; own */
    int64_t n_candidates, n_pairs; /* n_pairs: those with a rank */
};
enum { MODEL, PROFILES, SAME, RANKINGS }; /* SAME: the model over what PROFILES can compare */
static const char *const ranking_names[] = {"model", "profiles", "model*"};

static void release(struct ranking *ranking)
{
    tess_free(ranking->rank);
    tess_free(ranking->candidate);
    tess_free(ranking->others);
    *ranking = (struct ranking){.rank = NULL};
}

/* Among those candidates, and of those perturbations, that are `known` (NULL: all). Collective. */
static int rank_among(struct ranking *ranking, const struct work *work,
                      const struct tess_pairs *pairs, const struct tess_directions *directions,
                      const uint8_t *known, struct tess_error *error)
{
    struct tess_likeness likeness = {directions, NULL, NULL, work->comm};
    int64_t n = pairs->n_queries, width = pairs->n_targets;
    float *hub;

    *ranking = (struct ranking){.candidate = TESS_NEW(uint8_t, work->kinds.n),
                                .others = TESS_NEW(int64_t, n)};
    for (int64_t i = 0; i < work->kinds.n; i++) {
        ranking->candidate[i] = work->candidate[i] && (!known || known[i]);
        ranking->n_candidates += ranking->candidate[i];
    }
    likeness.candidate = ranking->candidate;
    hub = find_hubs(work, directions, ranking->candidate,
                    &(struct tess_likeness_queries){n, pairs->queries}, error);
    likeness.hub = hub;
    ranking->rank = tess_alloc_large((size_t)(n * width), sizeof *ranking->rank, "ranks", error);
    if (tess_agree(work->comm, error) == TESS_OK)
        tess_pairs_rank(pairs, &likeness, ranking->rank, error);
    tess_free(hub);
    if (error->code != TESS_OK)
        return error->code;
    for (int64_t q = 0; q < n; q++) {
        ranking->others[q] = ranking->n_candidates - ranking->candidate[pairs->queries[q]];
        for (int64_t t = 0; t < width && known && !known[pairs->queries[q]]; t++)
            ranking->rank[q * width + t] = NAN;
    }
    for (int64_t i = 0; i < pairs->n; i++)
        ranking->n_pairs += !isnan(ranking->rank[pairs->query[i] * width + pairs->target[i]]);
    return TESS_OK;
}

/* The ranks by `measured`, and the model's over the same, if these are not all. */
static int compare(struct ranking ranking[RANKINGS], const struct work *work,
                   const struct tess_pairs *pairs, const struct tess_profile_axes *measured,
                   struct tess_error *error)
{
    const int64_t begin[] = {0, measured->k};
    const struct tess_origin origin = {measured->n, measured->k, 1, begin, measured, copy_rows};
    struct tess_kinds kinds = work->kinds;
    struct tess_directions directions;
    struct ranking *model = &ranking[MODEL], *profiles = &ranking[PROFILES];

    kinds.trained = measured->known;
    if (tess_directions_init(&directions, &origin, &kinds, work->neighbors->center, work->comm,
                             error) == TESS_OK &&
        rank_among(profiles, work, pairs, &directions, measured->known, error) == TESS_OK) {
        if (profiles->n_pairs == 0) {
            tess_warn("no pair was measured, each of the two alone: measured profiles are not "
                      "compared");
            release(profiles);
        } else if (profiles->n_pairs < model->n_pairs ||
                   profiles->n_candidates < model->n_candidates)
            rank_among(&ranking[SAME], work, pairs, &work->directions, measured->known, error);
    }
    tess_directions_release(&directions);
    return error->code;
}

/* Where there are no measured profiles, nothing is compared, with a warning. */
static int rank_measured(struct ranking ranking[RANKINGS], struct work *work,
                         const struct tess_pairs *pairs, struct tess_error *error)
{
    struct tess_error why = TESS_ERROR_INIT;
    struct tess_profile_axes axes = {.k = 0};
    struct tess_measurements own = {.combination = NULL}, *measured = &work->measured;

    if (!work->is_completed) {
        measured = &own;
        tess_measurements_open(measured, work->model, work->comm, &why);
    }
    if (why.code == TESS_OK && tess_profile_axes_init(&axes, measured, work->model->perturbation.n,
                                                      COMPONENTS, &why) == TESS_OK)
        compare(ranking, work, pairs, &axes, error);
    if (why.code == TESS_EDATA)
        tess_warn("%s: measured profiles are not compared", why.text);
    else if (why.code != TESS_OK)
        *error = why;
    tess_profile_axes_release(&axes);
    tess_measurements_release(&own);
    return error->code;
}

static void print_row(const char *name, const struct tess_pairs_outcome *outcome, int s)
{
    printf("  %-9s %7.4f  %7.4f … %7.4f", name, outcome->value[s], outcome->low[s],
           outcome->high[s]);
}

static void print_counts(const struct tess_pairs *pairs, const struct ranking ranking[RANKINGS])
{
    char *no_tab = tess_pairs_no_tab(pairs);

    printf("%" PRId64 " pairs of %" PRId64 " perturbations, among %" PRId64 " candidates\n",
           pairs->n, pairs->n_queries, ranking[MODEL].n_candidates);
    printf("left out: %" PRId64 " unknown, %" PRId64 " never trained, %" PRId64
           " with themselves or no candidate%s\n",
           pairs->n_unknown, pairs->n_untrained, pairs->n_left_out, no_tab);
    if (ranking[PROFILES].rank)
        printf("measured alone: both of %" PRId64 " pairs, %" PRId64 " candidates: profiles%s\n",
               ranking[PROFILES].n_pairs, ranking[PROFILES].n_candidates,
               ranking[SAME].rank ? " and model*" : "");
    tess_free(no_tab);
}

/* TESS_EIO. */
static int print_scores(const struct work *work, const struct tess_pairs *pairs,
                        const struct ranking ranking[RANKINGS], struct tess_error *error)
{
    const struct ranking *ours = &ranking[ranking[SAME].rank ? SAME : MODEL],
                         *theirs = &ranking[PROFILES];
    struct tess_pairs_outcome outcome[RANKINGS], chance, difference;
    int64_t resamples = work->neighbors->resamples;

    for (int r = 0; r < RANKINGS; r++)
        if (ranking[r].rank)
            tess_pairs_score(pairs, ranking[r].rank, ranking[r].others, resamples, &outcome[r]);
    if (theirs->rank)
        tess_pairs_compare(pairs, &(struct tess_pairs_ranks){ours->rank, ours->others},
                           &(struct tess_pairs_ranks){theirs->rank, theirs->others}, resamples,
                           &difference);
    tess_pairs_permute(pairs, ranking[MODEL].rank, ranking[MODEL].others, resamples, &chance);
    print_counts(pairs, ranking);
    for (int s = 0; s < TESS_PAIRS_SCORES; s++) {
        printf("%-20s", tess_pairs_names[s]);
        for (int r = 0; r < RANKINGS; r++)
            if (ranking[r].rank)
                print_row(ranking_names[r], &outcome[r], s);
        if (theirs->rank)
            print_row("difference", &difference, s);
        print_row("chance", &chance, s);
        putchar('\n');
    }
    return tess_print_finish(error);
}

static void write_pairs(struct work *work, const struct tess_pairs *pairs,
                        const struct ranking ranking[RANKINGS])
{
    const struct tess_vocab *vocab = &work->model->perturbation;
    const double *profiles = ranking[PROFILES].rank;

    tess_sheet_head(&work->sheet, 5, pair_columns);
    for (int64_t i = 0; i < pairs->n; i++) {
        int64_t q = pairs->query[i], t = pairs->target[i], at = q * pairs->n_targets + t;

        tess_sheet_text(&work->sheet, vocab->symbol[pairs->queries[q]]);
        tess_sheet_text(&work->sheet, vocab->symbol[pairs->targets[t]]);
        tess_sheet_count(&work->sheet, ranking[MODEL].others[q]);
        tess_sheet_number(&work->sheet, ranking[MODEL].rank[at], 0);
        tess_sheet_number(&work->sheet, profiles ? profiles[at] : NAN, 0);
        tess_sheet_end(&work->sheet);
    }
}

static int score(struct work *work, struct tess_error *error)
{
    struct ranking ranking[RANKINGS] = {{.rank = NULL}};
    struct tess_pairs pairs;

    if (tess_pairs_read(&pairs, work->neighbors->pairs, &work->kinds, work->candidate, work->comm,
                        error) == TESS_OK &&
        rank_among(&ranking[MODEL], work, &pairs, &work->directions, NULL, error) == TESS_OK &&
        rank_measured(ranking, work, &pairs, error) == TESS_OK && work->rank == 0 &&
        print_scores(work, &pairs, ranking, error) == TESS_OK && work->neighbors->output)
        write_pairs(work, &pairs, ranking);
    tess_pairs_release(&pairs);
    for (int r = 0; r < RANKINGS; r++)
        release(&ranking[r]);
    return error->code;
}

int tess_neighbors_run(const struct tess_neighbors *neighbors, const struct tess_model *model,
                       MPI_Comm comm, struct tess_error *error)
{
    struct work work = {.neighbors = neighbors,
                        .model = model,
                        .comm = comm,
                        .is_completed = neighbors->vectors == TESS_NEIGHBORS_COMPLETED};

    MPI_Comm_rank(comm, &work.rank);
    if (work.rank == 0)
        tess_sheet_open(&work.sheet, neighbors->output, neighbors->force, error);
    if (tess_agree(comm, error) == TESS_OK && prepare(&work, error) == TESS_OK) {
        if (neighbors->pairs)
            score(&work, error);
        else
            list(&work, error);
        if (error->code == TESS_OK && work.rank == 0)
            tess_sheet_finish(&work.sheet, error);
        tess_agree(comm, error);
    }
    tess_sheet_release(&work.sheet);
    tess_directions_release(&work.directions);
    tess_vectors_release(&work.vectors);
    tess_completed_release(&work.completed);
    tess_measurements_release(&work.measured);
    tess_kinds_release(&work.kinds);
    tess_free(work.candidate);
    tess_free(work.begin);
    return error->code;
}
