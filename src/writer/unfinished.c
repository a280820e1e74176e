/* unfinished.c -- what may be gone on with, what is begun, and what is refused. */
#include "tessera/unfinished.h"

#include "writer_verify.h"

#include "tessera/alloc.h"
#include "tessera/commit.h"
#include "tessera/error.h"
#include "tessera/lock.h"
#include "tessera/log.h"
#include "tessera/preempt.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK_SECONDS 10 /* the ranks of a killed job take their time to end */
#define REMEDY       "give what it was begun with, or start anew with --fresh"

static int is_there(const char *path)
{
    struct stat about;

    return lstat(path, &about) == 0;
}

/* PART.json, PART.lock or PART.deflated; own. */
static char *beside(const char *part, const char *ending)
{
    return tess_format("%s.%s", part, ending);
}

static void remove_beside(const char *part, const char *ending)
{
    char *path = beside(part, ending);

    unlink(path);
    tess_free(path);
}

/* Who has the lock alone writes it: what is left of it is a killed program's. */
static void remove_record(const char *part)
{
    char *path = beside(part, "json");

    unlink(path);
    tess_commit_sweep(path);
    tess_free(path);
}

int tess_unfinished_is(const char *path)
{
    char head[TESS_COMMIT_MARK_SIZE] = "", *record = beside(path, "json");
    FILE *file = fopen(path, "rb");
    size_t n = file ? fread(head, 1, sizeof head, file) : 0, length = strlen(path);
    int is = n == sizeof head && memcmp(head, TESS_COMMIT_MARK, sizeof head) == 0;

    is |= length > 5 && strcmp(path + length - 5, ".part") == 0 && is_there(record);
    if (file)
        fclose(file);
    tess_free(record);
    return is;
}

/* The output itself: of the same key, or in the way unless it is to be replaced. */
static void look_at_output(struct tess_unfinished *unfinished,
                           const struct tess_unfinished_wish *wish, struct tess_error *error)
{
    struct tess_error ignored = TESS_ERROR_INIT;
    json_t *about = wish->describe ? wish->describe(wish->output, &ignored) : NULL;
    const json_t *made = json_object_get(about, "uns");
    char *differs = NULL;

    if (tess_writer_check_version(wish->output, made, &ignored) != TESS_OK)
        differs = tess_strdup("another version of the program");
    made = json_object_get(json_object_get(made, "provenance"), "request");
    if (made && !differs)
        differs = tess_record_differences(made, wish->key);
    if (made && !differs)
        unfinished->state = TESS_UNFINISHED_WHOLE;
    else if (!wish->replace)
        tess_error_set(error, TESS_ECREATE,
                       "%s: exists already%s%s: name another output, or replace it with --force",
                       wish->output, differs ? ", made of something else: " : "",
                       differs ? differs : "");
    tess_free(differs);
    json_decref(about);
}

/* Somebody else's part or record is not touched. */
static void look_at_record(struct tess_unfinished *unfinished,
                           const struct tess_unfinished_wish *wish, struct tess_error *error)
{
    struct tess_record *record = &unfinished->record;
    struct tess_error mine = TESS_ERROR_INIT;
    char *differs;

    if (tess_record_read(record, unfinished->part, &mine) != TESS_OK) {
        tess_error_set(error, mine.code, "%s: remove both, or start anew with --fresh", mine.text);
        return;
    }
    if (record->finished < 0 || !is_there(unfinished->part))
        return; /* nothing of it is worth going on with */
    differs = tess_record_differences(record->key, wish->key);
    if (differs)
        tess_error_set(error, TESS_EUSAGE, "%s was begun with something else: %s: " REMEDY,
                       unfinished->part, differs);
    else if (record->rows != wish->rows || strcmp(record->kind, wish->kind) != 0)
        tess_error_set(error, TESS_EUSAGE, "%s was begun as %s of %lld rows: " REMEDY,
                       unfinished->part, record->kind, (long long)record->rows);
    else if (tess_record_check(record, unfinished->part, &mine) != TESS_OK)
        tess_error_set(error, mine.code, "%s: start anew with --fresh", mine.text);
    else
        unfinished->state = TESS_UNFINISHED_PART;
    if (unfinished->state == TESS_UNFINISHED_PART && strcmp(record->machine, wish->machine) != 0)
        tess_warn("%s: was begun with %s kernels, this machine uses %s: its bits will differ from "
                  "those of one go (OPENBLAS_CORETYPE keeps them, on a processor with the same "
                  "unit for bfloat16)",
                  unfinished->part, record->machine, wish->machine);
    tess_free(differs);
}

static int look(struct tess_unfinished *unfinished, const struct tess_unfinished_wish *wish,
                struct tess_error *error)
{
    char *record = beside(unfinished->part, "json");

    if (is_there(wish->output) && (!wish->replace || (wish->keep_same && !wish->fresh)))
        look_at_output(unfinished, wish, error);
    if (error->code == TESS_OK && unfinished->state == TESS_UNFINISHED_NONE && !wish->fresh &&
        (is_there(record) || is_there(unfinished->part)))
        look_at_record(unfinished, wish, error);
    tess_free(record);
    return error->code;
}

static void init(struct tess_unfinished *unfinished, const struct tess_unfinished_wish *wish)
{
    *unfinished = (struct tess_unfinished){.output = tess_strdup(wish->output),
                                           .part = tess_format("%s.part", wish->output),
                                           .lock = -1,
                                           .record = {.finished = -1}};
}

int tess_unfinished_look(struct tess_unfinished *unfinished,
                         const struct tess_unfinished_wish *wish, struct tess_error *error)
{
    init(unfinished, wish);
    return look(unfinished, wish, error);
}

/* A new record, which says that nothing is whole yet, before the part: a part without one is
 * somebody else's. */
static void begin(struct tess_unfinished *unfinished, const struct tess_unfinished_wish *wish,
                  struct tess_error *error)
{
    struct tess_record *record = &unfinished->record;
    int file;

    tess_record_release(record);
    record->rows = wish->rows;
    snprintf(record->kind, sizeof record->kind, "%s", wish->kind);
    snprintf(record->machine, sizeof record->machine, "%s", wish->machine);
    record->key = json_deep_copy(wish->key);
    if (wish->fresh)
        remove_record(unfinished->part);
    remove_beside(unfinished->part, TESS_UNFINISHED_DEFLATED);
    if (unlink(unfinished->part) < 0 && errno != ENOENT)
        tess_error_set(error, TESS_ECREATE, "%s: cannot be removed: %s", unfinished->part,
                       strerror(errno));
    else if (tess_record_write(record, unfinished->part, error) == TESS_OK) {
        unfinished->begun = 1;
        file = open(unfinished->part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (file < 0)
            tess_error_set(error, TESS_ECREATE, "%s: cannot be created: %s", unfinished->part,
                           strerror(errno));
        else
            close(file);
    }
}

/* The output is whole: its end came between name and record. A part of deflated chunks, which did
 * not become it, goes if it is of this very output. */
static void clear_up(struct tess_unfinished *unfinished, const struct tess_unfinished_wish *wish)
{
    struct tess_error ignored = TESS_ERROR_INIT;
    struct tess_record record;
    char *differs = NULL;

    if (is_there(unfinished->part) &&
        tess_record_read(&record, unfinished->part, &ignored) == TESS_OK) {
        differs = tess_record_differences(record.key, wish->key);
        if (!differs && record.finished == record.rows)
            unlink(unfinished->part);
        tess_record_release(&record);
    }
    if (!is_there(unfinished->part)) {
        remove_record(unfinished->part);
        remove_beside(unfinished->part, TESS_UNFINISHED_DEFLATED);
    }
    tess_free(differs);
}

int tess_unfinished_open(struct tess_unfinished *unfinished,
                         const struct tess_unfinished_wish *wish, struct tess_error *error)
{
    const struct tess_lock_words words = {wish->output, "the imputation that writes it",
                                          "another imputation writes it", "name another output"};
    char *lock;

    init(unfinished, wish);
    lock = beside(unfinished->part, "lock");
    tess_lock_wait(&unfinished->lock, lock, &words, LOCK_SECONDS, tess_preempt_signal, error);
    tess_free(lock);
    if (error->code != TESS_OK || look(unfinished, wish, error) != TESS_OK)
        return error->code;
    if (unfinished->state == TESS_UNFINISHED_NONE)
        begin(unfinished, wish, error);
    else if (unfinished->state == TESS_UNFINISHED_PART)
        tess_record_mark(unfinished->part, error);
    else
        clear_up(unfinished, wish);
    return error->code;
}

void tess_unfinished_finish(struct tess_unfinished *unfinished)
{
    unfinished->begun = 0;
    unlink(unfinished->part); /* where another file has the name, with what was in this one */
    remove_record(unfinished->part);
}

void tess_unfinished_release(struct tess_unfinished *unfinished)
{
    if (!unfinished->output)
        return;
    if (unfinished->begun) {
        unlink(unfinished->part);
        remove_record(unfinished->part);
    }
    if (unfinished->lock >= 0) {
        remove_beside(unfinished->part, "lock"); /* who waits for it looks whether it is there */
        tess_lock_release(&unfinished->lock);
    }
    tess_record_release(&unfinished->record);
    tess_free(unfinished->output);
    tess_free(unfinished->part);
    *unfinished = (struct tess_unfinished){.lock = -1, .record = {.finished = -1}};
}
