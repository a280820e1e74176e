/* column.c -- tests of AnnData columns: plain, nullable and categorical, whole and in parts. */
#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/h5_column.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#define ROWS 6

static char path[] = "/tmp/tessera-unit-column-XXXXXX";
static struct tess_h5 h5;

static void write_texts(const char *name, int n, const char *const *text)
{
    struct tess_error error = TESS_ERROR_INIT;
    char block[ROWS][8] = {{0}};

    for (int i = 0; i < n; i++)
        memcpy(block[i], text[i], strlen(text[i]));
    assert_int_equal(
        tess_h5_write_strings(&h5, name, &(struct tess_h5_strings){n, 8, 8, block[0]}, &error),
        TESS_OK);
}

static void write_bytes(const char *name, int64_t n, const int8_t *byte)
{
    struct tess_error error = TESS_ERROR_INIT;

    assert_int_equal(tess_h5_write(&h5, name, H5T_NATIVE_INT8, TESS_H5_LINE(n), byte, &error),
                     TESS_OK);
}

static int make_file(void **state)
{
    static const char *const letters[] = {"a", "b", "c", "d", "e", "f"};
    struct tess_error error = TESS_ERROR_INIT;
    int file = mkstemp(path);

    (void)state;
    tess_h5_init();
    assert_true(file >= 0);
    close(file);
    assert_int_equal(tess_h5_create(&h5, path, MPI_COMM_NULL, &error), TESS_OK);
    write_texts("plain", ROWS, letters);
    write_texts("nullable/values", ROWS, letters);
    write_bytes("nullable/mask", ROWS, (const int8_t[]){0, 1, 0, 0, 0, 1});
    write_texts("short/values", ROWS, letters);
    write_bytes("short/mask", 2, (const int8_t[]){0, 1});
    write_texts("categorical/categories/values", 3, letters);
    write_bytes("categorical/categories/mask", 3, (const int8_t[]){0, 1, 0});
    write_bytes("categorical/codes", ROWS, (const int8_t[]){2, 1, 0, -1, 0, 2});
    write_texts("damaged/categories", 3, letters);
    write_bytes("damaged/codes", ROWS, (const int8_t[]){2, 1, 0, -1, 3, 2});
    write_bytes("old", ROWS, (const int8_t[]){2, 1, 0, -1, 0, 2});
    write_texts("nothing/else", 1, letters);
    return 0;
}

static int remove_file(void **state)
{
    struct tess_error error = TESS_ERROR_INIT;

    (void)state;
    tess_h5_close(&h5, &error);
    return unlink(path);
}

/* The rows' first letters, "-" for what is missing. */
static void note(void *context, int64_t i, const char *text)
{
    ((char *)context)[i] = text ? text[0] : '-';
}

static void gives(const struct tess_h5_column *column, const char *expected)
{
    struct tess_error error = TESS_ERROR_INIT;

    assert_int_equal(column->n, ROWS);
    for (int64_t first = 0; first < ROWS; first++)
        for (int64_t n = 0; n <= ROWS - first; n++) {
            char got[ROWS + 1] = "";

            assert_int_equal(tess_h5_column_texts(column, first, n, note, got, &error), TESS_OK);
            assert_memory_equal(got, expected + first, (size_t)n);
        }
    for (int64_t row = 0; row < ROWS; row++) {
        char *text = tess_h5_column_text(column, row);

        assert_int_equal(text[0], expected[row] == '-' ? 0 : expected[row]);
        tess_free(text);
    }
}

static void column__in_any_part(void **state)
{
    static const char *const cases[][2] = {
        {"plain", "abcdef"}, {"nullable", "a-cde-"}, {"categorical", "c-a-ac"}};
    struct tess_error error = TESS_ERROR_INIT;
    struct tess_h5_column column;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(tess_h5_column_open(&column, &h5, cases[i][0], &error), TESS_OK);
        gives(&column, cases[i][1]);
        tess_h5_column_release(&column);
        tess_h5_column_release(&column);
    }
}

static void column__refers(void **state)
{
    struct tess_error error = TESS_ERROR_INIT;
    struct tess_h5_column column;

    (void)state;
    assert_int_equal(tess_h5_column_open(&column, &h5, "old", &error), TESS_OK);
    assert_int_equal(tess_h5_column_refer(&column, "damaged/categories", &error), TESS_OK);
    gives(&column, "cba-ac");
    tess_h5_column_release(&column);
}

static void column__refuses(void **state)
{
    static const char *const cases[][2] = {{"short", "values but a mask of 2"},
                                           {"nothing", "neither a plain"},
                                           {"none", "missing or no dataset"}};
    struct tess_error error = TESS_ERROR_INIT;
    struct tess_h5_column column;
    char got[ROWS], *text;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(tess_h5_column_open(&column, &h5, cases[i][0], &error), TESS_EDATA);
        assert_non_null(strstr(error.text, cases[i][1]));
        tess_h5_column_release(&column);
        error = (struct tess_error)TESS_ERROR_INIT;
    }
    assert_int_equal(tess_h5_column_open(&column, &h5, "damaged", &error), TESS_OK);
    assert_int_equal(tess_h5_column_texts(&column, 0, ROWS, note, got, &error), TESS_EDATA);
    assert_non_null(strstr(error.text, "row 5 has code 3 of 3 categories"));
    text = tess_h5_column_text(&column, 4);
    assert_string_equal(text, "");
    tess_free(text);
    tess_h5_column_release(&column);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(column__in_any_part),
                                       cmocka_unit_test(column__refers),
                                       cmocka_unit_test(column__refuses)};

    return cmocka_run_group_tests(tests, make_file, remove_file);
}
