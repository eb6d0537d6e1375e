// @ts-check
//
// Thinks of a number and says whether guesses are too low or too high.
//
// Turnwise calls `turn` once in every round in which this agent has mail. Each turn runs in a fresh sandbox, without
// files, network or clock: nothing is left of it but t.state and what it sends, logs and records.

/// <reference path="turnwise.d.ts" />

/** @param {import("turnwise").Turn} t */
export function turn(t) {
  for (const message of t.inbox) {
    if (message.body === "begin") {
      const { highest } = t.args;
      // t.random is seeded by the run's seed, so that the same run can be played again.
      t.state.number = t.random.randint(1, highest);
      t.log(`My number is ${t.state.number}.`);
      t.send("guesser", { low: 1, high: highest }); // arrives in the next round
    } else {
      t.send(message.sender, verdict(Number(message.body), t.state.number));
    }
  }
}

/** @param {number} guess @param {number} number */
function verdict(guess, number) {
  if (guess === number) return "right";
  return guess < number ? "too low" : "too high";
}
