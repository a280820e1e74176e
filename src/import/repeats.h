/* repeats.h -- rows of different files that are the same. Local. */
#ifndef REPEATS_H
#define REPEATS_H

#include "plan.h"

/* Rows of different files that are the same, value by value, seen while they are added up. */
struct tess_repeats {
    struct tess_repeat *item; /* a row each; own */
    size_t n, room;
};
/* One row of file `f` and of a group, whose perturbation and context count: the n values are of the
 * readouts number[index[k]], or number[k]. */
struct tess_row_values {
    int64_t n;
    const float *value;
    const int32_t *index, *number;
};
void tess_repeats_add(struct tess_repeats *repeats, int64_t f, const struct tess_plan_group *group,
                      const struct tess_row_values *row);
/* A remark for every file with such rows, beside the earlier file that has them. */
void tess_repeats_remark(const struct tess_repeats *repeats, const struct tess_plan *plan,
                         struct tess_strings *remark);
void tess_repeats_release(struct tess_repeats *repeats);

#endif
