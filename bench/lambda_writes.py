"""Writes through a gateway: by one client, and by one, ten and more instances of the write function on one bucket.

The S3 server is a process of its own, so that its processor time is not the gateway's. What limits the rate is
shown: the share of the machine that clients, gateway, store and instances take, and the puts that the store alone
gets through from as many clients."""

import contextlib
import http.client
import json
import os
import pathlib
import statistics
import subprocess
import time
import urllib.parse

import http_load
import servers
import store_puts
from lambda_events import LINES, REQUESTS, WRITE, stamped, template
from lambda_starts import milliseconds
from sandbox import MEMORY_MIB, cpu_seconds, peak_mib

TIMEOUT_SECONDS = 60
# About what 100 lines take as a segment.
SEGMENT_BYTES = 4_000
CEILING_SECONDS = 3


class Local:
    """`neap-lambda-local`, which ends with all instances when its input is closed, by whatever that is."""

    def __init__(self, servers_folder, build, store, folder, functions):
        folder.mkdir()
        environment = {"INFLUXDB3_BUCKET": "bench", "AWS_ENDPOINT": store.url, "AWS_ALLOW_HTTP": "true",
                       "AWS_ACCESS_KEY_ID": store_puts.ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": store_puts.SECRET_KEY,
                       "NEAP_WITHOUT_AUTH": "true"}
        configuration = {
            "folder": str(folder), "store": {"directory": str(folder / "unused")},
            "functions": {name: {
                "program": str(build.program(name)), "environment": environment,
                "limits": {"memory_mib": MEMORY_MIB[name], "init_seconds": TIMEOUT_SECONDS},
            } for name in functions},
        }
        path = folder / "configuration.json"
        path.write_text(json.dumps(configuration))
        with (folder / "log").open("wb") as log:
            self.process = subprocess.Popen([servers_folder / "neap-lambda-local", "--until-end-of-input", path],
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


def http_request(path, body, instance=None):
    """A function that makes a request of a body with the time in it; to one instance, if any is named."""
    method = "POST" if body else "GET"
    head = [f"{method} {path} HTTP/1.1", "host: bench.example", f"content-length: {len(stamped(body))}"]
    if instance is not None:
        head.append(f"x-lambda-local-instance: {instance}")
    head = "\r\n".join(head).encode() + b"\r\n\r\n"
    return lambda: head + stamped(body)


def again(make):
    while True:
        yield make()


@contextlib.contextmanager
def gateway(servers_folder, build, folder, name, functions):
    """A gateway and a store with nothing in it."""
    store = servers.s3_server(str(servers_folder / "neap-s3-server"), folder / f"{name}-store")
    with store, Local(servers_folder, build, store, folder / name, functions) as local:
        yield store, local


def times_through_gateway(servers_folder, build, folder, events):
    """The time of a request to a warm function through the gateway, by one client."""
    report = {}
    for function in ("query", "write"):
        with gateway(servers_folder, build, folder, f"warm-{function}", ("write", "query")) as (_, local):
            connection = http_load.Connection(local.gateway)
            with contextlib.closing(connection):
                expect(*connection.ask(http_request(WRITE, template(LINES))()))
                for name, of, path, body in REQUESTS:
                    if of == function:
                        report[name] = milliseconds(round_trips(connection, http_request(path, body), events))
    return report


def round_trips(connection, make, events):
    times = []
    for _ in range(events + 1):
        request = make()
        began = time.perf_counter()
        answered = connection.ask(request)
        times.append(time.perf_counter() - began)
        expect(*answered)
    return times[1:]


def expect(status, answer):
    if status >= 300:
        raise SystemExit(f"{status} {answer[:500]!r}")


def throughput(servers_folder, build, folder, instances, seconds):
    """Writes by so many instances of the write function with a client each."""
    with gateway(servers_folder, build, folder, f"writes-{instances}", ("write",)) as (store, local):
        numbers = local.start_instances("write", instances)
        connection = http_load.Connection(local.gateway)
        with contextlib.closing(connection):
            for number in numbers:
                # The first event of each is no part of the measurement.
                expect(*connection.ask(http_request(WRITE, template(1), number)()))
        pids = [instance["pid"] for instance in local.command("GET", "/functions")["write"]]
        first_peak = statistics.median(peak_mib(pid) for pid in pids)
        watched = {"gateway": [local.process.pid], "store": [store.process.pid], "instances": pids}
        before, objects = cpu_of(watched), segments(folder / f"writes-{instances}-store")
        generators = [again(http_request(WRITE, template(LINES, f"region_{number}"), number)) for number in numbers]
        seen = http_load.load(local.gateway, generators, seconds)
        after, objects = cpu_of(watched), segments(folder / f"writes-{instances}-store") - objects
        peak = statistics.median(peak_mib(pid) for pid in pids)
        ceiling = store_puts.ceiling(store, instances, CEILING_SECONDS, SEGMENT_BYTES)
    written, elapsed = seen.done(), seen.elapsed()
    return {
        "instances": instances, "seconds": round(elapsed, 2), "statuses": dict(seen.statuses),
        "writes_per_second": round(written / elapsed, 1), "rows_per_second": round(written * LINES / elapsed),
        "segments_per_write": round(objects / written, 3) if written else None,
        "p50_ms": seen.percentile_ms(50), "p99_ms": seen.percentile_ms(99),
        "first_peak_mib": round(first_peak, 1), "peak_mib": round(peak, 1),
        "cpu": shares(before, after, seen, written), "busiest_client": round(seen.busiest, 2), "store_alone": ceiling,
        **({"first_refusal": seen.refusal} if seen.refusal else {}),
    }


def segments(directory):
    """The segments in a bucket of the S3 server."""
    return sum(len(files) for _, _, files in os.walk(directory / "bench" / "tail"))


def cpu_of(watched):
    """The processor time of groups of processes and of the whole machine so far, in seconds."""
    ticks = [int(field) for field in pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    user, nice, system, _idle, _wait, interrupts, soft_interrupts, _stolen = ticks
    machine = (user + nice + system + interrupts + soft_interrupts) / servers.TICKS
    return {"machine": machine, **{name: sum(map(cpu_seconds, pids)) for name, pids in watched.items()}}


def shares(before, after, seen, written):
    """What part of all cores each took while the load lasted, and its milliseconds of a write."""
    used = {name: after[name] - before[name] for name in after}
    machine = used.pop("machine")
    used = {"clients": seen.cpu, **used}
    used["others"] = max(machine - sum(used.values()), 0.0)
    capacity = seen.elapsed() * os.cpu_count()
    return {name: {"share": round(seconds / capacity, 3),
                   "ms_per_write": round(seconds / written * 1e3, 3) if written else None}
            for name, seconds in used.items()}
