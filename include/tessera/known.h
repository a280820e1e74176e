/* known.h -- by what a model knows what it predicts: by data of its own, or only by what it shares
 * with others. */
#ifndef TESSERA_KNOWN_H
#define TESSERA_KNOWN_H

#include "tessera/composition.h"

#include <stdint.h>

struct tess_model;

/* From the best known to the least: training data of its own; the parts of its name; its features
 * alone; nothing but its name. */
enum tess_known {
    TESS_KNOWN_DATA,
    TESS_KNOWN_PARTS,
    TESS_KNOWN_FEATURES,
    TESS_KNOWN_NAME,
    TESS_KNOWN_WAYS
};
extern const char *const tess_known_names[TESS_KNOWN_WAYS]; /* "data", "parts", … */
#define TESS_KNOWN_COLUMN     "known_by" /* of every output that says so */
#define TESS_KNOWN_DEVIATIONS "deviation"

/* Can any symbol be known otherwise than by its own data? If not, outputs need not say it. Local.
 */
int tess_known_differs(const struct tess_model *model);
/* Of a symbol of the model; of an ensemble as the member knows it that knows it least. Local. */
enum tess_known tess_known_symbol(const struct tess_model *model, enum tess_embedding table,
                                  int64_t symbol);
/* The least known of a perturbation's n components and of the context (-1: whatever it is). Local.
 */
enum tess_known tess_known_row(const struct tess_model *model, int64_t n, const int64_t *member,
                               int64_t context);
/* Are the values of tess_blender_feature_deviation for this row: a single perturbation that is
 * known by its features alone, in a context with training data? Local. */
int tess_known_has_deviation(const struct tess_model *model, int64_t n, const int64_t *member,
                             int64_t context);

#endif
