"""Runs the test files of a folder, the named ones or all, and ends with the sums that tests/run adds up.

    python tests/suite.py FOLDER [test_name …]

What the files share stands in this folder: `signet.py` starts a server.
"""

import sys
import unittest
from pathlib import Path

folder = Path(sys.argv[1])
sys.path.insert(0, str(folder))
names = sys.argv[2:] or sorted(path.stem for path in folder.glob("test_*.py"))
result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(unittest.TestLoader().loadTestsFromNames(names))
failed = len(result.failures) + len(result.errors)
print(f"# pass {max(result.testsRun - failed, 0)}\n# fail {failed}")
# A folder without a test has not passed.
sys.exit(not result.wasSuccessful() or result.testsRun == 0)
