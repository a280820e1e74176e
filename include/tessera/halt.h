/* halt.h -- groups of ranks that work side by side: one that ends early calls, the others hear it.
 *
 * What one group calls is heard by the others' leaders (rank 0 of each) when they next ask. */
#ifndef TESSERA_HALT_H
#define TESSERA_HALT_H

#include <mpi.h>

struct tess_halt {
    MPI_Comm leaders; /* own; MPI_COMM_NULL: this rank leads no group, or there is one only */
    int called;
    int followed; /* it heard a call and said so */
    MPI_Request *request; /* one for each leader; own */
};

/* leads: is this rank the leader of its group? Collective over comm, of all groups. */
void tess_halt_init(struct tess_halt *halt, int leads, MPI_Comm comm);
/* Tells the other leaders, once; ranks that lead nobody may call it as well. Local. */
void tess_halt_call(struct tess_halt *halt);
/* Did another leader call? Local. */
int tess_halt_heard(struct tess_halt *halt);
/* What is still under way is taken. Collective over the comm of init. */
void tess_halt_release(struct tess_halt *halt);

#endif
