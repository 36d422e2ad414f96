"""A world of Django's: `world.py FOLDER KIND USERS SEED` makes it, its dumps, and Django's own decisions about it.

KIND is `plain` (auth.User, times with zone), `custom` (accounts.User with UUIDs, times without zone), `default` (hashes
of Django's own parameters) or `odd` (what Signet cannot carry). In the folder are afterwards `dumps/*.json` and `*.jsonl`, and `oracle.json`.
"""

import base64
import json
import random
import string
import sys
import unicodedata
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import settings

ZONE = ZoneInfo("Europe/Berlin")
SALT = "saltSALT01234567890123"
# Letters that nobody sees: Django takes them for letters, and Signet reports the name.
INVISIBLE = "\u115f\u1160"
# All that a name may hold after NFKC, by Django's own rule.
LETTERS = [
    char
    for char in map(chr, range(0xA0, 0x20000))
    if char.isalnum() and unicodedata.normalize("NFKC", char) == char and not unicodedata.combining(char)
    if char not in INVISIBLE
]
NO_NAMES = [
    "library.fly", "nolibrary.add_book", "library.add_Book", "Library.add_book", "LIBRARY.ADD_BOOK", "library", "add_book",
    "", ".", "..", "library.", ".add_book", "library.add_book ", " library.add_book", "library.add_book.x", "library.*",
    "*", "*.*", "library.add_", "library.add_boo", "library..add_book", "stock_2.add_shelf", "stock.add_shelf",
    "bücher.add_book", "library.add_bo\u00f6k", "library.add_book\n", "auth.add_user,auth.view_user", "polls." + "a" * 101,
]  # fmt: skip
NO_LABELS = ["", "nothing", "librar", "libraryx", "Library", "stock", "stock_2", "library.", ".", "*", "bücher"]


def key(name):
    """What two names share that Signet takes for the same."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def passwords(chance, number):
    """A password, and three that are not it: another one, one of other case, one with a space behind."""
    words = chance.choice(
        [
            lambda: f"pass word-{number}",
            lambda: "".join(chance.choices(string.ascii_letters + string.digits + string.punctuation, k=12)) + "aB",
            lambda: f"  Leading and trailing {number}  ",
            lambda: f"Größe-ñandú-{number}",
            lambda: f"пароль ΑΒΓ {number} 密码 🔑",
            lambda: f"a{number}",
            lambda: "Long" * 15 + str(number),
            lambda: f"\tTab\\\"quote'{number}\x07",
        ]
    )()
    return words, [words + "x", words.swapcase(), words + " "]


def username(chance, number):
    """A name of one of the shapes that Django allows, normalised as create_user does."""
    shape = chance.randrange(10)
    if shape < 3:
        name = f"user{number}"
    elif shape == 3:
        name = f"{chance.choice(['Ann', 'BOB', 'cY'])}.{number}@Example.COM"
    elif shape == 4:
        name = "".join(chance.choices("@.+-_", k=chance.randint(1, 6))) + f"{number}"
    elif shape == 5:
        # Of full width, as an input method may give it.
        name = "".join(chr(ord(char) + 0xFEE0) for char in f"Wide{number}")
    elif shape == 6:
        name = f"{number}"
    elif shape == 7:
        name = "".join(chance.choices(LETTERS, k=chance.randint(1, 30)))
    elif shape == 8:
        name = chance.choice(["ἀλφάβητος", "Ивáнов", "محمد", "田中", "ß", "Åse", "ĳ", "Ω", "ﬁsh", "①"]) + str(number)
    else:
        name = ("n" * 150 + str(number))[-150:]
    return unicodedata.normalize("NFKC", name)


def instant(chance):
    return datetime(2015, 1, 1, tzinfo=UTC) + timedelta(seconds=chance.randrange(11 * 365 * 86400), microseconds=chance.randrange(10**6))


def by_hand():
    """Password fields as they stand in old tables: kind, field, password."""
    return [
        ("old salt", "pbkdf2_sha256$1000$saltSALT0123$" + digest("sha256", "Saltpass 1", "saltSALT0123"), "Saltpass 1"),
        ("old salt", "pbkdf2_sha1$1000$saltSALT0123$" + digest("sha1", "Saltpass 2", "saltSALT0123"), "Saltpass 2"),
        ("argon2i", "argon2$argon2i$m=64,t=1,p=1$c2FsdFNBTFQwMTIzNDU2Nzg5MDEyMw$9KVt2l8NQVcNT0uY/4itrQ", "pass word-é"),
        ("argon2i", "argon2$argon2i$v=19$m=64,t=1,p=1$c2FsdFNBTFQwMTIzNDU2Nzg5MDEyMw$6tU9US3tCp9B9GC007WhVg", "pass word-é"),
        ("argon2d", "argon2$argon2d$v=19$m=64,t=1,p=1$c2FsdFNBTFQwMTIzNDU2Nzg5MDEyMw$+uM+WKIMf4Aimd/vmbmpjg", "pass word-é"),
        ("unusable", "!", "x"),
        ("unusable", "!" + "R" * 40, "R" * 40),
        ("unusable", "!pbkdf2_sha256$1000$saltSALT0123$" + digest("sha256", "Saltpass 1", "saltSALT0123"), "Saltpass 1"),
        ("empty", "", "empty"),
        ("empty password", None, ""),
        ("malformed", "pbkdf2_sha256$1$s", "x"),
        ("malformed", "pbkdf2_sha256$x$salt$AAAA", "x"),
        ("malformed", "pbkdf2_sha256$-1$salt$AAAA", "x"),
        ("malformed", "pbkdf2_sha256$$$", ""),
        ("malformed", "argon2$bad", "x"),
        ("malformed", "argon2$argon2id$v=19$m=0,t=0,p=0$$", "x"),
        ("malformed", "bcrypt$$2b$04$short", "x"),
        ("malformed", "scrypt$15$salt$8$1$AAAA", "x"),
        ("malformed", "md5$only", "x"),
        ("malformed", "plain text", "plain text"),
        ("malformed", "$", "$"),
        ("crypt", "crypt$$ab1IBkd7s5qpg", "x"),
        ("dropped", "sha1$saltSALT0123$" + plain("sha1", "saltSALT0123", "Sha pass"), "Sha pass"),
        ("dropped", "sha1$$" + plain("sha1", "", "Sha pass"), "Sha pass"),
        ("dropped", plain("md5", "", "Md pass"), "Md pass"),
        ("dropped", "md5$$" + plain("md5", "", "Md pass"), "Md pass"),
    ]


def digest(name, password, salt):
    import hashlib

    return base64.b64encode(hashlib.pbkdf2_hmac(name, password.encode(), salt.encode(), 1000)).decode()


def plain(name, salt, password):
    import hashlib

    return hashlib.new(name, (salt + password).encode()).hexdigest()


class World:
    def __init__(self, folder, kind, users, seed):
        self.folder, self.kind, self.chance = folder, kind, random.Random(f"{seed} {kind}")
        self.custom = kind == "custom"
        settings.configure(folder, custom=self.custom, time_zone=str(ZONE) if self.custom else None)
        from django.contrib.auth import get_user_model
        from django.contrib.auth.models import Group, Permission

        self.User, self.Group, self.Permission = get_user_model(), Group, Permission
        self.facts = []
        self.seen = set()
        self.more_permissions()
        self.permissions = list(Permission.objects.select_related("content_type").order_by("pk"))
        # Long names take much room in a cookie; only groups and the hoarder have them.
        self.short = [p for p in self.permissions if "of_department" not in p.codename and len(p.codename) < 60]
        {"odd": self.oddities}.get(kind, lambda: self.people(users))()
        self.store()

    def more_permissions(self):
        """Permissions that no model declares."""
        from django.contrib.contenttypes.models import ContentType

        book = ContentType.objects.get(app_label="library", model="book")
        gone = ContentType.objects.create(app_label="retired", model="thing")
        for at, (content, code) in enumerate([(book, "audit_all"), (gone, "view_thing"), (gone, "Retire")]):
            self.Permission.objects.create(content_type=content, codename=code, name=f"By hand {at}")

    def groups(self):
        shapes = ["editors", "Editors", "Größe", "a b  c", 'quo"te', "back\\slash", "semi;colon=1", "日本", "🦀", "x" * 150]
        names = shapes + [f"group {number}" for number in range(20)]
        groups = self.Group.objects.bulk_create(self.Group(name=name) for name in names)
        for at, group in enumerate(groups):
            # One grants nothing, one everything.
            some = self.chance.sample(self.permissions, self.chance.randint(1, 25))
            group.permissions.set([[], self.permissions][at] if at < 2 else some)
        return groups

    def person(self, name, field, fact, **more):
        """A user, not stored yet, and what the comparer has to know."""
        chance, number = self.chance, len(self.facts)
        if key(name) in self.seen:
            name = f"twin{number}"
        self.seen.add(key(name))
        joined = instant(chance)
        last = instant(chance) if chance.random() < 0.7 else None
        if self.custom:
            joined, last = [time and time.astimezone(ZONE).replace(tzinfo=None) for time in (joined, last)]
            more.setdefault("nickname", f"nick {number}")
        values = {
            "email": chance.choice(["", "shared@example.com", f"user{number}@example.com", f"Odd.Case{number}@EXAMPLE.Com"]),
            "first_name": chance.choice(["", "Zoë", "Anna Maria", "O'Neil", "李"]),
            "last_name": chance.choice(["", "van der Berg", "x" * 150, "Müller-Lüdenscheidt"]),
            "is_active": number % 8 != 3,
            "is_staff": bool(number >> 3 & 1),
            "is_superuser": number % 9 == 0,
            "date_joined": joined,
            "last_login": last,
        } | more
        self.facts.append(fact | {"number": number})
        return self.User(username=name, password=field, **values)

    def people(self, count):
        groups = self.groups()
        users, rights = [], []
        hashers = [hasher() for hasher in settings.CHEAP]
        for number in range(count):
            right, wrong = passwords(self.chance, number)
            hasher = hashers[number % len(hashers)]
            field = hasher.encode(right, hasher.salt())
            users.append(self.person(username(self.chance, number), field, {"kind": "random", "right": right, "wrong": wrong}))
            direct = self.chance.sample(self.short, self.chance.choice([0, 0, 1, 2, 5, 12]))
            rights.append((direct, self.chance.sample(groups, self.chance.choice([0, 0, 1, 2, 4]))))
        named = []
        if self.kind == "default":
            for hasher in settings.DEFAULT:
                right = f"Default work of {hasher.algorithm}"
                named.append(("default work", hasher().encode(right, hasher().salt()), right))
        else:
            self.rarities(hashers, named)
        for at, (kind, field, right, *wrong) in enumerate(named):
            fact = {"kind": kind, "right": right, "wrong": [*wrong, right + "x", right.swapcase() + "y", right + " "]}
            users.append(self.person(f"named{at}", field, fact, is_active=True))
            rights.append((self.chance.sample(self.short, 3), self.chance.sample(groups, 2)))
        # More direct permissions than a cookie has room for.
        right = "Too many permissions"
        users.append(self.person("hoarder", hashers[0].encode(right, SALT), {"kind": "hoarder", "right": right, "wrong": ["x"]}, is_active=True))
        rights.append((self.permissions, groups[:1]))
        self.make(users, rights)

    def rarities(self, hashers, named):
        """Password fields that are rare: kind, field, password, and another one to try."""
        from django.contrib.auth.hashers import make_password

        for kind, field, right in by_hand():
            named.append((kind, make_password(right) if field is None else field, right))
        accent = {form: unicodedata.normalize(form, "Ångström é") for form in ("NFC", "NFD")}
        for number, hasher in enumerate(hashers):
            form, other = [("NFC", "NFD"), ("NFD", "NFC")][number % 2]
            named.append((f"password in {form}", hasher.encode(accent[form], hasher.salt()), accent[form], accent[other]))
        longest = "72 bytes and more " * 5
        named.append(("bcrypt, cut", hashers[4].encode(longest[:72], hashers[4].salt()), longest[:72], longest))
        named.append(("bcrypt over sha256, long", hashers[3].encode(longest, hashers[3].salt()), longest))
        named.append(("long", hashers[0].encode("q" * 1024, SALT), "q" * 1024))
        named.append(("overlong", hashers[0].encode("q" * 1025, SALT), "q" * 1025))
        named.append(("null byte", hashers[0].encode("a\0b and more", SALT), "a\0b and more", "a"))

    def oddities(self):
        """One of each kind that Signet cannot carry; `lost` is what its report has to say."""
        hasher = settings.PBKDF2()
        book = self.Permission.objects.get(codename="add_book").content_type
        bad = [
            self.Permission.objects.create(content_type=book, codename=code, name=code)
            for code in ("lend out", "lend.out", "verleihe_bücher", "")
        ]
        comma = self.Group.objects.create(name="Sales, EMEA")
        comma.permissions.set(self.permissions[:3])
        mixed = self.Group.objects.create(name="mixed")
        mixed.permissions.set([bad[0], self.permissions[0]])
        people = [
            ("fine", {}, None, [], [mixed]),
            ("with space", {}, "username", [], []),
            ("o'neil", {}, "username", [], []),
            (f"bob{INVISIBLE}", {}, "username", [], []),
            ("Bob", {}, None, [], []),
            ("bob", {}, "username", [], []),
            ("ＢＯＢ", {}, "username", [], []),
            ("n" * 151, {}, "username", [], []),
            ("", {}, "username", [], []),
            ("mail", {"email": "not an address"}, "email", [], []),
            ("mail2", {"email": "a@b\r\nBcc: c@d"}, "email", [], []),
            ("control", {"first_name": "line\nbreak"}, "first_name", [], []),
            ("direct", {}, "permissions", [bad[1], self.permissions[1]], []),
            ("seller", {}, "groups", [], [comma]),
        ]
        users, rights = [], []
        for name, more, lost, direct, groups in people:
            fact = {"kind": "odd", "right": "Odd password", "wrong": ["x"], "lost": lost}
            self.facts.append(fact)
            values = {"is_active": True, "email": ""} | more
            users.append(self.User(username=name, password=hasher.encode("Odd password", SALT), **values))
            rights.append((direct, groups))
        self.make(users, rights)

    def make(self, users, rights):
        self.User.objects.bulk_create(users)
        stored = {user.username: user for user in self.User.objects.all()}
        self.users = [stored[user.username] for user in users]
        label = self.User._meta.model_name
        for relation, column, which in (("user_permissions", "permission_id", 0), ("groups", "group_id", 1)):
            through = getattr(self.User, relation).through
            through.objects.bulk_create(
                through(**{f"{label}_id": user.pk, column: thing.pk}) for user, pair in zip(self.users, rights) for thing in pair[which]
            )

    def store(self):
        from django.core.management import call_command

        labels = ["contenttypes", "auth", "sessions", "library"] + (["accounts"] if self.custom else [])
        dumps = self.folder / "dumps"
        dumps.mkdir()
        for shape in ("numbers", "foreign", "primary", "natural"):
            # Natural keys cost Django a query each: of the large world each shape is written once.
            for form in [{"natural": "jsonl"}.get(shape, "json")] if self.kind == "plain" else ["json", "jsonl"]:
                call_command(
                    "dumpdata",
                    *labels,
                    output=str(dumps / f"{shape}.{form}"),
                    format=form,
                    use_natural_foreign_keys=shape in ("foreign", "natural"),
                    use_natural_primary_keys=shape in ("primary", "natural"),
                    verbosity=0,
                )
        call_command("dumpdata", "auth", output=str(dumps / "without-types.json"), verbosity=0)
        (self.folder / "oracle.json").write_text(json.dumps(self.oracle()))

    def oracle(self):
        names = sorted({f"{p.content_type.app_label}.{p.codename}" for p in self.permissions})
        labels = sorted({name.split(".")[0] for name in names})
        found = [self.decide(user, fact, names + NO_NAMES, labels + NO_LABELS) for user, fact in zip(self.users, self.facts)]
        return {
            "names": names + NO_NAMES,
            "existing": names,
            "labels": labels + NO_LABELS,
            "users": found,
            "groups": {
                group.name: sorted({f"{p.content_type.app_label}.{p.codename}" for p in group.permissions.select_related("content_type")})
                for group in self.Group.objects.all()
            },
        }

    def decide(self, user, fact, names, labels):
        """Django's decisions about a user. The wrong passwords first: the right one may change the stored hash."""
        from django.contrib.auth import authenticate

        def may(password):
            try:
                return authenticate(username=user.username, password=password) is not None
            except Exception:
                # Nobody is logged in by a server error.
                return False

        field = user.password
        attempts = [[password, may(password)] for password in [*fact["wrong"], fact["right"]]]
        user = self.User.objects.get(pk=user.pk)
        zone = ZONE if self.custom else UTC

        def time(value):
            # A dump has milliseconds.
            return value and (value.replace(tzinfo=zone) if value.tzinfo is None else value).astimezone(UTC).isoformat(timespec="milliseconds")

        return {
            "kind": fact["kind"],
            "lost": fact.get("lost"),
            "pk": str(user.pk),
            "username": user.username,
            "password": field,
            "attempts": attempts,
            "email": self.User.objects.normalize_email(user.email),
            **{name: getattr(user, name) for name in ("first_name", "last_name", "is_active", "is_staff", "is_superuser")},
            "last_login": time(user.last_login),
            "date_joined": time(user.date_joined),
            "groups": sorted(user.groups.values_list("name", flat=True)),
            "direct": sorted(f"{p.content_type.app_label}.{p.codename}" for p in user.user_permissions.select_related("content_type")),
            "has_perm": [user.has_perm(name) for name in names],
            "has_module_perms": [user.has_module_perms(label) for label in labels],
            "get_all_permissions": sorted(user.get_all_permissions()),
        }


if __name__ == "__main__":
    where, kind, users, seed = sys.argv[1:]
    World(Path(where), kind, int(users), seed)
