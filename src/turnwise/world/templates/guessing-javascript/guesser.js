// @ts-check
//
// Finds the number by halving the range in which it can be.

/// <reference path="turnwise.d.ts" />

/** @param {import("turnwise").Turn} t */
export function turn(t) {
  for (const message of t.inbox) {
    switch (message.body) {
      case "right":
        t.log(`Found ${t.state.guess} with ${t.state.guesses} guesses.`);
        t.finish({ number: t.state.guess, guesses: t.state.guesses }); // the result of the whole run
        return;
      case "too low":
        t.state.low = t.state.guess + 1;
        break;
      case "too high":
        t.state.high = t.state.guess - 1;
        break;
      default:
        Object.assign(t.state, message.json()); // the range to begin with
    }
    t.state.guess = Math.floor((t.state.low + t.state.high) / 2);
    t.state.guesses += 1;
    t.record("guess", t.state.guess); // a value for this round, for tables and plots
    t.send("keeper", String(t.state.guess));
  }
}
