/* target.c -- symbols of perturbations, as the field writes them. */
#include "tessera/target.h"

#include "tessera/alloc.h"
#include "tessera/dose.h"

#include <string.h>
#include <strings.h>

static const char *const words[] = {"CRISPR", "CRISPRi", "CRISPRa", "CRISPRko",      "KO",
                                    "KD",     "OE",      "ORF",     "cDNA",          "sh",
                                    "si",     "sg",      "shRNA",   "siRNA",         "compound",
                                    "drug",   "cpd",     "ligand",  "overexpression"};
static const char *const gains[] = {"CRISPRa", "OE", "ORF", "cDNA", "overexpression"};

const char *tess_target_name(const char *symbol)
{
    const char *from = symbol;

    for (const char *c = symbol; *c; c++)
        from = (*c == '_' || *c == ':') && c[1] ? c + 1 : from;
    return from;
}

char *tess_target_alias(const char *symbol, int k)
{
    struct tess_dose dose;
    char *drug, *name;

    if (k < 2)
        return tess_strdup(k ? tess_target_name(symbol) : symbol);
    if (k > 3 || !tess_dose_read(symbol, &dose))
        return NULL;
    drug = tess_format("%.*s", (int)dose.length, symbol);
    name = tess_strdup(k == 2 ? drug : tess_target_name(drug));
    tess_free(drug);
    return name;
}

char *tess_target_type(const char *symbol)
{
    size_t colon = strcspn(symbol, ":"), line = strcspn(symbol, "_");

    if (strcmp(symbol, TESS_CONTROL) == 0)
        return tess_strdup(TESS_CONTROL);
    if (colon > 0 && symbol[colon])
        return tess_format("%.*s", (int)colon, symbol);
    for (size_t i = 0; symbol[line] && i < sizeof words / sizeof words[0]; i++)
        if (strlen(words[i]) == line && strncasecmp(words[i], symbol, line) == 0)
            return tess_format("%.*s", (int)line, symbol);
    return tess_strdup("perturbation");
}

int tess_target_is_gain(const char *symbol)
{
    char *type = tess_target_type(symbol);
    int is = 0;

    for (size_t i = 0; i < sizeof gains / sizeof gains[0]; i++)
        is |= strcasecmp(type, gains[i]) == 0;
    tess_free(type);
    return is;
}
