#!/usr/bin/env python3
"""Arrow Flight, beside a server that holds the same rows in memory, Neap's own JSON, and line protocol.

    bench/flight.py [--rows 10000000] [--ingest-rows 1000000] [--repeats 5] [--neap PATH]

Needs `pyarrow`, `adbc-driver-flightsql` and `adbc-driver-manager` (tests/clients/requirements.txt).

| part | what is measured |
|---|---|
| read | rows/s and MB/s of all rows: `DoGet` of Neap, `DoGet` of `pyarrow.flight` from memory, JSON lines of Neap |
| first | time to the first batch of a small query on a warm server |
| memory | resident memory of the server above idle while all rows are read |
| write | rows/s of `adbc_ingest` and of line protocol with one client, on the same rows |

The servers and the client share the machine; the parts alternate. Prints Markdown.
"""

import argparse
import http.client
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import pyarrow as pa
import pyarrow.flight as flight

import report as reports
import servers

BATCH_ROWS = 65_536
LINES_PER_REQUEST = 10_000
START_NS = 1_700_000_000_000_000_000

MEMORY_SERVER = """
import sys
import pyarrow as pa
import pyarrow.flight as flight

class InMemory(flight.FlightServerBase):
    def __init__(self, path):
        super().__init__("grpc://127.0.0.1:0")
        self.table = pa.ipc.open_file(path).read_all()

    def do_get(self, context, ticket):
        return flight.RecordBatchStream(self.table)

server = InMemory(sys.argv[1])
print(server.port, flush=True)
server.serve()
"""


def table(rows, start=0):
    """Rows of five columns: a tag, three fields and the time."""
    numbers = range(start, start + rows)
    return pa.table({
        "host": pa.array([f"host-{n % 100}" for n in numbers]).dictionary_encode(),
        "a": pa.array([n * 0.5 for n in numbers], pa.float64()),
        "b": pa.array([n * 7 % 1_000_003 / 8 for n in numbers], pa.float64()),
        "c": pa.array(numbers, pa.int64()),
        "time": pa.array([START_NS + n * 1_000 for n in numbers], pa.timestamp("ns")),
    })


def lines(rows):
    """The same rows as line protocol, in bodies of one request each."""
    for start in range(0, rows, LINES_PER_REQUEST):
        numbers = range(start, min(start + LINES_PER_REQUEST, rows))
        yield "\n".join(
            f"lines,host=host-{n % 100} a={n * 0.5},b={n * 7 % 1_000_003 / 8},c={n}i {START_NS + n * 1_000}"
            for n in numbers
        ).encode()


def read_flight(location, ticket):
    """Reads all rows; returns rows, bytes and seconds."""
    client = flight.connect(location)
    began = time.perf_counter()
    rows, size = 0, 0
    for chunk in client.do_get(flight.Ticket(ticket)):
        rows += chunk.data.num_rows
        size += chunk.data.nbytes
    return rows, size, time.perf_counter() - began


def read_json(server, sql):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=600)
    body = json.dumps({"db": "bench", "q": sql, "format": "jsonl"})
    began = time.perf_counter()
    connection.request("POST", "/api/v3/query_sql", body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    rows, size = 0, 0
    while chunk := answer.read(1 << 20):
        rows += chunk.count(b"\n")
        size += len(chunk)
    return rows, size, time.perf_counter() - began


def ingest(server, name, rows):
    """Writes rows with ADBC; returns seconds."""
    import adbc_driver_flightsql.dbapi as adbc
    from adbc_driver_flightsql import DatabaseOptions

    header = f"{DatabaseOptions.RPC_CALL_HEADER_PREFIX.value}database"
    with adbc.connect(f"grpc://127.0.0.1:{server.port}", db_kwargs={header: "bench"}, autocommit=True) as connection:
        with connection.cursor() as cursor:
            began = time.perf_counter()
            cursor.adbc_ingest(name, rows, mode="create_append")
            return time.perf_counter() - began


def write_lines(server, bodies):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=600)
    began = time.perf_counter()
    for body in bodies:
        connection.request("POST", "/api/v3/write_lp?db=bench&precision=nanosecond", body)
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != 204:
            raise SystemExit(f"{answer.status} {text[:300]!r}")
    return time.perf_counter() - began


def first_batch(server, sql):
    client = flight.connect(f"grpc://127.0.0.1:{server.port}")
    ticket = flight.Ticket(json.dumps({"database": "bench", "sql_query": sql}))
    times = []
    for _ in range(50):
        began = time.perf_counter()
        next(iter(client.do_get(ticket)))
        times.append(time.perf_counter() - began)
    return statistics.median(times[10:])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--ingest-rows", type=int, default=1_000_000)
    parser.add_argument("--neap")
    reports.add_options(parser, "--repeats")
    options = parser.parse_args()
    binary = servers.neap_binary(options.neap)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        with servers.neap(binary, folder / "data") as server:
            measure(server, folder, options)


def measure(server, folder, options):
    location = f"grpc://127.0.0.1:{server.port}"
    writes, line_times = [], []
    small = table(options.ingest_rows)
    bodies = list(lines(options.ingest_rows))
    for number in range(options.repeats):
        reader = pa.RecordBatchReader.from_batches(small.schema, small.to_batches(max_chunksize=BATCH_ROWS))
        writes.append(ingest(server, f"ingest{number}", reader))
        line_times.append(write_lines(server, bodies))

    rows_file = folder / "rows.arrow"
    with pa.OSFile(str(rows_file), "wb") as sink:
        writer = None
        for start in range(0, options.rows, 1_000_000):
            part = table(min(1_000_000, options.rows - start), start)
            part = part.set_column(0, "host", part["host"].cast(pa.string()))
            writer = writer or pa.ipc.new_file(sink, part.schema)
            writer.write_table(part, max_chunksize=BATCH_ROWS)
            chunks = part.set_column(0, "host", part["host"].combine_chunks().dictionary_encode())
            reader = pa.RecordBatchReader.from_batches(chunks.schema, chunks.to_batches(max_chunksize=BATCH_ROWS))
            ingest(server, "rows", reader)
        writer.close()
    # The lag of a flush on a directory, and the flush itself.
    time.sleep(20)

    sql = "SELECT host, a, b, c, time FROM rows"
    ticket = json.dumps({"database": "bench", "sql_query": sql})
    idle = server.resident_kib() * 1024
    peak = idle
    results = {"Neap, Flight": [], "pyarrow, from memory": [], "Neap, JSON lines": []}
    memory_server = subprocess.Popen(
        [sys.executable, "-c", MEMORY_SERVER, str(rows_file)], stdout=subprocess.PIPE, text=True
    )
    try:
        port = int(memory_server.stdout.readline())
        for _ in range(options.repeats):
            results["Neap, Flight"].append(read_flight(location, ticket))
            peak = max(peak, server.resident_kib() * 1024)
            results["pyarrow, from memory"].append(read_flight(f"grpc://127.0.0.1:{port}", "all"))
            results["Neap, JSON lines"].append(read_json(server, sql))
    finally:
        memory_server.terminate()
        memory_server.wait()

    report, rows_of_table = reports.Report(options.save), []
    peer = statistics.median(rows / seconds for rows, _, seconds in results["pyarrow, from memory"])
    for name, runs in results.items():
        rate = statistics.median(rows / seconds for rows, _, seconds in runs)
        size = statistics.median(size / seconds for _, size, seconds in runs)
        rows_of_table.append([name, runs[0][0], rate, size / 1e6, rate / peer])
    report.table("Reads", ["read", "rows", "rows/s", "MB/s", "ratio to pyarrow"], rows_of_table)
    first = first_batch(server, "SELECT * FROM rows ORDER BY time DESC LIMIT 10")
    small_first = first_batch(server, "SELECT 1")
    report.note(f"First batch: {first * 1e3:.1f} ms of the newest 10 rows, {small_first * 1e3:.1f} ms of `SELECT 1`. "
                f"Memory above idle after reads: {(peak - idle) / 1e6:.0f} MB.")
    by_lines = options.ingest_rows / statistics.median(line_times)
    by_adbc = options.ingest_rows / statistics.median(writes)
    report.table("Writes", ["write", "rows/s", "ratio"],
                 [["line protocol, one client", by_lines, 1.0], ["`adbc_ingest`", by_adbc, by_adbc / by_lines]])
    report.finish()


if __name__ == "__main__":
    main()
