/* vectorised.h -- mark a loop function to be compiled for several instruction sets, the best of
 * which the loader picks. The arithmetic is the same in each: no contraction, no reassociation. */
#ifndef TESSERA_VECTORISED_H
#define TESSERA_VECTORISED_H

#if defined(__x86_64__) && defined(__GNUC__) && __GNUC__ >= 12 && !defined(__clang__) &&           \
    !defined(__SANITIZE_ADDRESS__)
#define VECTORISED                                                                                 \
    __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default"), optimize("O3")))
#elif defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) &&                           \
    !defined(__SANITIZE_ADDRESS__)
#define VECTORISED __attribute__((target_clones("avx512f", "avx2", "default"), optimize("O3")))
#else
#define VECTORISED
#endif

#endif
