/* truth.c -- the low-rank truth; formulas in simulate.h. */
#include "truth.h"

#include "mechanism.h"

#include "tessera/alloc.h"

#include <math.h>
#include <string.h>
#include <xxhash.h>

#define BASE_MEAN    1.0 /* of expression on the log scale */
#define BASE_SD      1.0 /* between readouts */
#define BASE_CONTEXT 0.5 /* of a readout between contexts */

static double *normals(const struct tess_simulate *simulate, enum part part, int64_t n)
{
    struct tess_random stream = part_stream(simulate, part);
    double *x = TESS_NEW(double, n);

    for (int64_t i = 0; i < n; i++)
        x[i] = tess_random_normal(stream, (uint64_t)i);
    return x;
}

static void init_base(struct truth *truth)
{
    double *common = normals(truth->simulate, PART_BASE, truth->n_readouts);

    truth->base =
        normals(truth->simulate, PART_BASE_CONTEXT, truth->n_contexts * truth->n_readouts);
    for (int64_t i = 0; i < truth->n_contexts * truth->n_readouts; i++)
        truth->base[i] =
            BASE_MEAN + BASE_SD * common[i % truth->n_readouts] + BASE_CONTEXT * truth->base[i];
    tess_free(common);
}

void tess_truth_init(struct truth *truth, const struct tess_simulate *simulate)
{
    int64_t rank = simulate->rank;

    *truth = (struct truth){.simulate = simulate,
                            .n_readouts = simulate->n_readouts,
                            .n_contexts = simulate->n_contexts};
    init_base(truth);
    if (simulate->network) {
        tess_truth_network_init(&truth->network, simulate);
        return;
    }
    truth->v = normals(simulate, PART_V, truth->n_readouts * rank);
    truth->v_mixed = normals(simulate, PART_V_MIXED, truth->n_readouts * rank);
    truth->w_mixed = normals(simulate, PART_W_MIXED, truth->n_contexts * rank);
    truth->scratch = TESS_NEW(double, 2 * rank);
}

void tess_truth_release(struct truth *truth)
{
    tess_truth_network_release(&truth->network);
    tess_free(truth->base);
    tess_free(truth->v);
    tess_free(truth->v_mixed);
    tess_free(truth->w_mixed);
    tess_free(truth->scratch);
    *truth = (struct truth){0};
}

/* Factor k of a perturbation; `both`: its mean. */
static double factor_of(const struct tess_simulate *simulate, struct tess_random stream,
                        int64_t member, int64_t k, double both)
{
    struct tess_mechanism mechanism = tess_mechanism_of(simulate, member);
    uint64_t at = (uint64_t)(member * simulate->rank + k);

    if (mechanism.through < 0)
        return both + tess_random_normal(stream, at);
    return mechanism.strength * factor_of(simulate, stream, mechanism.through, k, both) +
           simulate->off_target * tess_random_normal(stream, at);
}

/* The factors of a set of perturbations: `plain` multiplies v, `mixed` v'. */
static void add_factors(const struct truth *truth, int n_members, const int64_t *member,
                        int64_t context, double *plain, double *mixed)
{
    const struct tess_simulate *simulate = truth->simulate;
    struct tess_random u = part_stream(simulate, PART_U),
                       u_mixed = part_stream(simulate, PART_U_MIXED),
                       e = part_stream(simulate, PART_EPISTASIS);
    uint64_t set = XXH3_64bits(member, (size_t)n_members * sizeof *member);

    for (int64_t k = 0; k < simulate->rank; k++) {
        double both = k == 0 ? 1 : 0, together = 0;

        plain[k] = mixed[k] = 0;
        for (int i = 0; i < n_members; i++) {
            double factor = factor_of(simulate, u, member[i], k, both);

            together += factor * plain[k]; /* with each before it */
            plain[k] += factor;
            mixed[k] += factor_of(simulate, u_mixed, member[i], k, both);
        }
        if (n_members > 1)
            plain[k] += simulate->epistasis * tess_random_normal(e, set + (uint64_t)k);
        if (simulate->synergy != 0)
            plain[k] += simulate->synergy * together;
        mixed[k] *= simulate->interaction * truth->w_mixed[context * simulate->rank + k];
    }
}

static void low_rank_row(const struct truth *truth, int n_members, const int64_t *member,
                         int64_t context, double *out)
{
    int64_t rank = truth->simulate->rank;
    double *plain = truth->scratch, *mixed = plain + rank;
    double effect = truth->simulate->effect, scale = 1 / sqrt((double)rank);
    double bent = truth->simulate->nonlinearity;

    if (n_members == 0)
        return;
    add_factors(truth, n_members, member, context, plain, mixed);
    for (int64_t r = 0; r < truth->n_readouts; r++) {
        const double *v = truth->v + r * rank, *v_mixed = truth->v_mixed + r * rank;
        double change = 0;

        for (int64_t k = 0; k < rank; k++)
            change += plain[k] * v[k] + mixed[k] * v_mixed[k];
        out[r] += effect * tess_truth_network_bend(scale * change, bent);
    }
}

void tess_truth_row(const struct truth *truth, int n_members, const int64_t *member,
                    int64_t context, const double *noise, double *out)
{
    memcpy(out, truth->base + context * truth->n_readouts, (size_t)truth->n_readouts * sizeof *out);
    if (truth->simulate->network) {
        struct network_input given = {n_members, member, context, noise};

        tess_truth_network_solve(&truth->network, truth->simulate, &given, out);
        return;
    }
    low_rank_row(truth, n_members, member, context, out);
    for (int64_t r = 0; noise && r < truth->n_readouts; r++)
        out[r] += noise[r];
}
