/* lanes.h -- lanes on ranks, and the sum over lanes along one fixed binary tree.
 *
 * Node (k, j) of the tree covers lanes [j 2^k, (j + 1) 2^k), cut at the number of lanes; a node's
 * sum is its left child's plus its right child's. Which rank holds which lanes changes who adds,
 * never what is added to what, so the bits do not depend on it. Local but for tess_lanes_reduce. */
#ifndef TESSERA_LANES_H
#define TESSERA_LANES_H

#include <mpi.h>
#include <stdint.h>

struct tess_error;

struct tess_lanes {
    MPI_Comm comm; /* borrowed */
    int rank, n_ranks;
    int n; /* lanes */
    int *first; /* (n_ranks + 1) a rank's lanes are contiguous; own */
    /* Roots: the largest nodes that lie in one rank's lanes, in lane order. */
    int n_roots;
    int *root, *level; /* (n_roots) first lane and k of each; own */
    int *root_first; /* (n_ranks + 1) a rank's roots; own */
    float *buffer; /* for the reduction; own */
    int64_t room;
    /* This rank's sums in the making. */
    int64_t size; /* floats of a gradient */
    int top; /* levels that are climbed as lanes finish */
    float **sum; /* (own lanes) a node's sum, by its first lane, or NULL; own */
    int *sum_level; /* (own lanes) that node's k; own */
    float **spare; /* (own lanes) buffers nobody uses; own */
    int n_spare, n_buffers; /* of them; of all */
};

/* Local. TESS_ECONFIG, naming train.lanes, if there are more ranks than lanes. */
int tess_lanes_init(struct tess_lanes *lanes, MPI_Comm comm, int n, struct tess_error *error);
/* The same for any rank of any number, to see who would hold what: nothing can be reduced. */
int tess_lanes_divide(struct tess_lanes *lanes, int n, int rank, int n_ranks,
                      struct tess_error *error);
void tess_lanes_release(struct tess_lanes *lanes);

/* Buffers for gradients of `size` floats that `threads` threads compute. TESS_EOS. Local. */
int tess_lanes_reserve(struct tess_lanes *lanes, int64_t size, int threads,
                       struct tess_error *error);
/* How many buffers that takes for so many lanes of a rank. */
int tess_lanes_buffers(int n, int threads);
/* A buffer (size) for a lane's gradient; what is in it means nothing. Any thread. */
float *tess_lanes_take(struct tess_lanes *lanes);
/* The gradient of this rank's lane-th lane is in a taken buffer: it is added to what it belongs to
 * while it is in the caches. Any thread, any order of lanes. */
void tess_lanes_give(struct tess_lanes *lanes, int lane, float *gradient);

/* The sums over all lanes, once each was given. slice (n_ranks + 1): who gets which floats; out:
 * this rank's slice, of less than 2^31 floats. Uses OpenMP's threads. Collective over comm. */
void tess_lanes_reduce(struct tess_lanes *lanes, const int64_t *slice, float *out);

#endif
