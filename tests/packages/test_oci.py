"""The container image has both architectures, is run as that of the Dockerfile, and contains all that the program needs."""

import functools
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

import main_job
import release_fixture
import repository

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
HOST = ARCHITECTURES[release_fixture.HOST]


def setUpModule():
    # Without it the release has no image.
    repository.program("apt-get")


def skopeo(*arguments):
    program = repository.debian_program("skopeo")
    call = [*program["args"], "--insecure-policy", *arguments]
    return subprocess.run(call, env=program["env"], check=True, capture_output=True, text=True, timeout=120).stdout


@functools.cache
def unpack(architecture):
    """The root of the image for an architecture."""
    work = pathlib.Path(tempfile.mkdtemp())
    unittest.addModuleCleanup(shutil.rmtree, work)
    skopeo("--override-arch", architecture, "copy", archive(), f"oci:{work}/layout:neap")
    umoci = repository.debian_program("umoci")
    rootless = ["--rootless"] if os.geteuid() else []
    call = [*umoci["args"], "unpack", *rootless, "--image", f"{work}/layout:neap", work / "bundle"]
    subprocess.run(call, env=umoci["env"], check=True, capture_output=True, timeout=120)
    return work / "bundle/rootfs"


def archive():
    return f"oci-archive:{release_fixture.package('neap-*-oci.tar')}:neap:{release_fixture.VERSION}"


class Image(unittest.TestCase):
    def test_image_has_both_architectures(self):
        for architecture in ARCHITECTURES.values():
            described = json.loads(skopeo("--override-arch", architecture, "inspect", archive()))
            self.assertEqual(described["Architecture"], architecture)
            self.assertEqual(described["Labels"]["org.opencontainers.image.version"], release_fixture.VERSION)
            root = unpack(architecture)
            machine = next(name for name, value in ARCHITECTURES.items() if value == architecture)
            self.assertTrue((root / f"usr/lib/{machine}-linux-gnu/libc.so.6").is_file())

    def test_image_is_run_as_that_of_the_dockerfile(self):
        config = json.loads(skopeo("--override-arch", HOST, "inspect", "--config", archive()))["config"]
        dockerfile = repository.text("infra/docker/Dockerfile").split("\nFROM ")[-1]
        for instruction, value in (
            ("USER", config["User"]),
            ("EXPOSE", "".join(config["ExposedPorts"]).removesuffix("/tcp")),
            ("VOLUME", json.dumps(sorted(config["Volumes"], reverse=True))),
            ("WORKDIR", config["WorkingDir"]),
            ("STOPSIGNAL", config["StopSignal"]),
            ("CMD", json.dumps(config["Cmd"])),
        ):
            self.assertIn(value, re.findall(rf"^{instruction} (.+)$", dockerfile, re.M))

    def test_program_does_its_job_in_the_root(self):
        chroot = repository.program("chroot")
        if os.geteuid() != 0:
            raise unittest.SkipTest("chroot needs root")
        root = unpack(HOST)
        folder = root / "tmp/job"
        folder.mkdir()
        os.chown(folder, 10001, 10001)
        env = {"PATH": "/usr/local/bin"}
        main_job.run([chroot, "--userspec=10001:10001", root, "neap"], folder, root, env)
        settings = [chroot, "--userspec=10001:10001", root, "neap", "--config", "/etc/neap/neap.toml", "config", "check"]
        subprocess.run(settings, env=env, check=True, capture_output=True, timeout=60)

    def test_certificates_are_those_of_debian(self):
        bundle = (unpack(HOST) / "etc/ssl/certs/ca-certificates.crt").read_text()
        self.assertGreater(bundle.count("BEGIN CERTIFICATE"), 100)
        self.assertEqual(bundle.count("BEGIN CERTIFICATE"), bundle.count("END CERTIFICATE-----\n"))
