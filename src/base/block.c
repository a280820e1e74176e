/* block.c -- releasing a block's rows. */
#include "tessera/block.h"

#include "tessera/alloc.h"

void tess_block_release(struct tess_block *block)
{
    tess_free(block->dense);
    tess_free(block->indptr);
    tess_free(block->index);
    tess_free(block->data);
    *block = (struct tess_block){0};
}
