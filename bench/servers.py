"""Servers to measure: each is started on loopback in a directory of its own, watched, and stopped by its
process id."""

import contextlib
import http.client
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
# Measured queries repeat, and are to be computed each time.
WITHOUT_ANSWERS = ("--answer-cache-size", "0b")
TICKS = os.sysconf("SC_CLK_TCK")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A process, its address, and what it has used."""

    def __init__(self, name, command, port, health="/health", env=None, log=None):
        self.name, self.port = name, port
        self.url = f"http://127.0.0.1:{port}"
        self.log = open(log or os.devnull, "wb")
        self.began = time.perf_counter()
        self.process = subprocess.Popen(
            command, stdout=self.log, stderr=self.log, env={**os.environ, **(env or {})}
        )
        self.peak_kib = 0
        self.watching = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()
        if health:
            try:
                self._wait_for(health)
            except RuntimeError:
                self.stop()
                raise

    def _wait_for(self, path):
        for _ in range(600):
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.name} ended with {self.process.returncode}")
            with contextlib.suppress(OSError, http.client.HTTPException):
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
                connection.request("GET", path)
                if connection.getresponse().status < 500:
                    return
            time.sleep(0.02)
        raise RuntimeError(f"{self.name} did not start")

    def _watch(self):
        while not self.watching.wait(0.05):
            with contextlib.suppress(OSError, ValueError):
                for line in open(f"/proc/{self.process.pid}/status"):
                    if line.startswith("VmHWM:"):
                        self.peak_kib = max(self.peak_kib, int(line.split()[1]))

    def request(self, method, path):
        """Sends a request without a body. Raises RuntimeError if it is not answered with 2xx."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise RuntimeError(f"{self.name}: {method} {path}: {error}") from error
        finally:
            connection.close()
        if not 200 <= answer.status < 300:
            raise RuntimeError(f"{self.name}: {method} {path}: {answer.status} {text[:300]!r}")

    def resident_kib(self):
        """The resident memory of the process now."""
        with open(f"/proc/{self.process.pid}/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))

    def cpu_seconds(self):
        """User and system time of the process so far."""
        with open(f"/proc/{self.process.pid}/stat") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def stop(self, sig=signal.SIGTERM):
        self.watching.set()
        if self.process.poll() is None:
            self.process.send_signal(sig)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def post(connection, path, body):
    """Sends a body, and returns the answer. Ends the program if it is not 2xx."""
    connection.request("POST", path, body)
    response = connection.getresponse()
    answer = response.read()
    if response.status >= 300:
        raise SystemExit(f"{response.status} {answer[:300]!r}")
    return answer


def neap_binary(given):
    path = given or shutil.which("neap")
    if not path:
        target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", HERE.parent / "target"))
        path = target / "release" / "neap"
    if not pathlib.Path(path).exists():
        raise SystemExit(f"{path} is missing: cargo build --release --bin neap")
    return str(path)


def neap(binary, directory, extra=(), answers=WITHOUT_ANSWERS):
    """Neap on a directory."""
    port = free_port()
    command = [binary, "serve", "--object-store", "file", "--data-dir", str(directory),
               "--http-bind", f"127.0.0.1:{port}", "--without-auth", *answers, *extra]
    return Server("neap, directory", command, port, log=f"{directory}.log")


def s3_server(binary, directory):
    """The project's own S3 server."""
    pathlib.Path(directory, "bench").mkdir(parents=True)
    port = free_port()
    return Server("S3 server", [binary, str(port), str(directory)], port, health="/")


def neap_on_s3(binary, store, prefix, log, extra=()):
    """Neap on an S3 server."""
    port = free_port()
    command = [binary, "serve", "--object-store", "s3", "--bucket", "bench", "--key-prefix", prefix,
               "--aws-endpoint", store.url, "--aws-allow-http", "--aws-access-key-id", "AKIDTEST",
               "--aws-secret-access-key", "SKTEST", "--http-bind", f"127.0.0.1:{port}", "--without-auth",
               *WITHOUT_ANSWERS, *extra]
    return Server("neap, S3", command, port, log=log)


def victoria_metrics(directory, extra=()):
    """Debian's package `victoria-metrics`."""
    port = free_port()
    command = ["victoria-metrics", f"-storageDataPath={directory}", f"-httpListenAddr=127.0.0.1:{port}",
               "-retentionPeriod=100y", *extra]
    return Server("VictoriaMetrics", command, port)


def prometheus(directory):
    """Debian's package `prometheus`, which takes samples by remote write and scrapes nothing."""
    port = free_port()
    configuration = pathlib.Path(f"{directory}.yml")
    configuration.write_text("")
    command = ["prometheus", f"--config.file={configuration}", f"--storage.tsdb.path={directory}",
               f"--web.listen-address=127.0.0.1:{port}", "--web.enable-remote-write-receiver",
               "--storage.tsdb.retention.time=100y"]
    return Server("Prometheus", command, port, health="/-/ready")


def influxdb_1(directory):
    """Debian's package `influxdb` (1.6)."""
    port = free_port()
    env = {
        "INFLUXDB_META_DIR": f"{directory}/meta", "INFLUXDB_DATA_DIR": f"{directory}/data",
        "INFLUXDB_DATA_WAL_DIR": f"{directory}/wal", "INFLUXDB_HTTP_BIND_ADDRESS": f"127.0.0.1:{port}",
        "INFLUXDB_BIND_ADDRESS": f"127.0.0.1:{free_port()}", "INFLUXDB_REPORTING_DISABLED": "true",
        "INFLUXDB_HTTP_LOG_ENABLED": "false",
    }
    server = Server("InfluxDB 1.6", ["influxd"], port, health="/ping", env=env)
    try:
        server.request("POST", "/query?q=CREATE+DATABASE+bench")
    except RuntimeError:
        server.stop()
        raise
    return server
