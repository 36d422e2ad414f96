// One user: who they are, what they may do and why, and where they are logged in.

import { A, useParams } from "@solidjs/router";
import { Show, createMemo, createResource, createSignal } from "solid-js";
import {
  api,
  allGroups,
  defined,
  done,
  got,
  refusal,
  tagged,
  type Group,
  type Refusal,
  type Tagged,
  type User,
} from "../api";
import { createEditor, type Field } from "../editor";
import { agent, count, when } from "../format";
import { isLastSuperuser, isMe, mayTouch, meetAgain, whenRefused } from "../me";
import { DeviceTable, told } from "../ui/devices";
import { confirm } from "../ui/dialog";
import { More, Trouble, createKept, createSeries, nothing } from "../ui/kept";
import { Flags, Page, Part } from "../ui/page";
import { TokenTable } from "../ui/tokens";
import { UserActs } from "./user-acts";
import { Edit, Read } from "./user-form";
import { Effective } from "./user-rights";

const FIELDS: readonly Field<User>[] = [
  { key: "username", label: "Name" },
  { key: "first_name", label: "Given name" },
  { key: "last_name", label: "Family name" },
  { key: "email", label: "Address" },
  { key: "is_staff", label: "Staff" },
  { key: "is_superuser", label: "Superuser" },
  { key: "groups", label: "Groups" },
  { key: "user_permissions", label: "Direct permissions" },
];

const load = (id: string): Promise<Tagged<User>> => tagged(api.GET("/v1/users/{id}", { params: { path: { id } } }));

type Data = { first: Tagged<User>; groups: Group[]; isLast: boolean };

export function UserPage() {
  const params = useParams<{ id: string }>();
  const [data] = createResource(
    () => params.id,
    async (id): Promise<Data> => {
      const [first, groups] = await Promise.all([load(id), allGroups()]);
      return { first, groups, isLast: await isLastSuperuser(first.record) };
    },
  );
  return (
    <Show when={data()} keyed>
      {(data) => <OneUser {...data} />}
    </Show>
  );
}

function OneUser(props: Data) {
  const { id } = props.first.record;
  const path = { params: { path: { id } } };
  const [groups, setGroups] = createSignal(props.groups);
  const [isLast, setLast] = createSignal(props.isLast);
  const [trouble, setTrouble] = createSignal<Refusal | undefined>();
  const editor = createEditor<User>({
    first: props.first,
    fields: FIELDS,
    load: () => load(id),
    save: async (change, tag) => {
      const params = { path: { id }, header: { "If-Match": tag } };
      const saved = await tagged(api.PATCH("/v1/users/{id}", { params, body: change }));
      if (isMe(saved.record)) await meetAgain();
      return saved;
    },
    said: "The user is saved.",
  });
  const user = editor.record;
  const mayChange = createMemo(() => mayTouch(user(), groups()));
  const sessions = createSeries((cursor, signal) => {
    const params = { ...path.params, query: defined({ cursor, limit: 50 }) };
    return got(api.GET("/v1/users/{id}/sessions", { params, signal }));
  });
  const tokens = createKept(
    () => true,
    (_, signal) => got(api.GET("/v1/users/{id}/tokens", { ...path, signal })),
  );
  const readUser = async () => {
    try {
      const now = await load(id);
      setLast(await isLastSuperuser(now.record));
      editor.rebase(now);
      setTrouble(undefined);
    } catch (error) {
      setTrouble(refusal(error));
    }
  };
  const again = async () => {
    await Promise.all([readUser(), sessions.again(), tokens.again()]);
  };
  whenRefused(async () => {
    await Promise.all([again(), allGroups().then(setGroups, () => undefined)]);
  });
  const name = () => user().username;
  const yourself = () => (isMe(user()) ? ["This is you: your own session ends too, and you can log in again."] : []);
  /** What is open, counted where all of it is seen. */
  const open = () => {
    const isSeen = !sessions.hasMore() && sessions.trouble() === undefined;
    const known = tokens.trouble() === undefined ? tokens.latest()?.items.length : undefined;
    const those = isSeen ? count(sessions.items().length, "open session") : "every open session";
    return `${those} and ${known === undefined ? "every API token" : count(known, "API token")}`;
  };

  const endAll = () => {
    confirm({
      title: `Log ${name()} out everywhere?`,
      effects: [
        `This ends ${open()}, at once.`,
        ...(isMe(user()) ? [] : [`${name()} can log in again.`]),
        ...yourself(),
      ],
      act: "Log out everywhere",
      said: `${name()} is logged out everywhere.`,
      perform: async () => {
        await done(api.DELETE("/v1/users/{id}/sessions", path));
        await again();
      },
    });
  };
  const endTokens = () => {
    confirm({
      title: `End all API tokens of ${name()}?`,
      effects: [`Machines that use them are refused from now on. Sessions go on.`],
      act: "End all tokens",
      said: `The API tokens of ${name()} have ended.`,
      perform: async () => {
        await done(api.DELETE("/v1/users/{id}/tokens", path));
        await tokens.again();
      },
    });
  };
  let devices!: HTMLDivElement;

  return (
    <Page title={name()} aside={<Flags of={user()} />}>
      <editor.Merge />
      <p class="facts">
        <span>Joined {when(user().date_joined)}</span>
        <span>{user().last_login === null ? "Never logged in" : `Last log-in ${when(user().last_login ?? "")}`}</span>
        <span>{user().has_usable_password ? "Has a password" : "No usable password"}</span>
        <span>
          Id <code>{id}</code>
        </span>
        <A href={`/audit?user=${encodeURIComponent(name())}`}>What was done by and to {name()}</A>
      </p>
      <Trouble of={{ trouble, again: readUser }} />
      <Show
        when={mayChange()}
        fallback={
          <p class="hint">{name()} has rights beyond your own, so you can look at this account and not change it.</p>
        }
      >
        <UserActs user={user()} isLast={isLast()} open={open()} again={again} drop={editor.undo} />
      </Show>

      <div class="columns">
        <div>
          <Show when={mayChange()} fallback={<Read user={user()} />}>
            <Edit editor={editor} isLast={isLast()} />
          </Show>
        </div>
        <div>
          <Effective user={user()} draft={editor.draft()} groups={groups()} />
        </div>
      </div>

      <Part
        title="Open sessions"
        aside={
          <Show when={mayChange() && (sessions.items().length > 0 || sessions.hasMore())}>
            <button type="button" onClick={endAll}>
              Log out everywhere …
            </button>
          </Show>
        }
      >
        <Trouble of={sessions} />
        <div ref={devices}>
          <DeviceTable
            label={`Open sessions of ${name()}`}
            devices={sessions.items()}
            isBusy={sessions.isBusy()}
            none={nothing(sessions, `${name()} is logged in nowhere.`)}
            mayEnd={mayChange}
            name={(device) => `End the session of ${agent(device.agent)} since ${when(device.created_at)}`}
            question={(device) => ({
              title: `End this session of ${name()}?`,
              effects: [
                `${told(device)}, is logged out at once.`,
                ...(device.current ? ["This is the session that you are using."] : []),
              ],
            })}
            end={async ({ id: sid }) => {
              await done(api.DELETE("/v1/users/{id}/sessions/{sid}", { params: { path: { id, sid } } }));
              await sessions.again();
            }}
          />
        </div>
        <More of={sessions} one="session" list={() => devices.querySelector("[tabindex]")} />
      </Part>

      <Part
        title="API tokens"
        aside={
          <Show when={mayChange() && (tokens.latest()?.items.length ?? 0) > 0}>
            <button type="button" onClick={endTokens}>
              End all …
            </button>
          </Show>
        }
      >
        <Trouble of={tokens} />
        <TokenTable
          label={`API tokens of ${name()}`}
          tokens={tokens.latest()?.items ?? []}
          isBusy={tokens.isLoading()}
          none={tokens.trouble() ? "" : `${name()} has no API tokens.`}
          mayEnd={mayChange()}
          effect={`Machines that use this token of ${name()} are refused from now on.`}
          end={async (token) => {
            const params = { path: { id, token_id: token.id } };
            await done(api.DELETE("/v1/users/{id}/tokens/{token_id}", { params }));
            await tokens.again();
          }}
        />
      </Part>
    </Page>
  );
}
