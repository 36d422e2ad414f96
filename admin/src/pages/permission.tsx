// One permission: what it allows, which groups grant it, and who has it by what.

import { A, useNavigate, useParams, useSearchParams } from "@solidjs/router";
import { For, Show, createResource } from "solid-js";
import { allGroups, api, defined, done, got, tagged, type Group, type Permission, type Tagged } from "../api";
import { SaveBar, createEditor, type Field } from "../editor";
import { isSuperuser, meet } from "../me";
import { confirm } from "../ui/dialog";
import { TextField } from "../ui/form";
import { Badge, Page, Pager, Part, Table } from "../ui/page";

const FIELDS: readonly Field<Permission>[] = [{ key: "description", label: "What it allows" }];

const load = (name: string): Promise<Tagged<Permission>> =>
  tagged(api.GET("/v1/permissions/{name}", { params: { path: { name } } }));

type Data = { first: Tagged<Permission>; groups: Group[] };

export function PermissionPage() {
  const params = useParams<{ app: string; codename: string }>();
  const [data] = createResource(
    () => `${params.app}.${params.codename}`,
    async (name): Promise<Data> => {
      const [first, groups] = await Promise.all([load(name), allGroups()]);
      return { first, groups: groups.filter(({ permissions }) => permissions.includes(name)) };
    },
  );
  return (
    <Show when={data()} keyed>
      {(data) => <OnePermission {...data} />}
    </Show>
  );
}

function OnePermission(props: Data) {
  const { first, groups } = props;
  const { name } = first.record;
  const navigate = useNavigate();
  const [query] = useSearchParams<{ cursor?: string }>();
  const editor = createEditor<Permission>({
    first,
    fields: FIELDS,
    load: () => load(name),
    save: (change, tag) =>
      tagged(
        api.PATCH("/v1/permissions/{name}", {
          params: { path: { name }, header: { "If-Match": tag } },
          body: { description: change.description ?? "" },
        }),
      ),
    said: "The permission is saved.",
  });
  const { draft, set, form } = editor;
  const [holders] = createResource(
    () => ({ cursor: query.cursor }),
    ({ cursor }) => got(api.GET("/v1/users", { params: { query: defined({ permission: name, cursor, limit: 50 }) } })),
  );
  const list = () => holders.latest?.items ?? [];
  return (
    <Page title={name}>
      <editor.Merge />
      <Show when={isSuperuser()}>
        <div class="acts" role="group" aria-label={`Acts on ${name}`}>
          <button
            type="button"
            class="danger"
            onClick={() => {
              const count = groups.length;
              confirm({
                title: `Delete the permission ${name}?`,
                effects: [
                  "It is taken out of the catalogue, and from every user and group that has it.",
                  count === 0
                    ? "No group grants it."
                    : `Groups that grant it: ${groups.map((group) => group.name).join(", ")}.`,
                ],
                act: "Delete the permission",
                said: `${name} is deleted.`,
                perform: async () => {
                  await done(api.DELETE("/v1/permissions/{name}", { params: { path: { name } } }));
                  editor.undo();
                  await meet();
                  navigate("/permissions");
                },
              });
            }}
          >
            Delete …
          </button>
        </div>
      </Show>
      <div class="columns">
        <div>
          <Part title="What it allows">
            <Show when={isSuperuser()} fallback={<p>{draft().description || "Nobody has said so."}</p>}>
              <form onSubmit={form.submit}>
                <TextField
                  label="Description"
                  value={draft().description}
                  onInput={(description) => set({ description })}
                  wrong={form.wrong("description")}
                  maxlength={255}
                />
                <SaveBar editor={editor} />
              </form>
            </Show>
          </Part>
          <Part title="Groups that grant it">
            <ul class="chips">
              <For each={groups} fallback={<li class="none">none</li>}>
                {(group) => (
                  <li>
                    <A href={`/groups/${group.id}`}>{group.name}</A>
                  </li>
                )}
              </For>
            </ul>
          </Part>
        </div>
        <Part title="Who has it">
          <Pager next={holders.latest?.next} shown={list().length} one="holder" />
          <Table
            label={`Active users who have ${name}`}
            isBusy={holders.loading}
            head={
              <>
                <th scope="col">Name</th>
                <th scope="col">By</th>
              </>
            }
          >
            <For
              each={list()}
              fallback={
                <tr>
                  <td colspan="2" class="none">
                    No active user has it.
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
                    <ul class="chips">
                      <Show when={user.user_permissions.includes(name)}>
                        <li>direct</li>
                      </Show>
                      <For each={groups.filter((group) => user.groups.includes(group.name))}>
                        {(group) => (
                          <li>
                            <A href={`/groups/${group.id}`}>{group.name}</A>
                          </li>
                        )}
                      </For>
                      <Show when={user.is_superuser}>
                        <li class="bare">
                          <Badge kind="high">superuser</Badge>
                        </li>
                      </Show>
                    </ul>
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
