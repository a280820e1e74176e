/* joint.h -- one space for the vectors of all members: the principal components of them side by
 * side, each member scaled to one variance. Local to the folder. */
#ifndef JOINT_H
#define JOINT_H

#include "vectors.h"

#include "tessera/pca.h"

struct tess_joint {
    int64_t n_trained;
    int64_t *trained; /* (n_trained) the rows that were trained, ascending; own */
    double *scale; /* (members) what their numbers are multiplied by; own */
    struct tess_pca pca; /* k is 0 if two rows are not there */
};

/* From the rows that `trained` (n) marks: the others hold what they were initialised with. At most
 * k components; TESS_EUSAGE never. To be released in either case. Collective over comm. */
int tess_joint_init(struct tess_joint *joint, const struct tess_vectors *vectors,
                    const uint8_t *trained, int64_t k, MPI_Comm comm, struct tess_error *error);
/* Of n vectors, where they lie: out (n, k), the last columns 0 if the joint space has fewer. Local.
 */
void tess_joint_project(const struct tess_joint *joint, const struct tess_vectors *vectors,
                        int64_t n, const float *x, int64_t k, float *out);
void tess_joint_release(struct tess_joint *joint);

#endif
