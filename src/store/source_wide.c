/* source_wide.c -- not built yet: recognises nothing. */
#include "tessera/source.h"

static int recognize(const char *path, const char *head, size_t n_head,
                     const struct tess_source_options *options)
{
    (void)path;
    (void)head;
    (void)n_head;
    (void)options;
    return 0;
}

const struct tess_source_type tess_source_wide = {.name = "wide table", .recognize = recognize};
