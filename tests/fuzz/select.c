/* select.c -- symbols by name, pattern, combination and file, of a small vocabulary. The first byte
 * says how the rest comes: as text of an option, as a file of symbols, or as a file of pairs. */
#include "fuzz.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/select.h"
#include "tessera/text.h"
#include "tessera/vocab.h"

#include <stdlib.h>
#include <string.h>

const int fuzz_needs = FUZZ_NOTHING;

static const char *const symbols[] = {"A", "B", "B+C", "C", "D1", "D[1]", "untrained"};
static const uint8_t trained[] = {1, 1, 1, 1, 1, 1, 0};
enum { N = 7 };

void fuzz_one(const uint8_t *data, size_t n)
{
    unsigned chosen = fuzz_take(&data, &n);
    struct tess_vocab vocab;
    struct tess_choice choice = {.vocab = &vocab,
                                 .trained = trained,
                                 .what = "perturbation",
                                 .source = "the model",
                                 .combinations = chosen & 1};
    struct tess_strings given = {0};
    struct tess_sets sets = {0};
    struct tess_error error = TESS_ERROR_INIT;
    char *text = fuzz_text(data, n);

    tess_vocab_init(&vocab, N, symbols, NULL);
    if (chosen & 4)
        tess_select_pairs(&choice, fuzz_file("symbols.txt", data, n), &sets, &error);
    else if (chosen & 2) {
        char *item = tess_format("@%s", fuzz_file("symbols.txt", data, n));

        tess_strings_add(&given, item);
        tess_free(item);
        tess_select(&choice, &given, &sets, &error);
    } else if (!strchr(text, '@') && !strchr(text, '/')) { /* no files of the machine */
        tess_strings_split(&given, text, ',');
        tess_select(&choice, &given, &sets, &error);
    }
    for (int64_t i = 0; i < sets.n && error.code == TESS_OK; i++)
        for (int64_t k = sets.first[i]; k < sets.first[i + 1]; k++)
            FUZZ_CHECK(sets.member[k] >= 0 && sets.member[k] < N && trained[sets.member[k]]);
    if (error.code != TESS_OK)
        fuzz_refused(&error, TESS_EUSAGE, NULL);
    tess_strings_release(&given);
    tess_sets_release(&sets);
    tess_vocab_release(&vocab);
    free(text);
}
