/* embed_labels.c -- who is who in a file of embeddings. */
#include "embed.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/known.h"
#include "tessera/log.h"
#include "tessera/mapping.h"
#include "tessera/state.h"
#include "tessera/store.h"
#include "tessera/target.h"
#include "tessera/writer.h"

#include <string.h>

struct tess_embed_rows tess_embed_rows_of(const struct tess_model *model)
{
    struct tess_embed_rows rows = {.model = model};
    const int64_t n[] = {model->perturbation.n, model->readout.n, model->context.n};

    for (int t = 0; t < TESS_N_TABLES; t++)
        rows.first[t + 1] = rows.first[t] + n[t];
    rows.n = rows.first[TESS_N_TABLES];
    return rows;
}

static const struct tess_vocab *vocab_of(const struct tess_model *model, int table)
{
    const struct tess_vocab *const vocab[] = {&model->perturbation, &model->readout,
                                              &model->context};

    return vocab[table];
}

static const char *symbol_of(const struct tess_embed_rows *rows, int64_t row, int *table)
{
    for (*table = 0; row >= rows->first[*table + 1];)
        ++*table;
    return vocab_of(rows->model, *table)->symbol[row - rows->first[*table]];
}

/* One text of each row; own. */
struct texts {
    const struct tess_embed_rows *rows;
    char *(*make)(const char *symbol, int table);
    int width;
};

static char *name_row(const char *symbol, int table)
{
    return tess_format("%s/%s", tess_table_names[table], symbol);
}

static char *copy_symbol(const char *symbol, int table)
{
    (void)table;
    return tess_strdup(symbol);
}

static char *name_type(const char *symbol, int table)
{
    return table == TESS_TABLE_P ? tess_target_type(symbol) : tess_strdup(tess_table_names[table]);
}

static char *name_target(const char *symbol, int table)
{
    return tess_strdup(table == TESS_TABLE_P ? tess_target_name(symbol) : symbol);
}

static void make_texts(const void *closure, int64_t first, int64_t n, int width, char *out)
{
    const struct texts *texts = closure;

    for (int64_t i = 0; i < n; i++) {
        int table;
        const char *symbol = symbol_of(texts->rows, first + i, &table);
        char *text = texts->make(symbol, table);

        memcpy(out + i * width, text, strlen(text));
        tess_free(text);
    }
}

static int width_of(const struct texts *texts)
{
    size_t most = 1;

    for (int64_t i = 0; i < texts->rows->n; i++) {
        int table;
        const char *symbol = symbol_of(texts->rows, i, &table);
        char *text = texts->make(symbol, table);

        most = strlen(text) > most ? strlen(text) : most;
        tess_free(text);
    }
    return tess_int((int64_t)most);
}

static int write_texts(const struct tess_embed_rows *rows, const char *column,
                       char *(*make)(const char *symbol, int table), struct tess_writer *file,
                       struct tess_error *error)
{
    struct texts texts = {rows, make, 0};
    struct tess_writer_texts words = {rows->n, NULL, width_of(&texts), make_texts, &texts};

    return tess_writer_write_words(file, column, &words, error);
}

static int write_numbers(const struct tess_embed_rows *rows, struct tess_writer *file,
                         struct tess_error *error)
{
    const struct tess_model *model = rows->model;
    const uint8_t *const trained[] = {model->trained_perturbation, model->trained_readout,
                                      model->trained_context};
    int32_t *table = TESS_NEW(int32_t, rows->n);
    uint8_t *flag = TESS_NEW(uint8_t, rows->n);
    int32_t *known = TESS_NEW(int32_t, rows->n);

    for (int t = 0; t < TESS_N_TABLES; t++)
        for (int64_t i = rows->first[t]; i < rows->first[t + 1]; i++) {
            table[i] = t;
            flag[i] = trained[t][i - rows->first[t]] == TESS_TRAINED;
            known[i] = (int32_t)tess_known_symbol(model, t, i - rows->first[t]);
        }
    if (tess_writer_write_codes(file, "table", TESS_N_TABLES, tess_table_names, table, error) ==
            TESS_OK &&
        tess_writer_write_flags(file, "trained", flag, error) == TESS_OK &&
        tess_known_differs(model))
        tess_writer_write_codes(file, TESS_KNOWN_COLUMN, TESS_KNOWN_WAYS, tess_known_names, known,
                                error);
    tess_free(known);
    tess_free(table);
    tess_free(flag);
    return error->code;
}

/* n: of those of a list that the model knows, one more each. */
static void add_one(const struct tess_mapping *to, const int64_t *number, const int64_t *end,
                    int64_t *n)
{
    for (; number < end; number++)
        if (to->to[*number] >= 0)
            n[to->to[*number]]++;
}

/* Training experiments of each row's symbol. */
static void count(const struct tess_embed_rows *rows, const struct tess_index *index, int64_t *n)
{
    const struct tess_vocab *const vocab[] = {&index->perturbation, &index->readout,
                                              &index->context};
    const int64_t *const member = index->combination_member, *const readout = index->panel_readout;
    struct tess_mapping to[TESS_N_TABLES];

    for (int t = 0; t < TESS_N_TABLES; t++)
        tess_mapping_init(&to[t], vocab[t], vocab_of(rows->model, t), NULL);
    for (int64_t e = 0; e < index->n_experiments; e++) {
        int64_t combination = index->combination[e], panel = index->panel[e];

        if (index->split[e] != TESS_TRAIN)
            continue;
        add_one(&to[TESS_TABLE_P], member + index->combination_first[combination],
                member + index->combination_first[combination + 1], n + rows->first[TESS_TABLE_P]);
        add_one(&to[TESS_TABLE_R], readout + index->panel_first[panel],
                readout + index->panel_first[panel + 1], n + rows->first[TESS_TABLE_R]);
        add_one(&to[TESS_TABLE_C], index->context_of + e, index->context_of + e + 1,
                n + rows->first[TESS_TABLE_C]);
    }
    for (int t = 0; t < TESS_N_TABLES; t++)
        tess_mapping_release(&to[t]);
}

/* Of rank 0, which alone looks for the store; the column is left out where there is none. */
static int write_counts(const struct tess_embed_rows *rows, struct tess_writer *file,
                        struct tess_error *error)
{
    struct tess_error mine = TESS_ERROR_INIT;
    int64_t *n = TESS_NEW(int64_t, rows->n);
    const char *path = tess_model_store(rows->model, NULL, 0, &mine);
    struct tess_store store;
    int known = 0;

    if (file->rank == 0 && path && tess_store_open(&store, path, MPI_COMM_SELF, &mine) == TESS_OK) {
        known = store.index.hash == rows->model->store_hash;
        if (known)
            count(rows, &store.index, n);
        tess_store_release(&store);
    }
    if (file->rank == 0 && mine.code != TESS_OK)
        tess_warn("%s: obs has no column experiments; put the store that the model was trained on "
                  "back to have it",
                  mine.text);
    else if (file->rank == 0 && !known)
        tess_warn("%s: has other values than those that were trained on: obs has no column "
                  "experiments; put the store that the model was trained on back to have it",
                  rows->model->store_path);
    MPI_Bcast(&known, 1, MPI_INT, 0, file->comm);
    if (known)
        tess_writer_write_column(file, TESS_WRITER_ROWS,
                                 &(struct tess_writer_column){.name = "experiments",
                                                              .type = TESS_WRITER_INTEGERS,
                                                              .value = n},
                                 error);
    tess_free(n);
    return error->code;
}

static void make_column_names(const void *closure, int64_t first, int64_t n, int width, char *out)
{
    (void)closure;
    for (int64_t i = 0; i < n; i++) {
        char *name = tess_format("unit%lld", (long long)(first + i + 1));

        memcpy(out + i * width, name, strlen(name));
        tess_free(name);
    }
}

int tess_embed_write_labels(const struct tess_embed_rows *rows, int64_t width,
                            struct tess_writer *file, struct tess_error *error)
{
    const struct tess_writer_texts columns = {width, NULL, 24, make_column_names, NULL};

    if (tess_writer_make_names(file, TESS_WRITER_READOUTS, &columns, error) == TESS_OK &&
        write_texts(rows, NULL, name_row, file, error) == TESS_OK &&
        write_texts(rows, "symbol", copy_symbol, file, error) == TESS_OK &&
        write_numbers(rows, file, error) == TESS_OK &&
        write_texts(rows, "type", name_type, file, error) == TESS_OK &&
        write_texts(rows, "target", name_target, file, error) == TESS_OK)
        write_counts(rows, file, error);
    return error->code;
}
