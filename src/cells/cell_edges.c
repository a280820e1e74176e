/* cell_edges.c -- the distance between a gene's values in perturbed and in control cells. */
#include "tessera/cell_edges.h"

#include "cell_columns.h"
#include "samples.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/edges.h"
#include "tessera/error.h"
#include "tessera/log.h"
#include "tessera/sheet.h"

#include <inttypes.h>
#include <math.h>

/* What the parts of an edge are here. */
enum { CHANGE, P_VALUE };

struct work {
    const struct tess_cell_groups *groups;
    struct tess_reference reference;
    struct tess_edges edges;
    int64_t n_unmeasured; /* pairs with too few measured values; in the end rank 0's, of all */
};

/* All edges to one readout. A gene that rises where its regulator is lost, or falls where that
 * is gained, is held down by it. */
static void take(void *closure, int64_t k, float *value)
{
    struct work *work = closure;
    const struct tess_cell_groups *groups = work->groups;
    int64_t control = tess_cell_groups_control(groups);

    tess_reference_take(&work->reference, tess_cell_groups_size(groups, control),
                        value + groups->first[control]);
    for (int64_t g = 0; g < groups->gene.n; g++) {
        struct tess_edge edge = {.regulator = (int32_t)g, .target = (int32_t)k};
        struct tess_comparison found;

        if (groups->self[g] == k)
            continue;
        if (!tess_reference_compare(&work->reference, tess_cell_groups_size(groups, g),
                                    value + groups->first[g], &found)) {
            work->n_unmeasured++;
            continue;
        }
        edge.score = found.distance;
        edge.sign = (found.change < 0) - (found.change > 0);
        edge.sign = groups->gained[g] ? -edge.sign : edge.sign;
        edge.part[CHANGE] = found.change;
        edge.part[P_VALUE] = found.p;
        tess_edges_add(&work->edges, &edge);
    }
}

static void write_edges(struct tess_sheet *sheet, const struct work *work)
{
    static const char *const signs[] = {"-", "0", "+"};
    static const char *const column[] = {"regulator", "target", "score", "sign",
                                         "change",    "p",      "cells"};
    const struct tess_cell_groups *groups = work->groups;

    tess_sheet_head(sheet, (int)(sizeof column / sizeof column[0]), column);
    for (int64_t e = 0; e < work->edges.n; e++) {
        const struct tess_edge *edge = &work->edges.edge[e];

        tess_sheet_text(sheet, groups->gene.symbol[edge->regulator]);
        tess_sheet_text(sheet, groups->readout.symbol[edge->target]);
        tess_sheet_number(sheet, edge->score, 0);
        tess_sheet_text(sheet, signs[edge->sign + 1]);
        tess_sheet_number(sheet, edge->part[CHANGE], 0);
        tess_sheet_number(sheet, edge->part[P_VALUE], 0);
        tess_sheet_count(sheet, tess_cell_groups_size(groups, edge->regulator));
        tess_sheet_end(sheet);
    }
}

/* Rank 0's. */
static int check_edges(const struct work *work, struct tess_error *error)
{
    const char *path = work->groups->options->path;

    if (work->edges.n == 0)
        return tess_error_set(error, TESS_EDATA,
                              "%s: no readout has %d measured values both in cells without a gene "
                              "and in control cells: there is no edge",
                              path, TESS_SAMPLES_LEAST);
    if (work->n_unmeasured > 0)
        tess_info("left out: %" PRId64 " pairs with fewer than %d measured values",
                  work->n_unmeasured, TESS_SAMPLES_LEAST);
    return TESS_OK;
}

static int score(struct work *work, struct tess_cell_groups *groups, struct tess_error *error)
{
    int64_t control = tess_cell_groups_size(groups, tess_cell_groups_control(groups));
    double genes = (double)groups->gene.n, readouts = (double)groups->readout.n;
    struct tess_cell_visitor visitor = {work,
                                        tess_edges_bytes(work->edges.most,
                                                         genes * ceil(readouts / groups->n_ranks),
                                                         genes * readouts) +
                                            tess_reference_bytes(control),
                                        take};
    int64_t mine, *all = TESS_NEW(int64_t, groups->readout.n);

    for (int64_t k = 0; k < groups->readout.n; k++)
        all[k] = k;
    if (tess_cell_columns_visit(groups, groups->readout.n, all, &visitor, error) == TESS_OK) {
        tess_edges_gather(&work->edges, groups->comm);
        mine = work->n_unmeasured;
        MPI_Reduce(&mine, &work->n_unmeasured, 1, MPI_INT64_T, MPI_SUM, 0, groups->comm);
        if (groups->rank == 0)
            check_edges(work, error);
    }
    tess_free(all);
    return tess_agree(groups->comm, error);
}

int tess_cell_edges_infer(const struct tess_cell_edges_options *options, MPI_Comm comm,
                          struct tess_error *error)
{
    struct tess_cell_groups groups = {.n_cells = 0};
    struct work work = {.groups = &groups, .edges = {.most = options->n_edges}};
    struct tess_sheet sheet = {.path = NULL};
    int rank;

    MPI_Comm_rank(comm, &rank);
    if (rank == 0)
        tess_sheet_open(&sheet, options->output, options->force, error);
    if (tess_agree(comm, error) == TESS_OK &&
        tess_cell_groups_open(&groups, options->cells, comm, error) == TESS_OK) {
        tess_cell_groups_say(&groups);
        if (score(&work, &groups, error) == TESS_OK && rank == 0) {
            write_edges(&sheet, &work);
            if (tess_sheet_finish(&sheet, error) == TESS_OK)
                tess_info("%s: %" PRId64 " edges", options->output, work.edges.n);
        }
        tess_agree(comm, error);
    }
    tess_sheet_release(&sheet);
    tess_edges_release(&work.edges);
    tess_reference_release(&work.reference);
    tess_cell_groups_release(&groups);
    return error->code;
}
