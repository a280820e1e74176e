/* genes.c -- genes within the names of perturbations. */
#include "tessera/genes.h"

#include "tessera/index.h"
#include "tessera/intern.h"
#include "tessera/target.h"

#include <stdlib.h>
#include <string.h>

int tess_gene_is_control(const char *perturbation)
{
    return strcmp(perturbation, TESS_CONTROL) == 0 || strcmp(perturbation, "ctrl") == 0;
}

static int is_readout(const char *perturbation, const struct tess_intern *readouts)
{
    return tess_intern_find(readouts, perturbation, strlen(perturbation)) >= 0;
}

int tess_gene_is_combination(const char *perturbation, const struct tess_intern *readouts)
{
    return strchr(perturbation, '+') && !is_readout(perturbation, readouts);
}

const char *tess_gene_of(const char *perturbation, const struct tess_intern *readouts)
{
    return is_readout(perturbation, readouts) ? perturbation : tess_target_name(perturbation);
}

int tess_gene_is_gained(const char *perturbation, const char *gene)
{
    return gene != perturbation && tess_target_is_gain(perturbation);
}

static int compare_names(const void *a, const void *b)
{
    const char *left = *(const char *const *)a, *right = *(const char *const *)b;
    int order = strverscmp(left, right);

    return order ? order : strcmp(left, right);
}

void tess_genes_sort(struct tess_strings *names)
{
    qsort(names->item, names->n, sizeof names->item[0], compare_names);
}

int64_t tess_genes_find(const struct tess_strings *names, const char *name)
{
    char **found = bsearch(&name, names->item, names->n, sizeof names->item[0], compare_names);

    return found ? found - names->item : -1;
}
