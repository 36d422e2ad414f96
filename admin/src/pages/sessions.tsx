// Every open session of everybody.

import { useSearchParams } from "@solidjs/router";
import { Show } from "solid-js";
import { api, defined, done, got, leaf } from "../api";
import { when } from "../format";
import { isMe, isSuperuser, whenRefused } from "../me";
import { DeviceTable, told } from "../ui/devices";
import { confirm } from "../ui/dialog";
import { Trouble, createLeaves, nothing } from "../ui/kept";
import { Page, Pager } from "../ui/page";

export function Sessions() {
  const [query] = useSearchParams<{ cursor?: string }>();
  const page = createLeaves(
    () => query.cursor ?? "",
    (cursor, signal) => {
      const read = (cursor: string | undefined) =>
        got(api.GET("/v1/open-sessions", { params: { query: defined({ cursor, limit: 50 }) }, signal }));
      return leaf(read, cursor || undefined, signal);
    },
  );
  whenRefused(page.again);
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
                  void page.again();
                },
              });
            }}
          >
            Log everybody out …
          </button>
        </Show>
      }
    >
      {/* What else somebody may do is not known before one looks at each of them, one by one. */}
      <Show when={!isSuperuser()}>
        <p class="hint">A session of somebody else is ended on the page of its user, by whoever has the right.</p>
      </Show>
      <Trouble of={page} />
      <Pager next={page.latest()?.next} shown={page.items().length} one="session" />
      <DeviceTable
        label="Open sessions"
        devices={page.items()}
        isBusy={page.isLoading()}
        none={nothing(page, "None on this page.")}
        hasOwners
        mayEnd={({ user }) => isSuperuser() || isMe(user)}
        name={({ user, created_at }) => `End the session of ${user.username} since ${when(created_at)}`}
        question={(session) => ({
          title: `End this session of ${session.user.username}?`,
          effects: [
            `${told(session)}, is logged out at once.`,
            ...(session.current ? ["This is the session that you are using."] : []),
            ...(isMe(session.user) ? [] : [`Other sessions of ${session.user.username} go on.`]),
          ],
        })}
        end={async ({ id, user }) => {
          await done(api.DELETE("/v1/users/{id}/sessions/{sid}", { params: { path: { id: user.id, sid: id } } }));
          void page.again();
        }}
      />
    </Page>
  );
}
