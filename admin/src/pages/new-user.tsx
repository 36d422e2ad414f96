// Making a user, with everything at once.

import { useNavigate } from "@solidjs/router";
import { Show, createSignal } from "solid-js";
import { api, defined, got } from "../api";
import { findGroups, findPermissions, isSuperuser } from "../me";
import { Check, TextField, createSubmission, guard } from "../ui/form";
import { Problem, say } from "../ui/notice";
import { Page, Part } from "../ui/page";
import { Picker } from "../ui/picker";

const EMPTY = {
  username: "",
  password: "",
  first_name: "",
  last_name: "",
  email: "",
  is_active: true,
  is_staff: false,
  is_superuser: false,
  groups: [] as string[],
  user_permissions: [] as string[],
};

export function NewUser() {
  const [draft, setDraft] = createSignal(EMPTY);
  const set = (part: Partial<typeof EMPTY>) => setDraft((draft) => ({ ...draft, ...part }));
  const navigate = useNavigate();
  guard(() => draft() !== EMPTY);
  const form = createSubmission(async () => {
    const { is_staff, is_superuser, ...rest } = draft();
    const flags = isSuperuser() ? { is_staff, is_superuser } : {};
    const made = await got(api.POST("/v1/users", { body: defined({ ...rest, ...flags }) }));
    setDraft(() => EMPTY);
    say(`${made.username} is made.`);
    navigate(`/users/${made.id}`);
  });
  return (
    <Page title="New user">
      <Part title="Account" class="narrow">
        <form onSubmit={form.submit}>
          <TextField
            label="Name"
            value={draft().username}
            onInput={(username) => set({ username })}
            wrong={form.wrong("username")}
            hint="What a log-in takes: letters, digits and @ . + - _"
            required
          />
          <TextField
            label="Password"
            type="password"
            autocomplete="new-password"
            value={draft().password}
            onInput={(password) => set({ password })}
            wrong={form.wrong("password")}
            hint="Without one nobody can log in as the user, and no mail sets one: the command “signet user password” on the server does."
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
          />
          <fieldset>
            <legend>Flags</legend>
            <Check
              label="Active"
              hint="The user may log in."
              checked={draft().is_active}
              onChange={(is_active) => set({ is_active })}
            />
            <Show when={isSuperuser()}>
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
          <div class="save">
            <Show when={form.refused()}>{(refused) => <Problem of={refused()} />}</Show>
            <div class="buttons">
              <button type="submit" class="primary" disabled={form.isBusy()}>
                Make the user
              </button>
            </div>
          </div>
        </form>
      </Part>
    </Page>
  );
}
