// Editing a record that somebody else may be editing too: a change goes out with the tag of the state that it was made
// from, and when that is not the present one any more, both changes are put side by side.

import { For, Match, Show, Switch, createMemo, createSignal } from "solid-js";
import { TRIES, isOutdated, tagOf, type Tagged } from "./api";
import { Modal } from "./ui/dialog";
import { createSubmission, guard } from "./ui/form";
import { Problem, say } from "./ui/notice";

export type Value = string | boolean | string[];

/** A member that can be edited. */
export type Field<T> = { key: keyof T & string; label: string };

const same = (a: Value, b: Value): boolean =>
  Array.isArray(a) && Array.isArray(b) ? a.length === b.length && a.every((item) => b.includes(item)) : a === b;

/** A member that was changed: by whom, and what comes of it. */
export type Clash<T> = {
  field: Field<T>;
  was: Value;
  theirs: Value;
  mine: Value;
  /** Both changed it, and not to the same. */
  isOpen: boolean;
  /** What comes of it, unless it is open. */
  merged: Value;
};

/** What two changes of one state come to. Of sets, both changes hold: nothing in them can contradict. */
export function clashes<T>(
  fields: readonly Field<T>[],
  value: (record: T, key: keyof T & string) => Value,
  was: T,
  theirs: T,
  mine: T,
): Clash<T>[] {
  return fields.flatMap((field) => {
    const [a, b, c] = [value(was, field.key), value(theirs, field.key), value(mine, field.key)];
    const [isTheirs, isMine] = [!same(a, b), !same(a, c)];
    if (!isTheirs && !isMine) return [];
    if (Array.isArray(a) && Array.isArray(b) && Array.isArray(c)) {
      const kept = b.filter((item) => c.includes(item) || !a.includes(item));
      const added = c.filter((item) => !a.includes(item) && !b.includes(item));
      return [{ field, was: a, theirs: b, mine: c, isOpen: false, merged: [...kept, ...added].sort() }];
    }
    const isOpen = isTheirs && isMine && !same(b, c);
    return [{ field, was: a, theirs: b, mine: c, isOpen, merged: isMine ? c : b }];
  });
}

export function createEditor<T extends object>(given: {
  first: Tagged<T>;
  fields: readonly Field<T>[];
  load: () => Promise<Tagged<T>>;
  save: (change: Partial<T>, tag: string) => Promise<Tagged<T>>;
  said: string;
}) {
  const { fields } = given;
  const value = (record: T, key: keyof T & string): Value => record[key] as Value;
  // What the draft was made from. Not always the newest: as long as a change of somebody else contradicts the draft, the
  // old state and its tag are kept, so that the draft cannot be saved over it unseen.
  const [base, setBase] = createSignal(given.first);
  const [latest, setLatest] = createSignal(given.first);
  const [draft, setDraft] = createSignal<T>(given.first.record);
  const [theirs, setTheirs] = createSignal<Tagged<T> | undefined>();

  const difference = (from: T, to: T): Partial<T> => {
    const changed = fields.filter(({ key }) => !same(value(from, key), value(to, key)));
    return Object.fromEntries(changed.map(({ key }) => [key, to[key]])) as Partial<T>;
  };
  const change = createMemo(() => difference(base().record, draft()));
  const amount = () => Object.keys(change()).length;
  guard(() => amount() > 0);

  /** What was typed on top of one state, on top of another. */
  const moved = (was: T, now: T, typed: T): T => {
    const found = clashes(fields, value, was, now, typed);
    return { ...now, ...Object.fromEntries(found.map(({ field, merged }) => [field.key, merged])) };
  };

  /** What was sent is saved; what was typed since is not, and stays. */
  const accept = (sent: T, saved: Tagged<T>) => {
    setTheirs(undefined);
    setLatest(saved);
    setDraft((typed) => moved(sent, saved.record, typed));
    setBase(saved);
  };

  /** The record has changed, by an act of one's own beside the form or by somebody else: what is typed stays. */
  const rebase = (now: Tagged<T>) => {
    setLatest(now);
    const was = base().record;
    if (clashes(fields, value, was, now.record, draft()).some(({ isOpen }) => isOpen)) return;
    setDraft((typed) => moved(was, now.record, typed));
    setBase(now);
  };

  const send = async (): Promise<void> => {
    for (let left = TRIES; ; left -= 1) {
      const sent = draft();
      try {
        accept(sent, await given.save(difference(base().record, sent), tagOf(base())));
        say(given.said);
        return;
      } catch (error) {
        if (!isOutdated(error) || left === 1) throw error;
      }
      const now = await given.load();
      if (fields.some(({ key }) => !same(value(base().record, key), value(now.record, key)))) {
        setTheirs(now);
        return;
      }
      // What else of the record has changed is nothing of this form.
      rebase(now);
    }
  };
  const form = createSubmission(send);

  /** Both changes were seen, and this is what comes of them. */
  const take = (theirs: Tagged<T>, merged: Record<string, Value>) => {
    setTheirs(undefined);
    setLatest(theirs);
    setBase(theirs);
    setDraft(() => ({ ...theirs.record, ...merged }));
  };

  return {
    form,
    /** The newest state that is known. */
    record: () => latest().record,
    draft,
    amount,
    rebase,
    set: (part: Partial<T>) => setDraft((draft) => ({ ...draft, ...part })),
    undo: () => {
      form.setRefused(undefined);
      setBase(latest());
      setDraft(() => latest().record);
    },
    /** The place where two changes are put side by side. */
    Merge: () => (
      <Show when={theirs()} keyed>
        {(theirs) => (
          <Merge
            clashes={clashes(fields, value, base().record, theirs.record, draft())}
            onKeep={(merged) => {
              take(theirs, merged);
            }}
            onSave={async (merged) => {
              take(theirs, merged);
              await form.run();
            }}
          />
        )}
      </Show>
    ),
  };
}

export type Editor<T extends object> = ReturnType<typeof createEditor<T>>;

function Shown(props: { value: Value; from?: Value }) {
  const before = () => (Array.isArray(props.from) ? props.from : []);
  return (
    <Switch fallback={<span>{props.value === "" ? <i>empty</i> : String(props.value)}</span>}>
      <Match when={typeof props.value === "boolean"}>
        <span>{props.value === true ? "yes" : "no"}</span>
      </Match>
      <Match when={Array.isArray(props.value) && props.value}>
        {(items) => (
          <Show when={props.from} fallback={<span>{items().join(", ") || <i>none</i>}</span>}>
            <ul class="signed">
              <For each={items().filter((item) => !before().includes(item))}>{(item) => <li>+ {item}</li>}</For>
              <For each={before().filter((item) => !items().includes(item))}>{(item) => <li>− {item}</li>}</For>
            </ul>
          </Show>
        )}
      </Match>
    </Switch>
  );
}

function Merge<T>(props: {
  clashes: Clash<T>[];
  onKeep: (merged: Record<string, Value>) => void;
  onSave: (merged: Record<string, Value>) => Promise<void>;
}) {
  const [picked, setPicked] = createSignal<Record<string, "mine" | "theirs">>({});
  const open = () => props.clashes.filter(({ field, isOpen }) => isOpen && picked()[field.key] === undefined);
  const outcome = (clash: Clash<T>): Value =>
    clash.isOpen ? (picked()[clash.field.key] === "theirs" ? clash.theirs : clash.mine) : clash.merged;
  const merged = () => Object.fromEntries(props.clashes.map((clash) => [clash.field.key, outcome(clash)]));
  return (
    <Modal
      wide
      title="Somebody else changed this meanwhile"
      onClose={() => {
        props.onKeep(merged());
      }}
    >
      <p>Nothing is lost: here are both changes. Where they contradict, say which one holds.</p>
      <div class="scroll" role="region" aria-label="Both changes" tabindex="0">
        <table class="merge">
          <thead>
            <tr>
              <th scope="col">Member</th>
              <th scope="col">Was</th>
              <th scope="col">Theirs</th>
              <th scope="col">Yours</th>
              <th scope="col">Becomes</th>
            </tr>
          </thead>
          <tbody>
            <For each={props.clashes}>
              {(clash) => (
                <tr>
                  <th scope="row">{clash.field.label}</th>
                  <td>
                    <Shown value={clash.was} />
                  </td>
                  <For each={["theirs", "mine"] as const}>
                    {(whose) => (
                      <td>
                        <Show
                          when={clash.isOpen}
                          fallback={
                            <Show when={!same(clash[whose], clash.was)} fallback={<span class="none">unchanged</span>}>
                              <Shown value={clash[whose]} from={clash.was} />
                            </Show>
                          }
                        >
                          <label class="check">
                            <input
                              type="radio"
                              name={`merge-${clash.field.key}`}
                              checked={picked()[clash.field.key] === whose}
                              onChange={() => setPicked((picked) => ({ ...picked, [clash.field.key]: whose }))}
                            />
                            <Shown value={clash[whose]} />
                          </label>
                        </Show>
                      </td>
                    )}
                  </For>
                  <td>
                    <Show
                      when={!clash.isOpen || picked()[clash.field.key]}
                      fallback={<strong class="wrong">to be picked</strong>}
                    >
                      <strong>
                        <Shown value={outcome(clash)} />
                      </strong>
                    </Show>
                  </td>
                </tr>
              )}
            </For>
          </tbody>
        </table>
      </div>
      <div class="buttons">
        <button
          type="button"
          onClick={() => {
            props.onKeep(merged());
          }}
        >
          Go on editing
        </button>
        <button
          type="button"
          class="primary"
          disabled={open().length > 0}
          onClick={() => {
            void props.onSave(merged());
          }}
        >
          Save both
        </button>
      </div>
    </Modal>
  );
}

/** The foot of a form: what is unsaved, and what to do about it. */
export function SaveBar(props: { editor: Pick<Editor<object>, "amount" | "undo" | "form"> }) {
  return (
    <div class="save">
      <Problem of={props.editor.form.refused()} />
      <p role="status">
        {props.editor.amount() === 0
          ? "No unsaved changes"
          : `Unsaved: ${props.editor.amount().toString()} ${props.editor.amount() === 1 ? "member" : "members"}`}
      </p>
      <div class="buttons">
        <button type="button" disabled={props.editor.amount() === 0} onClick={props.editor.undo}>
          Undo
        </button>
        <button type="submit" class="primary" disabled={props.editor.amount() === 0 || props.editor.form.isBusy()}>
          Save
        </button>
      </div>
    </div>
  );
}
