/* writer_h5ad_verify.c -- AnnData has no checksums: its structure, and that predictions are
 * numbers. */
#include "writer_h5ad_verify.h"

#include "writer_verify.h"

#include "tessera/error.h"
#include "tessera/h5ad.h"
#include "tessera/problems.h"

#include <string.h>

/* Every matrix that `about` (tess_h5ad_info's object, or one of its modalities) names. */
static int check_all(struct tess_writer_look look, const json_t *about,
                     struct tess_problems *problems, struct tess_error *error)
{
    const char *x = json_string_value(json_object_get(about, "x"));
    const json_t *layers = json_object_get(about, "layers"), *raw = json_object_get(about, "raw");
    int has_x = !x || strcmp(x, "none") != 0;

    if (tess_writer_check_version(look.path, json_object_get(about, "uns"), error) != TESS_OK)
        return error->code;
    look.columns = 1;
    look.gaps = json_object_get(json_object_get(about, "uns"), "missing") != NULL;
    look.predicted = json_object_get(json_object_get(about, "uns"), "model_hash") != NULL;
    if (has_x || (json_array_size(layers) == 0 && !raw)) {
        tess_writer_read_back(&look, problems, error);
        look.columns = 0;
    }
    for (size_t i = 0; i < json_array_size(layers) && error->code == TESS_OK; i++) {
        look.layer = json_string_value(json_array_get(layers, i));
        tess_writer_read_back(&look, problems, error);
        look.columns = 0;
    }
    look.layer = "raw/X";
    if (raw && error->code == TESS_OK)
        tess_writer_read_back(&look, problems, error);
    return error->code;
}

int tess_writer_h5ad_verify(const struct tess_writer_look *look, struct tess_problems *problems,
                            struct tess_error *error)
{
    struct tess_writer_look mine = *look;
    json_t *about = tess_h5ad_info(look->path, error), *modalities, *one;

    modalities = json_object_get(about, "modalities");
    if (error->code == TESS_OK && !modalities)
        check_all(mine, about, problems, error);
    json_object_foreach(modalities, mine.modality, one)
    {
        if (error->code == TESS_OK)
            check_all(mine, one, problems, error);
    }
    json_decref(about);
    return error->code;
}
