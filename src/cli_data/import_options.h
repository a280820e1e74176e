/* import_options.h -- what check and import both take. */
#ifndef IMPORT_OPTIONS_H
#define IMPORT_OPTIONS_H

#include "tessera/call.h"

#include "tessera/import.h"
#include "tessera/spool.h"

#define TESS_IMPORT_OPTIONS                                                                        \
    {"perturbation", 'p', "COL[,COL]", "column of the perturbation [perturbation]"},               \
        {"combine", 0, "COL,COL", "instead: columns of the parts of a combination"},               \
        {"context", 'c', "COL[,COL]", "column of the context; several are joined by _ [context]"}, \
        {"control", 0, "SYM[,SYM]",                                                                \
         "the unperturbed reference [control]; or @FILE, a name a line; may be repeated"},         \
        {"control-column", 0, "COL", "column that is true where a row is the control"},            \
        {"separator", 0, "TEXT", "between the parts of a combination [+]"},                        \
        {"keep", 0, "COL=VAL[,VAL]", "only rows with one of these values (patterns, @FILE)"},      \
        {"drop", 0, "COL=VAL[,VAL]", "leave out rows with one of them; COL= without a value"},     \
        {"drop-unlabelled", 0, NULL, "leave out rows without perturbation or context"},            \
        {"dose", 0, "COL", "column of the dose, which becomes part of the name: drug@10uM"},       \
        {"time", 0, "COL", "with --dose: column of the time: drug@10uM@24h"},                      \
        {"dose-unit", 0, "UNIT", "of doses without one (nM, uM, ug/mL, …)"},                       \
        {"time-unit", 0, "UNIT", "of times without one (s, min, h, d)"},                           \
        {"dose-levels", 0, "WORD=X[,…]", "doses that are words: Low=1,Middle=5,High=25"},          \
        {"prefix", 0, "TEXT", "put before every perturbation but the control (CRISPRi_)"},         \
        {"readout-prefix", 0, "TEXT", "put before every readout (Transcriptome_)"},                \
        {"layer", 0, "NAME", "AnnData: layers/NAME, or raw for raw/X, instead of X"},              \
        {"modality", 0, "NAME", "MuData (.h5mu): the modality that is read"},                      \
        {"readout", 0, "COL", "long tables: column of the readout; GCT: row field of its name"},   \
        {"value", 0, "COL", "long tables: column of the value [value]"},                           \
        {"id-columns", 0, "COL[,COL]", "tables: columns (or patterns) that are no readouts"},      \
        {"metadata", 0, "TABLE", "table of further columns, a line for each row's id"},            \
        {"metadata-id", 0, "COL", "column of TABLE that holds the ids [id, or the first]"},        \
        {"split-column", 0, "COL",                                                                 \
         "column that says train, val, test or unused [split, if there]; none: no column"},        \
        {"replicate", 0, "COL",                                                                    \
         "column that names the replicate; rows alike in all are averaged"},                       \
        {"weight", 0, "COL",                                                                       \
         "column of weights for data.weight: column; those of an experiment's rows add up"},       \
        {"aggregate", 0, "mean|median|none", "over replicates [mean]"},                            \
        {"normalize-total", 0, "X", "scale every row to this total (counts)"},                     \
        {"log1p", 0, NULL, "log(1 + value), after scaling"},                                       \
        {"min-replicates", 0, "N", "leave out experiments of fewer replicates [1]"},               \
        {"clip", 0, "X", "limit aggregated values to [-X, X]"},                                    \
        {"plus-literal", 0, "[SYM,SYM]", "a plus in these symbols (or all) joins nothing"},        \
        {"seed", 0, "N", "for dealing many replicates into folds [0]"},                            \
        {"memory", 0, "GB", "for sums; too little means reading more often [1]"},                  \
        {"columns", 0, "perturbation|context|readout", "tables: what the columns are [readout]"},  \
        {"values", 0, "COL[,COL]", "wide tables: the columns (or patterns) that hold values"},     \
        {"missing", 0, "TEXT[,TEXT]", "tables: further cells that are missing values (ND,.,-)"},   \
        {"infinite", 0, "missing", "infinite values are missing, no problems"},                    \
    {                                                                                              \
        "limit", 0, "N", "problems printed; 0: all [100]"                                          \
    }

/* Values given, with their lists; the files are the call's arguments. */
struct tess_import_call {
    struct tess_import_options options;
    struct tess_filter filter; /* own; options.source.filter */
    struct tess_spools spools;
    int64_t limit;
};
int tess_import_call_init(struct tess_import_call *in, const struct tess_call *call,
                          struct tess_error *error);
void tess_import_call_release(struct tess_import_call *in);

/* Files, rows, replicates, what was dropped, and the summary. */
void tess_import_print(const struct tess_import_result *result, FILE *out);

#endif
