#!/usr/bin/env python3
"""All rows of a table in a process of Python: the module `neapdb`, beside DuckDB over the same Parquet files.

    bench/python.py [--rows 10000000] [--hosts 1000] [--repeats 5] [--neap PATH]

Needs the Python packages `neapdb` (the wheel of a release: scripts/release), and duckdb, numpy, pandas and pyarrow
(tests/clients/requirements.txt) in the Python that runs it, and `neap` as a release build.

The module writes the rows of a fleet to a directory, and `neap compact` settles them. Then each side reads all columns of
all rows, in turns and each time in a process of its own:

| side | reads | returns |
|---|---|---|
| neapdb, pandas | the table by the module, no server runs | a DataFrame, tags are categories |
| DuckDB, pandas | the Parquet files of the table | a DataFrame, tags are texts |
| neapdb, Arrow; DuckDB, Arrow | as above | a table of pyarrow |

Time and processor time are those of the statement, without imports and connecting; memory is the peak of the process. The
files stay in the page cache. Prints Markdown.
"""

import argparse
import json
import pathlib
import resource
import subprocess
import sys
import tempfile
import time
import types

import billion
import billion_queries
import fleet as fleets
import report as reports
import servers

DATABASE = "bench"
COLUMNS = ", ".join(["hostname", "region", *fleets.FIELDS, "time"])
TURN_SECONDS = 1_800


def neapdb_reader(directory, _):
    import neapdb

    connection = neapdb.connect(directory, DATABASE)
    return lambda: connection.sql(f"SELECT {COLUMNS} FROM cpu")


def duckdb_reader(_, paths):
    import duckdb

    connection = duckdb.connect()
    return lambda: connection.sql(f"SELECT {COLUMNS} FROM {billion_queries.read_parquet(paths)}")


# The reader of a side, and the conversion of its rows.
SIDES = {
    "neapdb, pandas": (neapdb_reader, lambda rows: rows.to_pandas()),
    "DuckDB, pandas": (duckdb_reader, lambda rows: rows.df()),
    "neapdb, Arrow": (neapdb_reader, lambda rows: rows.to_arrow()),
    "DuckDB, Arrow": (duckdb_reader, lambda rows: rows.to_arrow_table()),
}
BASE = "DuckDB, pandas"


def processor_seconds():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def read(side, directory, paths):
    """Reads all rows in this process; what it took."""
    import pandas  # noqa: F401  (its import is not measured)
    import pyarrow  # noqa: F401

    reader, convert = SIDES[side]
    query = reader(directory, paths)
    used, began = processor_seconds(), time.perf_counter()
    rows = convert(query())
    seconds, used = time.perf_counter() - began, processor_seconds() - used
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"rows": len(rows), "seconds": seconds, "cpu": used, "peak_mib": peak_mib}


def turn(side, directory, paths):
    """Reads all rows in another process; what it took."""
    command = [sys.executable, __file__, "--read", json.dumps([side, str(directory), paths])]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=TURN_SECONDS)
    return json.loads(done.stdout)


def load(binary, fleet, directory):
    """Writes the rows and settles them; the paths of the Parquet files, which have all rows."""
    import neapdb

    from fleet_rows import FleetRows

    connection = neapdb.connect(directory, DATABASE)
    rows = FleetRows(fleet).reader(0, fleet.ticks)
    connection.write(rows, "cpu", tags=["hostname", "region"])
    billion.compact(types.SimpleNamespace(binary=binary), directory)
    files = connection.sql("SELECT path, row_count FROM system.parquet_files WHERE table_name = 'cpu'").to_arrow()
    return parquet_files(files.to_pylist(), directory, fleet.rows)


def parquet_files(files, directory, rows):
    """The paths of the files of a table. Ends the program if other objects have some of the rows."""
    in_files = sum(file["row_count"] for file in files if file["path"].endswith(".parquet"))
    if in_files != rows:
        raise SystemExit(f"{in_files} of {rows} rows are in Parquet files: there are too few rows, or not all are settled")
    return sorted({str(pathlib.Path(directory) / file["path"]) for file in files})


def table_rows(turns, rows):
    """The rows of the table: the medians of each side, and its speed as a multiple of that of `BASE`."""
    medians = {side: {key: reports.median([one[key] for one in measured]) for key in ("seconds", "cpu", "peak_mib")}
               for side, measured in turns.items()}
    base = medians[BASE]["seconds"]
    return [[side, one["seconds"], rows / one["seconds"], reports.ratio(base, one["seconds"]), one["cpu"], one["peak_mib"]]
            for side, one in medians.items()]


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rows", type=int, default=10_000_000)
    p.add_argument("--hosts", type=int, default=1_000)
    p.add_argument("--neap", help="the program (default: neap in PATH, else target/release/neap)")
    p.add_argument("--read", type=json.loads, help=argparse.SUPPRESS)
    reports.add_options(p, "--repeats")
    arguments = p.parse_args()
    if arguments.read:
        print(json.dumps(read(*arguments.read)))
        return
    binary = servers.neap_binary(arguments.neap)
    fleet = fleets.Fleet.of_rows(arguments.hosts, arguments.rows)
    with tempfile.TemporaryDirectory() as folder:
        directory = pathlib.Path(folder) / "data"
        paths = load(binary, fleet, directory)
        turns = {side: [] for side in SIDES}
        for _ in range(arguments.repeats):
            for side, measured in turns.items():
                measured.append(turn(side, directory, paths))
                if measured[-1]["rows"] != fleet.rows:
                    raise SystemExit(f"{side}: {measured[-1]['rows']} rows, not {fleet.rows}")
        report = reports.Report(arguments.save)
        report.table(f"{fleet.rows:,} rows of {len(fleets.FIELDS)} fields, {len(paths)} Parquet files, "
                     f"median of {arguments.repeats} turns",
                     ["side", "s", "rows/s", f"speed, of {BASE}", "CPU s", "peak MiB"], table_rows(turns, fleet.rows))
        report.finish()


if __name__ == "__main__":
    main()
