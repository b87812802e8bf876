/* The sparse layer for float and double, for any processor of an architecture and for those with AVX2.
 * Python chooses (engine/native/library.py): Lambda's x86_64 has AVX2, a user's machine may not.
 */
#include <stdint.h>

#define WIDEST 64
#define UNROLL _Pragma("clang loop unroll(full)")
#define COLUMNS(width)                                                                                             \
  NAME(columns)(                                                                                                   \
      width, order, indptr, indices, values, value_step, rows, x + at, live, bias, bias_step, low, high, y + at, \
      alive + at)

#define JOINED(function, type, index, set) function##_##type##_##index##set
#define JOIN(function, type, index, set) JOINED(function, type, index, set)
#define NAME(function) JOIN(function, T_NAME, INDEX_NAME, SET)

#define T float
#define T_NAME float32
#define BLOCK 32
#define SET
#define FEATURES
#include "sparse_indices.h"

#define T double
#define T_NAME float64
#define BLOCK 16
#define SET
#define FEATURES
#include "sparse_indices.h"

#ifdef __x86_64__
#define T float
#define T_NAME float32
#define BLOCK 64
#define SET _avx2
#define FEATURES __attribute__((target("avx2")))
#include "sparse_indices.h"

#define T double
#define T_NAME float64
#define BLOCK 32
#define SET _avx2
#define FEATURES __attribute__((target("avx2")))
#include "sparse_indices.h"
#endif

/* Whether all of x [size] is finite: 0 * NaN and 0 * Inf are NaN, which no sum hides. */
#define DEFINE_FINITE(T, NAME)               \
  int32_t NAME(const T *x, int64_t size) {   \
    T sums[16] = {0};                        \
    int64_t at = 0;                          \
    for (; at + 16 <= size; at += 16)        \
      for (int i = 0; i < 16; i++)           \
        sums[i] += 0 * x[at + i];            \
    for (; at < size; at++) sums[0] += 0 * x[at]; \
    T sum = 0;                               \
    for (int i = 0; i < 16; i++) sum += sums[i]; \
    return sum == 0;                         \
  }

DEFINE_FINITE(float, finite_float32)
DEFINE_FINITE(double, finite_float64)
