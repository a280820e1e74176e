/* onednn.c -- oneDNN's matrix product behind one door. */
#include "onednn.h"

#ifdef TESS_HAS_ONEDNN

#include "tessera/alloc.h"
#include "tessera/error.h"

#include <dnnl.h>
#include <omp.h>
#include <stdint.h>
#include <string.h>

#define CALL(call) TESS_BUG_IF((call) != dnnl_success)

/* Version 3 has handles where version 2 has structures, and no descriptors of operations. */
#if DNNL_VERSION_MAJOR >= 3
typedef const_dnnl_memory_desc_t layout;
typedef struct {
    dnnl_memory_desc_t own;
} layout_room;

static layout layout_make(layout_room *room, const dnnl_dims_t size, dnnl_data_type_t type,
                          dnnl_format_tag_t order)
{
    CALL(dnnl_memory_desc_create_with_tag(&room->own, 2, size, type, order));
    return room->own;
}

static void layout_release(layout_room *room)
{
    dnnl_memory_desc_destroy(room->own);
}

static void add_sum(dnnl_post_ops_t ops)
{
    CALL(dnnl_post_ops_append_sum(ops, 1.0f, 0, dnnl_data_type_undef));
}

static dnnl_status_t describe(dnnl_primitive_desc_t *description, dnnl_engine_t engine, layout a,
                              layout b, layout c, dnnl_primitive_attr_t attr)
{
    return dnnl_matmul_primitive_desc_create(description, engine, a, b, NULL, c, attr);
}
#else
typedef const dnnl_memory_desc_t *layout;
typedef dnnl_memory_desc_t layout_room;

static layout layout_make(layout_room *room, const dnnl_dims_t size, dnnl_data_type_t type,
                          dnnl_format_tag_t order)
{
    CALL(dnnl_memory_desc_init_by_tag(room, 2, size, type, order));
    return room;
}

static void layout_release(layout_room *room)
{
    (void)room;
}

static void add_sum(dnnl_post_ops_t ops)
{
    CALL(dnnl_post_ops_append_sum(ops, 1.0f));
}

static dnnl_status_t describe(dnnl_primitive_desc_t *description, dnnl_engine_t engine, layout a,
                              layout b, layout c, dnnl_primitive_attr_t attr)
{
    dnnl_matmul_desc_t operation;

    CALL(dnnl_matmul_desc_init(&operation, a, b, NULL, c));
    return dnnl_primitive_desc_create(description, &operation, attr, engine, NULL);
}
#endif

/* What tells a product from others. */
enum operands { PACK, PACK_TRANSPOSED, ROWS, OUTER, OUTER_ADD };
struct key {
    enum operands operands;
    int n, H;
};

/* A product that was computed before: only addresses are new. Of PACK a is the matrix, c its other
 * order. */
struct prepared {
    struct key key;
    dnnl_primitive_t primitive;
    dnnl_memory_t a, b, c, scratch;
    void *scratch_bytes; /* own */
};

struct tess_onednn {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    size_t n, room;
    struct prepared *prepared; /* (n) own */
};

/* oneDNN would divide a product among OpenMP's threads, with other bits for every number of them.
 */
static int alone(void)
{
    int threads = omp_get_max_threads();

    omp_set_num_threads(1);
    return threads;
}

struct tess_onednn *tess_onednn_make(void)
{
    struct tess_onednn *onednn = TESS_NEW(struct tess_onednn, 1);

    CALL(dnnl_engine_create(&onednn->engine, dnnl_cpu, 0));
    CALL(dnnl_stream_create(&onednn->stream, onednn->engine, dnnl_stream_default_flags));
    return onednn;
}

void tess_onednn_release(struct tess_onednn *onednn)
{
    if (!onednn)
        return;
    for (size_t i = 0; i < onednn->n; i++) {
        struct prepared *product = &onednn->prepared[i];

        dnnl_primitive_destroy(product->primitive);
        dnnl_memory_destroy(product->a);
        if (product->b)
            dnnl_memory_destroy(product->b);
        dnnl_memory_destroy(product->c);
        if (product->scratch)
            dnnl_memory_destroy(product->scratch);
        tess_free(product->scratch_bytes);
    }
    tess_free(onednn->prepared);
    dnnl_stream_destroy(onednn->stream);
    dnnl_engine_destroy(onednn->engine);
    tess_free(onednn);
}

static dnnl_memory_t memory_of(const struct tess_onednn *onednn, layout order)
{
    dnnl_memory_t memory;

    CALL(dnnl_memory_create(&memory, order, onednn->engine, DNNL_MEMORY_NONE));
    return memory;
}

/* The order that a product of 256 rows prefers for its matrix is that of all. `product`: what to
 * destroy when it is no longer needed. */
static layout packed_order(const struct tess_onednn *onednn, int H, dnnl_primitive_desc_t *product)
{
    const dnnl_dims_t rows = {256, H}, matrix = {H, H};
    layout_room a, b, c;

    CALL(describe(product, onednn->engine, layout_make(&a, rows, dnnl_bf16, dnnl_ab),
                  layout_make(&b, matrix, dnnl_bf16, dnnl_format_tag_any),
                  layout_make(&c, rows, dnnl_f32, dnnl_ab), NULL));
    layout_release(&a);
    layout_release(&b);
    layout_release(&c);
    return dnnl_primitive_desc_query_md(*product, dnnl_query_weights_md, 0);
}

static void prepare_pack(struct tess_onednn *onednn, struct prepared *pack)
{
    const dnnl_dims_t size = {pack->key.H, pack->key.H};
    dnnl_primitive_desc_t product, reorder;
    layout to = packed_order(onednn, pack->key.H, &product), from;
    layout_room room;

    from = layout_make(&room, size, dnnl_bf16,
                       pack->key.operands == PACK_TRANSPOSED ? dnnl_ba : dnnl_ab);
    CALL(dnnl_reorder_primitive_desc_create(&reorder, from, onednn->engine, to, onednn->engine,
                                            NULL));
    CALL(dnnl_primitive_create(&pack->primitive, reorder));
    pack->a = memory_of(onednn, from);
    pack->c = memory_of(onednn, to);
    layout_release(&room);
    dnnl_primitive_desc_destroy(reorder);
    dnnl_primitive_desc_destroy(product);
}

static void scratch_for(struct tess_onednn *onednn, struct prepared *product,
                        dnnl_primitive_desc_t description)
{
    layout scratch = dnnl_primitive_desc_query_md(description, dnnl_query_scratchpad_md, 0);
    size_t bytes = scratch ? dnnl_memory_desc_get_size(scratch) : 0;

    if (bytes == 0)
        return;
    product->scratch_bytes = TESS_NEW(char, bytes);
    product->scratch = memory_of(onednn, scratch);
    CALL(dnnl_memory_set_data_handle(product->scratch, product->scratch_bytes));
}

static void prepare_product(struct tess_onednn *onednn, struct prepared *product)
{
    struct key key = product->key;
    int outer = key.operands != ROWS;
    const dnnl_dims_t tall = {key.n, key.H}, lying = {key.H, key.n}, square = {key.H, key.H};
    layout_room room[3];
    layout a = layout_make(&room[0], outer ? lying : tall, dnnl_bf16, outer ? dnnl_ba : dnnl_ab);
    layout b = layout_make(&room[1], tall, dnnl_bf16, dnnl_ab);
    layout c = layout_make(&room[2], outer ? square : tall, dnnl_f32, dnnl_ab);
    dnnl_primitive_desc_t description, order = NULL;
    dnnl_primitive_attr_t attr;
    dnnl_post_ops_t sum;

    if (!outer)
        b = packed_order(onednn, key.H, &order);
    CALL(dnnl_primitive_attr_create(&attr));
    CALL(dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user));
    CALL(dnnl_post_ops_create(&sum));
    if (key.operands == OUTER_ADD)
        add_sum(sum);
    CALL(dnnl_primitive_attr_set_post_ops(attr, sum));
    CALL(describe(&description, onednn->engine, a, b, c, attr));
    CALL(dnnl_primitive_create(&product->primitive, description));
    product->a = memory_of(onednn, a);
    product->b = memory_of(onednn, b);
    product->c = memory_of(onednn, c);
    scratch_for(onednn, product, description);
    for (int i = 0; i < 3; i++)
        layout_release(&room[i]);
    dnnl_post_ops_destroy(sum);
    dnnl_primitive_attr_destroy(attr);
    dnnl_primitive_desc_destroy(description);
    if (order)
        dnnl_primitive_desc_destroy(order);
}

static struct prepared *prepared_for(struct tess_onednn *onednn, struct key key)
{
    for (size_t i = 0; i < onednn->n; i++) {
        struct prepared *known = &onednn->prepared[i];

        if (known->key.operands == key.operands && known->key.n == key.n && known->key.H == key.H)
            return known;
    }
    onednn->prepared =
        tess_grow(onednn->prepared, &onednn->room, onednn->n + 1, sizeof *onednn->prepared);
    onednn->prepared[onednn->n] = (struct prepared){.key = key};
    if (key.operands == PACK || key.operands == PACK_TRANSPOSED)
        prepare_pack(onednn, &onednn->prepared[onednn->n]);
    else
        prepare_product(onednn, &onednn->prepared[onednn->n]);
    return &onednn->prepared[onednn->n++];
}

/* `a` and `b` are not const to oneDNN, which does not write into them. */
static void execute(struct tess_onednn *onednn, struct key key, const void *a, const void *b,
                    void *c)
{
    int threads = alone();
    struct prepared *product = prepared_for(onednn, key);
    dnnl_exec_arg_t argument[4] = {
        {DNNL_ARG_SRC, product->a}, {DNNL_ARG_DST, product->c}, {DNNL_ARG_WEIGHTS, product->b}};
    int n = product->b ? 3 : 2;

    CALL(dnnl_memory_set_data_handle(product->a, (void *)(uintptr_t)a));
    CALL(dnnl_memory_set_data_handle(product->c, c));
    if (product->b)
        CALL(dnnl_memory_set_data_handle(product->b, (void *)(uintptr_t)b));
    if (product->scratch)
        argument[n++] = (dnnl_exec_arg_t){DNNL_ARG_SCRATCHPAD, product->scratch};
    CALL(dnnl_primitive_execute(product->primitive, onednn->stream, n, argument));
    CALL(dnnl_stream_wait(onednn->stream));
    omp_set_num_threads(threads);
}

size_t tess_onednn_packed_size(struct tess_onednn *onednn, int H)
{
    dnnl_primitive_desc_t product;
    int threads = alone();
    size_t bytes = dnnl_memory_desc_get_size(packed_order(onednn, H, &product));

    dnnl_primitive_desc_destroy(product);
    omp_set_num_threads(threads);
    return bytes;
}

void tess_onednn_pack(struct tess_onednn *onednn, int H, int transposed, const uint16_t *w,
                      void *to)
{
    execute(onednn, (struct key){transposed ? PACK_TRANSPOSED : PACK, H, H}, w, NULL, to);
}

void tess_onednn_rows(struct tess_onednn *onednn, int n, int H, const uint16_t *a, const void *b,
                      float *c)
{
    execute(onednn, (struct key){ROWS, n, H}, a, b, c);
}

void tess_onednn_outer(struct tess_onednn *onednn, const struct tess_gemm *gemm, int n)
{
    execute(onednn, (struct key){gemm->beta != 0 ? OUTER_ADD : OUTER, n, gemm->n}, gemm->low.a,
            gemm->low.b, gemm->c);
}

enum tess_unit tess_onednn_unit(void)
{
    unsigned have = (unsigned)dnnl_get_effective_cpu_isa();
    unsigned amx = (unsigned)dnnl_cpu_isa_avx512_core_amx;
    unsigned avx512 = (unsigned)dnnl_cpu_isa_avx512_core_bf16;

    if (amx != 0 && (have & amx) == amx)
        return TESS_UNIT_AMX;
    return avx512 != 0 && (have & avx512) == avx512 ? TESS_UNIT_AVX512 : TESS_UNIT_SGEMM;
}

char *tess_onednn_version(void)
{
    const dnnl_version_t *is = dnnl_version();

    return tess_format("%d.%d.%d", is->major, is->minor, is->patch);
}

#else

enum tess_unit tess_onednn_unit(void)
{
    return TESS_UNIT_SGEMM;
}

char *tess_onednn_version(void)
{
    return NULL;
}

struct tess_onednn *tess_onednn_make(void)
{
    return NULL;
}

void tess_onednn_release(struct tess_onednn *onednn)
{
    (void)onednn;
}

size_t tess_onednn_packed_size(struct tess_onednn *onednn, int H)
{
    (void)onednn;
    return 0 * (size_t)H;
}

void tess_onednn_pack(struct tess_onednn *onednn, int H, int transposed, const uint16_t *w,
                      void *to)
{
    (void)onednn, (void)H, (void)transposed, (void)w, (void)to;
}

void tess_onednn_rows(struct tess_onednn *onednn, int n, int H, const uint16_t *a, const void *b,
                      float *c)
{
    (void)onednn, (void)n, (void)H, (void)a, (void)b, (void)c;
}

void tess_onednn_outer(struct tess_onednn *onednn, const struct tess_gemm *gemm, int n)
{
    (void)onednn, (void)gemm, (void)n;
}

#endif
