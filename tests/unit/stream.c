/* stream.c -- tests of src/hdf5/stream.c and sums.c: the bytes and the hashes of pieces in any cut,
 * what is borrowed, and a file that cannot grow. */
#include "tessera/stream.h"

#include "tessera/alloc.h"
#include "tessera/error.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <xxhash.h>
#include <cmocka.h>

#define BYTES (3 * TESS_SUMS_BLOCK + 12345)

static char *letters; /* BYTES of them */

static int start(void **state)
{
    (void)state;
    letters = TESS_NEW(char, BYTES);
    for (int64_t i = 0; i < BYTES; i++)
        letters[i] = (char)(i * 2654435761u >> 13);
    return 0;
}

static int end(void **state)
{
    (void)state;
    tess_free(letters);
    return 0;
}

/* Each known block as it is, and none twice. */
static void assert_sums(const struct tess_sums *sums, int64_t n)
{
    int seen = 0;

    assert_int_equal(sums->n, n);
    for (int64_t i = 0; i < n; i++) {
        int64_t at = sums->block[i] * TESS_SUMS_BLOCK;

        assert_true(at + TESS_SUMS_BLOCK <= BYTES && !(seen & 1 << sums->block[i]));
        seen |= 1 << sums->block[i];
        assert_int_equal(sums->sum[i], XXH3_64bits(letters + at, TESS_SUMS_BLOCK));
    }
}

static void sums__of_pieces_in_any_cut(void **state)
{
    static const int64_t cuts[] = {1 << 12, 999983, TESS_SUMS_BLOCK, TESS_SUMS_BLOCK + 1, BYTES};
    struct tess_sums sums = {0};

    (void)state;
    for (size_t c = 0; c < sizeof cuts / sizeof cuts[0]; c++) {
        for (int64_t at = 0; at < BYTES; at += cuts[c])
            tess_sums_add(&sums, at, at + cuts[c] < BYTES ? cuts[c] : BYTES - at, letters + at);
        assert_sums(&sums, 3);
        tess_sums_release(&sums);
    }
}

static void sums__nothing_is_said_of_blocks_with_gaps(void **state)
{
    const int64_t half = TESS_SUMS_BLOCK / 2;
    struct tess_sums sums = {0};

    (void)state;
    tess_sums_add(&sums, 0, half, letters);
    tess_sums_add(&sums, half + 1, half - 1, letters + half + 1); /* a byte is missing */
    tess_sums_add(&sums, 2 * half + 5, 2 * half, letters); /* begins behind a block's beginning */
    assert_sums(&sums, 0);
    tess_sums_add(&sums, 4 * half, half, letters + 4 * half);
    tess_sums_add(&sums, 0, 7, letters); /* between the halves of another */
    tess_sums_add(&sums, 5 * half, half, letters + 5 * half);
    assert_sums(&sums, 0);
    tess_sums_release(&sums);
}

static char path[] = "/tmp/tess_stream_XXXXXX";

static void open_stream(struct tess_stream *stream)
{
    struct tess_error error = TESS_ERROR_INIT;
    int file;

    memcpy(path + sizeof path - 7, "XXXXXX", 6);
    file = mkstemp(path);
    assert_true(file >= 0 && close(file) == 0);
    assert_int_equal(tess_stream_open(stream, path, "out.h5ad", &error), TESS_OK);
}

/* More pieces than the queue has places, last ones first; from two buffers, filled again and again.
 */
static void stream__writes_what_was_put(void **state)
{
    const int64_t piece = BYTES / 50 + 1;
    struct tess_error error = TESS_ERROR_INIT;
    struct tess_stream stream;
    char *buffer[2] = {TESS_NEW(char, piece), TESS_NEW(char, piece)}, *found;
    FILE *file;

    (void)state;
    open_stream(&stream);
    for (int64_t i = BYTES / piece; i >= 0; i--) {
        int64_t at = i * piece, n = at + piece < BYTES ? piece : BYTES - at;

        tess_stream_wait(&stream, buffer[i % 2]);
        memcpy(buffer[i % 2], letters + at, (size_t)n);
        assert_int_equal(tess_stream_put(&stream, at, n, buffer[i % 2], &error), TESS_OK);
    }
    assert_int_equal(tess_stream_settle(&stream, &error), TESS_OK);
    for (int64_t at = 0; at < BYTES; at += piece) /* again, in order: now the hashes are known */
        tess_stream_put(&stream, at, at + piece < BYTES ? piece : BYTES - at, letters + at, &error);
    assert_int_equal(tess_stream_settle(&stream, &error), TESS_OK);
    assert_sums(&stream.sums, 3);
    assert_true(stream.times.write > 0 && stream.times.hash > 0);
    tess_stream_release(&stream);
    tess_stream_release(&stream);
    found = TESS_NEW(char, BYTES + 1);
    file = fopen(path, "rb");
    assert_int_equal(fread(found, 1, BYTES + 1, file), BYTES);
    fclose(file);
    assert_memory_equal(found, letters, BYTES);
    tess_free(found);
    tess_free(buffer[0]);
    tess_free(buffer[1]);
    unlink(path);
}

/* The first write that fails is told of, by whichever call comes then; nothing waits for ever. */
static void stream__a_full_disk_is_an_error(void **state)
{
    const int64_t piece = BYTES / 50;
    struct rlimit before, limit;
    struct tess_error error = TESS_ERROR_INIT, again = TESS_ERROR_INIT;
    struct tess_stream stream;

    (void)state;
    open_stream(&stream);
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before);
    limit = before;
    limit.rlim_cur = (rlim_t)(3 * piece + 100);
    setrlimit(RLIMIT_FSIZE, &limit);
    for (int64_t i = 0; i < 40; i++)
        tess_stream_put(&stream, i * piece, piece, letters + i * piece, &error);
    assert_int_equal(tess_stream_settle(&stream, &error), TESS_EIO);
    assert_non_null(strstr(error.text, "out.h5ad: cannot be written: is the disk full?"));
    tess_stream_wait(&stream, letters);
    assert_int_equal(tess_stream_put(&stream, 0, 1, letters, &again), TESS_EIO);
    tess_stream_release(&stream);
    setrlimit(RLIMIT_FSIZE, &before);
    unlink(path);
}

static void stream__needs_a_file(void **state)
{
    struct tess_error error = TESS_ERROR_INIT;
    struct tess_stream stream;

    (void)state;
    assert_int_equal(tess_stream_open(&stream, "/tmp/no/such", "such", &error), TESS_ECREATE);
    tess_stream_wait(&stream, letters);
    tess_stream_release(&stream);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums__of_pieces_in_any_cut),
        cmocka_unit_test(sums__nothing_is_said_of_blocks_with_gaps),
        cmocka_unit_test(stream__writes_what_was_put),
        cmocka_unit_test(stream__a_full_disk_is_an_error),
        cmocka_unit_test(stream__needs_a_file),
    };

    return cmocka_run_group_tests(tests, start, end);
}
