/* yaml.c -- libFuzzer's entry: any bytes are read as settings or refused with a sentence, and what
 * was read can be written and read again. */
#include "tessera/config.h"
#include "tessera/error.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tess_error error = TESS_ERROR_INIT;
    struct tess_config config, back;
    char *text = malloc(size + 1), *yaml;

    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    if (tess_config_parse(&config, text, "fuzz", &error) == TESS_OK) {
        yaml = tess_config_yaml(&config, 0, 1);
        TESS_BUG_IF(tess_config_parse(&back, yaml, "again", &error) != TESS_OK);
        TESS_BUG_IF(memcmp(&config, &back, sizeof back) != 0);
        free(yaml);
    } else
        TESS_BUG_IF(error.code != TESS_ECONFIG || strchr(error.text, '\n'));
    free(text);
    return 0;
}
