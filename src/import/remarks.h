/* remarks.h -- what is no error but may be meant otherwise. Local. */
#ifndef REMARKS_H
#define REMARKS_H

#include "plan.h"

/* What values look like, before anything is done to them; of the first ten million. */
struct tess_value_facts {
    int64_t n, n_zero, n_broken, n_negative; /* broken: no whole numbers */
    float largest;
};
void tess_value_facts_add(struct tess_value_facts *facts, const float *value, int64_t n,
                          int64_t n_implied_zeros);

/* What is no error but may be meant otherwise: of values, names, controls, contexts. */
void tess_remarks_find(const struct tess_plan *plan, const struct tess_index *index,
                       const struct tess_value_facts *facts, struct tess_strings *remark);

#endif
