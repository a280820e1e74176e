/* screen_signature.c -- which readouts count in a screen, and the score of their changes. */
#include "screen.h"

#include "tessera/alloc.h"
#include "tessera/broadcast.h"
#include "tessera/error.h"
#include "tessera/lines.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct tess_choice readouts_of(const struct tess_model *model)
{
    return (struct tess_choice){.vocab = &model->readout,
                                .trained = model->trained_readout,
                                .what = "readout",
                                .source = model->path};
}

/* A file's lines as they are read. */
struct lines {
    struct tess_strings readout; /* own */
    double *weight; /* own */
    size_t room;
};

static int add_line(struct lines *lines, const struct tess_lines *file, char *text, size_t n,
                    struct tess_error *error)
{
    struct tess_field field[3];
    int64_t n_fields = tess_fields_split(text, n, '\t', 0, 3, field);
    double weight;

    if (n_fields == 1 && field[0].n == 0)
        return TESS_OK;
    for (int64_t k = 0; k < n_fields && k < 2; k++)
        field[k].text[field[k].n] = '\0';
    if (file->number == 1 && n_fields == 2 && strcmp(field[0].text, "readout") == 0)
        return TESS_OK;
    if (n_fields != 2 || field[0].n == 0 || !tess_text_double(field[1].text, &weight) ||
        !isfinite(weight))
        return tess_error_set(error, TESS_EDATA,
                              "%s:%lld: a readout and its weight, a number, belong here, with a "
                              "tab between them",
                              file->path, (long long)file->number);
    if (weight == 0)
        return TESS_OK;
    lines->weight =
        tess_grow(lines->weight, &lines->room, lines->readout.n + 1, sizeof *lines->weight);
    lines->weight[lines->readout.n] = weight;
    tess_strings_add(&lines->readout, field[0].text);
    return TESS_OK;
}

static int read_lines(struct lines *lines, const char *path, struct tess_error *error)
{
    struct tess_lines file = {0};
    char *text;
    size_t n;
    int more = tess_lines_open(&file, path, NULL, error) == TESS_OK;

    while (more > 0 && error->code == TESS_OK &&
           (more = tess_lines_next(&file, &text, &n, error)) > 0)
        add_line(lines, &file, text, n, error);
    if (error->code == TESS_OK && lines->readout.n == 0)
        tess_error_set(error, TESS_EDATA,
                       "%s: holds no readout with a weight other than 0: nothing is asked for",
                       path);
    tess_lines_release(&file);
    return error->code;
}

static int read_file(const struct tess_screen *screen, const struct tess_model *model,
                     struct screen_signature *signature, struct tess_sets *sets,
                     struct tess_error *error)
{
    struct tess_choice choice = readouts_of(model);
    char *source = tess_format("%s: %s", screen->signature, choice.source);
    struct lines lines = {0};
    int64_t *place = NULL;

    choice.source = source;
    if (read_lines(&lines, screen->signature, error) == TESS_OK) {
        place = TESS_NEW(int64_t, lines.readout.n);
        tess_select_names(&choice, &lines.readout, sets, place, error);
    }
    signature->weight = TESS_NEW(double, sets->n);
    for (size_t i = 0; i < lines.readout.n && error->code == TESS_OK; i++) {
        if (signature->weight[place[i]] != 0)
            tess_error_set(error, TESS_EDATA, "%s: readout '%s' is there twice", screen->signature,
                           lines.readout.item[i]);
        signature->weight[place[i]] = lines.weight[i];
    }
    tess_strings_release(&lines.readout);
    tess_free(lines.weight);
    tess_free(source);
    tess_free(place);
    return error->code;
}

/* Scores do not depend on the weights' size: of 1 at most, they neither overflow nor vanish. */
static void normalise(int64_t n, double *weight)
{
    double most = 0;

    for (int64_t k = 0; k < n; k++)
        most = fmax(most, fabs(weight[k]));
    for (int64_t k = 0; k < n; k++)
        weight[k] /= most;
}

int tess_screen_read_signature(const struct tess_screen *screen, const struct tess_model *model,
                               struct screen_signature *signature, struct tess_error *error)
{
    struct tess_choice choice = readouts_of(model);
    struct tess_sets sets = {0};

    if (screen->signature)
        read_file(screen, model, signature, &sets, error);
    else if (tess_select(&choice, &screen->readout, &sets, error) == TESS_OK) {
        signature->weight = TESS_NEW(double, sets.n);
        for (int64_t k = 0; k < sets.n; k++)
            signature->weight[k] = 1;
    }
    if (error->code == TESS_OK) {
        normalise(sets.n, signature->weight);
        signature->n = sets.n;
        signature->readout = TESS_NEW(int64_t, sets.n);
        memcpy(signature->readout, sets.member, (size_t)sets.n * sizeof *sets.member);
    }
    tess_sets_release(&sets);
    return error->code;
}

void tess_screen_signature_broadcast(struct screen_signature *signature, MPI_Comm comm)
{
    tess_broadcast(comm, &signature->n, sizeof signature->n);
    signature->readout =
        tess_broadcast_array(comm, signature->readout, signature->n, sizeof *signature->readout);
    signature->weight =
        tess_broadcast_array(comm, signature->weight, signature->n, sizeof *signature->weight);
}

void tess_screen_signature_release(struct screen_signature *signature)
{
    tess_free(signature->readout);
    tess_free(signature->weight);
    *signature = (struct screen_signature){0};
}

double tess_screen_score(const struct screen_signature *signature, int cosine, const float *change)
{
    double product = 0, weights = 0, changes = 0;

    for (int64_t k = 0; k < signature->n; k++) {
        double w = signature->weight[k], d = (double)change[k];

        product += w * d;
        weights += cosine ? w * w : fabs(w);
        changes += d * d;
    }
    if (!cosine)
        return product / weights;
    return changes > 0 ? product / (sqrt(weights) * sqrt(changes)) : 0;
}
