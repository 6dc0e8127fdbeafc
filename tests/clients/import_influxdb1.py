"""Imports a real InfluxDB 1 into Neap in every way, and compares every series on both sides.

    python3 tests/clients/import_influxdb1.py --neap target/release/neap --url http://127.0.0.1:8181 --points 50000

`--influxd` is the program of InfluxDB 1, such as that of Debian's package `influxdb`. The token of Neap is in
`NEAP_TOKEN`. Steps: the data folder, with kills and continuations; a portable backup; the running server; an export of
line protocol; a dry run and the choices for conflicts. The first difference ends the program with status 1.
"""

import argparse
import contextlib
import gzip
import http.client
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

DATABASE = "import_source"
HOUR = 3_600_000_000_000
START = 1_700_000_000_000_000_000
LINES_PER_REQUEST = 5_000
TOKEN = os.environ.get("NEAP_TOKEN", "")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class InfluxDb:
    """InfluxDB 1 on a folder."""

    def __init__(self, program, folder):
        self.program, self.folder = program, pathlib.Path(folder)
        self.port, self.backup_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = None

    def start(self):
        environment = {
            **os.environ,
            "INFLUXDB_META_DIR": str(self.folder / "meta"),
            "INFLUXDB_DATA_DIR": str(self.folder / "data"),
            "INFLUXDB_DATA_WAL_DIR": str(self.folder / "wal"),
            "INFLUXDB_HTTP_BIND_ADDRESS": f"127.0.0.1:{self.port}",
            "INFLUXDB_BIND_ADDRESS": f"127.0.0.1:{self.backup_port}",
            "INFLUXDB_REPORTING_DISABLED": "true",
            "INFLUXDB_HTTP_LOG_ENABLED": "false",
            # Small limits, so that there are several TSM files and a log.
            "INFLUXDB_DATA_CACHE_SNAPSHOT_MEMORY_SIZE": "2m",
        }
        with open(self.folder / "influxd.log", "ab") as log:
            self.process = subprocess.Popen([self.program], env=environment, stdout=log, stderr=log)
        for _ in range(600):
            with contextlib.suppress(OSError, http.client.HTTPException):
                if fetch(self.url + "/ping", method="HEAD")[0] < 500:
                    return self
            if self.process.poll() is not None:
                raise SystemExit(f"influxd ended, see {self.folder / 'influxd.log'}")
            time.sleep(0.1)
        raise SystemExit("influxd did not start")

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def run(self, statement):
        """Executes a statement that changes something."""
        body = urllib.parse.urlencode({"q": statement, "db": DATABASE}).encode()
        status, text = fetch(self.url + "/query", body)
        assert status == 200 and b"error" not in text, (statement, status, text)

    def write(self, lines, policy="autogen"):
        query = urllib.parse.urlencode({"db": DATABASE, "rp": policy})
        for start in range(0, len(lines), LINES_PER_REQUEST):
            body = "\n".join(lines[start : start + LINES_PER_REQUEST]).encode()
            status, text = fetch(f"{self.url}/write?{query}", body)
            assert status == 204, (status, text[:500])


def fetch(url, body=None, token="", method=None):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(url, data=body, headers=headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=600) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def query(url, database, statement, token="", policy=None):
    """Returns the series of a query: name and tags, columns, and rows."""
    parameters = {"db": database, "q": statement, "epoch": "ns", "chunked": "true"}
    if policy:
        parameters["rp"] = policy
    status, text = fetch(f"{url}/query?{urllib.parse.urlencode(parameters)}", token=token)
    assert status == 200, (statement, status, text[:500])
    series = {}
    for line in text.splitlines():
        answer = json.loads(line)
        assert "error" not in answer, (statement, answer)
        for result in answer["results"]:
            assert "error" not in result, (statement, result)
            for part in result.get("series", ()):
                tags = {tag: value for tag, value in part.get("tags", {}).items() if value}
                key = (part["name"], tuple(sorted(tags.items())))
                columns, rows = series.setdefault(key, (part["columns"], []))
                assert columns == part["columns"], key
                rows.extend(part.get("values", ()))
    return series


def points(count, seed):
    """Returns lines with values of every type, over several shards, some of them out of order."""
    chance = random.Random(seed)
    lines = []
    per_series = max(count // 40, 20)
    for host in range(10):
        for row in range(per_series):
            # About one row a minute, over months.
            at = START + row * 60_000_000_000 + host * 1_000
            fields = [f"usage={chance.random() * 100:.3f}", f"count={row - 500}i", f"ok={row % 3 == 0}"]
            if row % 2:
                fields.append(f'state="state {row % 7}"')
            if row % 5 == 0:
                fields.append(f"rare={chance.getrandbits(63) - 2**62}i")
            lines.append(f"cpu,host=server{host:02d},region=eu {','.join(fields)} {at}")
    names = ["plain", "with space", "with,comma", "with=equals", "back\\slash", "straße", '"quoted"']
    for index, name in enumerate(names):
        escaped = name.replace(",", "\\,").replace(" ", "\\ ").replace("=", "\\=")
        for row in range(per_series // 4):
            at = START + row * HOUR + index
            text = f'{name} "x" \\\\ \U0001f30a {row}'.replace("\\", "\\\\").replace('"', '\\"')
            lines.append(f'odd\\ name\\,x,tag\\ k={escaped} text\\ field="{text}",v={row * 1e300 / 7!r} {at}')
    for row in range(per_series):
        lines.append(f"constant value=42,steady=7i,on=true {START + row * 10_000_000_000}")
        lines.append(f"untagged a={row}i,b={row / 3} {START + chance.randrange(1000 * HOUR)}")
    for index in range(per_series):
        lines.append(f"wide,id={index % 500} f{index % 60}={index}i {START + index * 1_000_000}")
    head = lines[: len(lines) // 10]
    chance.shuffle(head)
    return head + lines[len(lines) // 10 :]


def fill(influx, count):
    """Writes everything in several steps, so that there are several TSM files, deletes, and a log."""
    influx.run(f"CREATE DATABASE {DATABASE}")
    influx.run(f'CREATE RETENTION POLICY "weekly" ON {DATABASE} DURATION INF REPLICATION 1')
    lines = points(count, 1)
    influx.write(lines)
    influx.write(lines[: len(lines) // 20], "weekly")
    settle(influx)
    # Newer values for some points, and deletes of what is in TSM files.
    again = [line.replace("usage=", "usage=-") for line in lines[:: 50] if line.startswith("cpu")]
    influx.write(again)
    influx.run(f"DELETE FROM cpu WHERE host = 'server01' AND time < {START + 50 * 60_000_000_000}")
    influx.run("DROP SERIES FROM wide WHERE id = '7'")
    settle(influx)
    # The rest stays in the log.
    influx.write([line.replace("usage=-", "usage=1") for line in again[: len(again) // 2]])
    influx.write([f"only_in_log,x=y v={row} {START + row}" for row in range(500)])
    influx.run(f"DELETE FROM only_in_log WHERE time >= {START + 400}")


def settle(influx):
    """Restarts InfluxDB, which writes what it has in memory to TSM files when it is cold."""
    environment = os.environ.copy()
    os.environ["INFLUXDB_DATA_CACHE_SNAPSHOT_WRITE_COLD_DURATION"] = "1s"
    influx.stop()
    influx.start()
    time.sleep(4)
    influx.stop()
    os.environ.clear()
    os.environ.update(environment)
    influx.start()


class Neap:
    """The server to import into, and the command."""

    def __init__(self, program, url, folder):
        self.program, self.url, self.folder = program, url, folder

    def command(self, *arguments):
        return [self.program, "import", "influxdb", "--host", self.url, "--quiet", *arguments]

    def environment(self):
        return {**os.environ, "NEAP_AUTH_TOKEN": TOKEN}

    def run(self, *arguments, status=0):
        done = subprocess.run(
            self.command(*arguments), cwd=self.folder, env=self.environment(), capture_output=True, text=True, timeout=3600
        )
        assert done.returncode == status, (arguments, done.returncode, done.stdout, done.stderr)
        return done.stdout + done.stderr

    def run_with_kills(self, *arguments, kills):
        """Kills the import several times, and continues it. Returns how often a run has continued an earlier one."""
        continued = killed = 0
        for run in range(kills + 1):
            process = subprocess.Popen(
                self.command(*arguments), cwd=self.folder, env=self.environment(),
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )
            timer = threading.Timer(0.7 + 0.3 * run, process.kill)
            if run < kills:
                timer.start()
            output, messages = process.communicate(timeout=3600)
            timer.cancel()
            continued += "continuing" in messages
            if process.returncode == -signal.SIGKILL:
                killed += 1
                continue
            assert process.returncode == 0, (output, messages)
            break
        return f"{killed} kills, {continued} continuations"


def compare(influx, neap, names):
    """Compares every series of all measurements, by database of Neap and retention policy of InfluxDB."""
    rows = values = 0
    for policy, database in names.items():
        measurements = query(influx.url, DATABASE, f"SHOW MEASUREMENTS ON {DATABASE}")
        for (_, _), (_, found) in measurements.items():
            for (measurement,) in found:
                quoted = '"' + measurement.replace('"', '\\"') + '"'
                statement = f'SELECT *::field FROM "{policy}".{quoted} GROUP BY *'
                expected = query(influx.url, DATABASE, statement)
                if not expected:
                    continue
                actual = query(neap.url, database, f"SELECT *::field FROM {quoted} GROUP BY *", TOKEN)
                counts = compare_series(expected, actual, f"{database}.{measurement}")
                rows, values = rows + counts[0], values + counts[1]
    return f"{rows} rows and {values} values are equal"


def compare_series(expected, actual, name):
    rows = values = 0
    assert expected.keys() == actual.keys(), (name, expected.keys() ^ actual.keys())
    for key, (columns, expected_rows) in expected.items():
        other_columns, actual_rows = actual[key]
        order = [other_columns.index(column) for column in columns]
        assert len(expected_rows) == len(actual_rows), (key, len(expected_rows), len(actual_rows))
        for one, other in zip(expected_rows, actual_rows, strict=True):
            # Columns that no row has are absent on one side.
            ordered = [other[at] for at in order]
            assert one == ordered, (key, columns, one, ordered)
            rows += 1
            values += sum(value is not None for value in one) - 1
    return rows, values


def export_lines(influx, path, policy):
    """Writes an export as `influx_inspect export` does: one value in each line."""
    with gzip.open(path, "wt", encoding="utf-8", newline="\n") as file:
        file.write("# INFLUXDB EXPORT: 1677-09-21T00:12:43Z - 2262-04-11T23:47:16Z\n# DDL\n")
        file.write(f"CREATE DATABASE {DATABASE} WITH NAME {policy}\n# DML\n")
        file.write(f"# CONTEXT-DATABASE:{DATABASE}\n# CONTEXT-RETENTION-POLICY:{policy}\n# writing tsm data\n")
        for measurement in ("constant", "untagged"):
            types = dict(query(influx.url, DATABASE, f"SHOW FIELD KEYS FROM {measurement}")[(measurement, ())][1])
            rows = query(influx.url, DATABASE, f'SELECT *::field FROM "{policy}".{measurement} GROUP BY *')
            for _, (columns, found) in rows.items():
                for row in found:
                    for column, value in zip(columns[1:], row[1:], strict=True):
                        if value is not None:
                            suffix = "i" if types[column] == "integer" else ""
                            text = str(value).lower() if isinstance(value, bool) else repr(value)
                            file.write(f"{measurement} {column}={text}{suffix} {row[0]}\n")


def check_conflicts(program, neap, folder):
    """A field of two types in two shards is refused, or stored as the options say."""
    influx = InfluxDb(program, folder).start()
    try:
        influx.run(f"CREATE DATABASE {DATABASE}")
        influx.write([f"m,t=a v=1.5 {START}", f"m,t=b v=2.5 {START}", f"m,t=a t=9i {START}"])
        influx.write([f"m,t=a v=7i {START + 1000 * HOUR}"])
    finally:
        influx.stop()
    text = neap.run("--path", str(folder), "--dry-run")
    assert "v is float (2 series), integer (1 series): refused" in text, text
    assert "4 values" in text, text
    text = neap.run("--path", str(folder), "--rename", f"{DATABASE}=conflict_refused", status=1)
    assert "2 columns have several types" in text, text
    for policy, column, expected in (("suffix", "v_integer", 7), ("convert", "v", 7.0)):
        database = f"conflict_{policy}_{os.getpid()}"
        neap.run("--path", str(folder), "--rename", f"{DATABASE}={database}", "--conflict", policy, "--state", f"{policy}.json")
        found = query(neap.url, database, f'SELECT "{column}" FROM m WHERE time > {START}', TOKEN)
        rows = found[("m", ())][1]
        assert rows == [[START + 1000 * HOUR, expected]], rows


def check_damage(neap, folder, copy, step):
    """A damaged block is reported, and the rest is imported."""
    shutil.copytree(folder, copy)
    path = max(copy.glob(f"data/{DATABASE}/autogen/*/*.tsm"), key=lambda path: path.stat().st_size)
    contents = bytearray(path.read_bytes())
    contents[100] ^= 0xFF
    path.write_bytes(contents)
    database = f"import_damaged_{step}"
    text = neap.run("--path", str(copy), "--rename", f"{DATABASE}={database}", status=1)
    assert "1 damaged parts" in text and "at byte" in text and path.name in text, text


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--influxd", default=os.environ.get("INFLUXD") or shutil.which("influxd"))
    parser.add_argument("--neap", required=True)
    parser.add_argument("--url", required=True)
    parser.add_argument("--points", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=3)
    arguments = parser.parse_args()
    if not arguments.influxd:
        raise SystemExit("influxd is missing: install Debian's package influxdb, or name it with --influxd")
    with tempfile.TemporaryDirectory() as folder:
        run(arguments, pathlib.Path(folder))


def run(arguments, folder):
    source, work = folder / "influxdb", folder / "work"
    source.mkdir()
    work.mkdir()
    neap = Neap(str(pathlib.Path(arguments.neap).resolve()), arguments.url, work)
    influx = InfluxDb(arguments.influxd, source).start()
    step = os.getpid()
    try:
        began = time.perf_counter()
        fill(influx, arguments.points)
        print(f"written in {time.perf_counter() - began:.1f} s", flush=True)
        database = f"import_live_{step}"
        neap.run("--from", influx.url, "--rename", f"{DATABASE}={database}", "--source-database", DATABASE)
        print("running server:", compare(influx, neap, {"autogen": database, "weekly": f"{database}/weekly"}), flush=True)
        backup = folder / "backup"
        subprocess.run(
            [arguments.influxd, "backup", "-portable", "-host", f"127.0.0.1:{influx.backup_port}", str(backup)],
            check=True, capture_output=True, timeout=600,
        )
        export = folder / "export.lp.gz"
        export_lines(influx, export, "autogen")
        influx.stop()
        print(neap.run("--path", str(source), "--dry-run").strip(), flush=True)
        database = f"import_folder_{step}"
        began = time.perf_counter()
        print(neap.run("--path", str(source), "--rename", f"{DATABASE}={database}").strip(), flush=True)
        print(f"imported in {time.perf_counter() - began:.1f} s", flush=True)
        influx.start()
        print("data folder:", compare(influx, neap, {"autogen": database, "weekly": f"{database}/weekly"}), flush=True)
        influx.stop()
        database = f"import_killed_{step}"
        options = ("--path", str(source), "--rename", f"{DATABASE}={database}", "--max-request-size", "65536")
        print(neap.run_with_kills(*options, "--max-concurrent-requests", "1", kills=arguments.kills), flush=True)
        influx.start()
        print("after kills:", compare(influx, neap, {"autogen": database, "weekly": f"{database}/weekly"}), flush=True)
        database = f"import_backup_{step}"
        neap.run("--path", str(backup), "--rename", f"{DATABASE}={database}")
        print("backup:", compare(influx, neap, {"autogen": database, "weekly": f"{database}/weekly"}), flush=True)
        database = f"import_lines_{step}"
        neap.run("--lp", str(export), "--rename", f"{DATABASE}={database}")
        for measurement in ("constant", "untagged"):
            statement = f"SELECT *::field FROM {measurement} GROUP BY *"
            expected = query(influx.url, DATABASE, statement)
            compare_series(expected, query(neap.url, database, statement, TOKEN), measurement)
        print("export of lines: equal", flush=True)
    finally:
        influx.stop()
    check_damage(neap, source, folder / "damaged", step)
    print("damage: reported", flush=True)
    conflict = folder / "conflict"
    conflict.mkdir()
    check_conflicts(arguments.influxd, neap, conflict)
    print("conflicts: as chosen", flush=True)


if __name__ == "__main__":
    sys.exit(main())
