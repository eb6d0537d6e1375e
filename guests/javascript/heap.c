#include "heap.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define STEP_BYTES 16
#define SMALL_BYTES_MAX 1024
#define CLASSES (SMALL_BYTES_MAX / STEP_BYTES)
#define CHUNK_BYTES (64 * 1024)
#define RESERVE_BYTES (256 * 1024)
#define PAGE_BYTES 4096

struct header {
  uint32_t size; /* of what follows */
  uint32_t unused;
};

struct hole {
  struct hole *next;
};

static struct hole *holes[CLASSES + 1];
static char *next, *chunk_end;
static void *reserve;
static bool was_full;

static void *refuse(void) {
  was_full = true;
  return NULL;
}

static void *large(size_t size) {
  if (size > SIZE_MAX - sizeof(struct header)) return refuse();
  struct header *block = malloc(sizeof *block + size);
  if (!block) return refuse();
  block->size = (uint32_t)size;
  return block + 1;
}

void *heap_alloc(size_t size) {
  if (size > SMALL_BYTES_MAX) return large(size);
  size_t class = size ? (size + STEP_BYTES - 1) / STEP_BYTES : 1;
  struct hole *hole = holes[class];
  if (hole) {
    holes[class] = hole->next;
    return hole;
  }
  size_t needed = sizeof(struct header) + class * STEP_BYTES;
  if ((size_t)(chunk_end - next) < needed) {
    char *chunk = malloc(CHUNK_BYTES);
    if (!chunk) return refuse();
    next = chunk;
    chunk_end = chunk + CHUNK_BYTES;
  }
  struct header *block = (struct header *)next;
  next += needed;
  block->size = (uint32_t)(class * STEP_BYTES);
  return block + 1;
}

void heap_free(void *block) {
  if (!block) return;
  struct header *header = (struct header *)block - 1;
  if (header->size > SMALL_BYTES_MAX) {
    free(header);
    return;
  }
  struct hole *hole = block;
  hole->next = holes[header->size / STEP_BYTES];
  holes[header->size / STEP_BYTES] = hole;
}

static void *heap_realloc(void *block, size_t size) {
  if (!block) return heap_alloc(size);
  struct header *header = (struct header *)block - 1;
  if (size <= header->size && header->size <= SMALL_BYTES_MAX) return block;
  if (header->size > SMALL_BYTES_MAX && size > SMALL_BYTES_MAX) {
    if (size > SIZE_MAX - sizeof *header) return refuse();
    struct header *moved = realloc(header, sizeof *header + size);
    if (!moved) return refuse();
    moved->size = (uint32_t)size;
    return moved + 1;
  }
  void *moved = heap_alloc(size);
  if (!moved) return NULL;
  memcpy(moved, block, size < header->size ? size : header->size);
  heap_free(block);
  return moved;
}

void heap_settle(void) {
  memset(holes, 0, sizeof holes);
  char *chunk = malloc(CHUNK_BYTES + PAGE_BYTES);
  next = (char *)(((uintptr_t)chunk + PAGE_BYTES - 1) & ~(uintptr_t)(PAGE_BYTES - 1));
  chunk_end = next + CHUNK_BYTES;
  reserve = malloc(RESERVE_BYTES); /* behind it, since most turns reach neither */
}

void heap_open_reserve(void) {
  if (was_full) free(reserve);
  reserve = NULL;
}

bool heap_was_full(void) { return was_full; }

static void *on_calloc(void *opaque, size_t count, size_t size) {
  if (size && count > SIZE_MAX / size) return refuse();
  void *block = heap_alloc(count * size);
  return block ? memset(block, 0, count * size) : NULL;
}

static void *on_malloc(void *opaque, size_t size) { return heap_alloc(size); }

static void on_free(void *opaque, void *block) { heap_free(block); }

static void *on_realloc(void *opaque, void *block, size_t size) { return heap_realloc(block, size); }

static size_t on_usable_size(const void *block) { return block ? ((const struct header *)block - 1)->size : 0; }

const JSMallocFunctions heap_functions = {on_calloc, on_malloc, on_free, on_realloc, on_usable_size};
