#!/usr/bin/env python3
"""Ingest, acknowledged and durable, beside peers: rows/s, CPU seconds per million rows, peak memory, latencies.

    bench/ingest.py [--scale small|wide] [--workers 4] [--neap PATH] [--s3-server PATH] [--runs 3]

Servers are started one after the other, the client runs on the same cores. Peers are measured when their
packages are installed (Debian: victoria-metrics, influxdb). Prints a Markdown table; each figure is the
median of the runs, and the last column is the ratio to VictoriaMetrics in the same run.
"""

import argparse
import json
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile

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


def load(server, api, data, workers, batch):
    before = server.cpu_seconds()
    command = [sys.executable, str(servers.HERE / "load.py"), "--url", server.url, "--api", api,
               "--db", "bench", "--workers", str(workers), "--batch", str(batch), str(data)]
    answer = subprocess.run(command, capture_output=True, text=True)
    if answer.returncode != 0:
        raise SystemExit(f"{server.name}: {answer.stdout[-600:]}{answer.stderr[-600:]}")
    report = json.loads(answer.stdout)
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


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", choices=SCALES, default="small")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--batch", type=int, default=5000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--neap", help="the neap binary (default: target/release/neap)")
    parser.add_argument("--s3-server", help="the neap-s3-server binary")
    parser.add_argument("--out", type=pathlib.Path, default=servers.HERE / "out")
    arguments = parser.parse_args()
    data = data_file(arguments.scale, arguments.out)
    results = {}
    for _ in range(arguments.runs):
        for name, api, start, s3_binary in contenders(arguments):
            with tempfile.TemporaryDirectory(dir=arguments.out) as work:
                work = pathlib.Path(work)
                if s3_binary:
                    with servers.s3_server(s3_binary, work / "s3") as store, start(work, store) as server:
                        result = load(server, api, data, arguments.workers, arguments.batch)
                else:
                    with start(work) as server:
                        result = load(server, api, data, arguments.workers, arguments.batch)
            results.setdefault(name, []).append(result)
    median = {name: {key: statistics.median(run[key] for run in runs) for key in runs[0]}
              for name, runs in results.items()}
    peer = median.get("VictoriaMetrics", {}).get("rows_per_second")
    print(f"\n{arguments.scale}, {arguments.workers} clients, batches of {arguments.batch}, "
          f"{arguments.runs} runs\n")
    print("| server | rows/s | CPU s / million rows | peak MiB | p50 ms | p99 ms | of VictoriaMetrics |")
    print("|---|---|---|---|---|---|---|")
    for name, result in median.items():
        ratio = f"{result['rows_per_second'] / peer:.2f}" if peer else "–"
        print(f"| {name} | {result['rows_per_second']:,.0f} | {result['cpu_per_million']:.2f} | "
              f"{result['peak_mib']:.0f} | {result['p50']:.1f} | {result['p99']:.1f} | {ratio} |")


if __name__ == "__main__":
    main()
