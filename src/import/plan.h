/* plan.h -- which row of which file goes into which experiment, decided before a value is read
 * (but for which readouts a ragged file measures). Local. */
#ifndef PLAN_H
#define PLAN_H

#include "tessera/import.h"
#include "tessera/intern.h"
#include "tessera/sets.h"

/* Why a row is no part of any experiment. */
enum tess_left_out { TESS_LEFT_IN, TESS_LEFT_UNWANTED /* keep, drop */, TESS_LEFT_UNLABELLED };

struct tess_plan_file {
    struct tess_source source; /* own */
    int32_t *readout; /* (n_readouts) number in plan->readout; own */
    /* (n_readouts) place in the file's panel; own; NULL where panels are of contexts */
    int32_t *position;
    /* (n_rows) own; -1: the row is left out; freed once it has a group */
    int32_t *combination, *context, *replicate;
    int8_t *split; /* (n_rows) own */
    float *weight; /* (n_rows) own; NULL: the rows have none */
    int8_t *left_out; /* (n_rows) enum tess_left_out; own */
    int has_split; /* rows have a split of their own */
    int32_t *group; /* (n_rows) own; -1: left out */
    int32_t *slot; /* (n_rows) the replicate's number within the group; own */
    int64_t panel; /* of a file that is not ragged */
    int surveyed; /* its values were read once and its problems reported */
};

struct tess_plan_panel {
    int64_t n;
    int64_t *readout; /* (n) ascending; own */
};

/* An experiment to be. Its replicates are numbered; unit first_unit + i is replicate i. */
struct tess_plan_group {
    int32_t combination, context, panel, split;
    int64_t n_rows, n_replicates, first_unit;
    double weight; /* of its rows together */
    int64_t experiment; /* number in the store; -1: dropped */
};

struct tess_plan {
    const struct tess_import_options *options; /* borrowed */
    int64_t n_files, n_rows;
    int64_t n_unread; /* files that could not be read and are left out */
    struct tess_plan_file *file; /* own */
    struct tess_intern component, context;
    struct tess_intern dosed; /* names with doses */
    int *dosed_kind; /* (dosed.n) enum tess_dose_kind; own */
    size_t room_dosed;
    struct tess_sets combination; /* of components, as they were first met */
    struct tess_vocab readout;
    struct tess_strings control_seen; /* of options->control, those that occurred */
    const char *split_column; /* that was used, or NULL; borrowed */
    size_t n_panels, room_panels;
    struct tess_plan_panel *panel; /* own */
    int64_t n_groups;
    struct tess_plan_group *group; /* own */
    int64_t n_units;
    int8_t *fold; /* (n_units) own */
};

/* Opens the files and numbers the labels of every row. `result` gets the counts of rows that are
 * left out. To be released after an error, too. */
int tess_plan_open(struct tess_plan *plan, const struct tess_import_options *options,
                   struct tess_problems *problems, struct tess_import_result *result,
                   struct tess_error *error);
/* The labels of a file that stands open: combination, context, split, replicate, left_out. */
int tess_plan_label(struct tess_plan *plan, struct tess_plan_file *file,
                    struct tess_problems *problems, struct tess_error *error);
/* With --dose: the column of perturbations becomes one of names with doses and times; dose 0 is the
 * control. */
int tess_plan_add_doses(struct tess_plan *plan, struct tess_plan_file *file,
                        struct tess_column *column, struct tess_problems *problems,
                        struct tess_error *error);
/* Panels (reading ragged files once), groups, replicates, folds. */
int tess_plan_group(struct tess_plan *plan, struct tess_problems *problems,
                    struct tess_import_result *result, struct tess_error *error);
/* The finished index of what remains; numbers the groups' experiments. */
void tess_plan_index(struct tess_plan *plan, struct tess_index *index);
void tess_plan_release(struct tess_plan *plan);

/* A combination's number from its text, or -1 and why in `reason` (at least 256 bytes). */
int32_t tess_plan_combination(struct tess_plan *plan, const char *text, char *reason);
/* The combination of all components of two. */
int32_t tess_plan_combine(struct tess_plan *plan, int32_t a, int32_t b);

/* At most so many folds, none for a single replicate. */
static inline int64_t tess_plan_folds(const struct tess_plan_group *group)
{
    return group->n_replicates < 2                  ? 0
           : group->n_replicates < TESS_STORE_FOLDS ? group->n_replicates
                                                    : TESS_STORE_FOLDS;
}

#endif
