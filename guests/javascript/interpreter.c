/* The interpreter of JavaScript agents: QuickJS-NG as a core module of the ABI (docs/abi.md), without WASI.
 *
 * `turnwise_init` is called once, when the module is built: the memory that it leaves is stored in the module, so a turn
 * begins with an engine that has started and the SDK (turnwise.js) at hand. Everything that could differ from one
 * execution to another is answered here: the clock is the turn's virtual time, chance is the turn's own.
 *
 * An input either has `prepare`, which compiles sources to a program, or `program` as its last member, which is played.
 */

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "heap.h"
#include "quickjs.h"

#define TURNWISE_NO_EXPORTS
#include "turnwise.h"

#define STACK_BYTES_MAX (700 * 1024) /* of 1 MiB that the linker gives; the rest is for C functions that do not look */
#define GC_BYTES (8 * 1024 * 1024)   /* collecting garbage touches all of memory: small turns end before */
#define REJECTIONS_MAX 64

extern const char turnwise_js[];
extern const unsigned int turnwise_js_length;

__attribute__((import_module("turnwise"), import_name("effect"))) uint64_t host_effect(const char *text, uint32_t length);

__attribute__((import_module("turnwise"), import_name("effect_bytes"))) uint64_t host_effect_bytes(const char *text, uint32_t length, const uint8_t *content, uint32_t size);

static JSRuntime *runtime;
static JSContext *context;
static JSValue sdk;
static JSValue files;    /* of `prepare`: texts by name */
static JSValue compiled; /* of `prepare`: bytecode of the modules by name */
static JSValue rejections[REJECTIONS_MAX]; /* promises that were rejected and that nobody waits for */
static uint64_t now_us;
static char seed[65];
static struct tw_random chance[2]; /* t.random, Math.random */
static bool seeded[2];

/* -- the host's side of the ABI ------------------------------------------------------------------------------- */

__attribute__((export_name("turnwise_alloc"))) void *turnwise_alloc(uint32_t size) {
  char *room = heap_alloc((size_t)size + 1);
  if (room) room[size] = 0;
  return room;
}

static JSValue js_effect(JSContext *ctx, JSValueConst self, int count, JSValueConst *values) {
  size_t length;
  const char *request = JS_ToCStringLen(ctx, &length, values[0]);
  if (!request) return JS_EXCEPTION;
  uint64_t packed = host_effect(request, length);
  JS_FreeCString(ctx, request);
  char *reply = (char *)(uintptr_t)(packed >> 32);
  JSValue text = JS_NewStringLen(ctx, reply, (uint32_t)packed);
  heap_free(reply);
  return text;
}

/* The engine's way to give an array's memory back, or another size. */
static void *resize_content(JSRuntime *rt, void *opaque, void *content, size_t size) {
  if (size) return heap_functions.js_realloc(opaque, content, size);
  heap_free(content);
  return NULL;
}

/* Text and Uint8Array → [text, Uint8Array]: the reply is a line of text, and the bytes that belong to it. */
static JSValue js_effect_bytes(JSContext *ctx, JSValueConst self, int count, JSValueConst *values) {
  size_t length, size;
  uint8_t *content = JS_GetUint8Array(ctx, &size, values[1]);
  if (!content && JS_HasException(ctx)) return JS_EXCEPTION;
  const char *request = JS_ToCStringLen(ctx, &length, values[0]);
  if (!request) return JS_EXCEPTION;
  uint64_t packed = host_effect_bytes(request, length, content, size);
  JS_FreeCString(ctx, request);
  char *reply = (char *)(uintptr_t)(packed >> 32), *end = reply;
  while (*end != '\n') end++;
  uint32_t line = (uint32_t)(end - reply), left = (uint32_t)packed - line - 1;
  JSValue parts = JS_NewArray(ctx);
  JS_SetPropertyUint32(ctx, parts, 0, JS_NewStringLen(ctx, reply, line));
  memmove(reply, end + 1, left);
  JS_SetPropertyUint32(ctx, parts, 1, JS_NewUint8Array(ctx, (uint8_t *)reply, left, resize_content, NULL, false));
  return parts;
}

/* -- chance and time ------------------------------------------------------------------------------------------- */

static struct tw_random *drawn_from(int which) {
  if (!seeded[which]) {
    tw_random_seed(&chance[which], seed, which);
    seeded[which] = true;
  }
  return &chance[which];
}

static JSValue js_bits(JSContext *ctx, JSValueConst self, int count, JSValueConst *values) {
  int32_t length;
  if (JS_ToInt32(ctx, &length, values[0])) return JS_EXCEPTION;
  if (length < 1 || length > 53) return JS_ThrowRangeError(ctx, "1 to 53 bits can be drawn");
  return JS_NewInt64(ctx, (int64_t)tw_random_bits(drawn_from(0), length));
}

static JSValue js_fraction(JSContext *ctx, JSValueConst self, int count, JSValueConst *values) {
  int32_t which;
  if (JS_ToInt32(ctx, &which, values[0])) return JS_EXCEPTION;
  return JS_NewFloat64(ctx, tw_random_double(drawn_from(which != 0)));
}

static int take_turn(JSContext *ctx, JSValueConst input) {
  JSValue text = JS_GetPropertyStr(ctx, input, "seed");
  JSValue time = JS_GetPropertyStr(ctx, input, "now_us");
  int64_t us = 0;
  const char *hex = JS_ToCString(ctx, text);
  int failed = !hex || JS_ToInt64(ctx, &us, time);
  if (!failed) {
    strncpy(seed, hex, sizeof seed - 1);
    now_us = us < 0 ? 0 : (uint64_t)us;
  }
  JS_FreeCString(ctx, hex);
  JS_FreeValue(ctx, text);
  JS_FreeValue(ctx, time);
  return failed ? -1 : 0;
}

/* -- promises -------------------------------------------------------------------------------------------------- */

static void on_rejection(JSContext *ctx, JSValueConst promise, JSValueConst reason, bool handled, void *opaque) {
  for (int i = 0; i < REJECTIONS_MAX; i++) {
    bool is_free = JS_IsUndefined(rejections[i]);
    if (handled && !is_free && JS_VALUE_GET_PTR(rejections[i]) == JS_VALUE_GET_PTR(promise)) {
      JS_FreeValue(ctx, rejections[i]);
      rejections[i] = JS_UNDEFINED;
      return;
    }
    if (!handled && is_free) {
      rejections[i] = JS_DupValue(ctx, promise);
      return;
    }
  }
}

static JSValue fault(const char *message) {
  JSValue text = JS_NewString(context, message);
  JSValue function = JS_GetPropertyStr(context, sdk, "fault");
  JSValue error = JS_Call(context, function, JS_UNDEFINED, 1, (JSValueConst[]){text});
  JS_FreeValue(context, text);
  JS_FreeValue(context, function);
  return JS_IsException(error) ? error : JS_Throw(context, error);
}

/* Let everything happen that is due, and take what `value` comes to, if it is a promise. */
static JSValue settled(JSValue value) {
  if (JS_IsException(value)) return value;
  JSContext *ctx;
  int done;
  while ((done = JS_ExecutePendingJob(runtime, &ctx)) > 0) {
  }
  if (done < 0) {
    JS_FreeValue(context, value);
    return JS_EXCEPTION;
  }
  for (int i = 0; i < REJECTIONS_MAX; i++) {
    if (JS_IsUndefined(rejections[i]) || (JS_IsObject(value) && JS_VALUE_GET_PTR(rejections[i]) == JS_VALUE_GET_PTR(value))) continue;
    JS_FreeValue(context, value);
    return JS_Throw(context, JS_PromiseResult(context, rejections[i]));
  }
  if (!JS_IsPromise(value)) return value;
  JSPromiseStateEnum state = JS_PromiseState(context, value);
  JSValue result = state == JS_PROMISE_PENDING ? JS_UNDEFINED : JS_PromiseResult(context, value);
  JS_FreeValue(context, value);
  if (state == JS_PROMISE_PENDING) return fault("the turn waits for a promise that nothing will ever settle: there are no timers and no events");
  return state == JS_PROMISE_REJECTED ? JS_Throw(context, result) : result;
}

/* -- programs -------------------------------------------------------------------------------------------------- */

static uint8_t *program; /* that is played */
static uint32_t program_size;

/* A part of the program: a name or a module, with its size in front. Moves `at` on. */
static bool next_part(uint32_t *at, uint8_t **part, uint32_t *size) {
  if (*at + 4 > program_size) return false;
  memcpy(size, program + *at, 4);
  *part = program + *at + 4;
  if (*size > program_size - *at - 4) return false;
  *at += 4 + *size;
  return true;
}

/* The module `name` of the program; undefined if there is none. Reading it reads what it imports. */
static JSValue read_module(JSContext *ctx, const char *name) {
  uint32_t at = 0, name_size, size, length = (uint32_t)strlen(name);
  uint8_t *found, *module;
  if (!next_part(&at, &found, &size)) return JS_UNDEFINED; /* the entry's name */
  while (next_part(&at, &found, &name_size) && next_part(&at, &module, &size))
    if (name_size == length && !memcmp(found, name, length)) return JS_ReadObject(ctx, module, size, JS_READ_OBJ_BYTECODE);
  return JS_UNDEFINED;
}

static int keep_compiled(JSContext *ctx, const char *name, JSValueConst module) {
  size_t size;
  uint8_t *code = JS_WriteObject(ctx, &size, module, JS_WRITE_OBJ_BYTECODE | JS_WRITE_OBJ_STRIP_SOURCE);
  if (!code) return -1;
  JSValue array = JS_NewArrayBufferCopy(ctx, code, size);
  js_free(ctx, code);
  return JS_IsException(array) ? -1 : JS_SetPropertyStr(ctx, compiled, name, array);
}

static JSModuleDef *load_module(JSContext *ctx, const char *name, void *opaque) {
  JSValue module = program ? read_module(ctx, name) : JS_UNDEFINED;
  if (JS_IsObject(files)) {
    JSValue text = JS_GetPropertyStr(ctx, files, name);
    if (JS_IsString(text)) {
      size_t length;
      const char *source = JS_ToCStringLen(ctx, &length, text);
      if (!source) return NULL;
      module = JS_Eval(ctx, source, length, name, JS_EVAL_TYPE_MODULE | JS_EVAL_FLAG_COMPILE_ONLY);
      JS_FreeCString(ctx, source);
      if (!JS_IsException(module) && keep_compiled(ctx, name, module) < 0) return NULL;
    }
    JS_FreeValue(ctx, text);
  }
  if (JS_IsUndefined(module)) JS_ThrowReferenceError(ctx, "%s is neither a file beside the agent's nor the module \"turnwise\": there is nothing else to import", name);
  return JS_VALUE_GET_TAG(module) == JS_TAG_MODULE ? JS_VALUE_GET_PTR(module) : NULL;
}

/* Compile all files, the entry first. Those that nothing imports by name can be imported while a turn is played. */
static int compile_all(JSValueConst entry) {
  JSPropertyEnum *names;
  uint32_t count;
  const char *first = JS_ToCString(context, entry);
  if (!first || !load_module(context, first, NULL)) return -1;
  if (JS_GetOwnPropertyNames(context, &names, &count, files, JS_GPN_STRING_MASK)) return -1;
  for (uint32_t i = 0; i < count; i++) {
    const char *name = JS_AtomToCString(context, names[i].atom);
    int is_compiled = JS_HasProperty(context, compiled, names[i].atom);
    if (!name || is_compiled < 0 || (!is_compiled && !load_module(context, name, NULL))) return -1;
  }
  return 0;
}

/* {"entry": …, "files": {…}} → {"program": …} */
static JSValue prepare(JSValueConst request) {
  files = JS_GetPropertyStr(context, request, "files");
  compiled = JS_NewObjectProto(context, JS_NULL);
  JSValue entry = JS_GetPropertyStr(context, request, "entry");
  int failed = compile_all(entry);
  JSValue function = JS_GetPropertyStr(context, sdk, failed ? "mistake" : "prepared");
  JSValue argument = failed ? JS_GetException(context) : compiled;
  return JS_Call(context, function, JS_UNDEFINED, 2, (JSValueConst[]){argument, entry});
}

static int of_base64(uint8_t letter) {
  if (letter >= 'A' && letter <= 'Z') return letter - 'A';
  if (letter >= 'a' && letter <= 'z') return letter - 'a' + 26;
  if (letter >= '0' && letter <= '9') return letter - '0' + 52;
  return letter == '+' ? 62 : letter == '/' ? 63 : -1;
}

/* Decode in place; return the number of bytes. */
static uint32_t decode_base64(uint8_t *text, uint32_t length) {
  uint32_t size = 0, held = 0, bits = 0;
  for (uint32_t i = 0; i < length; i++) {
    int value = of_base64(text[i]);
    if (value < 0) break;
    held = held << 6 | (uint32_t)value;
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      text[size++] = (uint8_t)(held >> bits);
    }
  }
  return size;
}

/* A program: the entry's name, then names and modules. */
static JSValue load_entry(void) {
  uint32_t at = 0, size;
  uint8_t *part;
  char name[1024];
  if (!next_part(&at, &part, &size) || size >= sizeof name) return fault("the input has no program");
  memcpy(name, part, size);
  name[size] = 0;
  JSValue entry = read_module(context, name);
  if (JS_IsException(entry)) return entry;
  if (JS_VALUE_GET_TAG(entry) != JS_TAG_MODULE) return fault("the program lacks its entry");
  if (JS_ResolveModule(context, entry) < 0) return JS_EXCEPTION;
  return entry;
}

static JSValue play(JSValueConst input) {
  if (take_turn(context, input)) return JS_EXCEPTION;
  JSValue entry = load_entry();
  if (JS_IsException(entry)) return entry;
  JSModuleDef *module = JS_VALUE_GET_PTR(entry);
  JSAtom name = JS_GetModuleName(context, module);
  JSValue done = settled(JS_EvalFunction(context, entry));
  if (JS_IsException(done)) return done;
  JSValue arguments[] = {JS_DupValue(context, input), JS_GetModuleNamespace(context, module), JS_AtomToString(context, name)};
  JSValue begin = JS_GetPropertyStr(context, sdk, "begin");
  done = settled(JS_Call(context, begin, JS_UNDEFINED, 3, (JSValueConst *)arguments));
  if (JS_IsException(done)) return done;
  JSValue end = JS_GetPropertyStr(context, sdk, "end");
  return JS_Call(context, end, JS_UNDEFINED, 0, NULL);
}

/* -- a turn ---------------------------------------------------------------------------------------------------- */

static const char PROGRAM[] = ",\"program\":\"";
static const char NO_MEMORY[] = "{\"error\":\"InternalError: out of memory (`memory_mib` of its kind); what its objects hold left none to say where\"}";
static const char UNTOLD[] = "{\"error\":\"the turn failed, and what it threw cannot be told: telling it fails as well\"}";

static uint64_t packed(const char *text, size_t length) { return (uint64_t)(uintptr_t)text << 32 | (uint32_t)length; }

/* The beginning of `,"program":"…"}` where it is the last member, which is long and plain, or NULL. A quote within a
 * JSON string has a backslash before it, so what is found is the last member of the outermost object. */
static char *find_program(char *text, uint32_t length) {
  if (length < sizeof PROGRAM + 2 || memcmp(text + length - 2, "\"}", 2)) return NULL;
  char *at = text + length - 3;
  while (at > text && *at != '"') at--;
  at -= sizeof PROGRAM - 2;
  return at > text && !memcmp(at, PROGRAM, sizeof PROGRAM - 1) ? at : NULL;
}

static JSValue answer(char *text, uint32_t length) {
  char *mark = find_program(text, length);
  if (mark) {
    program = (uint8_t *)mark + sizeof PROGRAM - 1;
    program_size = decode_base64(program, (uint32_t)(text + length - (char *)program));
    mark[0] = '}';
    length = (uint32_t)(mark + 1 - text);
    char held = text[length];
    text[length] = 0;
    JSValue input = JS_ParseJSON(context, text, length, "input");
    text[length] = held;
    return JS_IsException(input) ? input : play(input);
  }
  JSValue input = JS_ParseJSON(context, text, length, "input");
  if (JS_IsException(input)) return input;
  JSValue request = JS_GetPropertyStr(context, input, "prepare");
  return JS_IsObject(request) ? prepare(request) : fault("the input has neither a program nor sources");
}

__attribute__((export_name("turnwise_turn"))) uint64_t turnwise_turn(char *text, uint32_t length) {
  JS_UpdateStackTop(runtime);
  JSValue output = answer(text, length);
  if (JS_IsException(output)) {
    JSValue error = JS_GetException(context);
    heap_open_reserve();
    if (JS_IsNull(error) && heap_was_full()) return packed(NO_MEMORY, sizeof NO_MEMORY - 1); /* no room for an error */
    JSValue function = JS_GetPropertyStr(context, sdk, "failure");
    output = JS_Call(context, function, JS_UNDEFINED, 1, (JSValueConst[]){error});
  }
  size_t size;
  const char *result = JS_IsException(output) ? NULL : JS_ToCStringLen(context, &size, output);
  if (result) return packed(result, size);
  return heap_was_full() ? packed(NO_MEMORY, sizeof NO_MEMORY - 1) : packed(UNTOLD, sizeof UNTOLD - 1);
}

/* -- the build ------------------------------------------------------------------------------------------------- */

static void give(JSValueConst object, const char *name, JSCFunction *function, int count) {
  JS_SetPropertyStr(context, object, name, JS_NewCFunction(context, function, name, count));
}

__attribute__((export_name("turnwise_init"))) int turnwise_init(void) {
  runtime = JS_NewRuntime2(&heap_functions, NULL);
  JS_SetMaxStackSize(runtime, STACK_BYTES_MAX);
  JS_SetGCThreshold(runtime, GC_BYTES);
  JS_SetModuleLoaderFunc(runtime, NULL, load_module, NULL);
  JS_SetHostPromiseRejectionTracker(runtime, on_rejection, NULL);
  context = JS_NewContext(runtime);
  files = compiled = JS_UNDEFINED;
  for (int i = 0; i < REJECTIONS_MAX; i++) rejections[i] = JS_UNDEFINED;
  JSValue global = JS_GetGlobalObject(context);
  JSValue host = JS_NewObject(context);
  give(host, "effect", js_effect, 1);
  give(host, "effectBytes", js_effect_bytes, 2);
  give(host, "bits", js_bits, 1);
  give(host, "fraction", js_fraction, 1);
  JS_SetPropertyStr(context, global, "__host", host);
  JSValue done = settled(JS_Eval(context, turnwise_js, turnwise_js_length, "turnwise", JS_EVAL_TYPE_MODULE));
  if (JS_IsException(done)) return 1;
  sdk = JS_GetPropertyStr(context, global, "__turnwise");
  JSAtom name = JS_NewAtom(context, "__turnwise");
  JS_DeleteProperty(context, global, name, 0);
  JS_FreeAtom(context, name);
  JS_FreeValue(context, global);
  JS_RunGC(runtime);
  heap_settle();
  return !JS_IsObject(sdk);
}

/* -- WASI: what the C library would ask a system for ------------------------------------------------------------- */

#define WASI(name) __imported_wasi_snapshot_preview1_##name

int32_t WASI(clock_time_get)(int32_t clock, int64_t precision, int32_t result) {
  *(uint64_t *)(uintptr_t)result = now_us * 1000;
  now_us += 1; /* a loop that waits for time to pass ends */
  return 0;
}

/* Of the C library's streams, which nothing writes to. */
#define BAD_DESCRIPTOR 8

int close(int descriptor) { return -1; }

int32_t WASI(fd_fdstat_get)(int32_t descriptor, int32_t result) { return BAD_DESCRIPTOR; }

int32_t WASI(fd_seek)(int32_t descriptor, int64_t offset, int32_t whence, int32_t result) { return BAD_DESCRIPTOR; }

int32_t WASI(fd_write)(int32_t descriptor, int32_t pieces, int32_t count, int32_t result) { return BAD_DESCRIPTOR; }
