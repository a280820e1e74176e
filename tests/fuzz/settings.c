/* settings.c -- --set KEY=VALUE, and sections of sweeps: a configuration file that MPI's rank reads
 * by itself. The first byte says which. */
#include "fuzz.h"

#include "tessera/alloc.h"
#include "tessera/config.h"
#include "tessera/error.h"

#include <stdlib.h>
#include <string.h>

const int fuzz_needs = FUZZ_NOTHING;

void fuzz_one(const uint8_t *data, size_t n)
{
    struct tess_error error = TESS_ERROR_INIT;
    struct tess_config config;
    char *text = fuzz_text(data, n), *value = strchr(text, '='), *back;

    tess_config_init(&config);
    if (value) {
        *value++ = '\0';
        if (tess_config_set(&config, text, value, "--set", &error) == TESS_OK)
            for (int i = 0; i < tess_n_params; i++)
                if (strcmp(tess_params[i].name, text) == 0) {
                    struct tess_config again = config;

                    back = tess_config_get(&config, &tess_params[i]);
                    FUZZ_CHECK(tess_config_set(&again, text, back, "again", &error) == TESS_OK);
                    FUZZ_CHECK(memcmp(&config, &again, sizeof config) == 0);
                    tess_free(back);
                }
    }
    if (error.code != TESS_OK)
        fuzz_refused(&error, TESS_ECONFIG, "--set");
    free(text);
}
