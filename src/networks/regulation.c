/* regulation.c -- the order of `network infer`: effects, evidence, edges, the table. */
#include "tessera/regulation.h"

#include "evidence.h"
#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/edges.h"
#include "tessera/error.h"
#include "tessera/log.h"
#include "tessera/sheet.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define ALL_CAUSES  1000 /* so many genes at most: every cause counts in the refit */
#define FEWER_CAUSE 0.01 /* with more: those of at least so many units of noise */

static const char *const methods[] = {"evidence", "effect", "correlation"};
/* The parts of the evidence come behind the first EDGE_COLUMNS. */
#define EDGE_COLUMNS 4
static const char *const column[] = {"regulator", "target",      "score", "sign",        "effect",
                                     "direct",    "competition", "hub",   "covariation", "refit"};

int tess_regulation_parse(const char *text)
{
    for (int k = 0; k <= TESS_BY_CORRELATION; k++)
        if (!text || strcmp(text, methods[k]) == 0)
            return k;
    return -1;
}

/* ---- an edge ---- */

static int sign_of(double x)
{
    return (x > 0) - (x < 0);
}

/* A regulator without which a gene falls activates it. */
static void score_by_evidence(const struct tess_evidence *evidence, int64_t i, int64_t j,
                              struct tess_edge *edge)
{
    int64_t at = i * evidence->effects->n + j;
    double s = evidence->s[at], c = evidence->c[at];

    edge->part[TESS_EDGE_EFFECT] = evidence->z[at];
    edge->part[TESS_EDGE_DIRECT] = s * evidence->crowding[j];
    edge->part[TESS_EDGE_COMPETITION] = s * s / 2;
    edge->part[TESS_EDGE_HUB] = 0.75 * evidence->hub[i];
    edge->part[TESS_EDGE_COVARIATION] = 10 * c * c;
    edge->part[TESS_EDGE_REFIT] = 0.4 * fmin(fmax(evidence->l[at], -10), 30);
    for (int k = TESS_EDGE_COMPETITION; k < TESS_EDGE_PARTS; k++)
        edge->score += edge->part[k];
    edge->sign = -sign_of(evidence->z[at]);
}

static void add_edge(const struct tess_evidence *evidence, enum tess_regulation_method method,
                     int64_t i, int64_t j, struct tess_edges *edges)
{
    const struct tess_effects *effects = evidence->effects;
    int64_t at = i * effects->n + j;
    struct tess_edge edge = {.regulator = (int32_t)i, .target = (int32_t)(effects->first + j)};

    if (method == TESS_BY_EVIDENCE)
        score_by_evidence(evidence, i, j, &edge);
    else if (method == TESS_BY_EFFECT) {
        edge.score = fabs(evidence->z[at]) / effects->noise[effects->first + j];
        edge.sign = -sign_of(evidence->z[at]);
    } else {
        edge.score = fabs(evidence->c[at]);
        edge.sign = sign_of(evidence->c[at]);
    }
    tess_edges_add(edges, &edge);
}

/* Pairs without a measurement are no edges, nor is a gene its own regulator; a correlation needs
 * the regulator read out. */
static void collect(const struct tess_evidence *evidence, enum tess_regulation_method method,
                    struct tess_edges *edges)
{
    const struct tess_effects *effects = evidence->effects;

    for (int64_t i = 0; i < (int64_t)effects->regulator.n; i++)
        for (int64_t j = 0; j < effects->n; j++)
            if (effects->column[i] != effects->first + j && tess_effects_known(effects, i, j) &&
                (method != TESS_BY_CORRELATION || effects->column[i] >= 0))
                add_edge(evidence, method, i, j, edges);
}

/* ---- the table ---- */

static void write_edges(struct tess_sheet *sheet, const struct tess_effects *effects,
                        enum tess_regulation_method method, const struct tess_edges *edges)
{
    static const char *const signs[] = {"-", "0", "+"};
    int n_parts = method == TESS_BY_EVIDENCE ? TESS_EDGE_PARTS : 0;

    tess_sheet_head(sheet, EDGE_COLUMNS + n_parts, column);
    for (int64_t e = 0; e < edges->n; e++) {
        const struct tess_edge *edge = &edges->edge[e];

        tess_sheet_text(sheet, effects->regulator.item[edge->regulator]);
        tess_sheet_text(sheet, effects->target.item[edge->target]);
        tess_sheet_number(sheet, edge->score, 0);
        tess_sheet_text(sheet, signs[edge->sign + 1]);
        for (int k = 0; k < n_parts; k++)
            tess_sheet_number(sheet, edge->part[k], 0);
        tess_sheet_end(sheet);
    }
}

/* ---- all together ---- */

static void say_effects(const struct tess_effects *effects,
                        const struct tess_regulation_options *options)
{
    double m = (double)effects->regulator.n, n = (double)effects->n, rows = (double)effects->n_rows;
    double matrices = options->method == TESS_BY_EVIDENCE ? 6 : 2;

    tess_info("%s: %zu perturbed genes, %zu readouts, %" PRId64 " rows; about %.1f MB a rank",
              options->input, effects->regulator.n, effects->target.n, effects->n_rows,
              (m * n * 8 * matrices + rows * n * 13) / 1e6);
    if (effects->n_unread > 0)
        tess_info("%" PRId64 " of the perturbed genes are not read out: what regulates them, and "
                  "what passes through them, stays unknown",
                  effects->n_unread);
    if (effects->n_combinations > 0)
        tess_info("%" PRId64 " rows of combinations were left out", effects->n_combinations);
}

static double cutoff_of(const struct tess_regulation_options *options,
                        const struct tess_effects *effects)
{
    if (options->cutoff >= 0)
        return options->cutoff;
    return effects->regulator.n > ALL_CAUSES || effects->target.n > ALL_CAUSES ? FEWER_CAUSE : 0;
}

static int weigh(const struct tess_regulation_options *options, struct tess_effects *effects,
                 struct tess_evidence *evidence, struct tess_error *error)
{
    if (tess_effects_read(effects, options, effects->comm, error) != TESS_OK)
        return error->code;
    say_effects(effects, options);
    if (tess_effects_standardise(effects, options->input, error) != TESS_OK ||
        tess_evidence_combine(evidence, effects, error) != TESS_OK)
        return error->code;
    if (options->method == TESS_BY_EFFECT)
        return TESS_OK;
    if (options->method == TESS_BY_CORRELATION)
        return tess_evidence_correlate(evidence, error);
    tess_debug("effects less paths, competition, hubs");
    if (tess_evidence_direct(evidence, error) != TESS_OK)
        return error->code;
    tess_debug("correlations");
    if (tess_evidence_correlate(evidence, error) != TESS_OK)
        return error->code;
    tess_debug("refit");
    tess_evidence_refit(evidence, cutoff_of(options, effects), error);
    return error->code;
}

int tess_regulation_infer(const struct tess_regulation_options *options, MPI_Comm comm,
                          struct tess_error *error)
{
    struct tess_effects effects = {.comm = comm};
    struct tess_evidence evidence = {.z = NULL};
    struct tess_edges edges = {.most = options->n_edges};
    struct tess_sheet sheet = {.path = NULL};
    int rank;

    MPI_Comm_rank(comm, &rank);
    if (rank == 0)
        tess_sheet_open(&sheet, options->output, options->force, error);
    if (tess_agree(comm, error) == TESS_OK &&
        weigh(options, &effects, &evidence, error) == TESS_OK) {
        collect(&evidence, options->method, &edges);
        tess_edges_gather(&edges, comm);
        if (rank == 0)
            write_edges(&sheet, &effects, options->method, &edges);
        if (rank == 0 && tess_sheet_finish(&sheet, error) == TESS_OK)
            tess_info("%s: %" PRId64 " edges", options->output, edges.n);
        tess_agree(comm, error);
    }
    tess_sheet_release(&sheet);
    tess_edges_release(&edges);
    tess_evidence_release(&evidence);
    tess_effects_release(&effects);
    return error->code;
}
