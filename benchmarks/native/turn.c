/* A prototype, outside of the package: one turn of a core module by wasmtime's C library as one native function.

It makes the calls that execute/c_module.py makes, and checks what module_turn.py checks of a completed turn. Whatever
else comes (a trap, a call of a host function, output beyond its bounds) it leaves to the caller: the turn runs again
by the carrier. Types are opaque, as in c_library.py; the functions are found in the library that Python has loaded. */

#include <stdint.h>
#include <string.h>

typedef void *(*store_new_t)(void *, void *, void *);
typedef void *(*store_context_t)(void *);
typedef void (*store_limiter_t)(void *, int64_t, int64_t, int64_t, int64_t, int64_t);
typedef void (*store_delete_t)(void *);
typedef void *(*set_fuel_t)(void *, uint64_t);
typedef void *(*get_fuel_t)(void *, uint64_t *);
typedef void *(*instantiate_t)(void *, void *, void *, void **);
typedef uint8_t (*export_get_t)(void *, void *, const char *, size_t, void *);
typedef void *(*call_t)(void *, void *, void *, size_t, void **);
typedef uint8_t *(*data_t)(void *, void *);
typedef size_t (*size_t_t)(void *, void *);

struct library {
  store_new_t store_new;
  store_context_t store_context;
  store_limiter_t store_limiter;
  store_delete_t store_delete;
  set_fuel_t set_fuel;
  get_fuel_t get_fuel;
  instantiate_t instantiate;
  export_get_t export_get;
  call_t call;
  data_t data;
  size_t_t size;
};

struct job {
  const uint8_t *input;
  uint64_t input_length;
  uint64_t fuel;
  int64_t memory_bytes;
  uint8_t *output;
  uint64_t output_length; /* in: room; out: length */
  uint64_t fuel_used;
};

/* 0: a completed turn; anything else: it has to be executed by the carrier. */
int turn(const struct library *l, void *engine, void *pre, struct job *job) {
  uint8_t instance[16], memory[32], alloc[32], run[32];
  int64_t values[4];
  void *trap = NULL;
  int result = 1;
  uint64_t left = 0;
  void *store = l->store_new(engine, NULL, NULL);
  void *context = l->store_context(store);
  l->store_limiter(store, job->memory_bytes, 65536, 1, 8, 1);
  if (l->set_fuel(context, job->fuel) || l->instantiate(pre, context, instance, &trap) || trap) goto end;
  if (!l->export_get(context, instance, "memory", 6, memory) ||
      !l->export_get(context, instance, "turnwise_alloc", 14, alloc) ||
      !l->export_get(context, instance, "turnwise_turn", 13, run))
    goto end;
  values[0] = (int64_t)job->input_length;
  if (l->call(context, alloc + 8, values, 1, &trap) || trap) goto end;
  uint64_t at = (uint32_t)values[0];
  if (!at || at + job->input_length > l->size(context, memory + 8)) goto end;
  memcpy(l->data(context, memory + 8) + at, job->input, job->input_length);
  values[0] = (int64_t)at;
  values[2] = (int64_t)job->input_length;
  if (l->call(context, run + 8, values, 2, &trap) || trap) goto end;
  uint64_t from = (uint64_t)values[0] >> 32, length = (uint32_t)values[0];
  if (length > job->output_length || from + length > l->size(context, memory + 8)) goto end;
  memcpy(job->output, l->data(context, memory + 8) + from, length);
  job->output_length = length;
  if (l->get_fuel(context, &left)) goto end;
  job->fuel_used = job->fuel - left;
  result = 0;
end:
  l->store_delete(store);
  return result;
}

/* Many turns in one call; how many were completed, from the first on. */
int turns(const struct library *l, void *engine, void *pre, struct job *jobs, int count) {
  for (int n = 0; n < count; n++)
    if (turn(l, engine, pre, jobs + n)) return n;
  return count;
}
