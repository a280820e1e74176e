/* screen_predict.c -- scores of this rank's perturbations: context by context, some thousand values
 * at a time, each member by itself. */
#include "screen.h"

#include "tessera/alloc.h"
#include "tessera/error.h"

#include <math.h>
#include <string.h>

#define RANKED_BYTES 24 /* of a perturbation that is ranked: its key, its number, twice */
#define VALUES       ((int64_t)1 << 21) /* predicted at a time */

/* The scores of a block, taken from each member's values on their way into the mean. */
struct scores {
    const struct screening *work;
    int64_t n; /* rows */
    float *control; /* (n_members, readouts) of the context; own */
    float *change; /* (readouts) own */
    double *member; /* (n_members, n) of this context; own */
};

static void take_control(const void *closure, int member, float *out)
{
    const struct scores *scores = closure;
    int64_t K = scores->work->signature.n;

    memcpy(scores->control + member * K, out, (size_t)K * sizeof *out);
}

static void take_scores(const void *closure, int member, float *out)
{
    const struct scores *scores = closure;
    const struct screening *work = scores->work;
    int64_t K = work->signature.n;

    for (int64_t i = 0; i < scores->n; i++) {
        for (int64_t k = 0; k < K; k++)
            scores->change[k] =
                out[i * K + k] - (work->control < 0 ? 0 : scores->control[member * K + k]);
        scores->member[member * scores->n + i] =
            tess_screen_score(&work->signature, work->screen->cosine, scores->change);
    }
}

static int predict(const struct screening *work, const struct tess_rows *rows,
                   const struct scores *scores,
                   void (*take)(const void *closure, int member, float *out),
                   struct tess_error *error)
{
    struct tess_model_change then = {scores, take};
    float *out = TESS_NEW(float, rows->n * work->signature.n);
    struct tess_model_columns columns = {.n_readouts = work->signature.n,
                                         .readout = work->signature.readout,
                                         .out = out,
                                         .then = &then};

    tess_blender_predict(&work->blender, rows, &columns, error);
    tess_free(out);
    return error->code;
}

static int predict_control(const struct screening *work, int64_t context, struct scores *scores,
                           struct tess_error *error)
{
    static const int64_t begin[2] = {0, 1};
    const struct tess_rows rows = {1, begin, &work->control, &context};

    return work->control < 0 ? TESS_OK : predict(work, &rows, scores, take_control, error);
}

/* Mean and standard deviation (n - 1; 0 of one) of every stride-th of n x stride numbers. */
static void moments(const double *x, int n, int64_t stride, double *mean, double *deviation)
{
    double squares = 0;

    *mean = 0;
    for (int m = 0; m < n; m++)
        *mean += x[m * stride] / n;
    for (int m = 0; m < n; m++)
        squares += (x[m * stride] - *mean) * (x[m * stride] - *mean);
    *deviation = n > 1 ? sqrt(squares / (n - 1)) : 0;
}

/* The perturbations [first, first + n) of this rank in one context (by its place): `sum`
 * (n_members, all of this rank's) grows by their scores. */
static int add_block(struct screening *work, int64_t place, int64_t first, struct scores *scores,
                     double *sum, struct tess_error *error)
{
    const struct tess_sets *sets = &work->perturbation;
    int64_t n = scores->n, all = work->end - work->begin;
    int64_t *contexts = TESS_NEW(int64_t, n);
    const struct tess_rows rows = {n, sets->first + work->begin + first, sets->member, contexts};

    for (int64_t i = 0; i < n; i++)
        contexts[i] = work->context.member[place];
    if (predict(work, &rows, scores, take_scores, error) == TESS_OK)
        for (int64_t i = 0; i < n; i++) {
            struct screen_cell cell = {0};

            for (int m = 0; m < work->model.n_members; m++)
                sum[m * all + first + i] += scores->member[m * n + i] / (double)work->context.n;
            moments(scores->member + i, work->model.n_members, n, &cell.change, &cell.deviation);
            work->result[first + i].agreeing +=
                work->screen->down ? cell.change < 0 : cell.change > 0;
            if (work->cell)
                work->cell[(first + i) * work->context.n + place] = cell;
        }
    tess_free(contexts);
    return error->code;
}

static int64_t rows_at_once(const struct screening *work)
{
    int64_t n = VALUES / work->signature.n;

    return n < 1 ? 1 : n < 4096 ? n : 4096;
}

double tess_screening_predict_bytes(const struct screening *work, int64_t n)
{
    int64_t most = rows_at_once(work), rows = n < most ? n : most;
    double members = work->model.n_members, values = (double)rows * (double)work->signature.n;

    return values * (sizeof(float) + tess_blender_value_bytes(&work->blender, 0)) +
           members * (double)(most + n) * sizeof(double) + (double)rows * sizeof(int64_t) +
           (members + 1) * (double)work->signature.n * sizeof(float);
}

int64_t tess_screening_contexts(const struct screening *work)
{
    int each = work->screen->next > 0 || tess_screening_is_file(work->screen);

    return each ? work->context.n : 0;
}

/* Rank 0 has its own results and those of all; predictions are gone before they are ranked. */
double tess_screening_bytes(const struct screening *work, int64_t n)
{
    double all = (double)n, mine = ceil(all / work->n_ranks);
    double each =
        sizeof *work->result + (double)tess_screening_contexts(work) * (double)sizeof *work->cell;
    double predicting = tess_screening_predict_bytes(work, (int64_t)mine);

    return all * TESS_SCREENING_PAIR_BYTES + (all + mine) * each +
           fmax(predicting, all * RANKED_BYTES);
}

int tess_screening_predict(struct screening *work, struct tess_error *error)
{
    int64_t all = work->end - work->begin, K = work->signature.n, most = rows_at_once(work);
    struct scores scores = {.work = work,
                            .control = TESS_NEW(float, work->model.n_members *K),
                            .change = TESS_NEW(float, K),
                            .member = TESS_NEW(double, work->model.n_members *most)};
    double *sum = TESS_NEW(double, work->model.n_members *all);

    for (int64_t c = 0; c < work->context.n && error->code == TESS_OK; c++) {
        predict_control(work, work->context.member[c], &scores, error);
        for (int64_t first = 0; first < all && error->code == TESS_OK; first += most) {
            scores.n = all - first < most ? all - first : most;
            add_block(work, c, first, &scores, sum, error);
        }
    }
    for (int64_t i = 0; i < all; i++)
        moments(sum + i, work->model.n_members, all, &work->result[i].change,
                &work->result[i].deviation);
    tess_free(sum);
    tess_free(scores.control);
    tess_free(scores.change);
    tess_free(scores.member);
    return error->code;
}
