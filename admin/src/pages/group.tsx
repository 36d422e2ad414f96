// One group: what it grants, and to whom.

import { A, useNavigate, useParams, useSearchParams } from "@solidjs/router";
import { For, Show, createResource, createSignal } from "solid-js";
import { allGroups, api, defined, done, got, tagged, type Group, type Tagged, type User } from "../api";
import { SaveBar, createEditor, type Field } from "../editor";
import { when } from "../format";
import { findPermissions, isMe, isSuperuser, mayChangeGroup, mayGiveGroup, mayTouch, meet } from "../me";
import { confirm } from "../ui/dialog";
import { TextField, createSubmission } from "../ui/form";
import { Problem, say } from "../ui/notice";
import { Flags, Links, Page, Pager, Part, Table, permissionPath } from "../ui/page";
import { Picker } from "../ui/picker";
import { Suggest } from "../ui/suggest";

const FIELDS: readonly Field<Group>[] = [
  { key: "name", label: "Name" },
  { key: "permissions", label: "Permissions" },
];

const load = (id: string): Promise<Tagged<Group>> => tagged(api.GET("/v1/groups/{id}", { params: { path: { id } } }));

const membersOf = (group: string, cursor: string | undefined) =>
  got(api.GET("/v1/users", { params: { query: defined({ group, cursor, limit: 50 }) } }));

/** A user's groups, changed from the state that they are in now. */
async function changeGroups(user: Pick<User, "id">, change: (groups: string[]) => string[]): Promise<User> {
  const path = { id: user.id };
  const { record, tag } = await tagged(api.GET("/v1/users/{id}", { params: { path } }));
  const params = { path, header: { "If-Match": tag } };
  const saved = await got(api.PATCH("/v1/users/{id}", { params, body: { groups: change(record.groups) } }));
  if (isMe(saved)) await meet();
  return saved;
}

type Data = { first: Tagged<Group>; groups: Group[]; mayDelete: boolean };

/** Pages of members that are looked through before it is left open whether a group may be deleted. */
const PAGES_MAX = 10;

/** Nobody takes a right from somebody who has more of them. */
async function mayDelete(group: Group, groups: Group[]): Promise<boolean> {
  if (isSuperuser()) return true;
  if (!mayChangeGroup(group)) return false;
  let cursor: string | undefined;
  for (let page = 0; page < PAGES_MAX; page += 1) {
    const { items, next } = await membersOf(group.name, cursor);
    if (!items.every((member) => mayTouch(member, groups))) return false;
    if (next === null) return true;
    cursor = next;
  }
  return false;
}

export function GroupPage() {
  const params = useParams<{ id: string }>();
  const [data] = createResource(
    () => params.id,
    async (id): Promise<Data> => {
      const [first, groups] = await Promise.all([load(id), allGroups()]);
      return { first, groups, mayDelete: await mayDelete(first.record, groups) };
    },
  );
  return (
    <Show when={data()} keyed>
      {(data) => <OneGroup {...data} />}
    </Show>
  );
}

function OneGroup(props: Data) {
  const { first, groups } = props;
  const { id } = first.record;
  const navigate = useNavigate();
  const [query] = useSearchParams<{ cursor?: string }>();
  const editor = createEditor<Group>({
    first,
    fields: FIELDS,
    load: () => load(id),
    save: async (change, tag) => {
      const params = { path: { id }, header: { "If-Match": tag } };
      const saved = await tagged(api.PATCH("/v1/groups/{id}", { params, body: change }));
      await meet();
      return saved;
    },
    said: "The group is saved.",
  });
  const { draft, set, form } = editor;
  const group = () => editor.base().record;
  const mayChange = () => mayChangeGroup(group());
  const [members, { refetch }] = createResource(
    () => ({ name: group().name, cursor: query.cursor }),
    ({ name, cursor }) => membersOf(name, cursor),
  );
  const list = () => members.latest?.items ?? [];
  const [picked, setPicked] = createSignal("");
  const adding = createSubmission(async () => {
    const { items } = await got(api.GET("/v1/users", { params: { query: { search: picked(), limit: 200 } } }));
    const user = items.find(({ username }) => username === picked());
    if (user === undefined) {
      say(`There is no user ${picked()}.`);
      return;
    }
    await changeGroups(user, (groups) => [...new Set([...groups, group().name])]);
    setPicked("");
    say(`${user.username} is in ${group().name}.`);
    await refetch();
  });

  return (
    <Page title={group().name}>
      <editor.Merge />
      <p class="facts">
        <span>Made {when(group().created_at)}</span>
        <span>
          Id <code>{id}</code>
        </span>
        <A href={`/users?group=${encodeURIComponent(group().name)}`}>Its members among the users</A>
      </p>
      <Show when={props.mayDelete}>
        <div class="acts" role="group" aria-label={`Acts on ${group().name}`}>
          <button
            type="button"
            class="danger"
            onClick={() => {
              const grants = group().permissions;
              confirm({
                title: `Delete the group ${group().name}?`,
                effects: [
                  list().length === 0
                    ? "Nobody is in it."
                    : `${list().length.toString()}${members.latest?.next ? " and more" : ""} members lose what it grants, on their next request.`,
                  grants.length === 0 ? "It grants nothing." : `It grants ${grants.join(", ")}.`,
                ],
                act: "Delete the group",
                said: `The group ${group().name} is deleted.`,
                perform: async () => {
                  await done(api.DELETE("/v1/groups/{id}", { params: { path: { id } } }));
                  editor.undo();
                  await meet();
                  navigate("/groups");
                },
              });
            }}
          >
            Delete …
          </button>
        </div>
      </Show>
      <div class="columns">
        <Part title="What it grants">
          <Show
            when={mayChange()}
            fallback={
              <>
                <p class="hint">It grants more than you have yourself, so you can look at it and not change it.</p>
                <Links names={group().permissions} to={permissionPath} none="nothing" />
              </>
            }
          >
            <form onSubmit={form.submit}>
              <Show when={isSuperuser()}>
                <TextField
                  label="Name"
                  value={draft().name}
                  onInput={(name) => set({ name })}
                  wrong={form.wrong("name")}
                  hint="Proxies and programs may go by it."
                  required
                />
              </Show>
              <Picker
                legend="Permissions"
                one="permission"
                chosen={draft().permissions}
                onChange={(permissions) => set({ permissions })}
                find={findPermissions}
                wrong={form.wrong("permissions")}
              />
              <SaveBar editor={editor} />
            </form>
          </Show>
        </Part>
        <Part title="Members">
          <Show when={mayGiveGroup(group().name)}>
            <form class="row" onSubmit={adding.submit}>
              <Suggest
                label="Add a user"
                value={picked()}
                find={async (search) => {
                  const { items } = await got(api.GET("/v1/users", { params: { query: { search, limit: 20 } } }));
                  return items.filter((user) => mayTouch(user, groups)).map(({ username }) => ({ name: username }));
                }}
                onPick={setPicked}
              />
              <button type="submit" disabled={adding.isBusy()}>
                Add
              </button>
            </form>
            <Show when={adding.refused()}>{(refused) => <Problem of={refused()} />}</Show>
          </Show>
          <Pager next={members.latest?.next} shown={list().length} one="member" />
          <Table
            label="Members"
            isBusy={members.loading}
            head={
              <>
                <th scope="col">Name</th>
                <th scope="col" class="w-flags">
                  What
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
                    Nobody is in it.
                  </td>
                </tr>
              }
            >
              {(user) => (
                <tr>
                  <th scope="row">
                    <A href={`/users/${user.id}`}>{user.username}</A>
                  </th>
                  <td>
                    <Flags of={user} />
                  </td>
                  <td class="end">
                    <Show when={mayTouch(user, groups)}>
                      <button
                        type="button"
                        aria-label={`Take out ${user.username}`}
                        onClick={() => {
                          confirm({
                            title: `Take ${user.username} out of ${group().name}?`,
                            effects: [`${user.username} loses what ${group().name} grants, on the next request.`],
                            act: "Take out",
                            said: `${user.username} is out of ${group().name}.`,
                            perform: async () => {
                              const name = group().name;
                              await changeGroups(user, (groups) => groups.filter((other) => other !== name));
                              await refetch();
                            },
                          });
                        }}
                      >
                        Take out …
                      </button>
                    </Show>
                  </td>
                </tr>
              )}
            </For>
          </Table>
        </Part>
      </div>
    </Page>
  );
}
