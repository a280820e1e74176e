/* options.c -- one table makes the parser and the help. */
#include "tessera/options.h"

#include "tessera/alloc.h"
#include "tessera/call.h"
#include "tessera/error.h"
#include "tessera/log.h"
#include "tessera/text.h"
#include "tessera/writer.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

const struct tess_option tess_options_shared[] = {
    {"verbose", 'v', NULL, "say more"}, {"quiet", 'q', NULL, "warnings and errors only"}, {0}};

char *tess_options_expand(const char *text)
{
    static const struct {
        const char *word, *separator;
        char *(*make)(unsigned parts, const char *separator);
    } places[] = {{"{kinds}", " or ", tess_writer_names},
                  {"{endings}", " or ", tess_writer_endings},
                  {"{ENDINGS}", "|", tess_writer_endings}};
    char *all = tess_strdup(text);

    for (int i = 0; i < 3; i++)
        for (char *at; (at = strstr(all, places[i].word));) {
            char *old = all, *made = places[i].make(0, places[i].separator);

            all = tess_format("%.*s%s%s", (int)(at - all), all, made, at + strlen(places[i].word));
            tess_free(made);
            tess_free(old);
        }
    return all;
}

void tess_options_print(FILE *out, const struct tess_option *option)
{
    char head[128], letter[4] = "  ";
    char *argument = option->argument ? tess_options_expand(option->argument) : NULL,
         *help = tess_options_expand(option->help);
    int bracket = option->argument && option->argument[0] == '[';

    if (option->letter)
        snprintf(letter, sizeof letter, "-%c", option->letter);
    snprintf(head, sizeof head, "%s%s--%s%s%s", letter, option->letter ? ", " : "  ", option->name,
             !option->argument ? ""
             : bracket         ? "[="
                               : " ",
             !option->argument ? "" : argument + bracket);
    fprintf(out, "  %-34s %s\n", head, help);
    tess_free(argument);
    tess_free(help);
}

/* Before the rest is parsed: --help explains also a call with mistakes. */
int tess_options_help(const struct tess_command *command, int argc, char **argv)
{
    char *usage;
    int asked = 0;

    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        asked |= strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0;
    if (!asked)
        return 0;
    usage = tess_options_expand(command->usage);
    printf("usage: tessera %s\n\n%s\n", usage, command->summary);
    tess_free(usage);
    if (command->details)
        printf("\n%s\n", command->details);
    printf("\n");
    for (int i = 0; i < tess_command_n_options(command); i++)
        tess_options_print(stdout, &command->options[i]);
    for (int i = 0; tess_options_shared[i].name; i++)
        tess_options_print(stdout, &tess_options_shared[i]);
    return 1;
}

/* The table in getopt's forms. Codes: 256 + i for option i, so that letters keep theirs. */
static void translate(const struct tess_command *command, struct option *longs, char *shorts)
{
    int n = tess_command_n_options(command);

    *shorts++ = '-'; /* '-': positional arguments come back in order, as code 1 */
    *shorts++ = ':';
    *shorts++ = 'v';
    *shorts++ = 'q';
    for (int i = 0; i < n; i++) {
        const struct tess_option *option = &command->options[i];
        int needs = !option->argument            ? no_argument
                    : option->argument[0] == '[' ? optional_argument
                                                 : required_argument;

        longs[i] = (struct option){option->name, needs, NULL, 256 + i};
        if (option->letter) {
            *shorts++ = option->letter;
            for (int k = 0; k < needs; k++)
                *shorts++ = ':';
        }
    }
    longs[n] = (struct option){"verbose", no_argument, NULL, 'v'};
    longs[n + 1] = (struct option){"quiet", no_argument, NULL, 'q'};
}

static int index_of(const struct tess_command *command, int code)
{
    for (int i = 0; i < tess_command_n_options(command); i++)
        if (code == 256 + i || (command->options[i].letter && code == command->options[i].letter))
            return i;
    return -1;
}

/* getopt's ':' is an option without its value, which optopt names; '?' an option that is not there.
 */
static int refuse(const struct tess_command *command, int code, const char *text,
                  struct tess_error *error)
{
    const char *known[64];
    struct tess_strings near = {0};
    int n = tess_command_n_options(command), i = code == ':' ? index_of(command, optopt) : -1;

    if (code == ':') {
        char *argument = tess_options_expand(i >= 0 ? command->options[i].argument : "a value");

        tess_error_set(error, TESS_EUSAGE, "%s needs %s; see tessera %s --help", text, argument,
                       command->name);
        tess_free(argument);
        return error->code;
    }
    TESS_BUG_IF(n > 64);
    for (i = 0; i < n; i++)
        known[i] = command->options[i].name;
    if (strncmp(text, "--", 2) == 0)
        tess_text_nearest(text + 2, (size_t)n, known, 1, &near);
    tess_error_set(error, TESS_EUSAGE, "no option '%s'%s%s%s; see tessera %s --help", text,
                   near.n ? ": did you mean '--" : "", near.n ? near.item[0] : "",
                   near.n ? "'?" : "", command->name);
    tess_strings_release(&near);
    return error->code;
}

static int count_arguments(const struct tess_call *call, struct tess_error *error)
{
    const struct tess_command *command = call->command;
    char *usage = tess_options_expand(command->usage);

    if (call->n_args < command->min_args)
        tess_error_set(error, TESS_EUSAGE, "an argument is missing; usage: tessera %s", usage);
    else if (command->max_args >= 0 && call->n_args > command->max_args)
        tess_error_set(error, TESS_EUSAGE, "'%s' is one argument too many; usage: tessera %s",
                       call->args[command->max_args], usage);
    tess_free(usage);
    return error->code;
}

/* NONE is what all ranks but 0 have (main.c): -v must not give them a voice. */
static void set_level(enum tess_log_level level)
{
    if (tess_log_level != TESS_LOG_NONE)
        tess_log_level = level;
}

/* Names of files are kept in used.yaml, JSON and HDF5, which are UTF-8, and are read back from
 * there; symbols are UTF-8, too. */
static int refuse_text(const char *text, struct tess_error *error)
{
    char *shown = TESS_NEW(char, 4 * strlen(text) + 1), *to = shown;

    for (const char *c = text; *c; c++)
        to += snprintf(to, 5, (unsigned char)*c < 0x80 ? "%c" : "\\x%02x", (unsigned char)*c);
    tess_error_set(error, TESS_EUSAGE,
                   "'%s' is not UTF-8: files, directories and symbols are named in UTF-8 here; "
                   "rename it (convmv), or make a link to it with another name (ln -s)",
                   shown);
    tess_free(shown);
    return error->code;
}

int tess_options_parse(struct tess_call *call, int argc, char **argv, struct tess_error *error)
{
    int n = tess_command_n_options(call->command), code;
    struct option *longs = TESS_NEW(struct option, n + 3);
    char *shorts = TESS_NEW(char, 3 * n + 8);

    for (int i = 0; i < argc && error->code == TESS_OK; i++)
        if (!tess_text_is_utf8(argv[i], strlen(argv[i])))
            refuse_text(argv[i], error);
    call->value = TESS_NEW(struct tess_strings, n + 1);
    call->args = TESS_NEW(char *, argc + 1);
    translate(call->command, longs, shorts);
    opterr = 0;
    /* 0, not 1: glibc then starts anew and reads the leading "-" of shorts. */
    optind = 0;
    while (error->code == TESS_OK && (code = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
        int i = index_of(call->command, code);

        if (i >= 0)
            tess_strings_add(&call->value[i], optarg ? optarg : "");
        else if (code == 1)
            call->args[call->n_args++] = optarg;
        else if (code == 'v')
            set_level(TESS_LOG_DEBUG);
        else if (code == 'q')
            set_level(TESS_LOG_WARN);
        else
            refuse(call->command, code, argv[optind - 1], error);
    }
    for (; optind < argc; optind++)
        call->args[call->n_args++] = argv[optind];
    tess_free(longs);
    tess_free(shorts);
    return count_arguments(call, error);
}

void tess_options_release(struct tess_call *call)
{
    for (int i = 0; call->value && i < tess_command_n_options(call->command); i++)
        tess_strings_release(&call->value[i]);
    tess_free(call->value);
    tess_free(call->args);
}
