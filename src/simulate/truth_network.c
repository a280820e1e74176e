/* truth_network.c -- a sparse causal network and its steady states; formulas in simulate.h. */
#include "truth_network.h"

#include "tessera/alloc.h"
#include "tessera/commit.h"
#include "tessera/error.h"
#include "tessera/sets.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FEEDBACK   0.05 /* share of regulators that may stand anywhere in the causal order */
#define WEIGHT_SUM 0.9 /* bound of a gene's absolute incoming weights */
#define MAX_DEGREE 64
#define SETTLED    1e-12
#define MAX_SWEEPS 2000

/* Which genes are perturbed: a random part of them, in order. */
static void choose_targets(struct network *network, const struct tess_simulate *simulate)
{
    int64_t *all = TESS_NEW(int64_t, network->n_genes);

    for (int64_t i = 0; i < network->n_genes; i++)
        all[i] = i;
    tess_random_permute(part_stream(simulate, PART_TARGET), network->n_genes, all);
    network->n_targets = simulate->n_perturbations;
    network->target = TESS_NEW(int64_t, network->n_targets);
    memcpy(network->target, all, (size_t)network->n_targets * sizeof *all);
    tess_set_tidy(network->n_targets, network->target);
    tess_free(all);
}

/* Regulators of the gene at `place` of the causal order, distinct and ascending. Early genes are
 * chosen more often (the square of a uniform number): they become hubs. */
static int choose_regulators(const struct network *network, const struct tess_simulate *simulate,
                             int64_t place, int64_t *out)
{
    struct tess_random stream = part_stream(simulate, PART_EDGE);
    uint64_t at = (uint64_t)place * 4 * MAX_DEGREE;
    double mean = simulate->degree, u = tess_random_uniform(stream, at++);
    int wanted = (int)(2 * mean * u + 0.5), n = 0; /* 0 … 2 mean, evenly */

    if (place == 0)
        wanted = 0;
    for (int i = 0; i < wanted && n < MAX_DEGREE; i++) {
        double v = tess_random_uniform(stream, at++);
        int64_t any = (int64_t)(v * (double)network->n_genes);
        int64_t upstream = (int64_t)(v * v * (double)place);
        int64_t gene =
            network->order[tess_random_uniform(stream, at++) < FEEDBACK ? any : upstream];
        int known = gene == network->order[place];

        for (int k = 0; k < n; k++)
            known |= out[k] == gene;
        if (!known)
            out[n++] = gene;
    }
    return (int)tess_set_tidy(n, out);
}

/* Between 0.5 and 1, either sign; scaled down where a gene's sum could exceed the bound. */
static void weigh(struct network *network, const struct tess_simulate *simulate, int64_t gene)
{
    struct tess_random stream = part_stream(simulate, PART_WEIGHT);
    /* vary() makes a weight up to 1 + interaction / 2 times larger: the bound holds after it. */
    double bound = WEIGHT_SUM / (1 + simulate->interaction / 2), sum = 0;

    for (int64_t e = network->first[gene]; e < network->first[gene + 1]; e++) {
        uint64_t at = (uint64_t)(gene * network->n_genes + network->regulator[e]);
        double u = tess_random_uniform(stream, at);

        network->weight[e] = u < 0.5 ? 0.5 + u : -u;
        sum += fabs(network->weight[e]);
    }
    for (int64_t e = network->first[gene]; e < network->first[gene + 1] && sum > bound; e++)
        network->weight[e] *= bound / sum;
}

/* Every edge's weight in every context. */
static void vary(struct network *network, const struct tess_simulate *simulate)
{
    struct tess_random stream = part_stream(simulate, PART_WEIGHT_CONTEXT);
    int64_t n_edges = network->first[network->n_genes];

    network->weight_in = TESS_NEW(double, simulate->n_contexts *n_edges);
    for (int64_t i = 0; i < simulate->n_contexts * n_edges; i++)
        network->weight_in[i] =
            network->weight[i % n_edges] *
            (1 + simulate->interaction * (tess_random_uniform(stream, (uint64_t)i) - 0.5));
}

/* Random numbers go by a gene's place in the causal order (its regulators) or by both genes'
 * numbers (a weight), so that no draw depends on how many there were before. */
void tess_truth_network_init(struct network *network, const struct tess_simulate *simulate)
{
    int64_t n = simulate->n_readouts, chosen[MAX_DEGREE];
    int64_t *place = TESS_NEW(int64_t, n);
    size_t room = 0;

    *network = (struct network){
        .n_genes = n, .order = TESS_NEW(int64_t, n), .first = TESS_NEW(int64_t, n + 1)};
    for (int64_t i = 0; i < n; i++)
        network->order[i] = i;
    tess_random_permute(part_stream(simulate, PART_ORDER), n, network->order);
    for (int64_t i = 0; i < n; i++)
        place[network->order[i]] = i;
    for (int64_t gene = 0; gene < n; gene++) {
        int64_t at = network->first[gene];
        int n_chosen = choose_regulators(network, simulate, place[gene], chosen);

        network->first[gene + 1] = at + n_chosen;
        network->regulator = tess_grow(network->regulator, &room, (size_t)(at + n_chosen) + 1,
                                       sizeof network->regulator[0]);
        memcpy(network->regulator + at, chosen, (size_t)n_chosen * sizeof *chosen);
    }
    network->weight = TESS_NEW(double, network->first[n]);
    for (int64_t gene = 0; gene < n; gene++)
        weigh(network, simulate, gene);
    vary(network, simulate);
    choose_targets(network, simulate);
    tess_free(place);
}

void tess_truth_network_release(struct network *network)
{
    tess_free(network->order);
    tess_free(network->first);
    tess_free(network->regulator);
    tess_free(network->weight);
    tess_free(network->weight_in);
    tess_free(network->target);
    *network = (struct network){0};
}

/* Gauss-Seidel in causal order: without feedback the first sweep is exact. With it sweeps converge,
 * since |f'| <= 1 and a gene's absolute weights sum to less than 1. */
void tess_truth_network_solve(const struct network *network, const struct tess_simulate *simulate,
                              const struct network_input *given, double *out)
{
    struct tess_random strength = part_stream(simulate, PART_SHIFT);
    double bent = simulate->nonlinearity, moved = INFINITY;
    const double *weight = network->weight_in + given->context * network->first[network->n_genes];
    double *input = TESS_NEW(double, network->n_genes);

    memcpy(input, out, (size_t)network->n_genes * sizeof *out); /* the baseline */
    for (int64_t i = 0; given->noise && i < network->n_genes; i++)
        input[i] += given->noise[i];
    for (int i = 0; i < given->n_members; i++)
        input[network->target[given->member[i]]] -=
            simulate->effect *
            (0.75 + 0.5 * tess_random_uniform(strength, (uint64_t)given->member[i]));
    for (int sweep = 0; sweep < MAX_SWEEPS && moved > SETTLED; sweep++) {
        moved = 0;
        for (int64_t i = 0; i < network->n_genes; i++) {
            int64_t gene = network->order[i];
            double x = input[gene];

            for (int64_t e = network->first[gene]; e < network->first[gene + 1]; e++)
                x += weight[e] * tess_truth_network_bend(out[network->regulator[e]], bent);
            moved = fmax(moved, fabs(x - out[gene]));
            out[gene] = x;
        }
    }
    tess_free(input);
}

static int print_edges(const struct network *network, FILE *file, const char *const *gene)
{
    int bad = fprintf(file, "regulator\ttarget\tweight\n") < 0;

    for (int64_t i = 0; i < network->n_genes; i++)
        for (int64_t e = network->first[i]; e < network->first[i + 1]; e++)
            bad |= fprintf(file, "%s\t%s\t%.17g\n", gene[network->regulator[e]], gene[i],
                           network->weight[e]) < 0;
    return bad;
}

int tess_truth_network_write_gold(const struct network *network, const char *path,
                                  const char *const *gene, struct tess_error *error)
{
    struct tess_commit commit = {0};
    FILE *file;
    int bad;

    if (tess_commit_open(&commit, path, error) == TESS_OK) {
        file = fopen(commit.aside, "w");
        bad = !file || print_edges(network, file, gene);
        bad = (file && fclose(file) != 0) || bad;
        if (bad)
            tess_error_set(error, TESS_EIO, "%s: cannot write: %s", path, strerror(errno));
    }
    if (error->code == TESS_OK)
        return tess_commit_finish(&commit, error);
    tess_commit_release(&commit);
    return error->code;
}
