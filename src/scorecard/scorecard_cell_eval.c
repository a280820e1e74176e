/* scorecard_cell_eval.c -- predictions and measured values as the two AnnData files that cell-eval
 * reads: the same readouts in the same order, the same perturbations, and control in both.
 *
 * Its defaults: the perturbation in obs `target_gene`, control called `non-targeting`; `celltype`
 * is what its --celltype-col may be given. Control is what was measured in both files, so that a
 * model's own control moves no score. */
#include "tessera/scorecard.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/commit.h"
#include "tessera/error.h"
#include "tessera/evaluate.h"
#include "tessera/log.h"
#include "tessera/version.h"
#include "tessera/writer.h"

#include <math.h>
#include <string.h>

#define CHUNK   64 /* experiments at most, of one context */
#define CONTROL "non-targeting"

struct files {
    struct tess_evaluation *evaluation;
    int64_t n_rows, n_readouts;
    int64_t *readout; /* (n_readouts) of the store: in the panels of all contexts; own */
    int64_t *experiment; /* (n_rows) of the evaluation; -1: control; own */
    int64_t *context; /* (n_rows) own */
    int64_t n_chunks, *first; /* (n_chunks + 1) rows, each chunk of one context; own */
    double n_missing; /* values that are missing in both */
};

static int64_t context_of(const struct tess_evaluation *evaluation, int64_t i)
{
    return evaluation->profiles.context_of[evaluation->unit[i]];
}

/* Readouts of every context that is written, and that the model knows. */
static void find_readouts(struct files *files, const uint8_t *written)
{
    const struct tess_evaluation *evaluation = files->evaluation;
    const struct tess_profiles *profiles = &evaluation->profiles;
    int64_t n = evaluation->store->index.readout.n, contexts = 0;
    int64_t *times = TESS_NEW(int64_t, n);

    files->readout = TESS_NEW(int64_t, n);
    for (int64_t c = 0; c < profiles->n_contexts; c++) {
        contexts += written[c];
        for (int64_t k = profiles->readout_first[c];
             written[c] && k < profiles->readout_first[c + 1]; k++)
            times[profiles->readout[k]]++;
    }
    for (int64_t r = 0; r < n; r++)
        if (times[r] == contexts && (evaluation->predicted || evaluation->readout.to[r] >= 0))
            files->readout[files->n_readouts++] = r;
    tess_free(times);
}

/* Of each context with a control: that, and then its scored experiments. */
static void find_rows(struct files *files, uint8_t *written)
{
    const struct tess_evaluation *evaluation = files->evaluation;
    int64_t n = evaluation->n, rows = 0, chunks = 0, *row;

    files->experiment = row = TESS_NEW(int64_t, 2 * n);
    files->context = TESS_NEW(int64_t, 2 * n);
    files->first = TESS_NEW(int64_t, 2 * n + 1);
    for (int64_t i = 0; i < n; i++) {
        int64_t context = context_of(evaluation, i);
        int begins = i == 0 || context_of(evaluation, i - 1) != context;

        if (!evaluation->baselines.control[context])
            continue;
        if (begins || rows - files->first[chunks - 1] == CHUNK)
            files->first[chunks++] = rows;
        if (begins) {
            files->context[rows] = context;
            row[rows++] = -1;
        }
        files->context[rows] = context;
        row[rows++] = i;
        written[context] = 1;
    }
    files->first[chunks] = files->n_rows = rows;
    files->n_chunks = chunks;
}

/* A perturbation of the store that has control's name would be taken for it. */
static int check_names(const struct files *files, struct tess_error *error)
{
    const struct tess_evaluation *evaluation = files->evaluation;
    const struct tess_index *index = &evaluation->store->index;

    for (int64_t i = 0; i < files->n_rows && error->code == TESS_OK; i++) {
        int64_t e = files->experiment[i];
        char *name = e < 0 ? NULL
                           : tess_index_combination_name(
                                 index, evaluation->profiles.combination[evaluation->unit[e]]);

        if (name && strcmp(name, CONTROL) == 0)
            tess_error_set(error, TESS_EDATA,
                           "%s: has a perturbation %s beside the control, which cell-eval calls "
                           "so: import it again with --control %s, if it is one",
                           evaluation->store->h5.path, CONTROL, CONTROL);
        tess_free(name);
    }
    return error->code;
}

/* Both files, if they are on one disk. What is not foreseen leaves ranks waiting in HDF5.
 * Collective. */
static int check_room(const struct files *files, const char *const path[2],
                      struct tess_error *error)
{
    const struct tess_index *index = &files->evaluation->store->index;
    double names = (double)(index->perturbation.width + index->context.width + 64);
    double bytes = (double)files->n_rows * (names + 16 + 4.0 * (double)files->n_readouts) +
                   (double)files->n_readouts * (double)(index->readout.width + 16) + 1e5;
    int rank;

    MPI_Comm_rank(files->evaluation->comm, &rank);
    for (int f = 0; f < 2 && rank == 0; f++)
        tess_commit_check_room(path[f], 2 * bytes, error);
    return tess_agree(files->evaluation->comm, error);
}

static int files_init(struct files *files, struct tess_evaluation *evaluation,
                      struct tess_error *error)
{
    uint8_t *written;

    *files = (struct files){.evaluation = evaluation};
    if (!evaluation->has_model)
        return tess_error_set(error, TESS_EUSAGE, "--profile cell-eval writes predictions: %s",
                              evaluation->no_model);
    written = TESS_NEW(uint8_t, evaluation->profiles.n_contexts);
    find_rows(files, written);
    find_readouts(files, written);
    tess_free(written);
    if (files->n_rows == 0)
        return tess_error_set(
            error, TESS_EDATA,
            "%s: no context with scored experiments has a measured control, which "
            "cell-eval needs; name it with 'tessera import --control'",
            evaluation->store->h5.path);
    if (files->n_readouts == 0)
        return tess_error_set(error, TESS_EDATA,
                              "%s: the scored contexts have no readout in common, which one file "
                              "for cell-eval needs",
                              evaluation->store->h5.path);
    return check_names(files, error);
}

static void files_release(struct files *files)
{
    tess_free(files->readout);
    tess_free(files->experiment);
    tess_free(files->context);
    tess_free(files->first);
}

/* Perturbations and contexts of the rows, and names of both axes. Collective. */
static int write_labels(const struct files *files, struct tess_writer *file,
                        struct tess_error *error)
{
    const struct tess_evaluation *evaluation = files->evaluation;
    const struct tess_index *index = &evaluation->store->index;
    int64_t n = files->n_rows, n_labels = 1;
    int32_t *code = TESS_NEW(int32_t, n), *context = TESS_NEW(int32_t, n);
    int32_t *label_of = TESS_NEW(int32_t, index->n_combinations);
    struct tess_strings row = {0}, label = {0}, readout = {0};

    tess_strings_add(&label, CONTROL);
    for (int64_t i = 0; i < n; i++) {
        int64_t e = files->experiment[i];
        int64_t combination = e < 0 ? -1 : evaluation->profiles.combination[evaluation->unit[e]];
        char *name = e < 0 ? NULL : tess_index_combination_name(index, combination);
        char *both = tess_format("%s in %s", name ? name : CONTROL,
                                 index->context.symbol[files->context[i]]);

        if (name && label_of[combination] == 0) {
            label_of[combination] = (int32_t)n_labels++;
            tess_strings_add(&label, name);
        }
        code[i] = name ? label_of[combination] : 0;
        context[i] = (int32_t)files->context[i];
        tess_strings_add(&row, both);
        tess_free(name);
        tess_free(both);
    }
    for (int64_t r = 0; r < files->n_readouts; r++)
        tess_strings_add(&readout, index->readout.symbol[files->readout[r]]);
    if (tess_writer_write_names(file, TESS_WRITER_ROWS, (const char *const *)row.item, error) ==
            TESS_OK &&
        tess_writer_write_names(file, TESS_WRITER_READOUTS, (const char *const *)readout.item,
                                error) == TESS_OK &&
        tess_writer_write_codes(file, "target_gene", n_labels, (const char *const *)label.item,
                                code, error) == TESS_OK &&
        tess_writer_write_codes(file, "celltype", index->context.n, index->context.symbol, context,
                                error) == TESS_OK)
        tess_writer_write_text(file, "provenance/program", tess_version, error);
    tess_strings_release(&row);
    tess_strings_release(&label);
    tess_strings_release(&readout);
    tess_free(code);
    tess_free(context);
    tess_free(label_of);
    return error->code;
}

/* The rows of a chunk on the context's panel: what is predicted, what was measured (n, width). */
static int read_chunk(const struct files *files, int64_t chunk, double *predicted, float *measured,
                      struct tess_error *error)
{
    struct tess_evaluation *evaluation = files->evaluation;
    int64_t begin = files->first[chunk], end = files->first[chunk + 1];
    int64_t context = files->context[begin], first;
    int64_t width = tess_profiles_width(&evaluation->profiles, context);

    if (files->experiment[begin] < 0) {
        for (int64_t k = 0; k < width; k++) {
            predicted[k] = evaluation->baselines.control[context][k];
            measured[k] = (float)predicted[k];
        }
        predicted += width;
        measured += width;
        begin++;
    }
    first = files->experiment[begin];
    if (tess_evaluate_predict(evaluation, first, first + end - begin, predicted, NULL, error) ==
        TESS_OK)
        tess_profiles_read(&evaluation->profiles, end - begin, evaluation->unit + first, measured,
                           error);
    return error->code;
}

/* This rank's chunks into both files. Local. */
static int put_chunk(struct files *files, int64_t chunk, struct tess_writer *file,
                     struct tess_error *error)
{
    const struct tess_profiles *profiles = &files->evaluation->profiles;
    int64_t begin = files->first[chunk], n = files->first[chunk + 1] - begin;
    int64_t context = files->context[begin], m = files->n_readouts;
    int64_t width = tess_profiles_width(profiles, context), *place = TESS_NEW(int64_t, m);
    double *predicted = TESS_NEW(double, n *width);
    float *measured = TESS_NEW(float, n *width), *out[2];

    for (int f = 0; f < 2; f++)
        out[f] = TESS_NEW(float, n *m);
    tess_profiles_place(profiles, context, m, files->readout, place);
    read_chunk(files, chunk, predicted, measured, error);
    for (int64_t i = 0; i < n * m && error->code == TESS_OK; i++) {
        int64_t at = i / m * width + place[i % m];
        int missing = isnan(predicted[at]) || isnan(measured[at]);

        out[0][i] = missing ? NAN : (float)predicted[at];
        out[1][i] = missing ? NAN : measured[at];
        files->n_missing += missing;
    }
    for (int f = 0; f < 2; f++) {
        if (error->code == TESS_OK)
            tess_writer_put_rows(&file[f], NULL, begin, n, out[f], error);
        tess_writer_wait(&file[f], out[f]);
        tess_free(out[f]);
    }
    tess_free(predicted);
    tess_free(measured);
    tess_free(place);
    return error->code;
}

static int open_file(struct tess_writer *file, const struct files *files, const char *path,
                     struct tess_error *error)
{
    const struct tess_writer_shape shape = {.type = tess_writer_format("h5ad"),
                                            .n_rows = files->n_rows,
                                            .n_readouts = files->n_readouts};

    if (tess_writer_open(file, path, &shape, files->evaluation->comm, error) == TESS_OK &&
        write_labels(files, file, error) == TESS_OK)
        tess_writer_define_matrix(file, NULL, error);
    return error->code;
}

/* Each file keeps its error until its ranks settle. */
static int write_rows(struct files *files, struct tess_writer *file, struct tess_error *error)
{
    MPI_Comm comm = files->evaluation->comm;
    int rank, n_ranks;

    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &n_ranks);
    for (int64_t c = rank; c < files->n_chunks && error->code == TESS_OK; c += n_ranks)
        put_chunk(files, c, file, error);
    if (tess_agree(comm, error) != TESS_OK)
        return error->code;
    MPI_Allreduce(MPI_IN_PLACE, &files->n_missing, 1, MPI_DOUBLE, MPI_SUM, comm);
    for (int f = 0; f < 2 && error->code == TESS_OK; f++)
        tess_writer_settle(&file[f], error);
    return error->code;
}

int tess_scorecard_cell_eval(struct tess_evaluation *evaluation, const char *predicted,
                             const char *real, struct tess_error *error)
{
    const char *const path[2] = {predicted, real};
    struct tess_writer file[2] = {{0}, {0}};
    struct files files;

    if (files_init(&files, evaluation, error) == TESS_OK &&
        check_room(&files, path, error) == TESS_OK &&
        open_file(&file[0], &files, predicted, error) == TESS_OK &&
        open_file(&file[1], &files, real, error) == TESS_OK &&
        write_rows(&files, file, error) == TESS_OK &&
        tess_writer_finish(&file[0], 0, error) == TESS_OK &&
        tess_writer_finish(&file[1], 0, error) == TESS_OK) {
        tess_info("%s, %s: %lld rows x %lld readouts for cell-eval", predicted, real,
                  (long long)files.n_rows, (long long)files.n_readouts);
        if (files.n_missing > 0)
            tess_warn("%.0f values are missing (NaN) in both files: not all metrics of cell-eval "
                      "can be told of them",
                      files.n_missing);
    }
    for (int f = 0; f < 2; f++)
        tess_writer_release(&file[f]);
    files_release(&files);
    return error->code;
}
