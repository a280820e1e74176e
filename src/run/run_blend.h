/* run_blend.h -- how much of the model and how much of a baseline, for who predicts with it. */
#ifndef RUN_BLEND_H
#define RUN_BLEND_H

struct tess_error;
struct tess_run;
struct tess_trainer;

/* The model beside the baselines on the validation values, said in a line (run_compare.h), and
 * blend.json of the run, fitted on the validation values to the run's best checkpoint, unless it is
 * there already; too large a model is not weighed. The trainer rests from here on. Without
 * validation values none is made. A training does not fail for it: rank 0 warns. TESS_EINTERRUPTED
 * if a signal came meanwhile. Collective. */
int tess_run_blend(const struct tess_run *run, struct tess_trainer *trainer,
                   struct tess_error *error);

#endif
