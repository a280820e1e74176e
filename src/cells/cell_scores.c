/* cell_scores.c -- rank 0 says which pairs are to be looked at; the ranks measure them, each those
 * of its readouts; rank 0 averages. */
#include "tessera/cell_scores.h"

#include "cell_columns.h"
#include "cell_list.h"
#include "cell_pairs.h"
#include "samples.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/broadcast.h"
#include "tessera/error.h"
#include "tessera/sheet.h"
#include "tessera/slices.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LIST, RANDOM, NETWORKS };

/* A pair of work->pair, by its target. */
struct request {
    struct tess_cell_pair pair;
    int64_t number;
};

/* Of a pair: itself, in a list that may have grown to twice that, a request, two numbers. */
#define PAIR_BYTES (2 * sizeof(struct tess_cell_pair) + sizeof(struct request) + 2 * sizeof(double))

/* Pairs lie one after the other: the list, a random network, those that each depth omits. */
struct work {
    struct tess_cell_scores *scores;
    struct tess_cell_groups groups;
    struct tess_cell_pair *pair; /* (n) own */
    int64_t n;
    size_t room;
    int64_t omitted[TESS_CELL_DEPTHS][NETWORKS]; /* where they begin; rank 0's */
    double *distance, *p; /* (n) NaN: too few measured values; own */
    struct request *request; /* (n) own */
    int64_t *readout, *from; /* (n_readouts), (n_readouts + 1) of the requests; own */
    int64_t n_readouts;
    struct tess_reference reference;
};

/* ---- which pairs; rank 0's ---- */

static struct tess_cell_pair *add_pairs(struct work *work, int64_t n)
{
    work->pair = tess_grow(work->pair, &work->room, (size_t)(work->n + n) + 1, sizeof *work->pair);
    work->n += n;
    return work->pair + work->n - n;
}

static struct tess_cell_score *score_of(struct tess_cell_scores *scores, int which, int d)
{
    return which == LIST ? &scores->list[d] : &scores->random[d];
}

static void omit_pairs(struct work *work, int d, int which)
{
    struct tess_cell_scores *scores = work->scores;
    struct tess_cell_score *score = score_of(scores, which, d);
    struct tess_cell_pair *out = TESS_NEW(struct tess_cell_pair, scores->n_pairs);
    struct tess_cell_network network = {.n = scores->depth[d],
                                        .edge = work->pair + which * scores->n_edges,
                                        .path_length = scores->path_length,
                                        .seed = (uint64_t)scores->seed,
                                        /* what is drawn for so many edges is the same whatever
                                         * other numbers are asked for */
                                        .number = (uint64_t)scores->depth[d] * NETWORKS +
                                                  (uint64_t)which};

    score->n_omitted =
        tess_cell_pairs_omitted(&work->groups, &network, scores->n_pairs, out, &score->n_free);
    work->omitted[d][which] = work->n;
    memcpy(add_pairs(work, score->n_omitted), out, (size_t)score->n_omitted * sizeof *out);
    tess_free(out);
}

/* All of the list is the last network. */
static void add_depth(struct tess_cell_scores *scores)
{
    for (int d = 0; d < scores->n_depths; d++)
        if (scores->depth[d] == scores->n_edges)
            return;
    scores->depth[scores->n_depths++] = scores->n_edges;
}

static int choose_pairs(struct work *work, struct tess_error *error)
{
    struct tess_cell_scores *scores = work->scores;
    const struct tess_cell_groups *groups = &work->groups;
    int64_t control = tess_cell_groups_control(groups);
    struct tess_cell_pair *list;

    scores->n_genes = groups->gene.n;
    scores->n_readouts = groups->readout.n;
    scores->n_all = tess_cell_pairs_all(groups);
    scores->n_perturbed_cells = groups->first[control];
    scores->n_control_cells = tess_cell_groups_size(groups, control);
    if (tess_cell_list_read(scores, groups, &list, error) == TESS_OK) {
        add_depth(scores);
        memcpy(add_pairs(work, scores->n_edges), list, (size_t)scores->n_edges * sizeof *list);
        tess_cell_pairs_draw(groups, (uint64_t)scores->seed, scores->n_edges,
                             add_pairs(work, scores->n_edges));
        for (int d = 0; d < scores->n_depths; d++)
            for (int which = 0; which < NETWORKS && scores->depth[d] <= scores->n_edges; which++)
                omit_pairs(work, d, which);
    }
    tess_free(list);
    return error->code;
}

/* ---- measuring ---- */

static int by_target(const void *left, const void *right)
{
    const struct request *a = left, *b = right;

    if (a->pair.target != b->pair.target)
        return a->pair.target < b->pair.target ? -1 : 1;
    if (a->pair.regulator != b->pair.regulator)
        return a->pair.regulator < b->pair.regulator ? -1 : 1;
    return (a->number > b->number) - (a->number < b->number);
}

static void sort_pairs(struct work *work)
{
    int64_t n = work->n, readouts = work->groups.readout.n;

    work->request = TESS_NEW(struct request, n);
    work->readout = TESS_NEW(int64_t, readouts);
    work->from = TESS_NEW(int64_t, readouts + 1);
    for (int64_t k = 0; k < n; k++)
        work->request[k] = (struct request){work->pair[k], k};
    qsort(work->request, (size_t)n, sizeof *work->request, by_target);
    for (int64_t k = 0; k < n; k++)
        if (k == 0 || work->request[k].pair.target != work->request[k - 1].pair.target) {
            work->readout[work->n_readouts] = work->request[k].pair.target;
            work->from[work->n_readouts++] = k;
        }
    work->from[work->n_readouts] = n;
}

/* All pairs of one readout; those of the same gene lie together and are measured once. */
static void take(void *closure, int64_t k, float *value)
{
    struct work *work = closure;
    const struct tess_cell_groups *groups = &work->groups;
    int64_t control = tess_cell_groups_control(groups), last = -1;
    struct tess_comparison found = {NAN, NAN, NAN};

    tess_reference_take(&work->reference, tess_cell_groups_size(groups, control),
                        value + groups->first[control]);
    for (int64_t r = work->from[k]; r < work->from[k + 1]; r++) {
        const struct request *request = &work->request[r];
        int64_t g = request->pair.regulator;

        if (g != last)
            tess_reference_compare(&work->reference, tess_cell_groups_size(groups, g),
                                   value + groups->first[g], &found);
        last = g;
        work->distance[request->number] = found.distance;
        work->p[request->number] = found.p;
    }
}

static int measure(struct work *work, struct tess_error *error)
{
    struct tess_cell_groups *groups = &work->groups;
    int64_t control = tess_cell_groups_size(groups, tess_cell_groups_control(groups));
    struct tess_cell_visitor visitor = {work, 0, take};
    size_t bytes;

    MPI_Bcast(&work->n, 1, MPI_INT64_T, 0, work->groups.comm);
    bytes = (size_t)work->n * sizeof(double);
    work->pair = tess_grow(work->pair, &work->room, (size_t)work->n + 1, sizeof *work->pair);
    tess_broadcast(work->groups.comm, work->pair, (size_t)work->n * sizeof *work->pair);
    work->distance = TESS_NEW(double, work->n);
    work->p = TESS_NEW(double, work->n);
    sort_pairs(work);
    visitor.bytes = (double)work->n * PAIR_BYTES + tess_reference_bytes(control);
    if (tess_cell_columns_visit(&work->groups, work->n_readouts, work->readout, &visitor, error) ==
        TESS_OK) {
        tess_slices_join(work->groups.comm, work->distance, bytes);
        tess_slices_join(work->groups.comm, work->p, bytes);
    }
    return error->code;
}

/* ---- averages; rank 0's ---- */

struct average {
    double mean, error, changed; /* NaN: of nothing */
    int64_t n; /* of so many, those with enough measured values */
};

static struct average average(const struct work *work, int64_t from, int64_t n)
{
    double sum = 0, squares = 0, below = 0, count = 0, mean;

    for (int64_t k = from; k < from + n; k++) {
        if (isnan(work->distance[k]))
            continue;
        sum += work->distance[k];
        below += work->p[k] < TESS_CELL_P;
        count++;
    }
    mean = sum / count;
    for (int64_t k = from; k < from + n; k++)
        if (!isnan(work->distance[k]))
            squares += (work->distance[k] - mean) * (work->distance[k] - mean);
    return (struct average){count > 0 ? mean : NAN,
                            count > 1 ? sqrt(squares / (count - 1) / count) : NAN,
                            count > 0 ? below / count : NAN, (int64_t)count};
}

static int summarise(struct work *work, struct tess_error *error)
{
    struct tess_cell_scores *scores = work->scores;

    if (average(work, 0, work->n).n == 0)
        return tess_error_set(error, TESS_EDATA,
                              "%s: no pair that was looked at has %d measured values both in cells "
                              "without the gene and in control cells: there is nothing to score by",
                              scores->cells->path, TESS_SAMPLES_LEAST);
    for (int d = 0; d < scores->n_depths; d++)
        for (int which = 0; which < NETWORKS; which++) {
            struct tess_cell_score *score = score_of(scores, which, d);
            int there = scores->depth[d] <= scores->n_edges;
            struct average edges =
                average(work, which * scores->n_edges, there ? scores->depth[d] : 0);
            struct average omitted = average(work, work->omitted[d][which], score->n_omitted);

            score->n_measured = edges.n;
            score->n_omitted_measured = omitted.n;
            score->distance = edges.mean;
            score->error = edges.error;
            score->changed = edges.changed;
            score->omission = omitted.changed;
            score->omitted_distance = omitted.mean;
        }
    return TESS_OK;
}

/* ---- the table of pairs ---- */

static void write_pairs(struct tess_sheet *sheet, const struct work *work, const char *network,
                        int64_t edges, int64_t from, int64_t n)
{
    for (int64_t k = from; k < from + n; k++) {
        tess_sheet_text(sheet, network);
        if (edges > 0)
            tess_sheet_count(sheet, edges);
        else
            tess_sheet_text(sheet, "");
        tess_sheet_text(sheet, work->groups.gene.symbol[work->pair[k].regulator]);
        tess_sheet_text(sheet, work->groups.readout.symbol[work->pair[k].target]);
        tess_sheet_number(sheet, work->distance[k], 0);
        tess_sheet_number(sheet, work->p[k], 0);
        tess_sheet_end(sheet);
    }
}

static int write_table(const struct work *work, struct tess_sheet *sheet, struct tess_error *error)
{
    static const char *const column[] = {"network", "omitted_by", "regulator",
                                         "target",  "distance",   "p"};
    static const char *const network[] = {"list", "random"};
    struct tess_cell_scores *scores = work->scores;

    tess_sheet_head(sheet, (int)(sizeof column / sizeof column[0]), column);
    for (int which = 0; which < NETWORKS; which++) {
        write_pairs(sheet, work, network[which], 0, which * scores->n_edges, scores->n_edges);
        for (int d = 0; d < scores->n_depths; d++)
            write_pairs(sheet, work, network[which], scores->depth[d], work->omitted[d][which],
                        score_of(scores, which, d)->n_omitted);
    }
    return tess_sheet_finish(sheet, error);
}

/* ---- all together ---- */

static int make(struct work *work, struct tess_sheet *sheet, struct tess_error *error)
{
    struct tess_cell_groups *groups = &work->groups;

    tess_cell_groups_say(groups);
    if (groups->rank == 0)
        choose_pairs(work, error);
    if (tess_agree(groups->comm, error) != TESS_OK || measure(work, error) != TESS_OK)
        return error->code;
    if (groups->rank == 0 && summarise(work, error) == TESS_OK && work->scores->output)
        write_table(work, sheet, error);
    return tess_agree(groups->comm, error);
}

int tess_cell_scores_make(struct tess_cell_scores *scores, MPI_Comm comm, struct tess_error *error)
{
    struct work work = {.scores = scores};
    struct tess_sheet sheet = {.path = NULL};
    int rank;

    MPI_Comm_rank(comm, &rank);
    if (rank == 0 && scores->output)
        tess_sheet_open(&sheet, scores->output, scores->force, error);
    if (tess_agree(comm, error) == TESS_OK &&
        tess_cell_groups_open(&work.groups, scores->cells, comm, error) == TESS_OK)
        make(&work, &sheet, error);
    tess_sheet_release(&sheet);
    tess_cell_groups_release(&work.groups);
    tess_reference_release(&work.reference);
    tess_free(work.pair);
    tess_free(work.distance);
    tess_free(work.p);
    tess_free(work.request);
    tess_free(work.readout);
    tess_free(work.from);
    return error->code;
}
