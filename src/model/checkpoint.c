/* checkpoint.c -- reading checkpoints: head, rows, MLP, and the checksums over them. */
#include "tessera/checkpoint.h"

#include "tessera/alloc.h"
#include "tessera/error.h"

#include <stdio.h>
#include <string.h>
#include <xxhash.h>

const char *const tess_table_names[TESS_N_TABLES] = {"perturbation", "readout", "context"};

static int read_text(const struct tess_h5 *h5, const char *attribute, char *out, size_t room,
                     struct tess_error *error)
{
    char *text = NULL;

    if (tess_h5_read_string(h5, "/", attribute, &text, error) != TESS_OK)
        return error->code;
    if (!text)
        return tess_error_set(error, TESS_EDATA, "%s: attribute '%s' is missing", h5->path,
                              attribute);
    snprintf(out, room, "%s", text);
    tess_free(text);
    return TESS_OK;
}

static int read_config(const struct tess_h5 *h5, struct tess_checkpoint_head *head,
                       struct tess_error *error)
{
    char *yaml = NULL;

    tess_config_init(&head->config);
    if (tess_h5_read_string(h5, "/", "config", &yaml, error) != TESS_OK)
        return error->code;
    if (!yaml)
        return tess_error_set(error, TESS_EDATA, "%s: attribute 'config' is missing", h5->path);
    if (tess_config_parse(&head->config, yaml, h5->path, error) == TESS_ECONFIG)
        error->code = TESS_EDATA; /* of the file, not of the user */
    tess_free(yaml);
    head->shape =
        (struct tess_shape){tess_int(head->config.model.embedding_dim),
                            head->config.model.layers ? tess_int(head->config.model.hidden_dim) : 0,
                            tess_int(head->config.model.layers)};
    return error->code;
}

static int read_vocab(const struct tess_h5 *h5, enum tess_table table,
                      struct tess_checkpoint_head *head, struct tess_error *error)
{
    char name[64], *block = NULL;
    uint64_t hash = 0;
    int64_t n;
    int width;

    snprintf(name, sizeof name, "%s/symbol", tess_table_names[table]);
    if (tess_h5_read_strings(h5, name, &n, &width, &block, error) == TESS_OK &&
        tess_vocab_init_block(&head->vocab[table], n, width, block, h5->path, error) == TESS_OK) {
        head->trained[table] = TESS_NEW(uint8_t, n);
        snprintf(name, sizeof name, "%s/trained", tess_table_names[table]);
        tess_h5_read(h5, name, H5T_NATIVE_UINT8, TESS_H5_LINE(n), head->trained[table], error);
        tess_h5_read_attribute(h5, tess_table_names[table], "hash", H5T_NATIVE_UINT64, 1, &hash,
                               error);
        if (error->code == TESS_OK && hash != tess_vocab_hash(&head->vocab[table]))
            tess_error_set(error, TESS_EDATA,
                           "%s: %s/symbol does not match its checksum: the file is damaged",
                           h5->path, tess_table_names[table]);
    }
    tess_free(block);
    return error->code;
}

static int read_rates(const struct tess_h5 *h5, struct tess_checkpoint_head *head,
                      struct tess_error *error)
{
    struct tess_h5_extent extent = TESS_H5_LINE(head->step + 1);
    double *rate;

    if (tess_h5_check(h5, "schedule/rate", extent, error) != TESS_OK)
        return error->code;
    rate = TESS_NEW(double, head->step + 1);
    tess_optimizer_init(&head->optimizer, &head->config);
    if (tess_h5_read(h5, "schedule/rate", H5T_NATIVE_DOUBLE, extent, rate, error) == TESS_OK)
        for (int64_t t = 1; t <= head->step; t++)
            tess_optimizer_begin(&head->optimizer, rate[t]);
    tess_free(rate);
    return error->code;
}

static int read_numbers(const struct tess_h5 *h5, struct tess_checkpoint_head *head,
                        struct tess_error *error)
{
    const struct {
        const char *name;
        hid_t type;
        void *at;
    } field[] = {
        {"step", H5T_NATIVE_INT64, &head->step},
        {"epoch", H5T_NATIVE_INT64, &head->epoch},
        {"step_in_epoch", H5T_NATIVE_INT64, &head->step_in_epoch},
        {"best_epoch", H5T_NATIVE_INT64, &head->best_epoch},
        {"best_step", H5T_NATIVE_INT64, &head->best_step},
        {"best_score", H5T_NATIVE_DOUBLE, &head->best_score},
        {"epoch_loss", H5T_NATIVE_DOUBLE, &head->epoch_loss},
        {"epoch_measured", H5T_NATIVE_DOUBLE, &head->epoch_measured},
        {"store_hash", H5T_NATIVE_UINT64, &head->store_hash},
        {"split_hash", H5T_NATIVE_UINT64, &head->split_hash},
    };

    for (size_t i = 0; i < sizeof field / sizeof field[0]; i++)
        tess_h5_read_attribute(h5, "/", field[i].name, field[i].type, 1, field[i].at, error);
    if (error->code == TESS_OK && (head->step < 0 || head->step == INT64_MAX))
        tess_error_set(error, TESS_EDATA, "%s: step %lld: the file is damaged", h5->path,
                       (long long)head->step);
    return error->code;
}

/* Every array that the head's settings and symbols imply: there, and as large as they say, so that
 * whoever takes memory by the head reads into it what fits. */
static void check_extents(const struct tess_h5 *h5, const struct tess_checkpoint_head *head,
                          struct tess_error *error)
{
    static const char *const part[] = {"value", "m", "v"};
    int64_t n = tess_shape_size(head->shape),
            blocks = (n + TESS_CHECK_FLOATS - 1) / TESS_CHECK_FLOATS;
    struct tess_h5_extent scaling =
        TESS_H5_MATRIX(head->vocab[TESS_TABLE_C].n, head->vocab[TESS_TABLE_R].n);
    char name[64];

    for (int t = 0; t < TESS_N_TABLES; t++) {
        for (int k = 0; k < 3 && error->code == TESS_OK; k++) {
            snprintf(name, sizeof name, "table/%s/%s", tess_table_names[t], part[k]);
            tess_h5_check(h5, name, TESS_H5_MATRIX(head->vocab[t].n, head->shape.dim), error);
        }
        for (int k = 0; k < 2 && error->code == TESS_OK; k++) {
            snprintf(name, sizeof name, "table/%s/%s", tess_table_names[t], k ? "check" : "last");
            tess_h5_check(h5, name, TESS_H5_LINE(head->vocab[t].n), error);
        }
    }
    for (int k = 0; k < 3 && error->code == TESS_OK; k++) {
        snprintf(name, sizeof name, "mlp/%s", part[k]);
        tess_h5_check(h5, name, TESS_H5_LINE(n), error);
        snprintf(name, sizeof name, "mlp/check_%s", part[k]);
        if (error->code == TESS_OK)
            tess_h5_check(h5, name, TESS_H5_LINE(blocks), error);
    }
    if (error->code == TESS_OK && tess_h5_kind(h5, "normalize/shift") &&
        tess_h5_check(h5, "normalize/shift", scaling, error) == TESS_OK)
        tess_h5_check(h5, "normalize/scale", scaling, error);
}

int tess_checkpoint_read_head(const struct tess_h5 *h5, struct tess_checkpoint_head *head,
                              struct tess_error *error)
{
    char *format = NULL;
    int64_t version = 0;

    *head = (struct tess_checkpoint_head){.step = 0};
    tess_h5_read_string(h5, "/", "format", &format, error);
    if (error->code == TESS_OK && (!format || strcmp(format, TESS_CHECKPOINT_FORMAT) != 0))
        tess_error_set(error, TESS_EDATA, "%s: is no checkpoint of Tessera", h5->path);
    tess_free(format);
    if (error->code == TESS_OK)
        tess_h5_read_attribute(h5, "/", "version", H5T_NATIVE_INT64, 1, &version, error);
    if (error->code == TESS_OK && version != 1)
        tess_error_set(error, TESS_EDATA, "%s: checkpoint version %lld; this program reads 1",
                       h5->path, (long long)version);
    if (error->code == TESS_OK)
        read_text(h5, "blas_core", head->blas_core, sizeof head->blas_core, error);
    if (error->code == TESS_OK)
        read_text(h5, "created_by", head->version, sizeof head->version, error);
    if (error->code == TESS_OK && read_config(h5, head, error) == TESS_OK &&
        read_numbers(h5, head, error) == TESS_OK)
        read_rates(h5, head, error);
    for (int t = 0; t < TESS_N_TABLES && error->code == TESS_OK; t++)
        read_vocab(h5, t, head, error);
    if (error->code == TESS_OK)
        check_extents(h5, head, error);
    return error->code;
}

void tess_checkpoint_head_release(struct tess_checkpoint_head *head)
{
    for (int t = 0; t < TESS_N_TABLES; t++) {
        tess_vocab_release(&head->vocab[t]);
        tess_free(head->trained[t]);
        head->trained[t] = NULL;
    }
    tess_optimizer_release(&head->optimizer);
}

uint64_t tess_checkpoint_row_sum(int dim, const float *value, const float *m, const float *v,
                                 int64_t last)
{
    XXH3_state_t *state = XXH3_createState();
    uint64_t sum;

    XXH3_64bits_reset(state);
    XXH3_64bits_update(state, value, (size_t)dim * sizeof *value);
    XXH3_64bits_update(state, m, (size_t)dim * sizeof *m);
    XXH3_64bits_update(state, v, (size_t)dim * sizeof *v);
    XXH3_64bits_update(state, &last, sizeof last);
    sum = XXH3_64bits_digest(state);
    XXH3_freeState(state);
    return sum;
}

int tess_checkpoint_finite(const float *x, int64_t n)
{
    const uint32_t exponent = 0x7f800000u;
    uint32_t bad = 0;

    for (int64_t i = 0; i < n; i++) {
        uint32_t bits;

        memcpy(&bits, &x[i], sizeof bits);
        bad |= (bits & exponent) == exponent;
    }
    return !bad;
}

static int damaged(const struct tess_h5 *h5, const char *what, int64_t row,
                   struct tess_error *error)
{
    return tess_error_set(error, TESS_EDATA,
                          "%s: %s, row %lld: checksum does not match: the file is damaged",
                          h5->path, what, (long long)row);
}

int tess_checkpoint_read_state(const struct tess_h5 *h5, const struct tess_checkpoint_head *head,
                               enum tess_table table, int64_t first, int64_t n,
                               struct tess_row_state out, struct tess_error *error)
{
    static const char *const part[] = {"value", "m", "v"};
    float *x[3] = {out.value, out.m, out.v};
    struct tess_h5_rows line = {TESS_H5_LINE(head->vocab[table].n), first, n};
    uint64_t *sum = TESS_NEW(uint64_t, n);
    int64_t dim = head->shape.dim, rows = head->vocab[table].n;
    char name[64];

    for (int k = 0; k < 3 && error->code == TESS_OK; k++) {
        snprintf(name, sizeof name, "table/%s/%s", tess_table_names[table], part[k]);
        tess_h5_read_rows(h5, name, H5T_NATIVE_FLOAT,
                          (struct tess_h5_rows){TESS_H5_MATRIX(rows, dim), first, n}, x[k], error);
    }
    snprintf(name, sizeof name, "table/%s/last", tess_table_names[table]);
    if (error->code == TESS_OK)
        tess_h5_read_rows(h5, name, H5T_NATIVE_INT64, line, out.last, error);
    snprintf(name, sizeof name, "table/%s/check", tess_table_names[table]);
    if (error->code == TESS_OK)
        tess_h5_read_rows(h5, name, H5T_NATIVE_UINT64, line, sum, error);
    for (int64_t i = 0; i < n && error->code == TESS_OK; i++)
        if (tess_checkpoint_row_sum((int)dim, x[0] + i * dim, x[1] + i * dim, x[2] + i * dim,
                                    out.last[i]) != sum[i] ||
            out.last[i] < 0 || out.last[i] > head->step)
            damaged(h5, tess_table_names[table], first + i, error);
    tess_free(sum);
    return error->code;
}

int tess_checkpoint_read_rows(const struct tess_h5 *h5, const struct tess_checkpoint_head *head,
                              enum tess_table table, int64_t first, int64_t n, float *out,
                              struct tess_error *error)
{
    int64_t dim = head->shape.dim;
    struct tess_row_state state = {out, TESS_NEW(float, n *dim), TESS_NEW(float, n *dim),
                                   TESS_NEW(int64_t, n)};

    if (tess_checkpoint_read_state(h5, head, table, first, n, state, error) == TESS_OK) {
#pragma omp parallel for schedule(static)
        for (int64_t i = 0; i < n; i++)
            tess_optimizer_catch_up(
                &head->optimizer, dim, state.last[i], head->step,
                (struct tess_parameters){out + i * dim, state.m + i * dim, state.v + i * dim});
    }
    tess_free(state.m);
    tess_free(state.v);
    tess_free(state.last);
    return error->code;
}

int tess_checkpoint_read_mlp(const struct tess_h5 *h5, const struct tess_checkpoint_head *head,
                             const char *part, float *out, struct tess_error *error)
{
    int64_t n = tess_shape_size(head->shape),
            blocks = (n + TESS_CHECK_FLOATS - 1) / TESS_CHECK_FLOATS;
    uint64_t *sum = TESS_NEW(uint64_t, blocks);
    char name[64];

    snprintf(name, sizeof name, "mlp/%s", part);
    tess_h5_read(h5, name, H5T_NATIVE_FLOAT, TESS_H5_LINE(n), out, error);
    snprintf(name, sizeof name, "mlp/check_%s", part);
    if (error->code == TESS_OK)
        tess_h5_read(h5, name, H5T_NATIVE_UINT64, TESS_H5_LINE(blocks), sum, error);
    for (int64_t b = 0; b < blocks && error->code == TESS_OK; b++) {
        int64_t first = b * TESS_CHECK_FLOATS, left = n - first;

        left = left < TESS_CHECK_FLOATS ? left : TESS_CHECK_FLOATS;
        if (XXH3_64bits(out + first, sizeof *out * (size_t)left) != sum[b])
            damaged(h5, "mlp", b, error);
    }
    tess_free(sum);
    return error->code;
}
