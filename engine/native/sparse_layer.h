/* One sparse layer in one pass: y = clip(W x + bias, low, high). Included once per element type T, type of the indices
 * and instruction set.
 *
 * x: [cols, live], y: [rows, live], W in CSR: indptr [rows + 1], indices [nnz] below cols (the caller has checked),
 * values [nnz] if value_step is 1, one for all entries if it is 0. order: [rows], the order in which rows are computed:
 * neighbours that read the same features find them in the cache. bias: [rows] if bias_step is 1, one number if it is 0,
 * none if NULL. alive: [live], written: 1 where a column of y has an element that is not zero; NaN is not zero.
 *
 * A block of columns is summed in registers, in the order of the row's entries, so a column's result depends neither on
 * the others nor on the instruction set (built with -ffp-contract=off).
 */

static inline __attribute__((always_inline)) void NAME(columns)(
    int width, const int32_t *order, const int32_t *indptr, const INDEX *indices, const T *values,
    int64_t value_step, int64_t rows, const T *x, int64_t live, const T *bias, int64_t bias_step, T low, T high, T *y,
    uint8_t *alive) {
  T seen[WIDEST];
  for (int c = 0; c < width; c++) seen[c] = 0;
  for (int64_t r = 0; r < rows; r++) {
    const int64_t row = order[r];
    T sum[WIDEST];
    UNROLL for (int c = 0; c < width; c++) sum[c] = 0;
    for (int32_t k = indptr[row]; k < indptr[row + 1]; k++) {
      const T value = values[k * value_step];
      const T *from = x + indices[k] * live;
      UNROLL for (int c = 0; c < width; c++) sum[c] += value * from[c];
    }
    const T add = bias ? bias[row * bias_step] : 0;
    T *to = y + row * live;
    for (int c = 0; c < width; c++) {
      T total = bias ? sum[c] + add : sum[c];
      total = total < low ? low : total; /* NaN stays NaN */
      total = total > high ? high : total;
      to[c] = total;
      seen[c] = total != 0 ? 1 : seen[c];
    }
  }
  for (int c = 0; c < width; c++) alive[c] = seen[c] != 0;
}

FEATURES void NAME(layer)(
    const int32_t *order, const int32_t *indptr, const INDEX *indices, const T *values,
    int64_t value_step, int64_t rows, const T *x, int64_t live, const T *bias, int64_t bias_step, T low, T high, T *y,
    uint8_t *alive) {
  int64_t at = 0;
  for (; at + BLOCK <= live; at += BLOCK) COLUMNS(BLOCK);
  for (; BLOCK > 32 && at + 32 <= live; at += 32) COLUMNS(32);
  for (; BLOCK > 16 && at + 16 <= live; at += 16) COLUMNS(16);
  for (; at + 8 <= live; at += 8) COLUMNS(8);
  if (at < live && live >= 8) { /* the last ones with some before them once more: one pass, the same bits */
    at = live - 8;
    COLUMNS(8);
    at = live;
  }
  for (; at < live; at++) COLUMNS(1);
}
