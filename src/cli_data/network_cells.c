/* network_cells.c -- the options about single cells, read. */
#include "network_cells.h"

#include "tessera/agree.h"
#include "tessera/cell_edges.h"
#include "tessera/cell_groups.h"
#include "tessera/error.h"
#include "tessera/sheet.h"

static const char *option_or(const struct tess_call *call, const char *name, const char *otherwise)
{
    const char *given = tess_call_option(call, name);

    return given ? given : otherwise;
}

/* Every option is read even after an error: the first error's sentence stays. */
int tess_network_cells_read(const struct tess_call *call, const char *path,
                            struct tess_cell_options *out, struct tess_error *error)
{
    double gigabytes = 1;

    *out = (struct tess_cell_options){
        .path = path,
        .context = tess_call_option(call, "context"),
        .perturbation_column = option_or(call, "perturbation", "perturbation"),
        .context_column = option_or(call, "context-column", "context"),
        .layer = tess_call_option(call, "layer"),
        .log1p = tess_call_option(call, "log1p") != NULL};
    tess_call_list(call, "control", &out->control);
    for (int keep = 0; keep < 2; keep++) {
        const struct tess_strings *given = tess_call_all(call, keep ? "keep" : "drop");

        for (size_t i = 0; i < given->n && error->code == TESS_OK; i++)
            tess_filter_add(&out->filter, keep, given->item[i], error);
    }
    tess_call_double(call, "normalize-total", 1e-30, 1e30, &out->normalize_total, error);
    tess_call_double(call, "memory", 1e-6, 1e6, &gigabytes, error);
    out->memory = gigabytes * 1e9;
    return tess_agree(call->comm, error); /* --keep may name a file */
}

int tess_network_cells_infer(const struct tess_call *call, struct tess_error *error)
{
    struct tess_cell_options cells;
    struct tess_cell_edges_options infer = {.cells = &cells,
                                            .output = tess_call_option(call, "output"),
                                            .force = tess_call_option(call, "force") != NULL,
                                            .n_edges = 1000000};

    tess_network_cells_read(call, call->args[1], &cells, error);
    tess_call_int(call, "edges", 1, 1000000000, &infer.n_edges, error);
    if (!infer.output || !infer.output[0])
        tess_error_set(error, TESS_EUSAGE,
                       "network infer needs -o EDGES.tsv; see tessera network --help");
    tess_sheet_check(infer.output, "edges", error);
    if (error->code == TESS_OK) /* the same on every rank */
        tess_cell_edges_infer(&infer, call->comm, error);
    tess_cell_options_release(&cells);
    return error->code;
}
