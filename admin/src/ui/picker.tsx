// A set of names, to be picked from what the server knows.

import { For, Show, createResource, createSignal } from "solid-js";
import { About, ties, type FieldProps } from "./form";
import { createLater } from "./later";

export type Candidate = { name: string; about?: string };

export function Picker(
  props: Omit<FieldProps, "label"> & {
    legend: string;
    /** What one of them is called: `group`. */
    one: string;
    chosen: string[];
    onChange: (chosen: string[]) => void;
    find: (search: string) => Promise<Candidate[]>;
  },
) {
  const { id, described } = ties(props);
  const [search, setSearch] = createSignal("");
  const [isOpen, setOpen] = createSignal(false);
  const [found] = createResource(
    () => (isOpen() ? { search: search() } : undefined),
    ({ search }) => props.find(search).catch((): Candidate[] => []),
    // So that looking for more never takes the page away.
    { initialValue: [] },
  );
  const later = createLater(200);
  const offered = () => found.latest.filter(({ name }) => !props.chosen.includes(name));
  const sorted = (names: string[]) => [...new Set(names)].sort((a, b) => (a < b ? -1 : 1));
  let box!: HTMLFieldSetElement;
  return (
    <fieldset class="picker" ref={box} aria-describedby={described()}>
      <legend>{props.legend}</legend>
      <About hint={props.hint} wrong={props.wrong} id={id} />
      <ul class="chips">
        <For each={props.chosen} fallback={<li class="none">none</li>}>
          {(name) => (
            <li>
              <span>{name}</span>
              <button
                type="button"
                aria-label={`Take away ${props.one} ${name}`}
                onClick={() => {
                  props.onChange(props.chosen.filter((other) => other !== name));
                  box.querySelector("summary")?.focus();
                }}
              >
                ×
              </button>
            </li>
          )}
        </For>
      </ul>
      <details onToggle={(event) => setOpen(event.currentTarget.open)}>
        <summary>Add a {props.one}</summary>
        <input
          type="search"
          aria-label={`Find a ${props.one}`}
          placeholder="Find"
          aria-invalid={props.wrong === undefined ? undefined : "true"}
          aria-describedby={described()}
          onKeyDown={(event) => {
            if (event.key === "Enter") event.preventDefault();
          }}
          onInput={(event) => {
            const { value } = event.currentTarget;
            later(() => setSearch(value));
          }}
        />
        <ul class="offers" aria-label={`${props.legend} that can be added`}>
          <For each={offered()} fallback={<li class="none">{found.loading ? "Looking …" : "Nothing to add"}</li>}>
            {(candidate) => (
              <li>
                <button
                  type="button"
                  onClick={(event) => {
                    const item = event.currentTarget.closest("li");
                    const next = (item?.nextElementSibling ?? item?.previousElementSibling)?.querySelector("button");
                    props.onChange(sorted([...props.chosen, candidate.name]));
                    (next ?? box.querySelector<HTMLElement>("input[type=search]"))?.focus();
                  }}
                >
                  <span>{candidate.name}</span>
                  <Show when={candidate.about}>
                    <small>{candidate.about}</small>
                  </Show>
                </button>
              </li>
            )}
          </For>
        </ul>
      </details>
    </fieldset>
  );
}
