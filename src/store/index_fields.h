/* index_fields.h -- the index's arrays, once: what is written, read, checked, hashed and broadcast.
 */
#ifndef TESSERA_STORE_INDEX_FIELDS_H
#define TESSERA_STORE_INDEX_FIELDS_H

#include "tessera/store.h"

enum tess_index_field_number {
    TESS_FIELD_COMBINATION_FIRST,
    TESS_FIELD_COMBINATION_MEMBER,
    TESS_FIELD_PANEL_FIRST,
    TESS_FIELD_PANEL_READOUT,
    TESS_FIELD_COMBINATION,
    TESS_FIELD_CONTEXT,
    TESS_FIELD_PANEL,
    TESS_FIELD_SPLIT,
    TESS_FIELD_REPLICATES,
    TESS_FIELD_OBSERVED,
    TESS_FIELD_FOLD_FIRST,
    TESS_FIELD_FOLD_REPLICATES,
    TESS_FIELD_WEIGHT, /* may be absent */
    TESS_N_FIELDS
};
enum { TESS_N_VOCABS = 3 };

#define TESS_CHECK_VALUES ((int64_t)1 << 20) /* values under one checksum */

struct tess_index_field {
    const char *name;
    size_t offset; /* of the pointer within struct tess_index */
    size_t size; /* of an element: 8 or 1 */
    int real; /* 1: double, not a whole number */
    int optional; /* 1: a store may lack it; its array is then NULL, of length 0 */
};
extern const struct tess_index_field tess_index_fields[TESS_N_FIELDS];
extern const char *const tess_value_names[2]; /* "/value", "/fold/value" */
extern const char *const tess_check_names[2]; /* their checksums */
#define TESS_CHECK_SPLIT "/check/split" /* of the split and its method */
extern const char *const tess_vocab_names[TESS_N_VOCABS];

static inline hid_t tess_index_field_type(int i)
{
    return tess_index_fields[i].real        ? H5T_NATIVE_DOUBLE
           : tess_index_fields[i].size == 1 ? H5T_NATIVE_INT8
                                            : H5T_NATIVE_INT64;
}

/* Where the i-th array's pointer lies. */
void **tess_index_field_array(const struct tess_index *index, int i);
/* Lengths that n_combinations, n_panels, n_experiments and the `first` arrays imply. */
void tess_index_field_lengths(const struct tess_index *index, int64_t length[TESS_N_FIELDS]);
struct tess_vocab *tess_index_field_vocab(const struct tess_index *index, int i);
/* Number of values (which = 0) or fold values (1). */
int64_t tess_index_field_values(const struct tess_index *index, int which);
/* Some of them, as a reader asks for them. */
static inline struct tess_h5_rows tess_index_field_rows(const struct tess_index *index, int which,
                                                        int64_t first, int64_t n)
{
    return (struct tess_h5_rows){TESS_H5_LINE(tess_index_field_values(index, which)), first, n};
}

/* Over the symbols, every array but the split, and the checksums. */
uint64_t tess_index_hash(const struct tess_index *index, const int64_t n_checks[2],
                         uint64_t *const check[2]);
uint64_t tess_index_split_hash(const struct tess_index *index);
/* Of a split and the words that say how it was made. */
uint64_t tess_split_check(const int8_t *split, int64_t n, const char *method);

#endif
