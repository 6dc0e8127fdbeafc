"""scripts/try-aws goes through its steps, stays below its ceiling, masks what it records, and destroys what it has made."""

import contextlib
import http.server
import importlib.machinery
import importlib.util
import json
import os
import pathlib
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import unittest
import zipfile

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "try-aws"
PROGRAMS = ("write", "query", "compact", "engine")

# Stands for Terraform: notes each call, and fails or waits where a test says so.
TERRAFORM = """
import json, os, pathlib, signal, sys

folder, verb = pathlib.Path(os.environ["FAKE_FOLDER"]), sys.argv[2]
packages = [json.loads(it.removeprefix("-var=packages="))["directory"] for it in sys.argv if it.startswith("-var=packages=")]

def note(text):
    with (folder / "calls").open("a") as calls:
        calls.write(text + "\\n")

note(" ".join(["terraform", verb, *(pathlib.Path(it).name for it in packages)]))
if verb == os.environ.get("FAKE_WAITS"):
    def end(*_):
        note(f"terraform {verb} ends what it has begun")
        sys.exit(1)
    signal.signal(signal.SIGINT, end)
    (folder / "waiting").write_text("")
    signal.pause()
if verb in os.environ.get("FAKE_FAILS", "").split():
    sys.exit("a reason of terraform")
if verb == "output":
    names = {name: f"neap-{name}" for name in ("write", "query", "compact", "engine")}
    print(json.dumps({"url": {"value": os.environ["FAKE_URL"]}, "function_names": {"value": names}}))
"""

# Stands for the command of AWS.
AWS = """
import json, os, pathlib, sys

arguments = sys.argv[1:]
with (pathlib.Path(os.environ["FAKE_FOLDER"]) / "calls").open("a") as calls:
    payload = [arguments[arguments.index("--payload") + 1]] if "--payload" in arguments else []
    calls.write(" ".join(["aws", *arguments[:2], *payload]) + "\\n")
if arguments[0] == "sts":
    print(json.dumps({"Account": "210987654321"}))
if arguments[0] == "logs":
    group = arguments[arguments.index("--log-group-name") + 1]
    events = json.loads(os.environ["FAKE_EVENTS"])[group]
    lines = [json.dumps({"level": "INFO", "message": "recorded", "event": it}) for it in events]
    print(json.dumps({"events": [{"message": it} for it in ["no JSON", *lines]]}))
"""


def of_gateway(method, path):
    """An event of API Gateway with the account and the user in it."""
    return {
        "version": "2.0",
        "rawPath": path,
        "headers": {
            "authorization": "Bearer apiv3_secret",
            "host": "zyxwvu9876.execute-api.eu-central-1.amazonaws.com",
            "x-forwarded-for": "203.0.113.9",
        },
        "requestContext": {
            "accountId": "210987654321",
            "apiId": "zyxwvu9876",
            "domainPrefix": "zyxwvu9876",
            "http": {"method": method, "sourceIp": "203.0.113.9"},
            "timeEpoch": 1700000000000,
        },
    }


EVENTS = {
    "/aws/lambda/neap-write": [of_gateway("POST", "/api/v3/write_lp")],
    "/aws/lambda/neap-query": [of_gateway("GET", "/query"), of_gateway("GET", "/query")],
    "/aws/lambda/neap-compact": [{"event": "scheduled"}, {"Records": [{"eventSourceARN": "arn:aws:sqs:x:210987654321:q"}]}],
    "/aws/lambda/neap-engine": [{"event": "schedule", "time": "2026-01-01T00:00:00Z"}],
}

TRIED = [
    "aws sts get-caller-identity",
    "terraform init",
    "terraform apply packages",
    "terraform output",
    'aws lambda invoke {"event": "flush", "databases": [1]}',
    'aws lambda invoke {"event": "collect"}',
    "terraform apply recorder",
    *["aws logs filter-log-events"] * len(PROGRAMS),
    "terraform destroy packages",
]


class Api(http.server.BaseHTTPRequestHandler):
    """Answers as a deployment with the three rows does."""

    rows, versions = 3, 0

    def log_message(self, *_):
        pass

    def answer(self, status, body=None):
        text = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_GET(self):
        self.answer(200, {"results": [{"series": [{"values": [[0, self.server.rows]]}]}]})

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        if "system.versions" in body:
            self.server.versions += 1
            self.answer(200, [{"n": self.server.versions}])
        elif self.path.startswith("/api/v3/query"):
            self.answer(200, [{"n": self.server.rows, "count": self.server.rows}])
        else:
            self.answer(204)


class RuntimeApi(http.server.BaseHTTPRequestHandler):
    """Gives a function the same event again and again, as Lambda's interface does."""

    event = json.dumps({"event": "scheduled", "text": "100 % \\n \"quoted\""})

    def log_message(self, *_):
        pass

    def answer(self, text):
        self.send_response(200)
        self.send_header("Lambda-Runtime-Aws-Request-Id", "request-1")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def do_GET(self):
        self.answer(self.event if self.path.endswith("/runtime/invocation/next") else "")

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        self.server.answers.put((self.path, body))
        self.answer("")


class Recorder(unittest.TestCase):
    def test_it_logs_each_event_and_answers_it(self):
        loader = importlib.machinery.SourceFileLoader("try_aws", str(SCRIPT))
        script = importlib.util.module_from_spec(importlib.util.spec_from_loader("try_aws", loader))
        loader.exec_module(script)
        with tempfile.TemporaryDirectory() as folder:
            program = unpacked_recorder(script, folder)
            api = http.server.ThreadingHTTPServer(("127.0.0.1", 0), RuntimeApi)
            api.answers = queue.Queue()
            threading.Thread(target=api.serve_forever, daemon=True).start()
            address = f"127.0.0.1:{api.server_port}"
            environment = os.environ | {"AWS_LAMBDA_RUNTIME_API": address, "TMPDIR": folder, "no_proxy": "*"}
            process = subprocess.Popen([program], env=environment, stdout=subprocess.PIPE, text=True)
            try:
                logged = json.loads(process.stdout.readline())
                answered = api.answers.get(timeout=60)
            finally:
                process.kill()
                process.communicate()
                api.shutdown()
                api.server_close()
        self.assertEqual((logged["message"], logged["event"]), ("recorded", json.loads(RuntimeApi.event)))
        path = "/2018-06-01/runtime/invocation/request-1/response"
        self.assertEqual(answered, (path, '{"statusCode":200}'))


def unpacked_recorder(script, folder):
    """The program in the zip file of a function, unpacked as Lambda does."""
    script.make_recorder(pathlib.Path(folder))
    with zipfile.ZipFile(pathlib.Path(folder) / script.package("write")) as archive:
        (entry,) = archive.infolist()
        program = pathlib.Path(archive.extract(entry, folder))
    program.chmod(entry.external_attr >> 16)
    return str(program)


class TryAws(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        for name, text in [("terraform", TERRAFORM), ("aws", AWS)]:
            program = self.folder / "bin" / name
            program.parent.mkdir(exist_ok=True)
            program.write_text(f"#!{sys.executable}\n{text}")
            program.chmod(0o755)
        (self.folder / "packages").mkdir()
        for program in PROGRAMS:
            (self.folder / "packages" / f"neap-lambda-{program}-arm64.zip").touch()
        self.api = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api)
        self.api.rows, self.api.versions = 3, 0
        threading.Thread(target=self.api.serve_forever, daemon=True).start()
        self.addCleanup(self.api.server_close)
        self.addCleanup(self.api.shutdown)

    def start(self, *arguments, **variables):
        environment = os.environ | {
            "PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "AWS_REGION": "eu-central-1",
            "FAKE_FOLDER": str(self.folder),
            "FAKE_URL": f"http://127.0.0.1:{self.api.server_port}",
            "FAKE_EVENTS": json.dumps(EVENTS),
            "no_proxy": "*",
        }
        folders = [f"--{name}={self.folder / name}" for name in ("packages", "work", "record")]
        pipes = {name: subprocess.PIPE for name in ("stdin", "stdout", "stderr")}
        command = [sys.executable, str(SCRIPT), *folders, *arguments]
        return subprocess.Popen(command, env=environment | variables, text=True, **pipes)

    def run_script(self, *arguments, answers="", **variables):
        """The status of a run, and what it printed."""
        process = self.start(*arguments, **variables)
        out, err = process.communicate(answers, timeout=120)
        return process.returncode, out + err

    def calls(self):
        with contextlib.suppress(FileNotFoundError):
            return (self.folder / "calls").read_text().splitlines()
        return []

    def test_everything_is_tried_and_destroyed(self):
        status, printed = self.run_script("--yes")
        self.assertEqual(status, 0, printed)
        self.assertEqual(self.calls(), TRIED)
        self.assertFalse((self.folder / "work").exists())

    def test_recorded_events_tell_nothing_of_the_account_and_its_user(self):
        status, printed = self.run_script("--yes")
        self.assertEqual(status, 0, printed)
        files = {it.stem: it.read_text() for it in (self.folder / "record").iterdir()}
        expected = ["compact-queue", "compact-scheduled", "engine-schedule", "query-http-api-get-query"]
        self.assertEqual(sorted(files), [*expected, "write-http-api-post-api-v3-write_lp"])
        for text in files.values():
            for secret in ["210987654321", "apiv3_secret", "203.0.113.9", "zyxwvu9876"]:
                self.assertNotIn(secret, text)
        write = json.loads(files["write-http-api-post-api-v3-write_lp"])
        self.assertEqual(write["requestContext"]["accountId"], "123456789012")
        self.assertEqual(write["requestContext"]["timeEpoch"], 1700000000000)
        self.assertEqual(write["headers"]["host"], "a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com")
        self.assertEqual(json.loads(files["engine-schedule"]), EVENTS["/aws/lambda/neap-engine"][0])

    def test_each_step_is_printed_before_it_runs(self):
        status, printed = self.run_script("--dry-run")
        self.assertEqual((status, self.calls()), (0, []), printed)
        steps = [line for line in printed.splitlines() if line.startswith("==> ")]
        self.assertEqual(len(steps), 10, printed)
        self.assertTrue(steps[-1].startswith("==> terraform destroy"), printed)
        status, printed = self.run_script("--yes")
        self.assertEqual(len([line for line in printed.splitlines() if line.startswith("==> ")]), len(steps), printed)

    def test_a_step_without_consent_ends_the_trial(self):
        status, printed = self.run_script(answers="y\n")
        self.assertEqual((status, self.calls()), (1, TRIED[:1]), printed)
        self.assertIn("not confirmed", printed)
        (self.folder / "calls").unlink()
        status, printed = self.run_script(answers="y\ny\ny\nno\n")
        self.assertEqual((status, self.calls()), (1, [*TRIED[:4], TRIED[-1]]), printed)

    def test_what_was_made_is_destroyed_after_a_failure(self):
        for variables, rows, failed_call in [({"FAKE_FAILS": "apply"}, 3, 3), ({"FAKE_FAILS": "output"}, 3, 4), ({}, 2, 4)]:
            self.api.rows = rows
            status, printed = self.run_script("--yes", **variables)
            self.assertEqual((status, self.calls()), (1, [*TRIED[:failed_call], TRIED[-1]]), printed)
            self.assertFalse((self.folder / "work").exists())
            (self.folder / "calls").unlink()

    def test_an_interrupted_trial_lets_terraform_end_and_destroys(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.mkfifo(self.folder / "waiting")
            process = self.start("--yes", FAKE_WAITS="apply")
            (self.folder / "waiting").read_text()
            process.send_signal(number)
            out, err = process.communicate(timeout=120)
            ended = "terraform apply ends what it has begun"
            self.assertEqual(self.calls(), [*TRIED[:3], ended, TRIED[-1]], out + err)
            self.assertEqual(process.returncode, 1)
            (self.folder / "calls").unlink()
            (self.folder / "waiting").unlink()

    def test_a_failed_destruction_is_repeated_and_its_state_is_kept(self):
        status, printed = self.run_script("--yes", FAKE_FAILS="destroy")
        self.assertEqual((status, self.calls()), (1, [*TRIED, TRIED[-1]]), printed)
        self.assertIn("not everything was destroyed, and what is left costs money", printed)
        self.assertTrue((self.folder / "work").exists())
        (self.folder / "calls").unlink()
        status, printed = self.run_script("--yes")
        self.assertEqual((status, self.calls()), (1, []), printed)
        self.assertIn("has the state of an earlier run", printed)

    def test_nothing_starts_above_the_ceiling_or_without_the_functions(self):
        for arguments in [["--ceiling", "0.01"], ["--hours", "1000"], ["--hours", "24", "--dry-run"]]:
            status, printed = self.run_script("--yes" if "--dry-run" not in arguments else "--hours=24", *arguments)
            self.assertEqual((status, self.calls()), (1, []), printed)
            self.assertIn("the estimate exceeds --ceiling", printed)
        (self.folder / "packages" / "neap-lambda-query-arm64.zip").unlink()
        status, printed = self.run_script("--yes")
        self.assertEqual((status, self.calls()), (1, []), printed)
        self.assertIn("has no neap-lambda-query-arm64.zip", printed)


if __name__ == "__main__":
    unittest.main()
