"""The wheel has the module `neapdb`, and what its page shows is run as it is printed."""

import pathlib
import re
import subprocess
import tempfile
import unittest

import main_job
import release_fixture
import repository

SECONDS = 300


class PythonModule(unittest.TestCase):
    def setUp(self):
        if not repository.python_module().exists():
            repository.skip_or_fail("the module is not built: cargo build --workspace --lib --bins --tests")
        self.work = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.python = repository.python_readers() / "python"
        installed = self.work / "installed"
        wheel = release_fixture.package(f"neapdb-*_{release_fixture.HOST}.whl")
        pip = [self.python, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", installed, wheel]
        subprocess.run(pip, check=True, timeout=SECONDS, env=main_job.environment(HOME=str(self.work)))
        self.env = main_job.environment(
            HOME=str(self.work),
            NEAP=str(installed / "bin/neap"),
            PYTHONPATH=f"{installed}:{pathlib.Path(__file__).parent}",
        )

    def run_python(self, *arguments):
        call = [self.python, *arguments]
        done = subprocess.run(call, cwd=self.work, env=self.env, capture_output=True, text=True, timeout=SECONDS)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def test_the_module_reads_and_writes(self):
        self.run_python("-m", "unittest", "neapdb_module")

    def test_the_examples_of_the_page_run(self):
        page = repository.text("docs/embedded.md")
        examples = re.findall(r"^```python\n(.*?)^```$", page, re.M | re.S)
        self.assertGreater(len(examples), 1)
        self.run_python("-c", "\n".join(examples))
