/** Types of the module `turnwise`, and of what an agent's function is given. For editors and for TypeScript. */

declare module "turnwise" {
  /** Any value that JSON can hold. */
  export type JSONValue = null | boolean | number | string | JSONValue[] | { [key: string]: JSONValue | undefined };

  export type LogLevel = "debug" | "info" | "warning" | "error";

  /** A message in the inbox. `sender` is `"outside"` for messages of the world file and of people. */
  export interface Message {
    readonly sender: string;
    readonly body: string;
    /** The round in which it was sent. */
    readonly round: number;
    /** The handle of a content that came with it; null if none did. */
    readonly attach: string | null;
    /** The body read as JSON. Throws `SyntaxError` if it is none: anybody may have written it. */
    json(): any;
  }

  /** Chance of this turn: the same numbers as `t.random` draws in Python. */
  export interface Random {
    /** From 0, below 1. */
    random(): number;
    /** A whole number from 0, below `count`. */
    below(count: number): number;
    /** A whole number from `low` to `high`, both included. */
    randint(low: number, high: number): number;
    uniform(low: number, high: number): number;
    choice<T>(items: ArrayLike<T>): T;
    /** Shuffles in place, and returns what it was given. */
    shuffle<T>(items: T[]): T[];
    /** So many different places of `items`, in chance order. */
    sample<T>(items: Iterable<T> & ArrayLike<T>, count: number): T[];
  }

  /** `denied`: not granted, or not approved. `context_full`: it does not fit into the model's context. `unknown`: there
   * is no such model; of a call, nobody knows whether it took effect. `refused`: the request makes no sense to it, or is
   * beyond a bound. `unavailable`: what should have answered is not there. `deadline`: nobody has answered a question in
   * time. `unknown_tool`: there is no such tool. `invalid`: arguments do not follow its schema. `tool`: it failed. */
  export type EffectErrorKind =
    | "denied" | "context_full" | "unknown" | "refused" | "unavailable" | "deadline" | "unknown_tool" | "invalid" | "tool";

  /** What came of a call: a server's words, as far to be trusted as those of a stranger. */
  export interface ToolResult {
    text: string;
    /** Structured content, a JSON value; null where the tool gives none. */
    data: any;
  }

  /** A tool that the agent may call. */
  export interface Tool {
    name: string;
    description: string;
    inputSchema: Record<string, any>;
    outputSchema: Record<string, any> | null;
    /** A person approves each call. */
    approve: boolean;
  }

  /** An effect was not carried out. The same in every execution of the run; uncaught, it fails the turn. */
  export class EffectError extends Error {
    constructor(kind: EffectErrorKind, message: string);
    readonly kind: EffectErrorKind;
    /** What was wrong, and what to do. `message` has the kind in front. */
    readonly reason: string;
  }

  /** A value that JSON cannot hold, or would not give back as it was. */
  export class NotJSON extends TypeError {}

  export interface ChatMessage {
    role: "system" | "user" | "assistant" | "tool" | (string & {});
    content: string;
    /** Calls of an assistant's message. */
    tool_calls?: { id: string; type: "function"; function: { name: string; arguments: object } }[];
    /** The call to which a message of the role `tool` is the result. */
    tool_call_id?: string;
    name?: string;
  }

  /** A tool as a model is told of it. `parameters` is the JSON schema of its arguments; none if it takes none. */
  export interface ModelTool {
    name: string;
    description?: string;
    parameters?: object;
    /** Called with the arguments by `act`. Without, it is a tool of the world. */
    run?(args: any): JSONValue | undefined;
  }

  /** A call that a model asks for. `args` is null where they are no JSON object that can be read. */
  export interface Call {
    tool: string;
    args: any;
  }

  /** A call that was made. `result` is what the model was told, `error` the kind of an error. */
  export interface ToolCall extends Call {
    result: string;
    error: string | null;
  }

  export interface ActStep {
    /** What the model said beside its calls. */
    said: string;
    calls: ToolCall[];
  }

  /** The end of a loop for tool calls. */
  export interface Acted {
    answer: string;
    /** It answered by itself; it was asked for the last time; it wanted the calls of the step before once more;
     * `tokensMax` cut it off. */
    ended: "answer" | "steps" | "repeat" | "length";
    steps: ActStep[];
    /** The calls of all steps. */
    calls: ToolCall[];
    /** The whole conversation, its answer included. */
    messages: ChatMessage[];
  }

  /** A text that the model goes on from, or a conversation that it answers. */
  export type Prompt = string | ChatMessage[];

  /** The form that an answer is to have; docs/models.md says what exactly each does. */
  export interface Options {
    /** At most so many tokens. Not given: 128, or what the context leaves where that is less. */
    tokensMax?: number;
    /** 0 (the default) takes the likeliest token each time; above, tokens are drawn with the run's own chance. */
    temperature?: number;
    topK?: number;
    topP?: number;
    minP?: number;
    repetitionPenalty?: number;
    presencePenalty?: number;
    /** Added to the logits of tokens, each named by its id or its text. */
    logitBias?: Record<string, number>;
    /** The answer ends before the first of these texts. */
    stop?: string | string[];
    /** Tell how likely each token was, and so many alternatives (0 to 20). */
    logprobs?: number;
    /** The answer is JSON that follows this schema. At most one of these three is given. */
    jsonSchema?: object;
    /** The answer matches this regular expression, a text, as a whole. */
    regex?: string;
    /** The answer follows this Lark grammar. */
    lark?: string;
    /** Tools that the answer may call: `Answer.calls`; with a conversation only. */
    tools?: Iterable<ModelTool>;
    /** `"auto"` (the default): text or calls; `"required"`: calls; `"none"`: text. */
    toolChoice?: "auto" | "required" | "none" | { mode: "auto" | "required"; tools: string[] };
    /** Calls in one answer, at most: 1 to 64. Not given: 16. */
    callsMax?: number;
    /** Arguments of the model's chat template; with a conversation only. */
    template?: object;
    /** The conversation's system prompt, where its messages have none. */
    system?: string;
    onFull?: "error" | "drop_oldest";
  }

  export interface Alternative {
    id: number;
    text: string;
    logprob: number;
  }

  export interface TokenLogprob extends Alternative {
    top: Alternative[];
  }

  export interface Answer {
    readonly text: string;
    /** The model ended by itself, a stop text came, or `tokensMax` was reached. */
    readonly finish: "end" | "stop" | "length";
    readonly tokens: number;
    readonly promptTokens: number;
    readonly logprobs: TokenLogprob[] | null;
    /** What was left out for `onFull: "drop_oldest"`: messages, or tokens of a prompt. */
    readonly dropped: number;
    /** Calls of `tools` that it asks for. */
    readonly calls: Call[];
    /** The text read as JSON. */
    json(): any;
    toString(): string;
  }

  export type DType =
    | "bool" | "int8" | "int16" | "int32" | "int64" | "uint8" | "uint16" | "uint32" | "uint64"
    | "float16" | "float32" | "float64";

  export type Nested = number | boolean | bigint | Nested[] | ArrayBufferView;

  /** Numbers of one type in a shape. Without `dtype`: bool for booleans, int64 for bigints, else float32. */
  export class Tensor {
    constructor(values: Nested | Iterable<number | boolean | bigint>, form?: { dtype?: DType; shape?: number[] });
    readonly dtype: DType;
    readonly shape: number[];
    /** All elements in a typed array, the last dimension running fastest. */
    readonly data: ArrayLike<number> | ArrayLike<bigint>;
    /** The elements as nested arrays, or as a number where there are no dimensions. */
    toList(): any;
  }

  /** A content as an input of `infer`: its bytes are the elements, little-endian, the last dimension running fastest. */
  export class StoredTensor {
    constructor(content: string, dtype: DType, shape: number[]);
    readonly content: string;
    readonly dtype: DType;
    readonly shape: number[];
  }

  /** One move of one agent. Nothing survives a turn but `state`; all else takes effect when the turn is over, and only
   * if it did not fail. */
  export interface Turn {
    /** The messages that have come since the last turn, in order. */
    readonly inbox: Message[];
    /** All that is there again in the next turn: a JSON value. `{}` at first, if the world file says nothing. */
    state: any;
    /** `args` of the world file, a row of its table, or what `spawn` was given. */
    readonly args: any;
    readonly selfName: string;
    readonly kind: string;
    /** The round that is being played; the first is 1. */
    readonly round: number;
    /** The number of this turn among the agent's own; the first is 1. */
    readonly turn: number;
    /** How many more messages wait for its next turns. */
    readonly backlog: number;
    readonly random: Random;
    /** The virtual time of this round: the same at every call within a turn. */
    now(): Date;
    /** The same in microseconds since 1970. */
    readonly nowUs: number;

    /** Write a line for people to the run's log. `console.log` does the same. */
    log(line: unknown, level?: LogLevel): void;
    /** Record a number or a text under a name, for plots and tables of this round. */
    record(name: string, value: number | string): void;
    /** Send a text, or any other JSON value as JSON, to an agent or a group. It arrives in the next round. `attach` is
     * the handle of a content that goes with it, by reference. */
    send(to: string, body: JSONValue, options?: { attach?: string | null }): void;
    /** Have a turn in so many rounds, mail or not. Each call replaces the one before. */
    wakeIn(rounds: number): void;
    /** Bring an agent into the world when the round is over. Needs the grant `spawn`. */
    spawn(kind: string, name: string, first?: { args?: object; state?: JSONValue }): void;
    /** Take an agent out of the world when the round is over. Needs the grant `stop`. */
    stop(name: string): void;
    /** End the whole world when the round is over. Needs the grant `finish`. */
    finish(result?: JSONValue): void;

    /** Let a model go on from a text, or answer a conversation. Needs the grant `generate`. Throws `EffectError`. */
    generate(model: string, prompt: Prompt, options?: Options): Answer;
    /** Have a model work on a goal with tools: it calls them, is told what came of it, and goes on until it answers.
     * Tools of the world are named (`"files.read"`, `"files.*"`, `"files"`). The model is asked `stepsMax` times (8) at
     * most, the last time for an answer without calls; `begin: "required"` has it begin with a call. Results are cut to
     * `resultCharsMax` characters (8,192), each of its answers to `tokensMax` tokens (512). Throws `EffectError`. */
    act(
      model: string,
      goal: string | ChatMessage[],
      options: Omit<Options, "tools" | "toolChoice"> & {
        tools: Iterable<string | ModelTool>;
        stepsMax?: number;
        begin?: "auto" | "required";
        resultCharsMax?: number;
      },
    ): Acted;
    /** Ask for many answers at once: much cheaper than one after the other. */
    generateAll(model: string, prompts: Iterable<Prompt>, options?: Options & { returnErrors?: false }): Answer[];
    generateAll(
      model: string, prompts: Iterable<Prompt>, options: Options & { returnErrors: true },
    ): (Answer | EffectError)[];
    /** Run a graph on named tensors, and get its outputs by name. Needs the grant `infer`. */
    infer(model: string, inputs: Record<string, Tensor | StoredTensor | Nested>): Record<string, Tensor>;
    inferAll(
      model: string, inputs: Iterable<Record<string, Tensor | StoredTensor | Nested>>, options?: { returnErrors?: false },
    ): Record<string, Tensor>[];
    inferAll(
      model: string, inputs: Iterable<Record<string, Tensor | StoredTensor | Nested>>, options: { returnErrors: true },
    ): (Record<string, Tensor> | EffectError)[];
    /** Put bytes aside, and get a handle for them, a text that can be kept in the state, sent, and used as an input of
     * models. The content stays for the whole run, and the journal holds it once. Throws `EffectError` beyond `put_mib`. */
    put(content: ArrayBuffer | ArrayBufferView): string;
    /** Read a content, or `length` bytes of it from `start` on; less where it ends before. Throws `EffectError`
     * ("denied") for a handle that was never given. */
    get(handle: string, part?: { start?: number; length?: number }): Uint8Array;
    /** Call a tool outside of the run by its name, `"server.tool"`. Needs the grant `call`. The result is recorded, and
     * nothing is called twice. Where a call takes long, or people are asked, the turn waits as with `ask`. */
    call(name: string, args?: Record<string, JSONValue>): ToolResult;
    /** Call several tools at once; results come back in their order. */
    callAll(calls: Iterable<string | [name: string, args?: Record<string, JSONValue>]>, options?: { returnErrors?: false }): ToolResult[];
    callAll(
      calls: Iterable<string | [name: string, args?: Record<string, JSONValue>]>, options: { returnErrors: true },
    ): (ToolResult | EffectError)[];
    /** The tools that the agent may call, in order of name. */
    tools(): Tool[];
    /** Ask a person, and get the answer. Needs the grant `ask`. The turn waits, and nobody waits for it: it goes on in the
     * round that begins with the answer. With a `deadline`, a number of rounds, `default` is the answer if nobody has
     * given another by then. */
    ask(question: string, options?: { schema?: Record<string, any>; deadline?: number; default?: JSONValue }): any;
    /** The vector of a text, or those of several. Needs the grant `embed`. `{ content }` is a text that was put. */
    embed(model: string, texts: string | { content: string }, options?: { truncate?: boolean }): number[];
    embed(model: string, texts: (string | { content: string })[], options?: { truncate?: boolean }): number[][];
  }
}

declare const console: {
  debug(...values: unknown[]): void;
  log(...values: unknown[]): void;
  info(...values: unknown[]): void;
  warn(...values: unknown[]): void;
  error(...values: unknown[]): void;
};
