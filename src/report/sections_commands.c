/* sections_commands.c -- the commands that make a page's numbers again, as a shell takes them. */
#include "sections.h"

#include "tessera/alloc.h"
#include "tessera/split_name.h"

#include <unistd.h>

/* All models, as they were given, and the options that change what is predicted. */
static char *models_text(const struct tess_report *report)
{
    struct tess_strings part = {0};
    char *text, *all;

    for (int i = 0; i < report->n_given; i++) {
        text = tess_text_quoted(report->given[i]);
        tess_strings_add(&part, text);
        tess_free(text);
    }
    text = tess_strings_join(&part, " ", part.n);
    all = tess_format("%s%s", text, report->options);
    tess_strings_release(&part);
    tess_free(text);
    return all;
}

static void add(json_t *list, const char *what, char *line)
{
    json_array_append_new(list,
                          json_pack("[o, o]", tess_sections_text(what), tess_sections_text(line)));
    tess_free(line);
}

/* Of a run or of a checkpoint in one: into a new directory, for the run's own is there. */
static void add_training(json_t *list, const char *given, int number)
{
    char *directory = tess_text_directory(given), *path = tess_format("%s/used.yaml", given), *used;

    if (access(path, R_OK) != 0) {
        tess_free(path);
        path = tess_format("%s/used.yaml", directory);
    }
    used = tess_text_quoted(path);
    if (access(path, R_OK) == 0 && number == 0)
        add(list, "The training", tess_format("tessera train %s --set run.directory=again", used));
    else if (access(path, R_OK) == 0)
        add(list, "The training",
            tess_format("tessera train %s --set run.directory=again-%d", used, number + 1));
    tess_free(used);
    tess_free(path);
    tess_free(directory);
}

json_t *tess_sections_commands(const struct tess_report *report, int scored)
{
    char *models = models_text(report);
    json_t *list = json_array();

    for (int i = 0; i < report->n_given; i++)
        add_training(list, report->given[i], i);
    if (scored)
        add(list, "The scores",
            tess_format("tessera evaluate %s --split=%s --resamples=%lld --json=scores.json",
                        models, tess_split_name(report->split), (long long)report->n_resamples));
    add(list, "This page", tess_strdup(report->command));
    tess_free(models);
    return list;
}

char *tess_sections_screen_command(const struct tess_report *report,
                                   const struct tess_strings *readout)
{
    char *models = models_text(report), *names = tess_strings_join(readout, ",", readout->n),
         *quoted = tess_text_quoted(names),
         *command = tess_format("tessera screen %s --readout=%s -o screen.tsv", models, quoted);

    tess_free(models);
    tess_free(names);
    tess_free(quoted);
    return command;
}
