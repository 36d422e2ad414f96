"""What Django's sessions in signed cookies do not do, measured: the claims that `tests/it/anchor.rs` holds Signet to.

Each test is one of the tests that Django's own suite skips for this back end, or expects to fail.
"""

import tempfile
import unittest
from pathlib import Path
from unittest import mock

import settings

SALT = "django.contrib.sessions.backends.signed_cookies"
scratch = tempfile.TemporaryDirectory()
settings.configure(Path(scratch.name))

from django.contrib.sessions.backends.signed_cookies import SessionStore  # noqa: E402 (Django has to be set up first)
from django.core import signing  # noqa: E402


def tearDownModule():
    scratch.cleanup()


def written(**data):
    session = SessionStore()
    session.update(data)
    session.save()
    return session


class WhatDjangosSignedCookiesDoNotDo(unittest.TestCase):
    def test_nobody_knows_whether_a_session_exists(self):
        session = written(k="v")
        self.assertEqual(SessionStore(session.session_key)["k"], "v")
        self.assertFalse(session.exists(session.session_key))

    def test_the_old_key_lives_on_after_cycle_key(self):
        session = written(k="v")
        old = session.session_key
        session["later"] = True
        session.cycle_key()
        self.assertNotEqual(session.session_key, old)
        self.assertEqual(SessionStore(old)["k"], "v")

    def test_an_expiry_of_its_own_is_not_kept(self):
        session = written(k="v")
        session.set_expiry(-3600)
        session.save()
        self.assertEqual(SessionStore(session.session_key)["k"], "v")
        # Only the age that all sessions have is looked at.
        with mock.patch.object(signing.time, "time", return_value=signing.time.time() + 1209600 + 60):
            self.assertEqual(dict(SessionStore(session.session_key).items()), {})

    def test_a_key_that_is_none_is_taken_over_and_becomes_a_session(self):
        session = SessionStore("someunknownkey")
        session.load()
        self.assertEqual(session.session_key, "someunknownkey")
        # The middleware saves what is modified: the answer to a mere reading would set a cookie that verifies.
        self.assertTrue(session.modified)
        session.save()
        self.assertEqual(signing.loads(session.session_key, salt=SALT, serializer=session.serializer), {})

    def test_a_session_that_was_ended_elsewhere_comes_back(self):
        here = written(user="somebody")
        there = SessionStore(here.session_key)
        there.load()
        copy = here.session_key
        here.flush()
        self.assertEqual(SessionStore(copy)["user"], "somebody")
        there["k"] = "v"
        there.save()
        self.assertEqual(SessionStore(there.session_key)["user"], "somebody")


if __name__ == "__main__":
    unittest.main()
