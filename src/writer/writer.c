/* writer.c -- the table of the kinds of output, and what they have in common: which one a name
 * promises, that a file appears whole or not at all, and that it may take several goes. */
#include "tessera/writer.h"

#include "kinds.h"
#include "writer_deflated.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/broadcast.h"
#include "tessera/checksums.h"
#include "tessera/clock.h"
#include "tessera/error.h"

#include <string.h>
#include <unistd.h>

const struct tess_writer_type *const tess_writer_types[] = {&tess_writer_h5ad, &tess_writer_gctx};
const int tess_n_writer_types = sizeof tess_writer_types / sizeof tess_writer_types[0];

/* In the order of tess_writer_part's bits. */
static const char *const part_names[] = {"layers", "sparse matrix", "values in float16",
                                         "compressed values"};
#define N_PARTS (sizeof part_names / sizeof part_names[0])

static int can_hold(const struct tess_writer_type *type, unsigned parts)
{
    return (parts & ~type->parts) == 0;
}

int tess_writer_find(const char *path, unsigned parts)
{
    size_t n = strlen(path);

    for (int i = 0; i < tess_n_writer_types; i++) {
        const char *ending = tess_writer_types[i]->ending;

        if (n > strlen(ending) && strcmp(path + n - strlen(ending), ending) == 0)
            return can_hold(tess_writer_types[i], parts) ? i : -1;
    }
    return -1;
}

static char *list(unsigned parts, int endings, const char *separator)
{
    struct tess_strings found = {0};
    char *text;

    for (int i = 0; i < tess_n_writer_types; i++)
        if (can_hold(tess_writer_types[i], parts))
            tess_strings_add(&found,
                             endings ? tess_writer_types[i]->ending : tess_writer_types[i]->name);
    text = tess_strings_join(&found, separator, found.n);
    tess_strings_release(&found);
    return text;
}

char *tess_writer_names(unsigned parts, const char *separator)
{
    return list(parts, 0, separator);
}

char *tess_writer_endings(unsigned parts, const char *separator)
{
    return list(parts, 1, separator);
}

static int check_type(const struct tess_writer_type *type, const char *given, unsigned parts,
                      struct tess_error *error)
{
    char *names = tess_writer_names(parts, " or "), *endings = tess_writer_endings(parts, " or ");

    if (!type)
        tess_error_set(error, TESS_EUSAGE, "%s: %s is written: give a name in %s", given, names,
                       endings);
    for (size_t i = 0; i < N_PARTS && error->code == TESS_OK; i++)
        if (!can_hold(type, parts & (1U << i)))
            tess_error_set(error, TESS_EUSAGE, "%s: %s holds no %s: give a name in %s", given,
                           type->name, part_names[i], endings);
    tess_free(names);
    tess_free(endings);
    return error->code;
}

const struct tess_writer_type *tess_writer_format(const char *format)
{
    for (int i = 0; i < tess_n_writer_types; i++)
        if (strcmp(tess_writer_types[i]->ending + 1, format) == 0)
            return tess_writer_types[i];
    return NULL;
}

int tess_writer_check_format(const char *option, const char *format, unsigned parts,
                             struct tess_error *error)
{
    const struct tess_writer_type *type = tess_writer_format(format);
    char *formats = list(parts, 1, ", ");

    if (!type)
        tess_error_set(error, TESS_EUSAGE, "%s: '%s' is no format: these are written: %s", option,
                       format, formats);
    for (size_t i = 0; i < N_PARTS && error->code == TESS_OK; i++)
        if (!can_hold(type, parts & (1U << i)))
            tess_error_set(error, TESS_EUSAGE, "%s %s: %s holds no %s: these do: %s", option,
                           format, type->name, part_names[i], formats);
    tess_free(formats);
    return error->code;
}

/* NULL: none. */
static const struct tess_writer_type *promised(const char *path)
{
    int found = tess_writer_find(path, 0);

    return found < 0 ? NULL : tess_writer_types[found];
}

int tess_writer_check(const char *option, const char *path, unsigned parts,
                      struct tess_error *error)
{
    char *given = tess_format("%s %s", option, path);

    check_type(promised(path), given, parts, error);
    tess_free(given);
    return error->code;
}

static struct tess_unfinished_wish wish_of(const struct tess_writer_type *type, const char *path,
                                           int64_t n_rows, const struct tess_writer_again *again)
{
    return (struct tess_unfinished_wish){.output = path,
                                         .key = again->key,
                                         .rows = n_rows,
                                         .kind = type->name,
                                         .machine = again->machine,
                                         .describe = type->describe,
                                         .replace = again->replace,
                                         .keep_same = again->keep_same,
                                         .fresh = again->fresh};
}

int tess_writer_look(struct tess_unfinished *there, const char *path,
                     const struct tess_writer_shape *shape, struct tess_error *error)
{
    const struct tess_unfinished_wish wish =
        wish_of(shape->type ? shape->type : promised(path), path, shape->n_rows, shape->again);

    return tess_unfinished_look(there, &wish, error);
}

/* Rank 0 looks what is there, all hear of it. */
static int open_again(struct tess_writer *writer, const char *path,
                      const struct tess_writer_again *again, struct tess_error *error)
{
    const struct tess_unfinished_wish wish = wish_of(writer->type, path, writer->n_rows, again);
    struct tess_unfinished *there;
    int64_t head[3] = {0, 0, 0};

    if (writer->rank == 0) {
        there = writer->unfinished = TESS_NEW(struct tess_unfinished, 1);
        tess_unfinished_open(there, &wish, error);
        head[0] = there->state;
        head[1] = there->state == TESS_UNFINISHED_PART ? there->record.finished : 0;
        head[2] = there->record.n_matrices;
        memcpy(writer->matrix, there->record.matrix, sizeof writer->matrix);
    }
    if (tess_agree(writer->comm, error) != TESS_OK)
        return error->code;
    tess_broadcast(writer->comm, head, sizeof head);
    tess_broadcast(writer->comm, writer->matrix, sizeof writer->matrix);
    writer->whole = head[0] == TESS_UNFINISHED_WHOLE;
    writer->sealed = head[0] == TESS_UNFINISHED_PART;
    writer->finished = head[1];
    writer->n_matrices = (int)head[2];
    return error->code;
}

/* The temporary file: one that is gone on with, or of this writer alone. */
static int open_aside(struct tess_writer *writer, const char *path, struct tess_error *error)
{
    if (writer->rank == 0 && writer->unfinished)
        tess_commit_open_kept(&writer->commit, path, writer->unfinished->part, error);
    else if (writer->rank == 0)
        tess_commit_open(&writer->commit, path, error);
    if (tess_agree(writer->comm, error) == TESS_OK) {
        tess_broadcast_commit(writer->comm, &writer->commit);
        if (writer->sealed || writer->type->open(writer, error) == TESS_OK)
            tess_stream_open(&writer->stream, writer->commit.aside, writer->commit.path, error);
        tess_agree(writer->comm, error);
    }
    return error->code;
}

int tess_writer_open(struct tess_writer *writer, const char *path,
                     const struct tess_writer_shape *shape, MPI_Comm comm, struct tess_error *error)
{
    const struct tess_writer_type *type = shape->type ? shape->type : promised(path);

    *writer = (struct tess_writer){.comm = comm,
                                   .n_rows = shape->n_rows,
                                   .n_readouts = shape->n_readouts,
                                   .parts = shape->parts,
                                   .packing = shape->packing,
                                   .deadline = shape->deadline,
                                   .times = shape->times};
    if (check_type(type, path, shape->parts, error) != TESS_OK)
        return error->code;
    writer->type = type;
    MPI_Comm_rank(comm, &writer->rank);
    if (shape->again && open_again(writer, path, shape->again, error) != TESS_OK)
        return error->code;
    return writer->whole ? TESS_OK : open_aside(writer, path, error);
}

int tess_writer_make_names(struct tess_writer *writer, enum tess_writer_axis axis,
                           const struct tess_writer_texts *name, struct tess_error *error)
{
    writer->type->write_names(writer, axis, name, error);
    return tess_agree(writer->comm, error);
}

int tess_writer_write_names(struct tess_writer *writer, enum tess_writer_axis axis,
                            const char *const *name, struct tess_error *error)
{
    struct tess_writer_texts all = {
        .n = axis == TESS_WRITER_ROWS ? writer->n_rows : writer->n_readouts, .text = name};

    return tess_writer_make_names(writer, axis, &all, error);
}

int tess_writer_write_column(struct tess_writer *writer, enum tess_writer_axis axis,
                             const struct tess_writer_column *column, struct tess_error *error)
{
    TESS_BUG_IF(strchr(column->name, '/') || column->name[0] == '\0');
    if (writer->type->write_column)
        writer->type->write_column(writer, axis, column, error);
    return tess_agree(writer->comm, error);
}

int tess_writer_write_codes(struct tess_writer *writer, const char *name, int64_t n_categories,
                            const char *const *category, const int32_t *code,
                            struct tess_error *error)
{
    struct tess_writer_column column = {.name = name,
                                        .type = TESS_WRITER_CODES,
                                        .value = code,
                                        .n_categories = n_categories,
                                        .category = category};

    return tess_writer_write_column(writer, TESS_WRITER_ROWS, &column, error);
}

int tess_writer_write_flags(struct tess_writer *writer, const char *name, const uint8_t *flag,
                            struct tess_error *error)
{
    struct tess_writer_column column = {.name = name, .type = TESS_WRITER_FLAGS, .value = flag};

    return tess_writer_write_column(writer, TESS_WRITER_ROWS, &column, error);
}

int tess_writer_write_words(struct tess_writer *writer, const char *name,
                            const struct tess_writer_texts *word, struct tess_error *error)
{
    struct tess_writer_column column = {.name = name, .type = TESS_WRITER_WORDS, .texts = word};

    return name ? tess_writer_write_column(writer, TESS_WRITER_ROWS, &column, error)
                : tess_writer_make_names(writer, TESS_WRITER_ROWS, word, error);
}

static int write_note(struct tess_writer *writer, const char *path,
                      const struct tess_writer_note *note, struct tess_error *error)
{
    if (writer->type->write_note)
        writer->type->write_note(writer, path, note, error);
    return tess_agree(writer->comm, error);
}

int tess_writer_write_text(struct tess_writer *writer, const char *path, const char *text,
                           struct tess_error *error)
{
    struct tess_writer_note note = {.type = TESS_WRITER_TEXT, .n = 1, .text = &text};

    return write_note(writer, path, &note, error);
}

int tess_writer_write_number(struct tess_writer *writer, const char *path, double x,
                             struct tess_error *error)
{
    struct tess_writer_note note = {.type = TESS_WRITER_NUMBER, .number = x};

    return write_note(writer, path, &note, error);
}

int tess_writer_write_texts(struct tess_writer *writer, const char *path, int64_t n,
                            const char *const *text, struct tess_error *error)
{
    struct tess_writer_note note = {.type = TESS_WRITER_TEXTS, .n = n, .text = text};

    return write_note(writer, path, &note, error);
}

static int define(struct tess_writer *writer, const struct tess_writer_matrix *matrix,
                  struct tess_error *error)
{
    TESS_BUG_IF(matrix->layer && !(writer->parts & TESS_WRITER_LAYERS));
    if (writer->type->define_matrix)
        writer->type->define_matrix(writer, matrix, error);
    return tess_agree(writer->comm, error);
}

int tess_writer_define_matrix(struct tess_writer *writer, const char *layer,
                              struct tess_error *error)
{
    int half = (writer->parts & TESS_WRITER_HALF) != 0;
    struct tess_writer_matrix matrix = {layer, half ? TESS_WRITER_FLOAT16 : TESS_WRITER_FLOAT32,
                                        writer->n_readouts};

    return define(writer, &matrix, error);
}

int tess_writer_define_marks(struct tess_writer *writer, const char *layer,
                             struct tess_error *error)
{
    return define(
        writer, &(struct tess_writer_matrix){layer, TESS_WRITER_BYTES, writer->n_readouts}, error);
}

int tess_writer_define_column(struct tess_writer *writer, const char *layer,
                              struct tess_error *error)
{
    return define(writer, &(struct tess_writer_matrix){layer, TESS_WRITER_FLOAT32, 1}, error);
}

int tess_writer_define_places(struct tess_writer *writer, const char *layer, int64_t n_columns,
                              struct tess_error *error)
{
    return define(writer, &(struct tess_writer_matrix){layer, TESS_WRITER_FLOAT32, n_columns},
                  error);
}

int tess_writer_put_rows(struct tess_writer *writer, const char *layer, int64_t first, int64_t n,
                         const void *value, struct tess_error *error)
{
    TESS_BUG_IF(first < 0 || n < 0 || first > writer->n_rows - n);
    return writer->type->put_rows(writer, layer, first, n, value, error);
}

void tess_writer_wait(struct tess_writer *writer, const void *value)
{
    tess_stream_wait(&writer->stream, value);
}

int tess_writer_settle(struct tess_writer *writer, struct tess_error *error)
{
    tess_stream_settle(&writer->stream, error);
    if (writer->type->settle && !writer->sealed)
        writer->type->settle(writer, error);
    return tess_agree(writer->comm, error);
}

/* Rank 0's part, once the file is closed. */
static void seal(struct tess_writer *writer, struct tess_error *error)
{
    struct tess_record *record = &writer->unfinished->record;

    if (writer->packing.level > 0 && tess_deflated_place(writer, error) != TESS_OK)
        return;
    record->n_matrices = writer->n_matrices;
    memcpy(record->matrix, writer->matrix, sizeof record->matrix);
    if (tess_record_seal(record, writer->unfinished->part, error) == TESS_OK &&
        tess_record_write(record, writer->unfinished->part, error) == TESS_OK)
        writer->unfinished->begun = 0;
}

int tess_writer_seal(struct tess_writer *writer, struct tess_error *error)
{
    int again = writer->unfinished != NULL;

    MPI_Bcast(&again, 1, MPI_INT, 0, writer->comm);
    if (!again || writer->n_matrices == 0 || writer->sealed)
        return error->code;
    writer->type->finish(writer, error);
    if (tess_agree(writer->comm, error) == TESS_OK && writer->rank == 0)
        seal(writer, error);
    tess_broadcast(writer->comm, writer->matrix, sizeof writer->matrix);
    writer->sealed = tess_agree(writer->comm, error) == TESS_OK;
    return error->code;
}

int tess_writer_save(struct tess_writer *writer, int64_t finished, struct tess_error *error)
{
    if (!writer->sealed)
        return error->code;
    tess_stream_sync(&writer->stream, error);
    if (tess_agree(writer->comm, error) == TESS_OK && writer->rank == 0) {
        writer->unfinished->record.finished = finished;
        tess_record_write(&writer->unfinished->record, writer->unfinished->part, error);
    }
    return tess_agree(writer->comm, error);
}

int tess_writer_define_sparse(struct tess_writer *writer, int64_t n_values,
                              struct tess_error *error)
{
    TESS_BUG_IF(!(writer->parts & TESS_WRITER_SPARSE));
    writer->type->define_sparse(writer, n_values, error);
    return tess_agree(writer->comm, error);
}

int tess_writer_write_sparse(struct tess_writer *writer, const struct tess_writer_sparse *rows,
                             struct tess_error *error)
{
    writer->type->write_sparse(writer, rows, error);
    return tess_agree(writer->comm, error);
}

/* The sidecar first, then the name. Should that fail, no sidecar stays without a file. */
static void commit(struct tess_writer *writer, int sums, struct tess_error *error)
{
    char *path = tess_strdup(writer->commit.path), *sidecar = tess_format("%s.sum", path);
    /* of chunks it was the part that was hashed while it was written */
    const struct tess_sums *known = writer->packing.level > 0 ? NULL : &writer->stream.sums;
    int ours = sums && tess_agree(writer->comm, error) == TESS_OK &&
               tess_checksums_write(&writer->commit, known, writer->comm, error) == TESS_OK;

    if (error->code == TESS_OK && writer->rank == 0 &&
        tess_commit_finish(&writer->commit, error) == TESS_OK && writer->unfinished)
        tess_unfinished_finish(writer->unfinished);
    if (ours && writer->rank == 0 && error->code != TESS_OK && access(path, F_OK) < 0)
        unlink(sidecar);
    tess_free(sidecar);
    tess_free(path);
}

/* The file of an earlier seal: it stays marked until it gets its name. Collective. */
static int finish_sealed(struct tess_writer *writer, struct tess_error *error)
{
    struct tess_commit *commit = &writer->commit;

    if (writer->packing.level > 0) {
        if (tess_writer_save(writer, writer->n_rows, error) != TESS_OK ||
            tess_deflated_finish(writer, error) != TESS_OK)
            return error->code;
    } else if (writer->rank == 0) {
        memcpy(commit->head, writer->unfinished->record.head, sizeof commit->head);
        commit->marked = 1;
    }
    tess_broadcast(writer->comm, &commit->marked, sizeof commit->marked);
    tess_broadcast(writer->comm, commit->head, sizeof commit->head);
    return error->code;
}

int tess_writer_finish(struct tess_writer *writer, int sums, struct tess_error *error)
{
    double start = tess_clock(), closed;

    tess_stream_sync(&writer->stream, error);
    if (tess_agree(writer->comm, error) == TESS_OK && !writer->sealed)
        writer->type->finish(writer, error);
    else if (error->code == TESS_OK)
        finish_sealed(writer, error);
    tess_agree(writer->comm, error);
    closed = tess_clock();
    commit(writer, sums, error);
    tess_agree(writer->comm, error);
    if (writer->times)
        *writer->times =
            (struct tess_writer_times){writer->stream.times, closed - start, tess_clock() - closed};
    tess_writer_release(writer);
    return error->code;
}

void tess_writer_release(struct tess_writer *writer)
{
    tess_stream_release(&writer->stream);
    tess_deflated_release(writer);
    if (writer->state)
        writer->type->release(writer);
    tess_commit_release(&writer->commit);
    if (writer->unfinished)
        tess_unfinished_release(writer->unfinished);
    tess_free(writer->unfinished);
    *writer = (struct tess_writer){0};
}
