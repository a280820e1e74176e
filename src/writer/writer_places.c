/* writer_places.c -- where the matrices of a file lie. */
#include "tessera/writer.h"

#include "tessera/error.h"

#include <string.h>

void tess_writer_note_matrix(struct tess_writer *writer, const char *layer, int64_t place,
                             int64_t bytes)
{
    struct tess_writer_place *matrix = &writer->matrix[writer->n_matrices];
    const char *name = layer ? layer : "";

    TESS_BUG_IF(writer->n_matrices >= TESS_WRITER_MATRICES || strlen(name) >= sizeof matrix->layer);
    memcpy(matrix->layer, name, strlen(name) + 1);
    matrix->place = place;
    matrix->bytes = bytes;
    writer->n_matrices++;
}

const struct tess_writer_place *tess_writer_find_matrix(const struct tess_writer *writer,
                                                        const char *layer)
{
    for (int i = 0; i < writer->n_matrices; i++)
        if (strcmp(writer->matrix[i].layer, layer ? layer : "") == 0)
            return &writer->matrix[i];
    return NULL;
}
