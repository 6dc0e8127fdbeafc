"""Fills gaps in series with values in between, and reports them. On a request: `{"measurement": …, "interval_s": …}`."""

import json
from datetime import datetime, timezone

import numpy as np
from influxdata_plugin_utils import build_line, build_line_typed, get_line_schema, query_window, split_row, write_data

SECOND = 1_000_000_000


def process_request(influxdb3_local, query_parameters, request_headers, request_body, args=None):
    config = json.loads(request_body)
    table, interval = config["measurement"], int(config["interval_s"]) * SECOND
    try:
        schema = get_line_schema(influxdb3_local, table)
    except ValueError as error:
        return {"error": str(error)}, 404
    rows = query_window(influxdb3_local, table, start=config["start"], end=config["end"])
    series = {}
    for row in rows:
        series.setdefault(tuple(row.get(tag) for tag in schema["tags"]), []).append(row)
    lines, reports = [], []
    for key, own in series.items():
        tags = dict(zip(schema["tags"], key))
        times = np.asarray([row["time"] for row in own], dtype=np.int64)
        for left in np.flatnonzero(np.diff(times) > 1.5 * interval):
            before, after = own[left], own[left + 1]
            points = np.arange(before["time"] + interval, after["time"], interval, dtype=np.int64)
            for at in points:
                _, fields, _ = split_row({**before, "time": int(at)}, schema)
                share = (int(at) - before["time"]) / (after["time"] - before["time"])
                for name, (value, kind) in fields.items():
                    if kind in ("float", "int") and after.get(name) is not None:
                        between = value + (after[name] - value) * share
                        fields[name] = (int(round(between)) if kind == "int" else between, kind)
                lines.append(build_line_typed(LineBuilder, table, tags=tags, typed_fields=fields, time_ns=int(at)))
            report = {"points": len(points), "seconds": (after["time"] - before["time"]) / SECOND}
            reports.append(build_line(LineBuilder, "gaps", tags=tags, fields=report, time_ns=after["time"]))
    write_data(influxdb3_local, lines + reports, no_sync=False)
    return {"points": len(lines), "until": datetime.now(timezone.utc).isoformat()}
