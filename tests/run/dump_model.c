/* dump_model.c -- what opening a checkpoint gives, for tests to compare.
 *
 * usage: [mpirun -n N] dump_model RUN|CHECKPOINT [NUMBERS]
 * The model's hash on stdout. To the file NUMBERS, as float32: the MLP's block, the tables P, R and
 * C as they stand at the checkpoint's step, and the predictions of every single perturbation in
 * every context. Exits with the error's code, its sentence on stderr. */
#include "tessera/alloc.h"
#include "tessera/checkpoint.h"
#include "tessera/error.h"
#include "tessera/h5.h"
#include "tessera/model.h"

#include <cblas.h>
#include <stdio.h>

static void put(FILE *file, const float *x, int64_t n)
{
    TESS_BUG_IF(fwrite(x, sizeof *x, (size_t)n, file) != (size_t)n);
}

static void write_predictions(const struct tess_model *model, FILE *file)
{
    int64_t P = model->perturbation.n, R = model->readout.n, n = P * model->context.n;
    int64_t *first = TESS_NEW(int64_t, n + 1), *member = TESS_NEW(int64_t, n);
    int64_t *context = TESS_NEW(int64_t, n), *readout = TESS_NEW(int64_t, R);
    float *out = TESS_NEW(float, n *R);
    struct tess_error error = TESS_ERROR_INIT;

    for (int64_t i = 0; i < n; i++) {
        first[i + 1] = i + 1;
        member[i] = i % P;
        context[i] = i / P;
    }
    for (int64_t r = 0; r < R; r++)
        readout[r] = r;
    TESS_BUG_IF(tess_model_predict(
                    model, &(struct tess_rows){n, first, member, context},
                    &(struct tess_model_columns){.n_readouts = R, .readout = readout, .out = out},
                    &error) != TESS_OK);
    put(file, out, n * R);
    tess_free(first);
    tess_free(member);
    tess_free(context);
    tess_free(readout);
    tess_free(out);
}

/* Straight from the checkpoint: the model keeps no tables. */
static void write_tables(const struct tess_model *model, FILE *file)
{
    struct tess_error error = TESS_ERROR_INIT;
    struct tess_h5 h5 = TESS_H5_INIT;
    struct tess_state state = {.version = 0};

    TESS_BUG_IF(tess_h5_open(&h5, model->path, MPI_COMM_NULL, 0, &error) != TESS_OK ||
                tess_checkpoint_read_head(&h5, &state, &error) != TESS_OK);
    for (int t = 0; t < TESS_N_TABLES; t++) {
        int64_t n = state.vocab[t].n;
        float *table = TESS_NEW(float, n *state.shape.dim);

        TESS_BUG_IF(tess_checkpoint_read_rows(&h5, &state, t, (struct tess_state_range){0, n},
                                              table, &error) != TESS_OK);
        put(file, table, n * state.shape.dim);
        tess_free(table);
    }
    tess_state_release(&state);
    tess_h5_close(&h5, &error);
}

static void write_numbers(const struct tess_model *model, const char *path)
{
    const struct tess_network *network = &model->network;
    FILE *file = fopen(path, "wb");

    TESS_BUG_IF(!file);
    put(file, network->parameter, tess_shape_size(network->shape));
    write_tables(model, file);
    write_predictions(model, file);
    TESS_BUG_IF(fclose(file) != 0);
}

int main(int argc, char **argv)
{
    struct tess_error error = TESS_ERROR_INIT;
    struct tess_model model;
    int rank;

    MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &(int){0});
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    openblas_set_num_threads(1);
    tess_h5_init();
    if (tess_model_open(&model, argv[1], TESS_PRECISION_AUTO, MPI_COMM_WORLD, &error) == TESS_OK &&
        rank == 0) {
        printf("%016llx\n", (unsigned long long)model.hash);
        if (argc > 2)
            write_numbers(&model, argv[2]);
    }
    if (error.code != TESS_OK && rank == 0)
        fprintf(stderr, "%s\n", error.text);
    tess_model_release(&model);
    MPI_Finalize();
    return error.code;
}
