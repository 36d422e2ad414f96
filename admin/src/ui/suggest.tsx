// A filter that takes the name of something that the server knows.

import { For, createResource, createSignal } from "solid-js";
import { About, ties } from "./form";
import { createLater } from "./later";

export function Suggest(props: {
  label: string;
  value: string;
  find: (search: string) => Promise<{ name: string }[]>;
  onPick: (value: string) => void;
  /** What is wrong with a text that cannot be such a name, which is then not picked. */
  judge?: (value: string) => string | undefined;
}) {
  // Of what stands in the field, or else of what came with the page's address.
  const [fault, setFault] = createSignal<string | undefined>();
  const wrong = () => fault() ?? (props.value === "" ? undefined : props.judge?.(props.value));
  const { id, described } = ties({
    get wrong() {
      return wrong();
    },
  });
  const [typed, setTyped] = createSignal<string | undefined>();
  // With a value from the start, so that looking for more never takes the page away.
  const [found] = createResource(typed, (typed) => props.find(typed).catch(() => []), { initialValue: [] });
  const later = createLater(200);
  // What was picked from the list, or typed and confirmed.
  const pick = (text: string) => {
    const value = text.trim();
    const found = value === "" ? undefined : props.judge?.(value);
    setFault(found);
    if (found === undefined && value !== props.value) props.onPick(value);
  };
  return (
    <div class="field">
      <label for={id}>{props.label}</label>
      <input
        id={id}
        type="search"
        list={`${id}-list`}
        value={props.value}
        autocomplete="off"
        spellcheck={false}
        aria-invalid={wrong() === undefined ? undefined : "true"}
        aria-describedby={described()}
        onFocus={() => setTyped((typed) => typed ?? "")}
        onInput={(event) => {
          const { value } = event.currentTarget;
          if (value === "" || found.latest.some(({ name }) => name === value)) pick(value);
          later(() => setTyped(value));
        }}
        onChange={(event) => {
          pick(event.currentTarget.value);
        }}
        onKeyDown={(event) => {
          if (event.key === "Enter") pick(event.currentTarget.value);
        }}
      />
      <datalist id={`${id}-list`}>
        <For each={found.latest}>{({ name }) => <option value={name} />}</For>
      </datalist>
      <About id={id} wrong={wrong()} />
    </div>
  );
}
