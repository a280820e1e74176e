/* directions.c -- what perturbations of one kind share, whatever they do, says nothing of what one
 * of them does: it is taken off, as a mean over those of its type. */
#include "directions.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/index.h"
#include "tessera/model.h"
#include "tessera/neighbors.h"
#include "tessera/parts.h"
#include "tessera/target.h"

#include <math.h>
#include <string.h>

#define PART       4096 /* rows whose sum is one part, or fewer: */
#define PART_BYTES ((int64_t)64 << 20) /* of their vectors at most */

void tess_kinds_init(struct tess_kinds *kinds, const struct tess_model *model)
{
    const struct tess_vocab *vocab = &model->perturbation;

    *kinds = (struct tess_kinds){.n = vocab->n,
                                 .model = model->path,
                                 .vocab = vocab,
                                 .type = TESS_NEW(int32_t, vocab->n),
                                 .trained = model->trained_perturbation};
    for (int64_t i = 0; i < vocab->n; i++) {
        char *name = tess_target_type(vocab->symbol[i]);

        if (tess_strings_find(&kinds->name, name) < 0)
            tess_strings_add(&kinds->name, name);
        kinds->type[i] = (int32_t)tess_strings_find(&kinds->name, name);
        tess_free(name);
    }
}

int tess_kinds_has(const struct tess_kinds *kinds, int64_t i, const char *type)
{
    const char *own = kinds->name.item[kinds->type[i]];

    return kinds->trained[i] && (type ? strcmp(own, type) == 0 : strcmp(own, TESS_CONTROL) != 0);
}

int tess_kinds_check(const struct tess_kinds *kinds, const char *option, const char *type,
                     struct tess_error *error)
{
    char *known = tess_strings_join(&kinds->name, ", ", 20);
    int64_t n = 0;

    for (int64_t i = 0; i < kinds->n; i++)
        n += tess_kinds_has(kinds, i, type);
    if (type && tess_strings_find(&kinds->name, type) < 0)
        tess_error_set(error, TESS_EDATA, "%s %s: the model has no such type; there are: %s",
                       option, type, known);
    else if (n == 0)
        tess_error_set(error, TESS_EDATA, "%s %s: no such perturbation was trained", option,
                       type ? type : "(any)");
    tess_free(known);
    return error->code;
}

void tess_kinds_release(struct tess_kinds *kinds)
{
    tess_strings_release(&kinds->name);
    tess_free(kinds->type);
    *kinds = (struct tess_kinds){.n = 0};
}

static int64_t group_of(const struct tess_directions *directions, int64_t row)
{
    return directions->center == TESS_NEIGHBORS_BY_TYPE ? directions->kinds->type[row] : 0;
}

static void place_sums(void *closure, int64_t part, int64_t *first, int64_t *n)
{
    const struct tess_directions *directions = closure;

    (void)part;
    *first = 0;
    *n = (int64_t)directions->kinds->name.n * directions->origin.width;
}

static int refuse(const struct tess_directions *directions, int64_t row, struct tess_error *error)
{
    const struct tess_kinds *kinds = directions->kinds;

    return tess_error_set(error, TESS_EDATA,
                          "%s: the vector of %s holds numbers that are not finite: choose another "
                          "checkpoint",
                          kinds->model, kinds->vocab->symbol[row]);
}

/* By the vectors alone, so that the bits do not depend on the ranks. */
static int64_t rows_of_part(const struct tess_origin *origin)
{
    int64_t n = PART_BYTES / (int64_t)sizeof(float) / (origin->width > 0 ? origin->width : 1);

    return n < 1 ? 1 : n < PART ? n : PART;
}

static int sum_rows(void *closure, int64_t part, double *out, struct tess_error *error)
{
    const struct tess_directions *directions = closure;
    const struct tess_origin *origin = &directions->origin;
    int64_t rows = rows_of_part(origin), first = part * rows, width = origin->width,
            n = origin->n - first < rows ? origin->n - first : rows;
    float *x = tess_alloc_large((size_t)(n * width), sizeof *x, "vectors", error);

    if (x && origin->make(origin->closure, first, n, x, error) == TESS_OK)
        for (int64_t i = 0; i < n && error->code == TESS_OK; i++) {
            double *sum = out + group_of(directions, first + i) * width, all = 0;

            for (int64_t j = 0; j < width && directions->kinds->trained[first + i]; j++) {
                sum[j] += (double)x[i * width + j];
                all += fabs((double)x[i * width + j]);
            }
            if (!isfinite(all))
                refuse(directions, first + i, error);
        }
    tess_free(x);
    return error->code;
}

int tess_directions_init(struct tess_directions *directions, const struct tess_origin *origin,
                         const struct tess_kinds *kinds, int center, MPI_Comm comm,
                         struct tess_error *error)
{
    int64_t types = (int64_t)kinds->name.n, all = types * origin->width,
            rows = rows_of_part(origin);
    const struct tess_parts parts = {comm, (origin->n + rows - 1) / rows, directions, place_sums,
                                     sum_rows};
    int64_t *n = TESS_NEW(int64_t, types);

    *directions = (struct tess_directions){.origin = *origin, .kinds = kinds, .center = center};
    directions->mean = TESS_NEW(double, all);
    for (int64_t i = 0; i < kinds->n; i++)
        n[group_of(directions, i)] += kinds->trained[i];
    if (center != TESS_NEIGHBORS_AS_IS &&
        tess_parts_sum(&parts, all, directions->mean, error) == TESS_OK)
        for (int64_t i = 0; i < all; i++)
            directions->mean[i] /= (double)(n[i / origin->width] ? n[i / origin->width] : 1);
    tess_free(n);
    return error->code;
}

/* One row in place: less its mean, each part of one length. */
static int direct(const struct tess_directions *directions, int64_t row, float *x,
                  struct tess_error *error)
{
    const struct tess_origin *origin = &directions->origin;
    const double *mean = directions->mean + group_of(directions, row) * origin->width;

    for (int p = 0; p < origin->n_parts; p++) {
        double square = 0, scale;

        for (int64_t j = origin->begin[p]; j < origin->begin[p + 1]; j++) {
            double rest = (double)x[j] - mean[j];

            square += rest * rest;
        }
        if (!isfinite(square))
            return refuse(directions, row, error);
        scale = square > 0 ? 1 / sqrt(square * origin->n_parts) : 0;
        for (int64_t j = origin->begin[p]; j < origin->begin[p + 1]; j++)
            x[j] = (float)(((double)x[j] - mean[j]) * scale);
    }
    return TESS_OK;
}

int tess_directions_make(const struct tess_directions *directions, int64_t first, int64_t n,
                         float *out, struct tess_error *error)
{
    const struct tess_origin *origin = &directions->origin;

    if (n > 0 && origin->make(origin->closure, first, n, out, error) == TESS_OK)
        for (int64_t i = 0; i < n && error->code == TESS_OK; i++)
            direct(directions, first + i, out + i * origin->width, error);
    return error->code;
}

/* Neighbours are made together. */
int tess_directions_pick(const struct tess_directions *directions, int64_t n, const int64_t *row,
                         float *out, struct tess_error *error)
{
    for (int64_t i = 0, m; i < n && error->code == TESS_OK; i += m) {
        for (m = 1; i + m < n && row[i + m] == row[i] + m;)
            m++;
        tess_directions_make(directions, row[i], m, out + i * directions->origin.width, error);
    }
    return error->code;
}

void tess_directions_release(struct tess_directions *directions)
{
    tess_free(directions->mean);
    *directions = (struct tess_directions){.center = 0};
}
