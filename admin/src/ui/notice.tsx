// What is said to the person: that something was done, and why something was refused.

import { For, Show, createSignal, createUniqueId, onCleanup } from "solid-js";
import type { Refusal } from "../api";

const [said, setSaid] = createSignal("");
let timer = 0;

/** Says in passing that something was done. */
export function say(text: string): void {
  clearTimeout(timer);
  setSaid(text);
  timer = setTimeout(() => setSaid(""), 8_000);
}

// What is said behind a dialog is heard by nobody: it appears in the topmost place there is.
const [places, setPlaces] = createSignal<readonly string[]>([]);

/** A place where that appears: one for the pages, and one in each dialog. */
export function Notices() {
  const id = createUniqueId();
  setPlaces((places) => [...places, id]);
  onCleanup(() => setPlaces((places) => places.filter((other) => other !== id)));
  return (
    <div class="notices" role="status">
      <Show when={places().at(-1) === id && said()} keyed>
        {(text) => (
          <p>
            <span>{text}</span>
            <button type="button" aria-label="Dismiss" onClick={() => setSaid("")}>
              ×
            </button>
          </p>
        )}
      </Show>
    </div>
  );
}

/** A refusal in the server's own words, with the name of the request for whoever runs the server; nothing without one. */
export function Problem(props: { of: Refusal | undefined }) {
  return (
    <Show when={props.of?.problem}>
      {(problem) => (
        <div class="problem" role="alert">
          <p>
            <strong>{problem().title}.</strong> {problem().detail}
          </p>
          <Show when={problem().errors}>
            {(errors) => (
              <ul>
                <For each={errors()}>
                  {(error) => (
                    <li>
                      <code>{error.field}</code>: {error.message}
                    </li>
                  )}
                </For>
              </ul>
            )}
          </Show>
          <Show when={problem().request_id}>
            {(id) => (
              <p class="request">
                Request <code>{id()}</code>
              </p>
            )}
          </Show>
        </div>
      )}
    </Show>
  );
}
