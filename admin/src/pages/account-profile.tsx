// Who one is: names and address.

import { Show, createMemo, createSignal } from "solid-js";
import { api, done, got, type User } from "../api";
import { become, meetAgain, mine } from "../me";
import { TextField, createSubmission, guard } from "../ui/form";
import { Problem, say } from "../ui/notice";
import { Part } from "../ui/page";

type Person = Pick<User, "first_name" | "last_name" | "email">;

/** A member that was typed over: what it was then, and what it shall be. */
type Typed = { from: string; to: string };

export function Profile() {
  const saved = (): Person => mine().user;
  // Only what was typed over: what was not follows the account, whoever changes it.
  const [typed, setTyped] = createSignal<Partial<Record<keyof Person, Typed>>>({});
  const [old, setOld] = createSignal("");
  const draft = (key: keyof Person) => typed()[key]?.to ?? saved()[key];
  const set = (key: keyof Person, to: string) => {
    setTyped(({ [key]: before, ...others }) => {
      const from = before?.from ?? saved()[key];
      return from === to ? others : { ...others, [key]: { from, to } };
    });
  };
  const change = createMemo((): Partial<Person> => {
    const entries = Object.entries(typed()) as [keyof Person, Typed][];
    return Object.fromEntries(entries.filter(([key, { to }]) => to !== saved()[key]).map(([key, { to }]) => [key, to]));
  });
  const isDirty = () => Object.keys(change()).length > 0;
  const isNewAddress = () => change().email !== undefined;
  guard(isDirty);
  const form = createSubmission(async () => {
    const sent = change();
    const secret = old();
    const body = sent.email === undefined ? sent : { ...sent, old_password: secret };
    const now = await got(api.PATCH("/v1/me", { body }));
    // What was typed since is not saved, and stays.
    setTyped((typed) => {
      const left = (Object.entries(typed) as [keyof Person, Typed][]).filter(([key, { to }]) => to !== sent[key]);
      return Object.fromEntries(left.map(([key, { from, to }]) => [key, { from: sent[key] ?? from, to }]));
    });
    setOld((old) => (old === secret ? "" : old));
    become(now);
    say("Your profile is saved.");
  });
  const verify = createSubmission(async () => {
    const answer = await api.POST("/v1/email/verify");
    await done(Promise.resolve(answer));
    await meetAgain();
    const isSent = answer.response.status === 202;
    say(isSent ? `A mail is on its way to ${mine().user.email}.` : "Your address is proven already.");
  });
  return (
    <Part title="You">
      <form onSubmit={form.submit}>
        <div class="pair">
          <TextField
            label="Given name"
            autocomplete="given-name"
            value={draft("first_name")}
            onInput={(first_name) => {
              set("first_name", first_name);
            }}
            wrong={form.wrong("first_name")}
          />
          <TextField
            label="Family name"
            autocomplete="family-name"
            value={draft("last_name")}
            onInput={(last_name) => {
              set("last_name", last_name);
            }}
            wrong={form.wrong("last_name")}
          />
        </div>
        <TextField
          label="Address"
          type="email"
          autocomplete="email"
          value={draft("email")}
          onInput={(email) => {
            set("email", email);
          }}
          wrong={form.wrong("email")}
          hint={
            isNewAddress()
              ? "A link for a new password is sent to whoever has this address: changing it takes your password."
              : saved().email === ""
                ? "None: a forgotten password cannot be set anew."
                : mine().user.email_verified
                  ? "Proven: mail to it arrives."
                  : "Not proven yet."
          }
        />
        <Show when={isNewAddress()}>
          <TextField
            label="Your present password"
            type="password"
            autocomplete="current-password"
            value={old()}
            onInput={setOld}
            wrong={form.wrong("old_password")}
            required
          />
        </Show>
        <Problem of={form.refused()} />
        <Problem of={verify.refused()} />
        <div class="buttons">
          <Show when={!isNewAddress() && saved().email !== "" && !mine().user.email_verified}>
            <button type="button" disabled={verify.isBusy()} onClick={() => void verify.run()}>
              Send a mail to prove the address
            </button>
          </Show>
          <button type="submit" class="primary" disabled={!isDirty() || form.isBusy()}>
            Save
          </button>
        </div>
      </form>
    </Part>
  );
}
