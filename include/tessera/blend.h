/* blend.h -- a model and a baseline as one predictor: w · model + (1 - w) · baseline.
 *
 * The weight is fitted once, at the end of a training, on the validation values, and kept in the
 * run directory (docs/formats.md, "blend.json"); whoever predicts takes it from there. Where the
 * baseline has nothing to go by, the context's mean takes its place, with a weight of its own.
 * A combination whose components are measured by themselves may be control + a · (model - control)
 * + b · (sum - control) instead, the sum being what one of tess_blend_components says. */
#ifndef TESSERA_BLEND_H
#define TESSERA_BLEND_H

#include "tessera/baselines.h"
#include "tessera/features.h"
#include "tessera/mapping.h"

#include <jansson.h>
#include <mpi.h>
#include <stdint.h>

struct tess_error;
struct tess_model;
struct tess_model_columns;
struct tess_rows;
struct tess_store;

#define TESS_BLEND_FORMAT "tessera-blend 1" /* of blend.json */

/* The baselines that a model is compared and blended with. */
extern const int tess_blend_baselines[];
enum { TESS_BLEND_BASELINES = 5 };
/* Those that combinations are blended with. */
extern const int tess_blend_components[];
enum { TESS_BLEND_COMPONENTS = 2 };

/* What is blended: where it pays, wherever a weight is known, nowhere. */
enum tess_blend_choice { TESS_BLEND_AUTO, TESS_BLEND_ON, TESS_BLEND_OFF };
/* "auto", "on", "off"; NULL is auto; -1: none of them. Local. */
int tess_blend_parse(const char *text);

/* Sums over some values y of errors m = model - y and b = baseline - y. */
struct tess_blend_products {
    double experiments, m2, b2, mb, values;
};
/* Of each baseline of tess_blend_baselines. */
struct tess_blend_sums {
    double experiments, values; /* that the model can predict */
    double m2;
    double b2[TESS_BLEND_BASELINES]; /* with the context's mean where it falls back */
    /* Of experiments on which it does not fall back; last those of perturbations that are known by
     * their features alone, with the baseline `features`, and with no other. */
    struct tess_blend_products own[TESS_BLEND_BASELINES + 1];
    /* Of combinations whose components are measured, on which it does not ([0]) or does. */
    struct tess_blend_products beside[TESS_BLEND_BASELINES][2];
    struct { /* of all of these: m and y of the model and the measured, s of the sum, less control
              */
        double experiments, m2, s2, y2, ms, my, sy;
    } components[TESS_BLEND_COMPONENTS];
};

struct tess_blend {
    int baseline; /* enum tess_baseline */
    double weight; /* of the model, 0 to 1 */
    double mean_weight; /* the same beside the context's mean, where the baseline falls back */
    /* The same beside the baseline `features`, for perturbations that are known by features alone,
     * whatever the others; 1: the model has no features. */
    double feature_weight;
    /* The RMSE on validation values of such perturbations, so blended and of the model alone; NaN:
     * there were none. */
    double feature_rmse, feature_model_rmse;
    /* Of combinations all of whose components were trained on by themselves in the context: a and
     * b, both at least 0, and which sum; NaN: they are blended as all others are. */
    double components_model, components_sum;
    int components_baseline;
    int64_t n_experiments, n_values; /* of validation */
    double model_rmse, baseline_rmse; /* on them */
    /* Of each of tess_blend_baselines on all validation values; 0 where it was read from a file. */
    double validation_rmse[TESS_BLEND_BASELINES];
    uint64_t model_hash, store_hash, split_hash; /* what it belongs to */
};

/* The baseline with the least Σ b², and the weights: n experiments with the least squares at w0
 * make w = (n w0 + 3/2) / (n + 3) within [0, 1]; 1 where nothing tells model and baseline apart.
 * The weights of combinations, the least squares shrunk alike, where they have at most 0.98 of the
 * squared error. Local. */
void tess_blend_fit(struct tess_blend *blend, const struct tess_blend_sums *sums);
/* Is a single perturbation known by its features alone, by the baselines' fallbacks
 * (TESS_BASELINES) and what `features` says of it (NULL: nothing)? Local. */
int tess_blend_by_features(const uint8_t *fallback, const double *features);
/* Does the baseline itself speak for a row? Not where it falls back, nor, but for `interpolated`,
 * which knows a drug by its other doses, of what is known by its features alone. Local. */
int tess_blend_speaks(int baseline, const uint8_t *fallback, int by_features);
/* Is it worth it? Weights near 1 change nothing but the cost. Local. */
int tess_blend_pays(const struct tess_blend *blend);
/* blend.json of a run directory, appearing whole. Local. */
int tess_blend_write(const char *directory, const struct tess_blend *blend,
                     struct tess_error *error);
/* TESS_EDATA naming what is wrong; *there = 0, and no error, if there is no such file. Local. */
int tess_blend_read(const char *directory, struct tess_blend *blend, int *there,
                    struct tess_error *error);
/* As it is written; own of the caller. Local. */
json_t *tess_blend_json(const struct tess_blend *blend);
/* The weights of combinations, if there are any, into an object. Local. */
void tess_blend_add_components(const struct tess_blend *blend, json_t *json);

/* A model, or an ensemble, with the blend of each member. */
struct tess_blender {
    const struct tess_model *model; /* borrowed */
    int active; /* is anything blended? */
    int n; /* members */
    struct tess_blend *blend; /* (n) weights 1: this one is not blended; own */
    struct tess_baselines *baselines; /* borrowed */
    /* The model's numbers in the store; own. */
    struct tess_mapping component, readout, context;
};

/* Finds each member's blend beside its checkpoint. auto: one that is stale or damaged is passed
 * over with a warning; on: TESS_EDATA if one is missing, stale or damaged. Then active says
 * whether tess_blender_join is needed. Collective over comm. */
int tess_blender_open(struct tess_blender *blender, const struct tess_model *model,
                      enum tess_blend_choice choice, MPI_Comm comm, struct tess_error *error);
/* May this store's baselines be blended with? It must hold what every blended member was trained
 * on, split as it was. If not: auto warns, and nothing is blended; on is TESS_EDATA. Local, the
 * same on every rank that has the same index. */
int tess_blender_check(struct tess_blender *blender, const struct tess_store *store,
                       enum tess_blend_choice choice, struct tess_error *error);
/* The baselines of that store, which must outlive the blender. Local. */
void tess_blender_join(struct tess_blender *blender, struct tess_baselines *baselines);
void tess_blender_release(struct tess_blender *blender);

/* The store that the baselines learn from. */
struct tess_blend_store {
    struct tess_store store; /* open if the blender is active */
    struct tess_profiles profiles;
    struct tess_features features; /* of its components, by the model; own */
    struct tess_baselines baselines;
};
struct tess_blend_request { /* borrowed */
    const struct tess_model *model;
    const char *store; /* or NULL: the one that the model was trained on */
    enum tess_blend_choice choice;
    double
        memory; /* that the rank may have in all; 0: no bound. Profiles may keep an eighth of it */
};
/* All of the above at once: whether the model is blended, its store, and what the baselines learn
 * from it. auto: without that store, or with another one, it warns and nothing is blended; on:
 * TESS_EDATA. Both are to be released in either case, the blender first. Collective over comm. */
int tess_blender_open_store(struct tess_blender *blender, struct tess_blend_store *of,
                            const struct tess_blend_request *request, MPI_Comm comm,
                            struct tess_error *error);
void tess_blend_store_release(struct tess_blend_store *of);

/* As tess_model_predict; members are blended before they are averaged. What the store does not know
 * is the model's alone. Local; not by several threads at once. */
int tess_blender_predict(const struct tess_blender *blender, const struct tess_rows *rows,
                         const struct tess_model_columns *columns, struct tess_error *error);
/* Bytes that blending takes: of a value on its way (`listed`: rows with readouts of their own, each
 * value maybe a row), and what its baselines may come to keep. 0 if nothing is blended. Local. */
double tess_blender_value_bytes(const struct tess_blender *blender, int listed);
double tess_blender_growth(const struct tess_blender *blender);
/* The RMSE of measured values about what the blender predicts of single perturbations that are
 * known by their features alone (tess_known_has_deviation), on validation perturbations without any
 * training data: as blend.json of each member has it, for what is blended now; of several members
 * the root mean square of theirs, which their mean does not exceed. NaN if any has none. Collective
 * over comm; the same on every rank. */
double tess_blender_feature_deviation(const struct tess_blender *blender, MPI_Comm comm);
/* "model (0.93) + linear (0.07)", of an ensemble with its mean weight; "model" if nothing is
 * blended; own of the caller. Local. */
char *tess_blender_name(const struct tess_blender *blender);

#endif
