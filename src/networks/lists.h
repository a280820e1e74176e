/* lists.h -- a sparse matrix by regulators: of each a list of rows and values, the same on every
 * rank, in ascending order of the rows. */
#ifndef LISTS_H
#define LISTS_H

#include <mpi.h>
#include <stddef.h>
#include <stdint.h>

struct tess_entry {
    double value;
    int64_t row;
};

struct tess_lists {
    int64_t m;
    int64_t *first; /* (m + 1) list i is entry[first[i] … first[i + 1]); own */
    struct tess_entry *entry; /* own */
    size_t room;
};

/* While a rank makes the lists of its own regulators, in ascending order: the next entry of list
 * `regulator`. Local. */
void tess_lists_add(struct tess_lists *lists, int64_t regulator, int64_t row, double value);
/* All ranks' lists to all: each list was made by one rank, and is empty on the others. Collective.
 */
void tess_lists_share(struct tess_lists *lists, MPI_Comm comm);
void tess_lists_init(struct tess_lists *lists, int64_t m);
void tess_lists_release(struct tess_lists *lists);

#endif
