// All users: found by search and filters, sorted, in pages that come equally fast wherever one is.

import { A, useSearchParams } from "@solidjs/router";
import { For, Show, createEffect, createResource, createSignal, on } from "solid-js";
import { allGroups, api, defined, done, got, tagged, type User } from "../api";
import { onEach, type Outcome } from "../bulk";
import { count, when } from "../format";
import { isMe, isSuperuser, mayGiveGroup, mayTouch, mine } from "../me";
import { Select, TextField } from "../ui/form";
import { Modal } from "../ui/dialog";
import { createLater } from "../ui/later";
import { say } from "../ui/notice";
import { Flags, Page, Pager, Table } from "../ui/page";
import { Suggest } from "../ui/suggest";

type Order = "username" | "-username" | "date_joined" | "-date_joined" | "last_login" | "-last_login";
const ORDERS: readonly Order[] = ["username", "-username", "date_joined", "-date_joined", "last_login", "-last_login"];

type Query = {
  search?: string;
  group?: string;
  permission?: string;
  active?: string;
  staff?: string;
  superuser?: string;
  order?: string;
  cursor?: string;
};

const flag = (value: string | undefined): boolean | undefined =>
  value === "yes" ? true : value === "no" ? false : undefined;

export const groupNames = async (search: string): Promise<{ name: string }[]> =>
  (await got(api.GET("/v1/groups", { params: { query: { search, limit: 20 } } }))).items;

export const permissionNames = async (search: string): Promise<{ name: string }[]> =>
  (await got(api.GET("/v1/permissions", { params: { query: { search, limit: 20 } } }))).items;

const YES_NO = (yes: string, no: string): [string, string][] => [
  ["", "All"],
  ["yes", yes],
  ["no", no],
];

export function Users() {
  const [query, setQuery] = useSearchParams<Query>();
  const order = (): Order => ORDERS.find((known) => known === query.order) ?? "username";
  const wanted = () => ({
    search: query.search,
    group: query.group,
    permission: query.permission,
    is_active: flag(query.active),
    is_staff: flag(query.staff),
    is_superuser: flag(query.superuser),
    order: order(),
    cursor: query.cursor,
    limit: 50,
  });
  const [page, { refetch }] = createResource(
    () => JSON.stringify(wanted()),
    () => got(api.GET("/v1/users", { params: { query: defined(wanted()) } })),
  );
  const [groups] = createResource(() => (isSuperuser() ? [] : allGroups()));
  const mayChoose = (user: User) => !isMe(user) && mayTouch(user, groups.latest ?? []);
  const [chosen, setChosen] = createSignal<ReadonlySet<string>>(new Set());
  createEffect(
    on(
      () => page.latest,
      () => setChosen(new Set<string>()),
      { defer: true },
    ),
  );
  const [outcomes, setOutcomes] = createSignal<Outcome[]>([]);
  const users = () => page.latest?.items ?? [];
  const choosable = () => users().filter(mayChoose);
  const those = () => users().filter(({ id }) => chosen().has(id));
  const change = (part: Query) => {
    setQuery({ ...part, cursor: undefined }, { replace: true });
  };
  const later = createLater(250);

  const sort = (name: string, by: "username" | "date_joined" | "last_login", className = "") => (
    <th
      class={className}
      aria-sort={order() === by ? "ascending" : order() === `-${by}` ? "descending" : "none"}
      scope="col"
    >
      <button
        type="button"
        class="sort"
        onClick={() => {
          change({ order: order() === by ? `-${by}` : by });
        }}
      >
        {name}
      </button>
    </th>
  );

  const many = (title: string, effect: string, act: string, perform: (user: User) => Promise<void>) => {
    const items = those();
    const names = items.slice(0, 8).map(({ username }) => username);
    const more = items.length - names.length;
    const whom = `${names.join(", ")}${more > 0 ? ` and ${more.toString()} more` : ""}.`;
    onEach(
      items,
      ({ username }) => username,
      { title, effects: [effect, `To: ${whom}`], act },
      perform,
      async (outcomes) => {
        await refetch();
        if (outcomes.some(({ refused }) => refused !== undefined)) setOutcomes(outcomes);
        else say(`Done for ${count(outcomes.length, "user")}.`);
      },
    );
  };
  const path = (user: User) => ({ path: { id: user.id } });
  const whom = () => count(those().length, "user");
  const patch = async (user: User, body: (user: User) => Partial<User>) => {
    const { record, tag } = await tagged(api.GET("/v1/users/{id}", { params: path(user) }));
    await done(
      api.PATCH("/v1/users/{id}", { params: { ...path(user), header: { "If-Match": tag } }, body: body(record) }),
    );
  };
  const [group, setGroup] = createSignal("");

  return (
    <Page
      title="Users"
      aside={
        <A href="/users/new" class="button primary">
          New user
        </A>
      }
    >
      <form
        class="filters"
        role="search"
        onSubmit={(event) => {
          event.preventDefault();
        }}
      >
        <TextField
          label="Search"
          type="search"
          value={query.search ?? ""}
          maxlength={150}
          onInput={(search) => {
            later(() => {
              change({ search });
            });
          }}
        />
        <Suggest
          label="Group"
          value={query.group ?? ""}
          find={groupNames}
          onPick={(group) => {
            change({ group });
          }}
        />
        <Suggest
          label="Permission"
          value={query.permission ?? ""}
          find={permissionNames}
          onPick={(permission) => {
            change({ permission });
          }}
        />
        <Select
          label="Active"
          value={query.active ?? ""}
          onChange={(active) => {
            change({ active });
          }}
          options={YES_NO("Active", "Disabled")}
        />
        <Select
          label="Staff"
          value={query.staff ?? ""}
          onChange={(staff) => {
            change({ staff });
          }}
          options={YES_NO("Staff", "Not staff")}
        />
        <Select
          label="Superuser"
          value={query.superuser ?? ""}
          onChange={(superuser) => {
            change({ superuser });
          }}
          options={YES_NO("Superusers", "Others")}
        />
      </form>

      <div class="acts" role="group" aria-label="With the chosen users">
        <Show when={those().length > 0} fallback={<p class="hint">Choose users to act on several at once.</p>}>
          <strong>{whom()}:</strong>
          <button
            type="button"
            onClick={() => {
              many(`Log out ${whom()}?`, "All of their sessions and API tokens end.", "Log out", (user) =>
                done(api.DELETE("/v1/users/{id}/sessions", { params: path(user) })),
              );
            }}
          >
            Log out …
          </button>
          <button
            type="button"
            onClick={() => {
              const effect = "They cannot log in any more, and all of their sessions and API tokens end for good.";
              many(`Disable ${whom()}?`, effect, "Disable", (user) => patch(user, () => ({ is_active: false })));
            }}
          >
            Disable …
          </button>
          <button
            type="button"
            onClick={() => {
              many(`Enable ${whom()}?`, "They can log in again.", "Enable", (user) =>
                patch(user, () => ({ is_active: true })),
              );
            }}
          >
            Enable …
          </button>
          <Show when={isSuperuser() || mine().user.groups.length > 0}>
            <Suggest
              label="Group"
              value={group()}
              find={async (search) => (await groupNames(search)).filter(({ name }) => mayGiveGroup(name))}
              onPick={setGroup}
            />
            <button
              type="button"
              disabled={group() === ""}
              onClick={() => {
                const name = group();
                many(`Put ${whom()} into ${name}?`, `They get what ${name} grants.`, "Put in", (user) =>
                  patch(user, ({ groups }) => ({ groups: [...new Set([...groups, name])] })),
                );
              }}
            >
              Put in …
            </button>
            <button
              type="button"
              disabled={group() === ""}
              onClick={() => {
                const name = group();
                many(`Take ${whom()} out of ${name}?`, `They lose what ${name} grants.`, "Take out", (user) =>
                  patch(user, ({ groups }) => ({ groups: groups.filter((other) => other !== name) })),
                );
              }}
            >
              Take out …
            </button>
          </Show>
        </Show>
      </div>
      <Show when={outcomes().length > 0}>
        <Outcomes of={outcomes()} onClose={() => setOutcomes([])} />
      </Show>

      <Pager next={page.latest?.next} shown={users().length} one="user" />
      <Table
        label="Users"
        class="users"
        isBusy={page.loading}
        head={
          <>
            <th class="pick" scope="col">
              <input
                type="checkbox"
                aria-label="Choose all on this page"
                checked={choosable().length > 0 && chosen().size === choosable().length}
                onChange={(event) =>
                  setChosen(new Set(event.currentTarget.checked ? choosable().map(({ id }) => id) : []))
                }
              />
            </th>
            {sort("Name", "username")}
            <th scope="col" class="at-1">
              Person
            </th>
            <th scope="col" class="at-3">
              Address
            </th>
            <th scope="col" class="w-flags">
              What
            </th>
            <th scope="col" class="at-2">
              Groups
            </th>
            {sort("Last log-in", "last_login", "at-1 w-time")}
            {sort("Since", "date_joined", "at-3 w-time")}
          </>
        }
      >
        <For
          each={users()}
          fallback={
            <tr>
              <td colspan="2" class="none">
                Nobody is like that.
              </td>
            </tr>
          }
        >
          {(user) => (
            <tr classList={{ off: !user.is_active }}>
              <td class="pick">
                <Show when={mayChoose(user)}>
                  <input
                    type="checkbox"
                    aria-label={`Choose ${user.username}`}
                    checked={chosen().has(user.id)}
                    onChange={(event) => {
                      const next = new Set(chosen());
                      if (event.currentTarget.checked) next.add(user.id);
                      else next.delete(user.id);
                      setChosen(next);
                    }}
                  />
                </Show>
              </td>
              <th scope="row">
                <A href={`/users/${user.id}`}>{user.username}</A>
              </th>
              <td class="at-1">
                {user.first_name} {user.last_name}
              </td>
              <td class="at-3">{user.email}</td>
              <td>
                <Flags of={user} />
              </td>
              <td class="at-2">{user.groups.join(", ")}</td>
              <td class="when at-1">{user.last_login === null ? "never" : when(user.last_login)}</td>
              <td class="when at-3">{when(user.date_joined)}</td>
            </tr>
          )}
        </For>
      </Table>
    </Page>
  );
}

/** What many acts came to, when not all of them were done. */
function Outcomes(props: { of: Outcome[]; onClose: () => void }) {
  const refused = () => props.of.filter((outcome) => outcome.refused !== undefined);
  return (
    <Modal
      title={`Done for ${(props.of.length - refused().length).toString()}, refused for ${refused().length.toString()}`}
      onClose={() => {
        props.onClose();
      }}
    >
      <div class="problem" role="alert">
        <ul>
          <For each={refused()}>
            {({ name, refused }) => (
              <li>
                <strong>{name}</strong>: {refused}
              </li>
            )}
          </For>
        </ul>
      </div>
      <div class="buttons">
        <button
          type="button"
          class="primary"
          onClick={() => {
            props.onClose();
          }}
        >
          Close
        </button>
      </div>
    </Modal>
  );
}
