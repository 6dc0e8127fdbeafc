"""The formula for Homebrew is Ruby, and its checksums are those of the archives that it names."""

import re
import subprocess
import unittest

import release_fixture
import repository


class Formula(unittest.TestCase):
    def test_formula_is_ruby(self):
        ruby = repository.debian_program("ruby")
        call = [*ruby["args"], "-wc", release_fixture.package("neap.rb")]
        done = subprocess.run(call, env=ruby["env"], capture_output=True, text=True, timeout=60)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "Syntax OK\n", ""))

    def test_checksums_are_those_of_the_archives(self):
        formula = release_fixture.package("neap.rb").read_text()
        found = re.findall(rf'url "{release_fixture.URL}/(\S+)"\n\s+sha256 "(\w+)"', formula)
        sums = release_fixture.package("SHA256SUMS").read_text()
        self.assertEqual(len(found), 2)
        for name, digest in found:
            self.assertIn(f"{digest}  ./{name}\n", sums)
        self.assertLess(formula.index("on_intel"), formula.index("x86_64"))
        self.assertLess(formula.index("on_arm"), formula.index("aarch64"))
