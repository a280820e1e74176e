/* kept.h -- the best state so far, copied in memory until a checkpoint is due.
 *
 * With short epochs a file for every better one would cost more than the training. A copy is taken
 * where it is small; it reaches the disk before the next checkpoint, so that every checkpoint's
 * best one is there, and a run that is killed in between finds it again. */
#ifndef TESSERA_KEPT_H
#define TESSERA_KEPT_H

#include <stdint.h>

struct tess_trainer;

struct tess_kept { /* this rank's part; all zeroes: nothing */
    int full;
    char *block; /* own */
};

/* Bytes of a rank's copy, for trainer->kept_bytes; 0 if it would be too large. The same on every
 * rank. (Rank 0's TESS_KEPT_BYTES moves the limit, for tests.) Collective. */
int64_t tess_kept_decide(const struct tess_trainer *trainer);
/* Copies the trainer's state, in place of an earlier copy. Local. */
void tess_kept_take(struct tess_kept *kept, struct tess_trainer *trainer);
/* Exchanges the trainer's state and the copy: the trainer stands where the copy was taken, until a
 * second call undoes it. There must be a copy. Local. */
void tess_kept_exchange(struct tess_kept *kept, struct tess_trainer *trainer);
void tess_kept_release(struct tess_kept *kept);

#endif
