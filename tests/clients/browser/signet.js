// Starts what the tests need, and ends it again: a Signet of its own folder and port, a browser, another site.
// Each is ended by the handle that started it, in the teardown that `after` registers.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

export const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
export const PASSWORD = "correct horse battery";

const BINARY = process.env.SIGNET_BINARY ?? join(ROOT, "target/release/signet");

/** A running Signet with an empty store and the superuser `admin`; gives its base URL. */
export async function startSignet(after, ...flags) {
  const folder = await mkdtemp(join(tmpdir(), "signet-browser-"));
  after(() => rm(folder, { recursive: true, force: true }));
  const password = join(folder, "password");
  await writeFile(password, PASSWORD, { mode: 0o600 });
  const place = ["--listen", "localhost:0", "--data", join(folder, "data"), "--keys", join(folder, "keys")];
  // Variables of the one who runs the tests shall not change what is tested.
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("SIGNET_")));
  const server = spawn(BINARY, [...place, "--admin-password-file", password, ...flags], {
    env,
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
      return base;
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

/** Another site: answers every request with this page, under the given name of this machine; gives its base URL. */
export async function startOtherSite(after, host, html) {
  const server = createServer((_, response) => response.setHeader("content-type", "text/html").end(html));
  server.listen(0, host);
  await once(server, "listening");
  after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://${host}:${server.address().port}`;
}
