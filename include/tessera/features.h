/* features.h -- numbers that are known of symbols from elsewhere (embeddings of genes, fingerprints
 * of compounds, profiles of another assay), as coordinates on a few axes: what symbols without
 * training data can be predicted from. Local. */
#ifndef TESSERA_FEATURES_H
#define TESSERA_FEATURES_H

#include "tessera/vocab.h"

#include <math.h>
#include <stdint.h>

struct tess_composition;

struct tess_features {
    int64_t n, k; /* symbols, axes; k is 0 where there are none */
    float *value; /* (n, k) NaN: nothing is known of the symbol; own */
    /* All that the file knows, of whoever could be asked for: its names, and their coordinates. Of
     * perturbations alone; else none. */
    struct tess_vocab name; /* own */
    float *named; /* (name.n, k) own */
};

#define TESS_FEATURE_PART "\377feature " /* names of the axes' rows begin so: behind all others */

static inline int tess_features_has(const struct tess_features *features, int64_t symbol)
{
    return features->k > 0 && !isnan(features->value[symbol * features->k]);
}

/* What another model knows of its symbols, and of all that its file named. */
struct tess_features_known {
    struct tess_vocab symbol; /* own */
    struct tess_features features; /* k is 0: nothing; own */
};
void tess_features_known_release(struct tess_features_known *known);
/* The same of these symbols, by name: on its axes, without a file. */
void tess_features_take(struct tess_features *features, const struct tess_vocab *symbols,
                        const struct tess_features_known *known);

void tess_features_copy(struct tess_features *to, const struct tess_features *from);
void tess_features_release(struct tess_features *features);
/* What is known of a symbol that is none of the n, by its name, its target, or those of its drug
 * (target.h): (k), borrowed; NULL: nothing. */
const float *tess_features_named(const struct tess_features *features, const char *symbol);
/* A symbol of which something is known becomes a sum of rows of the axes, each times its
 * coordinate, plus an own row that begins at 0 and stays there where there are no training data;
 * others stay as they are. Whatever the composition has is kept. */
void tess_features_compose(const struct tess_features *features,
                           struct tess_composition *composition);

/* Bytes that the baselines by features take, of changes in so many factors: `units` training units
 * in all, at most `most` of them in a context. Local. */
struct tess_features_scale {
    double contexts, units, most, factors;
    int64_t axes; /* 0: there are no features */
};
double tess_features_baseline_bytes(const struct tess_features_scale *scale);

#endif
