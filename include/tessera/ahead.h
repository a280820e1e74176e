/* ahead.h -- values that are read while something else is computed, rather than held in memory
 * (`data.streaming`).
 *
 * Who knows what it will need next lists it (an experiment, some of its kept columns, where they
 * go), starts the reading and goes on; threads read the values where they lie in the store, sorted
 * by their places, neighbours together, and scale them. So values take memory only for what is
 * about to be used. The schedule is a function of the seed, which is why a training knows its
 * steps beforehand (trainer_window.c).
 *
 * The threads call neither MPI nor HDF5: the store's values must be one piece of the file, as
 * 'tessera import' writes them. What they read is too little of a checksum's block to be verified
 * by it: each block is verified once beforehand (tess_store_verify_some), and a file that changes
 * afterwards is refused. Local; one thread lists, starts and finishes. */
#ifndef TESSERA_AHEAD_H
#define TESSERA_AHEAD_H

#include "tessera/dataset.h"

#include <stddef.h>
#include <stdint.h>

struct tess_error;
struct tess_ahead;

#define TESS_AHEAD_THREADS 4 /* so many reads are on their way at once */
#define TESS_AHEAD_VALUES  ((int64_t)1 << 16) /* neighbours are read together up to this length */

/* Bytes that listing and sorting take, a read. */
#define TESS_AHEAD_READ_BYTES 96.0

/* Kept columns of an experiment of the store, n > 0: those in `column` (n, borrowed), or first …
 * first + n - 1 if that is NULL. They go to target + to in that order. */
struct tess_read {
    int64_t experiment, to;
    const int32_t *column;
    int32_t first, n;
};
struct tess_reads { /* all zeroes: none */
    int64_t n;
    size_t room;
    struct tess_read *read; /* own */
    float *target; /* borrowed */
};
void tess_reads_add(struct tess_reads *reads, struct tess_read read);
void tess_reads_release(struct tess_reads *reads);

/* NULL and TESS_EDATA if the values of the dataset's store do not lie in one piece; TESS_EIO. */
struct tess_ahead *tess_ahead_open(const struct tess_dataset *dataset, struct tess_error *error);
/* These come with the next start. Borrowed, with their targets, until it is finished. */
void tess_ahead_add(struct tess_ahead *ahead, const struct tess_reads *reads);
/* scaled 1: targets of the training; 0: the store's values. Nothing else may be on its way. */
void tess_ahead_start(struct tess_ahead *ahead, int scaled);
/* Helps until all is there; at once if nothing was started. TESS_EDATA: the file is cut short, or
 * was changed; TESS_EIO. */
int tess_ahead_finish(struct tess_ahead *ahead, struct tess_error *error);
/* Gives up what is on its way: nothing is borrowed any more. */
void tess_ahead_drop(struct tess_ahead *ahead);
/* Of a NULL, nothing. */
void tess_ahead_release(struct tess_ahead *ahead);

#endif
