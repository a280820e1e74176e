/* number.c -- tests of src/base/number.c and src/source/lines.c. */
#include "tessera/error.h"
#include "tessera/lines.h"
#include "tessera/number.h"
#include "tessera/random.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
#include <cmocka.h>

static void assert_as_strtod(const char *text)
{
    double mine, theirs = strtod(text, NULL);

    if (!tess_number_parse(text, strlen(text), &mine))
        fail_msg("`%s` is not read", text);
    if (memcmp(&mine, &theirs, sizeof mine) != 0)
        fail_msg("`%s`: %a, strtod gives %a", text, mine, theirs);
}

static void number__equals_strtod_at_the_edges(void **state)
{
    static const char *const text[] = {
        "0",
        "-0",
        "+0.0",
        "1",
        "-1",
        "+1.5",
        ".5",
        "5.",
        "-.5e-3",
        "007",
        "1e0",
        "1E+22",
        "1e23",
        "1e-22",
        "1e-23",
        "9007199254740992",
        "9007199254740993",
        "9007199254740993e0",
        "0.30000000000000004",
        "123456789012345678901234567890",
        "0.1e-400",
        "0e999999999999",
        "1e400",
        "-1e400",
        "1e99999999999999999999",
        "1e-99999999999999999999",
        "2.2250738585072011e-308",
        "4.9406564584124654e-324",
        "1.7976931348623157e308",
        "179769313486231570000000000000000000000",
        "0.000000000000000000000000000000000001",
        "10000000000000000000",
        "9999999999999999999",
        "18446744073709551616",
        "0.00000000000000000000000000000000000000000000000000000000000000000000000000000000123"};

    (void)state;
    for (size_t i = 0; i < sizeof text / sizeof text[0]; i++)
        assert_as_strtod(text[i]);
}

static void number__equals_strtod_at_random(void **state)
{
    struct tess_random stream = tess_random_stream(11, TESS_RANDOM_TEST, 1);
    static const char *const form[] = {"%.17g", "%.9g", "%.6g", "%.4f", "%.0e", "%.20f", "%.25e"};
    char text[512];
    uint32_t word[4];

    (void)state;
    for (uint64_t i = 0; i < 100000; i++) {
        union {
            uint64_t bits;
            double x;
        } any;

        tess_random_block(stream, i, 0, word);
        any.bits = (uint64_t)word[0] << 32 | word[1];
        if (word[2] & 1) /* any double, or one of everyday size */
            any.x = ((double)word[0] - 2147483648.0) * pow(10, (int)(word[3] >> 16) % 20 - 14);
        if (!isfinite(any.x))
            continue;
        snprintf(text, sizeof text, form[word[3] % (sizeof form / sizeof form[0])], any.x);
        assert_as_strtod(text);
    }
}

static void number__refuses_everything_else(void **state)
{
    static const char *const text[] = {"",      "-",     "+",    ".",     "e5",  "1e",
                                       "1e+",   "1.2.3", "0x10", "1 2",   "--1", "1,5",
                                       "1_000", "nan",   "inf",  "1e5.0", "٣",   "1d5"};
    double x;

    (void)state;
    for (size_t i = 0; i < sizeof text / sizeof text[0]; i++)
        if (tess_number_parse(text[i], strlen(text[i]), &x))
            fail_msg("`%s` is read as %g", text[i], x);
}

static enum tess_number read_as(const char *text, float *x)
{
    return tess_number_read(text, strlen(text), x);
}

static void number__tells_missing_from_wrong(void **state)
{
    static const char *const missing[] = {"",    " ",    "NA",   "nan",  "NaN", "-NaN",
                                          "N/A", "#N/A", "null", "None", "<NA>"};
    static const char *const infinite[] = {"inf", "-Inf", "+INF", "Infinity", "1e39", "-1e400"};
    float x;

    (void)state;
    for (size_t i = 0; i < sizeof missing / sizeof missing[0]; i++) {
        assert_int_equal(read_as(missing[i], &x), TESS_NUMBER_MISSING);
        assert_true(isnan(x));
    }
    for (size_t i = 0; i < sizeof infinite / sizeof infinite[0]; i++) {
        assert_int_equal(read_as(infinite[i], &x), TESS_NUMBER_INFINITE);
        assert_true(isinf(x));
    }
    assert_int_equal(read_as(" -2.5 ", &x), TESS_NUMBER_FINITE);
    assert_true(x == -2.5F);
    assert_int_equal(read_as("high", &x), TESS_NUMBER_NONE);
    assert_true(tess_number_is_missing("NA", 2) && tess_number_is_missing("", 0));
    assert_false(tess_number_is_missing("None", 4) || tess_number_is_missing("na", 2));
}

static void assert_fields(const char *line, int plain, int64_t n, const char *const *wanted)
{
    struct tess_field field[8];
    char copy[128];

    snprintf(copy, sizeof copy, "%s", line);
    assert_int_equal(tess_fields_split(copy, strlen(copy), ',', plain, 8, field), n);
    for (int64_t i = 0; i < n && i < 8; i++) {
        assert_int_equal(field[i].n, strlen(wanted[i]));
        assert_memory_equal(field[i].text, wanted[i], field[i].n);
    }
}

static void fields__split(void **state)
{
    (void)state;
    assert_fields("", 0, 1, (const char *[]){""});
    assert_fields(",", 0, 2, (const char *[]){"", ""});
    assert_fields(" a , b c ,", 0, 3, (const char *[]){"a", "b c", ""});
    assert_fields(" a , b", 1, 2, (const char *[]){" a ", " b"});
    assert_fields("\"a,b\",c", 0, 2, (const char *[]){"a,b", "c"});
    assert_fields("\"a,b\",c", 1, 3, (const char *[]){"\"a", "b\"", "c"});
    assert_fields("\"say \"\"hi\"\"\",\"\",\" x \"", 0, 3,
                  (const char *[]){"say \"hi\"", "", " x "});
    assert_fields("5\" end,x", 0, 2, (const char *[]){"5\" end", "x"});
    assert_fields("\"open,x", 0, -1, NULL);
}

static void write_file(const char *path, const char *mode, const char *text, size_t n)
{
    gzFile file = gzopen(path, mode);

    assert_non_null(file);
    assert_int_equal(gzwrite(file, text, (unsigned)n), n);
    gzclose(file);
}

/* A line longer than the buffer, CRLF, a byte order mark, no LF at the end; plain and gzip. */
static void lines__read_twice(void **state)
{
    static const char *const mode[] = {"wbT", "wb6"};
    size_t n_long = 5000000, n = n_long + 64, length;
    char *all = calloc(n, 1), path[] = "/tmp/tessera_lines_XXXXXX", *line;
    struct tess_error error = TESS_ERROR_INIT;
    struct tess_lines lines;

    (void)state;
    close(mkstemp(path));
    n = (size_t)snprintf(all, 64, "\xef\xbb\xbf%s", "first\r\n\n");
    memset(all + n, 'x', n_long);
    snprintf(all + n + n_long, 16, "\nlast");
    n = strlen(all);
    for (int m = 0; m < 2; m++) {
        write_file(path, mode[m], all, n);
        assert_int_equal(tess_lines_open(&lines, path, NULL, &error), TESS_OK);
        for (int again = 0; again < 2; again++) {
            assert_int_equal(tess_lines_next(&lines, &line, &length, &error), 1);
            assert_string_equal(line, "first");
            assert_int_equal(tess_lines_next(&lines, &line, &length, &error), 1);
            assert_int_equal(length, 0);
            assert_int_equal(tess_lines_next(&lines, &line, &length, &error), 1);
            assert_int_equal(length, n_long);
            assert_int_equal(strspn(line, "x"), n_long);
            assert_int_equal(tess_lines_next(&lines, &line, &length, &error), 1);
            assert_string_equal(line, "last");
            assert_int_equal(lines.number, 4);
            assert_int_equal(tess_lines_next(&lines, &line, &length, &error), 0);
            assert_int_equal(tess_lines_rewind(&lines, &error), TESS_OK);
        }
        tess_lines_release(&lines);
        tess_lines_release(&lines);
    }
    unlink(path);
    free(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(number__equals_strtod_at_the_edges),
        cmocka_unit_test(number__equals_strtod_at_random),
        cmocka_unit_test(number__refuses_everything_else),
        cmocka_unit_test(number__tells_missing_from_wrong),
        cmocka_unit_test(fields__split),
        cmocka_unit_test(lines__read_twice),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
