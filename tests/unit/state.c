/* state.c -- tests of the table of state: the order that readers and writers rely on, the
 * documentation, and every line of it through a file and through a copy. */
#include "tessera/alloc.h"
#include "tessera/checkpoint.h"
#include "tessera/error.h"
#include "tessera/state.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#define BEGIN "<!-- state: generated -->\n"
#define END   "<!-- state: end -->\n"

static void state__groups_stand_together(void **unused)
{
    int last = -1;

    (void)unused;
    for (int i = 0; i < tess_n_state_fields; i++) {
        int group = tess_state_group_of(&tess_state_fields[i]);

        assert_true(group == last || group == last + 1);
        last = group;
    }
    assert_int_equal(last, TESS_STATE_N_GROUPS - 1);
}

static void state__names_are_distinct(void **unused)
{
    char a[TESS_STATE_NAME], b[TESS_STATE_NAME];

    (void)unused;
    for (int i = 0; i < tess_n_state_fields; i++)
        for (int k = 0; k < i; k++) {
            tess_state_field_name(&tess_state_fields[i], TESS_STATE_ANY_TABLE, a);
            tess_state_field_name(&tess_state_fields[k], TESS_STATE_ANY_TABLE, b);
            assert_string_not_equal(a, b);
            assert_int_not_equal(tess_state_fields[i].offset, tess_state_fields[k].offset);
        }
}

static char *read_all(const char *path)
{
    char *text = TESS_NEW(char, 1 << 20);
    FILE *file = fopen(path, "r");

    assert_non_null(file);
    assert_true(fread(text, 1, (1 << 20) - 1, file) > 0);
    fclose(file);
    return text;
}

/* TESS_UPDATE=1 in the environment writes it. */
static void state__documented_table_is_the_table(void **unused)
{
    char *path = tess_format("%s/docs/formats.md", TESS_SOURCE_ROOT), *found = read_all(path);
    char *table = tess_state_markdown(), *begin = strstr(found, BEGIN), *end = strstr(found, END);

    (void)unused;
    assert_true(begin && end && begin < end);
    begin += strlen(BEGIN);
    if (getenv("TESS_UPDATE")) {
        FILE *file = fopen(path, "w");

        assert_non_null(file);
        fprintf(file, "%.*s%s%s", (int)(begin - found), found, table, end);
        assert_int_equal(fclose(file), 0);
    } else if (strlen(table) != (size_t)(end - begin) ||
               strncmp(begin, table, strlen(table)) != 0) {
        fail_msg("docs/formats.md differs from src/model/state.c: run tools/update_reference.sh");
    }
    free(table);
    tess_free(found);
    tess_free(path);
}

/* Numbers that no two pieces share, and that every rule allows: 1 in flags, the step elsewhere. */
static void fill(struct tess_state *state, const struct tess_state_field *field, int table)
{
    size_t bytes, size = tess_state_size(field->type);
    unsigned char *data;

    if (field->kind == TESS_STATE_TEXT || field->kind == TESS_STATE_SETTINGS ||
        field->kind == TESS_STATE_NAMES || field->kind == TESS_STATE_LISTED ||
        field->offset == offsetof(struct tess_state, version) ||
        field->offset == offsetof(struct tess_state, optimizer.step))
        return;
    bytes = tess_state_bytes(state, field, table);
    if (tess_state_group_of(field) != TESS_STATE_ROOT)
        *(void **)tess_state_member(state, field, table) = tess_alloc(bytes, 1);
    data = tess_state_data(state, field, table);
    for (size_t i = 0; i < bytes / size; i++)
        if (field->type == TESS_STATE_FLOAT)
            ((float *)data)[i] = (float)(1 + i + 10 * field->offset + 1000 * (size_t)table);
        else if (field->type == TESS_STATE_DOUBLE)
            ((double *)data)[i] = i == 0 ? 0 : 1e-3 / (double)i;
        else
            data[i * size] = 1;
}

static struct tess_state example(void)
{
    static const char *const symbol[] = {"a", "bb", "c", "d", "e"};
    struct tess_state state = {.format = TESS_STATE_FORMAT,
                               .created_by = "0",
                               .blas_core = "Haswell",
                               .version = TESS_STATE_VERSION};

    tess_config_init(&state.config);
    state.config.model.embedding_dim = 3;
    state.config.model.hidden_dim = 64;
    state.config.model.layers = 2;
    state.config.model.combination = TESS_COMBINE_SUM;
    state.config.train.sampling = TESS_SAMPLING_TILES;
    state.shape = tess_shape_of(&state.config, 5);
    tess_optimizer_init(&state.optimizer, &state.config);
    for (int step = 1; step <= 4; step++)
        tess_optimizer_begin(&state.optimizer, 1e-3 / step);
    state.slice.n = tess_shape_size(state.shape);
    for (int t = 0; t < TESS_N_TABLES; t++) {
        tess_vocab_init(&state.vocab[t], 5 - t, symbol, NULL);
        state.row_range[t].n = 5 - t;
    }
    for (int i = 0; i < tess_n_state_fields; i++)
        for (int t = 0; t < tess_state_group_tables(tess_state_group_of(&tess_state_fields[i]));
             t++)
            if (tess_state_fields[i].kind != TESS_STATE_STEPS)
                fill(&state, &tess_state_fields[i], t);
    return state;
}

static void read_back(struct tess_state *state, const char *path)
{
    struct tess_error error = TESS_ERROR_INIT;
    struct tess_h5 h5 = TESS_H5_INIT;
    int64_t n;

    tess_h5_open(&h5, path, MPI_COMM_NULL, 0, &error);
    if (tess_checkpoint_read_head(&h5, state, &error) != TESS_OK)
        fail_msg("%s", error.text);
    n = tess_shape_size(state->shape);
    state->slice.n = n;
    for (const struct tess_state_field *field = tess_state_first(TESS_STATE_MLP); field;
         field = tess_state_next(field))
        *(float **)tess_state_member(state, field, 0) = TESS_NEW(float, n);
    for (int t = 0; t < TESS_N_TABLES; t++) {
        state->row_range[t].n = state->vocab[t].n;
        tess_row_state_reserve(&state->rows[t], state->vocab[t].n, state->shape.dim, &error);
        tess_checkpoint_read_state(&h5, state, t, state->row_range[t], &state->rows[t], &error);
    }
    tess_checkpoint_read_mlp(&h5, state, &error);
    if (tess_checkpoint_read_scaling(&h5, state, &error) != TESS_OK)
        fail_msg("%s", error.text);
    tess_h5_close(&h5, &error);
}

static void state__every_line_goes_through_a_file(void **unused)
{
    char path[] = "/tmp/state-XXXXXX";
    struct tess_state wrote = example(), got;
    struct tess_error error = TESS_ERROR_INIT;
    char *sum;

    (void)unused;
    close(mkstemp(path));
    sum = tess_format("%s.sum", path);
    if (tess_checkpoint_write(&wrote, MPI_COMM_WORLD, path, &error) != TESS_OK)
        fail_msg("%s", error.text);
    read_back(&got, path);
    for (int i = 0; i < tess_n_state_fields; i++) {
        const struct tess_state_field *field = &tess_state_fields[i];

        for (int t = 0; t < tess_state_group_tables(tess_state_group_of(field)); t++) {
            if (field->kind == TESS_STATE_NAMES)
                assert_int_equal(tess_vocab_hash(&wrote.vocab[t]), tess_vocab_hash(&got.vocab[t]));
            else if (field->kind == TESS_STATE_LISTED)
                assert_true(
                    wrote.features[t].name.n == got.features[t].name.n &&
                    (wrote.features[t].name.n == 0 || tess_vocab_hash(&wrote.features[t].name) ==
                                                          tess_vocab_hash(&got.features[t].name)));
            else if (field->kind == TESS_STATE_TEXT)
                assert_string_equal(tess_state_data(&wrote, field, t),
                                    tess_state_data(&got, field, t));
            else if (field->kind != TESS_STATE_SETTINGS &&
                     field->offset != offsetof(struct tess_state, version))
                assert_memory_equal(tess_state_data(&wrote, field, t),
                                    tess_state_data(&got, field, t),
                                    tess_state_bytes(&wrote, field, t));
        }
    }
    assert_int_equal(wrote.shape.hidden, got.shape.hidden);
    tess_state_release(&wrote);
    tess_state_release(&got);
    unlink(path);
    unlink(sum);
    tess_free(sum);
}

/* What each rule is for: one number that breaks it is found, at its place. */
static void state__broken_numbers_are_found(void **unused)
{
    struct tess_state state = example();
    float x[5] = {0, 1, 2, 3, 4};
    int64_t last[3] = {0, 4, 5};

    (void)unused;
    for (const struct tess_state_field *field = tess_state_first(TESS_STATE_TABLES); field;
         field = tess_state_next(field)) {
        if (field->type != TESS_STATE_FLOAT)
            continue;
        x[3] = 3;
        assert_int_equal(tess_state_first_broken(&state, field, x, 5), -1);
        x[3] = NAN;
        assert_int_equal(tess_state_first_broken(&state, field, x, 5), 3);
    }
    for (const struct tess_state_field *field = tess_state_first(TESS_STATE_TABLES); field;
         field = tess_state_next(field))
        if (field->kind == TESS_STATE_COLUMN)
            assert_int_equal(tess_state_first_broken(&state, field, last, 3), 2);
    tess_state_release(&state);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(state__groups_stand_together),
        cmocka_unit_test(state__names_are_distinct),
        cmocka_unit_test(state__documented_table_is_the_table),
        cmocka_unit_test(state__every_line_goes_through_a_file),
        cmocka_unit_test(state__broken_numbers_are_found),
    };
    int failed;

    tess_h5_init();
    MPI_Init(&argc, &argv);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    MPI_Finalize();
    return failed;
}
