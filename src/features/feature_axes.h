/* feature_axes.h -- standardised numbers to coordinates on their principal axes. Local. */
#ifndef FEATURE_AXES_H
#define FEATURE_AXES_H

#include <stdint.h>

struct tess_error;

#define TESS_FEATURE_AXES_MOST 20000 /* rows or columns: products of 3.2 GB */

struct tess_feature_matrix {
    const char *path; /* for sentences; borrowed */
    int64_t m, columns;
    const double *x; /* (m, columns) borrowed */
};

/* x, each column with mean 0, to out (m, axes): coordinates on the leading principal
 * axes, those that there are not 0; a row's squares sum up to 1 on the mean if all axes are there.
 * Of equal signs of an axis that is taken whose largest coordinate is positive. TESS_EDATA if there
 * are more rows and columns than can be taken apart. */
int tess_feature_axes(const struct tess_feature_matrix *matrix, int64_t axes, double *out,
                      struct tess_error *error);

#endif
