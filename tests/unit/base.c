/* base.c -- tests of src/base. */
#include "tessera/alloc.h"
#include "tessera/commit.h"
#include "tessera/error.h"
#include "tessera/intern.h"
#include "tessera/platform.h"
#include "tessera/random.h"
#include "tessera/text.h"
#include "tessera/vocab.h"

#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static void error__first_one_wins(void **state)
{
    struct tess_error error = TESS_ERROR_INIT;

    (void)state;
    assert_int_equal(tess_error_set(&error, TESS_EDATA, "%s:%d", "a", 1), TESS_EDATA);
    assert_int_equal(tess_error_set(&error, TESS_EIO, "later"), TESS_EDATA);
    assert_string_equal(error.text, "a:1");
}

static void random__known_answer(void **state)
{
    uint32_t out[4];

    (void)state; /* Random123's kat_vectors: philox4x32 10, counter and key zero */
    tess_random_block((struct tess_random){{0, 0}}, 0, 0, out);
    assert_int_equal(out[0], 0x6627e8d5);
    assert_int_equal(out[1], 0xe169c58d);
    assert_int_equal(out[2], 0xbc57ac4c);
    assert_int_equal(out[3], 0x9b00dbd8);
}

static void random__permutes(void **state)
{
    struct tess_random stream = tess_random_stream(7, TESS_RANDOM_TEST, 1);
    int64_t order[100], seen[100] = {0}, moved = 0;

    (void)state;
    for (int i = 0; i < 100; i++)
        order[i] = i;
    tess_random_permute(stream, 100, order);
    for (int i = 0; i < 100; i++) {
        seen[order[i]]++;
        moved += order[i] != i;
    }
    for (int i = 0; i < 100; i++)
        assert_int_equal(seen[i], 1);
    assert_true(moved > 80);
}

static void random__normal_moments(void **state)
{
    struct tess_random stream = tess_random_stream(7, TESS_RANDOM_TEST, 2);
    double sum = 0, square = 0;
    int n = 100000;

    (void)state;
    for (int i = 0; i < n; i++) {
        double x = tess_random_normal(stream, (uint64_t)i);

        sum += x;
        square += x * x;
    }
    assert_true(sum / n < 0.02 && sum / n > -0.02);
    assert_true(square / n < 1.02 && square / n > 0.98);
}

static void text__nearest(void **state)
{
    static const char *const known[] = {"train.batch", "train.lanes", "run.seed"};
    struct tess_strings near = {0};

    (void)state;
    tess_text_nearest("train.batsh", 3, known, 1, &near);
    assert_int_equal(near.n, 1);
    assert_string_equal(near.item[0], "train.batch");
    tess_strings_release(&near);
}

/* The whole table of Levenshtein's recurrence. */
static int whole_distance(const char *a, const char *b)
{
    int n = (int)strlen(a), m = (int)strlen(b), table[40][40];

    for (int i = 0; i <= n; i++)
        for (int j = 0; j <= m; j++) {
            int best = i + j;

            if (i > 0 && j > 0) {
                best = table[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
                best = table[i - 1][j] + 1 < best ? table[i - 1][j] + 1 : best;
                best = table[i][j - 1] + 1 < best ? table[i][j - 1] + 1 : best;
            }
            table[i][j] = best;
        }
    return table[n][m];
}

static void text__nearest_of_many(void **state)
{
    char text[60][36];
    const char *candidate[59];
    unsigned seed = 1;

    (void)state;
    for (int turn = 0; turn < 200; turn++) {
        struct tess_strings near = {0};
        int last = 0, n_near = 0, limit;

        for (int i = 0; i < 60; i++) {
            int n = (int)((seed = seed * 1103515245 + 12345) >> 16) % (turn % 2 ? 35 : 9);

            for (int k = 0; k < n; k++)
                text[i][k] = (char)('a' + ((seed = seed * 1103515245 + 12345) >> 16) % 3);
            text[i][n] = '\0';
            if (i > 0)
                candidate[i - 1] = text[i];
        }
        limit = (int)(strlen(text[0]) + 1) / 2;
        limit = limit > 16 ? 16 : limit;
        for (int i = 0; i < 59; i++)
            n_near += whole_distance(text[0], candidate[i]) <= limit;
        tess_text_nearest(text[0], 59, candidate, 4, &near);
        assert_int_equal(near.n, n_near < 4 ? n_near : 4);
        for (size_t i = 0; i < near.n; i++) { /* the nearest, in their order */
            int d = whole_distance(text[0], near.item[i]), nearer = 0;

            for (int k = 0; k < 59; k++)
                nearer += whole_distance(text[0], candidate[k]) < d;
            assert_true(d >= last && nearer <= (int)i && d <= limit);
            last = d;
        }
        tess_strings_release(&near);
    }
}

static void error__escape(void **state)
{
    char text[24] = "a\x1b[2J\nb\x7f\xc2\x9b\xc3\xa9", small[8] = "\a\a\a";
    struct tess_error error = TESS_ERROR_INIT;

    (void)state;
    tess_escape(text, sizeof text);
    assert_string_equal(text, "a\\x1b[2J\\x0ab\\x7f\\x9b\xc3\xa9");
    tess_escape(small, sizeof small);
    assert_string_equal(small, "\\x07");
    tess_error_set(&error, TESS_EDATA, "%s: no such line", "a\nb");
    assert_string_equal(error.text, "a\\x0ab: no such line");
}

static void intern__numbers_in_order(void **state)
{
    struct tess_intern intern = {0};

    (void)state;
    for (int i = 0; i < 1000; i++) {
        char *text = tess_format("s%d", i % 500);

        assert_int_equal(tess_intern_add(&intern, text, strlen(text)), i % 500);
        tess_free(text);
    }
    assert_int_equal(intern.n, 500);
    assert_string_equal(intern.text[499], "s499");
    assert_int_equal(tess_intern_find(&intern, "s12x", 3), 12);
    assert_int_equal(tess_intern_find(&intern, "none", 4), -1);
    tess_intern_release(&intern);
}

static void vocab__sorted_and_found(void **state)
{
    static const char *const symbol[] = {"b", "abc", "a", "ab"};
    struct tess_vocab vocab;
    int64_t order[4];

    (void)state;
    tess_vocab_init(&vocab, 4, symbol, order);
    assert_string_equal(vocab.symbol[0], "a");
    assert_int_equal(order[0], 2);
    assert_int_equal(tess_vocab_find(&vocab, "abc"), 2);
    assert_int_equal(tess_vocab_find(&vocab, "ab"), 1);
    assert_int_equal(tess_vocab_find_n(&vocab, "abcd", 1), 0);
    assert_int_equal(tess_vocab_find(&vocab, "abcd"), -1);
    assert_int_equal(tess_vocab_find(&vocab, ""), -1);
    tess_vocab_release(&vocab);
}

static void vocab__refuses_with_nearest(void **state)
{
    static const char *const symbol[] = {"TP53", "MYC"};
    struct tess_error error = TESS_ERROR_INIT;
    struct tess_strings unknown = {0};
    struct tess_vocab vocab;

    (void)state;
    tess_vocab_init(&vocab, 2, symbol, NULL);
    tess_strings_add(&unknown, "TP35");
    assert_int_equal(tess_vocab_refuse(&vocab, &unknown, "perturbation", "the model", &error),
                     TESS_EDATA);
    assert_non_null(strstr(error.text, "TP35"));
    assert_non_null(strstr(error.text, "TP53"));
    tess_strings_release(&unknown);
    tess_vocab_release(&vocab);
}

static void put(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void assert_holds(const char *path, const char *text)
{
    char found[64] = "";
    FILE *file = fopen(path, "r");

    assert_non_null(file);
    assert_true(fread(found, 1, sizeof found - 1, file) == strlen(text));
    fclose(file);
    assert_string_equal(found, text);
}

/* Both began with the same name, free or not; the second to finish changes nothing. */
static void commit__second_writer_loses(void **state)
{
    char folder[] = "/tmp/tess_commit_XXXXXX", *path, *aside;
    struct tess_commit one, other;

    (void)state;
    assert_non_null(mkdtemp(folder));
    path = tess_format("%s/x", folder);
    for (int round = 0; round < 2; round++) {
        struct tess_error error = TESS_ERROR_INIT;

        assert_int_equal(tess_commit_open(&one, path, &error), TESS_OK);
        assert_int_equal(tess_commit_open(&other, path, &error), TESS_OK);
        assert_string_not_equal(one.aside, other.aside);
        put(one.aside, "one");
        put(other.aside, "oth");
        assert_int_equal(tess_commit_finish(&one, &error), TESS_OK);
        aside = tess_strdup(other.aside);
        assert_int_equal(tess_commit_finish(&other, &error), TESS_ECREATE);
        assert_holds(path, "one");
        assert_int_equal(access(aside, F_OK), -1);
        tess_free(aside);
    }
    unlink(path);
    rmdir(folder);
    tess_free(path);
}

/* A temporary file that somebody else put in the place of ours is neither renamed nor removed. */
static void commit__only_its_own(void **state)
{
    char folder[] = "/tmp/tess_commit_XXXXXX", *path, *aside;
    struct tess_error error = TESS_ERROR_INIT;
    struct tess_commit commit;

    (void)state;
    assert_non_null(mkdtemp(folder));
    path = tess_format("%s/x", folder);
    assert_int_equal(tess_commit_open(&commit, path, &error), TESS_OK);
    aside = tess_format("%s.other", commit.aside);
    put(aside, "other");
    assert_int_equal(rename(aside, commit.aside), 0);
    tess_free(aside);
    aside = tess_strdup(commit.aside);
    assert_int_equal(tess_commit_finish(&commit, &error), TESS_ECREATE);
    assert_holds(aside, "other");
    assert_int_equal(access(path, F_OK), -1);
    assert_true(tess_commit_is_aside(aside) == strlen(path));
    assert_true(tess_commit_is_aside("x.part") == 0);
    assert_true(tess_commit_is_aside("x.0123456.part") == 0);
    assert_true(tess_commit_is_aside("x.0123456g.part") == 0);
    unlink(aside);
    rmdir(folder);
    tess_free(aside);
    tess_free(path);
}

/* A choice of OpenBLAS that wastes the processor is bettered; one that is not known is left alone.
 */
static void platform__betters_old_kernels(void **state)
{
    (void)state;
    assert_string_equal(tess_platform_better_core("Prescott", 1, 1), "SkylakeX");
    assert_string_equal(tess_platform_better_core("Zen", 1, 1), "SkylakeX");
    assert_string_equal(tess_platform_better_core("SANDYBRIDGE", 1, 0), "Haswell");
    assert_null(tess_platform_better_core("Zen", 1, 0));
    assert_null(tess_platform_better_core("Cooperlake", 1, 1));
    assert_null(tess_platform_better_core("SapphireRapids", 1, 1));
    assert_null(tess_platform_better_core("DiamondRapids", 1, 1));
    assert_null(tess_platform_better_core("Prescott", 0, 0));
}

/* glibc by itself would take the second block from the heap, as one as large was freed before. */
static void alloc__large_blocks_go_back(void **state)
{
    struct mallinfo2 before;
    char *block;

    (void)state;
    if (mallinfo2().arena == 0)
        skip(); /* another allocator, as under the address sanitizer */
    tess_alloc_begin();
    tess_free(tess_alloc(24 << 20, 1));
    before = mallinfo2();
    block = tess_alloc(16 << 20, 1);
    assert_true(mallinfo2().hblkhd >= before.hblkhd + (16 << 20));
    tess_free(block);
    assert_true(mallinfo2().hblkhd == before.hblkhd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alloc__large_blocks_go_back),
        cmocka_unit_test(error__first_one_wins),
        cmocka_unit_test(random__known_answer),
        cmocka_unit_test(random__permutes),
        cmocka_unit_test(random__normal_moments),
        cmocka_unit_test(platform__betters_old_kernels),
        cmocka_unit_test(text__nearest),
        cmocka_unit_test(text__nearest_of_many),
        cmocka_unit_test(error__escape),
        cmocka_unit_test(intern__numbers_in_order),
        cmocka_unit_test(vocab__sorted_and_found),
        cmocka_unit_test(vocab__refuses_with_nearest),
        cmocka_unit_test(commit__second_writer_loses),
        cmocka_unit_test(commit__only_its_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
