/* screen_next.c -- which experiments that nobody ran would teach most. */
#include "screen.h"

#include "tessera/alloc.h"
#include "tessera/sheet.h"

#include <math.h>
#include <stdlib.h>

static const char *const column[] = {"rank", "perturbation", "context", "gain", "change", "std"};

struct candidate {
    double gain;
    int64_t place; /* of its cell */
};

static int compare(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    int less = (x->gain < y->gain) - (x->gain > y->gain);

    return less ? less : (x->place > y->place) - (x->place < y->place);
}

static int falls(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x < y) - (x > y);
}

static int is_control(const struct screening *work, int64_t set)
{
    return work->perturbation.member[work->perturbation.first[set]] == work->control;
}

/* Half-way between the last hit of a context and the first perturbation that is none. */
static double threshold(const struct screening *work, int64_t context, double *room)
{
    int64_t n = 0, hits = work->screen->hits;
    double sign = work->screen->down ? -1 : 1;

    for (int64_t i = 0; i < work->perturbation.n; i++)
        if (!is_control(work, i))
            room[n++] = sign * work->cell[i * work->context.n + context].change;
    if (n > 0)
        qsort(room, (size_t)n, sizeof *room, falls);
    hits = hits > 0 ? hits : (n + 9) / 10;
    if (hits >= n) /* nothing to decide */
        return NAN;
    return sign * (room[hits - 1] + room[hits]) / 2;
}

/* screen.h has the formula. */
static double gain_of(const struct screen_cell *cell, double at)
{
    double off = fabs(cell->change - at), z = off / cell->deviation;

    if (isnan(at) || !(cell->deviation > 0))
        return 0;
    return cell->deviation * exp(-z * z / 2) / sqrt(2 * M_PI) - off * erfc(z / M_SQRT2) / 2;
}

/* The best so far, of which there are twice as many as are wanted at most. */
struct best {
    struct candidate *item; /* own */
    int64_t n, most;
    size_t room;
};

static void cut(struct best *best)
{
    if (best->n > 0)
        qsort(best->item, (size_t)best->n, sizeof *best->item, compare);
    best->n = best->n < best->most ? best->n : best->most;
}

static void add(struct best *best, const struct candidate *candidate)
{
    best->item = tess_grow(best->item, &best->room, (size_t)best->n + 1, sizeof *best->item);
    best->item[best->n++] = *candidate;
    if (best->n / 2 >= best->most)
        cut(best);
}

static void find_candidates(const struct screening *work, struct best *best)
{
    double *room = TESS_NEW(double, work->perturbation.n);

    for (int64_t c = 0; c < work->context.n; c++) {
        double at = threshold(work, c, room);

        for (int64_t i = 0; i < work->perturbation.n; i++) {
            int64_t place = i * work->context.n + c;

            if (!work->cell[place].ran && !is_control(work, i))
                add(best, &(struct candidate){gain_of(&work->cell[place], at), place});
        }
    }
    cut(best);
    tess_free(room);
}

static void write_line(struct tess_sheet *sheet, const struct screening *work, int64_t number,
                       const struct candidate *candidate)
{
    const struct screen_cell *cell = &work->cell[candidate->place];
    int64_t context = work->context.member[candidate->place % work->context.n];
    char *name = tess_sets_name(&work->perturbation, candidate->place / work->context.n,
                                &work->model.perturbation);

    tess_sheet_count(sheet, number);
    tess_sheet_text(sheet, name);
    tess_sheet_text(sheet, work->model.context.symbol[context]);
    tess_sheet_number(sheet, candidate->gain, 1);
    tess_sheet_number(sheet, cell->change, 1);
    tess_sheet_number(sheet, cell->deviation, 1);
    tess_sheet_end(sheet);
    tess_free(name);
}

void tess_screening_write_next(const struct screening *work, struct tess_sheet *sheet)
{
    struct best best = {.most = work->screen->next};

    find_candidates(work, &best);
    tess_sheet_head(sheet, sizeof column / sizeof column[0], column);
    for (int64_t i = 0; i < best.n; i++)
        write_line(sheet, work, i + 1, &best.item[i]);
    tess_free(best.item);
}
