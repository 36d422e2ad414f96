// Making a user, with everything at once.

import { useNavigate } from "@solidjs/router";
import { Show, createSignal } from "solid-js";
import { api, defined, got } from "../api";
import { isSuperuser } from "../me";
import { Check, Foot, TextField, createSubmission, guard } from "../ui/form";
import { say } from "../ui/notice";
import { Page, Part } from "../ui/page";
import { PersonFields, PowerFields, RightsFields } from "./user-fields";

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
          <PersonFields draft={draft()} set={set} wrong={form.wrong} />
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
              <PowerFields draft={draft()} set={set} />
            </Show>
          </fieldset>
          <RightsFields draft={draft()} set={set} wrong={form.wrong} />
          <Foot of={form} act="Make the user" />
        </form>
      </Part>
    </Page>
  );
}
