/* config.h -- every setting of a training, declared once (src/config/params.c): name, type,
 * default, range, unit, help, and whether it is numeric (changes bits; stored in checkpoints) or
 * layout (paths, threads, intervals). YAML, --set, range checks, config/reference.yaml,
 * docs/configuration.md, used.yaml in the run directory and the checkpoint's `config` all come from
 * that table. Local but for tess_config_read. */
#ifndef TESSERA_CONFIG_H
#define TESSERA_CONFIG_H

#include "tessera/text.h"

#include <mpi.h>
#include <stdint.h>
#include <stdio.h>

struct tess_error;

#define TESS_PATH 1024

enum tess_kind_of_model { TESS_KIND_MLP, TESS_KIND_DOT, TESS_KIND_CP, TESS_KIND_AUTO };
enum tess_combination_rule {
    TESS_COMBINE_MEAN,
    TESS_COMBINE_SUM,
    TESS_COMBINE_MAX,
    TESS_COMBINE_AUTO
};
enum tess_sampling { TESS_SAMPLING_TILES, TESS_SAMPLING_OBSERVATIONS, TESS_SAMPLING_AUTO };
enum tess_noise_rule { TESS_NOISE_NONE, TESS_NOISE_LEARNED };
enum tess_activation { TESS_ACTIVATION_RELU, TESS_ACTIVATION_SILU, TESS_ACTIVATION_AUTO };
enum tess_precision { TESS_PRECISION_FLOAT32, TESS_PRECISION_BFLOAT16, TESS_PRECISION_AUTO };
enum tess_optimizer_kind { TESS_OPTIMIZER_ADAM, TESS_OPTIMIZER_ADAMW, TESS_OPTIMIZER_SGD };
enum tess_schedule_kind { TESS_SCHEDULE_CONSTANT, TESS_SCHEDULE_EXPONENTIAL, TESS_SCHEDULE_COSINE };
enum tess_init_new { TESS_INIT_NEW_RANDOM, TESS_INIT_NEW_MEAN };
enum tess_experiments { TESS_EXPERIMENTS_ALL, TESS_EXPERIMENTS_NEW };
enum tess_weight { TESS_WEIGHT_NONE, TESS_WEIGHT_REPLICATES, TESS_WEIGHT_COLUMN };
enum tess_normalize { TESS_NORMALIZE_NONE, TESS_NORMALIZE_ZSCORE, TESS_NORMALIZE_DELTA };

struct tess_config {
    struct {
        char store[TESS_PATH];
        int64_t normalize; /* enum tess_normalize */
        double scale; /* deviation of all training values together; 0: left as they are */
        int64_t top_variable; /* readouts kept; 0: all */
        int64_t weight; /* enum tess_weight */
        int64_t streaming; /* 1: values are read when they are needed (ahead.h) */
    } data;
    struct {
        char directory[TESS_PATH];
        int64_t seed;
    } run;
    struct {
        int64_t kind; /* enum tess_kind_of_model; a trainer's and a checkpoint's is never AUTO */
        int64_t embedding_dim, hidden_dim, layers;
        int64_t activation; /* enum tess_activation */
        double dropout;
        int64_t combination; /* enum tess_combination_rule */
        int64_t doses; /* 1: drug@10uM is made of the drug and the dose (composition.h) */
        int64_t context_parts; /* 1: contexts are sums of parts (composition.h) */
        int64_t noise; /* enum tess_noise_rule */
    } model;
    struct {
        char perturbations[TESS_PATH], readouts[TESS_PATH]; /* files of side features; "": none */
        int64_t axes;
    } features;
    struct {
        int64_t epochs, batch;
        int64_t sampling; /* enum tess_sampling; a trainer's and a checkpoint's is never AUTO */
        int64_t lanes; /* 0: chosen, as batch */
        int64_t optimizer; /* enum tess_optimizer_kind */
        double learning_rate;
        int64_t schedule; /* enum tess_schedule_kind */
        double decay; /* exponential: factor an epoch; cosine: final share of the rate */
        double warmup; /* epochs of linear rise */
        double weight_decay;
        double momentum; /* sgd */
        char init[TESS_PATH]; /* a model that the training begins from (warm.h); "": none */
        char init_hash[TESS_PATH]; /* of that model's file; "": any */
        int64_t init_new; /* enum tess_init_new */
        int64_t experiments; /* enum tess_experiments */
        char freeze[TESS_PATH]; /* "readouts,network": parts that do not move (rates.h) */
        double rate_perturbations, rate_readouts, rate_contexts, rate_network; /* factors */
        int64_t tile_experiments, tile_readouts; /* shape of a training tile; 0: chosen */
        int64_t patience; /* epochs without improvement; 0: never stop early */
        int64_t precision; /* enum tess_precision; a trainer's and a checkpoint's is never AUTO */
        int64_t members, groups; /* of an ensemble; of ranks that train them side by side */
        char member_kinds[TESS_PATH]; /* "mlp,dot": names of kinds, in turn; "": model.kind */
        int64_t threads; /* of a rank; 0: as OMP_NUM_THREADS says, else 1 */
    } train;
    struct {
        double minutes;
        int64_t keep;
    } checkpoint;
};

enum tess_param_type { TESS_PARAM_INT, TESS_PARAM_REAL, TESS_PARAM_TEXT, TESS_PARAM_CHOICE };

struct tess_param {
    const char *name; /* "train.batch" */
    enum tess_param_type type;
    int numeric; /* 1: changes bits; 0: layout */
    size_t offset; /* in struct tess_config */
    const char *initial;
    double low, high;
    const char *choices; /* "tiles|observations", by enum value */
    const char *unit, *help;
};
extern const struct tess_param tess_params[];
extern const int tess_n_params;

void tess_config_init(struct tess_config *config); /* the defaults; local */
/* One setting from text: TESS_ECONFIG naming the key, the value, the range and, for an unknown key,
 * the nearest known one. `where` ("file.yaml:12", "--set") begins the sentence. Local. */
int tess_config_set(struct tess_config *config, const char *name, const char *value,
                    const char *where, struct tess_error *error);
/* The defaults, then a YAML file (nested maps or dotted keys), then each "key=value" of `set` (may
 * be NULL). Rank 0 reads, all get the result. A key given twice in the file is an error. Collective
 * over comm. */
int tess_config_read(struct tess_config *config, const char *path, const struct tess_strings *set,
                     MPI_Comm comm, struct tess_error *error);
/* The setting of that name; NULL if there is none. Local. */
const struct tess_param *tess_config_find(const char *name);
/* Text of one setting; own of the caller. Reals in the fewest digits that read back the same. */
char *tess_config_get(const struct tess_config *config, const struct tess_param *param);
/* As YAML, nested; numeric_only leaves layout settings out (what a checkpoint stores). With
 * `explained`, the meaning, unit and range of each as a comment above it. Own of the caller. */
char *tess_config_yaml(const struct tess_config *config, int numeric_only, int explained);
/* The defaults, then a text in that form (a checkpoint's); `source` for the sentence. Local. */
int tess_config_parse(struct tess_config *config, const char *yaml, const char *source,
                      struct tess_error *error);
/* docs/configuration.md, generated. */
char *tess_config_markdown(void);

#endif
