#!/usr/bin/env python3
"""Plugins: rows through a trigger, what triggers cost the writers, and how fast a request is answered.

    bench/plugins.py [--rows 500000] [--neap PATH] [--only copy,overhead,request]

| part | what is measured |
|---|---|
| `copy` | rows/s from the first write to the last copy, of a trigger that builds a line of each row and writes it to another table |
| `overhead` | rows/s of writers with 0, 1 and 10 triggers on the table that only count their rows, as a ratio to none; each figure is the median of three runs that take turns, with Python started before |
| `request` | p50 and p99 of a request trigger over one connection, and the first call, which starts Python |

Without `--neap` the program is the first `neap` in PATH, else `release/neap` in CARGO_TARGET_DIR or `target`. Prints
Markdown, and what the clients have computed, which share the cores. The servers are on a directory, with Python as it
is found.
"""

import argparse
import contextlib
import json
import pathlib
import statistics
import sys
import tempfile
import threading
import time

import report as reports
import servers
from caches import Client, percentiles
from settle import metric

PARTS = ["copy", "overhead", "request"]
CLIENTS = 4
LINES = 5_000

COPY = '''
def process_writes(influxdb3_local, table_batches, args=None):
    for batch in table_batches:
        for row in batch["rows"]:
            line = LineBuilder("copied").tag("host", row["host"])
            line.float64_field("usage", row["usage"]).int64_field("load", row["load"])
            influxdb3_local.write(line.time_ns(row["time"]))
'''

COUNT = '''
def process_writes(influxdb3_local, table_batches, args=None):
    rows = (influxdb3_local.cache.get("rows") or 0) + sum(len(batch["rows"]) for batch in table_batches)
    influxdb3_local.cache.put("rows", rows)


def process_request(influxdb3_local, query_parameters, request_headers, request_body, args=None):
    return {"ok": True}
'''


def bodies(rows):
    """Lines of 100 hosts, a second apart."""
    lines = (
        f"cpu,host=h{n % 100:02} usage={n % 997 / 10},load={n % 31}i {1_700_000_000_000_000_000 + n * 1_000_000}"
        for n in range(rows)
    )
    while part := [line for _, line in zip(range(LINES), lines)]:
        yield "\n".join(part)


def serve(binary, work, name):
    folder = work / f"plugins_{name}"
    folder.mkdir()
    (folder / "copy.py").write_text(COPY)
    (folder / "count.py").write_text(COUNT)
    return servers.neap(binary, work / name, ["--plugin-dir", str(folder)])


def trigger(client, name, plugin, specification):
    body = {
        "db": "bench", "plugin_filename": plugin, "trigger_name": name, "trigger_specification": specification,
        "trigger_settings": {"run_async": False, "error_behavior": "log"}, "trigger_arguments": None, "disabled": False,
    }
    path = "/api/v3/configure/processing_engine_trigger"
    client.send("POST", path, json.dumps(body), {"Content-Type": "application/json"})


def write_all(server, parts):
    """Sends all bodies with a few clients, and gives the seconds that it took."""
    parts, lock = list(parts), threading.Lock()

    def work():
        client = Client(server)
        while True:
            with lock:
                if not parts:
                    return
                part = parts.pop()
            client.write(part)

    threads = [threading.Thread(target=work) for _ in range(CLIENTS)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - began


def count(client, table):
    return json.loads(client.query(f"SELECT count(*) AS n FROM {table}"))[0]["n"]


def settled(server):
    """Waits until no trigger has anything left to do, and gives the seconds that it took."""
    began = time.perf_counter()
    while metric(server, "neap_plugin_pending_segments") > 0 and time.perf_counter() - began < 300:
        time.sleep(0.1)
    return time.perf_counter() - began


def plugin_cpu_seconds(server):
    """The processor time of the processes of plugins so far."""
    parents, used = {}, {}
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rsplit(")", 1)[1].split()
            number = int(stat.parent.name)
            parents[number] = int(fields[1])
            used[number] = (int(fields[11]) + int(fields[12])) / servers.TICKS

    def is_below(number):
        while number and number != server.process.pid:
            number = parents.get(number)
        return bool(number)

    return sum(seconds for number, seconds in used.items() if number != server.process.pid and is_below(number))


def copy(arguments, binary, work):
    with serve(binary, work, "copy") as server:
        client = Client(server)
        client.write("cpu,host=h00 usage=0,load=0i 1\ncopied,host=h00 usage=0,load=0i 1")
        trigger(client, "copy", "copy.py", "table:cpu")
        # The first run starts Python.
        client.write("cpu,host=h00 usage=0,load=0i 2")
        while count(client, "copied") < 2:
            time.sleep(0.02)
        parts = list(bodies(arguments.rows))
        began, used, of_plugins = time.perf_counter(), server.cpu_seconds(), plugin_cpu_seconds(server)
        written = write_all(server, parts)
        while count(client, "copied") < arguments.rows + 2:
            time.sleep(0.1)
        took = time.perf_counter() - began
        arguments.report.note(
            f"A trigger copied {arguments.rows / took:,.0f} rows/s ({arguments.rows:,} rows, acknowledged at "
            f"{arguments.rows / written:,.0f} rows/s meanwhile); {server.cpu_seconds() - used:.1f} s of CPU in the "
            f"server, {server.peak_kib / 1024:.0f} MiB at most, and "
            f"{plugin_cpu_seconds(server) - of_plugins:.1f} s in Python")


def rate(arguments, binary, work, triggers, number):
    """Rows per second of the writers."""
    with serve(binary, work, f"overhead{triggers}_{number}") as server:
        client = Client(server)
        client.write("cpu,host=h00 usage=0,load=0i 1")
        for name in range(triggers):
            trigger(client, f"count{name}", "count.py", "table:cpu")
        # The first run of a trigger starts Python.
        client.write("cpu,host=h00 usage=0,load=0i 2")
        time.sleep(1)
        settled(server)
        parts, computed = list(bodies(arguments.rows)), time.process_time()
        took = write_all(server, parts)
        computed = time.process_time() - computed
        later = settled(server) if triggers else 0
        print(f"{triggers} triggers: {arguments.rows / took:,.0f} rows/s, the clients computed {computed / took:.0%} "
              f"of the time, the triggers were done {later:.1f} s later", file=sys.stderr, flush=True)
        return arguments.rows / took


def overhead(arguments, binary, work):
    rates = {triggers: [] for triggers in (0, 1, 10)}
    for number in range(reports.TURNS):
        for triggers, own in rates.items():
            own.append(rate(arguments, binary, work, triggers, number))
    without = statistics.median(rates[0])
    arguments.report.table(f"Writers beside triggers, medians of {reports.TURNS} runs", ["triggers", "rows/s", "of none"],
                           [[triggers, statistics.median(own), statistics.median(own) / without]
                            for triggers, own in rates.items()])


def request(arguments, binary, work):
    with serve(binary, work, "request") as server:
        client = Client(server)
        client.write("cpu,host=h00 usage=0,load=0i 1")
        firsts = []
        for number in range(5):
            trigger(client, f"first{number}", "count.py", f"request:first{number}")
            began = time.perf_counter()
            client.send("GET", f"/api/v3/engine/first{number}")
            firsts.append((time.perf_counter() - began) * 1000)
        p50, p99 = percentiles(lambda: client.send("GET", "/api/v3/engine/first0"), 2_000)
        arguments.report.note(f"A request trigger answers in {p50:.2f} ms (p50) and {p99:.2f} ms (p99), the first time in "
                              f"{statistics.median(firsts):.0f} ms")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--neap", help="the program; release by default")
    parser.add_argument("--only", default=",".join(PARTS), help="parts, with commas between them")
    reports.add_options(parser, turns=None)
    arguments = parser.parse_args()
    arguments.report = reports.Report(arguments.save)
    binary = servers.neap_binary(arguments.neap)
    with tempfile.TemporaryDirectory() as work:
        for part, measure in (("copy", copy), ("overhead", overhead), ("request", request)):
            if part in arguments.only.split(","):
                measure(arguments, binary, pathlib.Path(work))
    arguments.report.finish()


if __name__ == "__main__":
    main()
