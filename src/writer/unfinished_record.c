/* unfinished_record.c -- the record as JSON, with a hash of itself in it; and the part that it is
 * held against. */
#include "tessera/unfinished.h"

#include "writer_deflated.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/text.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#define FORMAT TESS_UNFINISHED_FORMAT
#define PIECE  ((int64_t)1 << 22)

static char *name_of(const char *part)
{
    return tess_format("%s.json", part);
}

static json_t *hex(uint64_t x)
{
    return json_sprintf("%016" PRIx64, x);
}

static int parse_hex(const json_t *json, uint64_t *x)
{
    const char *text = json_string_value(json);
    int end = 0;

    return text && strlen(text) == 16 && sscanf(text, "%16" SCNx64 "%n", x, &end) == 1 && end == 16;
}

/* Of an object without its member `sum`. */
static uint64_t sum_of(const json_t *json)
{
    char *text = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS);
    uint64_t sum = text ? XXH3_64bits(text, strlen(text)) : 0;

    free(text); /* Jansson's own */
    return sum;
}

static json_t *matrix_json(const struct tess_writer_place *matrix)
{
    json_t *json = json_pack("{s:s, s:I, s:I}", "layer", matrix->layer, "place",
                             (json_int_t)matrix->place, "bytes", (json_int_t)matrix->bytes);

    if (matrix->chunk_rows > 0)
        json_object_set_new(json, "deflated",
                            json_pack("{s:s, s:I, s:I, s:i}", "dataset", matrix->dataset, "rows",
                                      (json_int_t)matrix->chunk_rows, "row_bytes",
                                      (json_int_t)matrix->row_bytes, "element", matrix->element));
    return json;
}

int tess_record_write(const struct tess_record *record, const char *part, struct tess_error *error)
{
    json_t *matrices = json_array(), *json;
    char *path = name_of(part), *text, *line;
    uint64_t head;

    memcpy(&head, record->head, sizeof head);
    for (int i = 0; i < record->n_matrices; i++)
        json_array_append_new(matrices, matrix_json(&record->matrix[i]));
    json = json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:o, s:o, s:o, s:O}", "format", FORMAT, "kind",
                     record->kind, "machine", record->machine, "rows", (json_int_t)record->rows,
                     "finished", (json_int_t)record->finished, "bytes", (json_int_t)record->bytes,
                     "labels", hex(record->labels), "head", hex(head), "matrices", matrices, "of",
                     record->key);
    json_object_set_new(json, "sum", hex(sum_of(json)));
    text = json_dumps(json, JSON_INDENT(1));
    line = tess_format("%s\n", text ? text : "");
    tess_commit_text(path, line, error);
    free(text); /* Jansson's own */
    tess_free(line);
    tess_free(path);
    json_decref(json);
    return error->code;
}

/* How a deflated matrix is laid out (writer_deflated.h), as far as its bytes can hold that. */
static int parse_deflated(const json_t *json, int64_t rows, struct tess_writer_place *matrix)
{
    json_int_t chunk_rows, row_bytes;
    const char *dataset;

    if (json_unpack((json_t *)(uintptr_t)json, "{s:s, s:I, s:I, s:i}", "dataset", &dataset, "rows",
                    &chunk_rows, "row_bytes", &row_bytes, "element", &matrix->element) != 0 ||
        strlen(dataset) >= sizeof matrix->dataset || chunk_rows < 1 || chunk_rows > rows ||
        row_bytes < 1 || row_bytes > matrix->bytes / chunk_rows || matrix->element < 1 ||
        row_bytes % matrix->element != 0)
        return 0;
    memcpy(matrix->dataset, dataset, strlen(dataset) + 1);
    matrix->chunk_rows = chunk_rows;
    matrix->row_bytes = row_bytes;
    return tess_deflated_bytes(matrix, rows) == matrix->bytes;
}

static int parse_matrices(const json_t *list, struct tess_record *record)
{
    if (!json_is_array(list) || json_array_size(list) > TESS_WRITER_MATRICES)
        return 0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        struct tess_writer_place *matrix = &record->matrix[record->n_matrices++];
        const json_t *deflated = json_object_get(json_array_get(list, i), "deflated");
        const char *layer;
        json_int_t place, bytes;

        if (json_unpack(json_array_get(list, i), "{s:s, s:I, s:I}", "layer", &layer, "place",
                        &place, "bytes", &bytes) != 0 ||
            strlen(layer) >= sizeof matrix->layer || place < 0 || bytes < 0 ||
            bytes > INT64_MAX - place || place + bytes > record->bytes)
            return 0;
        memcpy(matrix->layer, layer, strlen(layer) + 1);
        matrix->place = place;
        matrix->bytes = bytes;
        if (deflated && !parse_deflated(deflated, record->rows, matrix))
            return 0;
    }
    return 1;
}

/* What is wrong with it, or NULL. */
static const char *parse(json_t *json, struct tess_record *record)
{
    const char *format, *kind, *machine;
    json_int_t rows, finished, bytes;
    json_t *key, *matrices;
    uint64_t sum = 0, head;

    if (!json || !parse_hex(json_object_get(json, "sum"), &sum))
        return "is damaged or no record of an unfinished file";
    json_object_del(json, "sum");
    if (sum != sum_of(json))
        return "is damaged: its checksum does not match";
    if (json_unpack(json, "{s:s, s:s, s:s, s:I, s:I, s:I, s:o, s:o}", "format", &format, "kind",
                    &kind, "machine", &machine, "rows", &rows, "finished", &finished, "bytes",
                    &bytes, "matrices", &matrices, "of", &key) != 0 ||
        strcmp(format, FORMAT) != 0)
        return "is of another version of the program";
    record->rows = rows;
    record->finished = finished;
    record->bytes = bytes;
    if (strlen(kind) >= sizeof record->kind || strlen(machine) >= sizeof record->machine ||
        finished < -1 || finished > rows || bytes < 0 || !json_is_object(key) ||
        !parse_hex(json_object_get(json, "labels"), &record->labels) ||
        !parse_hex(json_object_get(json, "head"), &head) || !parse_matrices(matrices, record))
        return "has a number that cannot be";
    memcpy(record->kind, kind, strlen(kind) + 1);
    memcpy(record->machine, machine, strlen(machine) + 1);
    memcpy(record->head, &head, sizeof head);
    record->key = json_incref(key);
    return NULL;
}

int tess_record_read(struct tess_record *record, const char *part, struct tess_error *error)
{
    char *path = name_of(part);
    json_t *json;
    const char *wrong;

    *record = (struct tess_record){.finished = -1};
    if (tess_fail_here(error, path)) {
        tess_free(path);
        return error->code;
    }
    json = json_load_file(path, 0, NULL);
    wrong = access(path, F_OK) < 0 ? "is missing" : parse(json, record);
    if (wrong) {
        tess_record_release(record);
        tess_error_set(error, TESS_EDATA, "%s, which says how far %s is, %s", path, part, wrong);
    }
    json_decref(json);
    tess_free(path);
    return error->code;
}

void tess_record_release(struct tess_record *record)
{
    json_decref(record->key);
    *record = (struct tess_record){.finished = -1};
}

/* n bytes at `at`, all or none. */
static int read_all(int file, char *bytes, int64_t n, int64_t at)
{
    while (n > 0) {
        ssize_t got = pread(file, bytes, (size_t)n, at);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return 0;
        bytes += got;
        at += got;
        n -= got;
    }
    return 1;
}

/* Where the matrix that lies first at or behind `at` begins, and ends. */
static void next_matrix(const struct tess_record *record, int64_t at, int64_t *begin, int64_t *end)
{
    *begin = *end = record->bytes;
    for (int i = 0; i < record->n_matrices; i++) {
        const struct tess_writer_place *matrix = &record->matrix[i];

        if (matrix->bytes > 0 && matrix->place >= at && matrix->place < *begin) {
            *begin = matrix->place;
            *end = matrix->place + matrix->bytes;
        }
    }
}

/* Everything but the matrices, with the first bytes that a whole file has; 0 if it cannot be read.
 */
static int hash_labels(const struct tess_record *record, int file, uint64_t *hash)
{
    XXH3_state_t *state = XXH3_createState();
    char *piece = TESS_NEW(char, PIECE);
    int64_t begin, end, n;
    int fine = state != NULL;

    if (fine)
        XXH3_64bits_reset(state);
    for (int64_t at = 0; at < record->bytes && fine; at = end) {
        next_matrix(record, at, &begin, &end);
        for (; at < begin && fine; at += n) {
            n = begin - at < PIECE ? begin - at : PIECE;
            fine = read_all(file, piece, n, at);
            if (at == 0 && n >= (int64_t)sizeof record->head)
                memcpy(piece, record->head, sizeof record->head);
            if (fine)
                XXH3_64bits_update(state, piece, (size_t)n);
        }
    }
    *hash = fine ? XXH3_64bits_digest(state) : 0;
    XXH3_freeState(state);
    tess_free(piece);
    return fine;
}

/* What is wrong with an open part, or NULL. A file whose own first bytes are back was being
 * finished. */
static const char *wrong_with(const struct tess_record *record, int file)
{
    struct stat about;
    char head[TESS_COMMIT_MARK_SIZE];
    uint64_t labels;

    if (fstat(file, &about) < 0 || !S_ISREG(about.st_mode))
        return "is no regular file";
    if (about.st_size != record->bytes)
        return about.st_size < record->bytes ? "is shorter than its record says"
                                             : "is longer than its record says";
    if (!read_all(file, head, sizeof head, 0) ||
        (memcmp(head, TESS_COMMIT_MARK, sizeof head) != 0 &&
         memcmp(head, record->head, sizeof head) != 0))
        return "is not the file that its record belongs to";
    if (!hash_labels(record, file, &labels))
        return "cannot be read";
    return labels != record->labels ? "has damaged labels" : NULL;
}

int tess_record_check(const struct tess_record *record, const char *part, struct tess_error *error)
{
    int file = open(part, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    const char *wrong = file < 0 ? strerror(errno) : wrong_with(record, file);

    if (!tess_fail_here(error, part) && wrong)
        tess_error_set(error, TESS_EDATA, "%s: %s", part, wrong);
    if (file >= 0)
        close(file);
    return error->code;
}

static int put_head(int file, const char *head)
{
    return pwrite(file, head, TESS_COMMIT_MARK_SIZE, 0) == TESS_COMMIT_MARK_SIZE &&
           (fsync(file) == 0 || errno == EINVAL);
}

int tess_record_mark(const char *part, struct tess_error *error)
{
    int file = open(part, O_WRONLY | O_CLOEXEC);

    if (!tess_fail_here(error, part) && (file < 0 || !put_head(file, TESS_COMMIT_MARK)))
        tess_error_set(error, TESS_EIO, "%s: cannot be written: %s", part, strerror(errno));
    if (file >= 0)
        close(file);
    return error->code;
}

/* The labels are on the disk before the mark, and the mark before the record that speaks of it. */
int tess_record_seal(struct tess_record *record, const char *part, struct tess_error *error)
{
    int file = open(part, O_RDWR | O_CLOEXEC);
    struct stat about;

    errno = 0;
    if (!tess_fail_here(error, part) &&
        (file < 0 || fstat(file, &about) < 0 || (record->bytes = about.st_size) < 0 ||
         !read_all(file, record->head, sizeof record->head, 0) ||
         !hash_labels(record, file, &record->labels) || fsync(file) < 0 ||
         !put_head(file, TESS_COMMIT_MARK)))
        tess_error_set(error, TESS_EIO, "%s: cannot be written: is the disk full? %s", part,
                       strerror(errno));
    if (file >= 0)
        close(file);
    record->finished = 0;
    return error->code;
}

static const char *value_of(const json_t *key, const char *name)
{
    const char *value = json_string_value(json_object_get(key, name));

    return value ? value : "none";
}

static void compare(const json_t *names, const json_t *then, const json_t *now,
                    struct tess_strings *found)
{
    const char *name;
    json_t *unused;

    /* Jansson's loop takes no const, and changes nothing. */
    json_object_foreach((json_t *)(uintptr_t)names, name, unused)
    {
        char *text;

        if (strcmp(value_of(then, name), value_of(now, name)) == 0)
            continue;
        text = tess_format("%s: %s (now %s)", name, value_of(then, name), value_of(now, name));
        if (tess_strings_find(found, text) < 0)
            tess_strings_add(found, text);
        tess_free(text);
    }
}

char *tess_record_differences(const json_t *then, const json_t *now)
{
    struct tess_strings found = {0};
    char *text;

    compare(then, then, now, &found);
    compare(now, then, now, &found);
    text = found.n ? tess_strings_join(&found, ", ", found.n) : NULL;
    tess_strings_release(&found);
    return text;
}
