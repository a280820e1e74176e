/* sparse.c -- tests of compressed matrices by rows, of LZF and of texts. */
#include "hdf5/lzf.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/h5.h"
#include "tessera/random.h"
#include "tessera/source.h"
#include "tessera/sparse.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#define ROWS    37
#define COLUMNS 23
#define ENTRIES 400 /* at random places: some of them twice */

static char path[] = "/tmp/tessera-unit-sparse-XXXXXX";
static float expected[ROWS][COLUMNS];

struct triple {
    int32_t major, minor;
    float data;
};

static void write_matrix(struct tess_h5 *h5, const char *name, const char *kind, int by_columns,
                         const struct triple *triple)
{
    struct tess_error error = TESS_ERROR_INIT;
    int64_t n_major = by_columns ? COLUMNS : ROWS, length = n_major + 1, n = ENTRIES, done = 0;
    int64_t shape[2] = {ROWS, COLUMNS}, *pointer = TESS_NEW(int64_t, length);
    int32_t index[ENTRIES];
    float data[ENTRIES];
    char *group[3] = {tess_format("%s/indptr", name), tess_format("%s/indices", name),
                      tess_format("%s/data", name)};

    for (int64_t i = 0; i < n_major; i++) {
        for (int k = 0; k < ENTRIES; k++)
            if ((by_columns ? triple[k].minor : triple[k].major) == i) {
                index[done] = by_columns ? triple[k].major : triple[k].minor;
                data[done++] = triple[k].data;
            }
        pointer[i + 1] = done;
    }
    tess_h5_write(h5, group[0], H5T_NATIVE_INT64, TESS_H5_LINE(length), pointer, &error);
    tess_h5_write(h5, group[1], H5T_NATIVE_INT32, TESS_H5_LINE(n), index, &error);
    tess_h5_write(h5, group[2], H5T_NATIVE_FLOAT, TESS_H5_LINE(n), data, &error);
    tess_h5_write_attribute(h5, (struct tess_h5_attribute){name, "shape"}, H5T_NATIVE_INT64, 2,
                            shape, &error);
    tess_h5_write_string(h5, name, "encoding-type", kind, &error);
    assert_string_equal(error.text, "");
    for (int i = 0; i < 3; i++)
        tess_free(group[i]);
    tess_free(pointer);
}

static int make_file(void **state)
{
    struct tess_random stream = tess_random_stream(3, TESS_RANDOM_TEST, 9);
    struct tess_error error = TESS_ERROR_INIT;
    struct triple triple[ENTRIES];
    struct tess_h5 h5;

    (void)state;
    for (int k = 0; k < ENTRIES; k++) {
        uint32_t bits[4];

        tess_random_block(stream, (uint64_t)k, 0, bits);
        triple[k] = (struct triple){(int32_t)(bits[0] % ROWS), (int32_t)(bits[1] % COLUMNS),
                                    (float)(bits[2] % 100)};
        if (triple[k].major == 5) /* an empty row */
            triple[k].major = 6;
        expected[triple[k].major][triple[k].minor] += triple[k].data;
    }
    close(mkstemp(path));
    tess_h5_init();
    tess_h5_create(&h5, path, MPI_COMM_NULL, &error);
    write_matrix(&h5, "csr", "csr_matrix", 0, triple);
    write_matrix(&h5, "csc", "csc_matrix", 1, triple);
    return tess_h5_close(&h5, &error);
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(path);
}

/* Every row once, `step` at a time, backwards if asked for. */
static void read_all(const char *name, int64_t window_bytes, int64_t step, int backwards)
{
    struct tess_error error = TESS_ERROR_INIT;
    struct tess_sparse sparse;
    struct tess_block block = {0};
    struct tess_h5 h5;

    tess_h5_open(&h5, path, MPI_COMM_NULL, 0, &error);
    assert_int_equal(tess_sparse_open(&sparse, &h5, name, &error), TESS_OK);
    sparse.window_bytes = window_bytes;
    for (int64_t at = 0; at < ROWS; at += step) {
        int64_t n = ROWS - at < step ? ROWS - at : step, first = backwards ? ROWS - at - n : at;

        assert_int_equal(tess_sparse_read(&sparse, first, n, &block, &error), TESS_OK);
        for (int64_t i = 0; i < n; i++) {
            float row[COLUMNS] = {0};

            for (int64_t k = block.indptr[i]; k < block.indptr[i + 1]; k++) {
                assert_true(k == block.indptr[i] || block.index[k - 1] < block.index[k]);
                row[block.index[k]] = block.data[k];
            }
            assert_memory_equal(row, expected[first + i], sizeof row);
        }
    }
    tess_block_release(&block);
    tess_sparse_release(&sparse);
    tess_h5_close(&h5, &error);
    assert_string_equal(error.text, "");
}

static void sparse__any_window_and_block(void **state)
{
    static const int64_t windows[] = {1, 100, 999, 1 << 20}, steps[] = {1, 4, ROWS};

    (void)state;
    for (int s = 0; s < 3; s++)
        for (int backwards = 0; backwards < 2; backwards++) {
            read_all("csr", 0, steps[s], backwards);
            for (int w = 0; w < 4; w++)
                read_all("csc", windows[w], steps[s], backwards);
        }
}

static void lzf__decodes(void **state)
{
    /* 3 literals, 2 + 2 bytes from 3 back, 7 + 1 + 2 from 1 back, 1 literal */
    static const unsigned char stream[] = {2, 'a', 'b', 'c', 0x40, 2, 0xe0, 1, 0, 0, 'z'};
    unsigned char out[32] = "";

    (void)state;
    assert_int_equal(tess_lzf_decode(stream, sizeof stream, out, sizeof out), 18);
    assert_string_equal((char *)out, "abcabcaaaaaaaaaaaz");
}

static void lzf__refuses_damage(void **state)
{
    static const unsigned char before_start[] = {0, 'a', 0x20, 1}, cut[] = {5, 'a'},
                               no_distance[] = {0, 'a', 0xe0, 1};
    unsigned char out[8];

    (void)state;
    assert_int_equal(tess_lzf_decode(before_start, sizeof before_start, out, 8), 0);
    assert_int_equal(tess_lzf_decode(cut, sizeof cut, out, 8), 0);
    assert_int_equal(tess_lzf_decode(no_distance, sizeof no_distance, out, 8), 0);
    assert_int_equal(tess_lzf_decode((const unsigned char[]){3, 1, 2, 3, 4}, 5, out, 3), 0);
}

static void text__shortest_number(void **state)
{
    static const struct {
        double x;
        int single;
        const char *text;
    } cases[] = {{10, 0, "10"},      {-0.0, 0, "0"},           {0.5, 1, "0.5"},
                 {0.1f, 1, "0.1"},   {0.1, 0, "0.1"},          {1e-7, 0, "1e-07"},
                 {-666, 1, "-666"},  {1.0 / 3, 0, NULL},       {1e300, 0, "1e+300"},
                 {3.33f, 1, "3.33"}, {16777216, 1, "16777216"}};
    char out[32];
    double back;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        tess_text_number(cases[i].x, cases[i].single, out);
        if (cases[i].text)
            assert_string_equal(out, cases[i].text);
        assert_true(tess_text_double(out, &back));
        assert_true(cases[i].single ? (float)back == (float)cases[i].x : back == cases[i].x);
    }
}

/* The text of as few digits as read back, found by trying them all. */
static void shortest(double x, int single, char out[32])
{
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(out, 32, "%.*g", digits, x);
        if (single ? strtof(out, NULL) == (float)x : strtod(out, NULL) == x)
            return;
    }
}

static void text__shortest_number_at_random(void **state)
{
    struct tess_random stream = tess_random_stream(13, TESS_RANDOM_TEST, 2);
    char out[32], right[32];
    uint32_t word[4];

    (void)state;
    for (uint64_t i = 0; i < 30000; i++) {
        union {
            uint64_t bits;
            double x;
        } any;
        union {
            uint32_t bits;
            float x;
        } few;
        int single;

        tess_random_block(stream, i, 0, word);
        single = word[2] & 1;
        few.bits = word[0];
        any.bits = (uint64_t)word[0] << 32 | word[1];
        if (word[2] & 2) /* few digits, of everyday size; or else anything, below 1e-308, too */
            any.x = (double)(word[0] % 100000) / pow(10, word[3] % 12);
        else if (word[2] & 4)
            any.bits &= UINT64_C(0x801fffffffffffff);
        if (single && word[2] & 8)
            any.x = few.x;
        else if (single)
            any.x = (float)any.x;
        if (!isfinite(any.x) || (fabs(any.x) < 1e15 && any.x == floor(any.x)))
            continue;
        shortest(any.x, single, right);
        tess_text_number(any.x, single, out);
        assert_string_equal(out, right);
    }
}

static void text__repairs_latin1(void **state)
{
    static const char *const valid[] = {"", "abc", "\xc2\xb5M", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};
    static const char *const invalid[] = {"\xb5M",    "\xc0\x80",         "\xed\xa0\x80",
                                          "\xe2\x82", "\xf5\x80\x80\x80", "a\xff"};
    char *fixed;

    (void)state;
    for (size_t i = 0; i < sizeof valid / sizeof valid[0]; i++)
        assert_null(tess_text_utf8(valid[i]));
    for (size_t i = 0; i < sizeof invalid / sizeof invalid[0]; i++) {
        fixed = tess_text_utf8(invalid[i]);
        assert_non_null(fixed);
        assert_null(tess_text_utf8(fixed));
        tess_free(fixed);
    }
    fixed = tess_text_utf8("10 \xb5M");
    assert_string_equal(fixed, "10 \xc2\xb5M");
    tess_free(fixed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sparse__any_window_and_block),
        cmocka_unit_test(lzf__decodes),
        cmocka_unit_test(lzf__refuses_damage),
        cmocka_unit_test(text__shortest_number),
        cmocka_unit_test(text__shortest_number_at_random),
        cmocka_unit_test(text__repairs_latin1),
    };

    return cmocka_run_group_tests(tests, make_file, remove_file);
}
