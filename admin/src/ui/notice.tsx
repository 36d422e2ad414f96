// What is said to the person: that something was done, and why something was refused.

import { For, Show, createSignal } from "solid-js";
import type { Refusal } from "../api";

const [said, setSaid] = createSignal("");
let timer = 0;

/** Says in passing that something was done. */
export function say(text: string): void {
  clearTimeout(timer);
  setSaid(text);
  timer = setTimeout(() => setSaid(""), 8_000);
}

/** The place where that appears. */
export function Notices() {
  return (
    <div class="notices" role="status">
      <Show when={said()} keyed>
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

/** A refusal in the server's own words, with the name of the request for whoever runs the server. */
export function Problem(props: { of: Refusal }) {
  return (
    <div class="problem" role="alert">
      <p>
        <strong>{props.of.problem.title}.</strong> {props.of.problem.detail}
      </p>
      <Show when={props.of.problem.errors}>
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
      <Show when={props.of.problem.request_id}>
        {(id) => (
          <p class="request">
            Request <code>{id()}</code>
          </p>
        )}
      </Show>
    </div>
  );
}
