/* fuzz.h -- what the targets of fuzzing share. A target takes any bytes for one kind of input, lets
 * the library read them, and checks what came of it: a result that holds together, or a sentence.
 *
 * With libFuzzer (tools/fuzz.sh) its engine calls the target; in the other builds driver.c runs it
 * over the files of tests/fuzz/corpus and tests/fuzz/found, which is a test. */
#ifndef TESSERA_TESTS_FUZZ_H
#define TESSERA_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

struct tess_error;

/* Each target's own. */
void fuzz_one(const uint8_t *data, size_t n);
/* Once, before the first input; a target may have its own. */
void fuzz_begin(void);
/* MPI and HDF5 are begun; besides, each input is run by a process of its own, since libraries may
 * crash or spin on it. */
enum { FUZZ_NOTHING, FUZZ_MPI, FUZZ_PROCESS };
extern const int fuzz_needs; /* one of them */

/* A file of this name with these bytes, in a folder that goes when the process ends; its path,
 * valid until the next call. */
const char *fuzz_file(const char *name, const void *data, size_t n);
/* The bytes as text; own of the caller (free). */
char *fuzz_text(const uint8_t *data, size_t n);
/* Takes the first byte off; 0 if there is none. */
unsigned fuzz_take(const uint8_t **data, size_t *n);

/* Ends the process if an error is none that bad input may cause: its code is TESS_EDATA (or
 * `other`), it is one line, and names the file (NULL: none). */
void fuzz_refused(const struct tess_error *error, int other, const char *name);

#define FUZZ_CHECK(condition)                                                                      \
    do {                                                                                           \
        if (!(condition))                                                                          \
            fuzz_fail(__FILE__, __LINE__, #condition);                                             \
    } while (0)
void fuzz_fail(const char *file, int line, const char *what) __attribute__((noreturn));

#endif
