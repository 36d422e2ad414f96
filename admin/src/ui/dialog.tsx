// Dialogs: one that holds anything, and the question that goes before what cannot be undone.

import { For, Show, createSignal, createUniqueId, onCleanup, onMount, type JSX } from "solid-js";
import { refusal, type Refusal } from "../api";
import { Notices, Problem, say } from "./notice";

/** A dialog that is there for as long as it is rendered, whatever the browser makes of a key. */
export function Modal(props: {
  title: string;
  /** What closing it by the keyboard does; without it, that is not possible. */
  onClose?: (() => void) | undefined;
  wide?: boolean;
  children: JSX.Element;
}) {
  const id = createUniqueId();
  let element!: HTMLDialogElement;
  const before = document.activeElement;
  onMount(() => {
    element.showModal();
  });
  // Back to where one was; to the top of the page when that is gone.
  onCleanup(() => {
    element.close();
    queueMicrotask(() => {
      if (document.querySelector("dialog[open]")) return;
      const back = before?.isConnected === true && before !== document.body ? before : document.querySelector("h1");
      if (back instanceof HTMLElement) back.focus({ preventScroll: true });
    });
  });
  return (
    <dialog
      ref={element}
      aria-labelledby={id}
      classList={{ wide: props.wide === true }}
      closedby={props.onClose === undefined ? "none" : "closerequest"}
      onCancel={(event) => {
        event.preventDefault();
        props.onClose?.();
      }}
      onClose={() => {
        // A second Escape closes it without asking. What is still to be shown is shown again.
        if (!element.isConnected || element.open) return;
        props.onClose?.();
        queueMicrotask(() => {
          if (element.isConnected && !element.open) element.showModal();
        });
      }}
    >
      <h2 id={id}>{props.title}</h2>
      {props.children}
      <Notices />
    </dialog>
  );
}

/** How far a long work is. */
export type Progress = { done: number; of: number; now: string };

export type Question = {
  title: string;
  /** What will happen, to whom, line by line. */
  effects: string[];
  /** What the button says. */
  act: string;
  /** The act itself. Throws a refusal, which is shown in the dialog. */
  perform: (tell: (progress: Progress) => void, signal: AbortSignal) => Promise<void>;
  /** What is said when it is done. */
  said?: string;
  /** Not destructive: the button looks like any other. */
  harmless?: boolean;
};

const [question, setQuestion] = createSignal<Question | undefined>();

/** Asks once, and acts if the answer is yes. */
export function confirm(asked: Question): void {
  setQuestion(asked);
}

/** The place where questions appear. */
export function Questions() {
  return (
    <Show when={question()} keyed>
      {(asked) => <Asked question={asked} onClose={() => setQuestion(undefined)} />}
    </Show>
  );
}

function Asked(props: { question: Question; onClose: () => void }) {
  const [isBusy, setBusy] = createSignal(false);
  const [progress, setProgress] = createSignal<Progress | undefined>();
  const [refused, setRefused] = createSignal<Refusal | undefined>();
  const stop = new AbortController();
  const perform = async () => {
    setBusy(true);
    setRefused(undefined);
    try {
      await props.question.perform(setProgress, stop.signal);
      const { said } = props.question;
      props.onClose();
      if (said !== undefined) say(said);
    } catch (error) {
      setRefused(refusal(error));
    } finally {
      setBusy(false);
    }
  };
  const close = () => {
    if (isBusy()) stop.abort();
    else props.onClose();
  };
  return (
    <Modal title={props.question.title} onClose={close}>
      <ul class="effects">
        <For each={props.question.effects}>{(effect) => <li>{effect}</li>}</For>
      </ul>
      <Show when={progress()}>
        {(progress) => (
          <div class="work">
            <progress aria-label="Progress" value={progress().done} max={progress().of} />
            <p aria-live="polite">{`${progress().done.toString()} of ${progress().of.toString()} ${progress().now}`}</p>
          </div>
        )}
      </Show>
      <Problem of={refused()} />
      <div class="buttons">
        <button type="button" onClick={close} autofocus>
          {isBusy() && progress() ? "Stop" : "Cancel"}
        </button>
        <button
          type="button"
          class={props.question.harmless === true ? "primary" : "danger"}
          disabled={isBusy()}
          onClick={() => void perform()}
        >
          {props.question.act}
        </button>
      </div>
    </Modal>
  );
}
