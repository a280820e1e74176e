/* manual.c -- manual pages (roff's macros "man") from the tables of commands, options and settings.
 */
#include "tessera/manual.h"

#include "tessera/alloc.h"
#include "tessera/command.h"
#include "tessera/config.h"
#include "tessera/options.h"
#include "tessera/version.h"

#include <ctype.h>
#include <string.h>

/* Bytes of the character that begins here, and its number. The tables are UTF-8. */
static int decode(const char *text, unsigned *number)
{
    unsigned char head = (unsigned char)*text;
    int n = head < 0x80 ? 1 : head < 0xe0 ? 2 : head < 0xf0 ? 3 : 4;

    *number = n == 1 ? head : head & (0xffU >> (n + 1));
    for (int i = 1; i < n; i++)
        *number = *number << 6 | ((unsigned char)text[i] & 0x3f);
    return n;
}

/* As it stands in the text: nothing in it is roff's, and a hyphen can be copied. */
static void put_part(FILE *out, const char *text, size_t n)
{
    static const char plain[] = "\\-'`^~", *const escaped[] = {"\\e",   "\\-",   "\\(aq",
                                                               "\\(ga", "\\(ha", "\\(ti"};
    unsigned number;

    for (size_t at = 0; at < n; at += (size_t)decode(text + at, &number)) {
        const char *known;

        decode(text + at, &number);
        if (number == '.' && (at == 0 || text[at - 1] == '\n'))
            fputs("\\&", out);
        known = number < 0x80 ? strchr(plain, (int)number) : NULL;
        if (known)
            fputs(escaped[known - plain], out);
        else if (number < 0x80)
            fputc((int)number, out);
        else
            fprintf(out, "\\[u%04X]", number);
    }
}

static void put(FILE *out, const char *text)
{
    put_part(out, text, strlen(text));
}

static void put_font(FILE *out, char font, const char *text)
{
    fprintf(out, "\\f%c", font);
    put(out, text);
    fputs("\\fR", out);
}

#define USAGE_INDENT "       " /* under "usage: " */

static size_t line_of(const char *text)
{
    return strcspn(text, "\n");
}

/* Up to an empty line, or the end: lines that begin with a blank stay as they are, others flow. */
static const char *put_paragraph(FILE *out, const char *text)
{
    const char *end = strstr(text, "\n\n");
    size_t n = end ? (size_t)(end - text) : strlen(text);
    int as_is = text[0] == ' ';

    for (size_t at = 0; at + 1 < n && !as_is; at++)
        as_is = text[at] == '\n' && text[at + 1] == ' ';
    fputs(as_is ? ".PP\n.nf\n" : ".PP\n", out);
    for (size_t at = 0; at < n; at += line_of(text + at) + 1) {
        put_part(out, text + at, line_of(text + at));
        fputc('\n', out);
    }
    if (as_is)
        fputs(".fi\n", out);
    text += n;
    return text + strspn(text, "\n");
}

static void put_head(FILE *out, const char *name, int section, const char *summary)
{
    fputs(".\\\" Made by 'tessera --man' from the tables that make --help.\n.TH ", out);
    for (const char *c = name; *c; c++)
        *c == '-' ? fputs("\\-", out) : fputc(toupper((unsigned char)*c), out);
    fprintf(out, " %d \"\" \"tessera %s\" \"Tessera\"\n.SH NAME\n", section, tess_version);
    put(out, name);
    fputs(" \\- ", out);
    put(out, summary);
    fputs("\n", out);
}

static void put_option(FILE *out, const struct tess_option *option)
{
    char *argument = option->argument ? tess_options_expand(option->argument) : NULL,
         *help = tess_options_expand(option->help);
    int bracket = argument && argument[0] == '[';

    fputs(".TP\n", out);
    if (option->letter)
        fprintf(out, "\\fB\\-%c\\fR, ", option->letter);
    fputs("\\fB\\-\\-", out);
    put(out, option->name);
    fputs("\\fR", out);
    if (argument) { /* "[X]" is [=X] */
        fputs(bracket ? "[=" : " ", out);
        put_font(out, 'I', argument + bracket);
    }
    fputc('\n', out);
    put(out, help);
    fputc('\n', out);
    tess_free(argument);
    tess_free(help);
}

static void put_options(FILE *out, const struct tess_command *command,
                        const struct tess_option *shared)
{
    fputs(".SH OPTIONS\n", out);
    for (int i = 0; i < tess_command_n_options(command); i++)
        put_option(out, &command->options[i]);
    for (; shared && shared->name; shared++)
        put_option(out, shared);
}

/* The first line lacks the program's name; others are indented as --help has them. */
static void put_usage(FILE *out, const struct tess_command *command)
{
    char *usage = tess_options_expand(command->usage);

    fputs(".SH SYNOPSIS\n.nf\n", out);
    for (const char *line = usage; *line;) {
        if (strncmp(line, USAGE_INDENT, strlen(USAGE_INDENT)) == 0)
            line += strlen(USAGE_INDENT);
        if (line == usage || strncmp(line, "tessera ", 8) == 0)
            fputs("\\fBtessera\\fR ", out);
        if (strncmp(line, "tessera ", 8) == 0)
            line += 8;
        put_part(out, line, line_of(line));
        fputc('\n', out);
        line += line_of(line);
        line += *line == '\n';
    }
    fputs(".fi\n", out);
    tess_free(usage);
}

static void put_details(FILE *out, const struct tess_command *command)
{
    fputs(".SH DESCRIPTION\n", out);
    if (!command->details) {
        fputc(toupper((unsigned char)command->summary[0]), out);
        put(out, command->summary + 1);
        fputs(".\n", out);
    }
    for (const char *at = command->details; at && *at;)
        at = put_paragraph(out, at + strspn(at, "\n"));
}

static void put_exits(FILE *out)
{
    static const struct {
        const char *code, *what;
    } exits[] = {
        {"0", "done"},
        {"2", "the command line is wrong"},
        {"65", "an input file or what it holds is wrong"},
        {"70", "a bug of Tessera"},
        {"71", "the machine: not enough memory, or kernels that differ between nodes"},
        {"73", "an output cannot be created, is an input, or was written by another program"},
        {"74", "reading or writing failed"},
        {"75", "stopped after all was saved: run the same command again"},
        {"78", "the configuration is wrong"},
    };

    fputs(".SH EXIT STATUS\n", out);
    for (size_t i = 0; i < sizeof exits / sizeof exits[0]; i++) {
        fprintf(out, ".TP\n\\fB%s\\fR\n", exits[i].code);
        put(out, exits[i].what);
        fputc('\n', out);
    }
}

/* Of tessera(1), by and by its other pages. */
static void put_references(FILE *out, const struct tess_command *const *commands, const char *but)
{
    const char *separator = "";

    fputs(".SH SEE ALSO\n", out);
    if (but) {
        fputs(".BR tessera (1)", out);
        separator = ",\n";
    }
    for (; commands && *commands; commands++) {
        fprintf(out, "%s.BR tessera\\-%s (1)", separator, (*commands)->name);
        separator = ",\n";
    }
    if (!but || strcmp(but, "settings") != 0)
        fprintf(out, "%s.BR tessera\\-settings (5)", separator);
    fputc('\n', out);
}

static void print_program(FILE *out, const struct tess_command *program,
                          const struct tess_command *const *commands)
{
    put_head(out, "tessera", 1, program->summary);
    put_usage(out, program);
    put_details(out, program);
    fputs(".SH COMMANDS\n", out);
    for (int i = 0; commands[i]; i++) {
        fprintf(out, ".TP\n.BR tessera\\-%s (1)\n", commands[i]->name);
        put(out, commands[i]->summary);
        fputc('\n', out);
    }
    put_options(out, program, NULL);
    put_exits(out);
    put_references(out, commands, NULL);
}

static void print_command(FILE *out, const struct tess_command *command)
{
    char *name = tess_format("tessera-%s", command->name);

    put_head(out, name, 1, command->summary);
    put_usage(out, command);
    put_details(out, command);
    put_options(out, command, tess_options_shared);
    put_exits(out);
    put_references(out, NULL, command->name);
    tess_free(name);
}

static void print_settings(FILE *out)
{
    put_head(out, "tessera-settings", 5, "settings of a training");
    fputs(".SH DESCRIPTION\n", out);
    put(out, "A setting stands in the YAML file that 'tessera train' is given, as a key of a "
             "nested map or\n"
             "with dots, or behind --set on the command line: --set train.epochs=20. Each is "
             "followed by\n"
             "its value where nothing is said.\n");
    fputs(".SH SETTINGS\n", out);
    for (int i = 0; i < tess_n_params; i++) {
        const struct tess_param *param = &tess_params[i];

        fputs(".TP\n", out);
        put_font(out, 'B', param->name);
        fputs(" (", out);
        if (param->choices || param->unit)
            put(out, param->choices ? param->choices : param->unit);
        fputs(param->choices || param->unit ? "; " : "", out);
        put(out, *param->initial ? param->initial : "empty");
        fputs(")\n", out);
        put(out, param->help);
        fputc('\n', out);
    }
    put_references(out, NULL, "settings");
}

int tess_manual_print(FILE *out, const struct tess_command *program,
                      const struct tess_command *const *commands, const char *name)
{
    if (!name)
        return print_program(out, program, commands), 1;
    if (strcmp(name, "settings") == 0)
        return print_settings(out), 1;
    for (int i = 0; commands[i]; i++)
        if (strcmp(commands[i]->name, name) == 0)
            return print_command(out, commands[i]), 1;
    return 0;
}
