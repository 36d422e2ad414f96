// What is done to a user at once, beside the form. Each says before what it does to whom.

import { useNavigate } from "@solidjs/router";
import { Show } from "solid-js";
import { api, done, type User } from "../api";
import { isMe, part } from "../me";
import { confirm } from "../ui/dialog";

export function UserActs(props: {
  user: User;
  /** Nobody else could administer everything. */
  isLast: boolean;
  /** What of the user is open and ends, in words. */
  open: string;
  again: () => Promise<void>;
  /** Before the page is left for good: what was typed goes with it. */
  drop: () => void;
}) {
  const navigate = useNavigate();
  const name = () => props.user.username;
  const path = () => ({ params: { path: { id: props.user.id } } });
  const farewell = (until: string) =>
    isMe(props.user) ? [`This is your own account: you are logged out, and cannot log in again${until}.`] : [];

  /** What ends the own account leads to the log-in page, as nothing else is open any more. */
  const after = async (next: () => Promise<void> | void) => {
    if (!isMe(props.user)) return next();
    props.drop();
    part();
    navigate("/");
  };

  const disable = () => {
    confirm({
      title: `Disable ${name()}?`,
      effects: [
        `${name()} cannot log in any more, until somebody enables the account.`,
        `Now and for good, this ends ${props.open}.`,
        ...farewell(" until somebody else enables it"),
      ],
      act: `Disable ${name()}`,
      said: `${name()} is disabled.`,
      perform: async () => {
        await done(api.PATCH("/v1/users/{id}", { ...path(), body: { is_active: false } }));
        await after(props.again);
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
        await done(api.PATCH("/v1/users/{id}", { ...path(), body: { is_active: true } }));
        await props.again();
      },
    });
  };
  const takePassword = () => {
    confirm({
      title: `Take the password of ${name()} away?`,
      effects: [
        `Nobody can log in as ${name()} with a password any more, and no mail sets a new one.`,
        `What gives one again is the command “signet user password ${name()}” on the server.`,
        `This ends ${props.open}.`,
        ...farewell(" until that command was run"),
      ],
      act: "Take the password away",
      said: `${name()} has no usable password any more.`,
      perform: async () => {
        await done(api.DELETE("/v1/users/{id}/password", path()));
        await after(props.again);
      },
    });
  };
  const sendReset = () => {
    const { email } = props.user;
    confirm({
      title: `Send ${name()} a link for a new password?`,
      effects: [
        `A mail goes to ${email}, unless too many went there of late. Its link sets a new password once, within 30 minutes.`,
        "Every active account with that address gets one. Until the link is used, the present password holds.",
      ],
      act: "Send the mail",
      said: `If not too many went to ${email} of late, a mail is on its way.`,
      harmless: true,
      perform: () => done(api.POST("/v1/password/reset", { body: { email } })),
    });
  };
  const remove = () => {
    confirm({
      title: `Delete ${name()}?`,
      effects: [
        `The account ${name()} is gone for good, with its groups and permissions. Its id is never used again.`,
        `This ends ${props.open}.`,
        ...farewell(""),
      ],
      act: `Delete ${name()}`,
      said: `${name()} is deleted.`,
      perform: async () => {
        await done(api.DELETE("/v1/users/{id}", path()));
        await after(() => {
          props.drop();
          navigate("/users");
        });
      },
    });
  };

  return (
    <div class="acts" role="group" aria-label={`Acts on ${name()}`}>
      <Show when={props.user.is_active && props.user.email !== "" && props.user.has_usable_password}>
        <button type="button" onClick={sendReset}>
          Send a password reset …
        </button>
      </Show>
      <Show when={props.user.has_usable_password}>
        <button type="button" onClick={takePassword}>
          Take the password away …
        </button>
      </Show>
      <Show when={!props.user.is_active}>
        <button type="button" onClick={enable}>
          Enable …
        </button>
      </Show>
      <Show when={!props.isLast}>
        <Show when={props.user.is_active}>
          <button type="button" onClick={disable}>
            Disable …
          </button>
        </Show>
        <button type="button" class="danger" onClick={remove}>
          Delete …
        </button>
      </Show>
    </div>
  );
}
