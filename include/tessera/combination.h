/* combination.h -- a set of perturbations from its text. Local. */
#ifndef TESSERA_COMBINATION_H
#define TESSERA_COMBINATION_H

#include <stdint.h>

struct tess_strings;
struct tess_vocab;

/* Reads "A+B+…" against a vocabulary: member numbers, ascending, repeats and controls (beside
 * others) dropped. A symbol may hold a plus of its own: the whole text and then the longest known
 * pieces are tried first. Blanks around a piece do not count, and `ctrl` and the names in `control`
 * (may be NULL) are the control where they are no symbols of their own. member: room for as many as
 * the text has pluses, plus one. Returns the number of members, or 0 if a part is unknown (its text
 * added to `unknown`, which may be NULL). Local. */
int tess_combination_parse(const struct tess_vocab *perturbation,
                           const struct tess_strings *control, const char *text, int64_t *member,
                           struct tess_strings *unknown);
/* n members in any order into those that count: ascending, repeats and the control (beside others)
 * dropped; how many are left. control: its number, or -1. Local. */
int64_t tess_combination_tidy(int64_t control, int64_t n, int64_t *member);

#endif
