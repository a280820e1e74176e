/* source_options.c -- which metadata columns the options ask for. */
#include "tessera/source_options.h"

#include "tessera/alloc.h"
#include "tessera/filter.h"

static void want(struct tess_wanted *wanted, size_t *n, const char *name, const char *option)
{
    if (name)
        wanted[(*n)++] = (struct tess_wanted){name, option, -1};
}

/* The 6 are dose, time, control, split, replicate and weight. */
size_t tess_source_options_wanted(const struct tess_source_options *options,
                                  struct tess_wanted **wanted)
{
    const struct {
        const struct tess_strings *list;
        const char *option;
    } of[] = {{&options->perturbation, "--perturbation"},
              {&options->combine, "--combine"},
              {&options->context, "--context"}};
    size_t room = 6 + (options->filter ? options->filter->n : 0), n = 0;

    for (int k = 0; k < 3; k++)
        room += of[k].list->n;
    *wanted = TESS_NEW(struct tess_wanted, room);
    for (int k = 0; k < 3; k++)
        for (size_t i = 0; i < of[k].list->n; i++)
            want(*wanted, &n, of[k].list->item[i], of[k].option);
    want(*wanted, &n, options->dose, "--dose");
    want(*wanted, &n, options->time, "--time");
    want(*wanted, &n, options->control_column, "--control-column");
    want(*wanted, &n, options->split_column, "--split-column");
    want(*wanted, &n, options->replicate, "--replicate");
    want(*wanted, &n, options->weight, "--weight");
    for (size_t i = 0; options->filter && i < options->filter->n; i++) {
        want(*wanted, &n, options->filter->item[i].column,
             options->filter->item[i].keep ? "--keep" : "--drop");
        (*wanted)[n - 1].condition = (int64_t)i;
    }
    return n;
}
