/* look.h -- everything that a source says is asked for, and held together. */
#ifndef TESSERA_TESTS_LOOK_H
#define TESSERA_TESTS_LOOK_H

struct tess_error;
struct tess_problems;
struct tess_source_options;

/* Opens the file as what it is; reads its columns, and its values block by block. */
int fuzz_look_at_source(const char *path, const struct tess_source_options *options,
                        struct tess_problems *problems, struct tess_error *error);

#endif
