// What is committed in admin/dist: that it is what the source builds, and what it weighs.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { describe, test } from "node:test";
import { promisify } from "node:util";
import { gunzipSync } from "node:zlib";
import { ROOT } from "./signet.js";

const ADMIN = join(ROOT, "admin");
const DIST = join(ADMIN, "dist");
const run = promisify(execFile);
const tool = (name) => join(ADMIN, "node_modules/.bin", name);

async function files(folder) {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  const read = async (path) => [relative(folder, path), await readFile(path)];
  return new Map(await Promise.all(paths.sort().map(read)));
}

// What is in them, by their names before they were packed. What packs them may be of another version.
async function unpacked(folder) {
  const packed = [...(await files(folder))];
  return new Map(packed.map(([path, content]) => [path.replace(/\.gz$/, ""), gunzipSync(content)]));
}

async function scratch(t) {
  const folder = await mkdtemp(join(tmpdir(), "signet-admin-build-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

describe("the committed build", { concurrency: 1 }, () => {
  test("the types are those of the committed contract", async (t) => {
    const folder = await scratch(t);
    await run(tool("openapi-typescript"), [join(ROOT, "openapi/signet.json"), "--output", join(folder, "contract.d.ts")]);
    const now = await readFile(join(folder, "contract.d.ts"), "utf8");
    assert.ok(now === (await readFile(join(ADMIN, "src/contract.d.ts"), "utf8")), "run `npm run contract` in admin/");
  });

  test("the source passes the type checker at its strictest", async () => {
    await run("npm", ["run", "check"], { cwd: ADMIN });
  });

  test("the source builds it, byte by byte", async (t) => {
    const folder = await scratch(t);
    await run(tool("vite"), ["build", "--outDir", folder, "--logLevel", "error"], { cwd: ADMIN });
    const [built, committed] = [await unpacked(folder), await unpacked(DIST)];
    assert.deepEqual([...committed.keys()], [...built.keys()], "run `npm run build` in admin/");
    for (const [path, content] of committed) {
      assert.ok(content.equals(built.get(path)), `${path}: run \`npm run build\` in admin/`);
    }
  });

  test("all of it is packed, and weighs less than 100 KB", async () => {
    const committed = [...(await files(DIST))];
    for (const [path] of committed) assert.match(path, /\.gz$/);
    const weight = committed.reduce((sum, [, content]) => sum + content.length, 0);
    assert.ok(weight < 100_000, `${weight} bytes`);
  });

  test("the page holds nothing inline and names nothing elsewhere", async () => {
    const built = await unpacked(DIST);
    const page = built.get("index.html").toString();
    assert.doesNotMatch(page, /<style|\sstyle=|\son[a-z]+=|javascript:|https?:\/\//);
    for (const [, inline] of page.matchAll(/<script[^>]*>([^]*?)<\/script>/g)) assert.equal(inline.trim(), "");
    for (const [, address] of page.matchAll(/(?:src|href)="([^"]*)"/g)) assert.match(address, /^\/admin\/assets\/[^/]+$/);
    for (const [path, content] of built) {
      if (path.endsWith(".js")) assert.ok(!/<[a-z][^>]*\sstyle=|\beval\(|\bnew Function\b/.test(content.toString()), path);
    }
  });
});
