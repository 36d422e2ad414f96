"""openapi-typescript with openapi-fetch, and openapi-generator's client for fetch."""

import json
import shutil
import sys
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from generated import Live, generate, run, workplace

TSC = HERE / "node_modules/.bin/tsc"


class TypeScript(unittest.TestCase):
    def check(self, name, title, *early):
        folder = workplace(f"typescript/{name}")
        (folder / "node_modules").symlink_to(HERE / "node_modules")
        (folder / "package.json").write_text('{ "type": "module" }')
        code = generate(title, folder)
        if early:
            run([TSC, *early], folder)
            folder /= "compiled"
        with Live() as live:
            (folder / "readme.ts").write_text(live.here(code))
            shutil.copy(HERE / f"{name}.ts", folder / "scenario.ts")
            config = json.loads((HERE / "tsconfig.json").read_text())
            config["files"] = ["readme.ts", "scenario.ts"]
            (folder / "tsconfig.json").write_text(json.dumps(config))
            run([TSC, "--project", "."], folder)
            self.assertEqual(live.run("node", folder / "readme.js"), "[7,12]\nforbidden\n")
            self.assertEqual(live.run("node", folder / "scenario.js"), "done\n")

    def test_openapi_fetch(self):
        self.check("openapi_fetch", "TypeScript, openapi-fetch")

    def test_openapi_generator(self):
        # What the generator writes is strict, but leaves names unused and is not exact about optional members: it is
        # compiled first, and the code that uses it is held to more, against its declarations.
        early = ["--strict", "--noImplicitReturns", "--noFallthroughCasesInSwitch", "--declaration", "--target", "es2022"]
        early += ["--module", "nodenext", "--types", "node", "--outDir", "compiled/signet", "signet/index.ts"]
        self.check("openapi_generator", "TypeScript, openapi-generator", *early)
