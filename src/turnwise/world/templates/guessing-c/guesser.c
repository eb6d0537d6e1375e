/* Finds the number by halving the range in which it can be. */

#include "turnwise.h"

static void add_member(tw_out *out, tw_text name, int64_t value) {
  tw_add(out, out->length ? tw_literal(",") : tw_literal("{"));
  tw_add_string(out, name);
  tw_add(out, tw_literal(":"));
  tw_add_int(out, value);
}

void turn(tw_turn *t) {
  int64_t low = tw_int(tw_member(t->state, "low")), high = tw_int(tw_member(t->state, "high"));
  int64_t guess = tw_int(tw_member(t->state, "guess")), guesses = tw_int(tw_member(t->state, "guesses"));
  tw_text message;
  while (tw_next_message(t, &message)) {
    tw_text body = tw_string(tw_member(message, "body"));
    if (tw_equal(body, tw_literal("right"))) {
      tw_out line = {0}, result = {0};
      tw_add(&line, tw_literal("Found "));
      tw_add_int(&line, guess);
      tw_add(&line, tw_literal(" with "));
      tw_add_int(&line, guesses);
      tw_add(&line, tw_literal(" guesses."));
      tw_log(t, tw_literal("info"), tw_written(&line));
      add_member(&result, tw_literal("number"), guess);
      add_member(&result, tw_literal("guesses"), guesses);
      tw_add(&result, tw_literal("}"));
      tw_finish(t, tw_written(&result)); /* the result of the whole run */
      return;
    }
    if (tw_equal(body, tw_literal("too low"))) {
      low = guess + 1;
    } else if (tw_equal(body, tw_literal("too high"))) {
      high = guess - 1;
    } else { /* the range to begin with */
      low = tw_int(tw_member(body, "low"));
      high = tw_int(tw_member(body, "high"));
    }
    guess = (low + high) / 2;
    guesses += 1;
    tw_record_int(t, tw_literal("guess"), guess); /* a value for this round, for tables and plots */
    tw_send(t, tw_literal("keeper"), tw_int_text(guess));
  }
  tw_out state = {0};
  add_member(&state, tw_literal("guess"), guess);
  add_member(&state, tw_literal("guesses"), guesses);
  add_member(&state, tw_literal("high"), high);
  add_member(&state, tw_literal("low"), low);
  tw_add(&state, tw_literal("}"));
  tw_set_state(t, tw_written(&state));
}
