#!/usr/bin/env python3
"""The functions on AWS Lambda, on one machine: size, start, memory, overhead of an event, and writes of many instances.

    bench/lambda.py --binaries DIR [--runs 10] [--events 500] [--seconds 10] [--instances 1,10,50] [--json [FILE]]

The folder has `neap-lambda-{write,query,compact,engine}`, `neap-lambda-local` and `neap-s3-server`. The store is the
project's own S3 server, without delay. Starts and times inside an instance are measured with a Runtime API of this
program, which hands an instance its events and freezes nothing; the rest with `neap-lambda-local`, whose gateway makes
events of requests, and which freezes an instance between two events.

Prints tables in Markdown; `--json` prints one JSON object instead, or writes it to a file as well. Exits 1 if an
event was not answered as it should be.
"""

import argparse
import collections
import contextlib
import http.client
import http.server
import json
import multiprocessing
import os
import pathlib
import queue
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import uuid

import servers

# In the order in which they are started: the query finds the rows of the seed alone.
FUNCTIONS = ("query", "write", "compact", "engine")
PROGRAMS = (*(f"neap-lambda-{name}" for name in FUNCTIONS), "neap-lambda-local", "neap-s3-server")
MEMORY_MIB = {"write": 512, "query": 1769, "compact": 1769, "engine": 1769}
TIMEOUT_SECONDS = 60
LINES = 100
WRITE = "/api/v3/write_lp?" + urllib.parse.urlencode({"db": "bench", "precision": "nanosecond"})
HEALTH = "/health"


def query_path(text):
    return "/api/v3/query_sql?" + urllib.parse.urlencode({"db": "bench", "q": text})


COUNT = query_path("SELECT count(*) AS n, max(usage_user) AS m FROM cpu")
ONE = query_path("SELECT 1 AS one")


def template(lines, region="eu-1"):
    """Lines with an @ for the timestamp of all of them."""
    line = "cpu,hostname=host_%d,region=%s usage_user=%d.5,usage_system=%d.25,processes=%di @\n"
    return "".join(line % (n, region, n % 100, n % 40, n) for n in range(lines)).encode()


def stamped(lines):
    return lines.replace(b"@", str(time.time_ns()).encode())


def milliseconds(times):
    """Median, minimum and maximum of seconds, in milliseconds."""
    return {"median": round(statistics.median(times) * 1e3, 2), "min": round(min(times) * 1e3, 2),
            "max": round(max(times) * 1e3, 2), "runs": len(times)}


# Sizes.

def is_stripped(path):
    """Whether a 64-bit ELF file of this byte order has no table of symbols; none if it is no such file."""
    with path.open("rb") as data:
        header = data.read(64)
        if len(header) < 64 or header[:6] != b"\x7fELF\x02\x01":
            return None
        start, = struct.unpack_from("<Q", header, 40)
        size, count = struct.unpack_from("<HH", header, 58)
        data.seek(start)
        sections = data.read(size * count)
    kinds = (struct.unpack_from("<I", sections, at + 4)[0] for at in range(0, len(sections), size))
    return 2 not in kinds


def sizes(binaries):
    return {name: {"bytes": (binaries / name).stat().st_size, "stripped": is_stripped(binaries / name)}
            for name in PROGRAMS}


# One instance, with this program as its Runtime API.

def http_event(path, body=b""):
    """A request as an HTTP API of API Gateway makes an event of it, payload format 2.0."""
    path, _, parameters = path.partition("?")
    method = "POST" if body else "GET"
    return {
        "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": parameters,
        "headers": {"host": "bench.example", "content-type": "text/plain; charset=utf-8"},
        "requestContext": {
            "accountId": "000000000000", "apiId": "bench", "domainName": "bench.example", "domainPrefix": "bench",
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1",
                     "userAgent": "bench"},
            "requestId": str(uuid.uuid4()), "routeKey": "$default", "stage": "$default",
            "time": "01/Jan/2026:00:00:00 +0000", "timeEpoch": 1767225600000,
        },
        **({"body": body.decode()} if body else {}), "isBase64Encoded": False,
    }


class RuntimeApi(http.server.BaseHTTPRequestHandler):
    """The Runtime API, and of the Extensions API what an instance uses."""

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


class Sandbox:
    """An instance of a function. Times are in seconds, from the start of its process."""

    def __init__(self, function, binaries, store, folder):
        self.events, self.answers = queue.Queue(), queue.Queue()
        self.ready, self.ended, self.handed_out = Moment(), threading.Event(), None
        self.server = RuntimeServer(("127.0.0.1", 0), RuntimeApi)
        self.server.sandbox = self
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        self.log_path = folder / f"{function}.log"
        environment = {
            "PATH": os.environ.get("PATH", ""), "TZ": ":UTC", "TMPDIR": str(folder),
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self.server.server_port}", "_HANDLER": "bootstrap",
            "AWS_LAMBDA_FUNCTION_NAME": function, "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(MEMORY_MIB[function]),
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand", "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "AKIDTEST", "AWS_SECRET_ACCESS_KEY": "SKTEST",
            "INFLUXDB3_BUCKET": "bench", "AWS_ENDPOINT": store.url, "AWS_ALLOW_HTTP": "true",
        }
        if function != "compact":
            environment["NEAP_WITHOUT_AUTH"] = "true"
        with self.log_path.open("wb") as log:
            self.began = time.perf_counter()
            self.process = subprocess.Popen([binaries / f"neap-lambda-{function}"], env=environment, cwd=folder,
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def started(self):
        """The time until it asked for its first event."""
        return self.ready.wait() - self.began

    def handle(self, event):
        """Has an event handled. Gives when it was handed out, and when the answer began to arrive."""
        self.events.put(json.dumps(event).encode())
        try:
            arrived, is_error, body = self.answers.get(timeout=TIMEOUT_SECONDS)
        except queue.Empty:
            raise SystemExit(f"no answer to an event; log: {self.log()}") from None
        if is_error or ("rawPath" in event and json.loads(body).get("statusCode", 500) >= 300):
            raise SystemExit(f"not handled: {body[:500]!r}; log: {self.log()}")
        return self.handed_out - self.began, arrived - self.began

    def log(self):
        return self.log_path.read_text(errors="replace")[-2000:]

    def resident_mib(self):
        with open(f"/proc/{self.process.pid}/status") as status:
            for line in status:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) / 1024
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


FIRST_EVENTS = {
    "write": ("write of a line", lambda: http_event(WRITE, stamped(template(1)))),
    "query": (f"query over {LINES} rows", lambda: http_event(COUNT)),
    "compact": ("scheduled", lambda: {"event": "scheduled"}),
    "engine": ("schedule", lambda: {"event": "schedule"}),
}


@contextlib.contextmanager
def seeded_store(binaries, folder, name):
    """An S3 server with the rows that queries read, written as one segment."""
    with servers.s3_server(str(binaries / "neap-s3-server"), folder / name) as store:
        with Sandbox("write", binaries, store, folder) as sandbox:
            sandbox.handle(http_event(WRITE, stamped(template(LINES))))
        yield store


def starts(binaries, store, folder, runs):
    """Starts of each function, and what its instance then has in memory."""
    report = {}
    for function in FUNCTIONS:
        name, event = FIRST_EVENTS[function]
        inits, firsts, resident = [], [], []
        for _ in range(runs):
            with Sandbox(function, binaries, store, folder) as sandbox:
                # The event waits from the start, as on Lambda: its answer is what a client waits for.
                firsts.append(sandbox.handle(event())[1])
                inits.append(sandbox.started())
                resident.append(sandbox.resident_mib())
        report[function] = {"event": name, "init_ms": milliseconds(inits), "first_answer_ms": milliseconds(firsts),
                            "resident_mib": round(statistics.median(resident), 1)}
    return report


# Queries come first: they find the rows of the seed alone.
REQUESTS = (
    ("`/health`", "query", HEALTH, b""),
    ("`SELECT 1`", "query", ONE, b""),
    (f"`SELECT count(*)` of {LINES} rows", "query", COUNT, b""),
    ("write of a line", "write", WRITE, template(1)),
    (f"write of {LINES} lines", "write", WRITE, template(LINES)),
)


def times_inside(binaries, store, folder, events):
    """The median time that an event is inside a warm instance."""
    report = {}
    for name, function, path, body in REQUESTS:
        with Sandbox(function, binaries, store, folder) as sandbox:
            times = []
            for _ in range(events + 1):
                out, back = sandbox.handle(http_event(path, stamped(body)))
                times.append(back - out)
        report[name] = milliseconds(times[1:])
    return report


# Many instances, behind a gateway.

class Local:
    """`neap-lambda-local`, which ends with all instances when its input is closed, by whatever that is."""

    def __init__(self, binaries, folder, functions):
        folder.mkdir()
        environment = {"INFLUXDB3_BUCKET": "${BUCKET}", "AWS_ENDPOINT": "${STORE_ENDPOINT}",
                       "AWS_ALLOW_HTTP": "true", "NEAP_WITHOUT_AUTH": "true"}
        configuration = {
            "folder": str(folder), "store": {"directory": str(folder / "store")},
            "functions": {name: {
                "program": str(binaries / f"neap-lambda-{name}"), "environment": environment,
                "policy": {"deployed": name},
                "limits": {"memory_mib": MEMORY_MIB[name], "init_seconds": TIMEOUT_SECONDS},
            } for name in functions},
        }
        path = folder / "configuration.json"
        path.write_text(json.dumps(configuration))
        with (folder / "log").open("wb") as log:
            self.process = subprocess.Popen([binaries / "neap-lambda-local", "--until-end-of-input", path],
                                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            raise SystemExit((folder / "log").read_text(errors="replace")[-2000:])
        addresses = json.loads(line)
        self.gateway, self.control = (urllib.parse.urlsplit(addresses[name]).port for name in ("gateway", "control"))

    def command(self, method, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.control, timeout=TIMEOUT_SECONDS)
        with contextlib.closing(connection):
            connection.request(method, path)
            return json.loads(connection.getresponse().read())

    def start_instances(self, function, count):
        """Starts instances and waits until they wait for events. Gives their numbers."""
        numbers = [self.command("POST", f"/functions/{function}/instances")["number"] for _ in range(count)]
        deadline = time.monotonic() + TIMEOUT_SECONDS * 2
        while time.monotonic() < deadline:
            instances = self.command("GET", "/functions")[function]
            if sum(instance["phase"] == "idle" for instance in instances) == count:
                return numbers
            time.sleep(0.1)
        raise SystemExit(f"{count} instances did not start: {instances}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        try:
            self.process.wait(TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


def ask(connection, path, body, headers=()):
    connection.request("POST" if body else "GET", path, body or None, dict(headers))
    response = connection.getresponse()
    answer = response.read()
    return response.status, answer


def times_through_gateway(binaries, folder, events):
    """The median time of a request to a warm function through the gateway, by one client."""
    report = {}
    for function in ("query", "write"):
        with Local(binaries, folder / f"warm-{function}", ("write", "query")) as local:
            connection = http.client.HTTPConnection("127.0.0.1", local.gateway, timeout=TIMEOUT_SECONDS)
            with contextlib.closing(connection):
                expect(*ask(connection, WRITE, stamped(template(LINES))))
                for name, of, path, body in REQUESTS:
                    if of == function:
                        report[name] = milliseconds(round_trips(connection, path, body, events))
    return report


def round_trips(connection, path, body, events):
    times = []
    for _ in range(events + 1):
        content = stamped(body)
        began = time.perf_counter()
        answered = ask(connection, path, content)
        times.append(time.perf_counter() - began)
        expect(*answered)
    return times[1:]


def expect(status, answer):
    if status >= 300:
        raise SystemExit(f"{status} {answer[:500]!r}")


def client(port, number, start, seconds, results):
    """Writes to one instance until the time is over."""
    # Ends as other programs do, not as the parent that has servers to stop.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
    lines = template(LINES, f"region_{number}")
    headers = {"x-lambda-local-instance": str(number)}
    statuses, times, refusal = collections.Counter(), [], None
    start.wait()
    ends = time.perf_counter() + seconds
    while (began := time.perf_counter()) < ends:
        try:
            status, answer = ask(connection, WRITE, stamped(lines), headers)
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            status, answer = type(error).__name__, str(error).encode()
        times.append(time.perf_counter() - began)
        statuses[str(status)] += 1
        if not str(status).startswith("2"):
            refusal = refusal or f"{status} {answer[:300]!r}"
    results.put((dict(statuses), times, refusal))


def throughput(binaries, folder, instances, seconds):
    """Writes by so many instances of the write function with a client each."""
    with Local(binaries, folder / f"writes-{instances}", ("write",)) as local:
        numbers = local.start_instances("write", instances)
        connection = http.client.HTTPConnection("127.0.0.1", local.gateway, timeout=TIMEOUT_SECONDS)
        with contextlib.closing(connection):
            for number in numbers:
                # The first event of each is no part of the measurement.
                expect(*ask(connection, WRITE, stamped(template(1)), {"x-lambda-local-instance": str(number)}))
        before = puts(local)
        answers, elapsed = drive(local.gateway, numbers, seconds)
        requests = puts(local) - before
        resident = [resident_of(instance["pid"]) for instance in local.command("GET", "/functions")["write"]]
    statuses = sum((collections.Counter(answer[0]) for answer in answers), collections.Counter())
    times = sorted(time for answer in answers for time in answer[1])
    written = sum(count for status, count in statuses.items() if status.startswith("2"))
    refusals = [answer[2] for answer in answers if answer[2]]
    return {
        "instances": instances, "seconds": round(elapsed, 2), "statuses": dict(statuses),
        "writes_per_second": round(written / elapsed, 1), "rows_per_second": round(written * LINES / elapsed),
        "puts_per_write": round(requests / written, 3) if written else None,
        "p50_ms": round(times[len(times) // 2] * 1e3, 2), "p99_ms": round(times[len(times) * 99 // 100] * 1e3, 2),
        "resident_mib": round(statistics.median(resident), 1),
        **({"first_refusal": refusals[0]} if refusals else {}),
    }


def drive(port, numbers, seconds):
    """What the clients have seen, and the time until the last of them was answered."""
    context = multiprocessing.get_context("fork")
    start, results = context.Event(), context.Queue()
    clients = [context.Process(target=client, args=(port, number, start, seconds, results), daemon=True)
               for number in numbers]
    for process in clients:
        process.start()
    time.sleep(0.2)
    began = time.perf_counter()
    start.set()
    answers = [results.get(timeout=seconds + 2 * TIMEOUT_SECONDS) for _ in clients]
    elapsed = time.perf_counter() - began
    for process in clients:
        process.join()
    return answers, elapsed


def puts(local):
    """The puts of the write function so far."""
    counts = local.command("GET", "/store/requests").get("write", {})
    return sum(count for kind, count in counts.items() if kind.startswith("put "))


def resident_of(pid):
    pages = int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


# The report.

def table(head, rows):
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    return "\n".join(lines + [f"| {' | '.join(str(cell) for cell in row)} |" for row in rows]) + "\n"


def of_three(times):
    return f"{times['median']} ({times['min']} to {times['max']})"


def markdown(report):
    cores = report["cores"]
    said = {True: "yes", False: "no", None: "unknown"}
    binaries = [(f"`{name}`", f"{size['bytes'] / 1e6:.1f}", said[size["stripped"]])
                for name, size in report["binaries"].items()]
    runs = [(function, of_three(start["init_ms"]), start["event"], of_three(start["first_answer_ms"]),
             start["resident_mib"]) for function, start in report["starts"].items()]
    warm = [(name, function, report["inside"][name]["median"], report["gateway"][name]["median"])
            for name, function, *_ in REQUESTS]
    writes = [(level["instances"], level["writes_per_second"], f"{level['rows_per_second']:,}", level["p50_ms"],
               level["p99_ms"], level["puts_per_write"], level["resident_mib"],
               ", ".join(f"{count} × {status}" for status, count in level["statuses"].items()))
              for level in report["writes"]]
    return "\n".join([
        f"{cores} cores for everything: clients, gateway, store and all instances. The store is the project's own S3 "
        "server, without delay.\n",
        table(("binary", "MB", "stripped"), binaries),
        f"Starts, median (min to max) of {report['runs']}, from the start of the process; the binary is in the page "
        "cache after the first:\n",
        table(("function", "to the first event taken, ms", "first event", "to its answer, ms", "resident MiB"), runs),
        f"Warm, median of {report['events']}. Inside is from the event handed out to the answer that comes back, with "
        "the requests to the store; through the gateway, the instance is frozen between two:\n",
        table(("request", "function", "inside, ms", "through the gateway, ms"), warm),
        f"Writes of {LINES} lines to one bucket, a client for each instance, {report['seconds']:g} s each. With more "
        f"instances than the {cores} cores carry, they wait for each other, which they do not on Lambda:\n",
        table(("instances", "writes/s", "rows/s", "p50 ms", "p99 ms", "puts per write", "resident MiB, each",
               "answers"), writes),
    ])


def measure(arguments, folder):
    binaries = arguments.binaries.resolve()
    report = {"cores": len(os.sched_getaffinity(0)), "runs": arguments.runs, "events": arguments.events,
              "seconds": arguments.seconds, "lines": LINES, "binaries": sizes(binaries)}
    with seeded_store(binaries, folder, "starts") as store:
        report["starts"] = starts(binaries, store, folder, arguments.runs)
    with seeded_store(binaries, folder, "inside") as store:
        report["inside"] = times_inside(binaries, store, folder, arguments.events)
    report["gateway"] = times_through_gateway(binaries, folder, arguments.events)
    report["writes"] = [throughput(binaries, folder, instances, arguments.seconds)
                        for instances in arguments.instances]
    return report


def numbers(text):
    return [int(number) for number in text.split(",")]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binaries", type=pathlib.Path, required=True, help="folder of the programs")
    parser.add_argument("--runs", type=int, default=10, help="starts of each function")
    parser.add_argument("--events", type=int, default=500, help="warm events of each kind")
    parser.add_argument("--seconds", type=float, default=10, help="time of writes for each number of instances")
    parser.add_argument("--instances", type=numbers, default=[1, 10, 50], help="numbers of instances, with commas")
    parser.add_argument("--json", nargs="?", const="-", help="print JSON, or write it to this file as well")
    arguments = parser.parse_args()
    missing = [name for name in PROGRAMS if not os.access(arguments.binaries / name, os.X_OK)]
    if missing:
        raise SystemExit(f"not in {arguments.binaries}: {', '.join(missing)}")
    # What was started is stopped then, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="neap-bench-") as folder:
        report = measure(arguments, pathlib.Path(folder))
    if arguments.json != "-":
        print(markdown(report))
    if arguments.json == "-":
        print(json.dumps(report, indent=2))
    elif arguments.json:
        pathlib.Path(arguments.json).write_text(json.dumps(report, indent=2) + "\n")
    return 1 if any(level.get("first_refusal") for level in report["writes"]) else 0


if __name__ == "__main__":
    sys.exit(main())
