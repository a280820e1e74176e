/* mechanism.h -- compounds that act through genes: which, and how much. Local to the folder. */
#ifndef MECHANISM_H
#define MECHANISM_H

#include <stdint.h>

struct tess_error;
struct tess_simulate;

struct tess_mechanism {
    int64_t through; /* the knock-out, a perturbation; -1: it is no compound */
    double strength;
};
struct tess_mechanism tess_mechanism_of(const struct tess_simulate *simulate, int64_t member);
/* perturbation<tab>target<tab>strength of every compound. TESS_ECREATE, TESS_EIO. One rank. */
int tess_mechanism_write(const struct tess_simulate *simulate, const char *path,
                         const char *const *symbol, struct tess_error *error);

#endif
