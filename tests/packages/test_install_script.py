"""The install script installs the program of a release that verifies, and changes nothing otherwise."""

import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

import local_server
import main_job
import release_fixture
import repository

SCRIPT = repository.ROOT / "infra/install.sh"


class InstallScript(unittest.TestCase):
    def setUp(self):
        self.work = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.release = self.work / "release"
        self.release.mkdir()
        self.sums = self.release / "SHA256SUMS"
        shutil.copy(release_fixture.package("SHA256SUMS"), self.sums)
        archive = release_fixture.package(f"neap-*-{release_fixture.HOST}-linux.tar.gz")
        self.archive = self.release / archive.name
        self.archive.symlink_to(archive)
        self.url = self.enterContext(local_server.serve(self.release))
        self.installed = self.work / ".local/bin/neap"
        self.env = main_job.environment(HOME=str(self.work), TMPDIR=str(self.work))

    def install(self, *options, script=SCRIPT):
        return subprocess.run(["sh", script, *options], env=self.env, capture_output=True, text=True, timeout=60)

    def assert_installed(self, *options):
        done = self.install("--from", self.url, *options)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual([it.name for it in self.installed.parent.iterdir()], ["neap"])
        return done.stdout

    def assert_refused(self, message, *options, **arguments):
        """Asserts that the script fails with the message and changes no file."""
        before = set(self.work.rglob("*"))
        done = self.install(*(options or ("--from", self.url)), **arguments)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(message, done.stderr)
        self.assertEqual(set(self.work.rglob("*")), before)

    def sign(self):
        """Signs the checksums with a new key, and returns the file of allowed signers."""
        key, signers = self.work / "key", self.work / "signers"
        keygen = repository.program("ssh-keygen")
        key.unlink(missing_ok=True)
        subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", key], check=True, timeout=60)
        self.sums.with_suffix(".sig").unlink(missing_ok=True)
        sign = [keygen, "-Y", "sign", "-f", key, "-n", "neap-release", self.sums]
        subprocess.run(sign, check=True, timeout=60, capture_output=True)
        signers.write_text(f"neap-release {key.with_suffix('.pub').read_text()}")
        return signers

    def test_program_is_installed_and_does_its_job(self):
        output = self.assert_installed()
        self.assertIn("signature is not verified", output)
        self.assertIn("is not in PATH", output)
        data = self.work / "garden"
        data.mkdir()
        main_job.run([self.installed], data)

    def test_program_is_replaced_in_another_folder(self):
        folder = self.work / "a folder"
        self.installed = folder / "neap"
        folder.mkdir()
        self.installed.write_text("the former program")
        self.env["PATH"] += f":{folder}"
        self.assertNotIn("is not in PATH", self.assert_installed("--to", str(folder)))
        self.assertGreater(self.installed.stat().st_size, 1000)

    def test_missing_curl_is_named(self):
        commands = self.work / "commands"
        commands.mkdir()
        for name in ("mktemp", "rm", "sh", "uname"):
            (commands / name).symlink_to(repository.program(name))
        self.env["PATH"] = str(commands)
        self.assert_refused("needs curl")

    def test_folder_in_the_place_of_the_program_is_refused(self):
        self.installed.mkdir(parents=True)
        self.assert_refused("is a folder")

    def test_host_behind_a_user_is_refused(self):
        self.assert_refused("must not have a user", "--from", "http://127.0.0.1:80@releases.example/")

    def test_signature_is_verified(self):
        signers = self.sign()
        self.assertIn("Good", self.assert_installed("--signers", str(signers)))

    def test_signature_of_another_key_is_refused(self):
        signers = self.sign().rename(self.work / "former-signers")
        self.sign()
        self.assert_refused("does not verify", "--from", self.url, "--signers", str(signers))

    def test_changed_checksums_are_refused(self):
        signers = self.sign()
        self.sums.write_text(self.sums.read_text() + "\n")
        self.assert_refused("does not verify", "--from", self.url, "--signers", str(signers))

    def test_missing_signature_is_refused(self):
        signers = self.sign()
        self.sums.with_suffix(".sig").unlink()
        self.assert_refused("can't download", "--from", self.url, "--signers", str(signers))

    def test_changed_archive_is_refused(self):
        content = bytearray(self.archive.read_bytes())
        content[len(content) // 2] ^= 1
        self.archive.unlink()
        self.archive.write_bytes(content)
        self.assert_refused("checksum")

    def test_cut_archive_is_refused(self):
        content = self.archive.read_bytes()
        self.archive.unlink()
        self.archive.write_bytes(content[:1000])
        self.assert_refused("checksum")

    def test_wrong_checksum_is_refused(self):
        lines = self.sums.read_text().splitlines()
        self.sums.write_text("".join(f"{'0' * 64}{line[64:]}\n" for line in lines))
        self.assert_refused("checksum")

    def test_missing_files_are_refused(self):
        self.archive.unlink()
        self.assert_refused("can't download")
        self.sums.write_text("")
        self.assert_refused("names no archive")
        self.sums.unlink()
        self.assert_refused("can't download")

    def test_program_that_does_not_run_replaces_nothing(self):
        self.installed.parent.mkdir(parents=True)
        self.installed.write_text("the former program")
        name = self.archive.name.removesuffix(".tar.gz")
        (self.work / name).mkdir()
        (self.work / name / "neap").write_text("#!/bin/sh\nexit 1\n")
        self.archive.unlink()
        subprocess.run(["tar", "-czf", self.archive, "-C", self.work, name], check=True, timeout=60)
        subprocess.run(f"sha256sum {self.archive.name} >SHA256SUMS", shell=True, check=True, cwd=self.release, timeout=60)
        self.assert_refused("does not run")
        self.assertEqual(self.installed.read_text(), "the former program")

    def test_other_machines_are_refused(self):
        commands = self.work / "commands"
        commands.mkdir()
        self.env["PATH"] = f"{commands}:{os.environ['PATH']}"
        for system, machine in (("Darwin", "arm64"), ("Linux", "riscv64")):
            (commands / "uname").write_text(f'#!/bin/sh\n[ "$1" = -s ] && echo {system} || echo {machine}\n')
            (commands / "uname").chmod(0o755)
            self.assert_refused("there is no program for")

    def test_mistakes_are_explained(self):
        for options, message in (
            (["--to", "/tmp"], "--from"),
            (["--from"], "needs a value"),
            (["--form", "x"], "unknown option"),
            (["--from", "ftp://releases.example"], "not a URL"),
            (["--from", "http://releases.example"], "--signers"),
            (["--from", "http://127.0.0.1.releases.example"], "--signers"),
        ):
            self.assert_refused(message, *options)

    def test_script_of_a_release_knows_its_url(self):
        self.assertIn(f'DEFAULT_URL="{release_fixture.URL}"', release_fixture.package("install.sh").read_text())

    def test_script_that_was_cut_does_nothing(self):
        text = SCRIPT.read_text()
        cut = self.work / "cut.sh"
        self.env["NEAP_INSTALL_URL"] = self.url
        for end in range(0, text.rindex('main "$@"'), 97):
            cut.write_text(text[:end])
            self.install(script=cut)
            self.assertFalse(self.installed.exists(), f"after {end} bytes")
