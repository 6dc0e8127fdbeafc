"""The Debian package has all that it consists of, and the service is one that systemd takes."""

import pathlib
import re
import subprocess
import tempfile
import tomllib
import unittest

import repository

UNIT = "infra/systemd/neap.service"


def metadata():
    """What cargo-deb is told."""
    return tomllib.loads(repository.text("programs/neap/Cargo.toml"))["package"]["metadata"]["deb"]


class Package(unittest.TestCase):
    def test_files_of_the_package_are_there(self):
        for asset in metadata()["assets"]:
            source = asset["source"]
            # These are made by scripts/release.
            if not source.startswith(("target/", "../../dist/")):
                self.assertTrue((repository.ROOT / "programs" / "neap" / source).is_file(), source)

    def test_settings_survive_an_upgrade(self):
        in_etc = {f"/{asset['dest']}" for asset in metadata()["assets"] if asset["dest"].startswith("etc/")}
        self.assertEqual(in_etc, set(metadata()["conf-files"]))

    def test_secrets_are_read_by_root_alone(self):
        modes = {asset["dest"]: asset["mode"] for asset in metadata()["assets"]}
        self.assertEqual(modes["etc/neap/environment"], "600")

    def test_c_library_is_the_one_that_releases_link_for(self):
        linked = re.search(r"^GLIBC=(\S+)$", repository.text("scripts/release"), re.M)[1]
        self.assertIn(f"libc6 (>= {linked})", metadata()["depends"])

    def test_copyright_has_the_whole_license(self):
        mine = repository.text("infra/debian/copyright").split("License: MIT\n")[1]
        mine = ["" if line == " ." else line[1:] for line in mine.splitlines()]
        whole = repository.text("LICENSE-MIT").splitlines()
        self.assertEqual(mine, whole[whole.index("") + 3 :])

    def test_scripts_of_the_package_are_scripts_of_sh(self):
        for path in ["infra/debian/postinst", "infra/debian/postrm"]:
            self.assertIn("#DEBHELPER#", repository.text(path))
            done = subprocess.run(["sh", "-n", repository.ROOT / path], capture_output=True, text=True, timeout=60)
            self.assertEqual(done.returncode, 0, done.stderr)

    def test_settings_of_the_package_are_good(self):
        file = repository.ROOT / "infra/debian/neap.toml"
        call = repository.asked(repository.neap(), "--config", str(file), "config", "check")
        done = subprocess.run(**call, capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


class Service(unittest.TestCase):
    def test_data_are_where_the_service_may_write(self):
        settings = tomllib.loads(repository.text("infra/debian/neap.toml"))["serve"]
        state = re.search(r"^StateDirectory=(\S+)$", repository.text(UNIT), re.M)[1]
        for name in ["data-dir", "plugin-dir"]:
            self.assertEqual(pathlib.PurePosixPath(settings[name]).parent, pathlib.PurePosixPath("/var/lib") / state)

    def analyze(self, *arguments):
        """What systemd says of the service, with a program in the place of `neap` that there is on any machine."""
        analyze = repository.program("systemd-analyze")
        with tempfile.TemporaryDirectory() as folder:
            unit = pathlib.Path(folder) / "neap.service"
            unit.write_text(repository.text(UNIT).replace("ExecStart=/usr/bin/neap ", "ExecStart=/bin/sh "))
            return subprocess.run([analyze, *arguments, unit], capture_output=True, text=True, timeout=60)

    def test_systemd_takes_the_service(self):
        done = self.analyze("verify", "--man=no")
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_service_sees_little_of_the_machine(self):
        done = self.analyze("security", "--offline=yes", "--threshold=20", "--no-pager")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
