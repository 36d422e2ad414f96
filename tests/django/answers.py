"""What Signet decides and holds, in the shape in which Django's answers are compared with it."""

import json

import signet
from signet import command


class Client(signet.Client):
    def check(self, names, labels):
        """What `has_perm` and `has_module_perms` answer; asked in pieces, as a body has a limit."""
        permissions, modules = {}, {}
        for at in range(0, max(len(names), len(labels)), 150):
            body = {"permissions": names[at : at + 150], "modules": labels[at : at + 150]}
            status, answer = self.call("POST", "/v1/permissions/check", body)
            if status != 200:
                raise RuntimeError(f"check: {status} {answer}")
            permissions |= answer["results"]
            modules |= answer["modules"]
        return [permissions[name] for name in names], [modules[label] for label in labels]


def export(folder):
    """The records of a stopped server's store, by kind, then by name."""
    code, out, error = command("export", "--data", folder / "data")
    if code != 0:
        raise RuntimeError(f"export: {error}")
    found = {"permission": {}, "group": {}, "user": {}}
    for line in map(json.loads, out.splitlines()):
        for kind in found.keys() & line.keys():
            record = line[kind]
            found[kind][record.get("username", record.get("name"))] = record
    return found
