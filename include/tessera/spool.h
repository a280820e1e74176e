/* spool.h -- inputs that can be read only once (pipes, FIFOs, /dev/stdin), although import reads a
 * file twice and HDF5 wants to jump about in it: they are copied to a temporary file that has no
 * name any more, so that nothing of it stays, however the program ends. Local. */
#ifndef TESSERA_SPOOL_H
#define TESSERA_SPOOL_H

#include <stddef.h>

struct tess_error;
struct tess_spool;

struct tess_spools {
    size_t n, room;
    struct tess_spool *item; /* own */
};

/* Where the bytes of the input called `path` can be opened, as often as needed: the path itself, or
 * for a pipe its copy (in TMPDIR, or /tmp), made at the first call for that path. Belongs to
 * `spools` or the caller; NULL: `error` says why not (a terminal or another device, no room for the
 * copy; a pipe without `spools`, which may be NULL). Waits for a pipe to end. */
const char *tess_spool_place(struct tess_spools *spools, const char *path,
                             struct tess_error *error);
/* The copy of a pipe under a name of its own, which HDF5 wants when it opens a file; NULL: `error`
 * says why not. It should go again soon: */
const char *tess_spool_link(struct tess_spools *spools, const char *path, struct tess_error *error);
void tess_spool_unlink(struct tess_spools *spools, const char *path);
void tess_spools_release(struct tess_spools *spools);

#endif
