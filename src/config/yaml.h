/* yaml.h -- reading the subset of YAML that settings need; internal to src/config. */
#ifndef TESSERA_CONFIG_YAML_H
#define TESSERA_CONFIG_YAML_H

#include <stddef.h>

struct tess_error;

/* Called for each scalar: `key` is dotted ("train.batch"); `where` is "source:line". A return other
 * than TESS_OK ends the reading. */
typedef int tess_yaml_visit(void *state, const char *key, const char *value, const char *where,
                            struct tess_error *error);
/* Is `key` a setting, which takes a value and not a group? */
typedef int tess_yaml_is_leaf(const char *key);

/* Who takes what is read; `state` is handed to visit. */
struct tess_yaml_taker {
    tess_yaml_is_leaf *is_leaf;
    tess_yaml_visit *visit;
    void *state;
};

/* Nested maps or dotted keys, scalar values, one document; each key once. TESS_ECONFIG with the
 * line for anything else. Local. */
int tess_yaml_read(const char *text, size_t length, const char *source,
                   const struct tess_yaml_taker *taker, struct tess_error *error);

#endif
