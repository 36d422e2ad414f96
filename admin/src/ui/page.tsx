// What every page is made of: a title, its parts, its lists.

import { A, useLocation, useNavigate, useSearchParams } from "@solidjs/router";
import { ErrorBoundary, For, Show, Suspense, createEffect, onMount, type JSX } from "solid-js";
import { refusal } from "../api";
import { count } from "../format";
import { Problem } from "./notice";

let isFirst = true;

/** A page: its heading gets the focus, so that whoever cannot see it hears where they are. */
export function Page(props: { title: string; aside?: JSX.Element; children: JSX.Element }) {
  let heading!: HTMLHeadingElement;
  createEffect(() => {
    document.title = `${props.title} · Signet`;
  });
  onMount(() => {
    // The first page begins where every page does: at its top.
    if (isFirst) {
      isFirst = false;
      return;
    }
    if (!document.querySelector("dialog[open]")) heading.focus({ preventScroll: true });
  });
  return (
    <>
      <header class="head">
        <h1 ref={heading} tabindex="-1">
          {props.title}
        </h1>
        {props.aside}
      </header>
      {props.children}
    </>
  );
}

/** Waits for what the page shows, all of it, and shows why when it does not come. */
export function Loaded(props: { children: JSX.Element }) {
  return (
    <ErrorBoundary
      fallback={(error: unknown, reset) => (
        <Page title="This cannot be shown">
          <Problem of={refusal(error)} />
          <p>
            <button type="button" onClick={reset}>
              Try again
            </button>
          </p>
        </Page>
      )}
    >
      <Suspense fallback={<p class="loading">Loading …</p>}>{props.children}</Suspense>
    </ErrorBoundary>
  );
}

export function Part(props: { title: string; aside?: JSX.Element; class?: string; children: JSX.Element }) {
  return (
    <section class={`part ${props.class ?? ""}`}>
      <header>
        <h2>{props.title}</h2>
        {props.aside}
      </header>
      {props.children}
    </section>
  );
}

/** A table that scrolls by itself where it is wider than the page; with `none` in the place of rows where there are none. */
export function Table<T>(props: {
  label: string;
  head: JSX.Element;
  rows: readonly T[];
  none?: string;
  isBusy?: boolean;
  class?: string;
  children: (row: T) => JSX.Element;
}) {
  return (
    <div class={`scroll ${props.class ?? ""}`} role="region" aria-label={props.label} tabindex="0">
      <table aria-busy={props.isBusy === true}>
        <thead>
          <tr>{props.head}</tr>
        </thead>
        <tbody>
          <For
            each={props.rows}
            fallback={
              <Show when={props.none}>
                <tr>
                  <td colspan="2" class="none">
                    {props.none}
                  </td>
                </tr>
              </Show>
            }
          >
            {props.children}
          </For>
        </tbody>
      </table>
    </div>
  );
}

/** The head of the column that holds buttons. */
export const ActHead = () => (
  <th scope="col" class="end">
    <span class="unseen">Act</span>
  </th>
);

type Turned = { trail: string[] };

/** Leafing through a list by cursors, which stand in the page's address; the way back is in its history. */
export function Pager(props: { next: string | null | undefined; shown: number; one: string }) {
  const location = useLocation<Turned>();
  const [query] = useSearchParams<{ cursor?: string }>();
  const navigate = useNavigate();
  const trail = () => location.state?.trail ?? [];
  // Whoever came by an address with a cursor has passed nobody knows how many pages.
  const isNumbered = () => !query.cursor || trail().length > 0;
  const shown = () => {
    const amount = count(props.shown, props.one);
    return isNumbered() ? `Page ${(trail().length + 1).toString()}, ${amount}` : amount;
  };
  const go = (cursor: string | undefined, trail: string[]) => {
    const search = new URLSearchParams(location.search);
    if (cursor) search.set("cursor", cursor);
    else search.delete("cursor");
    navigate(`${location.pathname}?${search.toString()}`, { state: { trail }, resolve: false });
  };
  return (
    <nav class="pager" aria-label="Pages">
      <button
        type="button"
        disabled={!query.cursor}
        onClick={() => {
          go(trail().at(-1), trail().slice(0, -1));
        }}
      >
        {isNumbered() ? "Previous" : "First"}
      </button>
      <span role="status">{shown()}</span>
      <button
        type="button"
        disabled={!props.next}
        onClick={() => {
          go(props.next ?? undefined, [...trail(), query.cursor ?? ""]);
        }}
      >
        {props.shown === 0 && props.next ? "Look further" : "Next"}
      </button>
    </nav>
  );
}

export function Badge(props: { kind?: "good" | "bad" | "high" | "quiet"; children: JSX.Element }) {
  return <span class={`badge ${props.kind ?? "quiet"}`}>{props.children}</span>;
}

/** What somebody is. */
export function Flags(props: { of: { is_active: boolean; is_staff: boolean; is_superuser: boolean } }) {
  return (
    <span class="flags">
      <Show when={!props.of.is_active}>
        <Badge kind="bad">disabled</Badge>
      </Show>
      <Show when={props.of.is_superuser}>
        <Badge kind="high">superuser</Badge>
      </Show>
      <Show when={props.of.is_staff}>
        <Badge kind="good">staff</Badge>
      </Show>
    </span>
  );
}

/** Names, each with its page. */
export function Links(props: { names: readonly string[]; to: (name: string) => string; none?: string }) {
  return (
    <ul class="chips">
      <For each={props.names} fallback={<li class="none">{props.none ?? "none"}</li>}>
        {(name) => (
          <li>
            <A href={props.to(name)}>{name}</A>
          </li>
        )}
      </For>
    </ul>
  );
}

/** A permission's page. A dot in a path would name a file. */
export const permissionPath = (name: string): string => `/permissions/${name.replace(".", "/")}`;
