// Fields, and the guard over what was typed and not saved.

import { useBeforeLeave, type BeforeLeaveEventArgs } from "@solidjs/router";
import { Show, createSignal, createUniqueId, onCleanup, type JSX } from "solid-js";
import { refusal, type Refusal } from "../api";
import { confirm } from "./dialog";
import { Problem } from "./notice";

export type FieldProps = {
  label: string;
  hint?: string | undefined;
  wrong?: string | undefined;
};

/** The ids that tie a field to its hint and its fault. */
export function ties(props: Omit<FieldProps, "label">) {
  const id = createUniqueId();
  const described = () => {
    const ids = [props.hint === undefined ? "" : `${id}-hint`, props.wrong === undefined ? "" : `${id}-wrong`];
    return ids.filter(Boolean).join(" ") || undefined;
  };
  return { id, described };
}

export function About(props: Omit<FieldProps, "label"> & { id: string }) {
  return (
    <>
      <Show when={props.hint}>
        <p class="hint" id={`${props.id}-hint`}>
          {props.hint}
        </p>
      </Show>
      <Show when={props.wrong}>
        <p class="wrong" id={`${props.id}-wrong`}>
          {props.wrong}
        </p>
      </Show>
    </>
  );
}

export function TextField(
  props: FieldProps & {
    value: string;
    onInput: (value: string) => void;
    type?: "text" | "email" | "password" | "search" | "datetime-local";
    autocomplete?: string;
    required?: boolean;
    autofocus?: boolean;
    readonly?: boolean;
    maxlength?: number;
  },
) {
  const { id, described } = ties(props);
  return (
    <div class="field">
      <label for={id}>{props.label}</label>
      <input
        id={id}
        type={props.type ?? "text"}
        value={props.value}
        onInput={(event) => {
          props.onInput(event.currentTarget.value);
        }}
        autocomplete={props.autocomplete ?? "off"}
        autocapitalize="none"
        spellcheck={false}
        required={props.required ?? false}
        autofocus={props.autofocus ?? false}
        readonly={props.readonly ?? false}
        maxlength={props.maxlength}
        aria-invalid={props.wrong === undefined ? undefined : "true"}
        aria-describedby={described()}
      />
      <About {...props} id={id} />
    </div>
  );
}

export function Check(props: FieldProps & { checked: boolean; onChange: (checked: boolean) => void }) {
  const { id, described } = ties(props);
  return (
    <div class="check">
      <input
        id={id}
        type="checkbox"
        checked={props.checked}
        onChange={(event) => {
          props.onChange(event.currentTarget.checked);
        }}
        aria-invalid={props.wrong === undefined ? undefined : "true"}
        aria-describedby={described()}
      />
      <label for={id}>{props.label}</label>
      <About {...props} id={id} />
    </div>
  );
}

export function Select(
  props: FieldProps & { value: string; onChange: (value: string) => void; options: [value: string, label: string][] },
) {
  const { id, described } = ties(props);
  return (
    <div class="field">
      <label for={id}>{props.label}</label>
      <select
        id={id}
        onChange={(event) => {
          props.onChange(event.currentTarget.value);
        }}
        aria-invalid={props.wrong === undefined ? undefined : "true"}
        aria-describedby={described()}
      >
        {props.options.map(([value, label]) => (
          <option value={value} selected={value === props.value}>
            {label}
          </option>
        ))}
      </select>
      <About {...props} id={id} />
    </div>
  );
}

/** A form that is sent at most once at a time, and knows what was refused. */
export function createSubmission(act: () => Promise<void>) {
  const [isBusy, setBusy] = createSignal(false);
  const [refused, setRefused] = createSignal<Refusal | undefined>();
  const submit: JSX.EventHandler<HTMLFormElement, SubmitEvent> = (event) => {
    event.preventDefault();
    if (!isBusy()) void run();
  };
  const run = async (what = act) => {
    setBusy(true);
    setRefused(undefined);
    try {
      await what();
    } catch (error) {
      setRefused(refusal(error));
    } finally {
      setBusy(false);
    }
  };
  return { isBusy, refused, setRefused, submit, run, wrong: (field: string) => refused()?.of(field) };
}

/** The foot of a form that makes something: why it was refused, and the button that sends it. */
export function Foot(props: { of: ReturnType<typeof createSubmission>; act: string }) {
  return (
    <div class="save">
      <Problem of={props.of.refused()} />
      <div class="buttons">
        <button type="submit" class="primary" disabled={props.of.isBusy()}>
          {props.act}
        </button>
      </div>
    </div>
  );
}

const guarded = new Set<() => boolean>();

/** Goes on at once, or asks first when something that was typed is not saved. */
export function leaving(go: () => void): void {
  if (![...guarded].some((isDirty) => isDirty())) {
    go();
    return;
  }
  confirm({
    title: "Leave without saving?",
    effects: ["What you changed on this page is not saved, and will be lost."],
    act: "Leave",
    perform: () => {
      go();
      return Promise.resolve();
    },
  });
}

/** Whether only the query of the page's address changes, such as the cursor of one of its lists: the page stays. */
export function staysHere({ from, to }: BeforeLeaveEventArgs): boolean {
  // By the time that a step through the history is asked about, the browser has made it.
  const there = typeof to === "number" ? location.pathname : new URL(to, location.href).pathname;
  return there === from.pathname;
}

/** Asks before what was typed is left behind. */
export function guard(isDirty: () => boolean): void {
  guarded.add(isDirty);
  useBeforeLeave((event) => {
    if (!isDirty() || event.defaultPrevented || staysHere(event)) return;
    event.preventDefault();
    leaving(() => {
      event.retry(true);
    });
  });
  const unload = (event: BeforeUnloadEvent) => {
    if (isDirty()) event.preventDefault();
  };
  addEventListener("beforeunload", unload);
  onCleanup(() => {
    guarded.delete(isDirty);
    removeEventListener("beforeunload", unload);
  });
}
