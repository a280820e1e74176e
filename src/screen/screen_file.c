/* screen_file.c -- the ranked perturbations as an AnnData file: obs is the table, X the score in
 * each context. */
#include "screen.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/version.h"
#include "tessera/writer.h"

#include <math.h>
#include <string.h>

#define BLOCK 4096 /* rows put at a time */

int tess_screening_is_file(const struct tess_screen *screen)
{
    const char *end = screen->output ? strrchr(screen->output, '.') : NULL;

    return end && strcmp(end, ".h5ad") == 0 && end > screen->output && end[-1] != '/';
}

/* Rows of the file; order, result and cells are rank 0's. */
struct rows {
    const struct screening *work;
    int64_t n;
    int64_t *order; /* (perturbations) own; NULL on other ranks */
};

struct texts {
    const struct rows *rows;
    int target;
};

static void make_texts(const void *closure, int64_t first, int64_t n, int width, char *out)
{
    const struct texts *texts = closure;

    for (int64_t i = 0; i < n; i++) {
        char *text =
            tess_screening_name(texts->rows->work, texts->rows->order[first + i], texts->target);

        memcpy(out + i * width, text, strlen(text));
        tess_free(text);
    }
}

static int width_of(const struct texts *texts)
{
    size_t most = 1;

    for (int64_t i = 0; texts->rows->order && i < texts->rows->n; i++) {
        char *text = tess_screening_name(texts->rows->work, texts->rows->order[i], texts->target);

        most = strlen(text) > most ? strlen(text) : most;
        tess_free(text);
    }
    return tess_int((int64_t)most);
}

static double std_of(const struct screening *work, int64_t set)
{
    return work->model.n_members > 1 ? work->result[set].deviation : NAN;
}

static double change_of(const struct screening *work, int64_t set)
{
    return work->result[set].change;
}

static double agreement_of(const struct screening *work, int64_t set)
{
    return (double)work->result[set].agreeing / (double)work->context.n;
}

static double measured_of(const struct screening *work, int64_t set)
{
    return work->result[set].measured;
}

static const struct {
    const char *name;
    double (*value)(const struct screening *work, int64_t set);
} reals[] = {{"change", change_of},
             {"std", std_of},
             {"z", tess_screening_z},
             {"agreement", agreement_of},
             {"measured", measured_of}};

static int write_reals(const struct rows *rows, struct tess_writer *file, struct tess_error *error)
{
    double *value = TESS_NEW(double, rows->n);

    for (size_t k = 0; k < sizeof reals / sizeof reals[0] && error->code == TESS_OK; k++) {
        for (int64_t i = 0; rows->order && i < rows->n; i++)
            value[i] = reals[k].value(rows->work, rows->order[i]);
        tess_writer_write_column(file, TESS_WRITER_ROWS,
                                 &(struct tess_writer_column){.name = reals[k].name,
                                                              .type = TESS_WRITER_REALS,
                                                              .value = value},
                                 error);
    }
    tess_free(value);
    return error->code;
}

static int write_counts(const struct rows *rows, struct tess_writer *file, struct tess_error *error)
{
    int64_t *count = TESS_NEW(int64_t, rows->n);
    int32_t *trained = TESS_NEW(int32_t, rows->n), *known = TESS_NEW(int32_t, rows->n);

    for (int64_t i = 0; rows->order && i < rows->n; i++) {
        count[i] = rows->work->result[rows->order[i]].n_measured;
        trained[i] = tess_screening_trained(rows->work, rows->order[i]);
        known[i] = (int32_t)tess_screening_known(rows->work, rows->order[i]);
    }
    if (tess_writer_write_column(file, TESS_WRITER_ROWS,
                                 &(struct tess_writer_column){.name = "measured_in",
                                                              .type = TESS_WRITER_INTEGERS,
                                                              .value = count},
                                 error) == TESS_OK &&
        tess_writer_write_codes(file, "trained", 3, tess_screening_trained_names, trained, error) ==
            TESS_OK &&
        tess_known_differs(&rows->work->model))
        tess_writer_write_codes(file, TESS_KNOWN_COLUMN, TESS_KNOWN_WAYS, tess_known_names, known,
                                error);
    tess_free(known);
    tess_free(count);
    tess_free(trained);
    return error->code;
}

static int write_words(const struct texts *texts, const char *column, struct tess_writer *file,
                       struct tess_error *error)
{
    const struct tess_writer_texts words = {texts->rows->n, NULL, width_of(texts), make_texts,
                                            texts};

    return tess_writer_write_words(file, column, &words, error);
}

static int write_labels(const struct rows *rows, struct tess_writer *file, struct tess_error *error)
{
    const struct tess_screen *screen = rows->work->screen;
    const struct tess_vocab *contexts = &rows->work->model.context;
    const char **context = TESS_NEW(const char *, rows->work->context.n);
    const struct texts names = {rows, 0}, targets = {rows, 1};

    for (int64_t c = 0; c < rows->work->context.n; c++)
        context[c] = contexts->symbol[rows->work->context.member[c]];
    if (tess_writer_write_names(file, TESS_WRITER_READOUTS, context, error) == TESS_OK &&
        write_words(&names, NULL, file, error) == TESS_OK &&
        write_words(&names, "perturbation", file, error) == TESS_OK &&
        write_words(&targets, "target", file, error) == TESS_OK &&
        write_reals(rows, file, error) == TESS_OK && write_counts(rows, file, error) == TESS_OK &&
        tess_writer_write_text(file, "score", screen->cosine ? "cosine" : "sum", error) ==
            TESS_OK &&
        tess_writer_write_text(file, "direction", screen->down ? "down" : "up", error) == TESS_OK &&
        tess_writer_write_text(file, "provenance/program", tess_version, error) == TESS_OK &&
        tess_writer_write_text(file, "provenance/command", screen->command, error) == TESS_OK)
        tess_writer_write_text(file, "provenance/model", rows->work->model.path, error);
    tess_free(context);
    return error->code;
}

/* Scores of the contexts, or their deviations: rank 0 has all of them. */
static void put_rows(const struct rows *rows, const char *layer, struct tess_writer *file,
                     struct tess_error *error)
{
    int64_t contexts = rows->work->context.n, most = rows->n < BLOCK ? rows->n : BLOCK;
    float *value = TESS_NEW(float, most *contexts);

    for (int64_t first = 0; rows->order && first < rows->n && error->code == TESS_OK;
         first += most) {
        int64_t n = rows->n - first < most ? rows->n - first : most;

        for (int64_t i = 0; i < n; i++)
            for (int64_t c = 0; c < contexts; c++) {
                const struct screen_cell *cell =
                    &rows->work->cell[rows->order[first + i] * contexts + c];

                value[i * contexts + c] = (float)(layer ? cell->deviation : cell->change);
            }
        tess_writer_put_rows(file, layer, first, n, value, error);
        tess_writer_wait(file, value);
    }
    tess_writer_settle(file, error);
    tess_free(value);
}

int tess_screening_write_file(const struct screening *work, struct tess_error *error)
{
    int64_t top = work->screen->top, n = work->perturbation.n;
    struct rows rows = {.work = work, .n = top > 0 && top < n ? top : n};
    struct tess_writer file = {.comm = work->comm};
    const char *std = work->model.n_members > 1 ? "std" : NULL;

    if (work->rank == 0)
        rows.order = tess_screening_order(work);
    if (tess_writer_open(&file, work->screen->output,
                         &(struct tess_writer_shape){.n_rows = rows.n,
                                                     .n_readouts = work->context.n,
                                                     .parts = TESS_WRITER_LAYERS},
                         work->comm, error) == TESS_OK &&
        write_labels(&rows, &file, error) == TESS_OK &&
        tess_writer_define_matrix(&file, NULL, error) == TESS_OK &&
        (!std || tess_writer_define_matrix(&file, std, error) == TESS_OK)) {
        put_rows(&rows, NULL, &file, error);
        if (std && error->code == TESS_OK)
            put_rows(&rows, std, &file, error);
        if (error->code == TESS_OK)
            tess_writer_finish(&file, 1, error);
    }
    tess_writer_release(&file);
    tess_free(rows.order);
    return error->code;
}
