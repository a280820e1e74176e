/* simulate_design.h -- which experiments a simulation has, and its rows. */
#ifndef SIMULATE_DESIGN_H
#define SIMULATE_DESIGN_H

#include "truth.h"

#include "tessera/store.h"

/* A row is a replicate of an experiment, or a cell. */
struct tess_design {
    const struct tess_simulate *simulate; /* borrowed */
    struct tess_index index; /* own */
    struct truth truth; /* own */
    int64_t *row_first; /* (n_experiments + 1) own */
    int64_t *experiment; /* (n_contexts, n_combinations) its number, -1: not measured; own */
    char *split_text; /* how experiments were held out; own */
};

/* The same on every rank. TESS_EUSAGE if what is asked for does not exist. Local. */
int tess_design_init(struct tess_design *design, const struct tess_simulate *simulate,
                     struct tess_error *error);
void tess_design_release(struct tess_design *design);

/* out (n_readouts): the noise-free profile; unmeasured places hold numbers too. */
void tess_design_truth(const struct tess_design *design, int64_t combination, int64_t context,
                       double *out);
/* The same with noise on the input of every gene: a network's cell. */
void tess_design_cell_state(const struct tess_design *design, int64_t experiment,
                            const double *noise, double *out);
/* Replicate of a row of an experiment, counted from its first. */
int64_t tess_design_replicate_of(const struct tess_design *design, int64_t experiment, int64_t row);

/* Rows of experiments in order, with their noise-free profiles kept. */
struct cursor {
    const struct tess_design *design; /* borrowed */
    int64_t experiment; /* -1: none yet */
    int64_t replicate; /* -1: none yet */
    double *truth, *value, *cell; /* (n_readouts) own */
};
void tess_cursor_init(struct cursor *cursor, const struct tess_design *design);
void tess_cursor_release(struct cursor *cursor);
/* Moves on to a row of the file, or to replicate `replicate` of an experiment, and makes its
 * profile, in cursor->value. */
void tess_cursor_row(struct cursor *cursor, int64_t row);
void tess_cursor_replicate(struct cursor *cursor, int64_t experiment, int64_t replicate);

#endif
