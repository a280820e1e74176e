/* vectorised.h -- mark a loop function to be compiled for several instruction sets, the best of
 * which the loader picks. The arithmetic is the same in each: no contraction, no reassociation. */
#ifndef TESSERA_VECTORISED_H
#define TESSERA_VECTORISED_H

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) &&                             \
    !defined(__SANITIZE_ADDRESS__)
#if __GNUC__ >= 12
#define VECTORISED_FOR target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")
#else
#define VECTORISED_FOR target_clones("avx512f", "avx2", "default")
#endif
#define VECTORISED     __attribute__((VECTORISED_FOR, optimize("O3")))
#define VECTORISED_FMA __attribute__((VECTORISED_FOR, optimize("O3", "fp-contract=fast")))
#else
#define VECTORISED
#define VECTORISED_FMA
#endif
/* VECTORISED_FMA: contraction allowed, for measuring what the processor can do. */

#endif
