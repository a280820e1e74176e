/* screen.h -- perturbations ranked by the change that a model predicts of some readouts.
 *
 * The change of a readout is its predicted value less that of the context's control, of each member
 * by itself; a model that knows no control has learned changes already, and its values are taken
 * as they are. With the signature's weights w and changes d over its readouts a perturbation's
 * score in a context is
 *     sum:     sum_k w_k d_k / sum_k |w_k|      in the store's units
 *     cosine:  sum_k w_k d_k / (|w| |d|)        -1 to 1; 0 where nothing changes
 * and over contexts its mean. Single readouts have the weight 1. Members of an ensemble have scores
 * of their own: what is ranked is their mean.
 *
 * What to measure next: the best `hits` of a context, by predicted score, are what a screen decides
 * on. The score of an experiment that nobody ran lies, as far as the members know, around their
 * mean with their standard deviation sd; with t half-way between the last hit and the first that is
 * none, and z = |mean - t| / sd, measuring it gains
 *     sd (phi(z) - z Phi(-z))
 * on average over deciding by the mean: the expected value of perfect information about a choice
 * between two (Raiffa and Schlaifer, 1961). It is large where members disagree about a perturbation
 * that might be a hit, and nothing where the decision is clear. */
#ifndef TESSERA_SCREEN_H
#define TESSERA_SCREEN_H

#include "tessera/blend.h"
#include "tessera/text.h"

#include <mpi.h>
#include <stdint.h>

struct tess_error;

#define TESS_SCREEN_PAIRS 1000000 /* of all pairs: how many are kept if nobody says */

struct tess_screen {
    int n_models; /* more than one: an ensemble, with standard deviations */
    char *const *model; /* run directories or checkpoints. Borrowed */
    const char *output; /* as sheet.h has it, or *.h5ad; or NULL: `text`. Borrowed */
    char **text; /* the table in memory, rank 0's; own of the caller (free). Borrowed */
    const char *store; /* or NULL: the one that the model was trained on. Borrowed */
    struct tess_strings readout; /* with weight 1; empty: the signature says. Own */
    const char *signature; /* a file of readouts and weights, or NULL. Borrowed */
    struct tess_strings context, perturbation; /* empty: all trained. Own */
    const char *type; /* only perturbations all of whose components are of it, or NULL. Borrowed */
    const char *pairs; /* a file of pairs in place of perturbations, or NULL. Borrowed */
    int all_pairs; /* in place of the perturbations all pairs of them */
    int cosine; /* the score; 0: sum */
    int down; /* the most negative scores come first */
    int64_t top; /* only so many are written; 0: all, of all_pairs TESS_SCREEN_PAIRS */
    int64_t next; /* experiments that nobody ran, best first, in place of the table; 0: the table */
    int64_t hits; /* of a context, for `next`; 0: a tenth of what is screened */
    enum tess_blend_choice blend;
    int precision; /* enum tess_precision */
    int force; /* an output that exists may be replaced */
    int64_t threads; /* of a rank; 0: as OMP_NUM_THREADS says, else 1 */
    const char *command; /* for uns. Borrowed */
};

void tess_screen_release(struct tess_screen *screen); /* local */
/* TESS_EUSAGE if the output is missing or has another ending, or if readouts and signature are both
 * given or both missing. Local. */
int tess_screen_check(const struct tess_screen *screen, struct tess_error *error);
/* Ranks share the perturbations; rank 0 writes the table, which appears whole or not at all and has
 * the same bytes on any number of ranks. A .h5ad has the table's columns in obs, and as X and layer
 * std (several models) the score in each context and its deviation. Of all pairs only the best are
 * kept. TESS_EDATA for unknown symbols and a signature that is
 * none, TESS_ECREATE for an output that is there already. Collective over comm. */
int tess_screen_run(const struct tess_screen *screen, MPI_Comm comm, struct tess_error *error);

#endif
