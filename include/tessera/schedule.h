/* schedule.h -- which observations each lane takes at each step: a pure function of (seed, epoch,
 * lane), whatever rank holds the lane.
 *
 * tiles: the lane's experiments, shuffled within their panel, are taken E at a time; each group's
 * readouts, shuffled, T at a time; the resulting tiles are shuffled. Of a factorised model with
 * contexts on its right side (network.h) a tile is up to E experiments of one perturbation, which
 * then share its left vector. observations: single measured
 * values, shuffled. At every step lane l takes its share of the batch; an epoch lasts until the
 * longest lane is through. */
#ifndef TESSERA_SCHEDULE_H
#define TESSERA_SCHEDULE_H

#include "tessera/ahead.h"
#include "tessera/config.h"
#include "tessera/dataset.h"
#include "tessera/tile.h"

#include <stdint.h>

/* A tile: experiments order[first .. first + E) against T columns of their panel: shuffled ones,
 * from `column` on of those that begin at `readouts`; or 0 … T - 1 where that is -1. */
struct tess_cut {
    int64_t first;
    int32_t E, T, column;
    int64_t readouts;
};

/* One lane's data and its order in the current epoch. */
struct tess_lane {
    int number;
    int64_t share; /* observations a step */
    struct tess_loaded loaded; /* own; with data.streaming listed only */
    uint8_t *missing; /* then, of observations: a bit for each value; NULL: none is missing; own */
    int64_t *order; /* tiles: experiments, shuffled within panels; own */
    int64_t n_tiles;
    struct tess_cut *tile; /* own */
    int32_t *readouts; /* tiles: shuffled columns of the panel, of each group of experiments; own */
    int64_t n_readouts;
    uint32_t *pick; /* observations: places of values, shuffled; own */
    int64_t n_picks, epoch;
    int64_t *step_first; /* tiles: (n_steps + 1) tiles of each step; own */
    int64_t n_steps; /* steps until this lane has run out */
};

/* Rows that vectors are made of: each row once, vectors by places in `row` (mix.row). Of marks each
 * holds the place of a row, -1: it is not there. */
struct tess_gathered {
    int32_t n, room;
    int64_t *row; /* (n) own */
    struct tess_mix mix;
};

/* What a lane computes at one step: observations as (left row, right row, target), or as dense
 * blocks (tile.h), and the rows. All numbers are the model's. */
struct tess_work {
    int64_t n, room;
    int32_t *u, *v; /* (n); of dense blocks their left and right rows, one block after the other */
    float *y; /* (n) targets; of dense blocks only with data.streaming */
    int n_dense;
    size_t room_dense;
    struct tess_dense *dense; /* (n_dense) */
    int64_t n_rows, room_rows, n_columns, room_columns; /* of all blocks */
    const float **row; /* (n_rows) their targets, within the lane's values or y */
    struct tess_reads reads; /* data.streaming: what fills y, which has no values before */
    int32_t n_u, room_u, *u_p, *u_c;
    float *weight; /* (n_u) data.weight; NULL: none */
    int64_t *experiment; /* (n_u) place in the lane's loaded experiments */
    int32_t n_p, room_p, n_r, room_r, n_c, room_c;
    int64_t *combination, *readout, *context; /* (n_p), (n_r), (n_c) numbers */
    /* Rows of the tables that these are made of; of readouts and contexts only where they are
     * composed, else their numbers are the rows. */
    struct tess_gathered gathered[TESS_N_TABLES];
};
/* The rows that a work asks for of a table, in order. Local. */
int32_t tess_work_rows(const struct tess_work *work, const struct tess_dataset *dataset,
                       enum tess_embedding table, const int64_t **row);
void tess_work_release(struct tess_work *work);

/* Where something stands in the lists of the work that is being made, -1: nowhere yet; all -1
 * between two calls. One a thread; n_experiments: the most that a lane has. Local. */
struct tess_marks {
    int32_t *experiment, *combination, *readout, *context;
    int32_t *row[TESS_N_TABLES]; /* of tables whose rows are gathered, else NULL */
};
void tess_marks_init(struct tess_marks *marks, const struct tess_dataset *dataset,
                     int64_t n_experiments);
void tess_marks_release(struct tess_marks *marks);

struct tess_schedule {
    const struct tess_config *config; /* borrowed */
    const struct tess_dataset *dataset; /* borrowed */
    struct tess_encoder encoder; /* how vectors are made of rows */
    int64_t batch; /* observations a step, all lanes: the setting, or chosen from the data */
    int64_t lanes; /* the setting, or chosen from the batch */
    int64_t *lane_first; /* (lanes + 1) experiments of the store where each lane starts; own */
};

/* Cuts the training experiments into lanes of equal shares of observations. A batch of 0 becomes
 * the power of two that gives an epoch 256 to 512 steps, kept between 512 (factorised models: 256)
 * and 16384, and at least one observation a lane. (Of tiles a place without a value counts as one.)
 * Lanes of 0 become 16; of factorised models as many as have 16384 observations a step each, 8 at
 * least and 64 at most. Local (every rank has the index). */
/* Are there so few training observations (at most 2^19) that steps are small? Then single ones cost
 * no more than tiles. Local. */
int tess_schedule_is_small(const struct tess_dataset *dataset);
void tess_schedule_init(struct tess_schedule *schedule, const struct tess_config *config,
                        const struct tess_dataset *dataset);
void tess_schedule_release(struct tess_schedule *schedule);
/* Observations that a lane takes at a step. Local. */
int64_t tess_schedule_share(const struct tess_schedule *schedule, int lane);
/* Is a tile a dense block (tile.h), are its experiments those of one perturbation? Local. */
int tess_schedule_dense(const struct tess_schedule *schedule);
int tess_schedule_by_perturbation(const struct tess_schedule *schedule);
/* What a lane will hold, before it is loaded. */
struct tess_lane_sizes {
    int64_t experiments, values; /* kept values */
    int64_t tiles, readouts; /* readouts: shuffled columns, of all groups */
    int64_t left, right; /* at most so many experiments and readouts at a step */
    int64_t order_bytes; /* of an epoch's order */
};
void tess_schedule_sizes(const struct tess_schedule *schedule, int lane,
                         struct tess_lane_sizes *sizes);
/* Load a lane; with data.streaming find out what it holds and misses. TESS_ECONFIG, naming
 * train.lanes, if it has too many values to draw them one by one; else the codes of
 * tess_dataset_load. Local. */
int tess_lane_init(struct tess_lane *lane, const struct tess_schedule *schedule, int number,
                   struct tess_error *error);
/* The same without values, where the order does not depend on them: enough to see which rows its
 * steps need. Local. */
int tess_lane_lay_out(struct tess_lane *lane, const struct tess_schedule *schedule, int number,
                      struct tess_error *error);
void tess_lane_release(struct tess_lane *lane);
/* The lane's order for an epoch; sets n_steps. Local. */
void tess_lane_shuffle(struct tess_lane *lane, const struct tess_schedule *schedule, int64_t epoch);
/* Its work at a step (0 … ; empty once it has run out). With data.streaming its targets are yet to
 * be read: work->reads, which borrows of the lane's order, and of `work`. Local. */
void tess_lane_work(const struct tess_lane *lane, const struct tess_schedule *schedule,
                    int64_t step, struct tess_marks *marks, struct tess_work *work);

#endif
