/* vocab.c -- sorted symbols of fixed width. */
#include "tessera/vocab.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

void tess_vocab_reserve(struct tess_vocab *vocab, int64_t n, int width)
{
    *vocab = (struct tess_vocab){.n = n, .width = width};
    vocab->text = TESS_NEW(char, n *(width + 1));
    vocab->symbol = TESS_NEW(const char *, n);
    for (int64_t i = 0; i < n; i++)
        vocab->symbol[i] = vocab->text + i * (width + 1);
}

struct numbered {
    const char *text;
    int64_t number;
};

/* Byte order, in every locale: what is sorted here is searched by other programs and ranks. */
static int compare(const void *a, const void *b)
{
    return strcmp(((const struct numbered *)a)->text, ((const struct numbered *)b)->text);
}

void tess_vocab_init(struct tess_vocab *vocab, int64_t n, const char *const *symbol, int64_t *order)
{
    struct numbered *sorted = TESS_NEW(struct numbered, n);
    size_t width = 1;

    for (int64_t i = 0; i < n; i++) {
        sorted[i] = (struct numbered){symbol[i], i};
        if (strlen(symbol[i]) > width)
            width = strlen(symbol[i]);
    }
    qsort(sorted, (size_t)n, sizeof *sorted, compare);
    tess_vocab_reserve(vocab, n, tess_int((int64_t)width));
    for (int64_t i = 0; i < n; i++) {
        TESS_BUG_IF(i > 0 && strcmp(sorted[i - 1].text, sorted[i].text) == 0);
        memcpy(vocab->text + (size_t)i * (width + 1), sorted[i].text, strlen(sorted[i].text));
        if (order)
            order[i] = sorted[i].number;
    }
    tess_free(sorted);
}

int tess_vocab_init_block(struct tess_vocab *vocab, int64_t n, int width, const char *block,
                          const char *what, struct tess_error *error)
{
    tess_vocab_reserve(vocab, n, width);
    for (int64_t i = 0; i < n; i++)
        memcpy(vocab->text + i * (width + 1), block + i * width, (size_t)width);
    for (int64_t i = 1; i < n; i++)
        if (strcmp(vocab->symbol[i - 1], vocab->symbol[i]) >= 0)
            return tess_error_set(error, TESS_EDATA,
                                  "%s: symbols %lld and %lld are not in order: the file is damaged",
                                  what, (long long)i - 1, (long long)i);
    return TESS_OK;
}

void tess_vocab_copy(struct tess_vocab *to, const struct tess_vocab *from)
{
    tess_vocab_reserve(to, from->n, from->width);
    memcpy(to->text, from->text, (size_t)from->n * (size_t)(from->width + 1));
}

void tess_vocab_release(struct tess_vocab *vocab)
{
    tess_free(vocab->text);
    tess_free(vocab->symbol);
    *vocab = (struct tess_vocab){0};
}

/* strncmp says only that the symbol begins so: it is the one if it ends there, too. */
int64_t tess_vocab_find_n(const struct tess_vocab *vocab, const char *symbol, size_t length)
{
    int64_t low = 0, high = vocab->n;

    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        int order = strncmp(vocab->symbol[middle], symbol, length);

        if (order == 0)
            order = vocab->symbol[middle][length] != '\0';
        if (order == 0)
            return middle;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return -1;
}

int64_t tess_vocab_find(const struct tess_vocab *vocab, const char *symbol)
{
    size_t length = strlen(symbol);

    return length > (size_t)vocab->width ? -1 : tess_vocab_find_n(vocab, symbol, length);
}

uint64_t tess_vocab_hash(const struct tess_vocab *vocab)
{
    return XXH3_64bits(vocab->text, (size_t)vocab->n * (size_t)(vocab->width + 1));
}

int tess_vocab_refuse(const struct tess_vocab *vocab, const struct tess_strings *unknown,
                      const char *what, const char *source, struct tess_error *error)
{
    struct tess_strings near = {0};
    char *list, *nearest;

    /* three are enough for a sentence: each is compared with every symbol */
    for (size_t i = 0; i < unknown->n && i < 3; i++) {
        struct tess_strings some = {0};

        tess_text_nearest(unknown->item[i], (size_t)vocab->n, vocab->symbol, 3, &some);
        for (size_t k = 0; k < some.n; k++)
            if (tess_strings_find(&near, some.item[k]) < 0)
                tess_strings_add(&near, some.item[k]);
        tess_strings_release(&some);
    }
    list = tess_strings_join(unknown, ", ", 10);
    nearest = tess_strings_join(&near, ", ", 9);
    tess_error_set(error, TESS_EDATA, "%s does not know %zu %s%s: %s; nearest known: %s", source,
                   unknown->n, what, unknown->n == 1 ? "" : "s", list, near.n ? nearest : "none");
    tess_free(list);
    tess_free(nearest);
    tess_strings_release(&near);
    return error->code;
}
