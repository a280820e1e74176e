/* embed.h -- a model's tables as an AnnData file, for looking at them. */
#ifndef TESSERA_EMBED_H
#define TESSERA_EMBED_H

#include <mpi.h>
#include <stdint.h>

struct tess_error;
struct tess_model;

struct tess_embed { /* all borrowed */
    const char *output; /* .h5ad */
    const char *command; /* for the file's notes */
    int64_t components; /* principal ones; 0: as many as there are, at most TESS_EMBED_COMPONENTS */
    int force; /* a file that is there is replaced */
};
#define TESS_EMBED_COMPONENTS 50

/* Rows are the symbols of all three tables; X are the effective vectors of all members side by side
 * (vectors.h), obsm/raw the rows of the tables, obsm/X_pca the principal components, of each table
 * by itself, of X with every member scaled to one variance. TESS_EUSAGE, TESS_ECREATE. Collective
 * over comm. */
int tess_embed_write(const struct tess_embed *embed, const struct tess_model *model, MPI_Comm comm,
                     struct tess_error *error);

#endif
