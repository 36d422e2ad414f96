"""What Django decides about its users, and what Signet decides about the same users after an import: the same.

Two worlds: Django's own user model, and a project's with UUIDs and times without zone. In each, every user logs in to
a running server, and every answer is compared with Django's.
"""

import json
import os
import subprocess
import threading
import time
import unittest
from datetime import datetime
from pathlib import Path

import answers
import signet
import worlds

HERE = Path(__file__).parent
THREADS = 8

# Where Signet means to decide otherwise: kind of the user, which password, Django's answer, Signet's, and why.
MEANT = {
    ("overlong", "right"): (True, False, "a password has at most 1024 bytes"),
    ("password in NFC", "other form"): (False, True, "a password is the same in every Unicode form"),
    ("bcrypt, cut", "longer"): (False, True, "bcrypt 4 and older cut at 72 bytes, and made hashes so; 5 fails"),
    ("bcrypt, cut", "right"): (True, False, "the longer one was right before, and the hash is of it since"),
}

def attempt_kind(user, at):
    """What the attempt at a place tries, in the words of `MEANT`."""
    if at == len(user["attempts"]) - 1:
        return "right"
    if at == 0 and len(user["attempts"]) == 5:
        return "other form" if user["kind"].startswith("password in") else "longer" if user["kind"] == "bcrypt, cut" else "other"
    return "wrong"


def by_older_django(users):
    """Hashes that 5.2 no longer reads: what the last Django decided that did."""
    dropped = [user for user in users if user["kind"] == "dropped"]
    pairs = [[user["password"], password] for user in dropped for password, _ in user["attempts"]]
    words = [os.environ["LEGACY_PYTHON"], "-W", "ignore", HERE / "legacy.py"]
    done = subprocess.run(words, input=json.dumps(pairs), capture_output=True, text=True, env=signet.CLEAN, check=True)
    decided = iter(json.loads(done.stdout))
    for user in dropped:
        assert not any(may for _, may in user["attempts"]), "5.2 reads it after all"
        user["attempts"] = [[password, next(decided)] for password, _ in user["attempts"]]
    return len(dropped)


class Compared:
    """One world, imported, served and asked. What differs is kept by subject; each test looks at one subject."""

    kind = dump = None
    flags = ()
    # Users at least, and hashes that 5.2 no longer reads.
    least, dropped_formats, meant_to_differ = 150, 4, set(MEANT)

    @classmethod
    def setUpClass(cls):
        cls.began = time.monotonic()
        cls.differences, cls.pairs, cls.meant, cls.lock = {}, 0, set(), threading.Lock()
        folder, cls.oracle = worlds.get(cls.kind)
        took = f"making the worlds {cls.spent()}"
        cls.folder = folder / "signet"
        cls.folder.mkdir()
        cls.dropped = by_older_django(cls.oracle["users"])
        cls.command = ["import", "django", folder / "dumps" / cls.dump, *cls.flags, "--report", "json"]
        cls.place = ["--data", cls.folder / "data", "--keys", cls.folder / "keys"]
        cls.dry = signet.command(*cls.command, *cls.place)
        cls.wrote = (cls.folder / "data").exists()
        cls.refused = signet.command(*cls.command, "--apply", *cls.place)
        cls.applied = signet.command(*cls.command, "--apply", "--skip", *cls.place)
        if cls.applied[0] != 0:
            raise RuntimeError(f"import: {cls.applied[1][-2000:]} {cls.applied[2]}")
        cls.report = json.loads(cls.applied[1])
        cls.imported = answers.export(cls.folder)
        cls.again = signet.command(*cls.command, "--apply", "--skip", *cls.place)
        cls.after_again = answers.export(cls.folder)
        took += f", importing {cls.spent()}"
        cls.users = [user for user in cls.oracle["users"] if user["kind"] != "hoarder"]
        server = signet.Server(cls.folder)
        try:
            nobody = answers.Client(server).check(cls.oracle["names"], cls.oracle["labels"])
            cls.everyone(lambda user: cls.visit(server, user, nobody))
        finally:
            server.stop()
        cls.upgraded = answers.export(cls.folder)
        took += f", first log-ins {cls.spent()}"
        # Another process: only the cookies are left of the sessions.
        server = signet.Server(cls.folder)
        try:
            cls.everyone(lambda user: cls.visit_again(server, user))
        finally:
            server.stop()
        cls.at_last = answers.export(cls.folder)
        asked = [user for user in cls.users if user.get("cookie")]
        print(
            f"{cls.kind}: {len(cls.users)} users, {len(asked)} of them logged in; {cls.pairs} answers about rights compared,"
            f" {sum(len(user['asked']) for user in cls.users)} passwords; {took}, second log-ins {cls.spent()}",
            flush=True,
        )

    @classmethod
    def spent(cls):
        """Seconds since this was asked before."""
        before, cls.began = cls.began, time.monotonic()
        return f"{cls.began - before:.0f} s"

    @classmethod
    def differs(cls, subject, user, what):
        with cls.lock:
            cls.differences.setdefault(subject, []).append(f"{user['kind']} {user['username']!r} (pk {user['pk']}): {what}")

    @classmethod
    def everyone(cls, job):
        waiting, failures = list(cls.users), []

        def work():
            while waiting and not failures:
                try:
                    user = waiting.pop()
                except IndexError:
                    return
                try:
                    job(user)
                except Exception as error:
                    failures.append(f"{user['kind']} {user['username']!r}: {error!r}")

        threads = [threading.Thread(target=work) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise RuntimeError("; ".join(failures))

    @classmethod
    def visit(cls, server, user, nobody):
        """The first log-in: the password decision, then everything about rights."""
        attempts = list(enumerate(user["attempts"]))
        number = user["number"]
        if user["kind"] == "random" and number % 10:
            # A hash costs time: of most users one wrong password is tried.
            attempts = [attempts[number % 3], attempts[-1]]
        user["asked"], client = attempts, None
        for at, (password, django) in attempts:
            client = answers.Client(server)
            inside = client.log_in(user["username"], password)
            kind = (user["kind"], attempt_kind(user, at))
            if (django, inside) == MEANT.get(kind, ())[:2]:
                with cls.lock:
                    cls.meant.add(kind)
            elif inside != django:
                cls.differs("passwords", user, f"{kind[1]} password: Django {django}, Signet {inside}")
            if inside:
                user["cookie"] = client.cookie
                user["upgrades"] = True
        if not inside:
            user["cookie"] = None
            if not user["is_active"]:
                cls.compare(user, *nobody)
            return
        cls.compare(user, *client.check(cls.oracle["names"], cls.oracle["labels"]))
        listed = client.get("/v1/me/permissions")["items"]
        if listed != user["get_all_permissions"]:
            cls.differs("get_all_permissions", user, f"{set(listed) ^ set(user['get_all_permissions'])}")
        with cls.lock:
            cls.pairs += len(cls.oracle["existing"])
        me = client.get("/v1/me")
        for name in ("username", "first_name", "last_name", "email", "is_active", "is_staff", "is_superuser"):
            if me[name] != user[name]:
                cls.differs("me", user, f"{name}: {user[name]!r}, {me[name]!r}")

    @classmethod
    def compare(cls, user, permissions, modules):
        for subject, names, django, ours in (
            ("has_perm", cls.oracle["names"], user["has_perm"], permissions),
            ("has_module_perms", cls.oracle["labels"], user["has_module_perms"], modules),
        ):
            for name, theirs, mine in zip(names, django, ours, strict=True):
                if theirs != mine:
                    cls.differs(subject, user, f"{name!r}: Django {theirs}, Signet {mine}")
            with cls.lock:
                cls.pairs += len(names)

    @classmethod
    def visit_again(cls, server, user):
        """The log-in after the upgrade, beside the session of the first one."""
        if not user["cookie"]:
            return
        first = answers.Client(server, user["cookie"])
        if first.call("GET", "/v1/me")[0] != 200:
            cls.differs("sessions", user, "the session of the first log-in has ended")
        if user["number"] % 4 and user["kind"] == "random":
            return
        (_, (wrong, _)), (_, (right, _)) = user["asked"][-2], user["asked"][-1]
        if answers.Client(server).log_in(user["username"], wrong):
            cls.differs("after the upgrade", user, "a wrong password is right")
        if not answers.Client(server).log_in(user["username"], right):
            cls.differs("after the upgrade", user, "the right password is wrong")
        if first.call("GET", "/v1/me")[0] != 200:
            cls.differs("sessions", user, "the second log-in has ended the session of the first one")

    def nothing_differs(self, subject):
        found = self.differences.get(subject, [])
        self.assertEqual(found[:20], [], f"{len(found)} differences")

    def test_a_dry_run_writes_nothing_and_says_that_not_all_can_be_carried(self):
        code, out, _ = self.dry
        self.assertEqual(code, 1)
        self.assertFalse(self.wrote)
        self.assertFalse(json.loads(out)["applied"])

    def test_nothing_is_written_without_leave_to_skip(self):
        self.assertEqual(self.refused[0], 1, self.refused[2])
        self.assertFalse(json.loads(self.refused[1])["applied"])

    def test_the_report_tells_what_is_lost_and_nothing_else_is(self):
        lost = {(line["record"].split('"')[1], line["code"]) for line in self.report["lines"]}
        hopeless = {"malformed", "crypt"}
        expected = {(user["username"], "password_hash") for user in self.users if user["kind"] in hopeless}
        expected.add(("hoarder", "rights_too_large"))
        self.assertEqual(lost, expected)

    def test_a_second_import_changes_nothing(self):
        self.assertEqual(self.again[0], 0, self.again[2])
        report = json.loads(self.again[1])
        for kind in ("permissions", "groups", "users"):
            self.assertEqual(report[kind]["created"] + report[kind]["changed"], 0, kind)
        self.assertEqual(self.after_again, self.imported)

    def test_every_record_is_as_it_is_in_django(self):
        self.assertEqual(sorted(self.imported["user"]), sorted(user["username"] for user in self.users))
        for user in self.users:
            ours = self.imported["user"][user["username"]]
            for name in ("first_name", "last_name", "email", "is_active", "is_staff", "is_superuser"):
                self.assertEqual(ours[name], user[name], (user["username"], name))
            self.assertEqual(sorted(ours["groups"]), user["groups"], user["username"])
            self.assertEqual(sorted(ours["user_permissions"]), sorted(set(user["direct"])), user["username"])
            for name in ("last_login", "date_joined"):
                self.assertEqual(moment(ours[name]), moment(user[name]), (user["username"], name))
            if user["kind"] not in ("malformed", "crypt", "unusable", "empty"):
                self.assertEqual(ours["password"], user["password"], user["username"])
        self.assertEqual(sorted(self.imported["permission"]), self.oracle["existing"])
        groups = {name: sorted(group["permissions"]) for name, group in self.imported["group"].items()}
        self.assertEqual(groups, {name: sorted(set(names)) for name, names in self.oracle["groups"].items()})

    def test_the_password_decision_is_the_same(self):
        self.nothing_differs("passwords")

    def test_where_it_is_meant_to_differ_it_does(self):
        self.assertEqual(self.meant, self.meant_to_differ)

    def test_has_perm_is_the_same_for_every_name(self):
        self.nothing_differs("has_perm")

    def test_has_module_perms_is_the_same_for_every_label(self):
        self.nothing_differs("has_module_perms")

    def test_get_all_permissions_is_the_same(self):
        self.nothing_differs("get_all_permissions")

    def test_me_shows_what_django_has(self):
        self.nothing_differs("me")

    def test_enough_was_compared(self):
        able = [user for user in self.users if user.get("cookie")]
        self.assertGreater(len(able), len(self.users) * 3 // 4)
        flags = {(user["is_active"], user["is_staff"], user["is_superuser"]) for user in self.users}
        self.assertGreaterEqual(len(flags), 8 if self.least >= 150 else 4)
        self.assertTrue({user["is_superuser"] for user in able} == {user["is_staff"] for user in able} == {True, False})
        self.assertGreaterEqual(len(self.users), self.least)
        self.assertGreater(self.pairs, len(able) * len(self.oracle["names"]))
        self.assertEqual(self.dropped, self.dropped_formats)

    def test_a_log_in_upgrades_the_hash_once(self):
        for user in self.users:
            before, after, last = (
                records["user"][user["username"]]["password"] for records in (self.imported, self.upgraded, self.at_last)
            )
            if user.get("upgrades"):
                self.assertRegex(after, r"^\$argon2id\$v=19\$m=19456,t=2,p=1\$", user["username"])
            else:
                self.assertEqual(after, before, user["username"])
            self.assertEqual(last, after, user["username"])

    def test_the_upgrade_keeps_the_password(self):
        self.nothing_differs("after the upgrade")

    def test_the_upgrade_ends_no_session(self):
        self.nothing_differs("sessions")
        for user in self.users:
            before, after = (records["user"][user["username"]] for records in (self.imported, self.at_last))
            for name in ("generation", "rights_version"):
                self.assertEqual(before[name], after[name], (user["username"], name))


def moment(text):
    return text and datetime.fromisoformat(text.replace("Z", "+00:00"))


class DjangosOwnUsers(Compared, unittest.TestCase):
    kind, dump, least = "plain", "numbers.json", 2000


class UsersOfAProjectsOwnModel(Compared, unittest.TestCase):
    kind, dump = "custom", "natural.jsonl"
    flags = ("--user-model", "accounts.user", "--time-zone", "Europe/Berlin")


class HashesOfDjangosOwnWork(Compared, unittest.TestCase):
    """Few users: while such a hash is stored, a failed log-in takes as long, whoever's it is."""

    kind, dump, least, dropped_formats, meant_to_differ = "default", "numbers.json", 30, 0, set()


if __name__ == "__main__":
    unittest.main()
