#!/usr/bin/env python3
"""PromQL, beside Prometheus and VictoriaMetrics with the same samples: latencies, CPU time and memory.

    bench/promql.py [--scale day,hour] [--runs 20] [--only Neap,Prometheus,VictoriaMetrics] [--neap PATH]

| scale | samples |
|---|---|
| `day` | 2,000 series for 24 hours |
| `hour` | 100,000 series for one hour |

A series has a sample each 15 s. Half of the series are counters, a quarter are buckets of histograms, the others gauges. All
servers get them by remote write, before the clock starts, and run at the same time. One connection sends queries, and the servers
take turns query by query. Each query ends at a new time, and VictoriaMetrics keeps no results, because it would answer from
these. An answer that has not as many series and points as that of the first server is an error.

Peers are measured when Debian's packages `prometheus` and `victoria-metrics` are installed. Neap stores in a directory, and has
flushed the samples. Prints Markdown: medians of the times, and means of the CPU time of a server per query.
"""

import argparse
import collections
import concurrent.futures
import http.client
import json
import pathlib
import random
import shutil
import statistics
import struct
import tempfile
import time
import urllib.parse

import report as reports
import servers
from ingest import Failed
from protocols import block, varint

START = 1_704_067_200
INTERVAL = 15
BUCKETS = ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "+Inf"]
JOBS, SERIES_OF_INSTANCE = 10, 40
# The samples of a message of remote write.
SAMPLES_PER_BODY = 10_000
WRITERS = 2
HEADERS = {"content-type": "application/x-protobuf", "content-encoding": "snappy",
           "x-prometheus-remote-write-version": "0.1.0"}
HOUR, DAY = 3_600, 86_400
# A sample: a field of 16 bytes with a double and the time.
SAMPLE = struct.Struct("<3sd7s")

Scale = collections.namedtuple("Scale", "series seconds")
SCALES = {"day": Scale(2_000, DAY), "hour": Scale(100_000, HOUR)}
Query = collections.namedtuple("Query", "name path parameters")
Reading = collections.namedtuple("Reading", "milliseconds cpu")


class Contender:
    """A server, and where it takes samples and answers queries."""

    def __init__(self, server, write_path, prefix="", parameters=None):
        self.server, self.write_path = server, write_path
        self.prefix, self.parameters = prefix, parameters or {}
        self.connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=600)

    @property
    def name(self):
        return self.server.name

    def ask(self, query):
        """The data of an answer, and what it has taken."""
        form = urllib.parse.urlencode({**self.parameters, **query.parameters})
        cpu, began = self.server.cpu_seconds(), time.perf_counter()
        self.connection.request("GET", f"{self.prefix}/api/v1/{query.path}?{form}")
        answer = self.connection.getresponse()
        text = answer.read()
        elapsed = time.perf_counter() - began
        if answer.status != 200:
            raise Failed(f"{self.name}: {query.name}: {answer.status} {text[:300]!r}")
        return json.loads(text)["data"], Reading(elapsed * 1e3, (self.server.cpu_seconds() - cpu) * 1e3)


def contenders(arguments, work):
    """Starts the servers."""
    only = arguments.only.split(",")
    if "Neap" in only:
        server = servers.neap(servers.neap_binary(arguments.neap), work / "neap")
        server.name = "Neap"
        yield Contender(server, "/api/v1/write?db=bench", "/prometheus", {"db": "bench"})
    if "Prometheus" in only and shutil.which("prometheus"):
        yield Contender(servers.prometheus(work / "prometheus"), "/api/v1/write")
    if "VictoriaMetrics" in only and shutil.which("victoria-metrics"):
        server = servers.victoria_metrics(work / "victoria", ["-search.disableCache"])
        yield Contender(server, "/api/v1/write", parameters={"nocache": "1"})


# Samples


def label_set(name, **labels):
    """The fields of a series with its labels."""
    pairs = sorted({"__name__": name, **labels}.items())
    return b"".join(block(1, block(1, key.encode()) + block(2, value.encode())) for key, value in pairs)


def label_sets(count):
    """The labels of so many series. Ten of 40 of an instance are buckets of a histogram, and come first."""
    for number in range(count):
        instance, place = divmod(number, SERIES_OF_INSTANCE)
        common = {"job": f"job-{instance % JOBS}", "instance": f"10.0.{instance // 250}.{instance % 250}:9100"}
        if place < len(BUCKETS):
            yield label_set("request_duration_seconds_bucket", **common, le=BUCKETS[place])
        elif place < 30:
            place -= len(BUCKETS)
            yield label_set("requests_total", **common, handler=f"/api/{place // 2}", code=["200", "500"][place % 2])
        else:
            yield label_set("memory_bytes", **common, pool=f"pool-{place - 30}")


def value(series, step):
    """A value of a series: counters grow at rates of their own, buckets grow with their bounds, and gauges change slowly."""
    instance, place = divmod(series, SERIES_OF_INSTANCE)
    if place < len(BUCKETS):
        return float(step * (place + 1) * (1 + instance % 7) + (step * instance) % (place + 2))
    if place < 30:
        return 1e6 + step * (1 + series % 89) + (step * step + series) % 13
    return 1e9 + (series * 7_919 + step * step * 31) % 1_000_003


def slices(scale):
    """Messages of remote write: a list for each part of the time, in order."""
    labels = list(label_sets(scale.series))
    steps = scale.seconds // INTERVAL
    together = min(steps, 20)
    series_per_body = max(1, SAMPLES_PER_BODY // together)
    for first in range(0, steps, together):
        times = [(step, b"\x10" + varint((START + step * INTERVAL) * 1_000)) for step in range(first, min(first + together, steps))]
        messages = []
        for begin in range(0, scale.series, series_per_body):
            message = bytearray()
            for series in range(begin, min(begin + series_per_body, scale.series)):
                # The name of the field, its length, and the name of the double.
                samples = b"".join(SAMPLE.pack(b"\x12\x10\x09", value(series, step), time) for step, time in times)
                message += block(1, labels[series] + samples)
            messages.append(literal(bytes(message)))
        yield messages


def literal(message):
    """A block of snappy that is one literal."""
    return varint(len(message)) + b"\xfc" + struct.pack("<I", len(message) - 1) + message


def write(contender, messages):
    """Writes messages that may overtake each other."""
    def post(connection, message):
        connection.request("POST", contender.write_path, message, HEADERS)
        answer = connection.getresponse()
        text = answer.read()
        if answer.status // 100 != 2:
            raise Failed(f"{contender.name}: {answer.status} {text[:300]!r}")

    connections = [http.client.HTTPConnection("127.0.0.1", contender.server.port, timeout=600) for _ in range(WRITERS)]
    shares = [messages[number::WRITERS] for number in range(WRITERS)]
    with concurrent.futures.ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(lambda pair: [post(pair[0], message) for message in pair[1]], zip(connections, shares)))


def fill(all_contenders, scale):
    """Writes all samples to all servers. Messages of the same times are written together: Prometheus takes samples of a
    series only in the order of time."""
    for messages in slices(scale):
        for contender in all_contenders:
            write(contender, messages)
    # The lag of a flush on a directory, and the flush itself.
    time.sleep(30)


# Queries


def queries(scale, run):
    """The queries of a run. Each run has another end, so that no answer is that of an earlier run."""
    numbers = random.Random(run)
    end = START + scale.seconds - INTERVAL * (1 + run % 40)
    instance = numbers.randrange(scale.series // SERIES_OF_INSTANCE)
    address = f"10.0.{instance // 250}.{instance % 250}:9100"
    rate = "sum by (job) (rate(requests_total[5m]))"
    quantile = "histogram_quantile(0.99, sum by (le, job) (rate(request_duration_seconds_bucket[5m])))"
    top = "topk(10, rate(requests_total[5m]))"
    one = f'memory_bytes{{instance="{address}", pool="pool-3"}}'
    # The first ranges of an hour have samples, too.
    hour = {"start": max(end - HOUR, START + 600), "end": end, "step": INTERVAL}
    yield Query("`sum by (job) (rate(…[5m]))`, 1 hour", "query_range", {"query": rate, **hour})
    if scale.seconds >= DAY:
        day = {"start": START + 600, "end": end, "step": 300}
        yield Query("`sum by (job) (rate(…[5m]))`, 24 hours", "query_range", {"query": rate, **day})
    yield Query("`histogram_quantile(0.99, …)`, 1 hour", "query_range", {"query": quantile, **hour})
    yield Query("`topk(10, rate(…[5m]))`, one time", "query", {"query": top, "time": end})
    yield Query("one series, 1 hour", "query_range", {"query": one, **hour})
    yield Query("values of a label, 1 hour", "label/instance/values", {"start": end - HOUR, "end": end})


def shape(data):
    """The number of series and of points of an answer."""
    if isinstance(data, list):
        return len(data), 0
    return len(data["result"]), sum(len(one.get("values", [1])) for one in data["result"])


def measure(all_contenders, scale, runs):
    """The readings of each query and server. The first run does not count."""
    readings = collections.defaultdict(lambda: collections.defaultdict(list))
    for run in range(runs + 1):
        for query in queries(scale, run):
            expected = None
            for contender in all_contenders:
                data, reading = contender.ask(query)
                expected = expected or shape(data)
                if shape(data) != expected or expected[0] == 0:
                    raise Failed(f"{contender.name}: {query.name}: {shape(data)} series and points, not {expected}")
                if run:
                    readings[query.name][contender.name].append(reading)
    return readings


def show(report, scale_name, all_contenders, readings, runs):
    scale, lines = SCALES[scale_name], []
    for query, by_server in readings.items():
        medians = {name: statistics.median(one.milliseconds for one in found) for name, found in by_server.items()}
        for name, found in by_server.items():
            cpu = statistics.mean(one.cpu for one in found)
            lines.append([query, name, medians[name], cpu, reports.ratio(medians[name], medians.get("Prometheus"))])
    title = f"{scale.series:,} series, {scale.seconds // HOUR} h"
    report.table(f"{title}, {runs} runs", ["query", "server", "p50 ms", "CPU ms", "p50 of Prometheus"], lines)
    report.table(f"Memory, {title}", ["server", "MiB after queries", "peak MiB"],
                 [[contender.name, contender.server.resident_kib() >> 10, contender.server.peak_kib >> 10]
                  for contender in all_contenders])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", default=",".join(SCALES), help="comma-separated scales")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--only", default="Neap,Prometheus,VictoriaMetrics", help="comma-separated names of servers")
    parser.add_argument("--neap", help="the neap binary (default: target/release/neap)")
    parser.add_argument("--out", type=pathlib.Path, default=servers.HERE / "out")
    reports.add_options(parser, turns=None)
    arguments = parser.parse_args()
    if unknown := set(arguments.scale.split(",")) - set(SCALES):
        parser.error(f"unknown scales: {', '.join(unknown)}")
    arguments.out.mkdir(parents=True, exist_ok=True)
    report = reports.Report(arguments.save)
    for name in arguments.scale.split(","):
        with tempfile.TemporaryDirectory(dir=arguments.out, ignore_cleanup_errors=True) as work:
            started = []
            try:
                # One after the other, so that those that have started are stopped if the next one does not.
                for contender in contenders(arguments, pathlib.Path(work)):
                    started.append(contender)
                if not started:
                    raise SystemExit("no server of --only is installed")
                fill(started, SCALES[name])
                show(report, name, started, measure(started, SCALES[name], arguments.runs), arguments.runs)
            except Failed as error:
                raise SystemExit(str(error)) from None
            finally:
                for contender in started:
                    contender.server.stop()
    report.finish()


if __name__ == "__main__":
    main()
