// Another password.

import { createResource, createSignal } from "solid-js";
import { api, got } from "../api";
import { meetAgain, mine } from "../me";
import { TextField, createSubmission, guard } from "../ui/form";
import { createLater } from "../ui/later";
import { Problem, say } from "../ui/notice";
import { Part } from "../ui/page";

const SCORES = [
  "can be guessed at once",
  "can be guessed fast",
  "can be guessed",
  "is hard to guess",
  "is very hard to guess",
];

export function Password(props: { changed: () => void }) {
  const [old, setOld] = createSignal("");
  const [next, setNext] = createSignal("");
  const [asked, setAsked] = createSignal("");
  guard(() => next() !== "");
  // Asked while it is typed; that it may not be asked so often is no reason to say anything.
  const [verdict] = createResource(
    () => asked() || undefined,
    (password) => got(api.POST("/v1/password/check", { body: { password } })).catch(() => null),
    { initialValue: null },
  );
  const later = createLater(400);
  const said = () => {
    const found = verdict.latest;
    if (next() === "" || found === null) return "At least 8 characters; a short sentence is good.";
    if (!found.acceptable) return found.faults.map(({ message }) => message).join("; ");
    return `Acceptable; it ${SCORES[found.score] ?? ""}.`;
  };
  const form = createSubmission(async () => {
    const [old_password, new_password] = [old(), next()];
    await got(api.POST("/v1/password", { body: { old_password, new_password } }));
    // What was typed since stays.
    setOld((old) => (old === old_password ? "" : old));
    setNext((next) => (next === new_password ? "" : next));
    await meetAgain();
    props.changed();
    say("Your password is changed, and all of your other sessions have ended.");
  });
  return (
    <Part title="Password">
      <form onSubmit={form.submit}>
        <div class="unseen">
          <input
            type="text"
            autocomplete="username"
            value={mine().user.username}
            tabindex="-1"
            aria-hidden="true"
            readonly
          />
        </div>
        <TextField
          label="Present password"
          type="password"
          autocomplete="current-password"
          value={old()}
          onInput={setOld}
          wrong={form.wrong("old_password")}
          required
        />
        <div class="verdict">
          {" "}
          <TextField
            label="New password"
            type="password"
            autocomplete="new-password"
            value={next()}
            onInput={(password) => {
              setNext(password);
              later(() => setAsked(password));
            }}
            wrong={form.wrong("new_password")}
            hint={said()}
            required
          />
        </div>
        <Problem of={form.refused()} />
        <div class="buttons">
          <span class="hint">Your other sessions and API tokens end.</span>
          <button type="submit" class="primary" disabled={form.isBusy()}>
            Change the password
          </button>
        </div>
      </form>
    </Part>
  );
}
