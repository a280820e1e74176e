/* source_foreign.c -- what people have in place of the file that they meant: archives, web pages,
 * pointers, other programs' formats; each with the way to a file that is read. */
#include "tessera/source.h"

#include "tessera/alloc.h"
#include "tessera/commit.h"
#include "tessera/error.h"
#include "tessera/h5.h"
#include "tessera/zarr.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <zlib.h>

#define TAR_MARK 257 /* where a tar archive says what it is */
#define LOOKED   512 /* bytes that are enough to know UTF-16 by */

static const struct {
    const char *begin;
    size_t n;
    const char *is;
} marks[] = {
    {TESS_COMMIT_MARK, TESS_COMMIT_MARK_SIZE, TESS_COMMIT_UNFINISHED},
    {"version https://git-lfs", 23,
     "is a Git LFS pointer, not the file itself: fetch that with 'git lfs pull'"},
    {"/annex/objects/", 15,
     "is a git-annex pointer, not the file itself: fetch that with 'git annex get'"},
    {"PK\3\4", 4,
     "is a zip archive, or an Excel workbook, which is one: unzip it, or save the sheet as CSV "
     "UTF-8"},
    {"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", 8,
     "is an Excel workbook of the old kind: save the sheet as CSV UTF-8"},
    {"\x1f\x8b", 2, "is packed with gzip twice: unpack it once (gunzip)"},
    {"\xfd\x37zXZ", 5, "is packed with xz: unpack it first (unxz)"},
    {"\x28\xb5\x2f\xfd", 4, "is packed with zstd: unpack it first (unzstd)"},
    {"7z\xbc\xaf\x27\x1c", 6, "is a 7z archive: unpack it first"},
    {"PAR1", 4, "is Parquet: write it as CSV (pandas: read_parquet(…).to_csv(…))"},
    {"ARROW1", 6,
     "is an Arrow (Feather) file: write it as CSV (pandas: read_feather(…).to_csv(…))"},
    {"RDX2\n", 5, "is R's data file: write the table with write.csv()"},
    {"RDX3\n", 5, "is R's data file: write the table with write.csv()"},
    {"X\n\0\0\0", 5, "is R's data file (RDS): write the table with write.csv()"},
};

static int begins(const char *head, size_t n_head, const char *with)
{
    size_t n = strlen(with);

    return n_head >= n && strncasecmp(head, with, n) == 0;
}

/* The first bytes of HTML or XML, blanks and a byte order mark before them left out. */
static const char *markup(const char *head, size_t n_head)
{
    const char *at = head, *end = head + n_head;

    if (n_head >= 3 && memcmp(head, "\xef\xbb\xbf", 3) == 0)
        at += 3;
    while (at < end && strchr(" \t\r\n", *at) && *at)
        at++;
    n_head = (size_t)(end - at);
    if (begins(at, n_head, "<!doctype html") || begins(at, n_head, "<html") ||
        begins(at, n_head, "<head"))
        return "is a web page, not the file itself: read in it why, and download the file again";
    if (begins(at, n_head, "<?xml") || begins(at, n_head, "<error>"))
        return "is XML, such as a server's error message, not the file itself: read in it why, and "
               "download the file again";
    return NULL;
}

static const char *utf16(const char *head, size_t n_head)
{
    static const char *const is =
        "is UTF-16 text: save it as UTF-8 (iconv -f UTF-16 -t UTF-8 FILE > NEW)";
    size_t zeros[2] = {0}, n = (n_head < LOOKED ? n_head : LOOKED) / 2;

    if (n_head >= 4 &&
        (memcmp(head, "\xff\xfe\0\0", 4) == 0 || memcmp(head, "\0\0\xfe\xff", 4) == 0))
        return "is UTF-32 text: save it as UTF-8 (iconv -f UTF-32 -t UTF-8 FILE > NEW)";
    if (n_head >= 2 && (memcmp(head, "\xff\xfe", 2) == 0 || memcmp(head, "\xfe\xff", 2) == 0))
        return is;
    for (size_t i = 0; i < 2 * n; i++)
        zeros[i % 2] += head[i] == '\0';
    for (int low = 0; low < 2 && n >= 4; low++) /* which byte of each letter is the upper one */
        if (zeros[low] == 0 && 4 * zeros[1 - low] > 3 * n)
            return low ? "is UTF-16 text: save it as UTF-8 (iconv -f UTF-16BE -t UTF-8 FILE > NEW)"
                       : "is UTF-16 text: save it as UTF-8 (iconv -f UTF-16LE -t UTF-8 FILE > NEW)";
    return NULL;
}

const char *tess_source_foreign(const char *head, size_t n_head, int packed)
{
    const char *is;

    if (tess_h5_recognize(head, n_head))
        return packed ? "is HDF5 packed with gzip, through which HDF5 cannot read: unpack it first "
                        "(gunzip)"
                      : NULL;
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++)
        if (n_head >= marks[i].n && memcmp(head, marks[i].begin, marks[i].n) == 0)
            return marks[i].is;
    if (n_head >= 10 && memcmp(head, "BZh", 3) == 0 && memcmp(head + 4, "1AY&SY", 6) == 0)
        return "is packed with bzip2: unpack it first (bunzip2)";
    if (n_head >= TAR_MARK + 5 && memcmp(head + TAR_MARK, "ustar", 5) == 0)
        return "is a tar archive: unpack it first (tar -xf)";
    is = markup(head, n_head);
    return is ? is : utf16(head, n_head);
}

/* gzopen opens directories, too, and gzread then fails without saying why: they are asked for
 * first. Files without compression pass through zlib unchanged (gzdirect). */
size_t tess_source_peek(const char *path, const char *place, char *head, int *packed,
                        struct tess_error *error)
{
    struct stat status;
    gzFile file;
    int n, code;

    if (tess_fail_here(error, path) || tess_zarr_refuse(path, error) != TESS_OK)
        return 0;
    if (stat(place, &status) < 0 || !(file = gzopen(place, "rb"))) {
        tess_error_set(error, TESS_EDATA, "%s: cannot open: %s", path, strerror(errno));
        return 0;
    }
    n = S_ISDIR(status.st_mode) ? 0 : gzread(file, head, TESS_SOURCE_HEAD);
    *packed = !gzdirect(file);
    gzerror(file, &code);
    gzclose(file);
    if (S_ISDIR(status.st_mode))
        tess_error_set(error, TESS_EDATA, "%s: is a directory", path);
    else if (n < 0)
        tess_error_set(error, TESS_EDATA, "%s: cannot be read: %s", path,
                       code == Z_ERRNO ? strerror(errno) : "its gzip compression is damaged");
    else if (n == 0)
        tess_error_set(error, TESS_EDATA, "%s: the file is empty", path);
    return n > 0 ? (size_t)n : 0;
}

int tess_source_check_text(const char *path, const char *place, struct tess_error *error)
{
    char *head = TESS_NEW(char, TESS_SOURCE_HEAD + 1);
    int packed = 0;
    size_t n = tess_source_peek(path, place, head, &packed, error);
    const char *foreign = error->code                  ? NULL
                          : tess_h5_recognize(head, n) ? "is HDF5, where a table of text belongs"
                                                       : tess_source_foreign(head, n, packed);

    if (foreign)
        tess_error_set(error, TESS_EDATA, "%s: %s", path, foreign);
    tess_free(head);
    return error->code;
}
