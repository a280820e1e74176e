/* completion.c -- completion of the command line for bash and zsh, from the tables of commands,
 * options and settings. */
#include "tessera/completion.h"

#include "tessera/alloc.h"
#include "tessera/command.h"
#include "tessera/config.h"
#include "tessera/options.h"
#include "tessera/text.h"

#include <ctype.h>
#include <string.h>

/* What may follow an option. */
struct values {
    int setting; /* KEY=VALUE of a configuration */
    int file; /* the name of one */
    struct tess_strings word; /* out of these */
};

static int is_word(const char *text)
{
    return islower((unsigned char)*text) &&
           text[strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_-")] == '\0';
}

/* "FILE.h5ad", "STORE", "OUT.tsv": what the tables call things that are files. */
static int names_file(const char *text)
{
    static const char *const known[] = {"FILE",  "STORE", "RUN",       "CONFIG", "DIR",
                                        "TABLE", "TSV",   "CELLS",     "OUT",    "REPORT",
                                        "EDGES", "GOLD",  "CHECKPOINT"};
    size_t n = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (n == strlen(known[i]) && strncmp(text, known[i], n) == 0)
            return 1;
    return 0;
}

/* From "auto|on|off", "FILE|all", "KEY=VALUE", "N". */
static struct values values_of(const struct tess_option *option)
{
    struct values values = {0};
    struct tess_strings part = {0};
    char *argument = tess_options_expand(option->argument);

    values.setting = strcmp(argument, "KEY=VALUE") == 0;
    tess_strings_split(&part, argument, '|');
    for (size_t i = 0; i < part.n; i++) {
        values.file |= names_file(part.item[i]);
        if (is_word(part.item[i]))
            tess_strings_add(&values.word, part.item[i]);
    }
    tess_strings_release(&part);
    tess_free(argument);
    return values;
}

/* Words that a command's first argument can be: "infer" of "network infer FILE", line by line. */
static struct tess_strings first_words(const struct tess_command *command)
{
    struct tess_strings line = {0}, first = {0};
    size_t n = strlen(command->name);

    tess_strings_split(&line, command->usage, '\n');
    for (size_t i = 0; i < line.n; i++) {
        const char *at = strstr(line.item[i], command->name);
        char *word;

        if (!at || at[n] != ' ')
            continue;
        word = tess_format("%.*s", (int)strcspn(at + n + 1, " "), at + n + 1);
        if (is_word(word))
            tess_strings_add(&first, word);
        tess_free(word);
    }
    tess_strings_release(&line);
    return first;
}

static void put_words(FILE *out, const struct tess_strings *word)
{
    for (size_t i = 0; i < word->n; i++)
        fprintf(out, "%s%s", i ? " " : "", word->item[i]);
}

static void put_choices(FILE *out, const char *choices)
{
    for (; *choices; choices++)
        fputc(*choices == '|' ? ' ' : *choices, out);
}

/* Keys, then the values of those that have a fixed set, as two functions that print them. */
static void put_settings(FILE *out)
{
    fputs("_tessera_keys() {\n    echo '", out);
    for (int i = 0; i < tess_n_params; i++)
        fprintf(out, "%s%s", i ? " " : "", tess_params[i].name);
    fputs("'\n}\n\n_tessera_key_values() {\n    case $1 in\n", out);
    for (int i = 0; i < tess_n_params; i++)
        if (tess_params[i].choices) {
            fprintf(out, "    %s) echo '", tess_params[i].name);
            put_choices(out, tess_params[i].choices);
            fputs("' ;;\n", out);
        }
    fputs("    esac\n}\n\n", out);
}

/* ---- bash ---- */

/* Behind which option comes what; of those that take nothing, or may, nothing is said. */
static void bash_values(FILE *out, const char *command, const struct tess_option *option)
{
    struct values values;

    if (!option->argument || option->argument[0] == '[')
        return;
    values = values_of(option);
    fputs("    ", out);
    if (option->letter)
        fprintf(out, "'%s -%c' | ", command, option->letter);
    fprintf(out, "'%s --%s') echo '%s", command, option->name,
            values.setting ? "@setting"
            : values.file  ? "@file"
                           : "@none");
    for (size_t i = 0; i < values.word.n; i++)
        fprintf(out, " %s", values.word.item[i]);
    fputs("' ;;\n", out);
    tess_strings_release(&values.word);
}

static void bash_options(FILE *out, const struct tess_command *command, const char *name,
                         const struct tess_option *shared)
{
    const char *separator = "";

    fprintf(out, "    '%s') echo '", name);
    for (int i = 0; i < tess_command_n_options(command); i++, separator = " ")
        fprintf(out, "%s--%s", separator, command->options[i].name);
    for (; shared && shared->name; shared++, separator = " ")
        fprintf(out, "%s--%s", separator, shared->name);
    fprintf(out, "%s' ;;\n", shared ? " --help" : "");
}

static const char bash_function[] =
    "_tessera() {\n"
    "    local line=() i word command='' option cur prefix='' values kind words=''\n"
    "    COMPREPLY=()\n"
    "    # bash may have cut words at '=': they are put together again\n"
    "    for ((i = 1; i <= COMP_CWORD; i++)); do\n"
    "        word=${COMP_WORDS[i]}\n"
    "        if [[ ${#line[@]} -gt 0 && ( $word == = || ( ${COMP_WORDS[i - 1]} == = && $i -gt 1 ) "
    ") ]]; then\n"
    "            line[${#line[@]}-1]+=$word\n"
    "        else\n"
    "            line+=(\"$word\")\n"
    "        fi\n"
    "    done\n"
    "    cur=${line[${#line[@]}-1]}\n"
    "    option=''\n"
    "    [[ ${#line[@]} -lt 2 ]] || option=${line[${#line[@]}-2]}\n"
    "    for ((i = 0; i < ${#line[@]} - 1; i++)); do\n"
    "        [[ ${line[i]} == -* ]] || { command=${line[i]}; break; }\n"
    "    done\n"
    "    if [[ $cur == --*=* ]]; then\n"
    "        option=${cur%%=*} prefix=${cur%%=*}=\n"
    "        cur=${cur#*=}\n"
    "    fi\n"
    "    values=$(_tessera_values \"$command $option\")\n"
    "    kind=${values%% *}\n"
    "    [[ $values != *' '* ]] || words=${values#* }\n"
    "    if [[ -z $values && $cur == -* ]]; then\n"
    "        words=$(_tessera_options \"$command\")\n"
    "    elif [[ -z $values && -z $command ]]; then\n"
    "        words=$(_tessera_commands)\n"
    "    elif [[ -z $values ]]; then\n"
    "        kind=@file\n"
    "        [[ $i -ne ${#line[@]}-2 ]] || words=$(_tessera_first \"$command\")\n"
    "        [[ -z $words ]] || kind=@none\n"
    "    elif [[ $kind == @setting && $cur == *=* ]]; then\n"
    "        words=$(_tessera_key_values \"${cur%%=*}\")\n"
    "        [[ -n $words ]] || kind=@file\n"
    "        prefix+=${cur%%=*}=\n"
    "        cur=${cur#*=}\n"
    "    elif [[ $kind == @setting ]]; then\n"
    "        words=$(_tessera_keys)\n"
    "        words=\"${words// /= }=\"\n"
    "        compopt -o nospace 2>/dev/null\n"
    "    fi\n"
    "    [[ -z $prefix || $COMP_WORDBREAKS == *=* ]] || words=$prefix${words// / $prefix}\n"
    "    [[ -z $prefix || $COMP_WORDBREAKS == *=* ]] || cur=$prefix$cur\n"
    "    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n"
    "    if [[ $kind == @file ]]; then\n"
    "        mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -f -- \"$cur\")\n"
    "        compopt -o filenames 2>/dev/null\n"
    "    fi\n"
    "    return 0\n"
    "}\n"
    "complete -F _tessera tessera\n";

static void print_bash(FILE *out, const struct tess_command *program,
                       const struct tess_command *const *commands)
{
    fputs("# bash completion, made by 'tessera --completion bash' from the tables that make "
          "--help\n\n",
          out);
    put_settings(out);
    fputs("_tessera_commands() {\n    echo '", out);
    for (int i = 0; commands[i]; i++)
        fprintf(out, "%s%s", i ? " " : "", commands[i]->name);
    fputs("'\n}\n\n_tessera_first() {\n    case $1 in\n", out);
    for (int i = 0; commands[i]; i++) {
        struct tess_strings first = first_words(commands[i]);

        if (first.n) {
            fprintf(out, "    %s) echo '", commands[i]->name);
            put_words(out, &first);
            fputs("' ;;\n", out);
        }
        tess_strings_release(&first);
    }
    fputs("    esac\n}\n\n_tessera_options() {\n    case $1 in\n", out);
    bash_options(out, program, "", NULL);
    for (int i = 0; commands[i]; i++)
        bash_options(out, commands[i], commands[i]->name, tess_options_shared);
    fputs("    esac\n}\n\n_tessera_values() {\n    case $1 in\n", out);
    for (int i = 0; i < tess_command_n_options(program); i++)
        bash_values(out, "", &program->options[i]);
    for (int i = 0; commands[i]; i++)
        for (int k = 0; k < tess_command_n_options(commands[i]); k++)
            bash_values(out, commands[i]->name, &commands[i]->options[k]);
    fputs("    esac\n}\n\n", out);
    fputs(bash_function, out);
}

/* ---- zsh ---- */

/* In a specification of _arguments between quotes. */
static void zsh_text(FILE *out, const char *text)
{
    for (; *text; text++)
        if (*text == '\'')
            fputs("'\\''", out);
        else
            fprintf(out, "%s%c", strchr("[]:\\", *text) ? "\\" : "", *text);
}

static void zsh_value(FILE *out, const struct tess_option *option)
{
    char *argument = tess_options_expand(option->argument);
    int bracket = argument[0] == '[';
    struct values values = values_of(option);

    fputs(bracket ? "::" : ":", out);
    argument[strlen(argument) - (size_t)bracket] = '\0'; /* "[X]": X alone */
    zsh_text(out, argument + bracket);
    if (values.setting)
        fputs(":_tessera_setting", out);
    else if (values.word.n && values.file) {
        fputs(":_tessera_word_or_file ", out);
        put_words(out, &values.word);
    } else if (values.word.n) {
        fputs(":(", out);
        put_words(out, &values.word);
        fputc(')', out);
    } else
        fputs(values.file ? ":_files" : ": ", out);
    tess_strings_release(&values.word);
    tess_free(argument);
}

/* The letter, then the long name, which may be given again. */
static void zsh_option(FILE *out, const struct tess_option *option)
{
    char *help = tess_options_expand(option->help);

    for (int is_long = !option->letter; is_long < 2; is_long++) {
        fputs("        '*", out);
        if (!is_long)
            fprintf(out, "-%c%s", option->letter, option->argument ? "+" : "");
        else
            fprintf(out, "--%s%s", option->name,
                    !option->argument            ? ""
                    : option->argument[0] == '[' ? "=-"
                                                 : "=");
        fputc('[', out);
        zsh_text(out, help);
        fputc(']', out);
        if (option->argument)
            zsh_value(out, option);
        fputs("' \\\n", out);
    }
    tess_free(help);
}

static void zsh_command(FILE *out, const struct tess_command *command)
{
    struct tess_strings first = first_words(command);

    fprintf(out, "    %s) _arguments -s \\\n", command->name);
    for (int i = 0; i < tess_command_n_options(command); i++)
        zsh_option(out, &command->options[i]);
    for (int i = 0; tess_options_shared[i].name; i++)
        zsh_option(out, &tess_options_shared[i]);
    fputs("        '(-)'{-h,--help}'[explain the command]' \\\n", out);
    if (first.n) {
        fputs("        '1:what:(", out);
        put_words(out, &first);
        fputs(")' \\\n", out);
    }
    fputs("        '*:file:_files' ;;\n", out);
    tess_strings_release(&first);
}

static const char zsh_functions[] =
    "_tessera_setting() {\n"
    "    local key\n"
    "    if compset -P '*='; then\n"
    "        key=${${IPREFIX%=}##*=}\n"
    "        compadd -- ${=\"$(_tessera_key_values $key)\"} || _files\n"
    "    else\n"
    "        compadd -S = -- ${=\"$(_tessera_keys)\"}\n"
    "    fi\n"
    "}\n\n"
    "_tessera_word_or_file() {\n"
    "    compadd \"$@\"\n"
    "    _files\n"
    "}\n\n";

static void print_zsh(FILE *out, const struct tess_command *program,
                      const struct tess_command *const *commands)
{
    fputs("#compdef tessera\n# Made by 'tessera --completion zsh' from the tables that make "
          "--help.\n\n",
          out);
    put_settings(out);
    fputs(zsh_functions, out);
    fputs("_tessera_command() {\n    case $1 in\n", out);
    for (int i = 0; commands[i]; i++)
        zsh_command(out, commands[i]);
    fputs("    esac\n}\n\n_tessera() {\n    local state commands\n    commands=(\n", out);
    for (int i = 0; commands[i]; i++) {
        fprintf(out, "        '%s:", commands[i]->name);
        zsh_text(out, commands[i]->summary);
        fputs("'\n", out);
    }
    fputs("    )\n    _arguments -C \\\n", out);
    for (int i = 0; i < tess_command_n_options(program); i++)
        zsh_option(out, &program->options[i]);
    fputs("        '1:command:->command' '*::argument:->argument'\n"
          "    case $state in\n"
          "    command) _describe -t commands command commands ;;\n"
          "    argument) _tessera_command $words[1] ;;\n"
          "    esac\n}\n\n_tessera \"$@\"\n",
          out);
}

int tess_completion_print(FILE *out, const struct tess_command *program,
                          const struct tess_command *const *commands, const char *shell)
{
    if (strcmp(shell, "bash") == 0)
        return print_bash(out, program, commands), 1;
    if (strcmp(shell, "zsh") == 0)
        return print_zsh(out, program, commands), 1;
    return 0;
}
