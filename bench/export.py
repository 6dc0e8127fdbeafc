#!/usr/bin/env python3
"""`neap export` to Parquet, beside DataFusion's `COPY` of the same rows.

    bench/export.py [--hosts 200] [--interval 60s] [--days 9] [--repeats 5] [--neap PATH]

Needs the Python packages `datafusion` and `pyarrow` in the Python that runs it, and `neap` as a release build.

Writes TSBS rows to a server on a directory, and compacts them. Then both sides write all rows as Parquet, in turns:

| side | reads | writes |
|---|---|---|
| neap | its sections, through the server | one file per day, zstd |
| DataFusion | one sorted Parquet file, zstd | one file, with the compression that `COPY` has by default, and with zstd(1) |

The server, the client and the peer share the machine. Prints Markdown.
"""

import argparse
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import report as reports
import servers

HERE = pathlib.Path(__file__).resolve().parent


def run(command, **options):
    return subprocess.run([str(part) for part in command], check=True, **options)


def generate(arguments, work):
    """Writes the rows as line protocol and as one sorted Parquet file; returns both."""
    lines, parquet = work / "cpu.lp", work / "cpu.parquet"
    generator = [sys.executable, HERE / "gen_tsbs.py", "--hosts", arguments.hosts, "--interval", arguments.interval,
                 "--duration", f"{arguments.days}d"]
    with open(lines, "wb") as out:
        run(generator, stdout=out)
    with open(lines, "rb") as source:
        run([sys.executable, HERE / "to_parquet.py", parquet], stdin=source)
    return lines, parquet


def load(neap, directory, lines):
    """Writes the rows and compacts them; returns a server over the result."""
    with servers.neap(neap, directory) as server:
        run([neap, "write", "--database", "bench", "--file", lines, "--quiet", "--host", server.url])
    run([neap, "compact", "--data-dir", directory], stdout=subprocess.DEVNULL)
    return servers.neap(neap, directory)


def export(neap, server, out, parallel):
    """Exports all rows; returns seconds and the processor time of the server."""
    shutil.rmtree(out, ignore_errors=True)
    used, began = server.cpu_seconds(), time.perf_counter()
    run([neap, "export", "--database", "bench", "--output", out, "--quiet", "--parallel", parallel, "--host", server.url],
        stdout=subprocess.DEVNULL)
    return time.perf_counter() - began, server.cpu_seconds() - used


def copy(parquet, out, options):
    """Copies all rows with DataFusion in a process of its own; returns seconds without its start."""
    program = f"""
import time, datafusion
context = datafusion.SessionContext()
context.register_parquet("cpu", {str(parquet)!r})
began = time.perf_counter()
context.sql("COPY cpu TO '{out}' STORED AS PARQUET {options}").collect()
print(time.perf_counter() - began)
"""
    out.unlink(missing_ok=True)
    return float(run([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True).stdout)


def size_mib(path):
    files = [path] if path.is_file() else path.rglob("*.parquet")
    return sum(file.stat().st_size for file in files) / (1 << 20)


def rows_of(path):
    import pyarrow.parquet

    files = [path] if path.is_file() else path.rglob("*.parquet")
    return sum(pyarrow.parquet.read_metadata(file).num_rows for file in files)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--hosts", type=int, default=200)
    p.add_argument("--interval", default="60s")
    p.add_argument("--days", type=int, default=9)
    p.add_argument("--parallel", type=int, default=4, help="concurrent requests of the export (default 4)")
    p.add_argument("--neap", help="the program (default: neap in PATH, else target/release/neap)")
    reports.add_options(p, "--repeats")
    arguments = p.parse_args()
    neap = servers.neap_binary(arguments.neap)

    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        lines, parquet = generate(arguments, work)
        sides = {
            "DataFusion, default": (work / "default.parquet", ""),
            "DataFusion, zstd(1)": (work / "zstd.parquet", "OPTIONS (compression 'zstd(1)')"),
        }
        exported, seconds, used = work / "exported", {}, []
        with load(neap, work / "data", lines) as server:
            for _ in range(arguments.repeats):
                took, processor = export(neap, server, exported, arguments.parallel)
                seconds.setdefault("neap export", []).append(took)
                used.append(processor)
                for name, (out, options) in sides.items():
                    seconds.setdefault(name, []).append(copy(parquet, out, options))
            peak_mib = server.peak_kib / 1024
        outputs = {"neap export": exported, **{name: out for name, (out, _) in sides.items()}}
        rows = rows_of(parquet)
        medians = {name: statistics.median(times) for name, times in seconds.items()}
        lines_of_table = []
        for name, out in outputs.items():
            assert rows_of(out) == rows, f"{name}: {rows_of(out)} rows"
            ratio = medians["DataFusion, default"] / medians[name]
            lines_of_table.append([name, medians[name], rows / medians[name], ratio, size_mib(out)])
        report = reports.Report(arguments.save)
        report.table(f"{rows:,} rows of {arguments.days} days, median of {arguments.repeats} runs",
                     ["side", "s", "rows/s", "speed, of DataFusion's default", "MiB"], lines_of_table)
        report.note(f"The server used {statistics.median(used):.2f} s of processor time, and {peak_mib:.0f} MiB at most.")
        report.finish()


if __name__ == "__main__":
    main()
