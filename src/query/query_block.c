/* query_block.c -- queries as numbers: growing, in one piece, and seen in one. */
#include "query.h"

#include "tessera/alloc.h"

#include <string.h>

void tess_query_block_clear(struct tess_query_block *block)
{
    block->n_lines = block->n_rows = 0;
    block->member_first =
        tess_grow(block->member_first, &block->room_member_first, 1, sizeof *block->member_first);
    block->readout_first = tess_grow(block->readout_first, &block->room_readout_first, 1,
                                     sizeof *block->readout_first);
    block->member_first[0] = block->readout_first[0] = 0;
}

void tess_query_block_release(struct tess_query_block *block)
{
    tess_free(block->member_first);
    tess_free(block->member);
    tess_free(block->context);
    tess_free(block->readout_first);
    tess_free(block->readout);
    tess_free(block->known);
    *block = (struct tess_query_block){0};
}

/* The parts in their order: where each lies, and how many bytes it has. */
#define PARTS 6
static void parts_of(const struct tess_query_block *block, int64_t n_members, int64_t n_readouts,
                     int64_t bytes[PARTS])
{
    bytes[0] = bytes[1] = (block->n_rows + 1) * (int64_t)sizeof(int64_t);
    bytes[2] = n_members * (int64_t)sizeof(int64_t);
    bytes[3] = block->n_rows * (int64_t)sizeof(int64_t);
    bytes[4] = n_readouts * (int64_t)sizeof(int64_t);
    bytes[5] = block->n_lines;
}

char *tess_query_block_pack(const struct tess_query_block *block, int64_t *bytes)
{
    int64_t head[4] = {block->n_lines, block->n_rows, block->member_first[block->n_rows],
                       block->readout_first[block->n_rows]};
    const void *part[PARTS] = {block->member_first, block->readout_first, block->member,
                               block->context,      block->readout,       block->known};
    int64_t size[PARTS];
    char *packed, *at;

    parts_of(block, head[2], head[3], size);
    *bytes = (int64_t)sizeof head;
    for (int i = 0; i < PARTS; i++)
        *bytes += size[i];
    packed = at = TESS_NEW(char, *bytes);
    memcpy(at, head, sizeof head);
    at += sizeof head;
    for (int i = 0; i < PARTS; at += size[i++])
        if (size[i] > 0)
            memcpy(at, part[i], (size_t)size[i]);
    return packed;
}

void tess_query_block_view(struct tess_query_block *block, char *packed)
{
    int64_t head[4], size[PARTS];
    char *at[PARTS];

    memcpy(head, packed, sizeof head);
    *block = (struct tess_query_block){.n_lines = head[0], .n_rows = head[1]};
    parts_of(block, head[2], head[3], size);
    at[0] = packed + sizeof head;
    for (int i = 1; i < PARTS; i++)
        at[i] = at[i - 1] + size[i - 1];
    block->member_first = (int64_t *)(void *)at[0];
    block->readout_first = (int64_t *)(void *)at[1];
    block->member = (int64_t *)(void *)at[2];
    block->context = (int64_t *)(void *)at[3];
    block->readout = (int64_t *)(void *)at[4];
    block->known = (uint8_t *)at[5];
}
