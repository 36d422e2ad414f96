// One user: who they are, what they may do and why, and where they are logged in.

import { A, useNavigate, useParams } from "@solidjs/router";
import { For, Show, createMemo, createResource } from "solid-js";
import { api, allGroups, done, got, tagged, type Group, type Tagged, type User } from "../api";
import { SaveBar, createEditor, type Field } from "../editor";
import { agent, count, when } from "../format";
import { findGroups, findPermissions, isLastSuperuser, isMe, isSuperuser, mayTouch, meet, sources } from "../me";
import { confirm } from "../ui/dialog";
import { Check, TextField } from "../ui/form";
import { Badge, Flags, Links, Page, Part, Table, permissionPath } from "../ui/page";
import { Picker } from "../ui/picker";

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
  const { first, groups, isLast } = props;
  const { id } = first.record;
  const path = { params: { path: { id } } };
  const editor = createEditor<User>({
    first,
    fields: FIELDS,
    load: () => load(id),
    save: async (change, tag) => {
      const params = { path: { id }, header: { "If-Match": tag } };
      const saved = await tagged(api.PATCH("/v1/users/{id}", { params, body: change }));
      if (isMe(saved.record)) await meet();
      return saved;
    },
    said: "The user is saved.",
  });
  const user = () => editor.base().record;
  const mayChange = createMemo(() => mayTouch(user(), groups));
  const navigate = useNavigate();
  const [sessions, { refetch: sessionsAgain }] = createResource(() => got(api.GET("/v1/users/{id}/sessions", path)));
  const [tokens, { refetch: tokensAgain }] = createResource(() => got(api.GET("/v1/users/{id}/tokens", path)));
  const devices = () => sessions.latest?.items ?? [];
  const again = async () => {
    editor.rebase(await load(id));
    await Promise.all([sessionsAgain(), tokensAgain()]);
  };
  const name = () => user().username;
  const self = isMe(user());
  const yourself = () => (self ? ["This is you: your own session ends too."] : []);
  const open = () =>
    `${count(devices().length, "open session")} and ${count(tokens.latest?.items.length ?? 0, "API token")}`;

  const disable = () => {
    confirm({
      title: `Disable ${name()}?`,
      effects: [
        `${name()} cannot log in any more, until somebody enables the account.`,
        `Now and for good, this ends ${open()}.`,
        ...yourself(),
      ],
      act: `Disable ${name()}`,
      said: `${name()} is disabled.`,
      perform: async () => {
        await done(api.PATCH("/v1/users/{id}", { ...path, body: { is_active: false } }));
        await again();
      },
    });
  };
  const enable = () => {
    confirm({
      title: `Enable ${name()}?`,
      effects: [`${name()} can log in again. Sessions from before stay ended.`],
      act: `Enable ${name()}`,
      said: `${name()} is enabled.`,
      harmless: true,
      perform: async () => {
        await done(api.PATCH("/v1/users/{id}", { ...path, body: { is_active: true } }));
        await again();
      },
    });
  };
  const takePassword = () => {
    confirm({
      title: `Take the password of ${name()} away?`,
      effects: [
        `Nobody can log in as ${name()} with a password any more, and no mail sets a new one.`,
        `What gives one again is the command “signet user password ${name()}” on the server.`,
        `This ends ${open()}.`,
        ...yourself(),
      ],
      act: "Take the password away",
      said: `${name()} has no usable password any more.`,
      perform: async () => {
        await done(api.DELETE("/v1/users/{id}/password", path));
        await again();
      },
    });
  };
  const sendReset = () => {
    confirm({
      title: `Send ${name()} a link for a new password?`,
      effects: [
        `A mail goes to ${user().email}. Its link sets a new password once, within 30 minutes.`,
        "Every active account with that address gets one. Until the link is used, the present password holds.",
      ],
      act: "Send the mail",
      said: `A mail is on its way to ${user().email}.`,
      harmless: true,
      perform: () => done(api.POST("/v1/password/reset", { body: { email: user().email } })),
    });
  };
  const remove = () => {
    confirm({
      title: `Delete ${name()}?`,
      effects: [
        `The account ${name()} is gone for good, with its groups and permissions. Its id is never used again.`,
        `This ends ${open()}.`,
        ...yourself(),
      ],
      act: `Delete ${name()}`,
      said: `${name()} is deleted.`,
      perform: async () => {
        await done(api.DELETE("/v1/users/{id}", path));
        editor.undo();
        navigate("/users");
      },
    });
  };
  const endAll = () => {
    confirm({
      title: `Log ${name()} out everywhere?`,
      effects: [`This ends ${open()}, at once.`, `${name()} can log in again.`, ...yourself()],
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
        await tokensAgain();
      },
    });
  };

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
      <Show
        when={mayChange()}
        fallback={
          <p class="hint">{name()} has rights beyond your own, so you can look at this account and not change it.</p>
        }
      >
        <div class="acts" role="group" aria-label={`Acts on ${name()}`}>
          <Show when={user().is_active && user().email !== "" && user().has_usable_password}>
            <button type="button" onClick={sendReset}>
              Send a password reset …
            </button>
          </Show>
          <Show when={user().has_usable_password}>
            <button type="button" onClick={takePassword}>
              Take the password away …
            </button>
          </Show>
          <Show when={!user().is_active}>
            <button type="button" onClick={enable}>
              Enable …
            </button>
          </Show>
          <Show when={!isLast}>
            <Show when={user().is_active}>
              <button type="button" onClick={disable}>
                Disable …
              </button>
            </Show>
            <button type="button" class="danger" onClick={remove}>
              Delete …
            </button>
          </Show>
        </div>
      </Show>

      <div class="columns">
        <div>
          <Show when={mayChange()} fallback={<Read user={user()} />}>
            <Edit editor={editor} isLast={isLast} />
          </Show>
        </div>
        <div>
          <Effective user={user()} draft={editor.draft()} groups={groups} />
        </div>
      </div>

      <Part
        title="Open sessions"
        aside={
          <Show when={mayChange() && devices().length > 0}>
            <button type="button" onClick={endAll}>
              Log out everywhere …
            </button>
          </Show>
        }
      >
        <Table
          label={`Open sessions of ${name()}`}
          isBusy={sessions.loading}
          head={
            <>
              <th scope="col">Device</th>
              <th scope="col">From</th>
              <th scope="col" class="w-time">
                Logged in
              </th>
              <th scope="col" class="at-1 w-time">
                Ends by
              </th>
              <th scope="col" class="end">
                <span class="unseen">Act</span>
              </th>
            </>
          }
        >
          <For
            each={devices()}
            fallback={
              <tr>
                <td colspan="2" class="none">
                  {name()} is logged in nowhere.
                </td>
              </tr>
            }
          >
            {(device) => (
              <tr>
                <th scope="row" title={device.agent}>
                  {agent(device.agent)} <Show when={device.current}>{<Badge kind="good">this one</Badge>}</Show>
                </th>
                <td>{device.address}</td>
                <td class="when">{when(device.created_at)}</td>
                <td class="when at-1">{when(device.ends_at)}</td>
                <td class="end">
                  <Show when={mayChange()}>
                    <button
                      type="button"
                      aria-label={`End the session of ${agent(device.agent)} since ${when(device.created_at)}`}
                      onClick={() => {
                        confirm({
                          title: `End this session of ${name()}?`,
                          effects: [
                            `${agent(device.agent)} at ${device.address}, logged in since ${when(device.created_at)}, is logged out at once.`,
                            ...(device.current ? ["This is the session that you are using."] : []),
                          ],
                          act: "End the session",
                          said: "The session has ended.",
                          perform: async () => {
                            const params = { path: { id, sid: device.id } };
                            await done(api.DELETE("/v1/users/{id}/sessions/{sid}", { params }));
                            await sessionsAgain();
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
      </Part>

      <Part
        title="API tokens"
        aside={
          <Show when={mayChange() && (tokens.latest?.items.length ?? 0) > 0}>
            <button type="button" onClick={endTokens}>
              End all …
            </button>
          </Show>
        }
      >
        <Table
          label={`API tokens of ${name()}`}
          isBusy={tokens.loading}
          head={
            <>
              <th scope="col">Token</th>
              <th scope="col">Permissions</th>
              <th scope="col" class="at-1 w-time">
                Made
              </th>
              <th scope="col" class="w-time">
                Ends
              </th>
              <th scope="col" class="end">
                <span class="unseen">Act</span>
              </th>
            </>
          }
        >
          <For
            each={tokens.latest?.items ?? []}
            fallback={
              <tr>
                <td colspan="2" class="none">
                  {name()} has no API tokens.
                </td>
              </tr>
            }
          >
            {(token) => (
              <tr>
                <th scope="row">{token.name}</th>
                <td>{token.permissions.join(", ") || "none"}</td>
                <td class="when at-1">{when(token.created_at)}</td>
                <td class="when">{when(token.expires_at)}</td>
                <td class="end">
                  <Show when={mayChange()}>
                    <button
                      type="button"
                      aria-label={`End the API token ${token.name}`}
                      onClick={() => {
                        confirm({
                          title: `End the API token ${token.name}?`,
                          effects: [`Machines that use this token of ${name()} are refused from now on.`],
                          act: "End the token",
                          said: "The API token has ended.",
                          perform: async () => {
                            const params = { path: { id, token_id: token.id } };
                            await done(api.DELETE("/v1/users/{id}/tokens/{token_id}", { params }));
                            await tokensAgain();
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
      </Part>
    </Page>
  );
}

function Read(props: { user: User }) {
  const facts = (): [string, string][] => [
    ["Name", props.user.username],
    ["Person", `${props.user.first_name} ${props.user.last_name}`.trim() || "not told"],
    ["Address", props.user.email || "none"],
  ];
  return (
    <Part title="Account">
      <dl>
        <For each={facts()}>
          {([name, value]) => (
            <div>
              <dt>{name}</dt>
              <dd>{value}</dd>
            </div>
          )}
        </For>
      </dl>
      <h3>Groups</h3>
      <Links names={props.user.groups} to={(name) => `/groups?search=${encodeURIComponent(name)}`} />
      <h3>Direct permissions</h3>
      <Links names={props.user.user_permissions} to={permissionPath} />
    </Part>
  );
}

function Edit(props: { editor: ReturnType<typeof createEditor<User>>; isLast: boolean }) {
  const { draft, set, form } = props.editor;
  return (
    <Part title="Account">
      <form onSubmit={form.submit}>
        <TextField
          label="Name"
          value={draft().username}
          onInput={(username) => set({ username })}
          wrong={form.wrong("username")}
          required
        />
        <div class="pair">
          <TextField
            label="Given name"
            value={draft().first_name}
            onInput={(first_name) => set({ first_name })}
            wrong={form.wrong("first_name")}
          />
          <TextField
            label="Family name"
            value={draft().last_name}
            onInput={(last_name) => set({ last_name })}
            wrong={form.wrong("last_name")}
          />
        </div>
        <TextField
          label="Address"
          type="email"
          value={draft().email}
          onInput={(email) => set({ email })}
          wrong={form.wrong("email")}
          hint={
            draft().email === ""
              ? "No address: no mail can set a password."
              : draft().email_verified
                ? "Proven: mail to it arrives."
                : "Not proven yet."
          }
        />
        <Show when={isSuperuser()}>
          <fieldset>
            <legend>Flags</legend>
            <Check
              label="Staff"
              hint="Administration is open; grants nothing by itself."
              checked={draft().is_staff}
              onChange={(is_staff) => set({ is_staff })}
            />
            <Show when={!props.isLast} fallback={<p class="hint">This is the last active superuser, and stays one.</p>}>
              <Check
                label="Superuser"
                hint="Has every permission."
                checked={draft().is_superuser}
                onChange={(is_superuser) => set({ is_superuser })}
              />
            </Show>
          </fieldset>
        </Show>
        <Picker
          legend="Groups"
          one="group"
          chosen={draft().groups}
          onChange={(groups) => set({ groups })}
          find={findGroups}
          wrong={form.wrong("groups")}
        />
        <Picker
          legend="Direct permissions"
          one="permission"
          chosen={draft().user_permissions}
          onChange={(user_permissions) => set({ user_permissions })}
          find={findPermissions}
          wrong={form.wrong("user_permissions")}
        />
        <SaveBar editor={props.editor} />
      </form>
    </Part>
  );
}

/** Every permission that holds, why it does, and what the unsaved changes would do to it. */
function Effective(props: { user: User; draft: User; groups: Group[] }) {
  const rows = createMemo(() => {
    const saved = new Map(sources(props.user, props.groups).map((source) => [source.permission, source]));
    const wanted = new Map(sources(props.draft, props.groups).map((source) => [source.permission, source]));
    const names = [...new Set([...saved.keys(), ...wanted.keys()])].sort();
    return names.flatMap((permission) => {
      const source = wanted.get(permission) ?? saved.get(permission);
      if (source === undefined) return [];
      const isNew = !saved.has(permission);
      const isLost = !wanted.has(permission);
      return [{ ...source, isNew, isLost }];
    });
  });
  const id = (name: string) => props.groups.find((group) => group.name === name)?.id ?? "";
  return (
    <Part title="Effective permissions" aside={<span class="hint">{rows().length}</span>}>
      <Show when={props.draft.is_superuser}>
        <p class="note">A superuser has every permission, those that exist and those that do not.</p>
      </Show>
      <Show when={!props.user.is_active}>
        <p class="note">The account is disabled: none of this counts until it is enabled.</p>
      </Show>
      <Table
        label="Effective permissions and where they come from"
        class="effective"
        head={
          <>
            <th scope="col">Permission</th>
            <th scope="col">Comes from</th>
          </>
        }
      >
        <For
          each={rows()}
          fallback={
            <tr>
              <td colspan="2" class="none">
                No permission is granted.
              </td>
            </tr>
          }
        >
          {(row) => (
            <tr classList={{ new: row.isNew, lost: row.isLost }}>
              <th scope="row">
                <A href={permissionPath(row.permission)}>{row.permission}</A>{" "}
                <Show when={row.isNew}>
                  <Badge kind="good">when saved</Badge>
                </Show>
                <Show when={row.isLost}>
                  <Badge kind="bad">lost when saved</Badge>
                </Show>
              </th>
              <td>
                <ul class="chips">
                  <Show when={row.direct}>
                    <li>direct</li>
                  </Show>
                  <For each={row.groups}>
                    {(group) => (
                      <li>
                        <A href={`/groups/${id(group)}`}>{group}</A>
                      </li>
                    )}
                  </For>
                </ul>
              </td>
            </tr>
          )}
        </For>
      </Table>
    </Part>
  );
}
