#!/usr/bin/env python3
"""Start with a tail: from the start of the process until a query over all of it is answered.

    bench/start.py [--mib 50] [--runs 5] [--neap PATH] [--save]

Writes until the tail has so many MiB of segments, none of which are flushed, and kills the server. Each run starts a server
on a copy of its directory, and asks. There is no peer.
"""

import argparse
import http.client
import json
import pathlib
import shutil
import signal
import tempfile
import time
import urllib.parse

import ingest
import report as reports
import servers


def tail_bytes(directory):
    return sum(path.stat().st_size for path in directory.rglob("*.wal"))


def post(server, path, body):
    return servers.post(http.client.HTTPConnection("127.0.0.1", server.port, timeout=120), path, body)


def measure(binary, directory):
    """Seconds until the server is ready and until it has answered, its CPU seconds, and its peak MiB."""
    began = time.perf_counter()
    with servers.neap(binary, directory) as server:
        ready = time.perf_counter() - began
        body = json.dumps({"db": "bench", "q": "SELECT count(*) AS n, max(usage_user) AS m FROM cpu"})
        post(server, "/api/v3/query_sql", body)
        return ready, time.perf_counter() - began, server.cpu_seconds(), server.peak_kib / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=50)
    parser.add_argument("--neap")
    parser.add_argument("--out", type=pathlib.Path, default=servers.HERE / "out")
    reports.add_options(parser)
    arguments = parser.parse_args()
    binary = servers.neap_binary(arguments.neap)
    lines = ingest.data_file("wide", arguments.out).read_bytes().splitlines(keepends=True)
    write = "/api/v3/write_lp?" + urllib.parse.urlencode({"db": "bench", "precision": "nanosecond"})
    with tempfile.TemporaryDirectory(dir=arguments.out) as work:
        directory = pathlib.Path(work) / "data"
        server = servers.neap(binary, directory, ["--mode", "ingest,query"])
        rows = 0
        while tail_bytes(directory) < arguments.mib << 20:
            # The same rows again are those of other hosts.
            round_, at = divmod(rows, len(lines))
            batch = lines[at:at + 5000]
            body = b"".join(batch).replace(b"hostname=host_", b"hostname=host_%d_" % round_)
            post(server, write, body)
            rows += len(batch)
        server.stop(signal.SIGKILL)
        runs = []
        for _ in range(arguments.runs):
            copy = directory.with_name("copy")
            shutil.copytree(directory, copy)
            runs.append(measure(binary, copy))
            shutil.rmtree(copy)
    report = reports.Report(arguments.save)
    report.table(f"Start with {arguments.mib} MiB of tail, medians of {arguments.runs} runs",
                 ["rows", "ready after s", "answered after s", "CPU s", "peak MiB"],
                 [[rows, *map(reports.median, zip(*runs))]])
    report.finish()


if __name__ == "__main__":
    main()
