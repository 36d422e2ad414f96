"""Every shape in which Django writes a dump comes to the same store; what cannot be carried is told, never guessed."""

import json
import tempfile
import unittest
from pathlib import Path

import answers
import signet
import worlds



class Importing(unittest.TestCase):
    """Imports into folders of its own."""

    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = Path(scratch.name)

    def run_import(self, dump, *flags, into="signet"):
        """Exit code and report."""
        place = ["--data", self.folder / into / "data", "--keys", self.folder / into / "keys"]
        code, out, error = signet.command("import", "django", dump, *flags, "--report", "json", *place)
        self.assertTrue(out, error)
        return code, json.loads(out)

    def carried(self, dump, *flags):
        """What is in the store after an import, without what the shapes differ in: identities."""
        code, report = self.run_import(dump, "--apply", "--skip", *flags, into=dump.name)
        self.assertEqual(code, 0, report["lines"][:5])
        found = answers.export(self.folder / dump.name)
        for records in found.values():
            for record in records.values():
                for name in ("id", "created"):
                    record.pop(name, None)
        return found



class EveryShape(Importing):
    def test_all_shapes_of_djangos_own_users_come_to_the_same(self):
        self.same("plain")

    def test_all_shapes_of_a_projects_own_users_come_to_the_same(self):
        self.same("custom", "--user-model", "accounts.user", "--time-zone", "Europe/Berlin")

    def same(self, kind, *flags):
        folder, oracle = worlds.get(kind)
        # Those that stand for themselves: rows keep the numbers that others refer to them by, or nobody uses numbers.
        shapes = sorted(path.name for path in (folder / "dumps").glob("[nf]*.json*"))
        self.assertGreaterEqual(len(shapes), 3)
        first = self.carried(folder / "dumps" / shapes[0], *flags)
        self.assertGreater(len(first["user"]), len(oracle["users"]) - 2)
        for shape in shapes[1:]:
            with self.subTest(shape):
                other = self.carried(folder / "dumps" / shape, *flags)
                for record in first:
                    self.assertEqual(sorted(other[record]), sorted(first[record]))
                    for name in first[record]:
                        self.assertEqual(other[record][name], first[record][name])

    def test_numbers_without_the_rows_that_they_mean_are_not_guessed(self):
        # With natural primary keys alone, rows have lost the numbers that others refer to them by.
        for kind, *flags in [("plain",), ("custom", "--user-model", "accounts.user")]:
            folder, _ = worlds.get(kind)
            for dump in (folder / "dumps").glob("primary.*"):
                with self.subTest(kind=kind, dump=dump.name):
                    self.refused(dump, *flags)

    def test_permissions_without_their_content_types_are_not_guessed(self):
        folder, _ = worlds.get("plain")
        self.refused(folder / "dumps" / "without-types.json")

    def refused(self, dump, *flags):
        for more in ([], ["--apply"]):
            code, report = self.run_import(dump, *flags, *more)
            self.assertEqual((code, report["applied"], report["complete"]), (1, False, False))
            self.assertGreater(len(report["lines"]), 100)
            if (self.folder / "signet" / "data" / "db").exists():
                self.assertEqual(answers.export(self.folder / "signet"), {"permission": {}, "group": {}, "user": {}})
        # What is left when it is wanted all the same: nobody has more than in Django.
        kind = "custom" if flags else "plain"
        _, oracle = worlds.get(kind)
        self.run_import(dump, *flags, "--apply", "--skip", into=f"{kind} {dump.name}")
        django = {user["username"]: user for user in oracle["users"]}
        for name, user in answers.export(self.folder / f"{kind} {dump.name}")["user"].items():
            self.assertLessEqual(set(user["user_permissions"]), set(django[name]["direct"]))
            self.assertLessEqual(set(user["groups"]), set(django[name]["groups"]))

    def test_a_wrong_label_of_the_user_model_is_noticed(self):
        folder, _ = worlds.get("custom")
        place = ["--data", self.folder / "data", "--keys", self.folder / "keys"]
        for more in ([], ["--apply", "--skip"]):
            code, _, error = signet.command("import", "django", folder / "dumps" / "natural.json", *more, *place)
            self.assertEqual(code, 1)
            self.assertIn("--user-model accounts.user", error)


class WhatCannotBeCarried(Importing):
    def test_each_kind_is_told_with_its_record_and_the_rest_is_carried(self):
        folder, oracle = worlds.get("odd")
        dump = folder / "dumps" / "numbers.json"
        code, report = self.run_import(dump, "--apply")
        self.assertEqual((code, report["applied"]), (1, False))
        code, report = self.run_import(dump, "--apply", "--skip")
        self.assertEqual((code, report["applied"]), (0, True), report)
        lines = {}
        for line in report["lines"]:
            lines.setdefault(line["record"].split(' "')[0], []).append(line)
        for user in oracle["users"]:
            with self.subTest(user["username"]):
                told = [line["field"].split("/")[0] for line in lines.pop(f"auth.user pk {user['pk']}", [])]
                self.assertEqual(told, [user["lost"]] if user["lost"] else [])
        # Four permissions of unusable names, the group with the comma, and what the other group loses with them.
        records = sorted(lines)
        self.assertEqual(len([name for name in records if name.startswith("auth.permission")]), 4, records)
        self.assertEqual(len([name for name in records if name.startswith("auth.group")]), 2, records)
        users = answers.export(self.folder / "signet")["user"]
        self.assertEqual(sorted(users), ["Bob", "control", "direct", "fine", "mail", "mail2", "seller"])
        direct = next(user for user in oracle["users"] if user["username"] == "direct")["direct"]
        self.assertEqual(users["direct"]["user_permissions"], [name for name in direct if "lend.out" not in name])
        self.assertEqual([users["mail"]["email"], users["mail2"]["email"], users["control"]["first_name"]], ["", "", ""])


if __name__ == "__main__":
    unittest.main()
