#!/usr/bin/env python3
"""Rows/s of other databases' protocols: QuestDB over TCP as text and binary, Prometheus remote write, TSM import.

    bench/protocols.py [--rows 2000000] [--clients 2] [--runs 5] [--only questdb,prometheus,tsm] [--neap PATH]

Needs the Python package `cramjam` (snappy) for `prometheus`, and `influxd` of Debian's package `influxdb` for `tsm`
(`--influxd`). VictoriaMetrics is measured beside Neap where Debian's package `victoria-metrics` is installed.

All bodies are built before the clock starts; the clients and the servers share the machine. QuestDB's protocol over TCP
has no answers: the clock stops when a query counts all rows. Neap stores in a directory. Prints Markdown.
"""

import argparse
import http.client
import json
import pathlib
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

import report as reports
import servers

FIELDS = 10
SAMPLES_PER_BODY = 5_000


def tsbs_rows(rows):
    """Yields `rows` lines of 100 hosts as bytes without the line feed."""
    hosts, interval = 100, 10
    command = [sys.executable, servers.HERE / "gen_tsbs.py", "--hosts", hosts, "--interval", f"{interval}s",
               "--duration", f"{-(-rows // hosts) * interval}s", "--seed", "42"]
    generator = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE)
    for _, line in zip(range(rows), generator.stdout):
        yield line.rstrip(b"\n")
    generator.kill()
    generator.wait()


def binary_row(line):
    """The row with its fields as binary doubles, as QuestDB's protocol of version 2 has them."""
    series, fields, moment = line.split(b" ")
    doubles = (field.split(b"=") for field in fields.split(b","))
    doubles = (name + b"==\x10" + struct.pack("<d", float(value.rstrip(b"i"))) for name, value in doubles)
    return b"%b %b %b" % (series, b",".join(doubles), moment)


def query(port, sql):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/api/v3/query_sql?" + urllib.parse.urlencode({"db": "bench", "q": sql, "format": "json"}))
    answer = connection.getresponse()
    body = answer.read()
    return json.loads(body) if answer.status == 200 else []


def in_parallel(work, shares):
    threads = [threading.Thread(target=work, args=(share,)) for share in shares]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def questdb(arguments, rows, work):
    """Sends rows over TCP; returns rows/s and CPU seconds per million rows of the server."""
    shares = [b"\n".join(rows[at::arguments.clients]) + b"\n" for at in range(arguments.clients)]
    port = servers.free_port()
    extra = ["--questdb-bind", f"127.0.0.1:{port}", "--questdb-without-auth", "--default-database", "bench"]
    with servers.neap(arguments.neap, work / "questdb", extra) as server:
        used, began = server.cpu_seconds(), time.perf_counter()

        def send(share):
            with servers.socket.create_connection(("127.0.0.1", port)) as connection:
                connection.sendall(share)

        in_parallel(send, shares)
        while True:
            counted = query(server.port, "SELECT count(*) AS n FROM cpu")
            if counted and counted[0]["n"] == len(rows):
                break
            time.sleep(0.01)
        seconds, cpu = time.perf_counter() - began, server.cpu_seconds() - used
    shutil.rmtree(work / "questdb")
    return len(rows) / seconds, cpu / len(rows) * 1e6


def varint(value):
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def block(number, body):
    return varint(number << 3 | 2) + varint(len(body)) + body


def remote_write_bodies(samples):
    """Requests of Prometheus remote write 1.0: 5,000 series of 100 instances, one sample each per request."""
    import cramjam

    def label(name, value):
        return block(1, block(1, name) + block(2, value))

    series = []
    for metric in range(SAMPLES_PER_BODY // 100):
        for instance in range(100):
            series.append(label(b"__name__", b"node_metric_%d_total" % metric)
                          + label(b"instance", b"10.0.0.%d:9100" % instance) + label(b"job", b"node"))
    bodies = []
    for at in range(-(-samples // SAMPLES_PER_BODY)):
        moment = varint(1_704_067_200_000 + at * 15_000)
        request = bytearray()
        for number, labels in enumerate(series):
            sample = b"\x09" + struct.pack("<d", float(at * 7 + number)) + b"\x10" + moment
            request += block(1, labels + block(2, sample))
        bodies.append(bytes(cramjam.snappy.compress_raw(bytes(request))))
    return bodies


def remote_write(server, path, bodies, clients):
    """Posts all bodies; returns samples/s and CPU seconds per million samples of the server."""
    headers = {"content-type": "application/x-protobuf", "content-encoding": "snappy",
               "x-prometheus-remote-write-version": "0.1.0"}
    refused = []

    def post(share):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        for body in share:
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            text = answer.read()
            if answer.status // 100 != 2:
                refused.append((answer.status, text[:200]))

    used, began = server.cpu_seconds(), time.perf_counter()
    in_parallel(post, [bodies[at::clients] for at in range(clients)])
    seconds, cpu = time.perf_counter() - began, server.cpu_seconds() - used
    if refused:
        raise SystemExit(f"{server.name} refused {len(refused)} requests: {refused[0]}")
    samples = len(bodies) * SAMPLES_PER_BODY
    return samples / seconds, cpu / samples * 1e6


def prometheus(arguments, bodies, work):
    """Yields the name, samples/s and CPU seconds per million samples of each server."""
    with servers.neap(arguments.neap, work / "prometheus") as server:
        yield "neap", *remote_write(server, "/api/v1/write?db=bench", bodies, arguments.clients)
    shutil.rmtree(work / "prometheus")
    if shutil.which("victoria-metrics"):
        with servers.victoria_metrics(work / "victoria") as server:
            yield "VictoriaMetrics", *remote_write(server, "/api/v1/write", bodies, arguments.clients)
        shutil.rmtree(work / "victoria", ignore_errors=True)


def tsm_folder(arguments, rows, work):
    """Writes rows to InfluxDB 1.6 and returns its folder, with all values in TSM files."""
    folder = work / "influxdb"
    port = servers.free_port()
    env = {"INFLUXDB_META_DIR": f"{folder}/meta", "INFLUXDB_DATA_DIR": f"{folder}/data",
           "INFLUXDB_DATA_WAL_DIR": f"{folder}/wal", "INFLUXDB_HTTP_BIND_ADDRESS": f"127.0.0.1:{port}",
           "INFLUXDB_BIND_ADDRESS": f"127.0.0.1:{servers.free_port()}", "INFLUXDB_REPORTING_DISABLED": "true",
           "INFLUXDB_HTTP_LOG_ENABLED": "false", "INFLUXDB_DATA_CACHE_SNAPSHOT_WRITE_COLD_DURATION": "1s"}
    with servers.Server("InfluxDB 1.6", [arguments.influxd], port, health="/ping", env=env) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        connection.request("POST", "/query?q=CREATE+DATABASE+bench")
        connection.getresponse().read()
        for at in range(0, len(rows), 10_000):
            connection.request("POST", "/write?db=bench", b"\n".join(rows[at:at + 10_000]))
            answer = connection.getresponse()
            text = answer.read()
            if answer.status != 204:
                raise SystemExit(f"InfluxDB refused a write: {text[:200]}")
        time.sleep(15)
    return folder


def tsm(arguments, folder, rows, work):
    """Imports the folder; returns values/s and the CPU seconds of importer and server."""
    import resource

    def children():
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    with servers.neap(arguments.neap, work / "import") as server:
        used, before, began = server.cpu_seconds(), children(), time.perf_counter()
        command = [arguments.neap, "import", "influxdb", "--path", folder, "--host", server.url, "--quiet",
                   "--state", work / "state.json"]
        subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - began
        importer, cpu = children() - before, server.cpu_seconds() - used
    shutil.rmtree(work / "import")
    (work / "state.json").unlink(missing_ok=True)
    values = len(rows) * FIELDS
    return values / seconds, values / importer, values / (importer + cpu)


def medians(runs):
    return [statistics.median(column) for column in zip(*runs)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--clients", type=int, default=2)
    parser.add_argument("--only", default="questdb,prometheus,tsm")
    parser.add_argument("--neap")
    parser.add_argument("--influxd", default="influxd")
    reports.add_options(parser)
    arguments = parser.parse_args()
    arguments.neap = servers.neap_binary(arguments.neap)
    parts, report = arguments.only.split(","), reports.Report(arguments.save)
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        if "questdb" in parts:
            rows = list(tsbs_rows(arguments.rows))
            forms = {"text": rows, "binary doubles": [binary_row(row) for row in rows]}
            report.table("QuestDB over TCP", ["form", "rows/s", "CPU s / million rows"],
                         [[name, *medians([questdb(arguments, body, work) for _ in range(arguments.runs)])]
                          for name, body in forms.items()])
        if "prometheus" in parts:
            bodies = remote_write_bodies(arguments.rows)
            by_server = {}
            for _ in range(arguments.runs):
                for name, *figures in prometheus(arguments, bodies, work):
                    by_server.setdefault(name, []).append(figures)
            report.table("Remote write", ["server", "samples/s", "CPU s / million samples"],
                         [[name, *medians(runs)] for name, runs in by_server.items()])
        if "tsm" in parts:
            rows = list(tsbs_rows(arguments.rows // 4))
            source = tsm_folder(arguments, rows, work)
            report.table("TSM import", ["values/s", "values per CPU s of the importer", "with the server"],
                         [medians([tsm(arguments, source, rows, work) for _ in range(arguments.runs)])])
    report.finish()


if __name__ == "__main__":
    main()
