/* deviation.h -- deviation.json of a run with several members: the scale and the noise
 * (calibration.h) that make the deviation of its members right.
 *
 * They are fitted once, at the end of a training, on the validation values, and kept in the run
 * directory (docs/formats.md, "deviation.json"); whoever predicts takes them from there. What
 * members are blended with changes how far they are apart, so there is a fit for each way of
 * predicting. */
#ifndef TESSERA_DEVIATION_H
#define TESSERA_DEVIATION_H

#include "tessera/calibration.h"

#include <jansson.h>
#include <mpi.h>
#include <stdint.h>

struct tess_blender;
struct tess_error;

#define TESS_DEVIATION_FORMAT "tessera-deviation 1"

struct tess_deviation_fit {
    uint64_t blend_hash; /* of what each member is blended with */
    struct tess_calibration calibration;
    double rank_correlation; /* on the validation values; NaN: undefined */
    struct tess_coverage raw, calibrated; /* the same */
};

enum { TESS_DEVIATION_FITS = 2 }; /* as --blend auto, and off */

struct tess_deviation_file {
    uint64_t model_hash, store_hash, split_hash; /* what it belongs to; the ensemble's hash */
    int64_t n_members, n_experiments, n_values; /* of validation */
    int n_fits;
    struct tess_deviation_fit fit[TESS_DEVIATION_FITS];
};

/* Of what the blender predicts with now. Local. */
uint64_t tess_deviation_blend_hash(const struct tess_blender *blender);
/* The file of a run directory, appearing whole. Local. */
int tess_deviation_write(const char *directory, const struct tess_deviation_file *file,
                         struct tess_error *error);
/* TESS_EDATA naming what is wrong; *there = 0, and no error, if there is no such file. Local. */
int tess_deviation_read(const char *directory, struct tess_deviation_file *file, int *there,
                        struct tess_error *error);
/* As it is written; own of the caller. Local. */
json_t *tess_deviation_json(const struct tess_deviation_file *file);
/* The calibration of the ensemble that the blender predicts with, from the run that has its
 * members, whether that or they were named. Returns NULL, or why there is none. Collective over
 * comm. */
const char *tess_deviation_find(const struct tess_blender *blender, MPI_Comm comm,
                                struct tess_calibration *calibration);

#endif
