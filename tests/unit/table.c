/* table.c -- tests of what text files share: src/source/lines.c, table.c, cells.c, spool.c,
 * source_foreign.c, and of the matrices that are read by columns. */
#include "tessera/alloc.h"
#include "tessera/cells.h"
#include "tessera/error.h"
#include "tessera/lines.h"
#include "tessera/random.h"
#include "tessera/source_open.h"
#include "tessera/spool.h"
#include "tessera/table.h"

#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

static char path[] = "/tmp/tessera_table_XXXXXX";

static int make_file(void **state)
{
    int file = mkstemp(path);

    (void)state;
    return file < 0 || close(file) < 0;
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(path);
}

static void put(const char *text, size_t n)
{
    FILE *file = fopen(path, "wb");

    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, n, file), n);
    fclose(file);
}

static void assert_holds(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("`%s` does not hold `%s`", text, part);
}

/* ---- lines ---- */

static void assert_lines(const char *text, int64_t n, const char *const *line)
{
    struct tess_error error = TESS_ERROR_INIT;
    struct tess_lines lines;
    char *got;
    size_t length;

    put(text, strlen(text));
    assert_int_equal(tess_lines_open(&lines, "called so", path, &error), TESS_OK);
    for (int again = 0; again < 2; again++) {
        for (int64_t i = 0; i < n; i++) {
            assert_int_equal(tess_lines_next(&lines, &got, &length, &error), 1);
            assert_string_equal(got, line[i]);
            assert_int_equal(length, strlen(line[i]));
        }
        assert_int_equal(tess_lines_next(&lines, &got, &length, &error), 0);
        assert_int_equal(tess_lines_rewind(&lines, &error), TESS_OK);
    }
    tess_lines_release(&lines);
}

static void lines__are_utf8(void **state)
{
    (void)state;
    /* µM, é in Latin-1; a dash and a euro sign in Windows-1252; UTF-8 beside it stays */
    assert_lines(
        "IC50_\xb5M,\xe9,caf\xc3\xa9\nplain\n\x96\x80\t\xce\xb2;\xff\"\xe2\x82\"", 3,
        (const char *[]){"IC50_\xc2\xb5M,\xc3\xa9,caf\xc3\xa9", "plain",
                         "\xe2\x80\x93\xe2\x82\xac\t\xce\xb2;\xc3\xbf\"\xc3\xa2\xe2\x80\x9a\""});
    assert_lines("\xef\xbb\xbf\xb5\n", 1, (const char *[]){"\xc2\xb5"});
}

static void lines__end_with_cr(void **state)
{
    (void)state;
    assert_lines("a,b\r\r1,2\r3,4", 4, (const char *[]){"a,b", "", "1,2", "3,4"});
    assert_lines("a,b\r1,2\r", 2, (const char *[]){"a,b", "1,2"});
    assert_lines("a,b\r", 1, (const char *[]){"a,b"}); /* may be half of a CRLF */
    assert_lines("a\rb\nc\n", 2, (const char *[]){"a\rb", "c"});
    assert_true(tess_lines_end_with_cr("a\rb", 3));
    assert_false(tess_lines_end_with_cr("a\r", 2) || tess_lines_end_with_cr("", 0) ||
                 tess_lines_end_with_cr("a\r\nb", 4) || tess_lines_end_with_cr("ab", 2));
}

/* ---- tables ---- */

/* Reads a wide table to its end. */
static int64_t read_table(const char *text, const struct tess_source_options *options,
                          struct tess_problems *problems, struct tess_error *error)
{
    struct tess_table table;
    int64_t n = 0;

    put(text, strlen(text));
    *error = (struct tess_error)TESS_ERROR_INIT;
    if (tess_table_open(&table, "t.csv", path, options, error) == TESS_OK)
        while (tess_table_next(&table, problems, error) == 1)
            n++;
    tess_table_release(&table);
    return n;
}

static void table__says_why_no_line_fits(void **state)
{
    static const char *const cases[][2] = {
        {"perturbation\tcontext\tg\n1\tp\tx\t0\n2\tq\tx\t0\n",
         "t.csv: line 2 has 4 fields, the header 3 (R writes row names without a header"},
        {"perturbation,context,g\np,x,1,\nq,x,1,\n",
         "line 2 has 4 fields, the header 3 (the line ends with a separator"},
        {"perturbation,context,g,\n\np,x,1\nq,x,2\n",
         "line 3 has 3 fields, the header 4 (the header ends with a separator"},
        {"# c\nperturbation,context,g\np\n", "line 3 has 1 field, the header 3"},
        {"perturbation,context,g\n\"p,x,1\n", "line 2: a quote that opens a field"}};
    struct tess_source_options options = {0};
    struct tess_error error;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct tess_problems problems = {0};

        assert_int_equal(read_table(cases[i][0], &options, &problems, &error), 0);
        assert_int_equal(error.code, TESS_EDATA);
        assert_holds(error.text, cases[i][1]);
        assert_int_equal(problems.n, 0);
        tess_problems_release(&problems);
    }
}

static void table__lists_lines_that_do_not_fit(void **state)
{
    struct tess_source_options options = {0};
    struct tess_problems problems = {0};
    struct tess_error error;

    (void)state;
    assert_int_equal(read_table("perturbation,context,g\np,x,1,2\nq\nr\np,x,1\ns,x\n", &options,
                                &problems, &error),
                     1);
    assert_int_equal(error.code, TESS_OK);
    assert_int_equal(problems.n, 3);
    assert_holds(problems.text.item[0], "t.csv: line 2 has 4 fields");
    assert_holds(problems.text.item[1], "2 more lines before line 5");
    assert_holds(problems.text.item[2], "t.csv:6: 2 fields, but the header has 3");
    tess_problems_release(&problems);
}

static void assert_names(const char *head, int separator, const char *joined)
{
    struct tess_strings name = {0};
    char *all;

    assert_int_equal(tess_table_recognize(head, strlen(head), &name), separator);
    all = tess_strings_join(&name, "|", 100);
    assert_string_equal(all, joined);
    tess_free(all);
    tess_strings_release(&name);
}

static void table__calls_a_nameless_first_column_index(void **state)
{
    (void)state;
    assert_names(",a,b\n", ',', "index|a|b");
    assert_names("\"\",\"a\"\n", ',', "index|a");
    assert_names(",index,b\n", ',', "|index|b");
    assert_names("a,,b\n", ',', "a||b");
}

/* The columns of values that the options leave, as "1 2 5". */
static void assert_values(const char *header, const struct tess_source_options *options,
                          const char *wanted)
{
    struct tess_error error = TESS_ERROR_INIT;
    struct tess_table table;
    int64_t column[16], n;
    char text[64] = "";

    put(header, strlen(header));
    assert_int_equal(tess_table_open(&table, "t.csv", path, options, &error), TESS_OK);
    n = tess_table_values(&table, options, column, &error);
    for (int64_t i = 0; i < n; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%lld", i ? " " : "",
                 (long long)column[i]);
    assert_string_equal(n < 0 ? strstr(error.text, "no column") : text, wanted);
    tess_table_release(&table);
}

static void table__chooses_values(void **state)
{
    struct tess_source_options options = {0};
    const char *header = ",perturbation,context,g1,g2,note\n";

    (void)state;
    assert_values(header, &options, "3 4 5");
    tess_strings_add(&options.values, "g?");
    assert_values(header, &options, "3 4");
    tess_strings_add(&options.values, "note");
    assert_values(header, &options, "3 4 5");
    tess_strings_add(&options.values, "context"); /* stays a label */
    assert_values(header, &options, "3 4 5");
    tess_strings_add(&options.values, "h*");
    assert_values(
        header, &options,
        "no column `h*` (--values names it); there are: index, perturbation, context, g1, "
        "g2, note");
    tess_strings_release(&options.values);
}

/* ---- cells ---- */

static struct tess_problems read_cells(const char *const *text, int64_t n,
                                       const struct tess_source_options *options)
{
    struct tess_problems problems = {0};
    struct tess_cells cells;

    tess_cells_init(&cells, 2, "t.csv", options, "name it in --id-columns");
    for (int64_t i = 0; i < n; i++) {
        struct tess_field field = {(char *)(uintptr_t)text[i], strlen(text[i])};

        tess_cells_read(&cells, 1, &field, i + 2, "BATCH", &problems);
        tess_cells_read(&cells, 1, &field, i + 2, "BATCH", NULL); /* again: nothing */
    }
    tess_cells_report(&cells, 1, 7, "BATCH", &problems);
    tess_cells_report(&cells, 0, 6, "none", &problems);
    tess_cells_release(&cells);
    return problems;
}

static void cells__of_text_are_one_problem(void **state)
{
    const char *text[30] = {"b1", "", "b2"};
    struct tess_source_options options = {0};
    struct tess_problems problems;

    (void)state;
    problems = read_cells(text, 3, &options);
    assert_int_equal(problems.n, 1);
    assert_string_equal(problems.text.item[0], "t.csv: column 7, `BATCH`, holds text in 2 rows: "
                                               "name it in --id-columns (line 2: `b1`)");
    tess_problems_release(&problems);
    problems = read_cells((const char *[]){"1,5", "2,5"}, 2, &options);
    assert_int_equal(problems.n, 1);
    assert_holds(problems.text.item[0], "decimal commas in 2 rows: write decimal points");
    tess_problems_release(&problems);
    problems = read_cells((const char *[]){"1", "x", "inf", "2,5"}, 4, &options);
    assert_int_equal(problems.n, 3);
    assert_holds(problems.text.item[0], "t.csv:4:BATCH: `inf` is infinite");
    assert_holds(problems.text.item[1], "t.csv:3:BATCH: `x` is not a number");
    assert_holds(problems.text.item[2], "t.csv:5:BATCH: `2,5` is not a number (write a decimal");
    tess_problems_release(&problems);
    for (int i = 0; i < 30; i++)
        text[i] = i ? "ND" : "1";
    problems = read_cells(text, 30, &options);
    assert_int_equal(problems.n, 1);
    assert_holds(problems.text.item[0], "holds text in 29 rows: others hold numbers; --missing");
    tess_problems_release(&problems);
}

static void cells__take_words_as_missing(void **state)
{
    struct tess_source_options options = {.infinite_missing = 1};
    struct tess_problems problems;

    (void)state;
    tess_strings_split(&options.missing, "ND,.,-,-666", ',');
    problems =
        read_cells((const char *[]){"ND", " . ", "-", "-666", "inf", "1e99", "NA"}, 7, &options);
    assert_int_equal(problems.n, 0);
    tess_problems_release(&problems);
    problems = read_cells((const char *[]){"nd", "1"}, 2, &options);
    assert_int_equal(problems.n, 1);
    tess_problems_release(&problems);
    tess_strings_release(&options.missing);
}

/* ---- other programs' files ---- */

static void foreign__is_named(void **state)
{
    static const struct {
        const char *head;
        size_t n;
        const char *is;
    } cases[] = {
        {"version https://git-lfs.github.com/spec/v1\n", 43, "Git LFS pointer"},
        {"\n <!DOCTYPE HTML><html>", 23, "a web page"},
        {"\xef\xbb\xbf<html>", 9, "a web page"},
        {"<?xml version=\"1.0\"?><Error>", 28, "is XML"},
        {"PK\3\4", 4, "Excel workbook"},
        {"BZh91AY&SY", 10, "bunzip2"},
        {"PAR1", 4, "Parquet"},
        {"\xff\xfe"
         "a\0,\0",
         6, "UTF-16"},
        {"\xfe\xff\0a\0,", 6, "UTF-16"},
        {"a\0,\0b\0\n\0", 8, "UTF-16LE"},
        {"\0a\0,\0b\0\n", 8, "UTF-16BE"},
        {"\xff\xfe\0\0a\0\0\0", 8, "UTF-32"},
        {"a,b\n1,2\n", 8, NULL},
        {"<a>,b\n", 6, NULL},
        {"", 0, NULL},
        {"v", 1, NULL},
        {"\x89HDF\r\n\x1a\n", 8, NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *exact = malloc(cases[i].n + !cases[i].n); /* so that reading beyond it is seen */
        const char *is;

        memcpy(exact, cases[i].head, cases[i].n);
        is = tess_source_foreign(exact, cases[i].n, 0);
        if (!cases[i].is)
            assert_null(is);
        else {
            assert_non_null(is);
            assert_holds(is, cases[i].is);
        }
        free(exact);
    }
    assert_holds(tess_source_foreign("\x89HDF\r\n\x1a\n", 8, 1), "gunzip");
}

/* ---- pipes ---- */

static void spool__copies_a_fifo_once(void **state)
{
    char fifo[] = "/tmp/tessera_fifo_XXXXXX", text[64];
    struct tess_error error = TESS_ERROR_INIT;
    struct tess_spools spools = {0};
    const char *place, *name;
    pid_t child;

    (void)state;
    close(mkstemp(fifo));
    unlink(fifo);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_null(tess_spool_place(NULL, fifo, &error));
    assert_holds(error.text, "is a pipe");
    error = (struct tess_error)TESS_ERROR_INIT;
    child = fork();
    if (child == 0) {
        int file = open(fifo, O_WRONLY);

        _exit(write(file, "a,b\n1,2\n", 8) != 8);
    }
    place = tess_spool_place(&spools, fifo, &error);
    assert_non_null(place);
    waitpid(child, NULL, 0);
    assert_ptr_equal(tess_spool_place(&spools, fifo, &error), place); /* does not wait again */
    for (int again = 0; again < 2; again++) {
        FILE *file = fopen(place, "r");

        assert_non_null(file);
        assert_int_equal(fread(text, 1, sizeof text, file), 8);
        fclose(file);
    }
    name = tess_spool_link(&spools, fifo, &error);
    if (name) { /* not every file system can give a name back */
        assert_int_equal(access(name, R_OK), 0);
        tess_spool_unlink(&spools, fifo);
        assert_int_equal(access(name, R_OK), -1);
    }
    tess_spools_release(&spools);
    setenv("TMPDIR", "/nonexistent", 1);
    assert_null(tess_spool_place(&spools, fifo, &error));
    assert_holds(error.text, "its copy /nonexistent/tessera_");
    assert_holds(error.text, "TMPDIR chooses a folder");
    unsetenv("TMPDIR");
    tess_spools_release(&spools);
    unlink(fifo);
    error = (struct tess_error)TESS_ERROR_INIT;
    assert_ptr_equal(tess_spool_place(&spools, path, &error), path);
    assert_null(tess_spool_place(&spools, "/dev/null", &error));
    assert_int_equal(spools.n, 0);
}

/* ---- matrices ---- */

static float value_at(const struct tess_block *block, int64_t row, int32_t readout)
{
    for (int64_t k = block->indptr[row]; k < block->indptr[row + 1]; k++)
        if (block->index[k] == readout)
            return block->data[k];
    return NAN;
}

/* Labels, readouts and values of every row, read by blocks of 1 to 7, as "label@context:readout=x".
 */
static void assert_matrix(const char *text, const struct tess_source_options *options,
                          const char *context, int64_t n, const char *const *wanted)
{
    struct tess_error error = TESS_ERROR_INIT;
    struct tess_problems problems = {0};
    struct tess_column column, other;
    struct tess_block block = {0};
    struct tess_source source;

    put(text, strlen(text));
    if (tess_source_open(&source, path, options, &problems, &error))
        fail_msg("%s", error.text);
    assert_int_equal(source.n_rows, n);
    tess_source_read_column(&source, TESS_COLUMN_NAMES, &column, &error);
    tess_source_read_column(&source, context, &other, &error);
    for (int64_t step = 1; step < 8; step++)
        for (int64_t row = 0; row < n; row++) {
            int64_t first = row / step * step, end = first + step < n ? first + step : n;
            char got[256];

            tess_source_read_rows(&source, first, end - first, &block, &problems, &error);
            snprintf(got, sizeof got, "%s@%s", column.level[column.code[row]],
                     other.level[other.code[row]]);
            for (int32_t r = 0; r < source.n_readouts; r++)
                if (!isnan(value_at(&block, row - first, r)))
                    snprintf(got + strlen(got), sizeof got - strlen(got), " %s=%g",
                             source.readout.item[r], (double)value_at(&block, row - first, r));
            assert_string_equal(got, wanted[row]);
        }
    assert_int_equal(error.code + problems.n, 0);
    tess_column_release(&column);
    tess_column_release(&other);
    tess_block_release(&block);
    tess_source_release(&source);
}

static void matrix__has_a_row_for_each_cell(void **state)
{
    struct tess_source_options options = {.columns = TESS_COLUMNS_PERTURBATION};

    (void)state;
    tess_strings_add(&options.context, "index");
    /* the second line of X is another replicate */
    assert_matrix(",A,B+C,A\nX,1,2,3\nY,4,,6\nX,7,8,NA\n", &options, "index", 9,
                  (const char *[]){"A@X value=1", "B+C@X value=2", "A@X value=3", "A@Y value=4",
                                   "B+C@Y", "A@Y value=6", "A@X value=7", "B+C@X value=8", "A@X"});
    options.readout = "viability";
    assert_matrix(",A\nX,1\n", &options, "index", 1, (const char *[]){"A@X viability=1"});
    tess_strings_release(&options.context);
}

static void matrix__has_readouts_in_lines(void **state)
{
    struct tess_source_options options = {.columns = TESS_COLUMNS_PERTURBATION, .readout = "index"};

    (void)state;
    tess_strings_add(&options.context, "cell");
    tess_strings_add(&options.id_columns, "symbol"); /* does not part the lines */
    /* contexts alternate, genes stand in another order, g of Y is repeated */
    assert_matrix(",symbol,cell,A,B\n"
                  "g,s1,X,1,2\nh,s2,Y,3,4\nh,s3,X,5,6\ng,s4,Y,7,8\ng,s5,Y,9,10\ni,s6,X,NA,11\n",
                  &options, "cell", 6,
                  (const char *[]){"A@X g=1 h=5", "B@X g=2 h=6 i=11", "A@Y g=7 h=3", "B@Y g=8 h=4",
                                   "A@Y g=9", "B@Y g=10"});
    tess_strings_release(&options.context);
    tess_strings_release(&options.id_columns);
}

/* Random damage is read or refused, whatever the options are. */
static void source__survives_damage(void **state)
{
    static const char seed[] = ",perturbation,context,readout,value,g\n1,A,x,r,1,0.5\n2,\"B, "
                               "c\",y,s,ND,2\n3,\xb5,x,r,inf,-1\n4,A,x,r,3,1e-3\n";
    struct tess_random stream = tess_random_stream(7, TESS_RANDOM_TEST, 2);
    char text[1024];
    uint32_t word[4];

    (void)state;
    for (uint64_t i = 0; i < 600; i++) {
        struct tess_source_options options = {.columns = (int)(i % 3),
                                              .metadata = i % 5 ? NULL : path};
        struct tess_error error = TESS_ERROR_INIT;
        struct tess_problems problems = {.limit = 3};
        struct tess_block block = {0};
        struct tess_source source;
        size_t n = sizeof seed - 1;

        if (i % 7 == 0)
            options.readout = "g";
        if (i % 11 == 0)
            tess_strings_add(&options.values, "[a-z]*");
        memcpy(text, seed, n);
        for (uint64_t k = 0; k < 1 + i % 5; k++) {
            tess_random_block(stream, i, k, word);
            text[word[0] % n] = word[1] % 3 ? "\n\r,\t\"; \xff\x80#0"[word[2] % 11] : (char)word[3];
        }
        put(text, i % 4 ? n : word[3] % n);
        if (tess_source_open(&source, path, &options, &problems, &error) == TESS_OK) {
            for (int64_t row = source.n_rows - 1; row >= 0 && error.code == TESS_OK; row--)
                tess_source_read_rows(&source, row, 1, &block, &problems, &error);
            tess_source_release(&source);
        }
        assert_true(error.code == TESS_OK || error.code == TESS_EDATA);
        tess_block_release(&block);
        tess_problems_release(&problems);
        tess_strings_release(&options.values);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines__are_utf8),
        cmocka_unit_test(lines__end_with_cr),
        cmocka_unit_test(table__says_why_no_line_fits),
        cmocka_unit_test(table__lists_lines_that_do_not_fit),
        cmocka_unit_test(table__calls_a_nameless_first_column_index),
        cmocka_unit_test(table__chooses_values),
        cmocka_unit_test(cells__of_text_are_one_problem),
        cmocka_unit_test(cells__take_words_as_missing),
        cmocka_unit_test(foreign__is_named),
        cmocka_unit_test(spool__copies_a_fifo_once),
        cmocka_unit_test(matrix__has_a_row_for_each_cell),
        cmocka_unit_test(matrix__has_readouts_in_lines),
        cmocka_unit_test(source__survives_damage),
    };

    return cmocka_run_group_tests(tests, make_file, remove_file);
}
