/* model_store.c -- where the store is that a model was trained on. */
#include "tessera/model.h"

#include "tessera/alloc.h"
#include "tessera/config.h"
#include "tessera/error.h"
#include "tessera/rundir.h"
#include "tessera/text.h"

const char *tess_model_store(const struct tess_model *model, const char *given, int offered,
                             struct tess_error *error)
{
    struct tess_error mine = TESS_ERROR_INIT;
    struct tess_config config;
    char *directory, *used;

    if (given || model->store_path[0])
        return given ? given : model->store_path;
    directory = tess_text_directory(model->path);
    used = tess_format("%s/used.yaml", directory);
    if (tess_rundir_read_used(used, &config, &mine) == TESS_OK)
        tess_error_set(&mine, TESS_EDATA, "%s: has no data.store", used);
    tess_error_set(error, TESS_EDATA,
                   "%s; it says which store %s was trained on: put it back, or write 'data.store: "
                   "STORE' into it%s",
                   mine.text, model->path, offered ? ", or name the store with --store" : "");
    tess_free(used);
    tess_free(directory);
    return NULL;
}
