/* axis.h -- one setting of a sweep and its values; internal to src/config. */
#ifndef TESSERA_CONFIG_AXIS_H
#define TESSERA_CONFIG_AXIS_H

#include "tessera/config.h"

struct tess_error;

#define TESS_AXIS_VALUE 64 /* bytes of a value that was made */

struct tess_axis {
    int param; /* its place in tess_params */
    char *where; /* "source:line" of its first value; own */
    struct tess_strings value; /* own */
    char *from, *to; /* of a range; own */
    int64_t steps; /* of a range; 0: none */
    int log;
};

/* A value of its list, or what its range's `part` (from, to, steps, scale; NULL: none) is. Each is
 * checked as the setting's own. Local. */
int tess_axis_take(struct tess_axis *axis, const char *part, const char *value, const char *where,
                   struct tess_error *error);
/* When everything was taken: a range's steps become values. random: it may do without steps. Local.
 */
int tess_axis_finish(struct tess_axis *axis, int random, struct tess_error *error);
/* The i-th sample: one of the values, or any of the range. Local. */
void tess_axis_draw(const struct tess_axis *axis, int64_t seed, int64_t i,
                    char out[TESS_AXIS_VALUE], const char **value);
void tess_axis_release(struct tess_axis *axis);

#endif
