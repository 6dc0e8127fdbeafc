"""Home Assistant takes the add-on, and the add-on starts a server whose token its owner can read."""

import json
import os
import pathlib
import re
import subprocess
import tempfile
import time
import tomllib
import unittest
import urllib.request

import repository

FOLDER = repository.ROOT / "infra/home-assistant"

# The settings of an add-on that this one has, and what each must be like.
SETTINGS = {
    "name": r"\w+",
    "version": r"\d+\.\d+\.\d+",
    "slug": r"[-_.A-Za-z0-9]+",
    "description": r".+",
    "startup": r"initialize|system|services|application|once",
    "stage": r"stable|experimental|deprecated",
    "webui": r"(https?|\[PROTO:\w+\])://\[HOST\]:\[PORT:\d+\].*",
    "watchdog": r"(https?|\[PROTO:\w+\]|tcp)://\[HOST\]:\[PORT:\d+\].*",
    "backup": r"hot|cold",
}
OTHERS = {"arch", "environment", "map", "ports", "timeout"}


def config():
    """The settings of the add-on."""
    [settings] = repository.yaml_documents(FOLDER / "config.yaml")
    return settings


class Config(unittest.TestCase):
    def test_fits_what_home_assistant_accepts(self):
        settings = config()
        self.assertEqual(settings.keys(), SETTINGS.keys() | OTHERS)
        for name, pattern in SETTINGS.items():
            self.assertRegex(settings[name], rf"^({pattern})$", name)
        self.assertLessEqual(set(settings["arch"]), {"aarch64", "amd64"})
        self.assertTrue(all(isinstance(it, str) for it in settings["environment"].values()))
        self.assertIn(settings["timeout"], range(10, 301))
        self.assertEqual(settings["map"], ["addon_config:rw"])

    def test_ports_are_the_one_of_the_server(self):
        settings = config()
        self.assertEqual(settings["ports"], {"8181/tcp": 8181})
        for address in (settings["webui"], settings["watchdog"]):
            self.assertEqual(re.findall(r"\[PORT:(\d+)\]", address), ["8181"])

    def test_installs_the_release_that_it_is_of(self):
        version = tomllib.loads(repository.text("Cargo.toml"))["workspace"]["package"]["version"]
        self.assertEqual(config()["version"], version)
        self.assertIn(f" neapdb=={version}\n", (FOLDER / "Dockerfile").read_text())

    def test_keeps_data_in_the_folder_that_is_backed_up(self):
        self.assertTrue(config()["environment"]["NEAP_DATA_DIR"].startswith("/data/"))

    def test_has_settings_that_neap_accepts(self):
        set_here = config()["environment"]
        call = repository.asked(repository.neap(), "config", "check")
        done = subprocess.run(**{**call, "env": {"PATH": os.environ["PATH"], **set_here}}, capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        for variable in set_here:
            self.assertIn(f"# variable {variable}\n", done.stdout)


class Start(unittest.TestCase):
    def setUp(self):
        made = tempfile.TemporaryDirectory()
        self.addCleanup(made.cleanup)
        self.folder = pathlib.Path(made.name)
        (self.folder / "config").mkdir()
        self.script = self.folder / "run"
        self.script.write_text((FOLDER / "run").read_text().replace("/config/", f"{self.folder}/config/"))

    def names_of_databases(self, started):
        """Starts the add-on, asks with the token of its owner, and stops it."""
        address = self.folder / f"address-{started}"
        env = {
            "PATH": f"{repository.neap().parent}:{os.environ['PATH']}",
            "NEAP_DATA_DIR": str(self.folder / "data"),
            "NEAP_HTTP_BIND": "127.0.0.1:0",
            "NEAP_TCP_LISTENER_FILE_PATH": str(address),
        }
        process = subprocess.Popen(["sh", str(self.script)], env=env, cwd=self.folder, stdout=subprocess.DEVNULL)
        try:
            for _ in range(1_200):
                if address.exists() and address.read_text():
                    break
                self.assertIsNone(process.poll(), "the add-on has ended")
                time.sleep(0.05)
            token = json.loads((self.folder / "config/admin-token.json").read_text())["token"]
            url = f"http://{address.read_text()}/api/v3/configure/database?format=json"
            asked = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
            with urllib.request.urlopen(asked, timeout=30) as answer:
                return [it["iox::database"] for it in json.loads(answer.read())]
        finally:
            process.terminate()
            process.wait(timeout=60)

    def test_makes_a_token_once(self):
        self.assertEqual(self.names_of_databases("first"), ["_internal"])
        made = (self.folder / "config/admin-token.json").read_bytes()
        self.assertEqual(self.names_of_databases("again"), ["_internal"])
        self.assertEqual((self.folder / "config/admin-token.json").read_bytes(), made)
