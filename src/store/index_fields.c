/* index_fields.c -- the table of the index's arrays, and what follows from it. */
#include "index_fields.h"

#include <string.h>
#include <xxhash.h>

#define AT(member) offsetof(struct tess_index, member)

const struct tess_index_field tess_index_fields[TESS_N_FIELDS] = {
    [TESS_FIELD_COMBINATION_FIRST] = {"/combination/first", AT(combination_first), 8, 0, 0},
    [TESS_FIELD_COMBINATION_MEMBER] = {"/combination/member", AT(combination_member), 8, 0, 0},
    [TESS_FIELD_PANEL_FIRST] = {"/panel/first", AT(panel_first), 8, 0, 0},
    [TESS_FIELD_PANEL_READOUT] = {"/panel/readout", AT(panel_readout), 8, 0, 0},
    [TESS_FIELD_COMBINATION] = {"/experiment/combination", AT(combination), 8, 0, 0},
    [TESS_FIELD_CONTEXT] = {"/experiment/context", AT(context_of), 8, 0, 0},
    [TESS_FIELD_PANEL] = {"/experiment/panel", AT(panel), 8, 0, 0},
    [TESS_FIELD_SPLIT] = {"/experiment/split", AT(split), 1, 0, 0},
    [TESS_FIELD_REPLICATES] = {"/experiment/n_replicates", AT(n_replicates), 8, 0, 0},
    [TESS_FIELD_OBSERVED] = {"/experiment/n_observed", AT(n_observed), 8, 0, 0},
    [TESS_FIELD_FOLD_FIRST] = {"/fold/first", AT(fold_first), 8, 0, 0},
    [TESS_FIELD_FOLD_REPLICATES] = {"/fold/replicates", AT(fold_replicates), 8, 0, 0},
    [TESS_FIELD_WEIGHT] = {"/experiment/weight", AT(weight), 8, 1, 1},
};

const char *const tess_value_names[2] = {"/value", "/fold/value"};
const char *const tess_check_names[2] = {"/check/value", "/check/fold"};
const char *const tess_vocab_names[TESS_N_VOCABS] = {"/perturbation/symbol", "/readout/symbol",
                                                     "/context/symbol"};

void **tess_index_field_array(const struct tess_index *index, int i)
{
    return (void **)((uintptr_t)index + tess_index_fields[i].offset);
}

/* Reads the last entries of the `first` arrays, which must be there, if not yet checked. */
void tess_index_field_lengths(const struct tess_index *index, int64_t length[TESS_N_FIELDS])
{
    int64_t n = index->n_experiments;

    for (int i = 0; i < TESS_N_FIELDS; i++)
        length[i] = n; /* one for each experiment, but for these */
    length[TESS_FIELD_COMBINATION_FIRST] = index->n_combinations + 1;
    length[TESS_FIELD_COMBINATION_MEMBER] = index->combination_first[index->n_combinations];
    length[TESS_FIELD_PANEL_FIRST] = index->n_panels + 1;
    length[TESS_FIELD_PANEL_READOUT] = index->panel_first[index->n_panels];
    length[TESS_FIELD_FOLD_FIRST] = n + 1;
    length[TESS_FIELD_FOLD_REPLICATES] = index->fold_first[n];
    length[TESS_FIELD_WEIGHT] = index->weight ? n : 0;
}

struct tess_vocab *tess_index_field_vocab(const struct tess_index *index, int i)
{
    const struct tess_vocab *vocab[TESS_N_VOCABS] = {&index->perturbation, &index->readout,
                                                     &index->context};

    return (struct tess_vocab *)(uintptr_t)vocab[i];
}

int64_t tess_index_field_values(const struct tess_index *index, int which)
{
    return which ? index->fold_value_first[index->fold_first[index->n_experiments]]
                 : index->value_first[index->n_experiments];
}

/* Without the split, which "tessera split" replaces in place: a store keeps its identity. Values
 * count through their checksums. */
uint64_t tess_index_hash(const struct tess_index *index, const int64_t n_checks[2],
                         uint64_t *const check[2])
{
    XXH3_state_t *state = XXH3_createState();
    int64_t length[TESS_N_FIELDS];
    uint64_t hash;

    XXH3_64bits_reset(state);
    for (int i = 0; i < TESS_N_VOCABS; i++) {
        hash = tess_vocab_hash(tess_index_field_vocab(index, i));
        XXH3_64bits_update(state, &hash, sizeof hash);
    }
    tess_index_field_lengths(index, length);
    for (int i = 0; i < TESS_N_FIELDS; i++)
        if (i != TESS_FIELD_SPLIT)
            XXH3_64bits_update(state, *tess_index_field_array(index, i),
                               (size_t)length[i] * tess_index_fields[i].size);
    for (int which = 0; which < 2; which++)
        XXH3_64bits_update(state, check[which], (size_t)n_checks[which] * sizeof check[which][0]);
    hash = XXH3_64bits_digest(state);
    XXH3_freeState(state);
    return hash;
}

uint64_t tess_index_split_hash(const struct tess_index *index)
{
    return XXH3_64bits(index->split, (size_t)index->n_experiments);
}

uint64_t tess_split_check(const int8_t *split, int64_t n, const char *method)
{
    return XXH3_64bits_withSeed(split, (size_t)n, XXH3_64bits(method, strlen(method)));
}
