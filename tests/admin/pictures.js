// Takes the pictures of the README anew, into admin/pictures: `node tests/admin/pictures.js`.

import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { Person, ROOT, startBrowser, startSignet } from "./signet.js";
import { identity, settle } from "./world.js";

const PICTURES = join(ROOT, "admin/pictures");
const SECONDS = 80;
const ends = [];
const later = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

try {
  await mkdir(PICTURES, { recursive: true });
  const { base } = await startSignet((end) => ends.push(end), "--throttle", "off");
  const admin = await settle(base, 10_000);
  const browser = await startBrowser((end) => ends.push(end));
  const context = await browser.newContext({ viewport: { width: 1100, height: 720 }, locale: "en-GB", reducedMotion: "reduce" });
  const page = await context.newPage();
  await page.goto(`${base}/admin/`);
  await page.getByLabel("Name").fill("rita");
  await page.getByLabel("Password").fill("correct horse battery");
  await page.getByRole("button", { name: "Log in" }).click();
  await page.locator(".chart").first().waitFor();

  // A day's work, quickly.
  const until = Date.now() + SECONDS * 1_000;
  const clients = await Promise.all(Array.from({ length: 6 }, () => new Person(base).logIn("olga")));
  const work = async (client, at) => {
    for (let turn = 0; Date.now() < until; turn += 1) {
      await client.send("GET", "/v1/session");
      await later(4 + 26 * Math.abs(Math.sin(turn / 700 + at)));
    }
  };
  const visits = async () => {
    for (let turn = 0; Date.now() < until; turn += 1) {
      const person = await new Person(base).logIn("paul");
      if (turn % 3 === 0) await new Person(base).send("POST", "/v1/login", { username: "paul", password: "wrong" });
      if (turn % 2 === 0) await person.send("POST", "/v1/logout");
      await later(120 + 900 * Math.abs(Math.sin(turn / 9)));
    }
  };
  await Promise.all([...clients.map(work), visits(), visits()]);
  await page.screenshot({ path: join(PICTURES, "overview.png") });

  const { items } = await admin.ask("GET", "/v1/users?group=Moderators&permission=wiki.view_page&limit=1");
  await page.emulateMedia({ colorScheme: "dark" });
  await page.goto(`${base}/admin/users/${identity(items[0].username)}`);
  await page.locator(".effective").waitFor();
  await page.screenshot({ path: join(PICTURES, "user.png") });
} finally {
  for (const end of ends.reverse()) await end();
}
