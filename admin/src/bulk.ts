// The same act on many, one after the other, with every refusal kept.

import { refusal } from "./api";
import { confirm, type Question } from "./ui/dialog";

export type Outcome = { name: string; refused?: string };

/** Asks once, then acts on each; tells what was refused for whom at the end. */
export function onEach<T>(
  items: readonly T[],
  name: (item: T) => string,
  question: Omit<Question, "perform">,
  act: (item: T) => Promise<void>,
  ended: (outcomes: Outcome[]) => Promise<void>,
): void {
  confirm({
    ...question,
    perform: async (tell, signal) => {
      const outcomes: Outcome[] = [];
      for (const [at, item] of items.entries()) {
        if (signal.aborted) break;
        tell({ done: at, of: items.length, now: name(item) });
        try {
          await act(item);
          outcomes.push({ name: name(item) });
        } catch (error) {
          const { problem } = refusal(error);
          outcomes.push({ name: name(item), refused: `${problem.detail} (request ${problem.request_id})` });
        }
      }
      tell({ done: items.length, of: items.length, now: "" });
      await ended(outcomes);
    },
  });
}
