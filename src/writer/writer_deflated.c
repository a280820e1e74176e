/* writer_deflated.c -- chunks into their slots, and from there into the whole file. */
#include "writer_deflated.h"

#include "tessera/agree.h"
#include "tessera/alloc.h"
#include "tessera/broadcast.h"
#include "tessera/error.h"
#include "tessera/h5.h"
#include "tessera/h5_packed.h"
#include "tessera/log.h"
#include "tessera/preempt.h"

#include <errno.h>
#include <fcntl.h>
#include <omp.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#define PAGE        4096 /* slots begin at whole pages, so that what is not written is a hole */
#define CHUNK_BYTES ((int64_t)1 << 20) /* the cache that HDF5 gives a reader of a dataset */
#define CHUNK_ROWS  4096 /* a chunk is a rank's least piece of work: few columns, many ranks */
#define TURNS       2 /* one group of chunks is deflated, one is written */

/* What a slot begins with. */
struct head {
    uint32_t bytes, mask;
    uint64_t sum; /* of these bytes */
};

/* Of a rank that deflates. */
struct tess_deflated {
    int threads;
    int64_t room; /* bytes of a buffer */
    char *slot; /* (TURNS, threads) buffers with a head in front; own */
    char *scratch; /* (threads) buffers; own */
    int64_t turn;
};

int64_t tess_writer_chunk_rows(int64_t n_rows, int64_t row_bytes, int64_t tile)
{
    int64_t rows = tile;

    while (rows > 1 && rows * row_bytes > CHUNK_BYTES)
        rows = rows % 2 ? 1 : rows / 2;
    while (rows < n_rows && 2 * rows <= CHUNK_ROWS && 2 * rows * row_bytes <= CHUNK_BYTES)
        rows *= 2;
    return rows < n_rows ? rows : n_rows;
}

double tess_writer_packing_bytes(int64_t chunk_bytes)
{
    return (double)(TURNS + 1) * omp_get_max_threads() * (double)(chunk_bytes + PAGE);
}

static int64_t chunk_bytes(const struct tess_writer_place *matrix)
{
    return matrix->chunk_rows * matrix->row_bytes;
}

static int64_t slot_bytes(const struct tess_writer_place *matrix)
{
    int64_t bytes = chunk_bytes(matrix) + (int64_t)sizeof(struct head);

    return (bytes + PAGE - 1) / PAGE * PAGE;
}

int64_t tess_deflated_bytes(const struct tess_writer_place *matrix, int64_t rows)
{
    return (rows + matrix->chunk_rows - 1) / matrix->chunk_rows * slot_bytes(matrix);
}

void tess_deflated_note(struct tess_writer *writer, const struct tess_writer_matrix *matrix,
                        const char *dataset, int element)
{
    struct tess_writer_place *place = &writer->matrix[writer->n_matrices];

    TESS_BUG_IF(strlen(dataset) >= sizeof place->dataset);
    tess_writer_note_matrix(writer, matrix->layer, 0, 0);
    memcpy(place->dataset, dataset, strlen(dataset) + 1);
    place->chunk_rows = writer->packing.rows;
    place->row_bytes = matrix->n_columns * element;
    place->element = element;
    place->bytes = tess_deflated_bytes(place, writer->n_rows);
}

int tess_deflated_place(struct tess_writer *writer, struct tess_error *error)
{
    const char *part = writer->commit.aside;
    struct stat about;
    int64_t at;

    if (stat(part, &about) < 0)
        return tess_error_set(error, TESS_EIO, "%s: %s", part, strerror(errno));
    at = (about.st_size + PAGE - 1) / PAGE * PAGE;
    for (int i = 0; i < writer->n_matrices; i++)
        if (writer->matrix[i].chunk_rows > 0) {
            writer->matrix[i].place = at;
            at += writer->matrix[i].bytes;
        }
    if (truncate(part, at) < 0)
        tess_error_set(error, TESS_EIO, "%s: cannot be written: is the disk full? %s", part,
                       strerror(errno));
    return error->code;
}

/* ---- into the slots ---- */

static struct tess_deflated *buffers_of(struct tess_writer *writer)
{
    struct tess_deflated *deflated = writer->deflated;

    if (deflated)
        return deflated;
    deflated = writer->deflated = TESS_NEW(struct tess_deflated, 1);
    deflated->threads = omp_get_max_threads();
    for (int i = 0; i < writer->n_matrices; i++)
        if (writer->matrix[i].chunk_rows > 0 && chunk_bytes(&writer->matrix[i]) > deflated->room)
            deflated->room = chunk_bytes(&writer->matrix[i]);
    deflated->room += PAGE;
    deflated->slot = TESS_NEW(char, (size_t)(TURNS * deflated->threads) * (size_t)deflated->room);
    deflated->scratch = TESS_NEW(char, (size_t)deflated->threads *(size_t)deflated->room);
    return deflated;
}

/* Returns the bytes of the slot. */
static int64_t fill_slot(const struct tess_h5_values *values, char *scratch, char *slot)
{
    struct tess_h5_chunk chunk = tess_h5_deflate(values, scratch, slot + sizeof(struct head));
    struct head head = {(uint32_t)chunk.n, chunk.mask,
                        XXH3_64bits(slot + sizeof(struct head), (size_t)chunk.n)};

    memcpy(slot, &head, sizeof head);
    return chunk.n + (int64_t)sizeof head;
}

/* Chunks are deflated by a thread each, and on their way into the file while the next are. */
int tess_deflated_put(struct tess_writer *writer, const struct tess_writer_place *matrix,
                      int64_t first, int64_t n, const void *value, struct tess_error *error)
{
    struct tess_deflated *deflated = buffers_of(writer);
    int64_t rows = matrix->chunk_rows, n_chunks = (n + rows - 1) / rows;
    int64_t *bytes = TESS_NEW(int64_t, deflated->threads);

    TESS_BUG_IF(n > 0 && (first % rows != 0 || (n % rows != 0 && first + n != writer->n_rows)));
    for (int64_t at = 0; at < n_chunks && error->code == TESS_OK; at += deflated->threads) {
        char *slots =
            deflated->slot + deflated->turn++ % TURNS * deflated->threads * deflated->room;
        int64_t now = n_chunks - at < deflated->threads ? n_chunks - at : deflated->threads;

        for (int64_t t = 0; t < now; t++)
            tess_stream_wait(&writer->stream, slots + t * deflated->room);
#pragma omp parallel for schedule(dynamic) num_threads(deflated->threads)
        for (int64_t t = 0; t < now; t++) {
            int64_t row = (at + t) * rows;
            const struct tess_h5_values values = {n - row < rows ? n - row : rows,
                                                  rows,
                                                  matrix->row_bytes,
                                                  matrix->element,
                                                  writer->packing.level,
                                                  (const char *)value + row * matrix->row_bytes};

            bytes[t] = fill_slot(&values, deflated->scratch + t * deflated->room,
                                 slots + t * deflated->room);
        }
        for (int64_t t = 0; t < now && error->code == TESS_OK; t++)
            tess_stream_put(&writer->stream,
                            matrix->place + (first / rows + at + t) * slot_bytes(matrix), bytes[t],
                            slots + t * deflated->room, error);
    }
    tess_free(bytes);
    return error->code;
}

void tess_deflated_release(struct tess_writer *writer)
{
    if (!writer->deflated)
        return;
    tess_free(writer->deflated->slot);
    tess_free(writer->deflated->scratch);
    tess_free(writer->deflated);
    writer->deflated = NULL;
}

/* ---- from the slots into the whole file ---- */

/* Rank 0's. */
struct assembly {
    struct tess_writer *writer; /* borrowed */
    int part; /* open */
    char *bytes; /* of a chunk, or of labels; own */
    struct tess_commit whole;
    struct tess_progress progress;
    struct tess_deadline deadline; /* the writer's, as if it had not been looked at before */
    int64_t done, n; /* chunks */
};

/* n bytes at `at` of the part, all or none. */
static int read_part(const struct assembly *assembly, void *bytes, int64_t n, int64_t at)
{
    char *to = bytes;

    while (n > 0) {
        ssize_t got = pread(assembly->part, to, (size_t)n, at);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return 0;
        to += got;
        at += got;
        n -= got;
    }
    return 1;
}

/* What lies before the first slot, with the first bytes that it is to have: an HDF5 file without
 * the values. */
static int copy_labels(struct assembly *assembly, struct tess_error *error)
{
    const struct tess_record *record = &assembly->writer->unfinished->record;
    int64_t end = INT64_MAX, n;
    FILE *out = fopen(assembly->whole.aside, "wb");
    int fine = out != NULL;

    for (int i = 0; i < record->n_matrices; i++)
        if (record->matrix[i].chunk_rows > 0 && record->matrix[i].place < end)
            end = record->matrix[i].place;
    for (int64_t at = 0; at < end && fine; at += n) {
        n = end - at < CHUNK_BYTES ? end - at : CHUNK_BYTES;
        fine = read_part(assembly, assembly->bytes, n, at);
        if (at == 0)
            memcpy(assembly->bytes, record->head, sizeof record->head);
        fine = fine && fwrite(assembly->bytes, 1, (size_t)n, out) == (size_t)n;
    }
    if ((out && fclose(out) != 0) || !fine)
        tess_error_set(error, TESS_EIO, "%s: cannot be written: is the disk full? %s",
                       assembly->whole.aside, strerror(errno));
    return error->code;
}

static int copy_chunk(struct assembly *assembly, const struct tess_writer_place *matrix,
                      int64_t chunk, struct tess_h5_packed *to, struct tess_error *error)
{
    int64_t at = matrix->place + chunk * slot_bytes(matrix);
    struct head head;

    if (tess_fail_here(error, matrix->dataset))
        return error->code;
    if (!read_part(assembly, &head, sizeof head, at) || head.bytes < 1 ||
        head.bytes > chunk_bytes(matrix) ||
        !read_part(assembly, assembly->bytes, head.bytes, at + (int64_t)sizeof head) ||
        XXH3_64bits(assembly->bytes, head.bytes) != head.sum)
        return tess_error_set(
            error, TESS_EDATA, "%s: rows from %lld on are damaged: start anew with --fresh",
            assembly->writer->unfinished->part, (long long)(chunk * matrix->chunk_rows));
    return tess_h5_packed_write(to, chunk * matrix->chunk_rows,
                                &(struct tess_h5_chunk){head.mask, head.bytes}, assembly->bytes,
                                error);
}

/* Asked after each chunk but the last. */
static int check_time(struct assembly *assembly, struct tess_error *error)
{
    const char *why = tess_preempt_signal()                        ? "a signal"
                      : tess_deadline_over(&assembly->deadline, 0) ? "the time limit"
                                                                   : NULL;

    if (why && assembly->done < assembly->n)
        tess_error_set(error, TESS_EINTERRUPTED,
                       "stopped by %s when all rows were saved and the whole file was being put "
                       "together: run the same command again to go on",
                       why);
    return error->code;
}

static int copy_matrix(struct assembly *assembly, const struct tess_h5 *h5,
                       const struct tess_writer_place *matrix, struct tess_error *error)
{
    int64_t rows = assembly->writer->n_rows;
    const struct tess_h5_packed_shape shape = {rows, matrix->row_bytes / matrix->element,
                                               matrix->chunk_rows, assembly->writer->packing.level};
    struct tess_h5_packed to;

    tess_h5_packed_open(&to, h5, matrix->dataset, &shape, error);
    for (int64_t c = 0; c * matrix->chunk_rows < rows && error->code == TESS_OK; c++) {
        copy_chunk(assembly, matrix, c, &to, error);
        tess_progress_show(&assembly->progress, ++assembly->done);
        if (error->code == TESS_OK)
            check_time(assembly, error);
    }
    tess_h5_packed_close(&to);
    return error->code;
}

/* The file is marked while HDF5 has it open, and again when HDF5 has written its first bytes. */
static int fill_whole(struct assembly *assembly, struct tess_error *error)
{
    const struct tess_writer *writer = assembly->writer;
    struct tess_h5 h5 = TESS_H5_INIT;

    if (tess_h5_open(&h5, assembly->whole.aside, MPI_COMM_NULL, 1, error) == TESS_OK)
        tess_commit_mark(&assembly->whole, error);
    for (int i = 0; i < writer->n_matrices && error->code == TESS_OK; i++)
        if (writer->matrix[i].chunk_rows > 0)
            copy_matrix(assembly, &h5, &writer->matrix[i], error);
    tess_h5_close(&h5, error);
    return error->code == TESS_OK ? tess_commit_mark(&assembly->whole, error) : error->code;
}

static int64_t count_chunks(const struct tess_writer *writer)
{
    int64_t n = 0;

    for (int i = 0; i < writer->n_matrices; i++)
        if (writer->matrix[i].chunk_rows > 0)
            n += writer->matrix[i].bytes / slot_bytes(&writer->matrix[i]);
    return n;
}

/* Rank 0: the new commit is of the same output, as that was when the writer was opened. */
static int assemble(struct tess_writer *writer, struct tess_error *error)
{
    struct assembly assembly = {.writer = writer, .n = count_chunks(writer)};
    char *aside = tess_format("%s." TESS_UNFINISHED_DEFLATED, writer->unfinished->part);

    assembly.part = open(writer->unfinished->part, O_RDONLY | O_CLOEXEC);
    assembly.bytes = TESS_NEW(char, buffers_of(writer)->room + CHUNK_BYTES);
    tess_progress_init(&assembly.progress, "putting together", "chunks", assembly.n);
    if (writer->deadline)
        assembly.deadline.at = writer->deadline->at;
    if (assembly.part < 0)
        tess_error_set(error, TESS_EIO, "%s: %s", writer->unfinished->part, strerror(errno));
    else if (tess_commit_open_kept(&assembly.whole, writer->commit.path, aside, error) == TESS_OK &&
             copy_labels(&assembly, error) == TESS_OK)
        fill_whole(&assembly, error);
    assembly.whole.kept = 0; /* what does not get its name goes: the part has all of it */
    assembly.whole.existed = writer->commit.existed;
    assembly.whole.before = writer->commit.before;
    tess_progress_release(&assembly.progress);
    if (assembly.part >= 0)
        close(assembly.part);
    if (assembly.whole.path) {
        tess_commit_release(&writer->commit);
        writer->commit = assembly.whole;
    }
    tess_free(assembly.bytes);
    tess_free(aside);
    return error->code;
}

int tess_deflated_finish(struct tess_writer *writer, struct tess_error *error)
{
    if (writer->rank == 0)
        assemble(writer, error);
    if (tess_agree(writer->comm, error) != TESS_OK)
        return error->code;
    if (writer->rank != 0)
        tess_commit_release(&writer->commit);
    tess_broadcast_commit(writer->comm, &writer->commit);
    return error->code;
}
