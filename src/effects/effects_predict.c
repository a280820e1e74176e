/* effects_predict.c -- effects as a model predicts them: a run stands in place of an input.
 *
 * Every rank has the whole model, and predicts all rows of its own targets: those are the same
 * values, averaged in the same way, as a file that `impute` writes would have. */
#include "effects_plan.h"

#include "tessera/predicted.h"
#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/error.h"

#define ROWS_AT_ONCE 256

/* What is predicted: every trained component in one or two contexts. */
struct asked {
    const struct tess_predicted *predicted;
    int64_t n, *component, *place; /* (n) own */
    int64_t context[TESS_PERTURBED];
    int64_t *readout; /* (effects->n) the model's numbers of this rank's targets; own */
    int member; /* whose values; of as many as there are members: their mean */
};

static int find_contexts(struct asked *asked, const struct tess_regulation_options *options,
                         struct tess_error *error)
{
    const char *name[TESS_PERTURBED] = {options->context, options->knockdown};

    for (int kind = 0; kind < TESS_PERTURBED && name[kind]; kind++)
        if (tess_predicted_context(asked->predicted, name[kind], &asked->context[kind], error) !=
            TESS_OK)
            return error->code;
    return TESS_OK;
}

/* Rows are numbered component by component, first those of the first context. */
static int plan_rows(struct asked *asked, const struct tess_regulation_options *options,
                     struct tess_effects *effects, struct tess_error *error)
{
    const struct tess_model *model = &asked->predicted->model;
    int64_t n = model->perturbation.n, n_rows = options->knockdown ? 2 * n : n;
    struct tess_effects_plan plan;

    tess_effects_plan_init(&plan, n_rows, options->method == TESS_BY_PARTIAL);
    for (int64_t k = 0; k < model->readout.n; k++)
        if (model->trained_readout[k])
            tess_effects_plan_readout(&plan, model->readout.symbol[k]);
    for (int64_t row = 0; row < n_rows; row++)
        tess_effects_plan_label(&plan, row,
                                !model->trained_perturbation[row % n] ? TESS_LEFT_OUT
                                : row < n                             ? TESS_KNOCKOUT
                                                                      : TESS_KNOCKDOWN,
                                model->perturbation.symbol[row % n], effects);
    asked->n = n_rows;
    asked->place = TESS_NEW(int64_t, n_rows);
    tess_effects_plan_finish(&plan, effects, options, asked->place, error);
    tess_effects_plan_release(&plan);
    return error->code;
}

/* At most ROWS_AT_ONCE rows from *row on that have a place; row[k]: which they are. */
static int64_t next_rows(const struct asked *asked, int64_t *next, int64_t *row)
{
    int64_t n = 0;

    for (; *next < asked->n && n < ROWS_AT_ONCE; ++*next)
        if (asked->place[*next] != TESS_LEFT_OUT)
            row[n++] = *next;
    return n;
}

static int predict_rows(const struct asked *asked, int64_t n, const int64_t *row,
                        struct tess_effects *effects, uint32_t *count, struct tess_error *error)
{
    const struct tess_model *model = &asked->predicted->model;
    int64_t first[ROWS_AT_ONCE + 1] = {0}, component[ROWS_AT_ONCE], context[ROWS_AT_ONCE];
    const struct tess_rows rows = {n, first, component, context};
    float *out = TESS_NEW(float, (model->n_members + 1) * n * effects->n);

    for (int64_t k = 0; k < n; k++) {
        first[k + 1] = k + 1;
        component[k] = row[k] % model->perturbation.n;
        context[k] = asked->context[row[k] / model->perturbation.n];
    }
    if (tess_predicted_rows(asked->predicted, &rows, effects->n, asked->readout, out, error) ==
        TESS_OK)
        for (int64_t k = 0; k < n; k++)
            tess_effects_add(effects, count, asked->place[row[k]],
                             out + (asked->member * n + k) * effects->n);
    tess_free(out);
    return error->code;
}

/* Collective. */
static int predict_all(struct asked *asked, struct tess_effects *effects, struct tess_error *error)
{
    int64_t row[ROWS_AT_ONCE], next = 0, n = 1;
    uint32_t *count;

    if (tess_effects_start(effects, &count, error) == TESS_OK) {
        asked->readout = TESS_NEW(int64_t, effects->n);
        for (int64_t j = 0; j < effects->n; j++)
            asked->readout[j] = tess_vocab_find(&asked->predicted->model.readout,
                                                effects->target.item[effects->first + j]);
        while (n > 0 && error->code == TESS_OK)
            if ((n = next_rows(asked, &next, row)) > 0)
                predict_rows(asked, n, row, effects, count, error);
    }
    tess_effects_average(effects, count);
    return tess_agree(effects->comm, error);
}

int tess_effects_predict(struct tess_effects *effects,
                         const struct tess_regulation_options *options,
                         const struct tess_predicted *predicted, int member,
                         struct tess_error *error)
{
    struct asked asked = {.predicted = predicted, .member = member};

    MPI_Comm_rank(effects->comm, &effects->rank);
    MPI_Comm_size(effects->comm, &effects->n_ranks);
    if (find_contexts(&asked, options, error) == TESS_OK && /* the same on every rank */
        plan_rows(&asked, options, effects, error) == TESS_OK) {
        tess_effects_deal(effects);
        predict_all(&asked, effects, error);
    }
    tess_free(asked.place);
    tess_free(asked.readout);
    return error->code;
}
