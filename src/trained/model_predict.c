/* model_predict.c -- predictions of a model, and of an ensemble's members. */
#include "tessera/model.h"

#include "table_reader.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/predictor.h"

#include <math.h>
#include <string.h>

/* A number out of range would read past a table: a bug of the caller, caught in every build. */
static void check_numbers(const struct tess_model *model, const struct tess_rows *rows,
                          const struct tess_model_columns *columns)
{
    int64_t n = columns->first ? columns->first[rows->n] : columns->n_readouts;
    int64_t contexts = model->composition[TESS_TABLE_C].n;
    int64_t perturbations = model->composition[TESS_TABLE_P].n;

    for (int64_t i = 0; i < rows->n; i++)
        TESS_BUG_IF(rows->context[i] < 0 || rows->context[i] >= contexts);
    for (int64_t k = rows->n ? rows->first[0] : 0; k < (rows->n ? rows->first[rows->n] : 0); k++)
        TESS_BUG_IF(rows->member[k] < 0 || rows->member[k] >= perturbations);
    for (int64_t k = 0; k < n; k++)
        TESS_BUG_IF(columns->readout[k] < 0 || columns->readout[k] >= model->readout.n);
}

/* Places in tiles: of symbols of the model their numbers. The head of an ensemble knows those that
 * were made. */
static void number_rows(const struct tess_model *head, const struct tess_rows *rows, int64_t first,
                        struct tess_predict_rows *out)
{
    int64_t at = rows->first[first], n = rows->first[first + out->n] - at;
    int64_t *begin, *place;

    if (head->made[TESS_TABLE_P].name.n == 0) {
        tess_predict_number(
            &(struct tess_perturbations){out->n, rows->first + first, rows->member, NULL},
            (int64_t *)(uintptr_t)out->number);
        return;
    }
    begin = TESS_NEW(int64_t, out->n + 1);
    place = TESS_NEW(int64_t, n);
    for (int64_t i = 0; i <= out->n; i++)
        begin[i] = rows->first[first + i] - at;
    for (int64_t k = 0; k < n; k++)
        place[k] = tess_model_place(head, rows->member[at + k]);
    tess_predict_number(&(struct tess_perturbations){out->n, begin, place, NULL},
                        (int64_t *)(uintptr_t)out->number);
    tess_free(begin);
    tess_free(place);
}

/* The vectors and numbers of perturbations [first, first + n), from their components' rows. */
static int encode(const struct tess_model *model, const struct tess_model *head,
                  const struct tess_rows *rows, int64_t first, struct tess_predict_rows *out,
                  struct tess_error *error)
{
    struct tess_mix mix = {.n = 0};
    struct tess_perturbations vectors;
    int64_t m;
    float *row;

    tess_mix_reserve(&mix, &model->composition[TESS_TABLE_P], out->n, rows->first + first,
                     rows->member);
    for (int64_t i = first; i < first + out->n; i++)
        tess_mix_add(&mix, &model->composition[TESS_TABLE_P], &model->encoder,
                     rows->first[i + 1] - rows->first[i], rows->member + rows->first[i]);
    m = out->n ? mix.first[out->n] : 0;
    row = TESS_NEW(float, m * model->network.shape.dim);
    if (tess_table_reader_rows(model->rows, m, mix.row, row, error) == TESS_OK) {
        for (int64_t k = 0; k < m; k++)
            mix.row[k] = k;
        vectors = tess_mix_of(&mix);
        tess_encoder_forward(&model->encoder, &vectors, row, (float *)(uintptr_t)out->p);
        number_rows(head, rows, first, out);
    }
    tess_mix_release(&mix);
    tess_free(row);
    return error->code;
}

/* noise: deviations of what is measured, by a member that has the output for them, or NULL. */
static int predict_one(const struct tess_model *model, const struct tess_model *head,
                       const struct tess_rows *rows, const struct tess_model_columns *columns,
                       float *noise, struct tess_error *error)
{
    int64_t most = columns->first ? TESS_MODEL_LISTED : TESS_MODEL_ROWS,
            room = rows->n < most ? rows->n : most;
    float *p = TESS_NEW(float, room * model->network.shape.dim);
    int64_t *number = TESS_NEW(int64_t, room);

    check_numbers(model, rows, columns);
    for (int64_t first = 0; first < rows->n && error->code == TESS_OK; first += most) {
        int64_t n = rows->n - first < most ? rows->n - first : most;
        struct tess_predict_rows some = {n, p, number, rows->context + first};

        if (encode(model, head, rows, first, &some, error) != TESS_OK)
            break;
        if (columns->first)
            tess_predictor_run_lists(
                model->predictor, &some,
                &(struct tess_predict_lists){columns->first + first, columns->readout},
                columns->out, noise);
        else
            tess_predictor_run(model->predictor, &some, columns->n_readouts, columns->readout,
                               columns->out + first * columns->n_readouts,
                               noise ? noise + first * columns->n_readouts : NULL);
    }
    tess_free(p);
    tess_free(number);
    return error->code;
}

/* Sums over the members, in their order, of n values. */
struct sums {
    int64_t n;
    int members, noisy; /* so far; those of them with an output for the noise */
    double *mean, *square; /* (n) or NULL: of a single member */
    double *variance; /* (n) Σ of the noises' variances; NULL: not asked for, or none has it */
    float *noise; /* (n) of the member at hand; NULL as above */
};

/* Welford 1962: one pass, in double, without the cancellation of Σx² - n mean². */
static void add_member(struct sums *sums, int has_noise, const float *out)
{
    sums->members++;
    for (int64_t i = 0; sums->mean && i < sums->n; i++) {
        double delta = (double)out[i] - sums->mean[i];

        sums->mean[i] += delta / sums->members;
        sums->square[i] += delta * ((double)out[i] - sums->mean[i]);
    }
    if (!sums->variance || !has_noise)
        return;
    sums->noisy++;
    for (int64_t i = 0; i < sums->n; i++)
        sums->variance[i] += (double)sums->noise[i] * (double)sums->noise[i];
}

/* √ of the members' variance and of the mean of their noises' variances together. */
static void deviate(const struct sums *sums, float *deviation)
{
    for (int64_t i = 0; i < sums->n; i++) {
        double apart = sums->mean ? sums->square[i] / (sums->members - 1) : 0;
        double noise = sums->noisy ? sums->variance[i] / sums->noisy : 0;

        deviation[i] = (float)sqrt(apart + noise);
    }
}

/* Mean and standard deviation over the members. A single member stays as it is, to the bit. */
int tess_model_predict_changed(const struct tess_model *model, const struct tess_rows *rows,
                               const struct tess_model_columns *columns,
                               const struct tess_model_change *change, struct tess_error *error)
{
    float *out = columns->out;
    int64_t n = columns->first ? columns->first[rows->n] : rows->n * columns->n_readouts;
    int noisy = columns->deviation && tess_model_has_noise(model);
    struct sums sums = {.n = n};

    if (model->next) {
        sums.mean = TESS_NEW(double, n);
        sums.square = TESS_NEW(double, n);
    }
    if (noisy) {
        sums.variance = TESS_NEW(double, n);
        sums.noise = TESS_NEW(float, n);
    }
    for (const struct tess_model *member = model; member; member = member->next) {
        int has_noise = member->network.shape.noise;

        if (predict_one(member, model, rows, columns, has_noise ? sums.noise : NULL, error) !=
            TESS_OK)
            break;
        if (change->make)
            change->make(change->closure, sums.members, out);
        if (columns->then)
            columns->then->make(columns->then->closure, sums.members, out);
        add_member(&sums, has_noise, out);
    }
    for (int64_t i = 0; sums.mean && i < n; i++)
        out[i] = (float)sums.mean[i];
    if (columns->deviation)
        deviate(&sums, columns->deviation);
    tess_free(sums.mean);
    tess_free(sums.square);
    tess_free(sums.variance);
    tess_free(sums.noise);
    return error->code;
}

int tess_model_predict(const struct tess_model *model, const struct tess_rows *rows,
                       const struct tess_model_columns *columns, struct tess_error *error)
{
    return tess_model_predict_changed(model, rows, columns, &(struct tess_model_change){NULL, NULL},
                                      error);
}
