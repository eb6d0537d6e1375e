/* Thinks of a number and says whether guesses are too low or too high.
 *
 * Turnwise calls `turn` once in every round in which this agent has mail. Each turn runs in a fresh sandbox, without
 * files, network or clock: nothing is left of it but its state and what it sends, logs and records. */

#include "turnwise.h"

static tw_text verdict(int64_t guess, int64_t number) {
  if (guess == number) return tw_literal("right");
  return guess < number ? tw_literal("too low") : tw_literal("too high");
}

void turn(tw_turn *t) {
  tw_text message;
  while (tw_next_message(t, &message)) {
    tw_text body = tw_string(tw_member(message, "body"));
    if (tw_equal(body, tw_literal("begin"))) {
      int64_t highest = tw_int(tw_member(t->args, "highest"));
      /* Chance is seeded by the run's seed, so that the same run can be played again. */
      int64_t number = tw_randint(t, 1, highest);
      tw_out state = {0}, line = {0}, range = {0};
      tw_add(&state, tw_literal("{\"number\":"));
      tw_add_int(&state, number);
      tw_add(&state, tw_literal("}"));
      tw_set_state(t, tw_written(&state));
      tw_add(&line, tw_literal("My number is "));
      tw_add_int(&line, number);
      tw_add(&line, tw_literal("."));
      tw_log(t, tw_literal("info"), tw_written(&line));
      tw_add(&range, tw_literal("{\"high\":"));
      tw_add_int(&range, highest);
      tw_add(&range, tw_literal(",\"low\":1}"));
      tw_send(t, tw_literal("guesser"), tw_written(&range)); /* arrives in the next round */
    } else {
      int64_t number = tw_int(tw_member(t->state, "number"));
      tw_send(t, tw_string(tw_member(message, "from")), verdict(tw_int(body), number));
    }
  }
}
