"""What Django before 5.1 decided about hashes that 5.2 no longer reads: pairs of hash and password in, answers out."""

import json
import sys

import django
from django.conf import settings

settings.configure(
    PASSWORD_HASHERS=[
        "django.contrib.auth.hashers.MD5PasswordHasher",
        "django.contrib.auth.hashers.SHA1PasswordHasher",
        "django.contrib.auth.hashers.UnsaltedMD5PasswordHasher",
        "django.contrib.auth.hashers.UnsaltedSHA1PasswordHasher",
    ]
)
django.setup()
from django.contrib.auth.hashers import check_password  # noqa: E402 (Django has to be set up first)

assert django.VERSION[:2] == (5, 0), django.VERSION
json.dump([check_password(password, encoded) for encoded, password in json.load(sys.stdin)], sys.stdout)
