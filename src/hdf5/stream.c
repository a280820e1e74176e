/* stream.c -- a queue of pieces and the thread that writes them. */
#include "tessera/stream.h"

#include "tessera/alloc.h"
#include "tessera/clock.h"
#include "tessera/error.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <pthread.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#define PLACES 16 /* of the queue; putting waits for a free one */

struct piece {
    int64_t offset, n;
    const char *bytes;
};

/* Pieces number `done` to `put` - 1 are borrowed, piece i at place i mod PLACES. */
struct tess_stream_queue {
    pthread_t thread;
    int has_thread, closing;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t more, less; /* a piece came, or closing; a piece is done */
    struct piece piece[PLACES];
    int64_t put, done;
    int why; /* errno of the first write that failed; 0: none */
};

/* errno, or 0. */
static int write_all(int file, const char *bytes, int64_t n, int64_t offset)
{
    while (n > 0) {
        ssize_t wrote = pwrite(file, bytes, (size_t)n, offset);

        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            return wrote < 0 ? errno : EIO;
        bytes += wrote;
        n -= wrote;
        offset += wrote;
    }
    return 0;
}

/* Block by block of the file, so that what is hashed is in the cache when it is written. What the
 * system says about beginning with the disk does not matter: fsync will say it again. */
static int write_piece(struct tess_stream *stream, const struct piece *piece)
{
    struct tess_stream_times *times = &stream->times;
    int64_t take;
    int why = 0;

    for (int64_t at = 0; at < piece->n && why == 0; at += take) {
        int64_t offset = piece->offset + at, room = TESS_SUMS_BLOCK - offset % TESS_SUMS_BLOCK;
        double start = tess_clock(), hashed, written;

        take = piece->n - at < room ? piece->n - at : room;
        tess_sums_add(&stream->sums, offset, take, piece->bytes + at);
        hashed = tess_clock();
        why = write_all(stream->file, piece->bytes + at, take, offset);
        written = tess_clock();
        sync_file_range(stream->file, offset, take, SYNC_FILE_RANGE_WRITE);
        times->hash += hashed - start;
        times->write += written - hashed;
        times->flush += tess_clock() - written;
    }
    return why;
}

static void *work(void *closure)
{
    struct tess_stream *stream = closure;
    struct tess_stream_queue *queue = stream->queue;

    pthread_mutex_lock(&queue->lock);
    while (queue->done < queue->put || !queue->closing) {
        struct piece piece = queue->piece[queue->done % PLACES];
        int why = queue->why;

        if (queue->done == queue->put) {
            pthread_cond_wait(&queue->more, &queue->lock);
            continue;
        }
        pthread_mutex_unlock(&queue->lock);
        if (why == 0)
            why = write_piece(stream, &piece);
        pthread_mutex_lock(&queue->lock);
        queue->why = why;
        queue->done++;
        pthread_cond_signal(&queue->less);
    }
    pthread_mutex_unlock(&queue->lock);
    return NULL;
}

/* Ranks write side by side, pages in the middle of which one ends and another begins, and NFS may
 * write the whole page of a client that does not know the other's part: not with O_DSYNC. */
static int whole_writes(const char *path)
{
    struct statfs system;

    return statfs(path, &system) == 0 && system.f_type == NFS_SUPER_MAGIC ? O_DSYNC : 0;
}

int tess_stream_open(struct tess_stream *stream, const char *path, const char *name,
                     struct tess_error *error)
{
    struct tess_stream_queue *queue;

    *stream = (struct tess_stream){.file = open(path, O_WRONLY | O_CLOEXEC | whole_writes(path)),
                                   .name = name};
    if (stream->file < 0)
        return tess_error_set(error, TESS_ECREATE, "%s: cannot be opened for writing: %s", path,
                              strerror(errno));
    queue = stream->queue = TESS_NEW(struct tess_stream_queue, 1);
    pthread_mutex_init(&queue->lock, NULL);
    pthread_cond_init(&queue->more, NULL);
    pthread_cond_init(&queue->less, NULL);
    return error->code;
}

static int report(const struct tess_stream *stream, struct tess_error *error)
{
    int why = stream->queue->why;

    if (why)
        tess_error_set(error, TESS_EIO, "%s: cannot be written: is the disk full? %s", stream->name,
                       strerror(why));
    return error->code;
}

/* Until piece `number` and all before it are done; the lock is held. */
static void wait_until(struct tess_stream *stream, int64_t number)
{
    double start = tess_clock();

    while (stream->queue->done <= number)
        pthread_cond_wait(&stream->queue->less, &stream->queue->lock);
    stream->times.wait += tess_clock() - start;
}

int tess_stream_put(struct tess_stream *stream, int64_t offset, int64_t n, const void *bytes,
                    struct tess_error *error)
{
    struct tess_stream_queue *queue = stream->queue;
    const struct piece piece = {offset, n, bytes};

    if (tess_fail_here(error, stream->name))
        return error->code;
    if (!queue->has_thread)
        queue->has_thread = pthread_create(&queue->thread, NULL, work, stream) == 0;
    pthread_mutex_lock(&queue->lock);
    wait_until(stream, queue->put - PLACES);
    if (queue->has_thread) {
        queue->piece[queue->put++ % PLACES] = piece;
        pthread_cond_signal(&queue->more);
    } else if (queue->why == 0)
        queue->why = write_piece(stream, &piece);
    report(stream, error);
    pthread_mutex_unlock(&queue->lock);
    return error->code;
}

void tess_stream_wait(struct tess_stream *stream, const void *bytes)
{
    struct tess_stream_queue *queue = stream->queue;
    int64_t last = -1;

    if (!queue)
        return;
    pthread_mutex_lock(&queue->lock);
    for (int64_t i = queue->done; i < queue->put; i++)
        if (queue->piece[i % PLACES].bytes == bytes)
            last = i;
    wait_until(stream, last);
    pthread_mutex_unlock(&queue->lock);
}

int tess_stream_settle(struct tess_stream *stream, struct tess_error *error)
{
    if (!stream->queue)
        return error->code;
    pthread_mutex_lock(&stream->queue->lock);
    wait_until(stream, stream->queue->put - 1);
    report(stream, error);
    pthread_mutex_unlock(&stream->queue->lock);
    return error->code;
}

int tess_stream_sync(struct tess_stream *stream, struct tess_error *error)
{
    if (tess_stream_settle(stream, error) != TESS_OK || !stream->queue)
        return error->code;
    /* EINVAL: what has no disk, such as a pipe */
    if (fsync(stream->file) < 0 && errno != EINVAL)
        stream->queue->why = errno;
    return report(stream, error);
}

void tess_stream_release(struct tess_stream *stream)
{
    struct tess_stream_queue *queue = stream->queue;

    if (queue) {
        pthread_mutex_lock(&queue->lock);
        queue->closing = 1;
        pthread_cond_signal(&queue->more);
        pthread_mutex_unlock(&queue->lock);
        if (queue->has_thread)
            pthread_join(queue->thread, NULL);
        pthread_mutex_destroy(&queue->lock);
        pthread_cond_destroy(&queue->more);
        pthread_cond_destroy(&queue->less);
        close(stream->file);
        tess_free(queue);
    }
    tess_sums_release(&stream->sums);
    *stream = (struct tess_stream){.queue = NULL};
}
