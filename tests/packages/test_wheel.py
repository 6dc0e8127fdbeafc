"""The wheel is installed by pip, uv and pipx, and `neap` and `neapdb` are then the program."""

import pathlib
import subprocess
import sys
import tempfile
import unittest

import main_job
import release_fixture
import repository


class Wheel(unittest.TestCase):
    def setUp(self):
        self.work = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.data = self.work / "garden"
        self.data.mkdir()
        self.wheel = release_fixture.package(f"neapdb-*_{release_fixture.HOST}.whl")
        self.env = main_job.environment(
            HOME=str(self.work),
            UV_OFFLINE="1",
            UV_NO_CONFIG="1",
            UV_PYTHON=sys.executable,
            UV_CACHE_DIR=str(self.work / "cache"),
            UV_FIND_LINKS=str(release_fixture.folder()),
            PIP_CONFIG_FILE="/dev/null",
            PIP_NO_INDEX="1",
            PIP_FIND_LINKS=str(release_fixture.folder()),
            PIPX_DEFAULT_BACKEND="uv",
            PIPX_DEFAULT_PYTHON=sys.executable,
        )

    def run_tool(self, *call):
        subprocess.run(call, env=self.env, check=True, timeout=300, stdout=subprocess.DEVNULL)

    def test_pip_chooses_the_wheel_of_this_machine(self):
        self.run_tool(sys.executable, "-m", "venv", self.work / "venv")
        commands = self.work / "venv/bin"
        self.run_tool(commands / "pip", "install", "--quiet", "neapdb")
        main_job.run([commands / "neap"], self.data)
        (self.work / "linked").symlink_to(commands / "neapdb")
        for command in (commands / "neapdb", self.work / "linked"):
            version = subprocess.run([command, "--version"], capture_output=True, text=True, check=True, timeout=60)
            self.assertIn(release_fixture.VERSION, version.stdout)
        self.run_tool(commands / "pip", "uninstall", "--quiet", "--yes", "neapdb")
        self.assertFalse(list(commands.glob("neap*")))

    def test_uvx_runs_the_file(self):
        uvx = repository.python_tools() / "uvx"
        seconds = main_job.run([uvx, "--from", self.wheel, "neap"], self.data, env=self.env)
        print(f"\nuvx --from WHEEL neap serve: {seconds:.1f} s to the first answer")

    def test_uvx_runs_the_package(self):
        main_job.run([repository.python_tools() / "uvx", "--no-index", "neapdb"], self.data, env=self.env)

    def test_pipx_runs_the_package(self):
        self.run_tool(repository.python_tools() / "pipx", "install", "--quiet", "neapdb")
        main_job.run([self.work / ".local/bin/neapdb"], self.data)

    def test_hashes_of_the_record_are_those_of_the_files(self):
        self.run_tool(repository.python_tools() / "wheel", "unpack", "--dest", self.work, self.wheel)
