/* yaml.c -- libyaml's events to dotted keys. */
#include "yaml.h"

#include "tessera/alloc.h"
#include "tessera/error.h"
#include "tessera/text.h"

#include <ctype.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <yaml.h>

#define MAX_FILE (1 << 20) /* bytes; no configuration comes near */

/* of groups; settings need two */
#define MAX_DEPTH 8

struct reader {
    const char *source;
    const struct tess_yaml_taker *taker;
    char *prefix[MAX_DEPTH + 1]; /* dotted name of each open map; own */
    int depth; /* open maps */
    int documents;
    char *key; /* waits for its value; own */
    int in_list; /* 1 + values of the open list; 0: there is none */
    struct tess_strings seen;
    size_t room;
    int64_t *seen_line; /* (seen.n) own */
};

static int64_t line_of(const yaml_event_t *event)
{
    return (int64_t)event->start_mark.line + 1;
}

static int refuse(const struct reader *reader, const yaml_event_t *event, const char *what,
                  struct tess_error *error)
{
    return tess_error_set(error, TESS_ECONFIG, "%s:%lld: %s", reader->source,
                          (long long)line_of(event), what);
}

/* libyaml lets a key repeat, which YAML forbids (1.2, 3.2.1.3): the second would win unseen. */
static int read_key(struct reader *reader, const yaml_event_t *event, struct tess_error *error)
{
    const char *name = (const char *)event->data.scalar.value;
    const char *prefix = reader->prefix[reader->depth - 1];
    int64_t before;

    for (const char *c = name; *c; c++)
        if (iscntrl((unsigned char)*c))
            return refuse(reader, event, "a key holds a control character", error);
    if (!*name)
        return refuse(reader, event, "a key is empty", error);
    reader->key = tess_format("%s%s%s", prefix, *prefix ? "." : "", name);
    before = tess_strings_find(&reader->seen, reader->key);
    if (before >= 0)
        return tess_error_set(
            error, TESS_ECONFIG, "%s:%lld: '%s' is given twice, first on line %lld", reader->source,
            (long long)line_of(event), reader->key, (long long)reader->seen_line[before]);
    tess_strings_add(&reader->seen, reader->key);
    reader->seen_line =
        tess_grow(reader->seen_line, &reader->room, reader->seen.n, sizeof reader->seen_line[0]);
    reader->seen_line[reader->seen.n - 1] = line_of(event);
    return TESS_OK;
}

static int read_scalar(struct reader *reader, const yaml_event_t *event, struct tess_error *error)
{
    const char *value = (const char *)event->data.scalar.value;
    char *where;

    if (strlen(value) != event->data.scalar.length)
        return refuse(reader, event, "a text holds a NUL character", error);
    if (reader->depth == 0) {
        if (!*value && event->data.scalar.plain_implicit)
            return TESS_OK; /* an empty document */
        return refuse(reader, event, "expected lines of the form 'key: value'", error);
    }
    if (!reader->key)
        return read_key(reader, event, error);
    where = tess_format("%s:%lld", reader->source, (long long)line_of(event));
    reader->taker->visit(reader->taker->state, reader->key, value, where, error);
    tess_free(where);
    if (reader->in_list) {
        reader->in_list++;
        return error->code;
    }
    tess_free(reader->key);
    reader->key = NULL;
    return error->code;
}

static int open_list(struct reader *reader, const yaml_event_t *event, struct tess_error *error)
{
    if (reader->in_list || !reader->key || !reader->taker->is_list ||
        !reader->taker->is_list(reader->key))
        return refuse(reader, event, "a list stands where one value is expected", error);
    reader->in_list = 1;
    return TESS_OK;
}

static int close_list(struct reader *reader, const yaml_event_t *event, struct tess_error *error)
{
    if (reader->in_list == 1)
        return refuse(reader, event, "a list is empty", error);
    reader->in_list = 0;
    tess_free(reader->key);
    reader->key = NULL;
    return TESS_OK;
}

static int open_map(struct reader *reader, const yaml_event_t *event, struct tess_error *error)
{
    if (reader->in_list)
        return refuse(reader, event, "a list holds a group, where a value is expected", error);
    if (reader->depth > 0 && !reader->key)
        return refuse(reader, event, "a key must be a word", error);
    if (reader->key && reader->taker->is_leaf(reader->key))
        return tess_error_set(error, TESS_ECONFIG, "%s:%lld: '%s' takes one value, not a group",
                              reader->source, (long long)line_of(event), reader->key);
    if (reader->depth == MAX_DEPTH)
        return refuse(reader, event, "groups are nested too deeply", error);
    /* the key that waited is the group's name now, and owned by prefix[] */
    reader->prefix[reader->depth++] = reader->key ? reader->key : tess_strdup("");
    reader->key = NULL;
    return TESS_OK;
}

static int read_event(struct reader *reader, const yaml_event_t *event, struct tess_error *error)
{
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (reader->documents++)
            return refuse(reader, event, "a second document starts; one is enough", error);
        return TESS_OK;
    case YAML_SCALAR_EVENT:
        return read_scalar(reader, event, error);
    case YAML_MAPPING_START_EVENT:
        return open_map(reader, event, error);
    case YAML_MAPPING_END_EVENT:
        tess_free(reader->prefix[--reader->depth]);
        return TESS_OK;
    case YAML_SEQUENCE_START_EVENT:
        return open_list(reader, event, error);
    case YAML_SEQUENCE_END_EVENT:
        return close_list(reader, event, error);
    case YAML_ALIAS_EVENT:
        return refuse(reader, event, "aliases (*name) are not understood; write the value", error);
    default:
        return TESS_OK;
    }
}

/* libyaml's own sentence, in our form. */
static int refuse_syntax(const yaml_parser_t *parser, const char *source, struct tess_error *error)
{
    if (parser->error == YAML_READER_ERROR)
        return tess_error_set(error, TESS_ECONFIG, "%s: byte %zu: %s; is this a text file?", source,
                              parser->problem_offset,
                              parser->problem ? parser->problem : "bad byte");
    return tess_error_set(error, TESS_ECONFIG, "%s:%zu:%zu: not YAML: %s%s%s", source,
                          parser->problem_mark.line + 1, parser->problem_mark.column + 1,
                          parser->problem ? parser->problem : "cannot be understood",
                          parser->context ? " " : "", parser->context ? parser->context : "");
}

/* An error ends the reading in the middle of groups: their names are released below. */
int tess_yaml_read(const char *text, size_t length, const char *source,
                   const struct tess_yaml_taker *taker, struct tess_error *error)
{
    struct reader reader = {.source = source, .taker = taker};
    yaml_parser_t parser;
    int done = 0;

    if (!yaml_parser_initialize(&parser))
        return tess_error_set(error, TESS_EOS, "%s: not enough memory for the YAML reader", source);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, length);
    while (!done && error->code == TESS_OK) {
        yaml_event_t event;

        if (!yaml_parser_parse(&parser, &event)) {
            refuse_syntax(&parser, source, error);
            break;
        }
        done = event.type == YAML_STREAM_END_EVENT;
        read_event(&reader, &event, error);
        yaml_event_delete(&event);
    }
    while (reader.depth > 0)
        tess_free(reader.prefix[--reader.depth]);
    tess_free(reader.key);
    tess_strings_release(&reader.seen);
    tess_free(reader.seen_line);
    yaml_parser_delete(&parser);
    return error->code;
}

/* A byte more than is allowed is asked for, which shows a larger file: a pipe has no size to look
 * at. */
int tess_yaml_read_file(const char *path, const struct tess_yaml_taker *taker,
                        struct tess_error *error)
{
    char *text = TESS_NEW(char, MAX_FILE + 1);
    FILE *file = NULL;
    size_t length = 0;

    if (tess_fail_here(error, path))
        goto done;
    file = fopen(path, "r");
    if (file)
        length = fread(text, 1, MAX_FILE + 1, file);
    if (!file || ferror(file))
        tess_error_set(error, TESS_ECONFIG, "%s: cannot be read: %s", path, strerror(errno));
    else if (length > MAX_FILE)
        tess_error_set(error, TESS_ECONFIG, "%s: larger than 1 MiB: is this a configuration?",
                       path);
    else
        tess_yaml_read(text, length, path, taker, error);
done:
    if (file)
        fclose(file);
    tess_free(text);
    return error->code;
}

int tess_yaml_read_set(const char *text, const struct tess_yaml_taker *taker,
                       struct tess_error *error)
{
    const char *equals = strchr(text, '=');
    char *name;

    if (!equals)
        return tess_error_set(error, TESS_ECONFIG, "--set: '%.80s' is not of the form key=value",
                              text);
    name = tess_strdup(text);
    name[equals - text] = '\0';
    taker->visit(taker->state, name, equals + 1, "--set", error);
    tess_free(name);
    return error->code;
}

int tess_yaml_is_sweep(const char *key)
{
    size_t length = strlen(TESS_YAML_SWEEP);

    return strncmp(key, TESS_YAML_SWEEP, length) == 0 &&
           (key[length] == '\0' || key[length] == '.');
}
