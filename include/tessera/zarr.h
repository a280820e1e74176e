/* zarr.h -- Zarr stores, the other thing that AnnData are written to: told apart, not read. Local.
 */
#ifndef TESSERA_ZARR_H
#define TESSERA_ZARR_H

struct tess_error;

/* TESS_EDATA with the way to convert it, if `path` is a Zarr store: a folder, or a zip file of one
 * (NAME.zarr.zip). */
int tess_zarr_refuse(const char *path, struct tess_error *error);

#endif
