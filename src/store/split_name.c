/* split_name.c -- train, val, test, unused. */
#include "tessera/split_name.h"

#include "tessera/error.h"

#include <strings.h>

static const char *const split_names[] = {"train", "val", "test", "unused"};

static const struct {
    const char *word;
    int split;
} synonyms[] = {{"training", TESS_TRAIN}, {"validation", TESS_VAL}, {"valid", TESS_VAL}};

int tess_split_parse(const char *text)
{
    for (int i = 0; i < 4; i++)
        if (strcasecmp(text, split_names[i]) == 0)
            return i;
    for (size_t i = 0; i < sizeof synonyms / sizeof synonyms[0]; i++)
        if (strcasecmp(text, synonyms[i].word) == 0)
            return synonyms[i].split;
    return *text == '\0' ? TESS_UNUSED : -1;
}

const char *tess_split_name(int split)
{
    TESS_BUG_IF(split < 0 || split > TESS_UNUSED);
    return split_names[split];
}
