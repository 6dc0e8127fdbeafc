"""The packages are the same whenever and wherever they are made."""

import hashlib
import pathlib
import tempfile
import unittest

import release_fixture


class Packages(unittest.TestCase):
    def build(self, mode):
        """The digests of all packages, made from a program with this file mode."""
        work = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        program = work / "neap"
        program.write_bytes(b"a program")
        program.chmod(mode)
        for made in ("man/neap.1", "completions/neap.bash"):
            (work / "dist" / made).parent.mkdir(parents=True)
            (work / "dist" / made).write_text("text")
        files = {release_fixture.OTHER: program}
        release_fixture.build(work / "dist", files, files)
        return {it.name: hashlib.sha256(it.read_bytes()).hexdigest() for it in (work / "dist").glob("*.*")}

    def test_packages_do_not_depend_on_the_time_or_on_modes_of_files(self):
        self.assertEqual(self.build(0o755), self.build(0o600))
