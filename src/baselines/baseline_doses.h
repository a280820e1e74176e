/* baseline_doses.h -- doses between and beyond those that were measured, from profiles. */
#ifndef BASELINE_DOSES_H
#define BASELINE_DOSES_H

#include "learn.h"

#include "tessera/dose.h"

struct tess_dosed { /* a combination that is one component with a dose */
    struct tess_dose dose; /* amount 0: it is none */
    double x; /* log10 of the amount, from the middle of its drug's */
};

struct tess_doses { /* the same on every rank */
    struct tess_profiles *profiles; /* borrowed */
    struct tess_dosed *of; /* (n_combinations) own */
    int64_t *next; /* (n_combinations) ring of those of the same drug; own */
    /* Of each readout of a context the mean of all drugs at x: level + slope x; own */
    double *level, *slope;
    double growth; /* of deviations from it, their logarithm a decade */
    double kept; /* correlation of a drug's deviations a decade apart */
};

/* NULL if no perturbation has a dose; own of the caller. Collective over learn->comm. */
struct tess_doses *tess_doses_init(const struct tess_learn *learn, struct tess_error *error);
/* Bytes that learning takes, and what is learned. Local. */
double tess_doses_bytes(const struct tess_profiles *profiles);
void tess_doses_release(struct tess_doses *doses);

/* One perturbation in a context: its number in the store, or -1 and its symbol (or NULL). */
struct tess_dose_query {
    int64_t context, combination;
    const char *symbol;
    float *room; /* (readouts of the store) */
};
/* out (readouts of the context), NaN where nothing is known; 1, or 0 if no other dose of the drug
 * is trained on in the context. Local. */
int tess_doses_predict(const struct tess_doses *doses, const struct tess_dose_query *query,
                       double *out, struct tess_error *error);

#endif
