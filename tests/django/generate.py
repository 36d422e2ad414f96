#!/usr/bin/env python3
"""Writes a dump as Django's dumpdata does: `generate.py USERS [array|lines] >dump.json`.

A thousand permissions, a hundred groups, and users with pbkdf2_sha256 hashes. The same numbers give the same dump.
"""

import json
import random
import sys

users = int(sys.argv[1])
lines = sys.argv[2:] == ["lines"]
chance = random.Random(users)
out = sys.stdout
count = 0


def put(model, pk, fields):
    global count
    if not lines:
        out.write("[\n" if count == 0 else ",\n")
    out.write(json.dumps({"model": model, "pk": pk, "fields": fields}))
    if lines:
        out.write("\n")
    count += 1


for model in range(1, 251):
    put("contenttypes.contenttype", model, {"app_label": f"app{model % 25}", "model": f"model{model}"})
    for at, verb in enumerate(["add", "change", "delete", "view"]):
        fields = {"name": f"Can {verb} model {model}", "content_type": model, "codename": f"{verb}_model{model}"}
        put("auth.permission", (model - 1) * 4 + at + 1, fields)
for group in range(1, 101):
    put("auth.group", group, {"name": f"group {group}", "permissions": sorted(chance.sample(range(1, 1001), 20))})
for user in range(1, users + 1):
    salt = "".join(chance.choices("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", k=22))
    password = f"pbkdf2_sha256$1000000${salt}$5edrtbkFP98aFeHDJn77BDZc8mJXaMcGhBHWUdVfDTo="
    fields = {
        "password": password,
        "last_login": None if user % 3 else "2026-11-20T08:15:30.123Z",
        "is_superuser": user == 1,
        "username": f"user{user}",
        "first_name": "Some",
        "last_name": f"Body {user}",
        "email": f"user{user}@example.com",
        "is_staff": user <= 10,
        "is_active": user % 50 != 0,
        "date_joined": "2024-01-31T12:00:00Z",
        "groups": sorted(chance.sample(range(1, 101), user % 4)),
        "user_permissions": sorted(chance.sample(range(1, 1001), user % 3)),
    }
    put("auth.user", user, fields)
if not lines:
    out.write("\n]\n")
