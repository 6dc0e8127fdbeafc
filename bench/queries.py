#!/usr/bin/env python3
"""The query set from the tail and from sections, beside DataFusion over one sorted Parquet file.

    bench/queries.py [--neap PATH] [--runs 20]

Needs the Python packages datafusion and pyarrow in the Python that runs it. Prints a Markdown table of
medians in milliseconds; the ratios are to DataFusion in the same run. The data are those of ingest.py's
small scale. The answer of Neap comes as JSON over HTTP, DataFusion's stays in its process.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import ingest
import servers


def run(arguments, *extra):
    command = [sys.executable, str(servers.HERE / "query.py"), "--hosts", "100", "--duration", "12h",
               "--runs", str(arguments.runs), *extra]
    answer = subprocess.run(command, capture_output=True, text=True)
    try:
        return json.loads(answer.stdout)
    except ValueError:
        raise SystemExit(answer.stdout + answer.stderr) from None


def parquet_of(data, out):
    path = out / "cpu-small.parquet"
    if not path.exists():
        with open(data, "rb") as lines:
            command = [sys.executable, str(servers.HERE / "to_parquet.py"), str(path)]
            subprocess.run(command, stdin=lines, check=True)
    return path


def flush(binary, directory):
    """Flushes until nothing of the tail is left; what is younger than the flush lag is waited for."""
    time.sleep(9)
    subprocess.run([binary, "compact", "--object-store", "file", "--data-dir", str(directory)],
                   check=True, stdout=subprocess.DEVNULL)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--neap")
    parser.add_argument("--only", help="comma-separated names of queries")
    parser.add_argument("--out", type=pathlib.Path, default=servers.HERE / "out")
    arguments = parser.parse_args()
    binary = servers.neap_binary(arguments.neap)
    data = ingest.data_file("small", arguments.out)
    only = ["--only", arguments.only] if arguments.only else []
    peer = run(arguments, "--engine", "datafusion", "--parquet", str(parquet_of(data, arguments.out)), *only)
    with tempfile.TemporaryDirectory(dir=arguments.out) as work:
        directory = pathlib.Path(work) / "data"
        with servers.neap(binary, directory) as server:
            ingest.load(server, "v3", data, 4, 5000)
            tail = run(arguments, "--url", server.url, "--db", "bench", *only)
            flush(binary, directory)
            flushed = run(arguments, "--url", server.url, "--db", "bench", *only)
    print("| query | DataFusion ms | tail ms | ratio | flushed ms | ratio |")
    print("|---|---|---|---|---|---|")
    for name, base in peer.items():
        cells = [name, f"{base['p50_ms']:.1f}"]
        for report in (tail, flushed):
            mine = report[name]
            if "error" in mine:
                cells += [mine["error"][:80], "–"]
            else:
                cells += [f"{mine['p50_ms']:.1f}", f"{mine['p50_ms'] / base['p50_ms']:.2f}"]
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
