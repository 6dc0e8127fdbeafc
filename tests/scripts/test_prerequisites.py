"""What `scripts/prerequisites` says on machines that lack something. Each test is a machine: a folder of programs."""

import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "prerequisites"
TOOLS = ("awk", "bash", "cut", "df", "dirname", "du", "env", "head", "sed", "sort")


class Machine:
    """A folder of programs, the only ones that the script finds."""

    def __init__(self, test):
        folder = tempfile.TemporaryDirectory()
        test.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        for tool in TOOLS:
            (self.folder / tool).symlink_to(shutil.which(tool))
        self.add("rustc", 'case "$1" in -vV) echo "host: here" ;; *) echo "rustc 1.999.0 (0 2026-01-01)" ;; esac')
        self.add("cargo", "exit 0")
        self.add("cc", "exit 0")
        self.add("python3", "exit 0")

    def add(self, name, script):
        path = self.folder / name
        # A link leads to the program of this machine, which must not be written.
        path.unlink(missing_ok=True)
        path.write_text(f"#!/bin/bash\n{script}\n")
        path.chmod(0o755)

    def check(self, gibibytes=0):
        """The status and the messages of the script."""
        environment = {"PATH": str(self.folder), "CARGO_TARGET_DIR": str(self.folder / "target")}
        command = [shutil.which("bash"), str(SCRIPT), str(gibibytes)]
        run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        return run.returncode, run.stderr


class Prerequisites(unittest.TestCase):
    def test_a_machine_that_has_all_is_ready(self):
        self.assertEqual(Machine(self).check(), (0, ""))

    def test_what_is_missing_is_named_with_the_commands_that_install_it(self):
        for program, named, command in (
            ("rustc", "Rust is missing", "brew install rustup"),
            ("cargo", "Rust is missing", "sudo dnf install rustup"),
            ("cc", "A C compiler is missing", "sudo apt install build-essential"),
            ("python3", "Python 3.9 or newer is missing", "sudo apt install python3"),
        ):
            with self.subTest(program):
                machine = Machine(self)
                (machine.folder / program).unlink()
                status, messages = machine.check()
                self.assertEqual(status, 1)
                self.assertIn(named, messages)
                self.assertIn(command, messages)
                self.assertNotIn("fetch", messages)

    def test_all_that_is_missing_is_named_at_once(self):
        machine = Machine(self)
        for program in ("rustc", "cc", "python3"):
            (machine.folder / program).unlink()
        messages = machine.check()[1]
        self.assertEqual(messages.count("macOS:"), 3)

    def test_an_old_rust_is_named_with_its_version_and_the_one_that_is_needed(self):
        machine = Machine(self)
        machine.add("rustc", 'echo "rustc 1.9.0 (0 2016-01-01)"')
        status, messages = machine.check()
        self.assertEqual(status, 1)
        self.assertRegex(messages, r"Rust 1\.9\.0 is too old\. Neap needs version 1\.\d+ or newer")
        self.assertIn("rustup update stable", messages)

    def test_too_little_room_is_said_with_both_figures(self):
        status, messages = Machine(self).check(gibibytes=1 << 20)
        self.assertEqual(status, 1)
        self.assertRegex(messages, r"needs 1048576 GiB at .*, which has room for \d+ GiB")

    def test_what_an_earlier_build_left_counts_as_room(self):
        machine = Machine(self)
        machine.add("df", "printf 'Filesystem\\nnone 0 0 1048576 0 /\\n'")
        machine.add("du", r'printf "4194304\t%s\n" "$2"')
        self.assertEqual(machine.check(gibibytes=5)[0], 1)
        (machine.folder / "target").mkdir()
        self.assertEqual(machine.check(gibibytes=5)[0], 0)

    def test_files_that_disappear_from_an_earlier_build_are_no_error(self):
        machine = Machine(self)
        machine.add("df", "printf 'Filesystem\\nnone 0 0 0 0 /\\n'")
        machine.add("du", r'printf "4194304\t%s\n" "$2"; echo "du: no such file" >&2; exit 1')
        (machine.folder / "target").mkdir()
        self.assertEqual(machine.check(gibibytes=4), (0, ""))

    def test_dependencies_that_cannot_be_fetched_are_said_last(self):
        machine = Machine(self)
        machine.add("cargo", '[ "$1" != fetch ] || { echo "could not connect" >&2; exit 101; }')
        status, messages = machine.check()
        self.assertEqual(status, 1)
        self.assertIn("could not connect", messages)
        self.assertIn("It needs a network", messages)

    def test_only_the_dependencies_of_this_machine_are_fetched(self):
        machine = Machine(self)
        machine.add("cargo", f'echo "$@" >>{machine.folder}/called')
        machine.check()
        called = (machine.folder / "called").read_text().splitlines()
        self.assertEqual(called[-1], "fetch --quiet --target here")


if __name__ == "__main__":
    unittest.main()
