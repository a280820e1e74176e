/* trainer.h -- everything one rank holds while it trains. */
#ifndef TESSERA_TRAINER_H
#define TESSERA_TRAINER_H

#include "tessera/ahead.h"
#include "tessera/dataset.h"
#include "tessera/encoder.h"
#include "tessera/error.h"
#include "tessera/lanes.h"
#include "tessera/route.h"
#include "tessera/schedule.h"
#include "tessera/shard.h"
#include "tessera/state.h"
#include "tessera/tile.h"

#include <stdint.h>

#define TESS_WINDOW      16 /* steps whose rows are asked for at once */
#define TESS_PULSE_EXTRA 3 /* numbers of a pulse besides those of lanes */

#define TESS_VALIDATION_ROWS   4096 /* experiments predicted at a time */
#define TESS_VALIDATION_VALUES (1 << 21) /* about as many values */

/* What a comparison with the baselines keeps at most of values, and as much again of sums. */
#define TESS_COMPARISON_BYTES ((size_t)32 << 20)

/* Entries of a step's routes are 64-bit numbers: the table in the top byte, the row below. */
#define TESS_ROW(table, row)  ((int64_t)(table) << 56 | (row))
#define TESS_ROW_TABLE(code)  ((int)((code) >> 56))
#define TESS_ROW_NUMBER(code) ((code) & (((int64_t)1 << 56) - 1))

/* The small facts of a step, reduced once over all ranks. */
struct tess_pulse {
    double *lane_loss; /* (lanes) Σ (out - y)²; own, with the rest behind it */
    double *lane_measured; /* (lanes) */
    double *trouble; /* ranks that met an error */
    double *stop; /* ranks that were asked to stop */
    double *save; /* rank 0's clock says: checkpoint after this step */
    double loss, measured; /* summed in lane order */
};

/* Where the time of a step goes; seconds of this rank. */
enum tess_stage {
    TESS_STAGE_PREPARE, /* the work of the next steps, and who needs which rows */
    TESS_STAGE_READ, /* data.streaming: until the values of these steps are there */
    TESS_STAGE_GATHER, /* rows from their owners */
    TESS_STAGE_LANES, /* the tiles, and rows in and out of messages */
    TESS_STAGE_WAIT, /* for the slowest rank: the pulse */
    TESS_STAGE_REDUCE, /* gradients of the MLP over lanes and ranks */
    TESS_STAGE_OPTIMIZE, /* MLP and rows */
    TESS_STAGE_SHARE, /* the new MLP to all, rows' gradients to their owners */
    TESS_N_STAGES
};

struct tess_times {
    double stage[TESS_N_STAGES], last;
    double compute, communicate, wait; /* LANES; GATHER, REDUCE, OPTIMIZE, SHARE; WAIT */
};

struct tess_lane_buffer { /* rows of one lane at one step, and their gradients */
    size_t room;
    float *block; /* own */
    /* Rows of each table, vectors made of them (rows themselves where they are none), gradients. */
    float *row[TESS_N_TABLES], *vector[TESS_N_TABLES];
    float *drow[TESS_N_TABLES], *dvector[TESS_N_TABLES];
    double largest; /* of the MLP's finite gradients, if the loss was not finite */
};

struct tess_trainer {
    MPI_Comm comm; /* borrowed */
    int rank, n_ranks, n_threads;
    struct tess_config config;
    struct tess_store store;
    struct tess_dataset dataset;
    struct tess_schedule schedule;
    struct tess_lanes lanes;
    int n_local; /* lanes here */
    struct tess_lane *lane; /* (n_local) */
    struct tess_loaded validation; /* this rank's share; with data.streaming listed only */
    struct tess_ahead *ahead; /* data.streaming: reads values; else NULL; own */
    struct tess_routes validation_routes; /* one step: its P rows, each once */
    int64_t *validation_entry; /* (rows of P) the entry of each there, or -1; own */
    int64_t steps_per_epoch;

    struct tess_shape shape;
    struct tess_encoder encoder; /* of perturbations */
    struct tess_shard shard[TESS_N_TABLES];
    int64_t kept_bytes; /* tess_kept_decide's */
    int64_t n_parameters;
    float *parameter; /* (n_parameters) the MLP, whole */
    struct tess_mlp mlp; /* into it */
    int64_t precision_asked; /* enum tess_precision, before AUTO was decided */
    struct tess_packed *packed; /* of mlp, at each step anew; NULL with float32; own */
    int64_t *slice; /* (n_ranks + 1) who updates which parameters */
    float *m, *v; /* moments of this rank's slice */
    struct tess_optimizer optimizer;
    struct tess_progress_state progress;

    struct tess_workspace *workspace; /* (n_threads) */
    struct tess_marks *marks; /* (n_threads) */
    float *slice_gradient;
    struct tess_work *work; /* (TESS_WINDOW, n_local) */
    int64_t window_first, window_n; /* steps of the epoch prepared */
    struct tess_work *next_work; /* likewise, with data.streaming: being read; else NULL */
    int64_t next_first; /* the step that it begins with; -1: none */
    struct tess_request *request; /* (TESS_WINDOW) own */
    struct tess_routes routes;
    struct tess_lane_buffer *buffer; /* (n_local) */
    float *serve, *want; /* messages */
    size_t room_serve, room_want;
    struct tess_pulse pulse;
    struct tess_times times; /* since the last report */
    double libraries; /* bytes of memory before anything was read */
    double announced; /* bytes that the rank that needs most will need */
    struct tess_error trouble;
};

/* Opens the store and cuts it into lanes: enough for a plan. TESS_ECONFIG for settings that do not
 * go together. Whatever comes of it must be released. Collective over comm. */
int tess_trainer_open(struct tess_trainer *trainer, const struct tess_config *config, MPI_Comm comm,
                      struct tess_error *error);
/* The same with one of the store's contexts alone (tess_index_keep_context; NULL: with all), and
 * features that may have been read already (feature_file.h, NULL: none). Collective over comm. */
struct tess_feature_cache;
struct tess_trainer_part {
    const char *context;
    struct tess_feature_cache *features;
};
int tess_trainer_open_part(struct tess_trainer *trainer, const struct tess_config *config,
                           const struct tess_trainer_part *part, MPI_Comm comm,
                           struct tess_error *error);
/* The same of a store that is not there, on one rank: an index (moved), of whose experiments each
 * stands for so many, and no values. Such a trainer is planned with, not loaded. Local. */
int tess_trainer_open_index(struct tess_trainer *trainer, const struct tess_config *config,
                            struct tess_index *index, double each, struct tess_error *error);
/* Of a trainer that one rank opened: from now on it is any rank of any number, to be planned with
 * and not to be loaded. TESS_ECONFIG if there are fewer lanes than ranks. Local. */
int tess_trainer_pretend(struct tess_trainer *trainer, int rank, int n_ranks, int n_threads,
                         struct tess_error *error);
/* Who updates which of the n parameters of the MLP: (n_ranks + 1), own of the caller. Local. */
int64_t *tess_trainer_slices(int64_t n, int n_ranks);

/* Where the bytes of this rank will go. */
struct tess_trainer_memory {
    double data, model, lanes, index, libraries;
};
/* Local. */
struct tess_trainer_memory tess_trainer_memory(const struct tess_trainer *trainer);
double tess_trainer_memory_sum(const struct tess_trainer_memory *memory);
/* Of the rank that needs most, the same on every rank. Collective. */
double tess_trainer_most_bytes(const struct tess_trainer *trainer);
/* What it will do and the memory it needs, said by rank 0. Collective. */
void tess_trainer_announce(struct tess_trainer *trainer);
/* After tess_trainer_open: loads the values; parameters get their initial ones. TESS_EOS if the
 * memory is not there. Collective. */
int tess_trainer_load(struct tess_trainer *trainer, struct tess_error *error);
/* Opens and loads. Collective over comm. */
int tess_trainer_init(struct tess_trainer *trainer, const struct tess_config *config, MPI_Comm comm,
                      struct tess_error *error);
void tess_trainer_release(struct tess_trainer *trainer);
/* Gives back what steps need: lanes with their values, rows, moments. Store, dataset and validation
 * stay; no step is possible any more. Local. */
void tess_trainer_rest(struct tess_trainer *trainer);
/* Bytes of the whole model, as a rank holds it that predicts. Local. */
double tess_trainer_model_bytes(const struct tess_trainer *trainer);
/* The most memory that a rank ever had, beside what was announced; with -v. Collective. */
void tess_trainer_say_memory(const struct tess_trainer *trainer);
/* Where this rank's validation experiments begin and end: consecutive ones, as many for each rank.
 * Local. */
void tess_trainer_validation(const struct tess_trainer *trainer, int64_t *first, int64_t *end);

/* Orders of the epoch; sets steps_per_epoch. Collective. */
void tess_trainer_begin_epoch(struct tess_trainer *trainer, int64_t epoch);
/* The work of steps first, first + 1, … of the epoch, TESS_WINDOW of them. Collective. */
void tess_trainer_prepare(struct tess_trainer *trainer, int64_t first);
/* data.streaming: a window that is being read is dropped. Local. */
void tess_trainer_forget_window(struct tess_trainer *trainer);
/* One step of the epoch. Collective; the same code everywhere. */
int tess_trainer_step(struct tess_trainer *trainer, int64_t step, struct tess_error *error);

/* Validation: RMSE in the store's units, overall and per context, NaN where nothing is measured.
 * context (n_contexts) may be NULL. TESS_EINTERRUPTED, `error` untouched and no score, if a signal
 * came meanwhile; the codes of tess_ahead_finish. Collective; the same everywhere. */
int tess_trainer_validate(struct tess_trainer *trainer, double *score, double *context,
                          struct tess_error *error);

/* This rank's part of the state, borrowed: good until the trainer's next step. Before it is loaded,
 * sizes without numbers. Local. */
struct tess_state tess_trainer_state(const struct tess_trainer *trainer);
/* The numbers of a state that the trainer holds itself, not by a pointer: taken over. Of the
 * optimiser the arrays as well: release the trainer's before if they are others. Local. */
void tess_trainer_adopt(struct tess_trainer *trainer, const struct tess_state *state);
/* Take over the whole state of a checkpoint: each rank its rows. TESS_ECONFIG, naming what differs,
 * if the store, its split or a setting that must stay is another; TESS_EDATA if the file is
 * damaged. Collective. */
int tess_trainer_resume(struct tess_trainer *trainer, const char *path, struct tess_error *error);

/* TESS_ECONFIG, naming what differs, if a setting is another that must stay when the training of
 * `path` goes on. Local. */
int tess_trainer_compare(const struct tess_config *before, const struct tess_config *now,
                         const char *path, struct tess_error *error);

/* The whole state, written aside by all ranks, fsynced, renamed (checkpoint.h). TESS_EDATA if
 * parameters are not finite any more; other codes: it cannot be written. Collective. */
int tess_trainer_save(const struct tess_trainer *trainer, const char *path,
                      struct tess_error *error);
/* About the bytes of its file. Local. */
double tess_trainer_save_bytes(const struct tess_trainer *trainer);

#endif
