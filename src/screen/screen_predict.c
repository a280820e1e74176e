/* screen_predict.c -- scores of this rank's perturbations: context by context, some thousand values
 * at a time, each member by itself. */
#include "screen.h"

#include "tessera/alloc.h"
#include "tessera/error.h"

#include <math.h>
#include <string.h>

#define VALUES ((int64_t)1 << 21) /* predicted at a time */

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

/* The perturbations [first, first + n) of this rank in one context: `sum` (n_members, all of this
 * rank's) grows by their scores. */
static int add_block(struct screening *work, int64_t context, int64_t first, struct scores *scores,
                     double *sum, struct tess_error *error)
{
    const struct tess_sets *sets = &work->perturbation;
    int64_t n = scores->n, all = work->end - work->begin;
    int64_t *contexts = TESS_NEW(int64_t, n);
    const struct tess_rows rows = {n, sets->first + work->begin + first, sets->member, contexts};

    for (int64_t i = 0; i < n; i++)
        contexts[i] = context;
    if (predict(work, &rows, scores, take_scores, error) == TESS_OK)
        for (int64_t i = 0; i < n; i++) {
            double mean = 0;

            for (int m = 0; m < work->model.n_members; m++) {
                mean += scores->member[m * n + i];
                sum[m * all + first + i] += scores->member[m * n + i];
            }
            work->result[first + i].agreeing += work->screen->down ? mean < 0 : mean > 0;
        }
    tess_free(contexts);
    return error->code;
}

/* Mean over contexts of each member, then mean and deviation of these. */
static void finish(struct screening *work, const double *sum)
{
    int64_t all = work->end - work->begin;
    int M = work->model.n_members;
    double n_contexts = (double)work->context.n;

    for (int64_t i = 0; i < all; i++) {
        double mean = 0, squares = 0;

        for (int m = 0; m < M; m++)
            mean += sum[m * all + i] / n_contexts / M;
        for (int m = 0; m < M; m++) {
            double off = sum[m * all + i] / n_contexts - mean;

            squares += off * off;
        }
        work->result[i].change = mean;
        work->result[i].deviation = M > 1 ? sqrt(squares / (M - 1)) : 0;
    }
}

int tess_screening_predict(struct screening *work, struct tess_error *error)
{
    int64_t all = work->end - work->begin, K = work->signature.n;
    int64_t most = VALUES / K < 1 ? 1 : VALUES / K < 4096 ? VALUES / K : 4096;
    struct scores scores = {.work = work,
                            .control = TESS_NEW(float, work->model.n_members *K),
                            .change = TESS_NEW(float, K),
                            .member = TESS_NEW(double, work->model.n_members *most)};
    double *sum = TESS_NEW(double, work->model.n_members *all);

    for (int64_t c = 0; c < work->context.n && error->code == TESS_OK; c++) {
        int64_t context = work->context.member[c];

        predict_control(work, context, &scores, error);
        for (int64_t first = 0; first < all && error->code == TESS_OK; first += most) {
            scores.n = all - first < most ? all - first : most;
            add_block(work, context, first, &scores, sum, error);
        }
    }
    finish(work, sum);
    tess_free(sum);
    tess_free(scores.control);
    tess_free(scores.change);
    tess_free(scores.member);
    return error->code;
}
