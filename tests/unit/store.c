/* store.c -- tests of the store: round trip, split, combinations, damage. */
#include "../sample.h"

#include "tessera/alloc.h"
#include "tessera/combination.h"
#include "tessera/commit.h"
#include "tessera/error.h"
#include "tessera/h5_guard.h"
#include "tessera/text.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

static char path[64];

static void write_sample(void)
{
    struct tess_error error = TESS_ERROR_INIT;
    struct tess_store store;
    struct tess_index index;
    float value[16];

    sample_index(&index);
    assert_int_equal(tess_store_create(&store, path, MPI_COMM_SELF, &index, &error), TESS_OK);
    for (int64_t i = 0; i < 14; i++)
        value[i] = sample_value(0, i);
    assert_int_equal(tess_store_write_values(&store, 2, 4, value + 2, &error), TESS_OK);
    assert_int_equal(tess_store_write_values(&store, 0, 2, value, &error), TESS_OK);
    for (int64_t i = 0; i < 15; i++)
        value[i] = sample_value(1, i);
    assert_int_equal(tess_store_write_folds(&store, 0, 7, value, &error), TESS_OK);
    assert_int_equal(tess_store_finish(&store, &error), TESS_OK);
}

static void store__round_trip(void **state)
{
    struct tess_error error = TESS_ERROR_INIT;
    struct tess_store store;
    float value[16];
    int64_t observed = 0;
    char *name;

    (void)state;
    write_sample();
    assert_int_equal(tess_store_open(&store, path, MPI_COMM_SELF, &error), TESS_OK);
    assert_int_equal(store.index.n_experiments, 6);
    assert_int_equal(store.index.control, 2);
    assert_true(store.index.hash != 0);
    assert_int_equal(store.index.split[3], TESS_TEST);
    for (int i = 0; i < 6; i++)
        observed += store.index.n_observed[i];
    assert_int_equal(observed, 14 - 3);
    name = tess_index_combination_name(&store.index, 1);
    assert_string_equal(name, "A+B");
    tess_free(name);
    assert_int_equal(tess_index_is_control(&store.index, 3), 1);
    assert_int_equal(tess_index_is_control(&store.index, 1), 0);
    assert_int_equal(tess_store_read_values(&store, 1, 3, value, &error), TESS_OK);
    for (int64_t i = 0; i < 7; i++)
        assert_true(isnan(value[i]) ? (i + 1) % 5 == 3 : value[i] == sample_value(0, i + 1));
    assert_int_equal(tess_store_read_folds(&store, 3, 4, value, &error), TESS_OK);
    assert_true(value[0] == sample_value(1, 3) || isnan(value[0]));
    assert_int_equal(tess_store_verify(&store, &error), TESS_OK);
    tess_store_release(&store);
    tess_store_release(&store);
}

static void store__split_in_place(void **state)
{
    int8_t split[6] = {TESS_TRAIN, TESS_TRAIN, TESS_VAL, TESS_TEST, TESS_UNUSED, TESS_TRAIN};
    struct tess_error error = TESS_ERROR_INIT;
    struct tess_store store;
    uint64_t hash, split_hash;

    (void)state;
    write_sample();
    assert_int_equal(tess_store_open(&store, path, MPI_COMM_SELF, &error), TESS_OK);
    hash = store.index.hash;
    split_hash = store.index.split_hash;
    tess_store_release(&store);
    assert_int_equal(tess_store_write_split(path, MPI_COMM_SELF, split, 5, "short", &error),
                     TESS_EDATA);
    error = (struct tess_error)TESS_ERROR_INIT;
    assert_int_equal(tess_store_write_split(path, MPI_COMM_SELF, split, 6, "by hand", &error),
                     TESS_OK);
    assert_int_equal(tess_store_open(&store, path, MPI_COMM_SELF, &error), TESS_OK);
    assert_memory_equal(store.index.split, split, 6);
    assert_string_equal(store.split_method, "by hand");
    assert_true(store.index.hash == hash && store.index.split_hash != split_hash);
    tess_store_release(&store);
}

/* As a kill in the middle leaves it: found; only splitting again can open it. */
static void store__split_cut_short(void **state)
{
    int8_t split[6] = {TESS_TRAIN, TESS_VAL, TESS_VAL, TESS_TEST, TESS_UNUSED, TESS_TRAIN};
    struct tess_error error = TESS_ERROR_INIT;
    struct tess_h5 h5 = TESS_H5_INIT;
    struct tess_store store;

    (void)state;
    write_sample();
    assert_int_equal(tess_h5_open(&h5, path, MPI_COMM_NULL, 1, &error), TESS_OK);
    assert_int_equal(tess_h5_write_rows(&h5, "/experiment/split", H5T_NATIVE_INT8,
                                        (struct tess_h5_range){0, 2}, split, &error),
                     TESS_OK);
    assert_int_equal(tess_h5_close(&h5, &error), TESS_OK);
    assert_int_equal(tess_store_open(&store, path, MPI_COMM_SELF, &error), TESS_EDATA);
    assert_non_null(strstr(error.text, "split it again"));
    error = (struct tess_error)TESS_ERROR_INIT;
    assert_int_equal(tess_store_open_to_split(&store, path, MPI_COMM_SELF, &error), TESS_OK);
    tess_store_release(&store);
    assert_int_equal(tess_store_write_split(path, MPI_COMM_SELF, split, 6, "", &error), TESS_OK);
    assert_int_equal(tess_store_open(&store, path, MPI_COMM_SELF, &error), TESS_OK);
    tess_store_release(&store);
}

static void store__unfinished_leaves_nothing(void **state)
{
    struct tess_error error = TESS_ERROR_INIT;
    struct tess_store store;
    struct tess_index index;
    char *aside;

    (void)state;
    unlink(path);
    sample_index(&index);
    assert_int_equal(tess_store_create(&store, path, MPI_COMM_SELF, &index, &error), TESS_OK);
    aside = tess_strdup(store.commit.aside);
    assert_int_equal(access(aside, F_OK), 0);
    tess_store_release(&store);
    assert_int_equal(access(aside, F_OK), -1);
    assert_int_equal(access(path, F_OK), -1);
    tess_free(aside);
    sample_index(&index);
    assert_int_equal(tess_store_create(&store, "/no/such/place.h5", MPI_COMM_SELF, &index, &error),
                     TESS_ECREATE);
}

/* How a process of its own ends that has an unfinished file and meets a bug, or a fault in HDF5. */
static void abandon(int code)
{
    tess_commit_abandon();
    _exit(code);
}
static int end_with(int fault, const char *name)
{
    pid_t child = fork();
    int status;

    if (child == 0) {
        struct tess_error error = TESS_ERROR_INIT;
        struct tess_commit commit;

        tess_bug_hook = abandon;
        if (tess_commit_open(&commit, name, &error) != TESS_OK || access(commit.aside, F_OK) < 0)
            _exit(1);
        TESS_BUG_IF(!fault);
        setenv("TESS_HDF5_SECONDS", "1", 1);
        tess_h5_guard_start("input.h5");
        for (volatile int circles = 1; fault == SIGPROF && circles;)
            circles |= 2;
        raise(fault);
        _exit(2);
    }
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}
/* Computes for two and a half seconds, where one is the limit, and reads all the while. */
static void guard__lets_readers_compute(void **state)
{
    pid_t child = fork();
    int status;

    (void)state;
    if (child == 0) {
        int zeroes = open("/dev/zero", O_RDONLY);
        char byte;

        setenv("TESS_HDF5_SECONDS", "1", 1);
        tess_h5_guard_start("input.h5");
        while (clock() < 5 * CLOCKS_PER_SEC / 2)
            if (read(zeroes, &byte, 1) != 1)
                _exit(1);
        tess_h5_guard_finish();
        _exit(0);
    }
    waitpid(child, &status, 0);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void commit__faults_leave_nothing(void **state)
{
    static const int faults[] = {0, SIGSEGV, SIGABRT, SIGPROF};
    char folder[] = "/tmp/tess_store_XXXXXX", *name;

    (void)state;
    assert_non_null(mkdtemp(folder));
    name = tess_format("%s/x.h5", folder);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(end_with(faults[i], name), faults[i] ? TESS_EDATA : TESS_EBUG);
        assert_int_equal(rmdir(folder), 0); /* it is empty */
        assert_int_equal(mkdir(folder, 0700), 0);
    }
    rmdir(folder);
    tess_free(name);
}

static void index__refuses_disorder(void **state)
{
    struct tess_error error = TESS_ERROR_INIT;
    struct tess_index index;
    int64_t *at[8];

    (void)state;
    sample_index(&index);
    assert_int_equal(tess_index_check(&index, "s", &error), TESS_OK);
    at[0] = &index.combination_member[1]; /* A+B no longer ascending */
    at[1] = &index.combination_first[1]; /* lists out of order */
    at[2] = &index.panel_readout[3]; /* no such readout */
    at[3] = &index.context_of[2]; /* contexts out of order */
    at[4] = &index.n_replicates[0]; /* none */
    at[5] = &index.fold_replicates[0]; /* more than the experiment has */
    at[6] = &index.fold_first[1]; /* a single fold, then falling */
    at[7] = &index.panel_first[0]; /* does not begin at 0 */
    for (int i = 0; i < 8; i++) {
        int64_t good = *at[i];
        static const int64_t bad[8] = {2, 3, 7, -1, 0, 5, 9, 1};

        *at[i] = bad[i];
        error = (struct tess_error)TESS_ERROR_INIT;
        assert_int_equal(tess_index_check(&index, "s", &error), TESS_EDATA);
        *at[i] = good;
    }
    tess_index_release(&index);
    tess_index_release(&index);
}

/* The outcome of opening and reading everything in a process of its own. */
static int read_all_of(const char *name)
{
    pid_t child = fork();
    int status;

    if (child == 0) {
        struct tess_error error = TESS_ERROR_INIT;
        struct tess_store store;

        alarm(20);
        if (tess_store_open(&store, name, MPI_COMM_SELF, &error) == TESS_OK)
            tess_store_verify(&store, &error);
        _exit(error.code);
    }
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void store__damage_is_refused(void **state)
{
    char bytes[65536];
    FILE *file;
    size_t n;
    int refused = 0;

    (void)state;
    write_sample();
    file = fopen(path, "rb");
    n = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    assert_true(n > 1000 && n < sizeof bytes);
    for (size_t at = 0; at < n; at += n / 150) {
        int code;

        file = fopen(path, "wb");
        bytes[at] ^= 0x15;
        fwrite(bytes, 1, n, file);
        bytes[at] ^= 0x15;
        fclose(file);
        code = read_all_of(path);
        assert_true(code == TESS_OK || code == TESS_EDATA || code == TESS_EOS);
        refused += code != TESS_OK;
    }
    assert_true(refused > 10);
    for (size_t length = 0; length < n; length += n / 20 + 1) { /* truncated */
        file = fopen(path, "wb");
        fwrite(bytes, 1, length, file);
        fclose(file);
        assert_int_equal(read_all_of(path), TESS_EDATA);
    }
    unlink(path);
}

static void combination__pluses(void **state)
{
    static const char *const symbol[] = {"A", "B", "A+", "CD4+ T", "control", "x+y"};
    struct tess_strings unknown = {0};
    struct tess_vocab vocab;
    int64_t member[8];

    (void)state;
    tess_vocab_init(&vocab, 6, symbol, NULL); /* A A+ B CD4+ T control x+y */
    assert_int_equal(tess_combination_parse(&vocab, NULL, "B+A", member, NULL), 2);
    assert_true(member[0] == 0 && member[1] == 2);
    assert_int_equal(tess_combination_parse(&vocab, NULL, "A+", member, NULL), 1);
    assert_int_equal(member[0], 1);
    assert_int_equal(tess_combination_parse(&vocab, NULL, "A++B", member, NULL), 2);
    assert_true(member[0] == 1 && member[1] == 2);
    assert_int_equal(tess_combination_parse(&vocab, NULL, "x+y+CD4+ T+B+B", member, NULL), 3);
    assert_int_equal(tess_combination_parse(&vocab, NULL, "control+B", member, NULL), 1);
    assert_int_equal(member[0], 2);
    assert_int_equal(tess_combination_parse(&vocab, NULL, "control+control", member, NULL), 1);
    assert_int_equal(tess_combination_parse(&vocab, NULL, "B+Z+x+y+", member, &unknown), 0);
    assert_int_equal(unknown.n, 2);
    assert_string_equal(unknown.item[0], "Z");
    assert_int_equal(tess_combination_parse(&vocab, NULL, "", member, NULL), 0);
    tess_strings_release(&unknown);
    tess_vocab_release(&vocab);
}

/* Blanks do not count, and the control has names beside its symbol. */
static void combination__blanks_and_controls(void **state)
{
    static const char *const symbol[] = {"A", "B", "control", "has ctrl"}, *const bare[] = {"A",
                                                                                            "B"};
    struct tess_strings names = {0}, unknown = {0};
    struct tess_vocab vocab, lacking;
    int64_t member[8];

    (void)state;
    tess_strings_add(&names, "non-targeting");
    tess_strings_add(&names, "NT+0");
    tess_vocab_init(&vocab, 4, symbol, NULL);
    tess_vocab_init(&lacking, 2, bare, NULL);
    assert_int_equal(tess_combination_parse(&vocab, NULL, " B + A\t", member, NULL), 2);
    assert_true(member[0] == 0 && member[1] == 1);
    assert_int_equal(tess_combination_parse(&vocab, NULL, "A+ctrl", member, NULL), 1);
    assert_int_equal(member[0], 0);
    assert_int_equal(tess_combination_parse(&vocab, NULL, "ctrl", member, NULL), 1);
    assert_int_equal(member[0], 2);
    assert_int_equal(tess_combination_parse(&vocab, NULL, "non-targeting + B", member, NULL), 0);
    assert_int_equal(tess_combination_parse(&vocab, &names, "non-targeting + B", member, NULL), 1);
    assert_int_equal(member[0], 1);
    assert_int_equal(tess_combination_parse(&vocab, &names, "NT+0 + B", member, NULL), 1);
    assert_int_equal(tess_combination_parse(&vocab, NULL, "has ctrl", member, NULL), 1);
    assert_int_equal(member[0], 3);
    assert_int_equal(tess_combination_parse(&lacking, NULL, "ctrl + B", member, NULL), 1);
    assert_int_equal(member[0], 1);
    assert_int_equal(tess_combination_parse(&lacking, NULL, "ctrl", member, &unknown), 0);
    assert_string_equal(unknown.item[0], "ctrl");
    tess_strings_release(&unknown);
    tess_strings_release(&names);
    tess_vocab_release(&vocab);
    tess_vocab_release(&lacking);
}

/* By members and by text, against looking at all combinations. */
static void index__finds_combinations(void **state)
{
    struct tess_strings unknown = {0};
    struct tess_index index;
    struct tess_sets sets;

    (void)state;
    sample_index(&index); /* A, A+B, B, control */
    sets = tess_index_combinations(&index);
    assert_int_equal(sets.n, 4);
    for (int64_t i = 0; i < 4; i++) {
        char *name = tess_index_combination_name(&index, i);

        assert_int_equal(
            tess_index_find(&index, sets.first[i + 1] - sets.first[i], sets.member + sets.first[i]),
            i);
        assert_int_equal(tess_index_find_text(&index, NULL, name, &unknown), i);
        tess_free(name);
    }
    assert_int_equal(tess_index_find(&index, 2, (int64_t[]){1, 2}), -1);
    assert_int_equal(tess_index_find(&index, 0, NULL), -1);
    assert_int_equal(tess_index_find_text(&index, NULL, "B + A+ctrl", &unknown), 1);
    assert_int_equal(unknown.n, 0);
    assert_int_equal(tess_index_find_text(&index, NULL, "Z+A+Y", &unknown), -1);
    assert_int_equal(unknown.n, 2); /* in their order */
    assert_string_equal(unknown.item[0], "Z");
    assert_string_equal(unknown.item[1], "Y");
    assert_int_equal(tess_index_find_text(&index, NULL, "Z", NULL), -1);
    tess_strings_release(&unknown);
    tess_index_release(&index);
}

static void combination__tidy(void **state)
{
    int64_t member[] = {4, 2, (int64_t)1 << 40, 2, 9};

    (void)state;
    assert_int_equal(tess_combination_tidy(4, 5, member), 3);
    assert_true(member[0] == 2 && member[1] == 9 && member[2] == (int64_t)1 << 40);
    assert_int_equal(tess_combination_tidy(2, 1, member), 1);
    assert_int_equal(tess_combination_tidy(-1, 2, member), 2);
    assert_int_equal(tess_combination_tidy(9, 2, member), 1);
    assert_int_equal(member[0], 2);
    assert_int_equal(tess_combination_tidy(9, 2, (int64_t[]){9, 9}), 1);
}

static void split__words(void **state)
{
    (void)state;
    assert_int_equal(tess_split_parse("training"), TESS_TRAIN);
    assert_int_equal(tess_split_parse("Valid"), TESS_VAL);
    assert_int_equal(tess_split_parse("Validation"), TESS_VAL);
    assert_int_equal(tess_split_parse("test"), TESS_TEST);
    assert_int_equal(tess_split_parse(""), TESS_UNUSED);
    assert_int_equal(tess_split_parse("holdout"), -1);
    assert_string_equal(tess_split_name(TESS_UNUSED), "unused");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(store__round_trip),
        cmocka_unit_test(store__split_in_place),
        cmocka_unit_test(store__split_cut_short),
        cmocka_unit_test(store__unfinished_leaves_nothing),
        cmocka_unit_test(guard__lets_readers_compute),
        cmocka_unit_test(commit__faults_leave_nothing),
        cmocka_unit_test(index__refuses_disorder),
        cmocka_unit_test(store__damage_is_refused),
        cmocka_unit_test(combination__pluses),
        cmocka_unit_test(combination__blanks_and_controls),
        cmocka_unit_test(combination__tidy),
        cmocka_unit_test(index__finds_combinations),
        cmocka_unit_test(split__words),
    };
    int failed;

    MPI_Init(&argc, &argv);
    tess_h5_init();
    snprintf(path, sizeof path, "/tmp/tessera_store_%d.prc.h5", (int)getpid());
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    MPI_Finalize();
    return failed;
}
