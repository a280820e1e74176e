/* groups.h -- ranks in groups that work through a list side by side. The first that cannot go on
 * ends the work of all: the others hear it and stop where that can be gone on from. */
#ifndef TESSERA_GROUPS_H
#define TESSERA_GROUPS_H

#include "tessera/halt.h"

#include <mpi.h>
#include <stdint.h>

struct tess_error;

struct tess_groups {
    MPI_Comm comm, group; /* of all ranks: borrowed; of this rank's group: own */
    int n, number; /* groups; this rank's */
    struct tess_halt halt;
    struct tess_groups *outer; /* of which these are one, or NULL; borrowed */
};

/* Can so many ranks be n groups? If not, `code` and a sentence that names the setting. Local. */
int tess_groups_check(int64_t n, int n_ranks, const char *setting, int code,
                      struct tess_error *error);
/* n groups of contiguous ranks, as many in each as can be; 1 <= n <= ranks. outer: may be NULL.
 * Leaders of other groups than the first, which were silent, say from here on what goes wrong.
 * Collective over comm. */
void tess_groups_init(struct tess_groups *groups, int n, MPI_Comm comm, struct tess_groups *outer);
/* Was this rank's group asked to stop by another one, or by one beside the outer group? Of rank 0
 * of the group. Local. */
int tess_groups_heard(struct tess_groups *groups);

/* What is done with item i, by one group. */
struct tess_groups_work {
    void *closure;
    const char *between; /* "between two members" */
    int (*take)(void *closure, int64_t i, struct tess_error *error);
};
/* This group's items of 0 … n - 1, one after another, dealt out back and forth (0 1 2 2 1 0 …), so
 * that kinds in turn, of which one takes longer, are spread. An error ends the work of all groups:
 * TESS_EINTERRUPTED if a signal or an outer group asks to stop; what this group stopped for because
 * another one called is not its own news. The error is this group's: agree over comm afterwards.
 * Collective over the group. */
int tess_groups_run(struct tess_groups *groups, int64_t n, const struct tess_groups_work *work,
                    struct tess_error *error);
/* Collective over comm. */
void tess_groups_release(struct tess_groups *groups);

#endif
