// The same act on many, one after the other, with every refusal kept.

import { refusal } from "./api";
import { confirm, type Question } from "./ui/dialog";

export type Outcome = { name: string; refused?: string };

/** What came of it, for those who were reached before it was stopped. */
export type Outcomes = { of: number; outcomes: Outcome[] };

/** Asks once, then acts on each; tells what was refused for whom at the end. */
export function onEach<T>(
  items: readonly T[],
  name: (item: T) => string,
  question: Omit<Question, "perform">,
  act: (item: T) => Promise<void>,
  ended: (came: Outcomes) => Promise<void>,
): void {
  confirm({
    ...question,
    perform: async (tell, signal) => {
      const outcomes: Outcome[] = [];
      for (const item of items) {
        if (signal.aborted) break;
        tell({ done: outcomes.length, of: items.length, now: name(item) });
        try {
          await act(item);
          outcomes.push({ name: name(item) });
        } catch (error) {
          const { problem } = refusal(error);
          const request = problem.request_id === "" ? "" : ` (request ${problem.request_id})`;
          outcomes.push({ name: name(item), refused: `${problem.detail}${request}` });
        }
      }
      tell({ done: outcomes.length, of: items.length, now: "" });
      await ended({ of: items.length, outcomes });
    },
  });
}
