// Reads a collection with the library that Postman and newman use, and sees that nothing of it gets lost.

const { readFileSync } = require("node:fs");
const { Collection, Url } = require("postman-collection");

const given = JSON.parse(readFileSync(process.argv[2], "utf8"));
const read = new Collection(given).toJSON();

/** Where the first has something that the second has not, or has otherwise. */
function* lost(before, after, path) {
  if (before === null || typeof before !== "object") {
    // Descriptions and versions are read as things of their own.
    const told = after?.content ?? after?.string ?? after;
    if (told !== before) yield `${path}: ${JSON.stringify(before)} became ${JSON.stringify(after)}`;
    return;
  }
  if (Array.isArray(before) && before.length > 0 && before.length !== after?.length) yield `${path}: ${before.length} became ${after?.length}`;
  if ("raw" in before && "host" in before) {
    const { raw, ...parts } = before;
    const whole = new Url(parts).toString();
    const filled = (parts.variable ?? []).reduce((text, { key, value }) => text.replace(`:${key}`, value), raw);
    if (whole !== filled) yield `${path}: ${raw} is not ${whole}`;
    yield* lost(parts, after, path);
    return;
  }
  for (const [name, value] of Object.entries(before)) yield* lost(value, after?.[name], `${path}/${name}`);
}

const faults = [...lost(given, read, "")];
console.log(faults.join("\n"));
process.exit(faults.length ? 1 : 0);
