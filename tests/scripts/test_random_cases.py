"""Each property says how many random cases it tries, by `neap_test_inputs::cases`."""

import pathlib
import re
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]

# A block of properties, and a property in a function, without a number.
UNSTATED = re.compile(r"proptest! \{\s*(?!#!\[proptest_config|\s)|proptest!\(\s*\|")


class RandomCases(unittest.TestCase):
    def test_each_property_states_its_number(self):
        for path in ROOT.glob("*/**/*.rs"):
            text = "" if "target" in path.relative_to(ROOT).parts else path.read_text()
            for match in UNSTATED.finditer(text):
                with self.subTest(file=path, line=text[:match.start()].count("\n") + 1):
                    self.fail("without a number, only PROPTEST_CASES scales it, which replaces the numbers of all others")


if __name__ == "__main__":
    unittest.main()
