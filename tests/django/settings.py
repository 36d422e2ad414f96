"""Django's configuration for a world: a database in a folder, our applications, every hasher with little work."""

import sys
from pathlib import Path

import django
from django.conf import settings
from django.contrib.auth import hashers

# The hashers of 5.2. What they ask of a password that they hash anew, and of a wrong one (`harden_runtime`), is kept small.


class PBKDF2(hashers.PBKDF2PasswordHasher):
    iterations = 1000


class PBKDF2SHA1(hashers.PBKDF2SHA1PasswordHasher):
    iterations = 1000


class Argon2(hashers.Argon2PasswordHasher):
    memory_cost, time_cost, parallelism = 64, 1, 1


class BCryptSHA256(hashers.BCryptSHA256PasswordHasher):
    rounds = 4


class BCrypt(hashers.BCryptPasswordHasher):
    rounds = 4


class Scrypt(hashers.ScryptPasswordHasher):
    work_factor, parallelism = 16, 1


CHEAP = [PBKDF2, PBKDF2SHA1, Argon2, BCryptSHA256, BCrypt, Scrypt, hashers.MD5PasswordHasher]
DEFAULT = [
    hashers.PBKDF2PasswordHasher,
    hashers.PBKDF2SHA1PasswordHasher,
    hashers.Argon2PasswordHasher,
    hashers.BCryptSHA256PasswordHasher,
    hashers.BCryptPasswordHasher,
    hashers.ScryptPasswordHasher,
]


def configure(folder, custom=False, time_zone=None):
    """Django, ready, with an empty database in the folder. With a time zone, times have none (USE_TZ off)."""
    sys.path.insert(0, str(Path(__file__).parent / "apps"))
    settings.configure(
        SECRET_KEY="k" * 50,
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(folder / "django.sqlite3")}},
        INSTALLED_APPS=[
            "django.contrib.contenttypes",
            "django.contrib.auth",
            "django.contrib.sessions",
            "library",
            "billing",
            "polls",
            "helpdesk",
            "stock.apps.StockConfig",
            *(["accounts"] if custom else []),
        ],
        AUTH_USER_MODEL="accounts.User" if custom else "auth.User",
        PASSWORD_HASHERS=[f"settings.{hasher.__name__}" for hasher in CHEAP[:-1]]
        + ["django.contrib.auth.hashers.MD5PasswordHasher"],
        SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        USE_TZ=time_zone is None,
        TIME_ZONE=time_zone or "UTC",
    )
    django.setup()
    from django.core.management import call_command
    from django.db import connection

    # Nothing of it has to outlive the run.
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA synchronous = OFF")
    call_command("migrate", run_syncdb=True, verbosity=0)
