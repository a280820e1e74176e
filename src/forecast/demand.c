/* demand.c -- the rows that lanes need, by the schedule that training follows. */
#include "demand.h"

#include "tessera/alloc.h"
#include "tessera/error.h"

#include <math.h>
#include <string.h>

/* In the order in which they are asked for (tess_trainer_prepare). */
static void add_rows(const struct demand *demand, struct demand_lane *lane, int64_t step,
                     const struct tess_dataset *dataset, const struct tess_work *work)
{
    int64_t at = lane->first[step];

    for (int t = 0; t < TESS_N_TABLES; t++) {
        const int64_t *row;
        int32_t n = tess_work_rows(work, dataset, t, &row);

        lane->row = tess_grow(lane->row, &lane->room, (size_t)(at + n), sizeof *lane->row);
        for (int32_t i = 0; i < n; i++)
            lane->row[at++] = demand->table_first[t] + row[i];
    }
    lane->first[step + 1] = at;
}

/* The work of a lane, from its order in the first epoch on. */
static void follow(struct demand *demand, const struct tess_trainer *trainer, int number,
                   struct tess_lane *held, struct tess_marks *marks, int64_t most)
{
    struct demand_lane *lane = &demand->lane[number];
    struct tess_work work = {.n = 0};
    int64_t n;

    tess_lane_shuffle(held, &trainer->schedule, 0);
    lane->n_steps = held->n_steps;
    n = lane->n_steps < most ? lane->n_steps : most;
    lane->first = TESS_NEW(int64_t, n + 1);
    for (int64_t step = 0; step < n; step++) {
        tess_lane_work(held, &trainer->schedule, step, marks, &work);
        add_rows(demand, lane, step, &trainer->dataset, &work);
    }
    tess_work_release(&work);
}

int tess_demand_init(struct demand *demand, const struct tess_trainer *trainer, int64_t most,
                     struct tess_error *error)
{
    const int64_t *begin = trainer->schedule.lane_first;
    struct tess_marks marks;
    int64_t longest = 0;

    *demand = (struct demand){.n_lanes = tess_int(trainer->schedule.lanes)};
    for (int t = 0; t < TESS_N_TABLES; t++)
        demand->table_first[t + 1] =
            demand->table_first[t] + trainer->dataset.composition[t].n_rows;
    demand->lane = TESS_NEW(struct demand_lane, demand->n_lanes);
    for (int l = 0; l < demand->n_lanes; l++)
        longest = begin[l + 1] - begin[l] > longest ? begin[l + 1] - begin[l] : longest;
    tess_marks_init(&marks, &trainer->dataset, longest);
    for (int l = 0; l < demand->n_lanes && error->code == TESS_OK; l++) {
        struct tess_lane held;

        if (tess_lane_lay_out(&held, &trainer->schedule, l, error) == TESS_OK)
            follow(demand, trainer, l, &held, &marks, most);
        tess_lane_release(&held);
        if (demand->lane[l].n_steps > demand->steps_per_epoch)
            demand->steps_per_epoch = demand->lane[l].n_steps;
    }
    tess_marks_release(&marks);
    demand->n_steps = demand->steps_per_epoch < most ? demand->steps_per_epoch : most;
    demand->steps_per_epoch =
        (int64_t)fmax(1, (double)demand->steps_per_epoch * trainer->dataset.each + 0.5);
    return error->code;
}

void tess_demand_release(struct demand *demand)
{
    for (int l = 0; demand->lane && l < demand->n_lanes; l++) {
        tess_free(demand->lane[l].first);
        tess_free(demand->lane[l].row);
    }
    tess_free(demand->lane);
    *demand = (struct demand){.n_lanes = 0};
}
