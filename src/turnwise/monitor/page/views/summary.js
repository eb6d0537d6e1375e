// The run as a whole: what it was, what it came to, what is proved of it.

import { fill, h, text } from "../dom.js";
import { answering } from "../questions.js";

/**
 * @param {HTMLElement} element
 * @returns {import("../app.js").View}
 */
export function summary(element) {
  return {
    update(_, facts) {
      fill(
        element,
        h("h1", {}, facts.world),
        h(
          "dl",
          { class: "facts" },
          row("journal", h("span", { class: "mono" }, facts.path)),
          row("seed", facts.seed),
          row("ended", facts.status === "open" ? "not ended: under way, or interrupted" : facts.status.replace("_", " ")),
          facts.message && row("because", text(facts.message)),
          row("rounds", facts.last_round.toLocaleString("en")),
          Object.entries(facts.totals)
            .filter(([name, value]) => value > 0 && name !== "rounds")
            .map(([name, value]) => row(name, value.toLocaleString("en")))
            .flat(),
          row("agents", facts.agents.toLocaleString("en")),
          facts.parent && row("forked from", `${facts.parent.path}, after round ${facts.parent.round}`),
          facts.models.map((model) => row(`model ${model.name}`, `${model.class ?? "class not recorded"}, SHA-256 ${model.sha256.slice(0, 16)}…`)).flat(),
          row("head", h("span", { class: "mono" }, facts.head)),
        ),
        facts.questions.length > 0 && [
          h("h2", {}, "Questions to people"),
          ...facts.questions
            .map((one) => [
              h("p", {}, h("strong", {}, one.agent.text), one.deadline === null ? " asks" : ` asks, until round ${one.deadline}`),
              h("div", { class: "box" }, text(one.text)),
              one.default && h("p", { class: "dim" }, "unless somebody answers: ", h("code", {}, one.default.text)),
              one.schema && h("p", { class: "dim mono" }, text(one.schema)),
              answering(facts.path, one.id),
            ])
            .flat(),
        ],
        facts.result && [h("h2", {}, "Result"), h("div", { class: "box" }, text(facts.result))],
        facts.redacted && h("p", { class: "bad" }, "Texts were taken out of this journal; of each its SHA-256 is left."),
        h("p", { class: "dim" }, "This page shows what the journal says. What of it is proved, these say:"),
        h("pre", {}, `turnwise verify ${facts.path}\nturnwise log ${facts.path}`),
      );
    },
  };
}

/**
 * @param {string} name
 * @param {import("../dom.js").Child} value
 */
function row(name, value) {
  return [h("dt", {}, name), h("dd", {}, value)];
}
