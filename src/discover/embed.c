/* embed.c -- tables as they are, as the network sees them, and where members agree, written by all
 * ranks a block of rows at a time. */
#include "embed.h"

#include "joint.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/log.h"
#include "tessera/rounds.h"
#include "tessera/state.h"
#include "tessera/version.h"
#include "tessera/writer.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#define RAW  TESS_WRITER_OBSM "raw"
#define AXES TESS_WRITER_OBSM "X_pca"

/* A table on its way into the file. */
struct tables {
    struct tess_vectors raw, effective;
    struct tess_joint joint;
};

struct shape {
    int64_t width, raw, components; /* of X, of obsm/raw, of obsm/X_pca */
};

/* Who writes has room for a block of rows of all three. */
struct blocks {
    float *x, *effective, *raw, *axes;
};

static int open_table(struct tables *tables, const struct tess_model *model, int table,
                      struct tess_error *error)
{
    if (tess_vectors_open(&tables->raw, model, table, 0, error) == TESS_OK)
        tess_vectors_open(&tables->effective, model, table, 1, error);
    return error->code;
}

static void release_table(struct tables *tables)
{
    tess_vectors_release(&tables->raw);
    tess_vectors_release(&tables->effective);
    tess_joint_release(&tables->joint);
}

/* Rows [first, first + n) of a table, which begins at row `begin` of the file. */
static void put_rows(const struct tables *tables, const struct shape *shape, struct blocks *block,
                     struct tess_writer *file, const int64_t place[3], struct tess_error *error)
{
    int64_t begin = place[0], first = place[1], n = place[2], width = tables->effective.width;

    if (n == 0 ||
        tess_vectors_make(&tables->effective, first, n, block->effective, error) != TESS_OK ||
        tess_vectors_make(&tables->raw, first, n, block->raw, error) != TESS_OK)
        return;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < shape->width; j++)
            block->x[i * shape->width + j] = j < width ? block->effective[i * width + j] : 0;
    tess_joint_project(&tables->joint, &tables->effective, n, block->effective, shape->components,
                       block->axes);
    if (tess_writer_put_rows(file, NULL, begin + first, n, block->x, error) == TESS_OK &&
        tess_writer_put_rows(file, RAW, begin + first, n, block->raw, error) == TESS_OK)
        tess_writer_put_rows(file, AXES, begin + first, n, block->axes, error);
    tess_writer_wait(file, block->x);
    tess_writer_wait(file, block->raw);
    tess_writer_wait(file, block->axes);
}

static int write_table(const struct tables *tables, const struct shape *shape, int64_t begin,
                       struct tess_writer *file, struct tess_error *error)
{
    int64_t row = shape->width + tables->effective.width + shape->raw + shape->components;
    const struct tess_rounds rounds =
        tess_rounds_make(file->comm, tables->raw.n, row, TESS_VECTORS_TILE);
    float *room = tess_alloc_large((size_t)(rounds.size * row), sizeof *room, "rows", error);
    struct blocks block = {.x = room};

    if (tess_agree(file->comm, error) == TESS_OK) {
        block.effective = block.x + rounds.size * shape->width;
        block.raw = block.effective + rounds.size * tables->effective.width;
        block.axes = block.raw + rounds.size * shape->raw;
        for (int64_t round = 0; round < rounds.n_rounds && error->code == TESS_OK; round++) {
            int64_t first, n = tess_rounds_take(&rounds, round, &first);

            put_rows(tables, shape, &block, file, (const int64_t[]){begin, first, n}, error);
        }
        tess_writer_settle(file, error);
    }
    tess_free(room);
    return error->code;
}

static double share_of(const struct tess_pca *pca)
{
    double sum = 0;

    for (int64_t j = 0; j < pca->k; j++)
        sum += pca->variance[j];
    return pca->total > 0 ? sum / pca->total : 0;
}

/* The share of the variance that the components have, for people and programs. */
static int say_share(int table, const struct tess_joint *joint, struct tess_writer *file,
                     struct tess_error *error)
{
    char *path = tess_format("variance_share/%s", tess_table_names[table]);

    tess_info("%ss: %" PRId64 " trained, %" PRId64 " principal components have %.1f %% of the "
              "variance",
              tess_table_names[table], joint->n_trained, joint->pca.k, 100 * share_of(&joint->pca));
    tess_writer_write_number(file, path, share_of(&joint->pca), error);
    tess_free(path);
    return error->code;
}

static int write_notes(const struct tess_embed *embed, const struct tess_model *model,
                       const struct shape *shape, struct tess_writer *file,
                       struct tess_error *error)
{
    char *hash = tess_format("%016" PRIx64, model->hash);

    if (tess_writer_write_text(file, "model_hash", hash, error) == TESS_OK &&
        tess_writer_write_number(file, "n_models", model->n_members, error) == TESS_OK &&
        tess_writer_write_number(file, "units_of_a_model",
                                 (double)(shape->width / model->n_members), error) == TESS_OK &&
        tess_writer_write_text(file, "provenance/program", tess_version, error) == TESS_OK &&
        tess_writer_write_text(file, "provenance/command", embed->command, error) == TESS_OK)
        tess_writer_write_text(file, "provenance/model", model->path, error);
    tess_free(hash);
    return error->code;
}

static int define(struct tess_writer *file, const struct shape *shape, struct tess_error *error)
{
    if (tess_writer_define_matrix(file, NULL, error) == TESS_OK &&
        tess_writer_define_places(file, RAW, shape->raw, error) == TESS_OK)
        tess_writer_define_places(file, AXES, shape->components, error);
    return error->code;
}

/* Sizes that a number of components must fit: those of the table of perturbations. */
static int find_shape(const struct tess_embed *embed, const struct tables table[],
                      const struct tess_model *model, struct shape *shape, struct tess_error *error)
{
    int64_t rows = 0, most = table[0].effective.width;

    for (int64_t i = 0; i < model->perturbation.n; i++)
        rows += model->trained_perturbation[i];
    most = most < rows - 1 ? most : rows - 1;
    shape->raw = table[0].raw.width;
    for (int t = 0; t < TESS_N_TABLES; t++)
        if (table[t].effective.width > shape->width)
            shape->width = table[t].effective.width;
    if (embed->components > most)
        tess_error_set(error, TESS_EUSAGE,
                       "--pca %" PRId64 ": %" PRId64 " trained perturbations with %" PRId64
                       " numbers each have %" PRId64 " principal components at most",
                       embed->components, rows, table[0].effective.width, most > 0 ? most : 0);
    shape->components = embed->components              ? embed->components
                        : most < 1                     ? 1
                        : most < TESS_EMBED_COMPONENTS ? most
                                                       : TESS_EMBED_COMPONENTS;
    return error->code;
}

static int write_file(const struct tess_embed *embed, const struct tess_model *model,
                      struct tables table[], struct tess_writer *file, struct tess_error *error)
{
    const uint8_t *const trained[] = {model->trained_perturbation, model->trained_readout,
                                      model->trained_context};
    const struct tess_embed_rows rows = tess_embed_rows_of(model);
    MPI_Comm comm = file->comm;
    struct shape shape = {0};

    find_shape(embed, table, model, &shape, error);
    for (int t = 0; t < TESS_N_TABLES && error->code == TESS_OK; t++)
        tess_joint_init(&table[t].joint, &table[t].effective, trained[t], shape.components, comm,
                        error);
    if (error->code != TESS_OK ||
        tess_writer_open(file, embed->output,
                         &(struct tess_writer_shape){.n_rows = rows.n,
                                                     .n_readouts = shape.width,
                                                     .parts = TESS_WRITER_LAYERS},
                         comm, error) != TESS_OK ||
        tess_embed_write_labels(&rows, shape.width, file, error) != TESS_OK ||
        write_notes(embed, model, &shape, file, error) != TESS_OK)
        return error->code;
    for (int t = 0; t < TESS_N_TABLES && error->code == TESS_OK; t++)
        say_share(t, &table[t].joint, file, error);
    if (error->code == TESS_OK)
        define(file, &shape, error);
    for (int t = 0; t < TESS_N_TABLES && error->code == TESS_OK; t++)
        write_table(&table[t], &shape, rows.first[t], file, error);
    return error->code == TESS_OK ? tess_writer_finish(file, 1, error) : error->code;
}

int tess_embed_write(const struct tess_embed *embed, const struct tess_model *model, MPI_Comm comm,
                     struct tess_error *error)
{
    struct tables table[TESS_N_TABLES] = {0};
    struct tess_writer file = {.comm = comm};

    MPI_Comm_rank(comm, &file.rank);
    tess_writer_check("-o", embed->output, TESS_WRITER_LAYERS, error);
    if (file.rank == 0 && !embed->force && access(embed->output, F_OK) == 0)
        tess_error_set(error, TESS_ECREATE,
                       "%s: is there already: name another output, or give --force", embed->output);
    for (int t = 0; t < TESS_N_TABLES && error->code == TESS_OK; t++)
        open_table(&table[t], model, t, error);
    if (tess_agree(comm, error) == TESS_OK)
        write_file(embed, model, table, &file, error);
    tess_writer_release(&file);
    for (int t = 0; t < TESS_N_TABLES; t++)
        release_table(&table[t]);
    return error->code;
}
