/* composition.h -- what the vectors of a table's symbols are made of.
 *
 * As published a symbol's vector is its row of the table. Here it may be a weighted sum of rows:
 * its own, whose number is the symbol's, and those of parts that it shares with others, which lie
 * behind the symbols' own ones. A context A549_24h is then A549 + 24h + what is its own, and a pair
 * of known parts that was never measured has a vector, too. Which rows and weights follows from
 * settings and names alone, so every rank makes the same and no file need hold them. Local, pure.
 */
#ifndef TESSERA_COMPOSITION_H
#define TESSERA_COMPOSITION_H

#include "tessera/encoder.h"
#include "tessera/vocab.h"

#include <stddef.h>
#include <stdint.h>

struct tess_config;
struct tess_error;
struct tess_features;

enum tess_embedding { TESS_TABLE_P, TESS_TABLE_R, TESS_TABLE_C, TESS_N_TABLES };

struct tess_composition {
    int64_t n; /* symbols */
    int64_t n_rows; /* of the table: the symbols' own, then the parts' */
    /* (n + 1): symbol i is made of row[first[i] .. first[i + 1]), each times its weight. NULL: each
     * symbol's vector is its own row; then there are no parts, and the others are NULL, too. */
    int64_t *first; /* own */
    int64_t *row; /* own */
    float *weight; /* own */
    float *start; /* (n_rows) what the initial values of a row are multiplied with; own */
    struct tess_vocab part; /* names of the parts, in the order of their rows; own */
    size_t room_first, room_row, room_weight; /* of further symbols; 0: there are none yet */
    uint8_t *known; /* (parts) that a symbol with training data has; NULL: not looked at yet; own */
};

/* As the settings say. TESS_EDATA naming the symbol if its name does not have the parts it should;
 * `where` (the store, the checkpoint) begins that sentence. To be released in either case. */
int tess_composition_init(struct tess_composition *composition, enum tess_embedding table,
                          const struct tess_config *config, const struct tess_vocab *symbols,
                          const char *where, struct tess_error *error);
void tess_composition_release(struct tess_composition *composition);
/* Bytes of all that it holds. */
double tess_composition_bytes(const struct tess_composition *composition);

/* Initial values of rows [first, first + n) of the table, (n, D), as the composition has them: from
 * those that any row has. */
void tess_composition_start(const struct tess_composition *composition, int dim, int64_t first,
                            int64_t n, float *row);

/* trained (n): 1 where a symbol has training data, else 0. A symbol without any, all of whose parts
 * belong to others that have, becomes TESS_BY_PARTS. */
/* The last: it has, and had none in the model that the training began from (warm.h). */
enum { TESS_UNTRAINED, TESS_TRAINED, TESS_BY_PARTS, TESS_TRAINED_NEW };
void tess_composition_known(const struct tess_composition *composition, uint8_t *trained);

/* (parts) 1: a symbol with training data has it; NULL without parts; own of the caller. */
uint8_t *tess_composition_parts(const struct tess_composition *composition, const uint8_t *trained);
/* What a row is to a vector, for rows that are alike: "" a symbol's own, or what a drug is at any
 * dose; "*@dose", "1:" and so on parts, all of one role; NULL: beside its parts, where it begins at
 * 0. Own of the caller. */
char *tess_composition_role(const struct tess_composition *composition, enum tess_embedding table,
                            int64_t row);

/* A further symbol, out of parts that were trained with others and of what features say of it: 1,
 * and from now on `number` is composed as its name says; numbers below that nobody has are made of
 * nothing. 0, and nothing changes, where it cannot be made. symbols, config: those of
 * tess_composition_init; trained (symbols->n); features: what the composition has, without values
 * none. */
struct tess_further {
    enum tess_embedding table;
    const struct tess_config *config; /* borrowed, all of them */
    const struct tess_vocab *symbols;
    const uint8_t *trained;
    const struct tess_features *features;
};
int tess_composition_make(struct tess_composition *composition, const struct tess_further *further,
                          const char *symbol, int64_t number);
/* It is made of nothing again. */
void tess_composition_forget(struct tess_composition *composition, int64_t number);

/* Vectors to be made: vector i of row[first[i] .. first[i + 1]), with these weights, or (NULL) by
 * the encoder's rule. All zeroes is none. */
struct tess_mix {
    int64_t n;
    int64_t *first; /* (n + 1) own */
    int64_t *row; /* own */
    float *weight; /* own; NULL without compositions */
    size_t room_first, room_row, room_weight;
};
/* Room for n more at once: of combinations member[first[i] .. first[i + 1]) of symbols. */
void tess_mix_reserve(struct tess_mix *mix, const struct tess_composition *composition, int64_t n,
                      const int64_t *first, const int64_t *member);
/* One more: of a combination of n symbols (n is 1 but for perturbations). */
void tess_mix_add(struct tess_mix *mix, const struct tess_composition *composition,
                  const struct tess_encoder *encoder, int64_t n, const int64_t *symbol);
/* None again, room kept. */
void tess_mix_clear(struct tess_mix *mix);
void tess_mix_release(struct tess_mix *mix);
/* As the encoder takes it; borrowed of the mix. */
struct tess_perturbations tess_mix_of(const struct tess_mix *mix);

/* vector (n, D) of all symbols, from all rows of the table: row (n_rows, D). */
void tess_composition_vectors(const struct tess_composition *composition, int dim, const float *row,
                              float *vector);

#endif
