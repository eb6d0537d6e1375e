/**
 * Agents in JavaScript: the module `turnwise`, which is part of the interpreter. Types and texts: `turnwise.d.ts`.
 *
 * The last functions of this file are called by the interpreter (`interpreter.c`) and are not exported to agents.
 */

const LEVELS = ["debug", "info", "warning", "error"];
const NESTING_MAX = 1000;
const ROUNDS_MAX = 2 ** 31 - 1;
const TEXT_CHARS_MAX = 16384;
const SHOWN_CHARS_MAX = 80;
const CAUSES_MAX = 20;

const { effect, effectBytes, bits, fraction } = globalThis.__host;
delete globalThis.__host;

// -- errors -----------------------------------------------------------------------------------------------------

export class EffectError extends Error {
  constructor(kind, message) {
    super(`${kind}: ${message}`);
    this.kind = kind;
    this.reason = message;
  }
}
EffectError.prototype.name = "EffectError";

export class NotJSON extends TypeError {}
NotJSON.prototype.name = "NotJSON";

// -- JSON -------------------------------------------------------------------------------------------------------

function short(text) {
  const shown = JSON.stringify(text.slice(0, SHOWN_CHARS_MAX));
  return text.length <= SHOWN_CHARS_MAX ? shown : `${shown}… (${text.length} characters)`;
}

function kindOf(value) {
  if (value === null) return "null";
  if (typeof value !== "object") return typeof value;
  return Object.getPrototypeOf(value)?.constructor?.name ?? "object";
}

function checkText(text, name) {
  if (typeof text !== "string") throw new TypeError(`${name} is a text, not ${kindOf(text)}`);
  if (!text.isWellFormed()) {
    throw new NotJSON(`${name} has half a character (a lone surrogate), which UTF-8 cannot carry: use toWellFormed()`);
  }
}

function named(text, name) {
  checkText(text, name);
  if (text === "") throw new RangeError(`${name} is empty`);
}

/** Orders keys by code points, as other languages do: UTF-16 has characters beyond U+FFFF before U+E000. */
function byCodePoint(one, other) {
  const length = Math.min(one.length, other.length);
  for (let index = 0; index < length; index++) {
    let a = one.charCodeAt(index);
    let b = other.charCodeAt(index);
    if (a !== b) {
      if (a >= 0xd800 && b >= 0xd800) {
        a = a >= 0xe000 ? a - 0x800 : a + 0x2000;
        b = b >= 0xe000 ? b - 0x800 : b + 0x2000;
      }
      return a - b;
    }
  }
  return one.length - other.length;
}

/** JSON text of a value; with `sorted`, the same text for the same value. Refuses what would come back as another. */
function encode(value, name, sorted = true, depth = 0) {
  switch (typeof value) {
    case "string":
      checkText(value, name);
      return JSON.stringify(value);
    case "boolean":
      return value ? "true" : "false";
    case "number":
      if (!Number.isFinite(value)) throw new NotJSON(`${name} is ${value}, which JSON has no word for`);
      return JSON.stringify(value);
    case "object":
      break;
    default:
      throw new NotJSON(`${name} is a ${typeof value}, which is not a JSON value${advice(value)}`);
  }
  if (value === null) return "null";
  if (depth >= NESTING_MAX) {
    throw new NotJSON(`${name.slice(0, SHOWN_CHARS_MAX)}… is nested more than ${NESTING_MAX} levels deep, or contains itself`);
  }
  if (Array.isArray(value)) {
    const parts = [];
    for (let index = 0; index < value.length; index++) {
      parts.push(encode(value[index], `${name}[${index}]`, sorted, depth + 1));
    }
    return `[${parts.join(",")}]`;
  }
  const prototype = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) {
    throw new NotJSON(`${name} is a ${kindOf(value)}, which is not a JSON value${advice(value)}`);
  }
  const keys = Object.keys(value);
  if (sorted && keys.length > 1) keys.sort(byCodePoint);
  const parts = [];
  for (const key of keys) {
    const item = value[key];
    if (item === undefined) continue; // not there again next time, which reads as undefined as well
    checkText(key, `a key of ${name}`);
    parts.push(`${JSON.stringify(key)}:${encode(item, `${name}[${JSON.stringify(key)}]`, sorted, depth + 1)}`);
  }
  return `{${parts.join(",")}}`;
}

function advice(value) {
  if (value instanceof Set) return ": use [...value].sort()";
  if (value instanceof Map) return ": use Object.fromEntries(value)";
  if (value instanceof Date) return ": use value.toISOString() or value.getTime()";
  if (typeof value === "bigint") return ": use value.toString()";
  if (ArrayBuffer.isView(value)) return ": use [...value]";
  return ": use null, booleans, numbers, texts, arrays and plain objects";
}

function whole(name, value, low, high) {
  if (typeof value !== "number" || !Number.isInteger(value)) {
    throw new TypeError(`${name} is a whole number, not ${typeof value === "number" ? value : kindOf(value)}`);
  }
  if (value < low || value > high) throw new RangeError(`${name} is between ${low} and ${high}, not ${value}`);
  return value;
}

// -- chance -----------------------------------------------------------------------------------------------------

/** The turn's chance: the numbers that an agent in another language draws in its place (MT19937, as CPython has it). */
class Random {
  random() {
    return fraction(0);
  }

  /** A whole number from 0 to `count` - 1. */
  below(count) {
    whole("count", count, 1, Number.MAX_SAFE_INTEGER);
    const length = count < 2 ** 32 ? 32 - Math.clz32(count) : 64 - Math.clz32(Math.floor(count / 2 ** 32));
    let drawn = bits(length);
    while (drawn >= count) drawn = bits(length);
    return drawn;
  }

  randint(low, high) {
    whole("low", low, -Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);
    whole("high", high, low, Number.MAX_SAFE_INTEGER);
    return low + this.below(high - low + 1);
  }

  uniform(low, high) {
    return low + (high - low) * this.random();
  }

  choice(items) {
    if (items.length === 0) throw new RangeError("there is nothing to choose from");
    return items[this.below(items.length)];
  }

  shuffle(items) {
    for (let index = items.length - 1; index > 0; index--) {
      const other = this.below(index + 1);
      [items[index], items[other]] = [items[other], items[index]];
    }
    return items;
  }

  sample(items, count) {
    whole("count", count, 0, items.length);
    const rest = [...items];
    const found = [];
    // As CPython does it: places that were drawn are kept apart where a list of all would be the larger.
    if (rest.length > 21 + (count > 5 ? 4 ** Math.ceil(Math.log(count * 3) / Math.log(4)) : 0)) {
      const taken = new Set();
      while (taken.size < count) {
        const drawn = this.below(rest.length);
        if (!taken.has(drawn)) found.push(rest[drawn]);
        taken.add(drawn);
      }
      return found;
    }
    for (let index = 0; index < count; index++) {
      const last = rest.length - index - 1;
      const drawn = this.below(last + 1);
      found.push(rest[drawn]);
      rest[drawn] = rest[last];
    }
    return found;
  }
}

Math.random = function random() {
  return fraction(1);
};

// -- messages and tensors ---------------------------------------------------------------------------------------

class Message {
  constructor({ from, body, round, attach = null }) {
    this.sender = from;
    this.body = body;
    this.round = round;
    this.attach = attach;
  }

  json() {
    try {
      return JSON.parse(this.body);
    } catch (error) {
      const told = `the message of ${this.sender} is not JSON but the text ${short(this.body)}: read it as .body`;
      throw new SyntaxError(`${told} (${error.message})`);
    }
  }
}

const ARRAYS = {
  bool: Uint8Array,
  int8: Int8Array,
  int16: Int16Array,
  int32: Int32Array,
  int64: BigInt64Array,
  uint8: Uint8Array,
  uint16: Uint16Array,
  uint32: Uint32Array,
  uint64: BigUint64Array,
  float16: Float16Array,
  float32: Float32Array,
  float64: Float64Array,
};

/** Numbers of one type in a shape; `data` is a typed array of all of them, the last dimension running fastest. */
export class Tensor {
  constructor(values, { dtype, shape } = {}) {
    if (shape === undefined) {
      const flat = [];
      this.shape = flatten(values, flat, "values", 0);
      values = flat;
    } else {
      this.shape = shape.map((size) => whole("a size of shape", size, 0, Number.MAX_SAFE_INTEGER));
      values = [...values];
    }
    this.dtype = dtype ?? typeFor(values);
    const kind = ARRAYS[this.dtype];
    if (kind === undefined) throw new TypeError(`dtype is one of ${Object.keys(ARRAYS).join(", ")}, not ${dtype}`);
    const size = this.shape.reduce((product, each) => product * each, 1);
    if (values.length !== size) {
      throw new RangeError(`${values.length} values do not fill the shape [${this.shape}], which has ${size}`);
    }
    this.data = elements(values, this.dtype, kind);
  }

  toList() {
    let flat = [...this.data];
    if (this.dtype === "bool") flat = flat.map(Boolean);
    for (let axis = this.shape.length - 1; axis > 0; axis--) {
      const size = this.shape[axis];
      const count = this.shape.slice(0, axis).reduce((product, each) => product * each, 1);
      flat = Array.from({ length: count }, (_, row) => flat.slice(row * size, (row + 1) * size));
    }
    return this.shape.length ? flat : flat[0];
  }
}

function flatten(values, flat, where, depth) {
  if (typeof values === "number" || typeof values === "boolean" || typeof values === "bigint") {
    flat.push(values);
    return [];
  }
  if (!Array.isArray(values) && !ArrayBuffer.isView(values)) {
    throw new TypeError(`${where} is a number or an array of them, not ${kindOf(values)}`);
  }
  if (depth === 16) throw new RangeError("a tensor has at most 16 dimensions");
  let shape;
  for (let index = 0; index < values.length; index++) {
    const found = flatten(values[index], flat, `${where}[${index}]`, depth + 1);
    if (shape !== undefined && `${found}` !== `${shape}`) {
      throw new RangeError(`${where}[${index}] has the shape [${found}], and those before it [${shape}]: rows must be alike`);
    }
    shape = found;
  }
  return [values.length, ...(shape ?? [])];
}

function typeFor(flat) {
  if (flat.length && flat.every((value) => typeof value === "boolean")) return "bool";
  if (flat.length && flat.every((value) => typeof value === "bigint")) return "int64";
  return "float32";
}

function elements(values, dtype, kind) {
  const big = dtype === "int64" || dtype === "uint64";
  const data = new kind(values.length);
  for (let index = 0; index < values.length; index++) {
    const value = values[index];
    if (dtype === "bool" && ![0, 1, false, true].includes(value)) {
      throw new RangeError("a bool tensor holds true and false, or 1 and 0");
    }
    const taken = big ? BigInt(value) : Number(value);
    data[index] = taken;
    if (!dtype.startsWith("float") && data[index] !== taken) {
      throw new RangeError(`the value ${value} does not fit into ${dtype}`);
    }
  }
  return data;
}

function tensorToJSON(tensor) {
  const { buffer, byteOffset, byteLength } = tensor.data;
  return { dtype: tensor.dtype, shape: tensor.shape, data: new Uint8Array(buffer, byteOffset, byteLength).toBase64() };
}

function tensorFromJSON({ dtype, shape, data }) {
  const tensor = Object.create(Tensor.prototype);
  tensor.shape = shape;
  tensor.dtype = dtype;
  tensor.data = new ARRAYS[dtype](Uint8Array.fromBase64(data).buffer);
  return tensor;
}

/** A content as an input of `infer`: its bytes are the elements, little-endian, the last dimension first. */
export class StoredTensor {
  constructor(content, dtype, shape) {
    this.content = handleOf(content);
    if (!(dtype in ARRAYS)) throw new TypeError(`dtype is one of ${Object.keys(ARRAYS).join(", ")}, not ${dtype}`);
    this.dtype = dtype;
    this.shape = shape.map((size) => whole("a size of shape", size, 0, Number.MAX_SAFE_INTEGER));
  }
}

// -- effects ----------------------------------------------------------------------------------------------------

const number = (low, high) => (name, value) => {
  if (typeof value !== "number" || Number.isNaN(value)) throw new TypeError(`${name} is a number, not ${kindOf(value)}`);
  if (value < low || value > high || !Number.isFinite(value)) {
    throw new RangeError(`${name} is a number from ${low} to ${high}, not ${value}`);
  }
  return value;
};
const count = (low, high = Number.MAX_SAFE_INTEGER) => (name, value) => whole(name, value, low, high);
const plain = (name, value) => {
  if (value === null || typeof value !== "object" || Array.isArray(value)) {
    throw new TypeError(`${name} is an object, not ${kindOf(value)}`);
  }
  return value;
};
const text = (name, value) => {
  named(value, name);
  return value;
};

const OPTIONS = {
  tokensMax: ["tokens_max", count(1)],
  temperature: ["temperature", number(0, Number.MAX_VALUE)],
  topK: ["top_k", count(1)],
  topP: ["top_p", (name, value) => {
    if (value === 0) throw new RangeError(`${name} is a probability above 0 and at most 1, not 0`);
    return number(0, 1)(name, value);
  }],
  minP: ["min_p", number(0, 1)],
  repetitionPenalty: ["repetition_penalty", number(0.1, 10)],
  presencePenalty: ["presence_penalty", number(-100, 100)],
  logitBias: ["logit_bias", (name, value) => {
    const bias = {};
    for (const [token, by] of Object.entries(plain(name, value))) bias[token] = number(-100, 100)(`${name}.${token}`, by);
    return bias;
  }],
  stop: ["stop", (name, value) => (typeof value === "string" ? [value] : [...value]).map((each) => text(name, each))],
  logprobs: ["logprobs", count(0, 20)],
  jsonSchema: ["json_schema", plain],
  regex: ["regex", text],
  lark: ["lark", text],
  tools: ["tools", (name, value) => toldTools(name, value)],
  toolChoice: ["tool_choice", (name, value) => {
    if (typeof value === "object" && value !== null) return plain(name, value);
    if (!["auto", "required", "none"].includes(value)) throw new RangeError(`${name} is "auto", "required", "none" or { mode, tools }, not ${value}`);
    return value;
  }],
  callsMax: ["calls_max", count(1, 64)],
  template: ["template", plain],
  system: ["system", text],
  onFull: ["on_full", (name, value) => {
    if (value !== "error" && value !== "drop_oldest") throw new RangeError(`${name} is "error" or "drop_oldest", not ${value}`);
    return value;
  }],
};

function settings(options) {
  const members = { temperature: 0 };
  for (const [name, value] of Object.entries(options)) {
    if (!(name in OPTIONS)) throw new TypeError(`there is no option ${name}; there are ${Object.keys(OPTIONS).sort().join(", ")}`);
    if (value === undefined || value === null) continue;
    const [member, check] = OPTIONS[name];
    members[member] = check(name, value);
  }
  const grammars = ["jsonSchema", "regex", "lark"].filter((name) => options[name] !== undefined && options[name] !== null);
  if (grammars.length > 1) throw new TypeError(`${grammars[0]} and ${grammars[1]} are given: an answer follows one grammar`);
  if (grammars.length === 1 && grammars[0] !== "jsonSchema" && members.tools?.length) throw new TypeError(`${grammars[0]} and tools are given: an answer follows one grammar`);
  for (const [name, member] of [["toolChoice", "tool_choice"], ["callsMax", "calls_max"]]) {
    if (member in members && !("tools" in members)) throw new TypeError(`${name} goes with tools`);
  }
  if (members.on_full === "error") delete members.on_full;
  if (members.stop?.length === 0) delete members.stop;
  return members;
}

const MESSAGE_KEYS = ["role", "content", "tool_calls", "tool_call_id", "name"];

function modelName(model) {
  if (typeof model !== "string") throw new TypeError(`model is the name of a model of the world file, not ${kindOf(model)}`);
  return model;
}

function generateRequest(model, prompt, members) {
  const request = { effect: "generate", model: modelName(model), ...members };
  if (typeof prompt === "string") {
    for (const name of ["system", "template", "tools"]) {
      if (name in members) throw new TypeError(`${name} goes with a conversation, not with a text that is taken as it is`);
    }
    request.prompt = prompt;
    return request;
  }
  if (!Array.isArray(prompt)) throw new TypeError(`the prompt is a text or an array of { role, content }, not ${kindOf(prompt)}`);
  if (prompt.length === 0) throw new RangeError("the conversation is empty: it has at least one message");
  request.messages = prompt.map((message, index) => {
    for (const key of ["role", "content"]) {
      if (typeof message?.[key] !== "string") throw new TypeError(`messages[${index}].${key} is a text, not ${kindOf(message?.[key])}`);
    }
    for (const key of Object.keys(message)) {
      if (!MESSAGE_KEYS.includes(key)) throw new TypeError(`messages[${index}] has ${key}; there may be ${MESSAGE_KEYS.join(", ")}`);
    }
    return { ...message };
  });
  return request;
}

function callRequest(name, args = {}) {
  named(name, "the name of a tool");
  return { effect: "call", tool: name, args: plain("args", args ?? {}) };
}

function resultOf(reply) {
  const { text, data = null } = okOf(reply);
  return { text, data };
}

function okOf(reply) {
  if ("ok" in reply) return reply.ok;
  throw new EffectError(reply.error.kind, reply.error.message);
}

class Answer {
  constructor(ok) {
    this.text = ok.said ?? ok.text; // beside calls
    this.finish = ok.finish;
    this.tokens = ok.tokens;
    this.promptTokens = ok.prompt_tokens;
    this.logprobs = ok.logprobs ?? null;
    this.dropped = ok.dropped ?? 0;
    this.calls = ok.calls ?? [];
  }

  json() {
    return JSON.parse(this.text);
  }

  toString() {
    return this.text;
  }
}

const answerOf = (reply) => new Answer(okOf(reply));

function outputsOf(reply) {
  const outputs = {};
  for (const [name, tensor] of Object.entries(okOf(reply).outputs)) outputs[name] = tensorFromJSON(tensor);
  return outputs;
}

function inferRequest(model, inputs) {
  const tensors = {};
  for (const [name, value] of Object.entries(plain("inputs", inputs))) {
    if (value instanceof StoredTensor) tensors[name] = { ...value };
    else tensors[name] = tensorToJSON(value instanceof Tensor ? value : new Tensor(value));
  }
  return { effect: "infer", model: modelName(model), inputs: tensors };
}

const ask = (request) => JSON.parse(effect(encode(request, "the request")));

/** Asks with bytes beside the request, and returns the reply with those beside it. */
function askBytes(request, content) {
  const [line, beside] = effectBytes(encode(request, "the request"), content);
  return [okOf(JSON.parse(line)), beside];
}

function handleOf(value) {
  named(value, "handle");
  return value;
}

function askAll(requests, read, returnErrors) {
  if (requests.length === 0) return [];
  return ask({ effects: requests }).results.map((reply) => {
    try {
      return read(reply);
    } catch (error) {
      if (!returnErrors || !(error instanceof EffectError)) throw error;
      return error;
    }
  });
}

// -- tools ------------------------------------------------------------------------------------------------------

const TOOL_NAME = /^[A-Za-z0-9_./-]{1,200}$/;
const NO_PARAMETERS = { type: "object", properties: {}, additionalProperties: false };

/** What a model is told of a tool. */
function toldTool(tool) {
  const { name, description = "", parameters = NO_PARAMETERS, run, ...more } = plain("a tool", tool);
  const [unknown] = Object.keys(more);
  if (unknown !== undefined) throw new TypeError(`a tool has name, description, parameters and run, not ${unknown}`);
  checkText(name, "the name of a tool");
  if (!TOOL_NAME.test(name)) throw new RangeError(`a tool's name has 1 to 200 letters, digits, _, ., / and -, not ${short(name)}`);
  checkText(description, `the description of ${name}`);
  if (run !== undefined && typeof run !== "function") throw new TypeError(`run of ${name} is a function, not ${kindOf(run)}`);
  const told = { name, parameters: plain(`the parameters of ${name}`, parameters), ...(description && { description }) };
  return run === undefined ? { ...told, strict: false } : told; // whoever is called checks arguments
}

function toldTools(name, tools) {
  const told = Array.from(tools, toldTool);
  told.forEach((tool, index) => {
    if (told.findIndex((other) => other.name === tool.name) < index) throw new RangeError(`two of the tools are called ${tool.name}`);
  });
  return told;
}

/** The tools of the world in the place of their names: `files.read`, `files.*`, or `files` for all of a server. */
function toolsByName(tools, agent) {
  const given = [...tools];
  if (!given.some((tool) => typeof tool === "string")) return given;
  const listed = okOf(ask({ effect: "tools" })).tools;
  const found = new Map();
  given.forEach((tool, place) => {
    if (typeof tool !== "string") {
      found.set(place, tool);
      return;
    }
    const pattern = new RegExp(`^${tool.split("*").map((part) => part.replace(/[^A-Za-z0-9_]/g, "\\$&")).join(".*")}$`);
    const named = listed.filter(({ name }) => pattern.test(name) || name.startsWith(`${tool}.`));
    if (named.length === 0) {
      throw new RangeError(`no tool that ${agent} may call is named ${tool}; there are: ${listed.map(({ name }) => name).join(", ") || "none"}`);
    }
    for (const { name, description, input_schema: parameters = { type: "object" } } of named) found.set(name, { name, description, parameters });
  });
  return [...found.values()];
}

/** Makes calls: those of the world at once, then functions in order; results in the order of the calls. */
function makeCalls(calls, tools, charsMax) {
  const known = calls.map(({ tool }) => tools.find(({ name }) => name === tool));
  const outside = calls.filter(({ args }, index) => args !== null && known[index] !== undefined && known[index].run === undefined);
  const replies = outside.length ? ask({ effects: outside.map(({ tool, args }) => ({ effect: "call", tool, args })) }).results : [];
  return calls.map(({ tool, args }, index) => {
    const [text, error] = known[index] === undefined
      ? [`there is no tool ${tool}`, "unknown_tool"]
      : args === null
        ? ["the arguments are no JSON object that can be read", "invalid"]
        : known[index].run === undefined
          ? resultText(replies.shift())
          : called(known[index].run, args);
    const told = error === null ? text : `Error (${error}): ${text}`;
    const more = told.length - charsMax;
    return { tool, args, result: more <= 0 ? told : `${told.slice(0, charsMax).toWellFormed()}… (${more} more characters)`, error };
  });
}

/** Reads the reply to a call: its text, or that of its data where it has none; or an error's message and kind. */
function resultText({ ok, error }) {
  if (error !== undefined) return [error.message, error.kind];
  return [ok.text || (ok.data ?? null) === null ? ok.text : encode(ok.data, "the result"), null];
}

function called(run, args) {
  try {
    const result = run(args);
    if (typeof result?.then === "function") throw new TypeError("run is async: effects wait by themselves");
    return [typeof result === "string" ? result.toWellFormed() : encode(result ?? null, "the result"), null];
  } catch (error) {
    return [String(error).toWellFormed(), "raised"];
  }
}

function stepMessages({ said, calls }, place) {
  const id = (index) => `call_${place}_${index}`;
  return [
    {
      role: "assistant",
      content: said,
      tool_calls: calls.map(({ tool, args }, index) => ({ id: id(index), type: "function", function: { name: tool, arguments: args ?? {} } })),
    },
    ...calls.map(({ tool, result }, index) => ({ role: "tool", content: result, tool_call_id: id(index), name: tool })),
  ];
}

// -- the turn ---------------------------------------------------------------------------------------------------

class Turn {
  #input;
  #output = {};
  #random = null;

  constructor(input) {
    this.#input = input;
    this.args = input.args;
    this.inbox = input.inbox.map((message) => new Message(message));
    this.state = stateOf(input.state);
  }

  static output(t) {
    const { state } = t;
    const output = t.#output;
    const rest = logged.length ? { ...output, log: logged } : output;
    return `{"state":${JSON.stringify(encode(state, "t.state"))}${Object.keys(rest).map((name) => `,${JSON.stringify(name)}:${encoded(name, rest[name])}`).join("")}}`;
  }

  get selfName() {
    return this.#input.self;
  }

  get kind() {
    return this.#input.kind;
  }

  get round() {
    return this.#input.round;
  }

  get turn() {
    return this.#input.turn;
  }

  get backlog() {
    return this.#input.backlog ?? 0;
  }

  get random() {
    return (this.#random ??= new Random());
  }

  get nowUs() {
    return this.#input.now_us;
  }

  now() {
    return new Date(Math.floor(this.#input.now_us / 1000));
  }

  log(line, level = "info") {
    if (!LEVELS.includes(level)) throw new RangeError(`level is one of ${LEVELS.join(", ")}, not ${level}`);
    write(level, [line]);
  }

  record(name, value) {
    named(name, "name");
    if (typeof value === "string") checkText(value, "value");
    else if (typeof value !== "number") throw new TypeError(`a record's value is a number or a text, not ${kindOf(value)}`);
    else if (!Number.isFinite(value)) throw new RangeError(`record ${name} is ${value}, which is no number that can be shown: leave it out`);
    else if (Number.isInteger(value) && !Number.isSafeInteger(value)) throw new RangeError(`record ${name} is a whole number beyond 53 bits: use String(value)`);
    this.#append("record", { name, value });
  }

  send(to, body, { attach = null } = {}) {
    named(to, "to");
    if (typeof body === "string") checkText(body, "body");
    else body = encode(body, "body");
    this.#append("send", attach === null ? { to, body } : { to, body, attach: handleOf(attach) });
  }

  wakeIn(rounds) {
    this.#output.wake_in = whole("rounds", rounds, 1, ROUNDS_MAX);
  }

  spawn(kind, name, { args, state } = {}) {
    named(kind, "kind");
    named(name, "name");
    const child = { kind, name };
    if (args !== undefined) child.args = JSON.parse(encode(plain("args", args), "args"));
    if (state !== undefined) child.state = encode(state, "state");
    this.#append("spawn", child);
  }

  stop(name) {
    named(name, "name");
    this.#append("stop", name);
  }

  finish(result = null) {
    this.#output.finish = encode(result, "result", false);
  }

  generate(model, prompt, options = {}) {
    return answerOf(ask(generateRequest(model, prompt, settings(options))));
  }

  act(model, goal, { tools, stepsMax = 8, begin = "auto", resultCharsMax = 8192, ...options } = {}) {
    if ("toolChoice" in options) throw new TypeError("act chooses toolChoice by itself: give begin");
    if (begin !== "auto" && begin !== "required") throw new RangeError(`begin is "auto" or "required", not ${begin}`);
    whole("stepsMax", stepsMax, begin === "required" ? 2 : 1, Number.MAX_SAFE_INTEGER); // the last answer has no calls
    whole("resultCharsMax", resultCharsMax, 1, Number.MAX_SAFE_INTEGER);
    if (typeof tools?.[Symbol.iterator] !== "function") throw new TypeError(`tools is an array of tools, not ${kindOf(tools ?? null)}`);
    const named = toolsByName(typeof tools === "string" ? [tools] : tools, this.selfName);
    const members = settings({ tokensMax: 512, ...options, tools: named });
    const messages = typeof goal === "string" ? [{ role: "user", content: goal }] : [...goal];
    const steps = [];
    let forced = null;
    for (let number = 1; ; number++) {
      const last = number === stepsMax;
      if (last && steps.length && forced === null) forced = "steps";
      const choice = forced !== null || last ? "none" : number === 1 ? begin : "auto";
      const answer = answerOf(ask(generateRequest(model, messages, { ...members, tool_choice: choice })));
      const asked = choice === "none" ? [] : answer.calls.filter(({ args }) => args !== null || answer.finish !== "length");
      if (asked.length === 0) {
        messages.push({ role: "assistant", content: answer.text });
        const ended = answer.finish === "length" ? "length" : (forced ?? "answer");
        return { answer: answer.text, ended, steps, calls: steps.flatMap(({ calls }) => calls), messages };
      }
      const before = steps.at(-1)?.calls.map(({ tool, args }) => ({ tool, args }));
      if (before !== undefined && encode(before, "calls") === encode(asked, "calls")) {
        forced = "repeat";
        continue;
      }
      const step = { said: answer.text, calls: makeCalls(asked, named, resultCharsMax) };
      steps.push(step);
      messages.push(...stepMessages(step, messages.length));
    }
  }

  generateAll(model, prompts, { returnErrors = false, ...options } = {}) {
    if (typeof prompts === "string") throw new TypeError("prompts is an array of texts, not one text: use generate, or [prompt]");
    const members = settings(options);
    return askAll(Array.from(prompts, (prompt) => generateRequest(model, prompt, members)), answerOf, returnErrors);
  }

  infer(model, inputs) {
    return outputsOf(ask(inferRequest(model, inputs)));
  }

  inferAll(model, inputs, { returnErrors = false } = {}) {
    return askAll(Array.from(inputs, (each) => inferRequest(model, each)), outputsOf, returnErrors);
  }

  embed(model, texts, { truncate = false } = {}) {
    const several = typeof texts?.[Symbol.iterator] === "function" && typeof texts !== "string";
    const list = several ? [...texts] : [texts];
    if (list.length === 0) return [];
    list.forEach((each, index) => checkText(each?.content ?? each, `texts[${index}]`));
    const told = list.map((each) => (typeof each === "string" ? each : { content: handleOf(each.content) }));
    const request = { effect: "embed", model: modelName(model), texts: told };
    if (truncate) request.truncate = true;
    const vectors = tensorFromJSON(okOf(ask(request)).vectors).toList();
    return several ? vectors : vectors[0];
  }

  put(content) {
    const bytes = content instanceof ArrayBuffer ? new Uint8Array(content) : content;
    if (!ArrayBuffer.isView(bytes)) throw new TypeError(`content is a Uint8Array or another array of bytes, not ${kindOf(content)}`);
    const { buffer, byteOffset, byteLength } = bytes;
    return askBytes({ effect: "put", bytes: byteLength }, new Uint8Array(buffer, byteOffset, byteLength))[0].handle;
  }

  get(handle, { start = 0, length } = {}) {
    const request = { effect: "get", handle: handleOf(handle), start: whole("start", start, 0, Number.MAX_SAFE_INTEGER) };
    if (length !== undefined) request.length = whole("length", length, 0, Number.MAX_SAFE_INTEGER);
    return askBytes(request, new Uint8Array(0))[1];
  }

  call(name, args = {}) {
    return resultOf(ask(callRequest(name, args)));
  }

  callAll(calls, { returnErrors = false } = {}) {
    if (typeof calls === "string") throw new TypeError("calls is an array of [name, args], not a text: use call");
    const requests = Array.from(calls, (each) => (typeof each === "string" ? callRequest(each, {}) : callRequest(...each)));
    return askAll(requests, resultOf, returnErrors);
  }

  tools() {
    return okOf(ask({ effect: "tools" })).tools.map((tool) => ({
      name: tool.name,
      description: tool.description,
      inputSchema: tool.input_schema ?? { type: "object" },
      outputSchema: tool.output_schema ?? null,
      approve: tool.approve ?? false,
    }));
  }

  ask(question, { schema, deadline, default: otherwise } = {}) {
    if (typeof question !== "string") throw new TypeError(`question is a text, not ${kindOf(question)}`);
    if (question.trim() === "") throw new RangeError("question is empty");
    checkText(question, "question");
    const request = { effect: "ask", question };
    if (schema !== undefined) request.schema = plain("schema", schema);
    if (deadline !== undefined) request.deadline = whole("deadline", deadline, 1, ROUNDS_MAX);
    if (otherwise !== undefined) {
      if (deadline === undefined) throw new TypeError("default is what is taken when a deadline has passed: give deadline, too");
      request.default = otherwise;
    }
    return okOf(ask(request)).answer;
  }

  #append(name, item) {
    const items = this.#output[name];
    if (items === undefined) this.#output[name] = [item];
    else items.push(item);
  }
}

/** A member of the output as JSON text; what was checked when it was given needs no second look. */
function encoded(name, value) {
  return name === "finish" ? value : JSON.stringify(value);
}

function stateOf(text) {
  if (text === "") return {};
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

// -- console ----------------------------------------------------------------------------------------------------

let logged = [];

function shown(value) {
  if (typeof value === "string") return value;
  if (value instanceof Error) return described(value);
  if (value === null || typeof value !== "object") return String(value);
  try {
    return JSON.stringify(value) ?? String(value);
  } catch {
    return Object.prototype.toString.call(value);
  }
}

function write(level, values) {
  logged.push({ level, text: values.map(shown).join(" ").toWellFormed() });
}

globalThis.console = {
  debug: (...values) => write("debug", values),
  log: (...values) => write("info", values),
  info: (...values) => write("info", values),
  warn: (...values) => write("warning", values),
  error: (...values) => write("error", values),
};

// -- called by the interpreter ----------------------------------------------------------------------------------

let current = null;

/** Begins a turn: calls the agent's function, and returns what it returns. */
function begin(input, module, file) {
  const turn = module.turn ?? module.default;
  if (typeof turn !== "function") {
    throw new Fault(turn === undefined ? `${file} exports no function turn: write \`export function turn(t) { … }\`` : `turn of ${file} is no function but ${kindOf(turn)}`);
  }
  current = new Turn(input);
  const returned = turn(current);
  if (typeof returned?.next === "function") throw new Fault(`turn of ${file} is a generator: nothing would run it`);
  return returned;
}

/** The output of the turn that is over. */
const end = () => Turn.output(current);

/** The output of a turn that failed: what was thrown, with the agent's own lines, and what it wrote before. */
function failure(error) {
  const lines = logged.map(({ level, text }) => `${level}: ${text}`).join("\n");
  const told = cut(error instanceof Fault ? error.message : described(error));
  return JSON.stringify({ error: (lines ? `${told}\n\nwritten before:\n${cut(lines)}` : told).toWellFormed() });
}

class Fault extends Error {}

function cut(text) {
  if (text.length <= TEXT_CHARS_MAX) return text;
  const half = TEXT_CHARS_MAX / 2;
  return `${text.slice(0, half)}\n  … ${text.length - 2 * half} characters left out …\n${text.slice(-half)}`;
}

function described(error, depth = 0) {
  if (!(error instanceof Error)) return `thrown: ${shown(error)}`;
  const own = String(error.stack ?? "").split("\n").filter((line) => line.includes("(") && !line.includes("(turnwise") && !line.includes("(native)"));
  const text = [headline(error), ...own].join("\n").trimEnd();
  return error.cause === undefined || depth === CAUSES_MAX ? text : `${text}\ncaused by ${described(error.cause, depth + 1)}`;
}

/** An error's name and message. The engine's own has another where not even the text "out of memory" fits. */
function headline(error) {
  return error.name === "InternalError" && error.message === "Invalid error message" ? "InternalError: out of memory" : `${error}`;
}

/** The program of compiled modules: the entry's name, then names and modules, each with its size in front. */
function prepared(modules, entry) {
  const name = (text) => Uint8Array.from(unescape(encodeURIComponent(text)), (letter) => letter.charCodeAt(0));
  const parts = [name(entry)];
  for (const file of Object.keys(modules)) parts.push(name(file), new Uint8Array(modules[file]));
  const program = new Uint8Array(parts.reduce((sum, part) => sum + 4 + part.length, 0));
  let at = 0;
  for (const part of parts) {
    new DataView(program.buffer).setUint32(at, part.length, true);
    program.set(part, at + 4);
    at += 4 + part.length;
  }
  return JSON.stringify({ program: program.toBase64() });
}

/** What keeps sources from becoming a program: the mistake with its file and line. */
function mistake(error, entry) {
  const place = /\(?([^\s(]+):(\d+):\d+\)?\s*$/m.exec(String(error?.stack ?? ""));
  const message = error instanceof Error ? `${error.name}: ${error.message}` : shown(error);
  return JSON.stringify({ error: { file: place?.[1] ?? entry, line: place ? Number(place[2]) : 1, message } });
}

globalThis.__turnwise = { begin, end, failure, prepared, mistake, fault: (message) => new Fault(message) };
