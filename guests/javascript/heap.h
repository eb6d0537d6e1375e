/* The heap of the interpreter. Small blocks lie side by side in the order in which they are asked for, and what is freed
 * is used again before anything else: each page that a turn writes to costs more than the turn's computing. What the
 * build leaves free between its own objects stays free (`heap_settle`), since a turn's few objects would be strewn over
 * as many pages. Large blocks are the C library's. */

#ifndef TURNWISE_HEAP_H
#define TURNWISE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include "quickjs.h"

extern const JSMallocFunctions heap_functions;

void *heap_alloc(size_t size);
void heap_free(void *block);

/* Begin anew behind all that was allocated. The last thing of a build. */
void heap_settle(void);

/* Give back what is kept for telling that memory ran out. */
void heap_open_reserve(void);

/* Whether a block was refused. */
bool heap_was_full(void);

#endif
