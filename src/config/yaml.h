/* yaml.h -- reading the subset of YAML that settings need; internal to src/config. */
#ifndef TESSERA_CONFIG_YAML_H
#define TESSERA_CONFIG_YAML_H

#include <stddef.h>

struct tess_error;

/* The section of lists and ranges of settings (trials.h). */
#define TESS_YAML_SWEEP "sweep"

/* Called for each scalar: `key` is dotted ("train.batch"); `where` is "source:line". A return other
 * than TESS_OK ends the reading. */
typedef int tess_yaml_visit(void *state, const char *key, const char *value, const char *where,
                            struct tess_error *error);
/* Is `key` a setting, which takes a value and not a group? */
typedef int tess_yaml_is_leaf(const char *key);

/* Who takes what is read; `state` is handed to visit. is_list: may `key` have a list of values,
 * each of which is visited under its name? NULL: none may. */
struct tess_yaml_taker {
    tess_yaml_is_leaf *is_leaf;
    tess_yaml_visit *visit;
    void *state;
    tess_yaml_is_leaf *is_list;
};

/* Nested maps or dotted keys, scalar values, one document; each key once. TESS_ECONFIG with the
 * line for anything else. Local. */
int tess_yaml_read(const char *text, size_t length, const char *source,
                   const struct tess_yaml_taker *taker, struct tess_error *error);

/* The same of a file. */
int tess_yaml_read_file(const char *path, const struct tess_yaml_taker *taker,
                        struct tess_error *error);
/* "key=value", as given with --set. */
int tess_yaml_read_set(const char *text, const struct tess_yaml_taker *taker,
                       struct tess_error *error);

/* Is it the name of the section TESS_YAML_SWEEP, or of a key in it? */
int tess_yaml_is_sweep(const char *key);

#endif
