/* stream.h -- bytes on their way into a file: a thread of their own writes them, in the order in
 * which they were put, while whoever put them goes on.
 *
 * The thread calls neither MPI nor HDF5. It hashes what it writes while that is in the caches
 * (sums.h), and tells the system at once to bring it to the disk, so that little is left for an
 * fsync. Where there can be no more threads, putting writes. Local; one thread puts and waits. */
#ifndef TESSERA_STREAM_H
#define TESSERA_STREAM_H

#include "tessera/sums.h"

#include <stdint.h>

struct tess_error;
struct tess_stream_queue;

/* Seconds, all of the thread's but the last. */
struct tess_stream_times {
    double hash, write, flush; /* flush: asking the system to begin with the disk */
    double wait; /* of who put it, until it was written */
};

/* Zeroes are a closed one. */
struct tess_stream {
    int file; /* the stream's own handle */
    const char *name; /* for messages; borrowed */
    struct tess_sums sums; /* complete once settled; own */
    struct tess_stream_times times; /* likewise */
    struct tess_stream_queue *queue; /* own; NULL: closed */
};

/* Writes into a file that is there. TESS_ECREATE. */
int tess_stream_open(struct tess_stream *stream, const char *path, const char *name,
                     struct tess_error *error);
/* n bytes to `offset`. They are borrowed until tess_stream_wait or tess_stream_settle. TESS_EIO if
 * something that was put before could not be written: then nothing is written any more. */
int tess_stream_put(struct tess_stream *stream, int64_t offset, int64_t n, const void *bytes,
                    struct tess_error *error);
/* Until nothing that was put from `bytes` is borrowed any more; returns at once if nothing is. */
void tess_stream_wait(struct tess_stream *stream, const void *bytes);
/* Until all is written, or one write failed: TESS_EIO. More may be put after it. */
int tess_stream_settle(struct tess_stream *stream, struct tess_error *error);
/* Settles, and brings all that was written through this stream to the disk: whoever fsyncs the file
 * on another host, or by another handle, does not. TESS_EIO. */
int tess_stream_sync(struct tess_stream *stream, struct tess_error *error);
/* Waits until nothing is borrowed; closes. May run twice. */
void tess_stream_release(struct tess_stream *stream);

#endif
