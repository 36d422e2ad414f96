"""Runs the test files, the named ones or all, and ends with the sums that tests/run adds up."""

import sys
import unittest
from pathlib import Path

loader = unittest.TestLoader()
here = str(Path(__file__).parent)
names = sys.argv[1:] or sorted(path.stem for path in Path(here).glob("test_*.py"))
result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(loader.loadTestsFromNames(names))
failed = len(result.failures) + len(result.errors)
print(f"# pass {max(result.testsRun - failed, 0)}\n# fail {failed}")
sys.exit(not result.wasSuccessful())
