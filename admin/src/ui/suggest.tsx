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
  const [found] = createResource(typed, (typed) => props.find(typed).catch(() => []));
  let timer = 0;
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
          clearTimeout(timer);
          timer = setTimeout(() => setTyped(value), 200);
        }}
        onChange={(event) => {
          props.onPick(event.currentTarget.value.trim());
        }}
      />
      <datalist id={`${id}-list`}>
        <For each={found.latest ?? []}>{({ name }) => <option value={name} />}</For>
      </datalist>
    </div>
  );
}
