/* select.c -- symbols by name, pattern, combination and file; what is refused. */
#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/select.h"
#include "tessera/text.h"
#include "tessera/vocab.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char *const symbols[] = {"A", "B", "B+C", "C", "D1", "D[1]", "untrained"};
static const uint8_t trained[] = {1, 1, 1, 1, 1, 1, 0};
#define N 7

/* The chosen sets as text, "0 1.2": members joined by dots; or the code of the error. */
static char *choose(int combinations, const char *list, struct tess_error *error)
{
    struct tess_vocab vocab;
    struct tess_strings given = {0}, text = {0};
    struct tess_sets sets = {0};
    struct tess_choice choice = {&vocab, trained, "perturbation", "the model", combinations,
                                 {0},    NULL};
    char *out;

    tess_vocab_init(&vocab, N, symbols, NULL);
    tess_strings_split(&given, list, ',');
    *error = (struct tess_error)TESS_ERROR_INIT;
    tess_select(&choice, &given, &sets, error);
    for (int64_t i = 0; i < sets.n && error->code == TESS_OK; i++) {
        struct tess_strings part = {0};
        char *joined;

        for (int64_t k = sets.first[i]; k < sets.first[i + 1]; k++) {
            char *number = tess_format("%d", (int)sets.member[k]);

            tess_strings_add(&part, number);
            tess_free(number);
        }
        joined = tess_strings_join(&part, ".", part.n);
        tess_strings_add(&text, joined);
        tess_free(joined);
        tess_strings_release(&part);
        assert_int_equal(
            tess_sets_find(&sets, sets.first[i + 1] - sets.first[i], sets.member + sets.first[i]),
            i);
    }
    assert_int_equal(tess_sets_find(&sets, 2, (int64_t[]){5, 9}), -1);
    out = error->code ? tess_format("code %d", error->code) : tess_strings_join(&text, " ", text.n);
    tess_strings_release(&given);
    tess_strings_release(&text);
    tess_sets_release(&sets);
    tess_sets_release(&sets);
    tess_vocab_release(&vocab);
    return out;
}

static void expect(int combinations, const char *list, const char *wanted)
{
    struct tess_error error;
    char *got = choose(combinations, list, &error);

    assert_string_equal(got, wanted);
    tess_free(got);
}

static void refuse(int combinations, const char *list, const char *a, const char *b)
{
    struct tess_error error;
    char *got = choose(combinations, list, &error);

    assert_string_equal(got, "code 65");
    assert_non_null(strstr(error.text, a));
    assert_non_null(strstr(error.text, b));
    tess_free(got);
}

static void select__names_and_patterns(void **state)
{
    (void)state;
    expect(0, "", "0 1 2 3 4 5"); /* everything that was trained */
    expect(0, "C,A,C", "0 3"); /* in order, once */
    expect(0, "D*", "4 5");
    expect(0, "D[1]", "5"); /* a symbol before a pattern */
    expect(0, "[AC],B", "0 1 3");
    expect(0, "*", "0 1 2 3 4 5");
}

static void select__combinations(void **state)
{
    (void)state;
    expect(1, "B+A,C", "0.1 3");
    expect(1, "A+B+C", "0.2"); /* longest known pieces first */
    expect(1, "B+C", "2"); /* a symbol with a plus */
    expect(1, "C+A,A", "0 0.3"); /* lexicographic */
    refuse(0, "A+C", "A+C", "does not know");
    refuse(1, "A+Q", "Q", "does not know");
    refuse(1, "A+untrained", "untrained", "by name only");
}

static void select__refusals(void **state)
{
    (void)state;
    refuse(0, "D2,Z", "D2, Z", "D1");
    refuse(0, "X*", "'X*'", "pattern");
    refuse(0, "unt*", "'unt*'", "pattern");
    refuse(0, "untrained", "untrained", "without any training data");
    refuse(0, "@/no/such/file", "/no/such/file", "cannot open");
}

static void select__files(void **state)
{
    char path[] = "/tmp/tess_select_XXXXXX", *list;
    int handle = mkstemp(path);
    FILE *file = fdopen(handle, "w");

    (void)state;
    assert_non_null(file);
    fputs("C\r\n\n  \nD[1]\nA+C", file);
    fclose(file);
    list = tess_format("@%s,A", path);
    expect(1, list, "0 0.3 3 5");
    expect(1, path, "0.3 3 5");
    refuse(0, path, "A+C", "does not know");
    tess_free(list);
    unlink(path);
    refuse(1, path, path, "does not know");
}

/* A byte order mark, blanks and CRLF do not count; what is no list is said. */
static void select__files_as_people_write_them(void **state)
{
    char path[] = "/tmp/tess_select_XXXXXX", *list;
    int handle = mkstemp(path);
    FILE *file = fdopen(handle, "w");

    (void)state;
    assert_non_null(file);
    fputs("\xef\xbb\xbf"
          "C\r\n\t D[1] \r\n  A + C\r\n",
          file);
    fclose(file);
    list = tess_format("@%s", path);
    expect(1, list, "0.3 3 5");
    expect(1, " A, C+ctrl", "0 3");
    expect(0, " A,C ", "0 3");
    file = fopen(path, "w");
    fwrite("\xff\xfe"
           "C\0\n\0",
           1, 6, file);
    fclose(file);
    refuse(1, list, path, "UTF-8");
    file = fopen(path, "w");
    fputs("\xef\xbb\xbf\n  \n", file);
    fclose(file);
    refuse(1, list, path, "holds no names");
    tess_free(list);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(select__names_and_patterns),
        cmocka_unit_test(select__combinations),
        cmocka_unit_test(select__refusals),
        cmocka_unit_test(select__files),
        cmocka_unit_test(select__files_as_people_write_them),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
