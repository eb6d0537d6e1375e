// Questions to the monitor's server.

/** What the server refused, in its words. */
export class Refused extends Error {}

/**
 * @param {string} path
 * @param {Record<string, string | number | string[] | null | undefined>} parameters
 */
function url(path, parameters) {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(parameters)) {
    if (Array.isArray(value)) for (const one of value) query.append(key, one);
    else if (value !== null && value !== undefined && value !== "") query.set(key, String(value));
  }
  return `/api/${path}?${query}`;
}

/**
 * @param {string} path
 * @param {Record<string, string | number | string[] | null | undefined>} parameters
 */
async function asked(path, parameters) {
  let response;
  try {
    response = await fetch(url(path, parameters), { credentials: "same-origin" });
  } catch {
    throw new Refused("The monitor does not answer: it was ended. Start it again.");
  }
  if (response.ok) return response;
  const said = await response.text();
  let message = said;
  try {
    const decoded = JSON.parse(said);
    message = [decoded.error, decoded.hint].filter(Boolean).join(". ");
  } catch {
    // not JSON: shown as it is
  }
  throw new Refused(message);
}

/**
 * An answer as JSON.
 * @param {string} path
 * @param {Record<string, string | number | string[] | null | undefined>} [parameters]
 * @returns {Promise<any>}
 */
export async function ask(path, parameters = {}) {
  return (await asked(path, parameters)).json();
}

/**
 * An answer as bytes.
 * @param {string} path
 * @param {Record<string, string | number>} parameters
 */
export async function bytes(path, parameters) {
  return (await asked(path, parameters)).arrayBuffer();
}

/**
 * @typedef {Object} Live
 * @property {string} [none] Why there is nothing live; then there is nothing else.
 * @property {number} sample
 * @property {number} age_ms
 * @property {string} phase
 * @property {number} round
 * @property {number} turns
 * @property {number} failures
 * @property {string[]} executing
 * @property {number} executing_count
 * @property {string[]} asking
 * @property {number} asking_count
 * @property {number[]} workers
 * @property {number} workers_count
 * @property {number} jobs_queued
 * @property {number} worker_deaths
 * @property {number} running
 * @property {number} waiting
 * @property {number} slots
 * @property {number} kv_bytes
 * @property {number} tokens
 * @property {number} restarts
 * @property {number} prompt_tokens Of prompts that were computed.
 * @property {number} reused_tokens Of prompts that were taken from the cache.
 * @property {number} steps Of all engines.
 * @property {number} step_rows Sequences that took part in them.
 * @property {{agent: string, effect: number, tokens: number, text: string, cut: boolean}[]} texts
 * @property {number} hidden
 */

/**
 * Be told what the process that plays a run tells of itself. Returns what ends it.
 * @param {string} run
 * @param {(live: Live) => void} listener
 * @returns {() => void}
 */
export function listen(run, listener) {
  const source = new EventSource(url("live", { run }));
  source.onmessage = (event) => listener(JSON.parse(event.data));
  return () => source.close();
}

/**
 * Be told how far a run is, now and whenever it changes. Returns what ends it.
 * @param {string} run
 * @param {(pulse: {last_round: number, agents: number, status: string, head: string}) => void} listener
 * @returns {() => void}
 */
export function watch(run, listener) {
  const source = new EventSource(url("events", { run }));
  source.onmessage = (event) => listener(JSON.parse(event.data));
  return () => source.close();
}
