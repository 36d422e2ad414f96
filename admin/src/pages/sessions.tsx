// Every open session of everybody.

import { A, useSearchParams } from "@solidjs/router";
import { For, Show, createResource } from "solid-js";
import { allGroups, api, defined, done, got, type User } from "../api";
import { agent, when } from "../format";
import { isMe, isSuperuser, mayTouch } from "../me";
import { confirm } from "../ui/dialog";
import { Badge, Page, Pager, Table } from "../ui/page";

/** Those of the owners whose sessions one may end. */
async function touchable(owners: string[]): Promise<ReadonlySet<string>> {
  if (isSuperuser()) return new Set(owners);
  const groups = await allGroups();
  const user = (id: string): Promise<User | undefined> =>
    got(api.GET("/v1/users/{id}", { params: { path: { id } } })).catch(() => undefined);
  const users = await Promise.all([...new Set(owners)].map(user));
  return new Set(users.flatMap((user) => (user !== undefined && mayTouch(user, groups) ? [user.id] : [])));
}

export function Sessions() {
  const [query] = useSearchParams<{ cursor?: string }>();
  const [page, { refetch }] = createResource(
    () => ({ cursor: query.cursor }),
    async ({ cursor }) => {
      const { items, next } = await got(
        api.GET("/v1/open-sessions", { params: { query: defined({ cursor, limit: 50 }) } }),
      );
      return { items, next, mine: await touchable(items.map(({ user }) => user.id)) };
    },
  );
  const list = () => page.latest?.items ?? [];
  return (
    <Page
      title="Open sessions"
      aside={
        <Show when={isSuperuser()}>
          <button
            type="button"
            class="danger"
            onClick={() => {
              confirm({
                title: "Log everybody out?",
                effects: [
                  "Every session and every API token of everybody ends, at once: on all nodes, on all devices.",
                  "Your own session ends too.",
                  "Accounts, passwords and rights stay as they are; everybody can log in again.",
                ],
                act: "Log everybody out",
                said: "Everybody is logged out.",
                perform: async () => {
                  await done(api.POST("/v1/epoch"));
                  void refetch();
                },
              });
            }}
          >
            Log everybody out …
          </button>
        </Show>
      }
    >
      <Pager next={page.latest?.next} shown={list().length} one="session" />
      <Table
        label="Open sessions"
        isBusy={page.loading}
        head={
          <>
            <th scope="col">User</th>
            <th scope="col">Device</th>
            <th scope="col">From</th>
            <th scope="col" class="at-1 w-time">
              Logged in
            </th>
            <th scope="col" class="at-2 w-time">
              Ends by
            </th>
            <th scope="col" class="end">
              <span class="unseen">Act</span>
            </th>
          </>
        }
      >
        <For
          each={list()}
          fallback={
            <tr>
              <td colspan="2" class="none">
                None on this page.
              </td>
            </tr>
          }
        >
          {(session) => (
            <tr>
              <th scope="row">
                <A href={`/users/${session.user.id}`}>{session.user.username}</A>
              </th>
              <td title={session.agent}>
                {agent(session.agent)}{" "}
                <Show when={session.current}>
                  <Badge kind="good">this one</Badge>
                </Show>
              </td>
              <td>{session.address}</td>
              <td class="when at-1">{when(session.created_at)}</td>
              <td class="when at-2">{when(session.ends_at)}</td>
              <td class="end">
                <Show when={page.latest?.mine.has(session.user.id)}>
                  <button
                    type="button"
                    aria-label={`End the session of ${session.user.username} since ${when(session.created_at)}`}
                    onClick={() => {
                      const { username, id } = session.user;
                      confirm({
                        title: `End this session of ${username}?`,
                        effects: [
                          `${agent(session.agent)} at ${session.address}, logged in since ${when(session.created_at)}, is logged out at once.`,
                          ...(session.current ? ["This is the session that you are using."] : []),
                          ...(isMe(session.user) ? [] : [`Other sessions of ${username} go on.`]),
                        ],
                        act: "End the session",
                        said: "The session has ended.",
                        perform: async () => {
                          const params = { path: { id, sid: session.id } };
                          await done(api.DELETE("/v1/users/{id}/sessions/{sid}", { params }));
                          void refetch();
                        },
                      });
                    }}
                  >
                    End …
                  </button>
                </Show>
              </td>
            </tr>
          )}
        </For>
      </Table>
    </Page>
  );
}
