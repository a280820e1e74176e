/* terms.h -- rows and weights of one symbol, as makers of compositions say them. Local. */
#ifndef TERMS_H
#define TERMS_H

#include <stdint.h>

#define TESS_TERMS 32 /* the most that a further symbol may have */

struct tess_terms {
    int n; /* 0: the symbol cannot be made */
    int64_t row[TESS_TERMS];
    float weight[TESS_TERMS];
};

#endif
