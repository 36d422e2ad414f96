// What a user may do, and by what.

import { A } from "@solidjs/router";
import { For, Show, createMemo } from "solid-js";
import type { Group, User } from "../api";
import { sources } from "../me";
import { Badge, Part, Table, permissionPath } from "../ui/page";

/** Every permission that holds, why it does, and what the unsaved changes would do to it. */
export function Effective(props: { user: User; draft: User; groups: Group[] }) {
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
        rows={rows()}
        none="No permission is granted."
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
      </Table>
    </Part>
  );
}
