// What can be edited of a user; or read, by whoever may not.

import { A } from "@solidjs/router";
import { For, Show } from "solid-js";
import type { User } from "../api";
import { SaveBar, type Editor } from "../editor";
import { isMe, isSuperuser } from "../me";
import { TextField } from "../ui/form";
import { Links, Part, permissionPath } from "../ui/page";
import { PersonFields, PowerFields, RightsFields } from "./user-fields";

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
        <PersonFields draft={draft()} set={set} wrong={form.wrong} />
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
              <PowerFields draft={draft()} set={set} />
            </Show>
          </fieldset>
        </Show>
        <RightsFields draft={draft()} set={set} wrong={form.wrong} />
        <SaveBar editor={props.editor} />
      </form>
    </Part>
  );
}
