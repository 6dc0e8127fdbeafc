#!/usr/bin/env python3
"""Ingest, acknowledged and durable, beside peers: rows/s, CPU seconds per million rows, peak memory, latencies.

    bench/ingest.py [--scale small|wide] [--workers 4] [--neap PATH] [--s3-server PATH] [--runs 5] [--save]

Servers are started one after the other, the client runs on the same cores. Peers are measured when their
packages are installed (Debian: victoria-metrics, influxdb). Prints a Markdown table; each figure is the
median of the runs, and the last column is the ratio to VictoriaMetrics in the same run. A server that refuses
writes or does not start has its error in the table in place of figures; exits 1 if that server is Neap.
"""

import argparse
import http.client
import json
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile

import report as reports
import servers

SCALES = {
    "small": ["--hosts", "100", "--interval", "10s", "--duration", "12h"],
    "wide": ["--hosts", "4000", "--interval", "10s", "--duration", "30m"],
}


def data_file(scale, out):
    path = out / f"cpu-{scale}.lp"
    if not path.exists():
        out.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        with open(partial, "wb") as file:
            command = [sys.executable, str(servers.HERE / "gen_tsbs.py"), *SCALES[scale], "--seed", "42"]
            subprocess.run(command, stdout=file, check=True)
        partial.rename(path)
    return path


class Failed(Exception):
    """A server did not take all writes."""


def load(server, api, data, workers, batch):
    before = server.cpu_seconds()
    command = [sys.executable, str(servers.HERE / "load.py"), "--url", server.url, "--api", api,
               "--db", "bench", "--workers", str(workers), "--batch", str(batch), str(data)]
    answer = subprocess.run(command, capture_output=True, text=True)
    try:
        report = json.loads(answer.stdout)
    except ValueError:
        raise Failed(f"the client failed: {answer.stderr[-300:]}") from None
    if answer.returncode != 0:
        refused = report["requests"] - sum(count for status, count in report["statuses"].items() if status[0] == "2")
        raise Failed(f"{refused} of {report['requests']} writes failed: {report['first_error']}")
    return {
        "rows_per_second": report["rows_per_second"],
        "cpu_per_million": (server.cpu_seconds() - before) / report["rows"] * 1e6,
        "peak_mib": server.peak_kib / 1024,
        "p50": report["latency_ms"]["p50"],
        "p99": report["latency_ms"]["p99"],
    }


def contenders(arguments):
    binary = servers.neap_binary(arguments.neap)
    yield "Neap, directory", "v3", lambda work: servers.neap(binary, work / "data"), None
    s3_binary = arguments.s3_server or shutil.which("neap-s3-server")
    if not s3_binary:
        beside = pathlib.Path(binary).with_name("neap-s3-server")
        s3_binary = str(beside) if beside.exists() else None
    if s3_binary:
        yield ("Neap, S3 server", "v3",
               lambda work, store: servers.neap_on_s3(binary, store, "bench", work / "neap.log"), s3_binary)
    if shutil.which("victoria-metrics"):
        yield "VictoriaMetrics", "v1", lambda work: servers.victoria_metrics(work / "data"), None
    if shutil.which("influxd"):
        yield "InfluxDB 1.6", "v1", lambda work: servers.influxdb_1(work / "data"), None


def run(start, s3_binary, api, data, arguments):
    """The figures of one server, started in a directory of its own; raises Failed."""
    def measure(server):
        return load(server, api, data, arguments.workers, arguments.batch)

    with tempfile.TemporaryDirectory(dir=arguments.out, ignore_cleanup_errors=True) as work:
        work = pathlib.Path(work)
        try:
            if not s3_binary:
                with start(work) as server:
                    return measure(server)
            with servers.s3_server(s3_binary, work / "s3") as store, start(work, store) as server:
                return measure(server)
        except (RuntimeError, OSError, http.client.HTTPException) as error:
            raise Failed(f"{type(error).__name__}: {error}") from error


def row(name, runs, errors, peer):
    """The line of the table for a server: the medians of its runs, or why there are none."""
    if errors:
        return [name, f"failed in {len(errors)} of {len(runs) + len(errors)} runs: {errors[0]}", *[None] * 5]
    median = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
    return [name, *median.values(), reports.ratio(median["rows_per_second"], peer)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", choices=SCALES, default="small")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--batch", type=int, default=5000)
    parser.add_argument("--neap", help="the neap binary (default: target/release/neap)")
    parser.add_argument("--s3-server", help="the neap-s3-server binary")
    parser.add_argument("--out", type=pathlib.Path, default=servers.HERE / "out")
    reports.add_options(parser)
    arguments = parser.parse_args()
    data = data_file(arguments.scale, arguments.out)
    results, failures = {}, {}
    for _ in range(arguments.runs):
        for name, api, start, s3_binary in contenders(arguments):
            runs, errors = results.setdefault(name, []), failures.setdefault(name, [])
            try:
                runs.append(run(start, s3_binary, api, data, arguments))
            except Failed as error:
                print(f"{name}: {error}", file=sys.stderr)
                errors.append(str(error))
    peer = None
    if results.get("VictoriaMetrics") and not failures["VictoriaMetrics"]:
        peer = statistics.median(run["rows_per_second"] for run in results["VictoriaMetrics"])
    report = reports.Report(arguments.save)
    report.table(
        f"{arguments.scale}, {arguments.workers} clients, batches of {arguments.batch}, {arguments.runs} runs",
        ["server", "rows/s", "CPU s / million rows", "peak MiB", "p50 ms", "p99 ms", "of VictoriaMetrics"],
        [row(name, runs, failures[name], peer) for name, runs in results.items()])
    report.finish()
    return 1 if any(errors for name, errors in failures.items() if name.startswith("Neap")) else 0


if __name__ == "__main__":
    sys.exit(main())
