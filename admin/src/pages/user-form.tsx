// What can be edited of a user; or read, by whoever may not.

import { A } from "@solidjs/router";
import { For, Show } from "solid-js";
import type { User } from "../api";
import { SaveBar, type Editor } from "../editor";
import { findGroups, findPermissions, isMe, isSuperuser } from "../me";
import { Check, TextField } from "../ui/form";
import { Links, Part, permissionPath } from "../ui/page";
import { Picker } from "../ui/picker";

export function Read(props: { user: User }) {
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

export function Edit(props: { editor: Editor<User>; isLast: boolean }) {
  const { draft, set, form, record } = props.editor;
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
        <Show
          when={!isMe(record())}
          fallback={
            <TextField label="Address" type="email" value={record().email} onInput={() => undefined} readonly />
          }
        >
          <TextField
            label="Address"
            type="email"
            value={draft().email}
            onInput={(email) => set({ email })}
            wrong={form.wrong("email")}
            hint={
              draft().email === ""
                ? "No address: no mail can set a password."
                : draft().email !== record().email
                  ? "Not proven yet."
                  : draft().email_verified
                    ? "Proven: mail to it arrives."
                    : "Not proven yet."
            }
          />
        </Show>
        <Show when={isMe(record())}>
          <p class="hint">
            Your own address takes your present password: <A href="/account">change it in your account</A>.
          </p>
        </Show>
        <Show when={isSuperuser()}>
          <fieldset>
            <legend>Flags</legend>
            <Show
              when={!props.isLast}
              fallback={
                <p class="hint">
                  This is the last active superuser who may enter administration, and stays staff and superuser.
                </p>
              }
            >
              <Check
                label="Staff"
                hint="Administration is open; grants nothing by itself."
                checked={draft().is_staff}
                onChange={(is_staff) => set({ is_staff })}
              />
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
