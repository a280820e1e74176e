/* recipe.h -- HDF5 files that lie: a recipe is text, a line a change that is made to a whole file.
 * Its words are separated by tabs:
 *
 *     delete  OBJECT                      link    OBJECT  TARGET (a soft link in its place)
 *     type    OBJECT  TYPE  SIZES         another type and shape, with zeroes for values
 *     claim   OBJECT  SIZES               another shape, in chunks that nobody wrote
 *     fill    OBJECT  NUMBER              every value
 *     put     OBJECT  PLACE  NUMBER       one of them
 *     text    OBJECT  PLACE  TEXT         the same of texts
 *     move    OBJECT  OBJECT              trade places
 *     attr    OBJECT  NAME  TYPE  VALUE   a scalar attribute
 *     unattr  OBJECT  NAME
 *     byte    OFFSET  VALUE               of the file, from 0; negative: from its end
 *     cut     BYTES                       of the file
 *
 * A line that makes no sense changes nothing. Sizes are numbers with commas between; none: a
 * scalar. */
#ifndef TESSERA_TESTS_RECIPE_H
#define TESSERA_TESTS_RECIPE_H

#include <stddef.h>
#include <stdint.h>

/* Changes the file at `path`. HDF5 may crash over it: for a process of its own. */
void fuzz_recipe_apply(const char *path, const char *recipe);
/* Names of objects and attributes that recipes for such a file may speak of. */
void fuzz_recipe_learn(const char *path);
/* Another recipe, at most `room` bytes, in place of the n bytes that are there; its length. */
size_t fuzz_recipe_mutate(char *recipe, size_t n, size_t room, unsigned seed);

#endif
