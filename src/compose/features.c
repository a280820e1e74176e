/* features.c -- vectors of symbols as a linear map of their features, plus what is their own. */
#include "tessera/features.h"

#include "tessera/alloc.h"
#include "tessera/composition.h"
#include "tessera/target.h"

#include <stdio.h>
#include <string.h>

#define OWN  0.3f /* weight of the own row: what features explain is learned by the map first */
#define NAME 16 /* bytes of an axis' name */

/* The terms that a symbol has already: its own row alone, without a composition. */
static int64_t terms_of(const struct tess_composition *composition, int64_t symbol)
{
    return composition->first ? composition->first[symbol + 1] - composition->first[symbol] : 1;
}

/* Those, then a term for each axis, at `at` of the new lists. */
static void put_terms(const struct tess_features *features, const struct tess_composition *old,
                      int64_t symbol, int64_t at, struct tess_composition *new)
{
    int64_t n = terms_of(old, symbol), first = old->first ? old->first[symbol] : 0;
    const float *x = features->value + symbol * features->k;

    for (int64_t i = 0; i < n; i++) {
        new->row[at + i] = old->first ? old->row[first + i] : symbol;
        new->weight[at + i] = old->first ? old->weight[first + i] : 1;
    }
    if (!tess_features_has(features, symbol))
        return;
    for (int64_t i = 0; i < n; i++)
        if (new->row[at + i] == symbol)
            new->weight[at + i] = OWN;
    new->start[symbol] = 0;
    for (int64_t j = 0; j < features->k; j++) {
        new->row[at + n + j] = old->n_rows + j;
        new->weight[at + n + j] = x[j];
    }
}

/* Names in the order of the rows, those of axes last. */
static void name_parts(struct tess_vocab *vocab, const struct tess_vocab *old, int64_t axes)
{
    int width = old->width > NAME ? old->width : NAME;

    tess_vocab_reserve(vocab, old->n + axes, width);
    for (int64_t i = 0; i < old->n + axes; i++) {
        char *text = vocab->text + i * (width + 1);

        if (i < old->n)
            snprintf(text, (size_t)width + 1, "%s", old->symbol[i]);
        else
            snprintf(text, (size_t)width + 1, TESS_FEATURE_PART "%05d", (int)(i - old->n + 1));
    }
}

void tess_features_compose(const struct tess_features *features,
                           struct tess_composition *composition)
{
    struct tess_composition new = {.n = composition->n,
                                   .n_rows = composition->n_rows + features->k};
    int64_t terms = 0;

    if (!features->value)
        return;
    new.first = TESS_NEW(int64_t, new.n + 1);
    for (int64_t i = 0; i < new.n; i++) {
        terms += terms_of(composition, i) + (tess_features_has(features, i) ? features->k : 0);
        new.first[i + 1] = terms;
    }
    new.row = TESS_NEW(int64_t, terms);
    new.weight = TESS_NEW(float, terms);
    new.start = TESS_NEW(float, new.n_rows);
    for (int64_t r = 0; r < new.n_rows; r++)
        new.start[r] = composition->start &&r < composition->n_rows ? composition->start[r] : 1;
    for (int64_t i = 0; i < new.n; i++)
        put_terms(features, composition, i, new.first[i], &new);
    name_parts(&new.part, &composition->part, features->k);
    tess_composition_release(composition);
    *composition = new;
}

void tess_features_copy(struct tess_features *to, const struct tess_features *from)
{
    size_t n = (size_t)(from->n * from->k), m = (size_t)(from->name.n * from->k);

    *to = (struct tess_features){from->n, from->k, NULL, {0}, NULL};
    if (from->value) {
        to->value = TESS_NEW(float, n);
        memcpy(to->value, from->value, n * sizeof *to->value);
    }
    if (from->named) {
        tess_vocab_copy(&to->name, &from->name);
        to->named = TESS_NEW(float, m);
        memcpy(to->named, from->named, m * sizeof *to->named);
    }
}

void tess_features_known_release(struct tess_features_known *known)
{
    tess_vocab_release(&known->symbol);
    tess_features_release(&known->features);
}

void tess_features_release(struct tess_features *features)
{
    tess_free(features->value);
    tess_free(features->named);
    tess_vocab_release(&features->name);
    *features = (struct tess_features){.n = 0};
}

/* One that is longer than any has none. */
static int64_t find(const struct tess_vocab *names, const char *name)
{
    return strlen(name) > (size_t)names->width ? -1 : tess_vocab_find(names, name);
}

const float *tess_features_named(const struct tess_features *features, const char *symbol)
{
    int64_t at = -1;
    char *name;

    for (int k = 0; features->name.n > 0 && at < 0 && (name = tess_target_alias(symbol, k)); k++) {
        at = find(&features->name, name);
        tess_free(name);
    }
    return at < 0 ? NULL : features->named + at * features->k;
}

void tess_features_take(struct tess_features *features, const struct tess_vocab *symbols,
                        const struct tess_features_known *known)
{
    const struct tess_features *from = &known->features;

    *features = (struct tess_features){.n = symbols->n, .k = from->k};
    if (from->k == 0)
        return;
    features->value = TESS_NEW(float, symbols->n * from->k);
    for (int64_t i = 0; i < symbols->n; i++) {
        int64_t at = find(&known->symbol, symbols->symbol[i]);
        const float *x = at >= 0 && tess_features_has(from, at)
                             ? from->value + at * from->k
                             : tess_features_named(from, symbols->symbol[i]);

        for (int64_t j = 0; j < from->k; j++)
            features->value[i * from->k + j] = x ? x[j] : NAN;
    }
    if (from->named) {
        tess_vocab_copy(&features->name, &from->name);
        features->named = TESS_NEW(float, from->name.n * from->k);
        memcpy(features->named, from->named,
               (size_t)(from->name.n * from->k) * sizeof *features->named);
    }
}

double tess_features_baseline_bytes(const struct tess_features_scale *scale)
{
    double k = (double)scale->axes;

    /* what is kept of all, twice while it grows; then the largest context: its rows as they are and
     * rotated, eigenvectors with what finding them takes */
    return k == 0 ? 0
                  : 16 * scale->units * k + 8 * scale->contexts * k * scale->factors +
                        16 * scale->most * (k + scale->factors) +
                        8 * k * (4 * k + 2 * scale->factors + 6);
}
