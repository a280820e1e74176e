/* h5_fail.c -- what HDF5 says went wrong, in our sentence. */
#include "tessera/h5.h"

#include "tessera/error.h"

#include <stdio.h>

static herr_t innermost(unsigned n, const H5E_error2_t *entry, void *data)
{
    (void)n;
    snprintf(data, 256, "%s", entry->desc ? entry->desc : "");
    return 1; /* the first one visited from the bottom is the cause */
}

int tess_h5_fail(const struct tess_h5 *h5, const char *name, const char *what, int code,
                 struct tess_error *error)
{
    char reason[256] = "";

    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, innermost, reason);
    H5Eclear2(H5E_DEFAULT);
    return tess_error_set(error, code, "%s%s%s: %s%s%s%s", h5->path, name ? ": " : "",
                          name ? name : "", what, reason[0] ? " (HDF5: " : "", reason,
                          reason[0] ? ")" : "");
}
