/* config.c -- tests of src/config: the table, its texts, and YAML that is wrong. */
#include "tessera/alloc.h"
#include "tessera/config.h"
#include "tessera/error.h"
#include "tessera/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

/* Everything that is understood, to be broken. */
static const char sample[] =
    "# settings\ndata: {store: \"a \\\"b\\\"\", normalize: delta}\nmodel.layers: 2\ntrain:\n"
    "  batch: &x 1000\n  sampling: 'observations' # drawn\n  learning_rate: >-\n    1e-3\n"
    "checkpoint:\n  ? minutes\n  : !!float 5\n";

static void expect_refused(const char *yaml, const char *sentence)
{
    struct tess_error error = TESS_ERROR_INIT;
    struct tess_config config;

    assert_int_equal(tess_config_parse(&config, yaml, "c.yaml", &error), TESS_ECONFIG);
    if (!strstr(error.text, sentence))
        fail_msg("'%s' gave '%s', not '%s'", yaml, error.text, sentence);
}

static void expect_read(struct tess_config *config, const char *yaml)
{
    struct tess_error error = TESS_ERROR_INIT;

    if (tess_config_parse(config, yaml, "c.yaml", &error) != TESS_OK)
        fail_msg("'%s' gave '%s'", yaml, error.text);
}

static void config__reads_both_forms(void **state)
{
    struct tess_config config;

    (void)state;
    expect_read(&config, "data: {store: \"a \\\"b\\\" \\\\c: d # e\", normalize: delta}\n"
                         "train.batch: 1000\n# remark\ntrain:\n  learning_rate: 1e-3\n"
                         "  sampling: observations\nmodel: {}\n");
    assert_string_equal(config.data.store, "a \"b\" \\c: d # e");
    assert_int_equal(config.data.normalize, TESS_NORMALIZE_DELTA);
    assert_int_equal(config.train.batch, 1000);
    assert_true(config.train.learning_rate == 1e-3);
    assert_int_equal(config.train.sampling, TESS_SAMPLING_OBSERVATIONS);
    assert_int_equal(config.train.epochs, 60); /* a default */
    expect_read(&config, "");
    expect_read(&config, "# nothing\n---\n");
    assert_int_equal(config.train.batch, 0); /* chosen from the data */
}

static void config__refuses_with_the_line(void **state)
{
    char path[TESS_PATH + 20] = "data.store: ";

    (void)state;
    expect_refused("train:\n  batsh: 5\n", "c.yaml:2: there is no setting 'train.batsh': did you "
                                           "mean 'train.batch'?");
    expect_refused("trian: {batch: 5}\n",
                   "c.yaml:1: there is no setting 'trian.batch': did you mean");
    expect_refused("x: 5\n", "c.yaml:1: there is no setting 'x'; docs/");
    expect_refused("train: 5\n",
                   "c.yaml:1: 'train' is a group, not a setting: it has train.epochs");
    expect_refused("train.batch: {a: 5}\n", "c.yaml:1: 'train.batch' takes one value, not a group");
    expect_refused("train.batch: {}\n", "c.yaml:1: 'train.batch' takes one value, not a group");
    expect_refused("\ntrain.batch: [1, 2]\n", "c.yaml:2: a list stands where");
    expect_refused(
        "train.batch: ten\n",
        "c.yaml:1: 'train.batch' is 'ten', but takes a whole number from 0 to 1000000000000");
    expect_refused("train.batch: -1\n", "is '-1', but");
    expect_refused("train.batch: 1.5\n", "is '1.5', but");
    expect_refused("train.batch:\n", "is '', but");
    expect_refused("train.batch: 99999999999999999999\n", "but takes");
    expect_refused("model.dropout: nan\n", "but takes a number from 0 to 0.99");
    expect_refused("model.dropout: inf\n", "but takes a number from 0 to 0.99");
    expect_refused("train.optimizer: adan\n", "is 'adan', but takes one of adam, adamw, sgd");
    expect_refused("train.batch: 5\ntrain: {batch: 6}\n",
                   "c.yaml:2: 'train.batch' is given twice, first on line 1");
    expect_refused("train: {batch: 6}\ntrain: {epochs: 6}\n", "c.yaml:2: 'train' is given twice");
    expect_refused("- 5\n", "c.yaml:1: a list stands where");
    expect_refused("sweep:\n  train.batch: [1, 2]\n", "c.yaml:2: the section 'sweep' is for");
    expect_refused("sweep: {train: {batch: {from: 1}}}\n", "c.yaml:1: the section 'sweep' is for");
    expect_refused("hello\n", "c.yaml:1: expected lines of the form 'key: value'");
    expect_refused("? [a]\n: 5\n", "c.yaml:1: a list stands");
    expect_refused("? {a: b}\n: 5\n", "c.yaml:1: a key must be a word");
    expect_refused("'': 5\n", "c.yaml:1: a key is empty");
    expect_refused("train.batch: &a 5\ntrain.epochs: *a\n", "c.yaml:2: aliases");
    expect_refused("train.batch: 5\n---\ntrain.epochs: 5\n", "c.yaml:2: a second document");
    expect_refused("train:\n\tbatch: 5\n", "c.yaml:2:1: not YAML");
    expect_refused("train: {batch: 5\n", "not YAML");
    expect_refused("data.store: \"a\\0b\"\n", "c.yaml:1: a text holds a NUL");
    expect_refused("data.store: \"a\\nb\"\n", "c.yaml:1: 'data.store' holds a control character");
    expect_refused("data.store: \xff\xfe\n", "c.yaml: byte 12");
    expect_refused("a: {a: {a: {a: {a: {a: {a: {a: {a: 5}}}}}}}}\n", "nested too deeply");
    memset(path + strlen(path), 'p', TESS_PATH);
    expect_refused(path, "c.yaml:1: 'data.store' has 1024 bytes, but at most 1023 fit");
}

static void config__reals_in_fewest_digits(void **state)
{
    static const char *const text[] = {"0.002", "0.1", "1e-05", "0.30000000000000004", "0", "100"};
    struct tess_error error = TESS_ERROR_INIT;
    struct tess_config config;

    (void)state;
    tess_config_init(&config);
    for (int i = 0; i < tess_n_params; i++)
        for (size_t k = 0; k < sizeof text / sizeof text[0]; k++)
            if (strcmp(tess_params[i].name, "train.learning_rate") == 0) {
                char *back;

                assert_int_equal(
                    tess_config_set(&config, tess_params[i].name, text[k], "here", &error),
                    TESS_OK);
                back = tess_config_get(&config, &tess_params[i]);
                assert_string_equal(back, text[k]);
                tess_free(back);
            }
}

/* A random value that the setting takes. */
static char *draw_value(const struct tess_param *param, struct tess_random stream, uint64_t at)
{
    static const char letters[] = "ab/._- \"'\\#:{}[]&*!|>%@`,?~\xc3\xa9";
    double u = tess_random_uniform(stream, at);

    if (param->type == TESS_PARAM_INT)
        return tess_format("%.0f", param->low + u * (param->high - param->low));
    if (param->type == TESS_PARAM_REAL)
        return tess_format("%.17g", param->low + u * (param->high - param->low));
    if (param->type == TESS_PARAM_CHOICE) {
        struct tess_strings choices = {0};
        char *one;

        tess_strings_split(&choices, param->choices, '|');
        one = tess_strdup(choices.item[(size_t)(u * (double)choices.n)]);
        tess_strings_release(&choices);
        return one;
    } else {
        char *text = TESS_NEW(char, 40);
        int n = 0;

        for (int i = 0; i < 30; i++) {
            double v = tess_random_uniform(stream, at * 100 + (uint64_t)i);
            char letter = letters[(size_t)(v * (double)(sizeof letters - 3))];

            text[n++] = letter;
        }
        text[n++] = '\xc3';
        text[n++] = '\xa9';
        return text;
    }
}

static void config__text_reads_back_the_same(void **state)
{
    struct tess_random stream = tess_random_stream(11, TESS_RANDOM_TEST, 3);
    struct tess_error error = TESS_ERROR_INIT;
    struct tess_config config, back;

    (void)state;
    tess_config_init(&config);
    for (uint64_t round = 0; round < 50; round++) {
        for (int i = 0; i < tess_n_params; i++) {
            char *value = draw_value(&tess_params[i], stream, round * 1000 + (uint64_t)i);

            assert_int_equal(tess_config_set(&config, tess_params[i].name, value, "here", &error),
                             TESS_OK);
            tess_free(value);
        }
        for (int explained = 0; explained < 2; explained++) {
            char *yaml = tess_config_yaml(&config, 0, explained);

            expect_read(&back, yaml);
            assert_memory_equal(&back, &config, sizeof back);
            free(yaml);
        }
    }
}

/* Whatever stands in a file, it is read or refused with one sentence; a value that was read is in
 * its range. */
static void config__survives_mutations(void **state)
{
    static const char *const piece[] = {
        "{",    "}",    "[",           "]",      ": ",           "\n",       "  ",   "\t", "*x",
        "&x ",  "|\n",  "---\n",       "...\n",  "? ",           "- ",       "\"",   "'",  "\\",
        "\xff", "<<: ", "%YAML 9.9\n", "!!map ", "\xef\xbb\xbf", "\xff\xfe", "train"};
    struct tess_random stream = tess_random_stream(5, TESS_RANDOM_TEST, 4);
    int64_t n_pieces = sizeof piece / sizeof piece[0], read = 0;
    uint64_t at = 0;

    (void)state;
    for (int round = 0; round < 20000; round++) {
        struct tess_error error = TESS_ERROR_INIT;
        struct tess_config config;
        char text[1024];

        snprintf(text, sizeof text, "%s", sample);
        for (int64_t k = tess_random_below(stream, at++, 4); k >= 0; k--) {
            int64_t length = (int64_t)strlen(text),
                    place = tess_random_below(stream, at++, length + 1);
            int64_t keep = tess_random_below(stream, at++, 2);
            int64_t cut = tess_random_below(stream, at++, 20);
            const char *new = piece[tess_random_below(stream, at++, n_pieces)];
            char *old = tess_strdup(text);

            snprintf(text, sizeof text, "%.*s%s%s", (int)place, old, keep ? "" : new,
                     old + (place + cut < length ? place + cut : length));
            tess_free(old);
        }
        if (tess_config_parse(&config, text, "c.yaml", &error) == TESS_OK) {
            char *yaml = tess_config_yaml(&config, 0, 0);

            expect_read(&config, yaml);
            free(yaml);
            read++;
        } else {
            assert_int_equal(error.code, TESS_ECONFIG);
            assert_memory_equal(error.text, "c.yaml:", 7);
            assert_null(strchr(error.text, '\n'));
        }
    }
    assert_true(read > 200 && read < 19000);
}

static void config__reads_file_and_set(void **state)
{
    char path[] = "/tmp/tess_config_XXXXXX";
    int handle = mkstemp(path);
    struct tess_error error = TESS_ERROR_INIT;
    struct tess_strings set = {0};
    struct tess_config config;

    (void)state;
    assert_true(handle >= 0);
    assert_int_equal(write(handle, "train.batch: 7\n", 15), 15);
    close(handle);
    tess_strings_add(&set, "train.batch=8");
    tess_strings_add(&set, "run.directory=a=b");
    assert_int_equal(tess_config_read(&config, path, &set, MPI_COMM_WORLD, &error), TESS_OK);
    assert_int_equal(config.train.batch, 8);
    assert_string_equal(config.run.directory, "a=b");
    tess_strings_add(&set, "train.lanes");
    assert_int_equal(tess_config_read(&config, path, &set, MPI_COMM_WORLD, &error), TESS_ECONFIG);
    assert_string_equal(error.text, "--set: 'train.lanes' is not of the form key=value");
    unlink(path);
    error = (struct tess_error)TESS_ERROR_INIT;
    assert_int_equal(tess_config_read(&config, path, NULL, MPI_COMM_WORLD, &error), TESS_ECONFIG);
    assert_non_null(strstr(error.text, "cannot be read: No such file"));
    error = (struct tess_error)TESS_ERROR_INIT;
    assert_int_equal(tess_config_read(&config, "/", NULL, MPI_COMM_WORLD, &error), TESS_ECONFIG);
    assert_non_null(strstr(error.text, "cannot be read: Is a directory"));
    tess_strings_release(&set);
}

static void config__numeric_leaves_layout_out(void **state)
{
    struct tess_config config;
    char *yaml;

    (void)state;
    tess_config_init(&config);
    yaml = tess_config_yaml(&config, 1, 0);
    assert_null(strstr(yaml, "store"));
    assert_null(strstr(yaml, "threads"));
    assert_null(strstr(yaml, "checkpoint"));
    assert_non_null(strstr(yaml, "train:\n  epochs: 60\n"));
    free(yaml);
}

/* A generated file of the source tree holds `text`; TESS_UPDATE=1 in the environment writes it. */
static void expect_file(const char *name, const char *text)
{
    char *path = tess_format("%s/%s", TESS_SOURCE_ROOT, name), *found = TESS_NEW(char, 1 << 20);
    FILE *file = fopen(path, getenv("TESS_UPDATE") ? "w+" : "r");

    assert_non_null(file);
    if (getenv("TESS_UPDATE")) {
        assert_true(fputs(text, file) >= 0);
        rewind(file);
    }
    assert_true(fread(found, 1, (1 << 20) - 1, file) > 0);
    fclose(file);
    if (strcmp(found, text) != 0)
        fail_msg("%s differs from src/config/params.c: run tools/update_reference.sh", name);
    tess_free(found);
    tess_free(path);
}

static void config__reference_is_the_table(void **state)
{
    struct tess_config config;
    char *yaml, *markdown = tess_config_markdown();

    (void)state;
    tess_config_init(&config);
    yaml = tess_config_yaml(&config, 0, 1);
    expect_file("config/reference.yaml", yaml);
    expect_file("docs/configuration.md", markdown);
    free(yaml);
    free(markdown);
}

static void config__shipped_files_are_read(void **state)
{
    static const char *const name[] = {"quickstart", "best", "lincs", "replogle", "reference"};

    (void)state;
    for (size_t i = 0; i < sizeof name / sizeof name[0]; i++) {
        char *path = tess_format("%s/config/%s.yaml", TESS_SOURCE_ROOT, name[i]);
        struct tess_error error = TESS_ERROR_INIT;
        struct tess_config config;

        if (tess_config_read(&config, path, NULL, MPI_COMM_WORLD, &error) != TESS_OK)
            fail_msg("%s", error.text);
        tess_free(path);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(config__reads_both_forms),
        cmocka_unit_test(config__refuses_with_the_line),
        cmocka_unit_test(config__reals_in_fewest_digits),
        cmocka_unit_test(config__text_reads_back_the_same),
        cmocka_unit_test(config__survives_mutations),
        cmocka_unit_test(config__reads_file_and_set),
        cmocka_unit_test(config__numeric_leaves_layout_out),
        cmocka_unit_test(config__reference_is_the_table),
        cmocka_unit_test(config__shipped_files_are_read),
    };
    int failed;

    MPI_Init(&argc, &argv);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    MPI_Finalize();
    return failed;
}
