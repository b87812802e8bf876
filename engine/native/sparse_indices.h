/* The sparse layer of one element type and instruction set, for both types that indices are stored as. */

#define INDEX uint16_t
#define INDEX_NAME uint16
#include "sparse_layer.h"
#undef INDEX
#undef INDEX_NAME

#define INDEX int32_t
#define INDEX_NAME int32
#include "sparse_layer.h"
#undef INDEX
#undef INDEX_NAME

#undef T
#undef T_NAME
#undef BLOCK
#undef SET
#undef FEATURES
