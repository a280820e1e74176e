/* screen.h -- what a screen works with, for its files. */
#ifndef SCREEN_H
#define SCREEN_H

#include "tessera/known.h"
#include "tessera/mapping.h"
#include "tessera/model.h"
#include "tessera/screen.h"
#include "tessera/select.h"

/* The readouts that count, and how much. */
struct screen_signature {
    int64_t n;
    int64_t *readout; /* (n) numbers of the model, ascending; own */
    double *weight; /* (n) none is 0; own */
};
/* The readouts that are named, with weight 1, or the signature's file: a line "READOUT<TAB>WEIGHT"
 * each, where "readout" may begin the line of names. TESS_EDATA. Local: on rank 0. */
int tess_screen_read_signature(const struct tess_screen *screen, const struct tess_model *model,
                               struct screen_signature *signature, struct tess_error *error);
void tess_screen_signature_broadcast(struct screen_signature *signature, MPI_Comm comm);
void tess_screen_signature_release(struct screen_signature *signature);
/* A score (screen.h) of n changes. Local. */
double tess_screen_score(const struct screen_signature *signature, int cosine, const float *change);

/* What is known of a perturbation in the end. */
struct screen_result {
    double change; /* the score, mean over members and contexts */
    double deviation; /* of the members' means over contexts (n - 1) */
    double measured; /* mean over the contexts where it was measured; NaN: nowhere */
    int64_t agreeing; /* contexts where it goes the way that is asked for */
    int64_t n_measured; /* contexts */
    int64_t n_trained, n_elsewhere; /* contexts it was trained in: screened ones, others */
};

/* Of all scores but the control's, which is 0 by definition. */
struct screen_spread {
    double n, mean, squares; /* sum of squared distances from the mean */
};

/* A perturbation in a context, for what to measure next, and for what is written of contexts. */
struct screen_cell {
    double change, deviation; /* score, mean and standard deviation of the members */
    int64_t ran; /* is it in the store? */
};

struct screening {
    const struct tess_screen *screen; /* borrowed */
    MPI_Comm comm;
    int rank, n_ranks;
    struct tess_model model;
    struct tess_blender blender;
    struct tess_blend_store learned;
    struct tess_sets perturbation, context;
    struct screen_signature signature;
    int64_t n_pairs; /* of all that there are those were kept that are screened; 0: all are */
    struct screen_spread spread; /* of all, on rank 0 in the end */
    int64_t control; /* number in the model; -1: values are changes */
    int64_t begin, end; /* this rank's perturbations */
    int knows_trained; /* does the store say what was trained on? */
    /* (end - begin, contexts), in the end on rank 0 of all; NULL: not asked; own */
    struct screen_cell *cell, *all_cells;
    struct screen_result *result, *all_results; /* the same of perturbations; own */
};

/* Numbers of a set in a list that may have grown to twice what is in it. */
#define TESS_SCREENING_PAIR_BYTES (2 * 3 * sizeof(int64_t))
/* Is the output an AnnData file? Local. */
int tess_screening_is_file(const struct tess_screen *screen);
/* Only what is of the type that is asked for stays among the perturbations. TESS_EDATA if that is
 * nothing. Local: on rank 0. */
int tess_screening_keep_type(struct screening *work, struct tess_error *error);
/* From the single perturbations that were chosen, of which control does not count, all pairs of
 * them, or the best `top`, and the spread of all. Collective. */
int tess_screening_pair(struct screening *work, struct tess_error *error);
/* Change, deviation and agreement of this rank's perturbations. Local. */
int tess_screening_predict(struct screening *work, struct tess_error *error);
/* What predicting n perturbations takes beside the model, and what is known of n in the end on rank
 * 0, their predictions included: bytes. Local. */
double tess_screening_predict_bytes(const struct screening *work, int64_t n);
int64_t tess_screening_contexts(const struct screening *work); /* of which something is kept */
double tess_screening_bytes(const struct screening *work, int64_t n);
/* What was measured of them, and trained on. Without a store, or with another than the model was
 * trained on, a warning, and nothing is known. Collective. */
int tess_screening_measure(struct screening *work, struct tess_error *error);
/* The perturbations in the order that is asked for; own of the caller. Local: on rank 0. */
int64_t *tess_screening_order(const struct screening *work);
/* One perturbation's column "z", and "trained" (0: here, 1: elsewhere, 2: never, -1: not known). */
double tess_screening_z(const struct screening *work, int64_t set);
int tess_screening_trained(const struct screening *work, int64_t set);
/* The least known of its components and of the contexts that are screened. */
enum tess_known tess_screening_known(const struct screening *work, int64_t set);
extern const char *const tess_screening_trained_names[3];
/* "A+B", of targets where that is asked for; own of the caller. Local. */
char *tess_screening_name(const struct screening *work, int64_t set, int target);
/* The spread of what is screened, on rank 0. Local. */
void tess_screening_spread(struct screening *work);
/* The AnnData file. Collective. */
int tess_screening_write_file(const struct screening *work, struct tess_error *error);
/* The table, of perturbations or of experiments to run next: rank 0's. Local. */
int tess_screening_write(const struct screening *work, struct tess_error *error);
/* The latter's lines, those that would teach most first. Local. */
struct tess_sheet;
void tess_screening_write_next(const struct screening *work, struct tess_sheet *sheet);
#endif
