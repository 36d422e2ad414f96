// What is read from the server and shown: the last good content stays when a later reading fails, with what went wrong
// beside it, so that a page never goes away under somebody who is typing.

import { Show, createResource, createSignal, type Accessor, type JSX } from "solid-js";
import { leaf, refusal, type Leaf, type Refusal } from "../api";
import { count } from "../format";
import { onLeave } from "./later";
import { Problem } from "./notice";
import { Pager, Table } from "./page";

type Read<T> = { value: T | undefined; trouble: Refusal | undefined };

export type Kept<T> = {
  /** The last good content; none before the first. */
  latest: Accessor<T | undefined>;
  isLoading: Accessor<boolean>;
  trouble: Accessor<Refusal | undefined>;
  again: () => Promise<void>;
  set: (value: T) => void;
  fail: (error: unknown) => void;
};

/** Reads anew when the source changes. What was asked for before, or for a page that is left, is not waited for. */
export function createKept<S, T>(
  source: () => S | undefined,
  read: (source: S, signal: AbortSignal, before: T | undefined) => Promise<T>,
): Kept<T> {
  let asked = new AbortController();
  onLeave(() => {
    asked.abort();
  });
  // Boxed: a source that is false or empty is one too.
  const boxed = () => {
    const now = source();
    return now === undefined ? undefined : { now };
  };
  const [resource, { mutate, refetch }] = createResource(boxed, async ({ now }, info): Promise<Read<T>> => {
    const before = (info.value as Read<T> | undefined)?.value;
    asked.abort();
    const mine = (asked = new AbortController());
    try {
      return { value: await read(now, mine.signal, before), trouble: undefined };
    } catch (error) {
      return { value: before, trouble: refusal(error) };
    }
  });
  const latest = () => resource.latest;
  return {
    latest: () => latest()?.value,
    isLoading: () => resource.loading,
    trouble: () => latest()?.trouble,
    again: async () => {
      await refetch();
    },
    set: (value) => mutate({ value, trouble: undefined }),
    fail: (error) => mutate((before) => ({ value: before?.value, trouble: refusal(error) })),
  };
}

/** Why the newest reading failed, and another try. */
export function Trouble(props: { of: Pick<Kept<unknown>, "trouble" | "again"> }) {
  return (
    <Show when={props.of.trouble()}>
      {(trouble) => (
        <div class="trouble">
          <Problem of={trouble()} />
          <button type="button" onClick={() => void props.of.again()}>
            Try again
          </button>
        </div>
      )}
    </Show>
  );
}

/** A list that is leafed through: the page of it that is asked for. */
export type Leaves<T> = Kept<Leaf<T>> & {
  items: Accessor<T[]>;
  /** Whether there are more than those. */
  hasMore: Accessor<boolean>;
};

/** As `createKept`, of one page of a list. */
export function createLeaves<S, T>(
  source: () => S | undefined,
  read: (source: S, signal: AbortSignal, before: Leaf<T> | undefined) => Promise<Leaf<T>>,
): Leaves<T> {
  const kept = createKept(source, read);
  return { ...kept, items: () => kept.latest()?.items ?? [], hasMore: () => Boolean(kept.latest()?.next) };
}

/** What an empty list says: that there is nothing, or that not all was looked through yet; and not a word on trouble. */
export function nothing(of: Pick<Leaves<unknown>, "trouble" | "hasMore">, text: string): string {
  if (of.trouble()) return "";
  return of.hasMore() ? "None among those that were looked through so far. There are more." : text;
}

/** A list that is leafed through, as a table. */
export function LeavesTable<T>(props: {
  of: Leaves<T>;
  /** What one of them is called. */
  one: string;
  label: string;
  head: JSX.Element;
  /** What it says where there are none. */
  none: string;
  class?: string;
  children: (row: T) => JSX.Element;
}) {
  return (
    <>
      <Trouble of={props.of} />
      <Pager next={props.of.latest()?.next} shown={props.of.items().length} one={props.one} />
      <Table
        label={props.label}
        class={props.class ?? ""}
        isBusy={props.of.isLoading()}
        head={props.head}
        rows={props.of.items()}
        none={nothing(props.of, props.none)}
      >
        {props.children}
      </Table>
    </>
  );
}

export type Series<T> = {
  items: Accessor<T[]>;
  /** Whether there are more than those. */
  hasMore: Accessor<boolean>;
  isBusy: Accessor<boolean>;
  trouble: Accessor<Refusal | undefined>;
  again: () => Promise<void>;
  more: () => Promise<void>;
};

/** A list that grows by a page at a time. Read again, it is as long as it was. */
export function createSeries<T>(
  page: (cursor: string | undefined, signal: AbortSignal) => Promise<Leaf<T>>,
): Series<T> {
  const [isGrowing, setGrowing] = createSignal(false);
  const ended = new AbortController();
  onLeave(() => {
    ended.abort();
  });
  const kept = createLeaves<true, T>(
    () => true,
    async (_, signal, before) => {
      const wanted = before?.items.length ?? 0;
      const read = (cursor: string | undefined) => leaf((cursor) => page(cursor, signal), cursor, signal);
      let found = await read(undefined);
      while (found.items.length < wanted && found.next) {
        const { items, next } = await read(found.next);
        found = { items: [...found.items, ...items], next };
      }
      return found;
    },
  );
  const more = async () => {
    const shown = kept.latest();
    if (!shown?.next || isGrowing() || kept.isLoading()) return;
    setGrowing(true);
    try {
      const { items, next } = await leaf((cursor) => page(cursor, ended.signal), shown.next, ended.signal);
      if (kept.latest() === shown) kept.set({ items: [...shown.items, ...items], next });
    } catch (error) {
      if (!ended.signal.aborted) kept.fail(error);
    } finally {
      setGrowing(false);
    }
  };
  return {
    items: kept.items,
    hasMore: kept.hasMore,
    isBusy: () => kept.isLoading() || isGrowing(),
    trouble: kept.trouble,
    again: kept.again,
    more,
  };
}

/** What is shown of a series, and a way to more of it; the focus stays, or goes to the list when there is no more. */
export function More(props: { of: Series<unknown>; one: string; list: () => HTMLElement | null }) {
  return (
    <div class="more">
      <p role="status">
        {props.of.hasMore() ? `The newest ${count(props.of.items().length, props.one)}; there are more.` : ""}
      </p>
      <Show when={props.of.hasMore()}>
        <button
          type="button"
          aria-disabled={props.of.isBusy()}
          onClick={() => {
            void props.of.more().then(() => {
              if (!props.of.hasMore()) props.list()?.focus();
            });
          }}
        >
          Show more
        </button>
      </Show>
    </div>
  );
}
