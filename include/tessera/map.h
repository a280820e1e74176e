/* map.h -- where a model's perturbations lie: the two leading principal components of their
 * effective vectors, the members of an ensemble in one space (joint.h). Local: one rank's work, so
 * that its numbers do not depend on how many there are. */
#ifndef TESSERA_MAP_H
#define TESSERA_MAP_H

#include <stdint.h>

struct tess_error;
struct tess_model;

#define TESS_MAP_AXES 2

struct tess_map {
    int64_t n; /* trained perturbations */
    int64_t *number; /* (n) of the model, ascending; own */
    float *place; /* (n, TESS_MAP_AXES) 0 on an axis that there is not; own */
    double share[TESS_MAP_AXES]; /* of the variance, along each axis */
};

/* TESS_EDATA if a checkpoint cannot be read. To be released in either case. */
int tess_map_make(struct tess_map *map, const struct tess_model *model, struct tess_error *error);
void tess_map_release(struct tess_map *map);

#endif
