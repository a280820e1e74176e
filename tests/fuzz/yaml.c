/* yaml.c -- settings as YAML: any bytes are read or refused with a sentence, and what was read can
 * be written and read again. The first byte says whether they are a file with a sweep. */
#include "fuzz.h"

#include "tessera/alloc.h"
#include "tessera/config.h"
#include "tessera/error.h"
#include "tessera/trials.h"

#include <stdlib.h>
#include <string.h>

const int fuzz_needs = FUZZ_MPI;

static void read_again(const struct tess_config *config)
{
    struct tess_error error = TESS_ERROR_INIT;
    struct tess_config back;
    char *yaml = tess_config_yaml(config, 0, 1);

    FUZZ_CHECK(tess_config_parse(&back, yaml, "again", &error) == TESS_OK);
    FUZZ_CHECK(memcmp(config, &back, sizeof back) == 0);
    tess_free(yaml);
}

void fuzz_one(const uint8_t *data, size_t n)
{
    unsigned chosen = fuzz_take(&data, &n);
    struct tess_error error = TESS_ERROR_INIT;
    struct tess_trials trials = {0};
    struct tess_config config;
    char *text = fuzz_text(data, n);
    const char *path = fuzz_file("settings.yaml", data, n);

    if (chosen % 3 == 0) {
        if (tess_config_parse(&config, text, "settings.yaml", &error) == TESS_OK)
            read_again(&config);
    } else if (chosen % 3 == 1) {
        if (tess_config_read(&config, path, NULL, MPI_COMM_SELF, &error) == TESS_OK)
            read_again(&config);
    } else if (tess_trials_read(&trials, path, NULL, MPI_COMM_SELF, &error) == TESS_OK)
        FUZZ_CHECK(trials.n > 0 && trials.n <= TESS_TRIALS_MOST);
    if (error.code != TESS_OK)
        fuzz_refused(&error, TESS_ECONFIG, "settings.yaml");
    tess_trials_release(&trials);
    free(text);
}
