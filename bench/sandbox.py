"""An instance of a function as Lambda runs it: a process, and the Runtime API that hands it its events.

Nothing is frozen between two events. Times are of this program's monotonic clock, in seconds."""

import http.server
import json
import os
import queue
import subprocess
import sys
import threading
import time
import uuid

MEMORY_MIB = {"write": 512, "query": 1769, "compact": 1769, "engine": 1769}
TIMEOUT_SECONDS = 120


class RuntimeApi(http.server.BaseHTTPRequestHandler):
    """The Runtime API, of the Extensions API what an instance uses, and a queue of SQS that takes messages."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def parse_request(self):
        # The first line is here; taking the rest apart is not the instance's time.
        self.arrived = time.perf_counter()
        return super().parse_request()

    def answer(self, status, body, headers=()):
        lines = [f"HTTP/1.1 {status} -", "content-type: application/json", f"content-length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers]
        self.wfile.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    def do_GET(self):
        sandbox = self.server.sandbox
        if "/extension/" in self.path:
            sandbox.ended.wait()
            self.close_connection = True
            return
        sandbox.ready.set_once(self.arrived)
        payload = sandbox.events.get()
        if payload is None:
            self.close_connection = True
            return
        deadline = round((time.time() + TIMEOUT_SECONDS) * 1e3)
        headers = [("lambda-runtime-aws-request-id", uuid.uuid4()), ("lambda-runtime-deadline-ms", deadline),
                   ("lambda-runtime-invoked-function-arn", "arn:aws:lambda:us-east-1:000000000000:function:bench"),
                   ("lambda-runtime-trace-id", "Root=1-00000000-000000000000000000000000;Sampled=0")]
        sandbox.handed_out = time.perf_counter()
        self.answer(200, payload, headers)

    def do_POST(self):
        body = self.body()
        sandbox = self.server.sandbox
        if self.path.endswith("/extension/register"):
            said = {"functionName": "bench", "functionVersion": "$LATEST", "handler": "bootstrap"}
            self.answer(200, json.dumps(said).encode(), [("lambda-extension-identifier", uuid.uuid4())])
            return
        if self.headers.get("x-amz-target") == "AmazonSQS.SendMessage":
            sandbox.messages.append(json.loads(json.loads(body)["MessageBody"]))
            self.answer(200, json.dumps({"MessageId": str(uuid.uuid4())}).encode())
            return
        is_error = self.path.endswith("/error")
        sandbox.answers.put((self.arrived, is_error, body))
        self.answer(202, b'{"status":"OK"}')

    def body(self):
        if self.headers.get("transfer-encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("content-length", 0)))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return body


class RuntimeServer(http.server.ThreadingHTTPServer):
    """Its server. Threads that wait for what never comes hold nothing up."""

    daemon_threads, block_on_close = True, False

    def handle_error(self, request, address):
        # An instance that is killed leaves its connections as they are.
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, address)


class Moment:
    """A time that is noted once."""

    def __init__(self):
        self.noted = threading.Event()
        self.at = None

    def set_once(self, at):
        if not self.noted.is_set():
            self.at = at
            self.noted.set()

    def wait(self):
        if not self.noted.wait(TIMEOUT_SECONDS):
            raise SystemExit("the instance did not ask for an event")
        return self.at


def cpu_seconds(pid):
    """User and system time of all threads of a process so far, those that have ended included, to the nanosecond."""
    # The id of a process's CPU clock as clock_getcpuclockid(3) makes it.
    return time.clock_gettime((~pid << 3) | 2)


def peak_mib(pid):
    """The most that a process has had in memory at a time."""
    with open(f"/proc/{pid}/status") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return None


class Sandbox:
    """An instance of a function of a folder of programs, with what it keeps in the bucket below a prefix.

    Times are from just before its process is spawned: `fork` and `exec` are part of a start."""

    def __init__(self, function, binaries, store, folder, prefix="", memory_mib=None, with_queue=False):
        self.events, self.answers, self.messages = queue.Queue(), queue.Queue(), []
        self.ready, self.ended, self.handed_out = Moment(), threading.Event(), None
        self.server = RuntimeServer(("127.0.0.1", 0), RuntimeApi)
        self.server.sandbox = self
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        self.log_path = folder / f"{function}.log"
        address = f"127.0.0.1:{self.server.server_port}"
        environment = {
            "PATH": os.environ.get("PATH", ""), "TZ": ":UTC", "TMPDIR": str(folder),
            "AWS_LAMBDA_RUNTIME_API": address, "_HANDLER": "bootstrap",
            "AWS_LAMBDA_FUNCTION_NAME": function, "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(memory_mib or MEMORY_MIB[function]),
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand", "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "AKIDTEST", "AWS_SECRET_ACCESS_KEY": "SKTEST",
            "INFLUXDB3_BUCKET": "bench", "AWS_ENDPOINT": store.url, "AWS_ALLOW_HTTP": "true",
        }
        if prefix:
            environment["NEAP_KEY_PREFIX"] = prefix
        if function != "compact":
            environment["NEAP_WITHOUT_AUTH"] = "true"
        if with_queue:
            environment["NEAP_MERGE_QUEUE_URL"] = f"http://{address}/000000000000/merges"
        with self.log_path.open("wb") as log:
            self.began = time.perf_counter()
            self.process = subprocess.Popen([binaries / f"neap-lambda-{function}"], env=environment, cwd=folder,
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def started(self):
        """The time until it asked for its first event."""
        return self.ready.wait() - self.began

    def handle(self, event):
        """Has an event handled. Gives when it was handed out, when the answer began to arrive, and the answer."""
        self.events.put(json.dumps(event).encode())
        try:
            arrived, is_error, body = self.answers.get(timeout=TIMEOUT_SECONDS)
        except queue.Empty:
            raise SystemExit(f"no answer to an event; log: {self.log()}") from None
        if is_error or ("rawPath" in event and json.loads(body).get("statusCode", 500) >= 300):
            raise SystemExit(f"not handled: {body[:500]!r}; log: {self.log()}")
        return self.handed_out - self.began, arrived - self.began, body

    def log(self):
        return self.log_path.read_text(errors="replace")[-2000:]

    def cpu_seconds(self):
        return cpu_seconds(self.process.pid)

    def peak_mib(self):
        return peak_mib(self.process.pid)

    def read_mib(self):
        """What was read from the disk for it so far: what of its binary was not in the page cache."""
        with open(f"/proc/{self.process.pid}/io") as counts:
            for line in counts:
                if line.startswith("read_bytes:"):
                    return int(line.split()[1]) / (1 << 20)
        return None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.ended.set()
        self.events.put(None)
        self.server.shutdown()
        self.server.server_close()
