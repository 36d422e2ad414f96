// Starts what the tests need, and ends it again: a Signet of its own folder and port, and a browser. Each is ended by
// the handle that started it, in the teardown that `after` registers.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

export const ROOT = fileURLToPath(new URL("../..", import.meta.url));
export const PASSWORD = "correct horse battery";

const BINARY = process.env.SIGNET_BINARY ?? join(ROOT, "target/release/signet");

/** A running Signet with an empty store and the superuser `admin`; gives its base URL and the folder of its mails. */
export async function startSignet(after, ...flags) {
  const folder = await mkdtemp(join(tmpdir(), "signet-admin-"));
  after(() => rm(folder, { recursive: true, force: true }));
  const password = join(folder, "password");
  await writeFile(password, PASSWORD, { mode: 0o600 });
  const place = ["--listen", "localhost:0", "--data", join(folder, "data"), "--keys", join(folder, "keys")];
  const mails = join(folder, "mail");
  // Variables of the one who runs the tests shall not change what is tested.
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("SIGNET_")));
  const server = spawn(BINARY, [...place, "--mail", `folder:${mails}`, "--admin-password-file", password, ...flags], {
    env,
    cwd: folder,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const ended = once(server, "exit");
  after(async () => {
    server.kill("SIGTERM");
    const stuck = setTimeout(() => server.kill("SIGKILL"), 15_000);
    await ended;
    clearTimeout(stuck);
  });
  let log = "";
  server.stderr.on("data", (text) => (log += text));
  for await (const line of createInterface({ input: server.stdout })) {
    const base = line.match(/^listening on (\S+)$/)?.[1];
    if (base) {
      server.stdout.resume();
      const letters = async () => {
        const names = await readdir(mails).catch(() => []);
        // A letter that is being written has another name.
        const whole = names.filter((name) => name.endsWith(".eml"));
        return Promise.all(whole.map((name) => readFile(join(mails, name), "utf8")));
      };
      return { base, letters };
    }
  }
  throw new Error(`signet did not start:\n${log}`);
}

/** Debian's Chromium, without a head and without calls of its own to anywhere. */
export async function startBrowser(after) {
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
  after(() => browser.close());
  return browser;
}

/** Somebody who uses the API without a browser; `ask` gives the answer's JSON, and throws on what was not expected. */
export class Person {
  constructor(base) {
    this.base = base;
    this.jar = new Map();
  }

  async send(method, path, body, headers = {}) {
    const cookie = [...this.jar].map(([name, value]) => `${name}=${value}`).join("; ");
    const type = body === undefined ? {} : { "content-type": "application/json" };
    const response = await fetch(this.base + path, {
      method,
      headers: { ...type, ...headers, cookie },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    for (const line of response.headers.getSetCookie()) {
      const [, name, value] = line.match(/^([^=]+)=([^;]*)/);
      this.jar.set(name, value);
    }
    return response;
  }

  async ask(method, path, body, headers) {
    const response = await this.send(method, path, body, headers);
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return text === "" ? undefined : JSON.parse(text);
  }

  async logIn(username, password = PASSWORD) {
    await this.ask("POST", "/v1/login", { username, password });
    return this;
  }
}
