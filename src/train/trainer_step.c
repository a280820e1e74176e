/* trainer_step.c -- one step, as in the diagram of docs/architecture.md:
 *   schedule → rows from their owners → tiles of each lane → pulse → MLP: reduce, update, share
 *                                                                 → rows: back to owners, update */
#include "tessera/trainer.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/bfloat16.h"
#include "tessera/clock.h"
#include "tessera/error.h"

#include <math.h>
#include <omp.h>
#include <string.h>

/* Copies and sums of so many floats are worth the threads' meeting. */
#define MANY_FLOATS 65536

/* The time since the last lap was spent on `stage`. */
static void lap(struct tess_trainer *trainer, enum tess_stage stage)
{
    double now = tess_clock();

    trainer->times.stage[stage] += now - trainer->times.last;
    trainer->times.last = now;
}

static struct tess_work *work_of(struct tess_trainer *trainer, int64_t step, int lane)
{
    return &trainer->work[(step - trainer->window_first) * trainer->n_local + lane];
}

static float *message(float **block, size_t *room, int64_t rows, int dim)
{
    size_t need = (size_t)rows * (size_t)dim;

    if (need > *room) {
        tess_free(*block);
        *block = TESS_NEW(float, need);
        *room = need;
    }
    return *block;
}

/* Owners catch the rows up that this step touches, and send them. The optimiser has begun the step
 * already, so rows are caught up to the one before; update_rows then takes them through this one.
 */
static void fetch_rows(struct tess_trainer *trainer, int at)
{
    const struct tess_route_step *route = &trainer->routes.step[at];
    int dim = trainer->shape.dim;
    size_t bytes = (size_t)dim * sizeof(float);
    float *serve = message(&trainer->serve, &trainer->room_serve, route->n_serve, dim);
    float *want = message(&trainer->want, &trainer->room_want, route->n_want, dim);

    for (int64_t i = 0; i < route->n_serve; i++)
        tess_shard_touch(&trainer->shard[TESS_ROW_TABLE(route->serve[i])],
                         TESS_ROW_NUMBER(route->serve[i]));
    for (int t = 0; t < TESS_N_TABLES; t++)
        tess_shard_catch_up(&trainer->shard[t], tess_optimizer_of(&trainer->optimizer, t),
                            trainer->optimizer.step - 1);
#pragma omp parallel for schedule(static) if (route->n_serve * dim > MANY_FLOATS)
    for (int64_t i = 0; i < route->n_serve; i++) {
        const struct tess_shard *shard = &trainer->shard[TESS_ROW_TABLE(route->serve[i])];
        int64_t row = TESS_ROW_NUMBER(route->serve[i]) - shard->first[shard->rank];

        memcpy(tess_route_place(route, i, dim, serve, want), shard->rows.value + row * dim, bytes);
    }
    tess_routes_fetch(&trainer->routes, at, dim, serve, want);
}

/* How much of each table a work has: rows, and vectors made of them (0: rows are the vectors). */
struct sizes {
    int64_t rows[TESS_N_TABLES], vectors[TESS_N_TABLES], all_rows;
};

static struct sizes sizes_of(const struct tess_trainer *trainer, const struct tess_work *work)
{
    struct sizes sizes = {.all_rows = 0};

    for (int t = 0; t < TESS_N_TABLES; t++) {
        const int64_t *row;

        sizes.rows[t] = tess_work_rows(work, &trainer->dataset, t, &row);
        sizes.vectors[t] = work->gathered[t].mix.n;
        sizes.all_rows += sizes.rows[t];
    }
    return sizes;
}

/* First the rows of all tables, as they come in a message, then vectors; gradients likewise. */
static void reserve(struct tess_lane_buffer *buffer, const struct sizes *sizes, int dim)
{
    size_t d = (size_t)dim, n = 0;
    float *at;

    for (int t = 0; t < TESS_N_TABLES; t++)
        n += (size_t)(sizes->rows[t] + sizes->vectors[t]);
    if (2 * n * d > buffer->room) {
        tess_free(buffer->block);
        buffer->room = 3 * n * d;
        buffer->block = TESS_NEW(float, buffer->room);
    }
    at = buffer->block;
    for (int half = 0; half < 2; half++) {
        float **row = half ? buffer->drow : buffer->row;
        float **vector = half ? buffer->dvector : buffer->vector;

        for (int t = 0; t < TESS_N_TABLES; at += (size_t)sizes->rows[t++] * d)
            vector[t] = row[t] = at;
        for (int t = 0; t < TESS_N_TABLES; at += (size_t)sizes->vectors[t++] * d)
            if (sizes->vectors[t] > 0)
                vector[t] = at;
    }
}

/* Vectors of all tables from their rows; the gradient from vectors to rows. */
static void make_vectors(const struct tess_trainer *trainer, const struct tess_work *work,
                         const struct tess_lane_buffer *buffer)
{
    for (int t = 0; t < TESS_N_TABLES; t++) {
        const struct tess_perturbations made = tess_mix_of(&work->gathered[t].mix);

        if (made.n > 0)
            tess_encoder_forward(&trainer->encoder, &made, buffer->row[t], buffer->vector[t]);
    }
}

static void make_row_gradients(const struct tess_trainer *trainer, const struct tess_work *work,
                               const struct tess_lane_buffer *buffer)
{
    for (int t = 0; t < TESS_N_TABLES; t++) {
        const struct tess_perturbations made = tess_mix_of(&work->gathered[t].mix);

        if (made.n > 0)
            tess_encoder_backward(&trainer->encoder, &made, buffer->row[t], buffer->dvector[t],
                                  work->gathered[t].n, buffer->drow[t]);
    }
}

/* The largest finite one, for the sentence. */
static double largest(int64_t n, const float *gradient)
{
    double most = 0;

    for (int64_t i = 0; i < n; i++) {
        double g = fabs((double)gradient[i]);

        most = isfinite(g) && g > most ? g : most;
    }
    return most;
}

/* One lane: its rows out of the message, the tile, its rows' gradients into the message. `entry` is
 * the lane's first entry of the step: rows of the tables, in the order they were asked
 * for. Every entry has a slot of its own, even if two lanes ask for one row: lanes write side by
 * side. */
static void compute_lane(struct tess_trainer *trainer, int at, int64_t step, int lane,
                         int64_t entry)
{
    const struct tess_route_step *route = &trainer->routes.step[at];
    const struct tess_work *work = work_of(trainer, step, lane);
    struct tess_lane_buffer *buffer = &trainer->buffer[lane];
    const struct sizes sizes = sizes_of(trainer, work);
    int dim = trainer->shape.dim;
    size_t bytes = (size_t)dim * sizeof(float);
    int number = trainer->lane[lane].number;
    struct tess_dropout dropout = {trainer->config.model.dropout,
                                   tess_random_stream((uint64_t)trainer->config.run.seed,
                                                      TESS_RANDOM_DROPOUT,
                                                      (uint64_t)trainer->optimizer.step),
                                   (uint64_t)number};
    struct tess_tile_grad grad = {.loss = 0};
    float *gradient = tess_lanes_take(&trainer->lanes);

    /* The buffer holds another lane's numbers: a lane without work must still add zeroes. */
    if (work->n == 0) {
        memset(gradient, 0, (size_t)trainer->n_parameters * sizeof(float));
    } else {
        reserve(buffer, &sizes, dim);
        for (int64_t i = 0; i < sizes.all_rows; i++) /* rows of all tables lie behind each other */
            memcpy(buffer->row[0] + i * dim, trainer->want + route->slot[entry + i] * dim, bytes);
        make_vectors(trainer, work, buffer);
        tess_mlp_point(&grad.mlp, trainer->shape, gradient);
        grad.dp = buffer->dvector[TESS_TABLE_P];
        grad.dr = buffer->dvector[TESS_TABLE_R];
        grad.dc = buffer->dvector[TESS_TABLE_C];
        tess_tile_train(&trainer->mlp,
                        &(struct tess_tile){work->n, work->u, work->v, work->y, work->n_p,
                                            work->n_r, work->n_c, buffer->vector[TESS_TABLE_P],
                                            buffer->vector[TESS_TABLE_R],
                                            buffer->vector[TESS_TABLE_C], work->n_u, work->u_p,
                                            work->u_c, work->n_dense, work->dense, work->weight},
                        &dropout, &trainer->workspace[omp_get_thread_num()], &grad);
        make_row_gradients(trainer, work, buffer);
        for (int64_t i = 0; i < sizes.all_rows; i++)
            memcpy(trainer->want + route->slot[entry + i] * dim, buffer->drow[0] + i * dim, bytes);
    }
    trainer->pulse.lane_loss[number] = grad.loss;
    trainer->pulse.lane_measured[number] = (double)grad.n_measured;
    buffer->largest = isfinite(grad.loss) ? 0 : largest(trainer->n_parameters, gradient);
    tess_lanes_give(&trainer->lanes, lane, gradient);
}

/* The matrices of the hidden layers as this step's products want them. */
static void pack(struct tess_trainer *trainer)
{
    struct tess_shape shape = trainer->shape;

    if (trainer->config.train.precision != TESS_PRECISION_BFLOAT16 || shape.layers < 2)
        return;
    if (!trainer->packed)
        trainer->packed = tess_packed_make(shape.layers - 1, shape.hidden);
    tess_packed_set(trainer->packed, trainer->mlp.w);
    trainer->mlp.packed = trainer->packed;
}

static void compute_lanes(struct tess_trainer *trainer, int at, int64_t step)
{
    int64_t *entry = TESS_NEW(int64_t, trainer->n_local + 1);

    for (int l = 0; l < trainer->n_local; l++)
        entry[l + 1] = entry[l] + sizes_of(trainer, work_of(trainer, step, l)).all_rows;
#pragma omp parallel for schedule(dynamic)
    for (int l = 0; l < trainer->n_local; l++)
        compute_lane(trainer, at, step, l, entry[l]);
    tess_free(entry);
}

/* Collective. */
static int refuse_loss(const struct tess_trainer *trainer, struct tess_error *error)
{
    int lane = 0;
    double most = 0;

    for (int l = 0; l < trainer->n_local; l++)
        most = fmax(most, trainer->buffer[l].largest);
    MPI_Allreduce(MPI_IN_PLACE, &most, 1, MPI_DOUBLE, MPI_MAX, trainer->comm);
    while (isfinite(trainer->pulse.lane_loss[lane]))
        lane++;
    return tess_error_set(
        error, TESS_EDATA,
        "the loss is not finite any more at step %lld, in lane %d (largest finite "
        "gradient %.3g): lower train.learning_rate, or look for extreme values "
        "with 'tessera check'; the last checkpoint stands",
        (long long)trainer->optimizer.step, lane, most);
}

/* Every lane's loss and count to all; each is nonzero on one rank, so the sums are exact. */
static int beat(struct tess_trainer *trainer, struct tess_error *error)
{
    struct tess_pulse *pulse = &trainer->pulse;
    int lanes = trainer->lanes.n;

    pulse->trouble[0] = trainer->trouble.code != TESS_OK;
    MPI_Allreduce(MPI_IN_PLACE, pulse->lane_loss, 2 * lanes + TESS_PULSE_EXTRA, MPI_DOUBLE, MPI_SUM,
                  trainer->comm);
    pulse->loss = pulse->measured = 0;
    for (int l = 0; l < lanes; l++) {
        pulse->loss += pulse->lane_loss[l];
        pulse->measured += pulse->lane_measured[l];
    }
    if (pulse->trouble[0] > 0) {
        *error = trainer->trouble;
        return tess_agree(trainer->comm, error);
    }
    return isfinite(pulse->loss) ? TESS_OK : refuse_loss(trainer, error);
}

/* Each rank reduces and updates a slice of the parameters, whose moments it alone holds, and sends
 * it to all (as ZeRO does: Rajbhandari et al. 2020). */
static void update_mlp(struct tess_trainer *trainer, float scale)
{
    int64_t first = trainer->slice[trainer->rank], n = trainer->slice[trainer->rank + 1] - first;
    const struct tess_optimizer *optimizer =
        tess_optimizer_of(&trainer->optimizer, TESS_PART_NETWORK);
    int *count, *begin;

    tess_lanes_reduce(&trainer->lanes, trainer->slice, trainer->slice_gradient);
    lap(trainer, TESS_STAGE_REDUCE);
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < n; i += 4096)
        tess_optimizer_update(optimizer, n - i < 4096 ? n - i : 4096, trainer->slice_gradient + i,
                              scale,
                              (struct tess_parameters){trainer->parameter + first + i,
                                                       trainer->m + i, trainer->v + i});
    lap(trainer, TESS_STAGE_OPTIMIZE);
    if (trainer->n_ranks == 1 || optimizer->factor == 0)
        return;
    count = TESS_NEW(int, trainer->n_ranks);
    begin = TESS_NEW(int, trainer->n_ranks);
    for (int r = 0; r < trainer->n_ranks; r++) {
        begin[r] = tess_int(trainer->slice[r]);
        count[r] = tess_int(trainer->slice[r + 1] - trainer->slice[r]);
    }
    MPI_Allgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, trainer->parameter, count, begin, MPI_FLOAT,
                   trainer->comm);
    tess_free(count);
    tess_free(begin);
}

/* One thread's part of add_gradients: every n-th row. */
static void add_part(struct tess_trainer *trainer, const struct tess_route_step *route, int part,
                     int n)
{
    int dim = trainer->shape.dim;

    for (int64_t i = 0; i < route->n_serve; i++) {
        struct tess_shard *shard = &trainer->shard[TESS_ROW_TABLE(route->serve[i])];
        int64_t row = TESS_ROW_NUMBER(route->serve[i]) - shard->first[shard->rank];
        int32_t mark = shard->mark[row];

        if (mark % n == part)
            tess_shard_add(shard, mark,
                           tess_route_place(route, i, dim, trainer->serve, trainer->want));
    }
}

/* Gradients that came to the rows of this rank. Messages come by rank, and within one by lane: the
 * sums are in lane order, each row's by one thread. */
static void add_gradients(struct tess_trainer *trainer, const struct tess_route_step *route)
{
#pragma omp parallel if (route->n_serve * trainer->shape.dim > MANY_FLOATS)
    add_part(trainer, route, omp_get_thread_num(), omp_get_num_threads());
}

static void update_rows(struct tess_trainer *trainer, int at, float scale)
{
    tess_routes_return(&trainer->routes, at, trainer->shape.dim, trainer->want, trainer->serve);
    lap(trainer, TESS_STAGE_SHARE);
    add_gradients(trainer, &trainer->routes.step[at]);
    for (int t = 0; t < TESS_N_TABLES; t++)
        tess_shard_update(&trainer->shard[t], tess_optimizer_of(&trainer->optimizer, t), scale);
    lap(trainer, TESS_STAGE_OPTIMIZE);
}

int tess_trainer_step(struct tess_trainer *trainer, int64_t step, struct tess_error *error)
{
    struct tess_times *times = &trainer->times;
    float scale;
    int at;

    times->last = tess_clock();
    if (step < trainer->window_first || step >= trainer->window_first + trainer->window_n)
        tess_trainer_prepare(trainer, step);
    at = (int)(step - trainer->window_first);
    tess_fail_here(&trainer->trouble,
                   "a training step"); /* joins the step, stops after the pulse */
    lap(trainer, TESS_STAGE_PREPARE);
    tess_optimizer_begin(&trainer->optimizer,
                         tess_optimizer_rate(&trainer->config, trainer->progress.epoch, step,
                                             trainer->steps_per_epoch));
    fetch_rows(trainer, at);
    lap(trainer, TESS_STAGE_GATHER);
    memset(trainer->pulse.lane_loss, 0, 2 * (size_t)trainer->lanes.n * sizeof(double));
    pack(trainer);
    compute_lanes(trainer, at, step);
    lap(trainer, TESS_STAGE_LANES);
    if (beat(trainer, error) != TESS_OK)
        return error->code;
    lap(trainer, TESS_STAGE_WAIT);
    /* The loss is the mean over what all lanes measured at this step: known only now, so gradients
     * of sums are scaled in the update. */
    scale = trainer->pulse.measured > 0 ? (float)(1.0 / trainer->pulse.measured) : 0.0f;
    update_mlp(trainer, scale);
    update_rows(trainer, at, scale);
    times->compute = times->stage[TESS_STAGE_LANES];
    times->wait = times->stage[TESS_STAGE_WAIT];
    times->communicate = times->stage[TESS_STAGE_GATHER] + times->stage[TESS_STAGE_REDUCE] +
                         times->stage[TESS_STAGE_OPTIMIZE] + times->stage[TESS_STAGE_SHARE];
    trainer->progress.epoch_loss += trainer->pulse.loss;
    trainer->progress.epoch_measured += trainer->pulse.measured;
    return TESS_OK;
}
