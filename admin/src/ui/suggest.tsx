// A filter that takes the name of something that the server knows.

import { For, createResource, createSignal, createUniqueId } from "solid-js";

export function Suggest(props: {
  label: string;
  value: string;
  find: (search: string) => Promise<{ name: string }[]>;
  onPick: (value: string) => void;
}) {
  const id = createUniqueId();
  const [typed, setTyped] = createSignal<string | undefined>();
  // With a value from the start, so that looking for more never takes the page away.
  const [found] = createResource(typed, (typed) => props.find(typed).catch(() => []), { initialValue: [] });
  let timer = 0;
  // What was picked from the list, or typed and confirmed.
  const pick = (value: string) => {
    if (value.trim() !== props.value) props.onPick(value.trim());
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
        onFocus={() => setTyped((typed) => typed ?? "")}
        onInput={(event) => {
          const { value } = event.currentTarget;
          if (value === "" || found.latest.some(({ name }) => name === value)) pick(value);
          clearTimeout(timer);
          timer = setTimeout(() => setTyped(value), 200);
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
    </div>
  );
}
