/* zarr.c -- is it a Zarr store? */
#include "tessera/zarr.h"

#include "tessera/alloc.h"
#include "tessera/error.h"

#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

static int is_folder(const char *path)
{
    struct stat status;

    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

static int is_file(const char *path)
{
    struct stat status;

    return stat(path, &status) == 0 && S_ISREG(status.st_mode);
}

/* What every store has: Zarr 2's and Zarr 3's description of the outermost group. */
static int is_store(const char *path)
{
    static const char *const marks[] = {"zarr.json", ".zgroup", ".zattrs", ".zmetadata"};
    int found = 0;

    for (size_t i = 0; i < sizeof marks / sizeof marks[0] && !found; i++) {
        char *name = tess_format("%s/%s", path, marks[i]);

        found = access(name, F_OK) == 0;
        tess_free(name);
    }
    return found;
}

static int ends_in(const char *path, const char *ending)
{
    size_t n = strlen(path), m = strlen(ending);

    return n > m && strcasecmp(path + n - m, ending) == 0;
}

int tess_zarr_refuse(const char *path, struct tess_error *error)
{
    size_t n = strlen(path);

    while (n > 1 && path[n - 1] == '/')
        n--;
    if ((is_folder(path) && is_store(path)) || (ends_in(path, ".zarr.zip") && is_file(path)))
        tess_error_set(error, TESS_EDATA,
                       "%.*s: is a Zarr store, which is not read; write it as HDF5 first: python3 "
                       "-c \"import anndata; anndata.read_zarr('%.*s').write_h5ad('NAME.h5ad')\"",
                       (int)n, path, (int)n, path);
    return error->code;
}
