"""openapi-generator's client for Rust, and progenitor's: both in one workspace, over one tree of dependencies."""

import sys
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from generated import TARGET, Live, generate, run, snippet, workplace


class Rust(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.servers = {}
        folder = workplace("rust")
        snippets = {
            "openapi_generator": generate("Rust, openapi-generator", folder),
            "progenitor": snippet("Rust, progenitor")[1],
        }
        # The lock file holds this version, whatever the document's is.
        manifest = folder / "signet_client" / "Cargo.toml"
        head, tail = manifest.read_text().split("\nversion = ", 1)
        manifest.write_text(f'{head}\nversion = "0.0.0"\n' + tail.split("\n", 1)[1])
        for name, code in snippets.items():
            live = cls.servers[name] = Live()
            cls.addClassCleanup(live.stop)
            # A library, so that the scenario can use what the snippet generates.
            code = "#![deny(warnings)]\n" + live.here(code).replace("\nasync fn main()", "\npub async fn main()")
            (folder / f"readme_{name}.rs").write_text(code)
        run(["cargo", "build", "--quiet", "--locked"], HERE, CARGO_TARGET_DIR=str(TARGET / "rust-target"))

    def check(self, name, program):
        said = self.servers[name].run(TARGET / "rust-target" / "debug" / program)
        self.assertEqual(said, "[7,12]\nforbidden\n")

    def test_openapi_generator(self):
        self.check("openapi_generator", "openapi-generator-scenario")

    def test_progenitor(self):
        self.check("progenitor", "progenitor-scenario")
