/* composition.c -- rows and weights to vectors. */
#include "tessera/composition.h"

#include "context_parts.h"
#include "dose_parts.h"

#include "tessera/alloc.h"
#include "tessera/config.h"
#include "tessera/error.h"
#include "tessera/features.h"

#include <string.h>

int tess_composition_init(struct tess_composition *composition, enum tess_embedding table,
                          const struct tess_config *config, const struct tess_vocab *symbols,
                          const char *where, struct tess_error *error)
{
    *composition = (struct tess_composition){.n = symbols->n, .n_rows = symbols->n};
    if (table == TESS_TABLE_C)
        tess_context_parts(composition, config, symbols, where, error);
    if (table == TESS_TABLE_P)
        tess_dose_parts(composition, config, symbols, where, error);
    return error->code;
}

void tess_composition_release(struct tess_composition *composition)
{
    tess_free(composition->first);
    tess_free(composition->row);
    tess_free(composition->weight);
    tess_free(composition->start);
    tess_free(composition->known);
    tess_vocab_release(&composition->part);
    *composition = (struct tess_composition){.n = 0};
}

double tess_composition_bytes(const struct tess_composition *composition)
{
    if (!composition->first)
        return 0;
    return (double)(composition->n + 1) * sizeof(int64_t) +
           (double)composition->first[composition->n] * (sizeof(int64_t) + sizeof(float)) +
           (double)composition->n_rows * sizeof(float) +
           (double)composition->part.n * (composition->part.width + 1.0 + sizeof(char *));
}

void tess_composition_start(const struct tess_composition *composition, int dim, int64_t first,
                            int64_t n, float *row)
{
    for (int64_t i = 0; composition->first && i < n; i++)
        for (int d = 0; d < dim; d++)
            row[i * dim + d] *= composition->start[first + i];
}

uint8_t *tess_composition_parts(const struct tess_composition *composition, const uint8_t *trained)
{
    int64_t own = composition->n_rows - composition->part.n;
    uint8_t *part;

    if (!composition->first)
        return NULL;
    part = TESS_NEW(uint8_t, composition->part.n);
    for (int64_t i = 0; i < own; i++)
        for (int64_t k = composition->first[i]; k < composition->first[i + 1]; k++)
            if ((trained[i] == TESS_TRAINED || trained[i] == TESS_TRAINED_NEW) &&
                composition->row[k] >= own)
                part[composition->row[k] - own] = 1;
    return part;
}

char *tess_composition_role(const struct tess_composition *composition, enum tess_embedding table,
                            int64_t row)
{
    int64_t own = composition->n_rows - composition->part.n;
    const char *name;

    if (row < own)
        return composition->first && composition->start[row] == 0 ? NULL : tess_strdup("");
    name = composition->part.symbol[row - own];
    if (strncmp(name, TESS_FEATURE_PART, strlen(TESS_FEATURE_PART)) == 0)
        return tess_strdup(name); /* an axis is like no other */
    return table == TESS_TABLE_C ? tess_context_parts_role(name) : tess_dose_parts_role(name);
}

void tess_composition_known(const struct tess_composition *composition, uint8_t *trained)
{
    uint8_t *part;

    if (!composition->first)
        return;
    part = tess_composition_parts(composition, trained);
    for (int64_t i = 0; i < composition->n; i++) {
        int known = 1, shared = 0;

        for (int64_t k = composition->first[i]; k < composition->first[i + 1]; k++) {
            int64_t at = composition->row[k] - composition->n;

            shared += at >= 0;
            known = known && (at < 0 || part[at]);
        }
        if (!trained[i] && known && shared)
            trained[i] = TESS_BY_PARTS;
    }
    tess_free(part);
}

void tess_mix_reserve(struct tess_mix *mix, const struct tess_composition *composition, int64_t n,
                      const int64_t *first, const int64_t *member)
{
    int64_t terms = mix->n ? mix->first[mix->n] : 0;

    for (int64_t k = first[0]; k < first[n]; k++)
        terms += composition->first
                     ? composition->first[member[k] + 1] - composition->first[member[k]]
                     : 1;
    mix->first =
        tess_grow(mix->first, &mix->room_first, (size_t)(mix->n + n + 1), sizeof *mix->first);
    mix->row = tess_grow(mix->row, &mix->room_row, (size_t)terms, sizeof *mix->row);
    if (composition->first)
        mix->weight = tess_grow(mix->weight, &mix->room_weight, (size_t)terms, sizeof *mix->weight);
}

void tess_mix_add(struct tess_mix *mix, const struct tess_composition *composition,
                  const struct tess_encoder *encoder, int64_t n, const int64_t *symbol)
{
    int64_t at = mix->n ? mix->first[mix->n] : 0, terms = n;
    float each = tess_encoder_weight(encoder, n);

    for (int64_t k = 0; composition->first && k < n; k++)
        terms += composition->first[symbol[k] + 1] - composition->first[symbol[k]] - 1;
    mix->first = tess_grow(mix->first, &mix->room_first, (size_t)mix->n + 2, sizeof *mix->first);
    mix->row = tess_grow(mix->row, &mix->room_row, (size_t)(at + terms), sizeof *mix->row);
    mix->first[0] = 0;
    mix->first[++mix->n] = at + terms;
    if (!composition->first) {
        memcpy(mix->row + at, symbol, (size_t)n * sizeof *symbol);
        return;
    }
    mix->weight =
        tess_grow(mix->weight, &mix->room_weight, (size_t)(at + terms), sizeof *mix->weight);
    for (int64_t k = 0; k < n; k++)
        for (int64_t j = composition->first[symbol[k]]; j < composition->first[symbol[k] + 1];
             j++) {
            mix->row[at] = composition->row[j];
            mix->weight[at++] = composition->weight[j] * each;
        }
}

void tess_mix_clear(struct tess_mix *mix)
{
    mix->n = 0;
}

void tess_mix_release(struct tess_mix *mix)
{
    tess_free(mix->first);
    tess_free(mix->row);
    tess_free(mix->weight);
    *mix = (struct tess_mix){.n = 0};
}

struct tess_perturbations tess_mix_of(const struct tess_mix *mix)
{
    return (struct tess_perturbations){mix->n, mix->first, mix->row, mix->weight};
}

void tess_composition_vectors(const struct tess_composition *composition, int dim, const float *row,
                              float *vector)
{
    const struct tess_encoder plain = {.dim = dim, .rule = TESS_COMBINE_SUM};

    if (composition->first)
        tess_encoder_forward(&plain,
                             &(struct tess_perturbations){composition->n, composition->first,
                                                          composition->row, composition->weight},
                             row, vector);
    else
        memcpy(vector, row, (size_t)(composition->n * dim) * sizeof *vector);
}
