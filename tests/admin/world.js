// Users in groups as a company has them, the same in every run.

import { createHash } from "node:crypto";
import { PASSWORD, Person } from "./signet.js";

const APPS = {
  auth: ["user", "group", "permission"],
  news: ["article", "comment", "newsletter"],
  shop: ["order", "product", "refund", "voucher"],
  stock: ["delivery", "item", "warehouse"],
  wiki: ["attachment", "page"],
};
const VERBS = { add: "Can add", change: "Can change", delete: "Can delete", view: "Can view" };
const MODELS = Object.entries(APPS).flatMap(([app, models]) => models.map((model) => [app, model]));

export const PERMISSIONS = MODELS.flatMap(([app, model]) =>
  Object.entries(VERBS).map(([verb, can]) => ({ name: `${app}.${verb}_${model}`, description: `${can} ${model}` })),
);

const of = (app, ...verbs) =>
  PERMISSIONS.map(({ name }) => name).filter((name) => verbs.some((verb) => name.startsWith(`${app}.${verb}_`)));

export const GROUPS = {
  Accounting: [...of("shop", "view"), "shop.add_refund", "shop.change_refund"],
  Auditors: [...of("auth", "view"), ...of("shop", "view"), ...of("stock", "view")],
  Authors: ["news.add_article", "news.change_article", "news.view_article", "wiki.view_page"],
  Buyers: [...of("stock", "add", "change", "view")],
  "Chief editors": of("news", "add", "change", "delete", "view"),
  Editors: [...of("news", "add", "change", "view")],
  "Help desk": [...of("auth", "view"), "shop.view_order", "wiki.view_page"],
  "Human resources": ["auth.view_user", "wiki.add_page", "wiki.change_page", "wiki.view_page"],
  Interns: ["wiki.view_page"],
  Moderators: ["news.change_comment", "news.delete_comment", "news.view_comment"],
  "Newsletter team": of("news", "view").concat("news.add_newsletter", "news.change_newsletter"),
  "Shop managers": of("shop", "add", "change", "delete", "view"),
  "Shop staff": [...of("shop", "view"), "shop.change_order"],
  "Warehouse Bremen": of("stock", "change", "view"),
  "Warehouse Gdynia": of("stock", "change", "view"),
  "Warehouse managers": of("stock", "add", "change", "delete", "view"),
  "Wiki editors": of("wiki", "add", "change", "view"),
};

const GIVEN = [
  "Ada", "Amir", "Anna", "Ben", "Bilal", "Carla", "Chen", "Clara", "Dana", "David", "Elif", "Emil", "Eva", "Farid",
  "Femi", "Greta", "Hana", "Hugo", "Ida", "Ilya", "Jana", "Jonas", "Kofi", "Lars", "Lea", "Lin", "Maja", "Marco",
  "Mina", "Nadia", "Nils", "Noor", "Olga", "Omar", "Paula", "Priya", "Rosa", "Samir", "Sofia", "Tariq", "Vera", "Yusuf",
];
const FAMILY = [
  "Adler", "Ahmadi", "Bauer", "Berg", "Costa", "Dahl", "Diallo", "Eklund", "Fischer", "Garcia", "Haddad", "Hansen",
  "Ivanova", "Jensen", "Kaya", "Keller", "Kim", "Kowalski", "Lang", "Larsen", "Mensah", "Meyer", "Moreau", "Nowak",
  "Okafor", "Olsen", "Patel", "Petrov", "Rossi", "Sato", "Schmidt", "Silva", "Tanaka", "Vogel", "Wagner", "Weber",
  "Yilmaz", "Zhang",
];

/** 16 bytes that are the same for the same text, as identities are written. */
export const identity = (text) => createHash("sha256").update(text).digest().subarray(0, 16).toString("base64url");

const NAMES = Object.keys(GROUPS);

function user(number) {
  const draw = createHash("sha256").update(`user ${number}`).digest();
  const first = GIVEN[draw[0] % GIVEN.length];
  const last = FAMILY[draw[1] % FAMILY.length];
  const username = `${first}.${last}${number}`.toLowerCase();
  const groups = new Set([NAMES[draw[2] % NAMES.length]]);
  if (draw[3] < 90) groups.add(NAMES[draw[4] % NAMES.length]);
  const joined = new Date(Date.UTC(2019, 0, 1) + draw.readUInt32BE(8) * 52);
  return {
    id: identity(username),
    username,
    first_name: first,
    last_name: last,
    email: `${username}@example.com`,
    email_verified: draw[5] > 40,
    is_active: draw[6] > 14,
    is_staff: draw[7] < 3,
    groups: [...groups],
    user_permissions: draw[12] < 12 ? [PERMISSIONS[draw[13] % PERMISSIONS.length].name] : [],
    date_joined: joined.toISOString(),
    ...(draw[14] > 30 ? { last_login: new Date(Date.UTC(2026, 0, 1) + draw.readUInt32BE(16) * 6).toISOString() } : {}),
  };
}

/** Fills a new server with so many users, and a few more that have names; gives its superuser. */
export async function settle(base, users) {
  const admin = await new Person(base).logIn("admin");
  const records = [
    ...PERMISSIONS.map((permission) => ({ permission })),
    ...NAMES.map((name) => ({ group: { id: identity(name), name, permissions: GROUPS[name] } })),
    ...Array.from({ length: users }, (_, at) => ({ user: user(at) })),
  ];
  for (let at = 0; at < records.length; at += 500) {
    await admin.ask("POST", "/v1/import", { records: records.slice(at, at + 500), apply: true });
  }
  const people = [
    { username: "rita", first_name: "Rita", last_name: "Root", email: "rita@example.com", is_staff: true, is_superuser: true },
    { username: "hilda", first_name: "Hilda", last_name: "Helpdesk", email: "hilda@example.com", is_staff: true, groups: ["Help desk"] },
    { username: "olga", first_name: "Olga", last_name: "Ordinary", email: "olga@example.com", groups: ["Authors"], user_permissions: ["wiki.add_page"] },
    { username: "paul", first_name: "Paul", last_name: "Plain", email: "paul@example.com", groups: ["Interns"] },
    { username: "empty", email: "" },
  ];
  for (const person of people) await admin.ask("POST", "/v1/users", { ...person, password: PASSWORD });
  return admin;
}
