/* sets.h -- sets of numbers: the components of combinations, the readouts of panels. Local but for
 * the broadcast.
 *
 * A set is its numbers in ascending order, each once. Sets are in lexicographic order of their
 * numbers, a set before the longer ones that begin with it. */
#ifndef TESSERA_SETS_H
#define TESSERA_SETS_H

#include "tessera/intern.h"

#include <mpi.h>
#include <stddef.h>
#include <stdint.h>

/* Makes a set of n numbers in any order, in place: how many are left without repeats. */
int64_t tess_set_tidy(int64_t n, int64_t *member);
/* Where a number stands in a set, or -1. */
int64_t tess_set_place(int64_t n, const int64_t *member, int64_t number);
/* Below, equal to or above 0: the order of two sets. */
int tess_set_compare(int64_t n, const int64_t *a, int64_t m, const int64_t *b);

/* Set i is member[first[i] .. first[i + 1]). All zeroes is none. */
struct tess_sets {
    int64_t n;
    int64_t *first, *member; /* own */
    size_t room_first, room_member;
    struct tess_intern known; /* the numbers of sets that tess_sets_number collects; own */
};
/* One more, whatever is there already. */
void tess_sets_add(struct tess_sets *sets, int64_t n, const int64_t *member);
/* The number of a set while distinct ones are being collected, in order of first appearance; a new
 * one gets number n. All of `sets` must have been collected so. */
int64_t tess_sets_number(struct tess_sets *sets, int64_t n, const int64_t *member);
/* Into lexicographic order, repeats dropped. number (n before), may be NULL: number[i] = the new
 * number of what was set i. */
void tess_sets_sort(struct tess_sets *sets, int64_t *number);
/* The number of a set among sorted or collected ones, or -1. */
int64_t tess_sets_find(const struct tess_sets *sets, int64_t n, const int64_t *member);
/* "A+B" of a set of numbers of a vocabulary; own of the caller. */
struct tess_vocab;
char *tess_sets_name(const struct tess_sets *sets, int64_t set, const struct tess_vocab *vocab);
/* Rank 0's sorted ones to all. Collective over comm. */
void tess_sets_broadcast(MPI_Comm comm, struct tess_sets *sets);
void tess_sets_release(struct tess_sets *sets);

#endif
