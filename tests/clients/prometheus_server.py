"""A Prometheus of Debian's package, and the interface that it and Neap have: remote write and PromQL over HTTP."""

import http.client
import json
import pathlib
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

from prometheus_wire import compress

PATIENCE = 60
WRITE_HEADERS = {
    "Content-Type": "application/x-protobuf",
    "Content-Encoding": "snappy",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Program:
    """A program that is started again on the same port."""

    def __init__(self, folder, name, ready, *command):
        self.command, self.ready = command, ready
        self.log = pathlib.Path(folder, f"{name}.log")
        self.start()

    def start(self):
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log)
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                with urllib.request.urlopen(self.ready, timeout=5):
                    return
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                if self.process.poll() is not None:
                    break
                time.sleep(0.1)
        raise AssertionError(f"{self.command[0]} does not answer: {self.log.read_text()[-4000:]}")

    def stop(self, with_signal=signal.SIGTERM):
        self.process.send_signal(with_signal)
        self.process.wait(PATIENCE)


class PromqlApi:
    """The addresses of a server that takes samples, and answers PromQL. One connection is kept open."""

    def __init__(self, address, prefix="", database=None, token=""):
        self.connection = http.client.HTTPConnection(address, timeout=120)
        self.prefix = prefix
        self.parameters = {"db": database} if database else {}
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}

    def request(self, method, path, body=None, headers=None):
        """Returns the status and the body of an answer."""
        self.connection.request(method, path, body, {**self.headers, **(headers or {})})
        answer = self.connection.getresponse()
        return answer.status, answer.read()

    def write(self, message):
        """Writes a message of remote write."""
        path = f"/api/v1/write?{urllib.parse.urlencode(self.parameters)}"
        status, text = self.request("POST", path, compress(message), WRITE_HEADERS)
        assert status in (200, 204), (status, text[:1_000])

    def answer(self, path, parameters, method="POST"):
        """The status and the JSON of an answer to a query."""
        form = urllib.parse.urlencode({**self.parameters, **parameters})
        if method == "GET":
            status, text = self.request("GET", f"{self.prefix}/api/v1/{path}?{form}")
        else:
            status, text = self.request("POST", f"{self.prefix}/api/v1/{path}", form, FORM)
        try:
            return status, json.loads(text)
        except ValueError:
            return status, {"status": "error", "errorType": "none", "error": text[:500].decode(errors="replace")}


LATE_SAMPLES = """\
storage:
  tsdb:
    out_of_order_time_window: 1d
"""


def start_prometheus(program, folder, configuration=LATE_SAMPLES):
    """Starts a Prometheus on a folder, without targets by default. Returns the program, and its address."""
    file = pathlib.Path(folder, "prometheus.yml")
    file.write_text(configuration)
    address = f"127.0.0.1:{free_port()}"
    started = Program(
        folder, "prometheus", f"http://{address}/-/ready", program, f"--config.file={file}",
        f"--storage.tsdb.path={folder}/prometheus", f"--web.listen-address={address}", "--storage.tsdb.retention.time=100y",
        "--web.enable-remote-write-receiver", "--web.enable-admin-api", "--enable-feature=native-histograms",
    )
    return started, address
