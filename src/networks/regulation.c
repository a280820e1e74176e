/* regulation.c -- the order of `network infer`: effects, evidence, edges, the table. */
#include "tessera/regulation.h"

#include "evidence.h"
#include "relative.h"
#include "tessera/predicted.h"
#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/edges.h"
#include "tessera/error.h"
#include "tessera/inverse.h"
#include "tessera/log.h"
#include "tessera/sheet.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define ALL_CAUSES  1000 /* so many genes at most: every cause counts in the refit */
#define FEWER_CAUSE 0.01 /* with more: those of at least so many units of noise */

static const char *const methods[] = {"evidence", "effect", "correlation",
                                      "direct",   "inspre", "partial"};
/* The parts of the evidence come behind the first EDGE_COLUMNS. */
#define EDGE_COLUMNS 4
static const char *const column[] = {"regulator", "target",      "score", "sign",        "effect",
                                     "direct",    "competition", "hub",   "covariation", "refit"};

int tess_regulation_parse(const char *text)
{
    for (int k = 0; k < TESS_BY_METHODS; k++)
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

static struct tess_edge edge_of(const struct tess_evidence *evidence,
                                enum tess_regulation_method method, int64_t i, int64_t j)
{
    const struct tess_effects *effects = evidence->effects;
    int64_t at = i * effects->n + j;
    struct tess_edge edge = {.regulator = (int32_t)i, .target = (int32_t)(effects->first + j)};

    if (method == TESS_BY_EVIDENCE)
        score_by_evidence(evidence, i, j, &edge);
    else if (method == TESS_BY_EFFECT) {
        edge.score = fabs(evidence->z[at]) / effects->noise[effects->first + j];
        edge.sign = -sign_of(evidence->z[at]);
    } else if (method == TESS_BY_DIRECT || method == TESS_BY_INSPRE) {
        edge.score = fabs(evidence->z[at]);
        edge.sign = -sign_of(evidence->z[at]);
    } else {
        edge.score = fabs(evidence->c[at]);
        edge.sign = sign_of(evidence->c[at]);
    }
    return edge;
}

/* Pairs without a measurement are no edges, nor is a gene its own regulator; a correlation needs
 * the regulator read out. */
static int is_pair(const struct tess_effects *effects, enum tess_regulation_method method,
                   int64_t i, int64_t j)
{
    return effects->column[i] != effects->first + j &&
           (method == TESS_BY_PARTIAL || tess_effects_known(effects, i, j)) &&
           (method != TESS_BY_CORRELATION || effects->column[i] >= 0);
}

/* ---- over the members of an ensemble ---- */

/* Scores of the members so far, (m, n) as the evidence; NULL before the first. */
struct spread {
    int n_members;
    double *mean, *squares; /* own; squares: of deviations from the mean */
};

static int spread_add(struct spread *spread, const struct tess_evidence *evidence,
                      enum tess_regulation_method method, struct tess_error *error)
{
    const struct tess_effects *effects = evidence->effects;
    int64_t m = (int64_t)effects->regulator.n;
    size_t size = (size_t)(m * effects->n);

    if (spread->n_members == 0) {
        spread->mean = tess_alloc_large(size, sizeof(double), "the members' scores", error);
        spread->squares = tess_alloc_large(size, sizeof(double), "the members' scores", error);
    }
    if (tess_agree(effects->comm, error) != TESS_OK)
        return error->code;
    spread->n_members++;
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < effects->n; j++) {
            int64_t at = i * effects->n + j;
            double score, off;

            if (!is_pair(effects, method, i, j))
                continue;
            score = edge_of(evidence, method, i, j).score;
            off = score - spread->mean[at];
            spread->mean[at] += off / spread->n_members;
            spread->squares[at] += off * (score - spread->mean[at]);
        }
    return TESS_OK;
}

static int collect(const struct tess_evidence *evidence, enum tess_regulation_method method,
                   const struct spread *spread, struct tess_edges *edges, struct tess_error *error)
{
    const struct tess_effects *effects = evidence->effects;

    tess_edges_reserve(edges, (int64_t)effects->regulator.n * effects->n, error);
    if (tess_agree(effects->comm, error) != TESS_OK)
        return error->code;
    for (int64_t i = 0; i < (int64_t)effects->regulator.n; i++)
        for (int64_t j = 0; j < effects->n; j++) {
            struct tess_edge edge;

            if (!is_pair(effects, method, i, j))
                continue;
            edge = edge_of(evidence, method, i, j);
            if (spread->n_members > 1)
                edge.std = sqrt(spread->squares[i * effects->n + j] / (spread->n_members - 1));
            tess_edges_add(edges, &edge);
        }
    return TESS_OK;
}

struct inference {
    const struct tess_regulation_options *options;
    int is_model; /* are the effects a model's predictions? */
    struct tess_predicted predicted; /* that model, or the one that completes */
    struct spread spread;
};

/* ---- the table ---- */

/* Was the regulator's own row measured, or completed; or is there that of the other context alone?
 */
static int row_of(const struct tess_effects *effects, int64_t i)
{
    return effects->row[TESS_KNOCKOUT][i] >= 0 ? 0 : effects->completed[i] >= 0 ? 1 : 2;
}

static void write_edges(struct tess_sheet *sheet, const struct tess_effects *effects,
                        const struct inference *inference, const struct tess_edges *edges)
{
    enum tess_regulation_method method = inference->options->method;
    int has_std = inference->spread.n_members > 1;
    static const char *const signs[] = {"-", "0", "+"};
    static const char *const rows[] = {"measured", "completed", "other"};
    int n_parts = method == TESS_BY_EVIDENCE ? TESS_EDGE_PARTS : 0;
    const char *names[EDGE_COLUMNS + TESS_EDGE_PARTS + 2];
    int n_names = EDGE_COLUMNS + n_parts;

    memcpy(names, column, sizeof column);
    if (has_std)
        names[n_names++] = "std";
    if (effects->completed)
        names[n_names++] = "row";
    tess_sheet_head(sheet, n_names, names);
    for (int64_t e = 0; e < edges->n; e++) {
        const struct tess_edge *edge = &edges->edge[e];

        tess_sheet_text(sheet, effects->regulator.item[edge->regulator]);
        tess_sheet_text(sheet, effects->target.item[edge->target]);
        tess_sheet_number(sheet, edge->score, 0);
        tess_sheet_text(sheet, signs[edge->sign + 1]);
        for (int k = 0; k < n_parts; k++)
            tess_sheet_number(sheet, edge->part[k], 0);
        if (has_std)
            tess_sheet_number(sheet, edge->std, 0);
        if (effects->completed)
            tess_sheet_text(sheet, rows[row_of(effects, edge->regulator)]);
        tess_sheet_end(sheet);
    }
}

/* ---- all together ---- */

static double cutoff_of(const struct tess_regulation_options *options,
                        const struct tess_effects *effects)
{
    if (options->cutoff >= 0)
        return options->cutoff;
    return effects->regulator.n > ALL_CAUSES || effects->target.n > ALL_CAUSES ? FEWER_CAUSE : 0;
}

/* Beside the rows and what is made of them. Collective. */
static double more_bytes(const struct tess_evidence *evidence, const struct tess_effects *effects,
                         const struct tess_regulation_options *options)
{
    int64_t t = (int64_t)effects->target.n,
            genes = (int64_t)effects->regulator.n - effects->n_unread;

    switch (options->method) {
    case TESS_BY_EVIDENCE:
        return tess_evidence_list_bytes(evidence, cutoff_of(options, effects));
    case TESS_BY_DIRECT:
        return tess_inverse_bytes(genes, effects->n_unread, t - genes, effects->n_ranks);
    case TESS_BY_PARTIAL:
        return tess_inverse_partial_bytes(effects->n_rows, t, effects->n_ranks);
    case TESS_BY_INSPRE:
        return tess_inverse_sparse_bytes(genes, effects->n_ranks);
    default:
        return 0;
    }
}

/* z and what is made of it; values, marks and counts of rows. */
static double bytes_of(double pairs, double matrices, double values)
{
    return pairs * sizeof(double) * matrices + values * (sizeof(double) + 1 + sizeof(uint32_t));
}

double tess_regulation_direct_bytes(int64_t genes, int n_ranks)
{
    double pairs = (double)genes * ceil((double)genes / n_ranks);
    double edges = tess_edges_bytes(TESS_REGULATION_EDGES, pairs, (double)genes * (double)genes);

    return bytes_of(pairs, 1, pairs) + fmax(tess_inverse_bytes(genes, 0, 0, n_ranks), edges);
}

int tess_regulation_direct_fits(int64_t genes, int n_ranks)
{
    return tess_inverse_fits(genes, 0, 0, n_ranks);
}

double tess_regulation_direct_work(int64_t genes)
{
    return tess_inverse_work(genes);
}

static void say_completed(const struct tess_effects *effects,
                          const struct tess_regulation_options *options)
{
    int64_t m = (int64_t)effects->regulator.n, measured = 0;

    for (int64_t i = 0; i < m; i++)
        measured += effects->row[TESS_KNOCKOUT][i] >= 0;
    tess_info("%s: %" PRId64 " of the genes were perturbed in '%s', %" PRId64
              " are completed by %s, %" PRId64 " have neither",
              options->input, measured, options->context, effects->n_completed, options->complete,
              m - measured - effects->n_completed);
}

/* Collective. */
static void say_effects(const struct tess_evidence *evidence, const struct tess_effects *effects,
                        const struct tess_regulation_options *options, int n_spread)
{
    int is_partial = options->method == TESS_BY_PARTIAL;
    double m = (double)(is_partial ? effects->target.n : effects->regulator.n);
    double n = (double)effects->n, rows = (double)effects->n_rows;
    int is_direct = options->method == TESS_BY_DIRECT; /* z becomes what is written */
    double matrices = (options->method == TESS_BY_EVIDENCE ? 6
                       : is_partial || is_direct           ? 1
                                                           : 2) +
                      n_spread;
    double edges = tess_edges_bytes(options->n_edges, m * n, m * (double)effects->target.n);
    double bytes = bytes_of(m * n, matrices, rows * n) +
                   fmax(more_bytes(evidence, effects, options), edges) +
                   (double)effects->n_completed * n * sizeof(double);

    if (is_partial)
        tess_info("%s: %zu readouts, %" PRId64 " rows; about %.1f MB a rank", options->input,
                  effects->target.n, effects->n_rows, bytes / 1e6);
    else
        tess_info("%s: %zu perturbed genes, %zu readouts, %" PRId64 " rows; about %.1f MB a rank",
                  options->input, effects->regulator.n, effects->target.n, effects->n_rows,
                  bytes / 1e6);
    if (options->complete)
        say_completed(effects, options);
    if (effects->n_unread > 0)
        tess_info("%" PRId64 " of the perturbed genes are not read out: what regulates them, and "
                  "what passes through them, stays unknown",
                  effects->n_unread);
    if (effects->n_gained > 0)
        tess_info("%" PRId64 " of the perturbations are gains (CRISPRa, OE, ...): what they do "
                  "counts the other way round",
                  effects->n_gained);
    if (effects->n_contrary > 0)
        tess_info("%" PRId64 " rows of gains were left out: the same genes were lost, too",
                  effects->n_contrary);
    if (effects->n_weak > 0)
        tess_info("%" PRId64 " of the perturbed genes fall by less than 2 units of noise in their "
                  "own readout: they are taken to fall by 2",
                  effects->n_weak);
    if (effects->n_combinations > 0)
        tess_info("%" PRId64 " rows of combinations were left out", effects->n_combinations);
    if (effects->n_unlabelled > 0)
        tess_info("%" PRId64 " rows without a perturbation or a context were left out",
                  effects->n_unlabelled);
}

/* Of the members' scores: a mean and squares, for two members or more. */
static int matrices_of_spread(const struct tess_predicted *model)
{
    return model->model.n_members > 1 ? 2 : 0;
}

/* Before rows are predicted: values, what is completed, the model with the rows that it keeps,
 * values on their way, and the members' scores so far. */
static void say_completing(const struct tess_effects *effects, const struct tess_predicted *model,
                           const struct tess_regulation_options *options)
{
    double n = (double)effects->n, rows = (double)effects->n_rows,
           pairs = (double)effects->regulator.n * n;
    int64_t at_once =
        effects->n_completed < TESS_EFFECTS_ROWS ? effects->n_completed : TESS_EFFECTS_ROWS;
    double bytes = bytes_of(pairs, matrices_of_spread(model), rows * n) +
                   (double)effects->n_completed * n * sizeof(double) +
                   tess_predicted_bytes(model, at_once, effects->n);

    tess_info("%s: %" PRId64 " rows are predicted by %s; meanwhile about %.1f MB a rank",
              options->input, effects->n_completed, options->complete, bytes / 1e6);
}

/* In units of the noise, with what a model completes: by a member, or by all; of a model in place
 * of an input a member's, or the mean's. Collective. */
static int read_effects(const struct inference *inference, int member, struct tess_effects *effects,
                        struct tess_error *error)
{
    const struct tess_regulation_options *options = inference->options;
    const struct tess_predicted *model = &inference->predicted;

    if (inference->is_model)
        tess_effects_predict(effects, options, model, member, error);
    else
        tess_effects_read(effects, options, options->complete ? model : NULL, error);
    if (error->code == TESS_OK && options->method != TESS_BY_PARTIAL &&
        tess_effects_standardise(effects, options->input, error) == TESS_OK && options->complete) {
        say_completing(effects, model, options);
        tess_effects_complete(effects, model, options->context, member, error);
    }
    return error->code;
}

static int weigh(const struct inference *inference, int member, struct tess_effects *effects,
                 struct tess_evidence *evidence, struct tess_error *error)
{
    const struct tess_regulation_options *options = inference->options;
    int n_spread = matrices_of_spread(&inference->predicted); /* 0 without a model */

    if (read_effects(inference, member, effects, error) != TESS_OK)
        return error->code;
    if (options->method == TESS_BY_PARTIAL) {
        say_effects(evidence, effects, options, n_spread);
        return tess_relative_partial(evidence, effects, options->input, error);
    }
    if (tess_evidence_combine(evidence, effects, error) != TESS_OK)
        return error->code;
    say_effects(evidence, effects, options, n_spread);
    if (options->method == TESS_BY_EFFECT)
        return TESS_OK;
    if (options->method == TESS_BY_CORRELATION)
        return tess_evidence_correlate(evidence, error);
    if (options->method == TESS_BY_DIRECT)
        return tess_relative_direct(evidence, options->input, error);
    if (options->method == TESS_BY_INSPRE)
        return tess_relative_sparse(evidence, options->input, error);
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

/* One inference of each member, whose scores go into the spread. Collective. */
static int weigh_members(struct inference *inference, MPI_Comm comm, struct tess_error *error)
{
    int n = inference->predicted.model.n_members; /* 0 without a model */

    if (n > 1)
        tess_info("the network is inferred up to %d times: of each member, and of all together",
                  n + 1);
    for (int member = 0; n > 1 && member < n && error->code == TESS_OK; member++) {
        struct tess_effects effects = {.comm = comm};
        struct tess_evidence evidence = {.z = NULL};

        tess_info("member %d of %d", member + 1, n);
        if (weigh(inference, member, &effects, &evidence, error) == TESS_OK)
            spread_add(&inference->spread, &evidence, inference->options->method, error);
        if (inference->options->complete && effects.n_completed == 0)
            n = 0; /* the model adds nothing: its members say the same */
        tess_evidence_release(&evidence);
        tess_effects_release(&effects);
    }
    if (n > 1 && error->code == TESS_OK)
        tess_info("the members together");
    return error->code;
}

/* Is the input a model; which is opened, as is one that completes. Collective. */
static int open_model(struct inference *inference, MPI_Comm comm, struct tess_error *error)
{
    const struct tess_regulation_options *options = inference->options;
    int rank;

    MPI_Comm_rank(comm, &rank);
    if (rank == 0)
        inference->is_model = tess_predicted_is(options->input);
    MPI_Bcast(&inference->is_model, 1, MPI_INT, 0, comm);
    if (inference->is_model && options->complete)
        return tess_error_set(error, TESS_EUSAGE,
                              "--complete: %s is a model itself, and predicts every perturbation "
                              "that it knows",
                              options->input);
    if (inference->is_model || options->complete)
        tess_predicted_open(&inference->predicted,
                            inference->is_model ? options->input : options->complete, comm, error);
    return error->code;
}

static void write_table(const struct inference *inference, const struct tess_effects *effects,
                        const struct tess_edges *edges, struct tess_sheet *sheet,
                        struct tess_error *error)
{
    if (edges->n == 0) {
        tess_error_set(error, TESS_EDATA, "%s: there is no edge: %s", inference->options->input,
                       inference->options->method == TESS_BY_CORRELATION
                           ? "none of the perturbed genes is read out, as --method correlation "
                             "needs; use --method effect"
                           : "no pair of a perturbed gene and another readout was measured");
        return;
    }
    write_edges(sheet, effects, inference, edges);
    if (tess_sheet_finish(sheet, error) == TESS_OK)
        tess_info("%s: %" PRId64 " edges", inference->options->output, edges->n);
}

int tess_regulation_infer(const struct tess_regulation_options *options, MPI_Comm comm,
                          struct tess_error *error)
{
    struct inference inference = {.options = options};
    struct tess_effects effects = {.comm = comm};
    struct tess_evidence evidence = {.z = NULL};
    struct tess_edges edges = {.most = options->n_edges};
    struct tess_sheet sheet = {.path = NULL};
    int rank;

    MPI_Comm_rank(comm, &rank);
    if (rank == 0)
        tess_sheet_open(&sheet, options->output, options->force, error);
    if (tess_agree(comm, error) == TESS_OK && open_model(&inference, comm, error) == TESS_OK &&
        weigh_members(&inference, comm, error) == TESS_OK &&
        weigh(&inference, inference.predicted.model.n_members, &effects, &evidence, error) ==
            TESS_OK &&
        collect(&evidence, options->method, &inference.spread, &edges, error) == TESS_OK) {
        tess_edges_gather(&edges, comm);
        if (rank == 0)
            write_table(&inference, &effects, &edges, &sheet, error);
        tess_agree(comm, error);
    }
    tess_sheet_release(&sheet);
    tess_edges_release(&edges);
    tess_evidence_release(&evidence);
    tess_effects_release(&effects);
    tess_free(inference.spread.mean);
    tess_free(inference.spread.squares);
    tess_predicted_release(&inference.predicted);
    return error->code;
}
