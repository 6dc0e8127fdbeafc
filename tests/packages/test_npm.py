"""The npm packages are installed from a registry, and `neap` and `neapdb` behave as the program itself."""

import pathlib
import select
import signal
import subprocess
import tarfile
import tempfile
import unittest

import local_server
import main_job
import release_fixture
import repository


class Packages(unittest.TestCase):
    def setUp(self):
        self.work = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.data = self.work / "garden"
        self.data.mkdir()
        registry = self.enterContext(local_server.serve(release_fixture.folder(), local_server.NpmRegistry))
        self.env = main_job.environment(
            HOME=str(self.work),
            npm_config_registry=registry,
            npm_config_cache=str(self.work / "cache"),
            npm_config_userconfig=str(self.work / "npmrc"),
            npm_config_update_notifier="false",
        )

    def test_npm_installs_the_program_of_this_machine_alone(self):
        call = [repository.program("npm"), "install", "--no-audit", "--no-fund", "--prefix", self.work, "neapdb"]
        subprocess.run(call, env=self.env, check=True, timeout=300, capture_output=True)
        modules = self.work / "node_modules"
        self.assertEqual(len(list((modules / "@neapdb").iterdir())), 1)
        for command in ("neap", "neapdb"):
            version = subprocess.run([modules / ".bin" / command, "--version"], capture_output=True, text=True, timeout=60)
            self.assertEqual(version.stdout.split(), ["neap", release_fixture.VERSION], version.stderr)
        main_job.run([modules / ".bin/neap"], self.data)

    def test_npx_runs_the_package(self):
        # npx ends at once by the signal. The server must end, too.
        command = [repository.program("npx"), "--yes", "neapdb"]
        seconds = main_job.run(command, self.data, env=self.env, exit_code=-signal.SIGTERM)
        print(f"\nnpx neapdb serve: {seconds:.1f} s to the first answer")


class Launcher(unittest.TestCase):
    """The launcher with a script in the place of the program."""

    def setUp(self):
        self.node = repository.program("node")
        self.modules = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        with tarfile.open(release_fixture.package(f"neapdb-{release_fixture.VERSION}.tgz")) as file:
            file.extractall(self.modules)
        self.launcher = self.modules / "package/launcher.js"
        self.cpu = {"x86_64": "x64", "aarch64": "arm64"}[release_fixture.HOST]

    def install_program(self, script):
        program = self.modules / f"node_modules/@neapdb/linux-{self.cpu}/bin/neap"
        program.parent.mkdir(parents=True)
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    def launch(self, *arguments):
        call = [self.node, self.launcher, *arguments]
        return subprocess.run(call, input="input", capture_output=True, text=True, timeout=60)

    def test_arguments_input_output_and_exit_code_are_those_of_the_program(self):
        self.install_program('cat; echo "$2"; echo error >&2; exit 7')
        done = self.launch("query", "two words")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (7, "inputtwo words\n", "error\n"))

    def test_signal_that_kills_the_program_is_in_the_exit_code(self):
        self.install_program("kill -KILL $$")
        self.assertEqual(self.launch().returncode, 128 + signal.SIGKILL)

    def test_signals_reach_the_program_once(self):
        self.install_program('trap "echo stopped" INT TERM HUP\necho started\nread line\nread line\nread line\nread line')
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "bufsize": 0}
        with subprocess.Popen([self.node, self.launcher], **pipes) as launcher:
            self.assert_line(launcher.stdout, b"started\n")
            for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                launcher.send_signal(name)
                self.assert_line(launcher.stdout, b"stopped\n")
            self.assertEqual(launcher.communicate(b"\n\n\n\n", timeout=60)[0], b"")

    def assert_line(self, stream, line):
        """Asserts that the line is the next one; waits at most 10 seconds."""
        self.assertTrue(select.select([stream], [], [], 10)[0], f"there is no {line}")
        self.assertEqual(stream.readline(), line)

    def test_missing_program_is_explained(self):
        missing = self.launch()
        self.assertEqual(missing.returncode, 1)
        self.assertIn(f"@neapdb/linux-{self.cpu} with the program is missing", missing.stderr)

    def test_other_platform_is_explained(self):
        manifest = self.modules / "package/package.json"
        manifest.write_text(manifest.read_text().replace(f"@neapdb/linux-{self.cpu}", "@neapdb/plan9-mips"))
        refused = self.launch()
        self.assertEqual(refused.returncode, 1)
        self.assertIn("only for ", refused.stderr)
        self.assertIn("plan9-mips", refused.stderr)
