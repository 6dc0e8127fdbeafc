"""Sends rows on to another server. What it does not take is kept in a file below the plugin folder, and sent with the
next rows. The client lives in the cache from run to run."""

import gzip
import os
from pathlib import Path

import requests


def client(influxdb3_local):
    if (session := influxdb3_local.cache.get("session")) is None:
        session = requests.Session()
        influxdb3_local.cache.put("session", session)
    return session


def line_of(table, row, tags):
    line = LineBuilder(table)
    for name, value in row.items():
        if name == "time":
            line.time_ns(value)
        elif name in tags:
            line.tag(name, value)
        elif isinstance(value, bool):
            line.bool_field(name, value)
        elif isinstance(value, int):
            line.int64_field(name, value)
        elif isinstance(value, float):
            line.float64_field(name, value)
        else:
            line.string_field(name, value)
    return line.build()


def process_writes(influxdb3_local, table_batches: list, args: dict):
    queue = Path(os.environ["PLUGIN_DIR"]) / f"queue_{args['unique_file_suffix']}.gz"
    lines = gzip.decompress(queue.read_bytes()).decode().splitlines() if queue.exists() else []
    sql = "SELECT column_name FROM information_schema.columns WHERE table_name = $t AND data_type = 'Dictionary(Int32, Utf8)'"
    for batch in table_batches:
        tags = [row["column_name"] for row in influxdb3_local.query(sql, {"t": batch["table_name"]})]
        lines += [line_of(batch["table_name"], row, tags) for row in batch["rows"]]
    url = f"{args['host']}/api/v3/write_lp?db={args['database']}&precision=nanosecond"
    try:
        answer = client(influxdb3_local).post(url, data="\n".join(lines).encode(), timeout=30)
        answer.raise_for_status()
        queue.unlink(missing_ok=True)
        influxdb3_local.info(f"sent {len(lines)} lines")
    except requests.RequestException as error:
        queue.write_bytes(gzip.compress("\n".join(lines).encode()))
        influxdb3_local.warn(f"kept {len(lines)} lines: {type(error).__name__}")
