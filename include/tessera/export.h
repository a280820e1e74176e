/* export.h -- a model's tables and weights for NumPy and PyTorch: one .npz, or a folder of .npy.
 * docs/export.md lists the arrays and has the formula in Python. */
#ifndef TESSERA_EXPORT_H
#define TESSERA_EXPORT_H

#include <mpi.h>

struct tess_error;
struct tess_model;

/* To PATH, which must not be there yet (a file: unless `force`), in bounded memory; rank 0 writes.
 * It appears whole or not at all. TESS_ECREATE, TESS_EIO. Collective over comm. */
int tess_export_write(const struct tess_model *model, const char *path, int force, MPI_Comm comm,
                      struct tess_error *error);

#endif
