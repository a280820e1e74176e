/* sheet.c -- a table of text that is written. */
#include "tessera/sheet.h"

#include "tessera/error.h"
#include "tessera/log.h"
#include "tessera/text.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

static int is_pipe(const char *path)
{
    return !path || strcmp(path, TESS_SHEET_PIPE) == 0;
}

static int fail(const struct tess_sheet *sheet, struct tess_error *error)
{
    return tess_error_set(error, TESS_EIO, "%s: cannot be written: %s",
                          sheet->path ? sheet->path : "standard output", strerror(errno));
}

int tess_sheet_check(const char *path, const char *what, struct tess_error *error)
{
    const char *end = path ? strrchr(path, '.') : NULL;

    if (!path || !path[0])
        return tess_error_set(error, TESS_EUSAGE,
                              "-o OUT.tsv|OUT.csv|- is missing: %s need a place to go", what);
    if (!is_pipe(path) && (!end || (strcmp(end, ".tsv") != 0 && strcmp(end, ".txt") != 0 &&
                                    strcmp(end, ".csv") != 0)))
        return tess_error_set(error, TESS_EUSAGE,
                              "-o '%s': %s are written as text: give it the ending .tsv, .txt or "
                              ".csv, or - for standard output",
                              path, what);
    return TESS_OK;
}

int tess_sheet_check_new(const char *path, int force, struct tess_error *error)
{
    if (!is_pipe(path) && !force && access(path, F_OK) == 0)
        tess_error_set(error, TESS_ECREATE,
                       "%s: is there already: name another output, or give --force", path);
    return error->code;
}

int tess_sheet_open(struct tess_sheet *sheet, const char *path, int force, struct tess_error *error)
{
    const char *end = path ? strrchr(path, '.') : NULL;

    *sheet = (struct tess_sheet){.path = is_pipe(path) ? NULL : path,
                                 .out = is_pipe(path) ? tess_print_raw() : NULL,
                                 .between = end && strcmp(end, ".csv") == 0 ? ',' : '\t'};
    if (!sheet->path)
        return TESS_OK;
    if (tess_sheet_check_new(path, force, error) != TESS_OK ||
        tess_commit_open(&sheet->commit, path, error) != TESS_OK)
        return error->code;
    sheet->out = fopen(sheet->commit.aside, "w");
    return sheet->out ? TESS_OK : fail(sheet, error);
}

int tess_sheet_open_memory(struct tess_sheet *sheet, char **text, size_t *n,
                           struct tess_error *error)
{
    *sheet = (struct tess_sheet){.out = open_memstream(text, n), .between = '\t', .memory = 1};
    return sheet->out
               ? TESS_OK
               : tess_error_set(error, TESS_EOS, "no memory for a table: %s", strerror(errno));
}

static void begin_field(struct tess_sheet *sheet)
{
    if (sheet->begun)
        fputc(sheet->between, sheet->out);
    sheet->begun = 1;
}

void tess_sheet_text(struct tess_sheet *sheet, const char *text)
{
    int quoted = strchr(text, sheet->between) || strpbrk(text, "\"\n\r");

    begin_field(sheet);
    if (quoted)
        fputc('"', sheet->out);
    for (const char *c = text; *c; c++) {
        if (quoted && *c == '"')
            fputc('"', sheet->out);
        fputc(*c, sheet->out);
    }
    if (quoted)
        fputc('"', sheet->out);
}

void tess_sheet_count(struct tess_sheet *sheet, int64_t number)
{
    begin_field(sheet);
    fprintf(sheet->out, "%" PRId64, number);
}

void tess_sheet_number(struct tess_sheet *sheet, double number, int single)
{
    char text[32];

    begin_field(sheet);
    if (isnan(number))
        return;
    tess_text_number(number, single, text);
    fputs(text, sheet->out);
}

void tess_sheet_end(struct tess_sheet *sheet)
{
    fputc('\n', sheet->out);
    sheet->begun = 0;
}

void tess_sheet_head(struct tess_sheet *sheet, int n, const char *const *name)
{
    for (int i = 0; i < n; i++)
        tess_sheet_text(sheet, name[i]);
    tess_sheet_end(sheet);
}

int tess_sheet_check_written(const struct tess_sheet *sheet, struct tess_error *error)
{
    return ferror(sheet->out) ? fail(sheet, error) : TESS_OK;
}

int tess_sheet_finish(struct tess_sheet *sheet, struct tess_error *error)
{
    int failed = ferror(sheet->out);

    if (tess_fail_here(error, "the end of a table"))
        return error->code;
    failed |= sheet->path || sheet->memory ? fclose(sheet->out) : fflush(sheet->out);
    sheet->out = NULL;
    if (failed)
        return fail(sheet, error);
    return sheet->path ? tess_commit_finish(&sheet->commit, error) : TESS_OK;
}

void tess_sheet_release(struct tess_sheet *sheet)
{
    if ((sheet->path || sheet->memory) && sheet->out)
        fclose(sheet->out);
    tess_commit_release(&sheet->commit);
    *sheet = (struct tess_sheet){.path = NULL};
}
