"""openapi-generator makes of the document, for the languages that no scenario runs in, what it makes without complaint."""

import json
import re
import sys
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from generated import run, workplace
from signet import ROOT

# One source file that each language's client must have, with the name of an operation in it as the language spells it.
LANGUAGES = {
    "go": ("api_account.go", "LoginAccount("),
    "java": ("src/main/java/org/openapitools/client/api/AccountApi.java", "LoggedIn loginAccount("),
    "kotlin": ("src/main/kotlin/org/openapitools/client/apis/AccountApi.kt", "fun loginAccount("),
    "csharp": ("src/Org.OpenAPITools/Api/AccountApi.cs", "LoginAccountAsync("),
    "php": ("lib/Api/AccountApi.php", "function loginAccount("),
    "ruby": ("lib/openapi_client/api/account_api.rb", "def login_account("),
    "swift6": ("Sources/OpenAPIClient/APIs/AccountAPI.swift", "func loginAccount("),
    "dart": ("lib/api/account_api.dart", "loginAccount("),
}
# A word that the language keeps for itself gets another name; nothing is lost by that.
HARMLESS = re.compile(r"cannot be used as (model|parameter|field/variable) name\. Renamed to")


class Generators(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = workplace("generators")
        cls.said = {}
        # One after the other: each takes a whole Java.
        for language in LANGUAGES:
            words = ["openapi-generator-cli", "generate", "-i", ROOT / "openapi/signet.json", "-g", language]
            cls.said[language] = run([*words, "-o", cls.folder / language], cls.folder)
        document = json.loads((ROOT / "openapi/signet.json").read_text())
        cls.schemas = [name.lower() for name in document["components"]["schemas"]]

    def test_the_document_is_valid(self):
        said = run(["openapi-generator-cli", "validate", "-i", ROOT / "openapi/signet.json", "--recommend"], self.folder)
        self.assertIn("No validation issues detected.", said)

    def test_no_generator_complains(self):
        for language, said in self.said.items():
            with self.subTest(language):
                # The log is there to be searched.
                self.assertIn("writing file", said)
                complaints = [line for line in said.splitlines() if re.search(r"\b(WARN|ERROR|Exception)\b", line)]
                self.assertEqual([line for line in complaints if not HARMLESS.search(line)], [])

    def test_every_language_has_its_operations_and_models(self):
        for language, (file, operation) in LANGUAGES.items():
            with self.subTest(language):
                place = self.folder / language
                self.assertIn(operation, (place / file).read_text())
                files = {path.stem.lower().replace("_", "") for path in place.rglob("*") if path.suffix != ".md"}
                self.assertEqual([name for name in self.schemas if not {name, f"model{name}"} & files], [])
