"""The images have what their Dockerfiles say, and the health check tells whether the server answers."""

import fnmatch
import http.server
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import tomllib
import unittest

import repository

DOCKERFILES = ["infra/docker/Dockerfile", "infra/docker/engine.Dockerfile"]
HEALTH = repository.ROOT / "infra/docker/neap-health"


class Dockerfiles(unittest.TestCase):
    def test_compile_with_the_rust_that_the_workspace_needs(self):
        wanted = tomllib.loads(repository.text("Cargo.toml"))["workspace"]["package"]["rust-version"]
        for path in DOCKERFILES:
            self.assertEqual(re.findall(r"FROM rust:([\d.]+)-", repository.text(path)), [wanted], path)

    def test_copy_what_is_in_the_context(self):
        lines = repository.text(".dockerignore").splitlines()
        kept = [line[1:] for line in lines if line.startswith("!")]
        dropped = [line for line in lines if line and line[0] not in "!#*"]
        members = tomllib.loads(repository.text("Cargo.toml"))["workspace"]["members"]
        copied = re.findall(r"^COPY (?!--from)(?:--\S+ )*(\S+) /", repository.text(DOCKERFILES[0]), re.M)
        self.assertTrue(copied)
        for path in ["Cargo.lock", *members, *copied]:
            self.assertTrue((repository.ROOT / path).exists(), path)
            above = [path, *map(str, pathlib.PurePosixPath(path).parents)]
            self.assertTrue(set(above) & set(kept), f"{path} is kept out by .dockerignore")
            self.assertFalse([rule for rule in dropped for it in above if fnmatch.fnmatch(it, rule)], path)

    def test_build_binaries_that_there_are(self):
        for path in DOCKERFILES:
            text = repository.text(path).replace("\\\n", " ")
            package = re.search(r"--path (\S+)", text)[1]
            manifest = tomllib.loads(repository.text(f"{package}/Cargo.toml"))
            binaries = [it["name"] for it in manifest.get("bin", [{"name": manifest["package"]["name"]}])]
            binary = re.search(r"--bin (\S+)", text)[1]
            self.assertIn(binary, binaries)
            self.assertIn(f"COPY --from=build /usr/local/bin/{binary} /usr/local/bin/{binary}\n", text)
            for feature in re.findall(r"--features (\S+)", text):
                self.assertIn(feature, manifest["features"])
            profiles = tomllib.loads(repository.text("Cargo.toml"))["profile"]
            self.assertIn(re.search(r"ARG PROFILE=(\w+)", text)[1], profiles)

    def test_health_check_knows_where_the_server_tells_its_address(self):
        [variable] = re.findall(r'os\.environ\["(\w+)"\]', HEALTH.read_text())
        self.assertIn(f"ENV {variable}=/tmp/", repository.text(DOCKERFILES[0]))

    def test_containers_of_terraform_run_as_the_user_of_the_image(self):
        [user] = re.findall(r"^USER (\S+)$", repository.text(DOCKERFILES[0]), re.M)
        service = repository.text("infra/terraform/modules/service/main.tf")
        self.assertIn(user, re.findall(r'user\s*= "(\S+)"', service))


class Settings(unittest.TestCase):
    def test_settings_of_the_image_are_good(self):
        file = repository.ROOT / "infra/docker/neap.toml"
        call = repository.asked(repository.neap(), "--config", str(file), "config", "check")
        done = subprocess.run(**call, capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


class Answering(http.server.BaseHTTPRequestHandler):
    """Answers everything with the status that its server has."""

    def do_GET(self):
        self.send_response(self.server.status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class Health(unittest.TestCase):
    def check(self, address):
        """What the health check says of a server that has told this address."""
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "address"
            if address:
                file.write_text(address)
            call = repository.asked(sys.executable, "-I", str(HEALTH))
            call["env"]["NEAP_TCP_LISTENER_FILE_PATH"] = str(file)
            return subprocess.run(**call, capture_output=True).returncode

    def answered(self, status, host="127.0.0.1"):
        """What it says of a server that answers with this status, and listens on such an address."""
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
            server.status = status
            threading.Thread(target=server.serve_forever, daemon=True).start()
            try:
                return self.check(f"{host}:{server.server_port}")
            finally:
                server.shutdown()

    def test_server_that_answers_is_healthy_whatever_it_listens_on(self):
        self.assertEqual(self.answered(200), 0)
        self.assertEqual(self.answered(200, "0.0.0.0"), 0)

    def test_server_that_asks_for_a_token_is_healthy(self):
        self.assertEqual(self.answered(401), 0)

    def test_server_that_fails_is_not_healthy(self):
        self.assertEqual(self.answered(503), 1)

    def test_server_that_does_not_listen_is_not_healthy(self):
        with http.server.HTTPServer(("127.0.0.1", 0), Answering) as server:
            address = f"127.0.0.1:{server.server_port}"
        self.assertEqual(self.check(address), 1)
        self.assertEqual(self.check(None), 1)
