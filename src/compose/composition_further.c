/* composition_further.c -- symbols that no store had, out of parts that were trained with others
 * and of what features say. */
#include "tessera/composition.h"

#include "context_parts.h"
#include "dose_parts.h"
#include "terms.h"

#include "tessera/alloc.h"
#include "tessera/config.h"
#include "tessera/dose.h"
#include "tessera/error.h"
#include "tessera/features.h"

#include <string.h>

/* Room for the terms of a number that has none yet. */
static int64_t insert(struct tess_composition *composition, int64_t number, int64_t terms)
{
    int64_t n = composition->n, all = composition->first[n], at;

    if (composition->room_first == 0) {
        composition->room_first = (size_t)n + 1;
        composition->room_row = composition->room_weight = (size_t)all;
    }
    if (number >= n) {
        composition->first = tess_grow(composition->first, &composition->room_first,
                                       (size_t)number + 2, sizeof *composition->first);
        for (int64_t i = n + 1; i <= number + 1; i++)
            composition->first[i] = all;
        composition->n = n = number + 1;
    }
    at = composition->first[number];
    TESS_BUG_IF(composition->first[number + 1] != at);
    composition->row = tess_grow(composition->row, &composition->room_row, (size_t)(all + terms),
                                 sizeof *composition->row);
    composition->weight = tess_grow(composition->weight, &composition->room_weight,
                                    (size_t)(all + terms), sizeof *composition->weight);
    memmove(composition->row + at + terms, composition->row + at,
            (size_t)(all - at) * sizeof *composition->row);
    memmove(composition->weight + at + terms, composition->weight + at,
            (size_t)(all - at) * sizeof *composition->weight);
    for (int64_t i = number + 1; i <= n; i++)
        composition->first[i] += terms;
    return at;
}

void tess_composition_forget(struct tess_composition *composition, int64_t number)
{
    int64_t *first = composition->first, at, terms, all;

    if (!first || number >= composition->n)
        return;
    at = first[number];
    terms = first[number + 1] - at;
    all = first[composition->n];
    memmove(composition->row + at, composition->row + at + terms,
            (size_t)(all - at - terms) * sizeof *composition->row);
    memmove(composition->weight + at, composition->weight + at + terms,
            (size_t)(all - at - terms) * sizeof *composition->weight);
    for (int64_t i = number + 1; i <= composition->n; i++)
        first[i] -= terms;
}

/* Of these rows and weights, if there are any and all parts among them have training data. */
static int add(struct tess_composition *composition, const uint8_t *trained, int64_t n,
               const int64_t *row, const float *weight, int64_t number)
{
    int64_t own = composition->n_rows - composition->part.n, at;

    if (!composition->known)
        composition->known = tess_composition_parts(composition, trained);
    for (int64_t k = 0; k < n; k++)
        if (row[k] >= own && !composition->known[row[k] - own])
            return 0;
    if (n == 0)
        return 0;
    at = insert(composition, number, n);
    memcpy(composition->row + at, row, (size_t)n * sizeof *row);
    memcpy(composition->weight + at, weight, (size_t)n * sizeof *weight);
    return 1;
}

/* Have other doses of the drug features? Then parts alone do not tell where it is. */
static int drug_has_features(const struct tess_further *further, const char *symbol)
{
    struct tess_dose dose, other;
    int any = 0;

    for (int64_t i = 0; tess_dose_read(symbol, &dose) && !any && i < further->features->n; i++)
        any = tess_features_has(further->features, i) &&
              strncmp(further->symbols->symbol[i], symbol, dose.length) == 0 &&
              tess_dose_read(further->symbols->symbol[i], &other) && other.length == dose.length;
    return any;
}

/* Parts and features together, as a drug has both at the doses that were measured. What parts do
 * not tell, features may, alone. */
static int add_either(struct tess_composition *composition, const uint8_t *trained,
                      const struct tess_terms *parts, int64_t k, const float *x, int64_t number)
{
    int64_t n = parts->n, *row = TESS_NEW(int64_t, n + k);
    float *weight = TESS_NEW(float, n + k);
    int made;

    memcpy(row, parts->row, (size_t)n * sizeof *row);
    memcpy(weight, parts->weight, (size_t)n * sizeof *weight);
    for (int64_t j = 0; j < k; j++) {
        row[n + j] = composition->n_rows - k + j;
        weight[n + j] = x[j];
    }
    made = add(composition, trained, n + k, row, weight, number) ||
           add(composition, trained, k, row + n, weight + n, number);
    tess_free(row);
    tess_free(weight);
    return made;
}

int tess_composition_make(struct tess_composition *composition, const struct tess_further *further,
                          const char *symbol, int64_t number)
{
    const struct tess_features *features = further->features;
    const float *x = features->value ? tess_features_named(features, symbol) : NULL;
    struct tess_terms parts = {.n = 0};

    if (!composition->first)
        return 0;
    if (further->table == TESS_TABLE_C)
        tess_context_parts_make(composition, symbol, &parts);
    if (further->table == TESS_TABLE_P && further->config->model.doses)
        tess_dose_parts_make(composition, further->symbols, symbol, &parts);
    if (parts.n > 0 && !x && features->value && drug_has_features(further, symbol))
        return 0;
    return add_either(composition, further->trained, &parts, x ? features->k : 0, x, number);
}
