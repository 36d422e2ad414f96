// All users: found by search and filters, sorted, in pages that come equally fast wherever one is.

import { A, useSearchParams } from "@solidjs/router";
import { Show, createEffect, createSignal, on } from "solid-js";
import { allGroups, api, defined, got, leaf, type User } from "../api";
import { when } from "../format";
import { isMe, isSuperuser, mayTouch, whenRefused } from "../me";
import { Select } from "../ui/form";
import { LeavesTable, createKept, createLeaves } from "../ui/kept";
import { Flags, Page } from "../ui/page";
import { Filters, SearchField } from "../ui/search";
import { Suggest } from "../ui/suggest";
import { ManyActs, groupNames } from "./many";

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

const permissionNames = async (search: string): Promise<{ name: string }[]> =>
  (await got(api.GET("/v1/permissions", { params: { query: { search, limit: 20 } } }))).items;

const HALF = "[A-Za-z0-9_-]{1,100}";

/** What is said of a text that can be no permission: the server refuses to look for one. */
const judgePermission = (text: string): string | undefined =>
  new RegExp(`^${HALF}\\.${HALF}$`).test(text) ? undefined : "A permission is app_label.codename, such as polls.vote.";

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
  const page = createLeaves(
    () => JSON.stringify(wanted()),
    (_, signal) => {
      const read = (cursor: string | undefined) =>
        got(api.GET("/v1/users", { params: { query: defined({ ...wanted(), cursor }) }, signal }));
      return leaf(read, query.cursor, signal);
    },
  );
  const groups = createKept(isSuperuser, (isSuperuser) => (isSuperuser ? Promise.resolve([]) : allGroups()));
  whenRefused(async () => {
    await Promise.all([groups.again(), page.again()]);
  });
  // Who has more rights than oneself is not known without the groups.
  const mayChoose = (user: User) =>
    !isMe(user) && groups.latest() !== undefined && mayTouch(user, groups.latest() ?? []);
  const [chosen, setChosen] = createSignal<ReadonlySet<string>>(new Set());
  createEffect(on(page.latest, () => setChosen(new Set<string>()), { defer: true }));
  const choosable = () => page.items().filter(mayChoose);
  const those = () => page.items().filter(({ id }) => chosen().has(id));
  const change = (part: Query) => {
    setQuery({ ...part, cursor: undefined }, { replace: true });
  };

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

  return (
    <Page
      title="Users"
      aside={
        <A href="/users/new" class="button primary">
          New user
        </A>
      }
    >
      <Filters>
        <SearchField />
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
          judge={judgePermission}
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
      </Filters>

      <ManyActs users={those()} again={page.again} />
      <LeavesTable
        of={page}
        one="user"
        label="Users"
        class="users"
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
        none="Nobody is like that."
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
      </LeavesTable>
    </Page>
  );
}
