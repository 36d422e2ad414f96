// What was done, by whom, to what: the newest first, along a line of time.

import { A, useSearchParams } from "@solidjs/router";
import { For, Show, createMemo } from "solid-js";
import { api, defined, got, leaf, type Event } from "../api";
import { agent, clock, day } from "../format";
import { Select, TextField } from "../ui/form";
import { Trouble, createLeaves, nothing } from "../ui/kept";
import { createLater } from "../ui/later";
import { Badge, Page, Pager, permissionPath } from "../ui/page";
import { Filters } from "../ui/search";

/** Each action, and how it is told. */
const ACTIONS: [action: string, told: string][] = [
  ["login", "logged in"],
  ["logout", "logged out"],
  ["register", "registered"],
  ["flush", "flushed a session"],
  ["end_session", "ended a session"],
  ["end_sessions", "ended all sessions"],
  ["create_token", "made an API token"],
  ["end_token", "ended an API token"],
  ["end_tokens", "ended all API tokens"],
  ["end_everything", "logged everybody out"],
  ["change_password", "changed the own password"],
  ["reset_password", "set a password by mail"],
  ["verify_email", "proved an address"],
  ["change_profile", "changed the own profile"],
  ["create_user", "made a user"],
  ["change_user", "changed a user"],
  ["delete_user", "deleted a user"],
  ["import", "imported accounts"],
  ["repair", "repaired the store"],
  ["create_group", "made a group"],
  ["change_group", "changed a group"],
  ["delete_group", "deleted a group"],
  ["create_permission", "added a permission"],
  ["change_permission", "described a permission"],
  ["delete_permission", "deleted a permission"],
];

const told = (action: string): string => ACTIONS.find(([known]) => known === action)?.[1] ?? action;

type Query = {
  action?: string;
  outcome?: string;
  user?: string;
  address?: string;
  since?: string;
  until?: string;
  cursor?: string;
};

const instant = (local: string | undefined): string | undefined => {
  const time = local ? new Date(local) : undefined;
  return time === undefined || Number.isNaN(time.getTime()) ? undefined : time.toISOString();
};

export function Audit() {
  const [query, setQuery] = useSearchParams<Query>();
  const wanted = () => ({
    action: query.action,
    outcome: query.outcome,
    user: query.user,
    address: query.address,
    since: instant(query.since),
    until: instant(query.until),
  });
  const page = createLeaves(
    () => JSON.stringify([wanted(), query.cursor]),
    (_, signal) => {
      const read = (cursor: string | undefined) =>
        got(api.GET("/v1/audit", { params: { query: defined({ ...wanted(), cursor, limit: 50 }) }, signal }));
      return leaf(read, query.cursor, signal);
    },
  );
  const days = createMemo(() => {
    const days: { day: string; events: Event[] }[] = [];
    for (const event of page.items()) {
      const name = day(event.at);
      const last = days.at(-1);
      if (last?.day === name) last.events.push(event);
      else days.push({ day: name, events: [event] });
    }
    return days;
  });
  const wait = createLater(350);
  let typed: Query = {};
  const later = (part: Query) => {
    typed = { ...typed, ...part };
    wait(() => {
      change(typed);
      typed = {};
    });
  };
  const change = (part: Query) => {
    setQuery({ ...part, cursor: undefined }, { replace: true });
  };
  return (
    <Page
      title="Audit log"
      aside={
        <button type="button" onClick={() => void page.again()}>
          Read again
        </button>
      }
    >
      <Filters>
        <Select
          label="Action"
          value={query.action ?? ""}
          onChange={(action) => {
            change({ action });
          }}
          options={[["", "All"], ...ACTIONS]}
        />
        <Select
          label="Outcome"
          value={query.outcome ?? ""}
          onChange={(outcome) => {
            change({ outcome });
          }}
          options={[
            ["", "All"],
            ["done", "Done"],
            ["refused", "Refused"],
          ]}
        />
        <TextField
          label="By or to (name or id)"
          type="search"
          value={query.user ?? ""}
          onInput={(user) => {
            later({ user });
          }}
        />
        <TextField
          label="Network address"
          type="search"
          value={query.address ?? ""}
          onInput={(address) => {
            later({ address });
          }}
        />
        <TextField
          label="From"
          type="datetime-local"
          value={query.since ?? ""}
          onInput={(since) => {
            later({ since });
          }}
        />
        <TextField
          label="Before"
          type="datetime-local"
          value={query.until ?? ""}
          onInput={(until) => {
            later({ until });
          }}
        />
      </Filters>
      <Trouble of={page} />
      <Pager next={page.latest()?.next} shown={page.items().length} one="event" />
      <div class="timeline" aria-busy={page.isLoading()}>
        <For each={days()} fallback={<p class="none">{nothing(page, "Nothing was done that is like that.")}</p>}>
          {({ day, events }) => (
            <section>
              <h2>{day}</h2>
              <ol>
                <For each={events}>{(event) => <OneEvent event={event} />}</For>
              </ol>
            </section>
          )}
        </For>
      </div>
    </Page>
  );
}

function OneEvent(props: { event: Event }) {
  const target = () => {
    const { target, actor } = props.event;
    return target === null || (actor !== null && target.id === actor.id) ? null : target;
  };
  const href = (kind: string, id: string): string | undefined => {
    if (id === "") return undefined;
    if (kind === "user") return `/users/${id}`;
    if (kind === "group") return `/groups/${id}`;
    return kind === "permission" ? permissionPath(id) : undefined;
  };
  return (
    <li classList={{ refused: props.event.outcome === "refused" }}>
      <time datetime={props.event.at}>{clock(props.event.at)}</time>
      <div>
        <p>
          <Show when={props.event.actor} fallback={<span>Somebody</span>}>
            {(actor) => <A href={`/users/${actor().id}`}>{actor().name}</A>}
          </Show>{" "}
          {told(props.event.action)}
          <Show when={target()}>
            {(target) => (
              <>
                {": "}
                <Show
                  when={href(target().kind, target().id)}
                  fallback={
                    <span>
                      {target().kind} {target().name || target().id}
                    </span>
                  }
                >
                  {(href) => <A href={href()}>{target().name || target().id}</A>}
                </Show>
              </>
            )}
          </Show>{" "}
          <Show when={props.event.outcome === "refused"}>
            <Badge kind="bad">refused</Badge>
          </Show>
        </p>
        <Show when={props.event.details.length > 0}>
          <p class="details">
            <For each={props.event.details}>{(detail) => <code>{detail}</code>}</For>
          </p>
        </Show>
        <p class="from" title={props.event.agent}>
          {props.event.address || "the server's command line"}
          <Show when={props.event.agent}> · {agent(props.event.agent)}</Show>
        </p>
      </div>
    </li>
  );
}
