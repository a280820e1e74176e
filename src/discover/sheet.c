/* sheet.c -- a table of text. */
#include "sheet.h"

#include "tessera/error.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static int fail(const struct tess_sheet *sheet, struct tess_error *error)
{
    return tess_error_set(error, TESS_EIO, "%s: cannot be written: %s",
                          sheet->path ? sheet->path : "standard output", strerror(errno));
}

int tess_sheet_open(struct tess_sheet *sheet, const char *path, int force, struct tess_error *error)
{
    *sheet = (struct tess_sheet){.path = path, .out = path ? NULL : stdout};
    if (!path)
        return TESS_OK;
    if (!force && access(path, F_OK) == 0)
        return tess_error_set(error, TESS_ECREATE,
                              "%s: is there already: name another output, or give --force", path);
    if (tess_commit_open(&sheet->commit, path, error) != TESS_OK)
        return error->code;
    sheet->out = fopen(sheet->commit.aside, "w");
    return sheet->out ? TESS_OK : fail(sheet, error);
}

int tess_sheet_finish(struct tess_sheet *sheet, struct tess_error *error)
{
    int failed = ferror(sheet->out);

    if (tess_fail_here(error, "the end of a table"))
        return error->code;
    failed |= sheet->path ? fclose(sheet->out) : fflush(sheet->out);
    sheet->out = NULL;
    if (failed)
        return fail(sheet, error);
    return sheet->path ? tess_commit_finish(&sheet->commit, error) : TESS_OK;
}

void tess_sheet_release(struct tess_sheet *sheet)
{
    if (sheet->path && sheet->out)
        fclose(sheet->out);
    tess_commit_release(&sheet->commit);
    *sheet = (struct tess_sheet){.path = NULL};
}
