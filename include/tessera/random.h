/* random.h -- counter-based random numbers (Philox4x32-10 of Random123; Salmon et al., SC'11).
 *
 * There is no generator state: number i of a stream is a pure function of (seed, purpose, a, i), so
 * any rank or thread can make any number, and nothing needs saving. Local, pure. */
#ifndef TESSERA_RANDOM_H
#define TESSERA_RANDOM_H

#include <stdint.h>

/* What a stream is for. Append only: the values are part of what a seed means. */
enum tess_random_purpose {
    TESS_RANDOM_TEST,
    TESS_RANDOM_INIT, /* a = table, or TESS_N_TABLES for the MLP */
    TESS_RANDOM_SCHEDULE, /* a = epoch << 32 | lane << 4 | what is shuffled */
    TESS_RANDOM_DROPOUT, /* a = step; lane, layer and place are within the stream (fused.h) */
    TESS_RANDOM_SPLIT, /* a = hash of the context's name ("": of none) with the rule as seed */
    TESS_RANDOM_HALVING, /* a = experiment << 16 | halving, of the noise ceiling */
    TESS_RANDOM_BOOTSTRAP, /* a = sample << 32 | resample */
    TESS_RANDOM_SIMULATE, /* a = which part of the truth */
    /* a = hash of the experiment's components, context and split: replicates to folds while
       importing */
    TESS_RANDOM_FOLD,
    TESS_RANDOM_SKETCH, /* a = 0: random subspaces of factorisations */
    TESS_RANDOM_HIDE, /* a = fold: which effects a sparse inverse is fitted without */
    TESS_RANDOM_HALF, /* a = 0: which half of a file a row belongs to; the seed is 0 */
    TESS_RANDOM_PAIRS, /* a = what for: pairs of genes, of a random network or without an edge */
    TESS_RANDOM_SWEEP, /* a = hash of the setting's name: its values in the trials of a sweep */
};

struct tess_random {
    uint32_t key[2];
};

/* The stream of (seed, purpose, a). Local, cheap. */
struct tess_random tess_random_stream(uint64_t seed, enum tess_random_purpose purpose, uint64_t a);

/* Block (i, j) of the stream: 128 random bits. */
void tess_random_block(struct tess_random stream, uint64_t i, uint64_t j, uint32_t out[4]);

/* Number i of the stream. All of these: local, pure. */
double tess_random_uniform(struct tess_random stream, uint64_t i); /* [0, 1), 53 bits */
double tess_random_normal(struct tess_random stream, uint64_t i); /* N(0, 1) */
int64_t tess_random_below(struct tess_random stream, uint64_t i, int64_t n); /* [0, n) */

/* order[0..n) becomes a random permutation of itself (Fisher-Yates). */
void tess_random_permute(struct tess_random stream, int64_t n, int64_t *order);

#endif
