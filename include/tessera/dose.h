/* dose.h -- doses and times in the names of perturbations: drug@10uM, drug@10uM@24h.
 *
 * One amount has one spelling: molar ones have the unit in which the number lies in [1, 1000)
 * (1000 nM and 1e-6 M are 1uM), so do masses per volume; times below a minute are in s, below an
 * hour in min, all others in h; at most nine digits, and no plus (2e09). A number without a unit is
 * a level of its own kind. Local.
 */
#ifndef TESSERA_DOSE_H
#define TESSERA_DOSE_H

#include <stddef.h>
#include <stdint.h>

#define TESS_DOSE_MARK '@'

enum tess_dose_kind { TESS_DOSE_LEVEL, TESS_DOSE_MOLAR, TESS_DOSE_MASS };

struct tess_dose {
    size_t length; /* of the name before the dose */
    int kind; /* enum tess_dose_kind */
    double amount; /* above 0, but for tess_dose_is_none; in M, in g/mL, or as it is */
    double hours; /* above 0; 0: none is named */
};

/* Reads "0.25 uM", "10uM", "3"; `unit` (may be NULL) is that of numbers without one. 1, or 0 if it
 * is no amount; 0 and below are amounts, too. */
int tess_dose_amount(const char *text, const char *unit, struct tess_dose *dose);
/* The same of "24 h", "90min", "2d": without any unit, not even `unit`, it is none. */
int tess_dose_hours(const char *text, const char *unit, double *hours);
/* The dose at the end of a symbol: 1, or 0 if there is none, or it is not above 0. */
int tess_dose_read(const char *symbol, struct tess_dose *dose);
/* Is the dose at the end of a symbol 0, as in drug@0uM@24h? 1, or 0. */
int tess_dose_is_none(const char *symbol, struct tess_dose *dose);
/* The symbol of a name (of so many bytes) with that dose, as it is spelled; own of the caller. */
char *tess_dose_name(const char *name, size_t length, const struct tess_dose *dose);

struct tess_vocab;
/* The mean of the logarithms (base 10) of the doses that a drug (of so many bytes) has names for,
 * each symbol counting; *kind: theirs, -1: it has none. Returns the number of a symbol whose kind
 * is another, or -1. */
int64_t tess_dose_middle(const struct tess_vocab *symbols, const char *drug, size_t length,
                         double *middle, int *kind);
/* Has the drug a name with a dose and without a time? 1, or 0. */
int tess_dose_has_timeless(const struct tess_vocab *symbols, const char *drug, size_t length);

#endif
