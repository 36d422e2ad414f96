// The frame around every page: the way in, the ways about, and the log-in again when a session has ended.

import { A, useLocation, type RouteSectionProps } from "@solidjs/router";
import { For, Match, Show, Switch, createEffect, createResource, createSignal, on, type JSX } from "solid-js";
import { api, done, goOn, got, isExpired, refusal, underWay, type Refusal } from "./api";
import { meet, meetAgain, mine, part, somebody } from "./me";
import { Modal, Questions } from "./ui/dialog";
import { TextField, createSubmission, leaving } from "./ui/form";
import { Notices, Problem } from "./ui/notice";
import { Loaded, Page } from "./ui/page";
import { ThemeSwitch } from "./ui/theme";

const PLACES: [href: string, name: string][] = [
  ["/", "Overview"],
  ["/users", "Users"],
  ["/groups", "Groups"],
  ["/permissions", "Permissions"],
  ["/sessions", "Sessions"],
  ["/audit", "Audit log"],
];

export function Shell(props: RouteSectionProps) {
  const [failure, setFailure] = createSignal<Refusal | undefined>();
  const [asked] = createResource(async () => {
    try {
      await meet();
    } catch (error) {
      const refused = refusal(error);
      if (refused.problem.status !== 401) setFailure(refused);
    }
    return true;
  });
  return (
    <>
      <Show when={!asked.loading}>
        <Switch fallback={<LogIn />}>
          <Match when={somebody()}>
            <Frame>
              <Allowed>{props.children}</Allowed>
            </Frame>
          </Match>
          <Match when={failure()}>
            {(failure) => (
              <Alone>
                <Problem of={failure()} />
                <a href="">Try again</a>
              </Alone>
            )}
          </Match>
        </Switch>
      </Show>
      <Questions />
      <Show when={isExpired() && somebody()?.user.username}>{(username) => <LogInAgain username={username()} />}</Show>
      <Notices />
    </>
  );
}

function Alone(props: { children: JSX.Element }) {
  return (
    <main class="alone">
      <p class="brand">Signet</p>
      {props.children}
    </main>
  );
}

function LogIn() {
  const [username, setUsername] = createSignal("");
  const [password, setPassword] = createSignal("");
  const form = createSubmission(async () => {
    await got(api.POST("/v1/login", { body: { username: username(), password: password() } }));
    await meet();
  });
  createEffect(() => {
    document.title = "Log in · Signet";
  });
  return (
    <Alone>
      <h1>Log in</h1>
      <form onSubmit={form.submit}>
        <Problem of={form.refused()} />
        <TextField label="Name" value={username()} onInput={setUsername} autocomplete="username" required autofocus />
        <TextField
          label="Password"
          type="password"
          value={password()}
          onInput={setPassword}
          autocomplete="current-password"
          required
        />
        <div class="buttons">
          <button type="submit" class="primary" disabled={form.isBusy()}>
            Log in
          </button>
        </div>
      </form>
    </Alone>
  );
}

/** The session has ended meanwhile: in place, so that nothing that was typed is lost. */
function LogInAgain(props: { username: string }) {
  const [password, setPassword] = createSignal("");
  const form = createSubmission(async () => {
    await got(api.POST("/v1/login", { body: { username: props.username, password: password() } }));
    goOn();
    await meetAgain();
  });
  return (
    <Modal title="Your session has ended">
      <p>Log in again to go on where you were. Nothing that you typed is lost.</p>
      <form onSubmit={form.submit}>
        <Problem of={form.refused()} />
        <TextField label="Name" value={props.username} onInput={() => undefined} autocomplete="username" readonly />
        <TextField
          label="Password"
          type="password"
          value={password()}
          onInput={setPassword}
          autocomplete="current-password"
          required
          autofocus
        />
        <div class="buttons">
          <a class="button" href="/admin/" target="_self">
            Leave
          </a>
          <button type="submit" class="primary" disabled={form.isBusy()}>
            Log in
          </button>
        </div>
      </form>
    </Modal>
  );
}

/** Pages for staff are for staff; the own account is for everybody. */
function Allowed(props: { children: JSX.Element }) {
  const location = useLocation();
  return (
    <Show
      when={mine().user.is_staff || location.pathname.startsWith("/admin/account")}
      fallback={
        <Page title="This is for staff">
          <div class="problem">
            <p>
              You are logged in as <strong>{mine().user.username}</strong>, who is not staff: administration is not open
              to this account. Ask an administrator for the right, or log out and in with another account.
            </p>
          </div>
          <p>
            <A href="/account">Go to your own account</A>
          </p>
        </Page>
      }
    >
      <Loaded>{props.children}</Loaded>
    </Show>
  );
}

function Frame(props: { children: JSX.Element }) {
  const location = useLocation();
  const [isOpen, setOpen] = createSignal(false);
  const [refused, setRefused] = createSignal<Refusal | undefined>();
  let main!: HTMLElement;
  createEffect(
    on(
      () => location.pathname,
      () => setOpen(false),
      { defer: true },
    ),
  );
  const logOut = async () => {
    try {
      await done(api.POST("/v1/logout"));
      part();
    } catch (error) {
      setRefused(refusal(error));
    }
  };
  return (
    <div class="frame">
      <a
        class="skip"
        href="#main"
        onClick={(event) => {
          event.preventDefault();
          main.focus();
        }}
      >
        Skip to the content
      </a>
      <progress class="under-way" classList={{ on: underWay() > 0 }} aria-hidden="true" />
      <header class="rail">
        <div class="bar">
          <A href="/" class="brand" end>
            Signet
          </A>
          <button
            type="button"
            class="menu"
            aria-expanded={isOpen()}
            aria-controls="places"
            onClick={() => setOpen((open) => !open)}
          >
            Menu
          </button>
        </div>
        <div class="side" id="places" classList={{ open: isOpen() }}>
          <Show when={mine().user.is_staff}>
            <nav aria-label="Administration">
              <ul>
                <For each={PLACES}>
                  {([href, name]) => (
                    <li>
                      <A href={href} end={href === "/"}>
                        {name}
                      </A>
                    </li>
                  )}
                </For>
              </ul>
            </nav>
          </Show>
          <div class="self">
            <nav aria-label="You">
              <ul>
                <li>
                  <A href="/account">
                    <span class="who">{mine().user.username}</span>
                    <small>Your account</small>
                  </A>
                </li>
              </ul>
            </nav>
            <button
              type="button"
              class="plain"
              onClick={() => {
                leaving(() => void logOut());
              }}
            >
              Log out
            </button>
            <Problem of={refused()} />
            <ThemeSwitch />
          </div>
        </div>
      </header>
      <main id="main" tabindex="-1" ref={main}>
        {props.children}
      </main>
    </div>
  );
}
