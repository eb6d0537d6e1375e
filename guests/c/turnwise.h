/* Agents for Turnwise in C, or in any language that takes a C header: all of it, version 0.1.0 of the ABI.
 *
 *     #include "turnwise.h"
 *
 *     void turn(tw_turn *t) {
 *       tw_text message;
 *       while (tw_next_message(t, &message))
 *         tw_send(t, tw_string(tw_member(message, "from")), tw_literal("hello"));
 *     }
 *
 *     python -m ziglang cc --target=wasm32-freestanding -O2 -s -nostdlib -Wl,--no-entry -o agent.wasm agent.c
 *
 * Include it in one file of an agent. It needs no C library, allocates by moving on (a turn is short, and its memory
 * is gone with it), and believes that the host's JSON is well formed. */

#ifndef TURNWISE_H
#define TURNWISE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TW_UNUSED __attribute__((unused))
#define TW_API static TW_UNUSED

/* -- chance: MT19937 as CPython seeds it, so that agents in any language draw the same numbers --------------------- */

struct tw_random {
  uint32_t state[624];
  uint32_t index;
};

TW_API void tw_random_begin_(struct tw_random *random, uint32_t number) {
  random->state[0] = number;
  for (uint32_t i = 1; i < 624; i++) {
    uint32_t before = random->state[i - 1];
    random->state[i] = 1812433253u * (before ^ before >> 30) + i;
  }
  random->index = 624;
}

/* Seed from a turn's `seed`, 64 hexadecimal digits. `twice` seeds from 2 * seed + 1: the module `random` in Python,
 * `Math.random` in JavaScript. */
TW_API void tw_random_seed(struct tw_random *random, const char *hex, bool twice) {
  uint32_t key[9] = {0}, length = 0, digits = 0;
  while (hex[digits] && digits < 64) digits++;
  for (uint32_t i = 0; i < digits; i++) {
    uint32_t letter = (uint8_t)hex[digits - 1 - i];
    uint32_t digit = letter <= '9' ? letter - '0' : (letter | 32) - 'a' + 10;
    key[i / 8] |= (digit & 15) << i % 8 * 4;
  }
  if (twice) {
    for (int i = 8; i > 0; i--) key[i] = key[i] << 1 | key[i - 1] >> 31;
    key[0] = key[0] << 1 | 1;
  }
  for (uint32_t i = 0; i < 9; i++)
    if (key[i]) length = i + 1;
  if (!length) length = 1;
  uint32_t *state = random->state, i = 1, j = 0;
  tw_random_begin_(random, 19650218u);
  for (uint32_t left = 624; left; left--) {
    state[i] = (state[i] ^ (state[i - 1] ^ state[i - 1] >> 30) * 1664525u) + key[j] + j;
    if (++i == 624) state[0] = state[623], i = 1;
    if (++j == length) j = 0;
  }
  for (uint32_t left = 623; left; left--) {
    state[i] = (state[i] ^ (state[i - 1] ^ state[i - 1] >> 30) * 1566083941u) - i;
    if (++i == 624) state[0] = state[623], i = 1;
  }
  state[0] = 0x80000000u;
}

TW_API uint32_t tw_random_word(struct tw_random *random) {
  uint32_t *state = random->state;
  if (random->index == 624) {
    for (uint32_t i = 0; i < 624; i++) {
      uint32_t mixed = (state[i] & 0x80000000u) | (state[(i + 1) % 624] & 0x7fffffffu);
      state[i] = state[(i + 397) % 624] ^ mixed >> 1 ^ (mixed & 1 ? 0x9908b0dfu : 0);
    }
    random->index = 0;
  }
  uint32_t word = state[random->index++];
  word ^= word >> 11;
  word ^= word << 7 & 0x9d2c5680u;
  word ^= word << 15 & 0xefc60000u;
  return word ^ word >> 18;
}

/* 1 to 64 bits. */
TW_API uint64_t tw_random_bits(struct tw_random *random, int length) {
  uint64_t low = tw_random_word(random);
  if (length <= 32) return low >> (32 - length);
  return low | (uint64_t)(tw_random_word(random) >> (64 - length)) << 32;
}

/* From 0, below 1. */
TW_API double tw_random_double(struct tw_random *random) {
  uint32_t high = tw_random_word(random) >> 5, low = tw_random_word(random) >> 6;
  return (high * 67108864.0 + low) * (1.0 / 9007199254740992.0);
}

#ifndef TURNWISE_NO_EXPORTS

/* -- texts ------------------------------------------------------------------------------------------------------- */

/* A text, or a value as JSON text. It does not end with a zero. */
typedef struct {
  const char *at;
  uint32_t length;
} tw_text;

#define tw_literal(text) ((tw_text){text, sizeof(text) - 1})
#define TW_NONE ((tw_text){0, 0})

/* A text that is being written. */
typedef struct {
  char *at;
  uint32_t length, size;
} tw_out;

extern unsigned char __heap_base;
static uintptr_t tw_free_;

/* Room for `size` bytes, to the end of the turn. Traps where there is none: the turn fails for lack of memory. */
TW_API void *tw_alloc(uint32_t size) {
  uintptr_t at = tw_free_ ? tw_free_ : (uintptr_t)&__heap_base;
  at = (at + 15) & ~(uintptr_t)15;
  uint64_t end = (uint64_t)at + size, have = (uint64_t)__builtin_wasm_memory_size(0) << 16;
  if (end > have) {
    uint64_t more = end - have > have ? end - have : have; /* twice as much, or what is needed */
    if (__builtin_wasm_memory_grow(0, (uint32_t)((more + 65535) >> 16)) == (size_t)-1 &&
        __builtin_wasm_memory_grow(0, (uint32_t)((end - have + 65535) >> 16)) == (size_t)-1)
      return 0;
  }
  tw_free_ = (uintptr_t)end;
  return (void *)at;
}

TW_API void *tw_room_(uint32_t size) {
  void *room = tw_alloc(size);
  if (!room) {
    while (__builtin_wasm_memory_grow(0, 1) != (size_t)-1) {
    } /* a trap with all memory in use is a lack of memory, and not a fault */
    __builtin_trap();
  }
  return room;
}

TW_API void tw_add(tw_out *out, tw_text text) {
  if (out->size - out->length < text.length) {
    uint32_t size = (out->size + text.length) * 2 + 64;
    char *at = tw_room_(size);
    for (uint32_t i = 0; i < out->length; i++) at[i] = out->at[i];
    out->at = at;
    out->size = size;
  }
  for (uint32_t i = 0; i < text.length; i++) out->at[out->length++] = text.at[i];
}

TW_API void tw_add_int(tw_out *out, int64_t number) {
  char digits[21];
  uint32_t at = sizeof digits;
  uint64_t rest = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
  do digits[--at] = (char)('0' + rest % 10);
  while (rest /= 10);
  if (number < 0) digits[--at] = '-';
  tw_add(out, (tw_text){digits + at, (uint32_t)sizeof digits - at});
}

/* A text as a JSON string. */
TW_API void tw_add_string(tw_out *out, tw_text text) {
  static const char hex[] = "0123456789abcdef";
  tw_add(out, tw_literal("\""));
  for (uint32_t i = 0; i < text.length; i++) {
    unsigned char byte = (unsigned char)text.at[i];
    char escape[] = {'\\', (char)byte};
    char code[] = {'\\', 'u', '0', '0', hex[byte >> 4], hex[byte & 15]};
    if (byte == '"' || byte == '\\') tw_add(out, (tw_text){escape, 2});
    else if (byte < 32) tw_add(out, (tw_text){code, 6});
    else tw_add(out, (tw_text){text.at + i, 1});
  }
  tw_add(out, tw_literal("\""));
}

TW_API tw_text tw_written(const tw_out *out) { return (tw_text){out->at, out->length}; }

TW_API tw_text tw_int_text(int64_t number) {
  tw_out out = {0};
  tw_add_int(&out, number);
  return tw_written(&out);
}

TW_API bool tw_equal(tw_text one, tw_text other) {
  if (one.length != other.length) return false;
  for (uint32_t i = 0; i < one.length; i++)
    if (one.at[i] != other.at[i]) return false;
  return true;
}

/* -- reading JSON -------------------------------------------------------------------------------------------------- */

TW_API const char *tw_blank_(const char *at, const char *end) {
  while (at < end && (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t')) at++;
  return at;
}

/* The end of the value that begins at `at`. */
TW_API const char *tw_end_(const char *at, const char *end) {
  uint32_t depth = 0;
  while (at < end) {
    char letter = *at++;
    if (letter == '"') {
      while (at < end && *at != '"') at += *at == '\\' ? 2 : 1;
      at++;
    } else if (letter == '[' || letter == '{') {
      depth++;
    } else if (letter == ']' || letter == '}') {
      if (!depth) return at - 1;
      depth--;
    } else if (!depth && (letter == ',' || letter == ':')) {
      return at - 1;
    }
    if (!depth && (at >= end || *at == ',' || *at == ']' || *at == '}' || *at == ':' || *at == ' ' || *at == '\n')) break;
  }
  return at < end ? at : end;
}

/* The next element of an array, or the next name or value of an object. `rest` begins as the array and is moved on. */
TW_API bool tw_next(tw_text *rest, tw_text *item) {
  const char *end = rest->at + rest->length;
  const char *at = tw_blank_(rest->at, end);
  if (at < end && (*at == '[' || *at == '{' || *at == ',' || *at == ':')) at = tw_blank_(at + 1, end);
  if (at >= end || *at == ']' || *at == '}') return false;
  const char *stop = tw_end_(at, end);
  *item = (tw_text){at, (uint32_t)(stop - at)};
  at = tw_blank_(stop, end);
  *rest = (tw_text){at, (uint32_t)(end - at)};
  return true;
}

/* A string's text. */
TW_API tw_text tw_string(tw_text json) {
  if (json.length < 2 || json.at[0] != '"') return TW_NONE;
  char *text = tw_room_(json.length);
  uint32_t length = 0;
  for (uint32_t i = 1; i < json.length - 1; i++) {
    char letter = json.at[i];
    if (letter != '\\') {
      text[length++] = letter;
      continue;
    }
    letter = json.at[++i];
    if (letter != 'u') {
      text[length++] = letter == 'n' ? '\n' : letter == 't' ? '\t' : letter == 'r' ? '\r' : letter == 'b' ? '\b' : letter == 'f' ? '\f' : letter;
      continue;
    }
    uint32_t code = 0, low = 0;
    for (int j = 1; j <= 4; j++) {
      uint32_t digit = (uint8_t)json.at[i + j];
      code = code << 4 | (digit <= '9' ? digit - '0' : (digit | 32) - 'a' + 10);
    }
    i += 4;
    if (code >= 0xd800 && code < 0xdc00 && i + 6 < json.length && json.at[i + 1] == '\\') {
      for (int j = 3; j <= 6; j++) {
        uint32_t digit = (uint8_t)json.at[i + j];
        low = low << 4 | (digit <= '9' ? digit - '0' : (digit | 32) - 'a' + 10);
      }
      code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
      i += 6;
    }
    if (code < 0x80) {
      text[length++] = (char)code;
    } else if (code < 0x800) {
      text[length++] = (char)(0xc0 | code >> 6);
      text[length++] = (char)(0x80 | (code & 63));
    } else if (code < 0x10000) {
      text[length++] = (char)(0xe0 | code >> 12);
      text[length++] = (char)(0x80 | (code >> 6 & 63));
      text[length++] = (char)(0x80 | (code & 63));
    } else {
      text[length++] = (char)(0xf0 | code >> 18);
      text[length++] = (char)(0x80 | (code >> 12 & 63));
      text[length++] = (char)(0x80 | (code >> 6 & 63));
      text[length++] = (char)(0x80 | (code & 63));
    }
  }
  return (tw_text){text, length};
}

/* An object's member as JSON text; TW_NONE if there is none. */
TW_API tw_text tw_member_named(tw_text object, tw_text name) {
  tw_text key, value;
  while (tw_next(&object, &key) && tw_next(&object, &value))
    if (tw_equal(tw_string(key), name)) return value;
  return TW_NONE;
}
#define tw_member(object, name) tw_member_named(object, tw_literal(name))

/* A whole number; 0 for what is none. */
TW_API int64_t tw_int(tw_text json) {
  bool minus = json.length && json.at[0] == '-';
  uint64_t number = 0;
  for (uint32_t i = minus; i < json.length && json.at[i] >= '0' && json.at[i] <= '9'; i++) number = number * 10 + (uint64_t)(json.at[i] - '0');
  return (int64_t)(minus ? 0 - number : number);
}

/* -- a turn -------------------------------------------------------------------------------------------------------- */

/* All that an agent has in a turn. `state` is what the last one left, as text. */
typedef struct {
  tw_text input, self, kind, args, state, inbox;
  int64_t round, turn, now_us, backlog;
  tw_text seed, state_next, finish, error;
  int64_t wake_in;
  tw_out send, log, record, spawn, stop;
} tw_turn;

/* The agent's own function. */
void turn(tw_turn *t);

/* The next message of the inbox: an object with `from`, `round` and `body`. */
TW_API bool tw_next_message(tw_turn *t, tw_text *message) { return tw_next(&t->inbox, message); }

/* The turn's chance, for `tw_random_double` and `tw_random_bits`: what `t.random` is in other languages. */
TW_API struct tw_random *tw_chance(tw_turn *t) {
  static struct tw_random random;
  static bool seeded;
  if (!seeded) {
    char hex[65] = {0};
    for (uint32_t i = 0; i < t->seed.length && i < 64; i++) hex[i] = t->seed.at[i];
    tw_random_seed(&random, hex, false);
    seeded = true;
  }
  return &random;
}

/* A whole number from `low` to `high`, as `t.random.randint` of the other languages draws it. */
TW_API int64_t tw_randint(tw_turn *t, int64_t low, int64_t high) {
  uint64_t count = (uint64_t)(high - low) + 1, drawn;
  int bits = 64 - __builtin_clzll(count ? count : 1);
  do drawn = tw_random_bits(tw_chance(t), bits);
  while (count && drawn >= count);
  return low + (int64_t)drawn;
}

/* The text that is there again in the agent's next turn. Not called: what was there before. */
TW_API void tw_set_state(tw_turn *t, tw_text state) { t->state_next = state; }

TW_API void tw_item_(tw_out *list, const char *first, tw_text one, const char *second, tw_text two, bool is_json) {
  uint32_t a = 0, b = 0;
  while (first[a]) a++;
  while (second[b]) b++;
  if (list->length) tw_add(list, tw_literal(","));
  tw_add(list, (tw_text){first, a});
  tw_add_string(list, one);
  tw_add(list, (tw_text){second, b});
  if (is_json) tw_add(list, two);
  else tw_add_string(list, two);
  tw_add(list, tw_literal("}"));
}

TW_API void tw_send(tw_turn *t, tw_text to, tw_text body) { tw_item_(&t->send, "{\"to\":", to, ",\"body\":", body, false); }

/* `level` is debug, info, warning or error. */
TW_API void tw_log(tw_turn *t, tw_text level, tw_text line) { tw_item_(&t->log, "{\"level\":", level, ",\"text\":", line, false); }

TW_API void tw_record_text(tw_turn *t, tw_text name, tw_text value) { tw_item_(&t->record, "{\"name\":", name, ",\"value\":", value, false); }

/* `value` is a number as JSON text. */
TW_API void tw_record_number(tw_turn *t, tw_text name, tw_text value) { tw_item_(&t->record, "{\"name\":", name, ",\"value\":", value, true); }

TW_API void tw_record_int(tw_turn *t, tw_text name, int64_t value) { tw_record_number(t, name, tw_int_text(value)); }

TW_API void tw_wake_in(tw_turn *t, int64_t rounds) { t->wake_in = rounds; }

/* `args` is a JSON object. */
TW_API void tw_spawn(tw_turn *t, tw_text kind, tw_text name, tw_text args, tw_text state) {
  if (t->spawn.length) tw_add(&t->spawn, tw_literal(","));
  tw_add(&t->spawn, tw_literal("{\"kind\":"));
  tw_add_string(&t->spawn, kind);
  tw_add(&t->spawn, tw_literal(",\"name\":"));
  tw_add_string(&t->spawn, name);
  if (args.at) {
    tw_add(&t->spawn, tw_literal(",\"args\":"));
    tw_add(&t->spawn, args);
  }
  if (state.at) {
    tw_add(&t->spawn, tw_literal(",\"state\":"));
    tw_add_string(&t->spawn, state);
  }
  tw_add(&t->spawn, tw_literal("}"));
}

TW_API void tw_stop(tw_turn *t, tw_text name) {
  if (t->stop.length) tw_add(&t->stop, tw_literal(","));
  tw_add_string(&t->stop, name);
}

/* `result` is any JSON value. */
TW_API void tw_finish(tw_turn *t, tw_text result) { t->finish = result; }

/* Let the turn fail, with a text that says why. Return from `turn` after it. */
TW_API void tw_fail(tw_turn *t, tw_text why) { t->error = why; }

__attribute__((import_module("turnwise"), import_name("effect"))) uint64_t tw_host_effect_(const char *text, uint32_t length);

/* Ask for an effect, or several: JSON text in, JSON text out (docs/abi.md). Ends the turn where the reply is not there
 * yet; it runs again from its start when it is. */
TW_API tw_text tw_effect(tw_text request) {
  uint64_t packed = tw_host_effect_(request.at, request.length);
  return (tw_text){(const char *)(uintptr_t)(packed >> 32), (uint32_t)packed};
}

/* Text from a language model, the likeliest; TW_NONE where it was refused. */
TW_API tw_text tw_generate(tw_text model, tw_text prompt, int64_t tokens_max) {
  tw_out out = {0};
  tw_add(&out, tw_literal("{\"effect\":\"generate\",\"model\":"));
  tw_add_string(&out, model);
  tw_add(&out, tw_literal(",\"prompt\":"));
  tw_add_string(&out, prompt);
  tw_add(&out, tw_literal(",\"temperature\":0,\"tokens_max\":"));
  tw_add_int(&out, tokens_max);
  tw_add(&out, tw_literal("}"));
  return tw_string(tw_member(tw_member(tw_effect(tw_written(&out)), "ok"), "text"));
}

/* Call a tool outside of the run; `args` is a JSON object. The reply as JSON: {"ok":{"text":…}} or {"error":{"kind":…}}.
 * The turn may wait, and others go on meanwhile. */
TW_API tw_text tw_call(tw_text tool, tw_text args) {
  tw_out out = {0};
  tw_add(&out, tw_literal("{\"effect\":\"call\",\"tool\":"));
  tw_add_string(&out, tool);
  tw_add(&out, tw_literal(",\"args\":"));
  tw_add(&out, args);
  tw_add(&out, tw_literal("}"));
  return tw_effect(tw_written(&out));
}

/* The text of what a call came to; TW_NONE where it failed. */
TW_API tw_text tw_call_text(tw_text tool, tw_text args) {
  return tw_string(tw_member(tw_member(tw_call(tool, args), "ok"), "text"));
}

/* The tools that the agent may call, as a JSON list in order of name. */
TW_API tw_text tw_tools(void) {
  return tw_member(tw_member(tw_effect(tw_literal("{\"effect\":\"tools\"}")), "ok"), "tools");
}

/* Ask a person; `schema` is a JSON schema of the answer, or TW_NONE. The answer as JSON; TW_NONE where it was refused.
 * The turn waits, and nobody waits for it. */
TW_API tw_text tw_ask(tw_text question, tw_text schema) {
  tw_out out = {0};
  tw_add(&out, tw_literal("{\"effect\":\"ask\",\"question\":"));
  tw_add_string(&out, question);
  if (schema.at) {
    tw_add(&out, tw_literal(",\"schema\":"));
    tw_add(&out, schema);
  }
  tw_add(&out, tw_literal("}"));
  return tw_member(tw_member(tw_effect(tw_written(&out)), "ok"), "answer");
}

/* -- contents: bytes that are put once and handed on by a handle ------------------------------------------------------ */

__attribute__((import_module("turnwise"), import_name("effect_bytes"))) uint64_t tw_host_effect_bytes_(const char *text, uint32_t length, const void *content, uint32_t size);

/* As `tw_effect`, with bytes beside the texts: those of the request are given, those of the reply lie behind its first
 * line, which ends with a newline (docs/abi.md). */
TW_API tw_text tw_effect_bytes(tw_text request, tw_text content) {
  uint64_t packed = tw_host_effect_bytes_(request.at, request.length, content.at, content.length);
  return (tw_text){(const char *)(uintptr_t)(packed >> 32), (uint32_t)packed};
}

/* Take the first line off a reply, and return it; what is left are its bytes. */
TW_API tw_text tw_line(tw_text *reply) {
  uint32_t length = 0;
  while (length < reply->length && reply->at[length] != '\n') length++;
  tw_text line = {reply->at, length};
  uint32_t used = length < reply->length ? length + 1 : length;
  *reply = (tw_text){reply->at + used, reply->length - used};
  return line;
}

/* Put bytes aside for the rest of the run. Their handle, a text; TW_NONE where it was refused. */
TW_API tw_text tw_put(tw_text content) {
  tw_out out = {0};
  tw_add(&out, tw_literal("{\"effect\":\"put\",\"bytes\":"));
  tw_add_int(&out, content.length);
  tw_add(&out, tw_literal("}"));
  tw_text reply = tw_effect_bytes(tw_written(&out), content);
  return tw_string(tw_member(tw_member(tw_line(&reply), "ok"), "handle"));
}

/* At most `length` bytes of a content from `start` on; TW_NONE where the agent was given no such handle. */
TW_API tw_text tw_get(tw_text handle, int64_t start, int64_t length) {
  tw_out out = {0};
  tw_add(&out, tw_literal("{\"effect\":\"get\",\"handle\":"));
  tw_add_string(&out, handle);
  tw_add(&out, tw_literal(",\"start\":"));
  tw_add_int(&out, start);
  tw_add(&out, tw_literal(",\"length\":"));
  tw_add_int(&out, length);
  tw_add(&out, tw_literal("}"));
  tw_text reply = tw_effect_bytes(tw_written(&out), TW_NONE);
  return tw_member(tw_line(&reply), "ok").at ? reply : TW_NONE;
}

/* A message with a content, by its handle; the one who reads it finds that in the member `attach`. */
TW_API void tw_send_attached(tw_turn *t, tw_text to, tw_text body, tw_text handle) {
  tw_send(t, to, body);
  t->send.length--; /* the closing brace */
  tw_add(&t->send, tw_literal(",\"attach\":"));
  tw_add_string(&t->send, handle);
  tw_add(&t->send, tw_literal("}"));
}

/* -- what the host calls ------------------------------------------------------------------------------------------- */

__attribute__((export_name("turnwise_alloc"))) void *turnwise_alloc(uint32_t size) { return tw_alloc(size); }

TW_API void tw_add_list_(tw_out *out, tw_text name, const tw_out *items) {
  if (!items->length) return;
  tw_add(out, name);
  tw_add(out, tw_written(items));
  tw_add(out, tw_literal("]"));
}

__attribute__((export_name("turnwise_turn"))) uint64_t turnwise_turn(const char *text, uint32_t length) {
  static tw_turn t;
  t.input = (tw_text){text, length};
  t.self = tw_string(tw_member(t.input, "self"));
  t.kind = tw_string(tw_member(t.input, "kind"));
  t.args = tw_member(t.input, "args");
  t.state = t.state_next = tw_string(tw_member(t.input, "state"));
  t.inbox = tw_member(t.input, "inbox");
  t.round = tw_int(tw_member(t.input, "round"));
  t.turn = tw_int(tw_member(t.input, "turn"));
  t.now_us = tw_int(tw_member(t.input, "now_us"));
  t.backlog = tw_int(tw_member(t.input, "backlog"));
  t.seed = tw_string(tw_member(t.input, "seed"));
  turn(&t);
  tw_out out = {0};
  if (t.error.at) {
    tw_add(&out, tw_literal("{\"error\":"));
    tw_add_string(&out, t.error);
  } else {
    tw_add(&out, tw_literal("{\"state\":"));
    tw_add_string(&out, t.state_next);
    tw_add_list_(&out, tw_literal(",\"send\":["), &t.send);
    tw_add_list_(&out, tw_literal(",\"log\":["), &t.log);
    tw_add_list_(&out, tw_literal(",\"record\":["), &t.record);
    tw_add_list_(&out, tw_literal(",\"spawn\":["), &t.spawn);
    tw_add_list_(&out, tw_literal(",\"stop\":["), &t.stop);
    if (t.wake_in) {
      tw_add(&out, tw_literal(",\"wake_in\":"));
      tw_add_int(&out, t.wake_in);
    }
    if (t.finish.at) {
      tw_add(&out, tw_literal(",\"finish\":"));
      tw_add(&out, t.finish);
    }
  }
  tw_add(&out, tw_literal("}"));
  return (uint64_t)(uintptr_t)out.at << 32 | out.length;
}

#endif /* TURNWISE_NO_EXPORTS */
#endif
