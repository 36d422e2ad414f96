"""openapi-generator's client for Python, and openapi-python-client's."""

import sys
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from generated import Live, generate, run, workplace


class Python(unittest.TestCase):
    def check(self, name, title, package, *types):
        """Generates, checks the types of all that uses the client, and runs it."""
        folder = workplace(name)
        code = generate(title, folder)
        package = folder / package
        strict = ["mypy", "--strict", "--cache-dir", folder / "mypy"]
        run(["mypy", "--cache-dir", folder / "mypy", *types, "--package", package.name], package.parent)
        with Live() as live:
            (package.parent / "readme.py").write_text(live.here(code))
            (package.parent / "scenario.py").write_text((HERE / f"{name}.py").read_text())
            run([*strict, "--follow-imports", "silent", "readme.py", "scenario.py"], package.parent)
            # That a script ends without closing its connection is no fault of a client.
            python = [sys.executable, "-B", "-W", "error", "-W", "ignore::ResourceWarning"]
            self.assertEqual(live.run(*python, package.parent / "readme.py"), "[7, 12]\nforbidden\n")
            self.assertEqual(live.run(*python, package.parent / "scenario.py"), "done\n")

    def test_openapi_generator(self):
        # As strict as what the generator writes allows: functions without types are its habit.
        strict = ["--strict", "--disable-error-code=no-any-return", "--disable-error-code=no-untyped-call"]
        strict += ["--disable-error-code=no-untyped-def", "--disable-error-code=attr-defined"]
        self.check("openapi_generator", "Python, openapi-generator", "signet-python/signet_client", *strict)

    def test_openapi_python_client(self):
        # Strict but for one line of its own, which hands on `*args: object`.
        self.check("openapi_python_client", "Python, openapi-python-client", "signet", "--strict", "--disable-error-code=arg-type")
