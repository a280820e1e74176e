/* calibration.h -- how good a predicted deviation is, and the two numbers that make it right.
 *
 * A value measured where an ensemble predicts with the deviation d of its members is taken to have
 * an error e, measured less predicted, that is normal about 0 with the variance
 *
 *     v = s² d² + n²
 *
 * s makes up for what members have in common (the data, the kind, the blend) and so do not show; n
 * is the deviation of the noise, which no member shows: that of measuring and what the symbols do
 * not tell. It comes from the residuals, as most stores have no replicates, and as those of one
 * batch would not show all of it. Both have the largest likelihood on validation values: they
 * minimise Σ ln v + e²/v. A variance of two such parts: Kendall and Gal (2017), "What
 * Uncertainties Do We Need in Bayesian Deep Learning for Computer Vision?", section 2; one scale
 * fitted on held-out data: Laves et al. (2020), "Well-calibrated Regression Uncertainty in Medical
 * Imaging with Deep Learning", section 2.3. An interval is the prediction ± z √v, with the standard
 * normal's z. Local. */
#ifndef TESSERA_CALIBRATION_H
#define TESSERA_CALIBRATION_H

#include <stdint.h>

struct tess_calibration {
    double scale, noise; /* s, n; n in the units of the values */
};

enum { TESS_INTERVALS = 2 }; /* 68 and 95 % */

struct tess_coverage {
    double share[TESS_INTERVALS]; /* of the values within their intervals; NaN: of no values */
};

/* error, deviation (n), finite. Without values 1 and 0: nothing is changed. */
void tess_calibration_fit(struct tess_calibration *calibration, int64_t n, const double *error,
                          const double *deviation);
/* √v of a deviation. */
double tess_calibration_apply(const struct tess_calibration *calibration, double deviation);
/* calibration: NULL for the deviations as they are. */
struct tess_coverage tess_calibration_coverage(const struct tess_calibration *calibration,
                                               int64_t n, const double *error,
                                               const double *deviation);
/* share[k]: of the values within the interval that is to hold (k + 1) / 20 of them; NaN: of no
 * values. calibration: as above. */
#define TESS_LEVELS 19
void tess_calibration_curve(const struct tess_calibration *calibration, int64_t n,
                            const double *error, const double *deviation,
                            double share[TESS_LEVELS]);
/* Spearman's, of the deviations with |error|; NaN: of fewer than three, or of constants. */
double tess_calibration_rank(int64_t n, const double *error, const double *deviation);

#endif
