/* trainer_window.c -- the work of the next steps, of all lanes: made for TESS_WINDOW steps at once,
 * with one exchange of which rows they need.
 *
 * With data.streaming their targets are not in memory. While a window is computed, the work of the
 * one after it has been made already and its targets are being read (ahead.h): two windows of work
 * are all that values take. The first window of an epoch, or after a resumed step, is waited for.
 */
#include "tessera/trainer.h"

#include "tessera/alloc.h"
#include "tessera/clock.h"
#include "tessera/error.h"

#include <omp.h>

static int length_of(const struct tess_trainer *trainer, int64_t first)
{
    int64_t left = trainer->steps_per_epoch - first;

    return (int)(left < TESS_WINDOW ? left : TESS_WINDOW);
}

static void make_work(struct tess_trainer *trainer, int64_t first, struct tess_work *work)
{
    int n = length_of(trainer, first);

#pragma omp parallel for schedule(dynamic)
    for (int i = 0; i < n * trainer->n_local; i++)
        tess_lane_work(&trainer->lane[i % trainer->n_local], &trainer->schedule,
                       first + i / trainer->n_local, &trainer->marks[omp_get_thread_num()],
                       &work[i]);
}

void tess_trainer_forget_window(struct tess_trainer *trainer)
{
    if (trainer->ahead)
        tess_ahead_drop(trainer->ahead);
    trainer->next_first = -1;
}

/* The window that begins with step `first`, which is then the one that comes. */
static void read_window(struct tess_trainer *trainer, int64_t first)
{
    int n = length_of(trainer, first) * trainer->n_local;

    make_work(trainer, first, trainer->next_work);
    for (int i = 0; i < n; i++)
        tess_ahead_add(trainer->ahead, &trainer->next_work[i].reads);
    tess_ahead_start(trainer->ahead, 1);
    trainer->next_first = first;
}

/* What could not be read is the step's trouble: the rank takes part in it, with whatever numbers,
 * and all stop after the pulse, before any of them is used. */
static void take_window(struct tess_trainer *trainer, int64_t first)
{
    struct tess_work *work = trainer->work;
    double start, waited;

    if (trainer->next_first != first) {
        tess_trainer_forget_window(trainer);
        read_window(trainer, first);
    }
    start = tess_clock();
    tess_ahead_finish(trainer->ahead, &trainer->trouble);
    waited = tess_clock() - start;
    trainer->times.stage[TESS_STAGE_READ] += waited;
    trainer->times.last += waited; /* it is no part of the stage that goes on */
    trainer->work = trainer->next_work;
    trainer->next_work = work;
    trainer->next_first = -1;
    if (first + TESS_WINDOW < trainer->steps_per_epoch)
        read_window(trainer, first + TESS_WINDOW);
}

static void request_rows(const struct tess_trainer *trainer, const struct tess_work *work,
                         struct tess_request *request)
{
    for (int t = 0; t < TESS_N_TABLES; t++) {
        const int64_t *row;
        int32_t n = tess_work_rows(work, &trainer->dataset, t, &row);

        for (int32_t i = 0; i < n; i++)
            tess_request_add(request, TESS_ROW(t, row[i]),
                             tess_shard_owner(&trainer->shard[t], row[i]));
    }
}

/* Rows are asked for in the order of the lanes, which is the order in which owners add gradients
 * (update_rows). */
void tess_trainer_prepare(struct tess_trainer *trainer, int64_t first)
{
    int n = length_of(trainer, first);
    struct tess_request *request = trainer->request;

    trainer->window_first = first;
    trainer->window_n = n;
    if (trainer->ahead)
        take_window(trainer, first);
    else
        make_work(trainer, first, trainer->work);
#pragma omp parallel for schedule(static)
    for (int s = 0; s < n; s++) {
        request[s].n = 0;
        for (int l = 0; l < trainer->n_local; l++)
            request_rows(trainer, &trainer->work[s * trainer->n_local + l], &request[s]);
    }
    tess_routes_init(&trainer->routes, trainer->comm, n, request);
}
