/* simulate.h -- synthetic perturbation data with a known answer, of any size.
 *
 * Every number is a pure function of (seed, place), so any rank makes any row and the files are the
 * same bits on any number of ranks; rows stream through blocks of bounded size.
 *
 * The low-rank truth (p perturbation, r readout, c context; all factors N(0,1), but that the first
 * of each perturbation's K has mean 1, so that a context has a response common to all):
 *     x[control, r, c] = base[r, c]
 *     x[p, r, c] = base[r, c] + effect * f(a[p, r] + interaction * b[p, r, c])
 *     a = sum_k u[p, k] v[r, k] / sqrt(K)       b = sum_k u'[p, k] w[c, k] v'[r, k] / sqrt(K)
 *     x[A + B, r, c] = base + effect * f(a and b of both + epistasis * e[{A, B}, r])
 *         and, at a's u of both, + synergy * sum_{i < j} u[i, k] u[j, k] over the components
 *     f(x) = (1 - nonlinearity) x + nonlinearity tanh(x): effects that saturate
 * With mechanisms the first perturbations are compounds, the others knock-outs; a compound's
 * factors are those of a knock-out × strength (0.5 … 1.5) + off_target × factors of its own
 * (N(0,1)). The network (genes are perturbations and readouts): the steady state of x = B_c f(x) +
 * b_c + shift where a perturbation shifts its own gene down by effect * (0.75 … 1.25). */
#ifndef TESSERA_SIMULATE_H
#define TESSERA_SIMULATE_H

#include "tessera/text.h"

#include <mpi.h>
#include <stddef.h>
#include <stdint.h>

struct tess_error;

struct tess_simulate {
    const char *output; /* a kind of file (writer.h), else a store. Borrowed */
    const char *truth; /* or NULL: noise-free values (writer.h). Borrowed */
    const char *gold; /* or NULL: the network's edges, TSV. Borrowed */
    const char *pairs; /* or NULL: which compound acts through which knock-out, TSV. Borrowed */
    const char *command; /* or NULL: for uns/provenance. Borrowed */
    struct tess_strings
        split_target; /* contexts with held-out experiments; "none"; empty: the last */
    int network;
    int64_t n_perturbations, n_readouts, n_contexts;
    int64_t n_mechanisms; /* perturbations that are compounds */
    int64_t n_combinations, order; /* sets of 2 … order perturbations, in turn */
    int64_t n_replicates, n_controls;
    int64_t n_cells; /* of an experiment; 0: rows are profiles, not cells */
    int64_t rank, seed;
    double off_target; /* size of a compound's own part */
    double synergy; /* of combinations, from the factors of their components */
    double effect, interaction, epistasis, noise; /* effect, noise: NaN is "as fits the kind" */
    double sparsity, missing, panel_fraction; /* shares */
    double nonlinearity; /* share of tanh in f */
    double degree; /* network */
    double depth, dispersion; /* cells: mean counts; variance = m + dispersion m² */
};

/* The settings that are numbers, for the command line and for the record in the file. */
struct tess_simulate_field {
    const char *name; /* of the option */
    int is_real;
    size_t offset; /* in struct tess_simulate */
    double low, high;
};
extern const struct tess_simulate_field tess_simulate_fields[];
extern const int tess_n_simulate_fields;

void tess_simulate_init(struct tess_simulate *simulate); /* the defaults */
void tess_simulate_release(struct tess_simulate *simulate);
/* Settings that contradict each other: TESS_EUSAGE naming the option. Fills in what is NaN. Local.
 */
int tess_simulate_check(struct tess_simulate *simulate, struct tess_error *error);
/* Makes the files. Collective over comm. */
int tess_simulate_write(const struct tess_simulate *simulate, MPI_Comm comm,
                        struct tess_error *error);

#endif
