"""Means, sums and extremes of a table over windows of time, into another table.

On a schedule: the last `window` before the call. On a request: from `backfill_start` to `backfill_end`, in steps of
`batch_size`. Arguments, or a TOML file below the plugin folder (`config_file_path`).
"""

import json
import os
import re
import tomllib
import uuid
from datetime import datetime, timedelta, timezone
from pathlib import Path

UNITS = {"s": "seconds", "min": "minutes", "h": "hours", "d": "days", "w": "weeks"}
AGGREGATES = ("avg", "sum", "min", "max", "count", "median", "stddev", "first_value", "last_value")
FULL_LOGGING = True


def duration(text):
    """`10min` as a number and the word that SQL and `timedelta` have for its unit."""
    match = re.fullmatch(r"(\d+)([a-z]+)", text)
    if not match or match[2] not in UNITS:
        raise ValueError(f"no duration: {text}")
    return int(match[1]), UNITS[match[2]]


def delta(text):
    number, unit = duration(text)
    return timedelta(**{unit: number})


def quoted(name):
    return '"' + name.replace('"', '""') + '"'


def columns_of(influxdb3_local, measurement, types):
    sql = f"""
        SELECT column_name FROM information_schema.columns
        WHERE table_name = $measurement AND data_type IN ({', '.join(f"'{kind}'" for kind in types)})
    """
    return [row["column_name"] for row in influxdb3_local.query(sql, {"measurement": measurement})]


def settings_of(args):
    """The arguments, or what a file says in their place."""
    if path := args.get("config_file_path"):
        folder = os.getenv("PLUGIN_DIR") or os.environ["INFLUXDB3_PLUGIN_DIR"]
        with open(Path(folder) / path, "rb") as file:
            args = tomllib.load(file)
        args["use_config_file"] = True
    else:
        args["use_config_file"] = False
    return args


def tag_values_of(settings):
    """`room:Kitchen@'Living Room'.floor:1` or a table of the file."""
    given = settings.get("tag_values")
    if not given or isinstance(given, dict):
        return given or {}
    pairs = (pair.split(":", 1) for pair in given.split("."))
    return {tag: [value.strip("'\"") for value in values.split("@")] for tag, values in pairs}


def calculations_of(settings, numeric):
    """`avg` for all fields, or `temp:max.hum:sum`, or pairs of the file."""
    given = settings.get("calculations", "avg")
    if isinstance(given, list):
        pairs = [tuple(pair) for pair in given]
    elif ":" in given:
        pairs = [tuple(pair.split(":")) for pair in given.split(".")]
    else:
        pairs = [(field, given) for field in numeric]
    for field, aggregate in pairs:
        if aggregate not in AGGREGATES:
            raise ValueError(f"no aggregate: {aggregate}")
    return pairs


def aggregate(name, field):
    by_time = " ORDER BY time" if name.endswith("_value") else ""
    return f"{name}({quoted(field)}{by_time}) AS {quoted(field + '_' + name)}"


def rows_between(influxdb3_local, settings, tags, calculations, start, end):
    number, unit = duration(settings.get("interval", "10min"))
    selected = [
        f"DATE_BIN(INTERVAL '{number} {unit}', time, '1970-01-01T00:00:00Z') AS _time",
        "count(*) AS record_count",
        "MIN(time) AS time_from",
        "MAX(time) AS time_to",
        *(aggregate(name, field) for field, name in calculations),
        *map(quoted, tags),
    ]
    wanted, parameters = [], {}
    for tag, values in tag_values_of(settings).items():
        names = []
        for value in values:
            names.append(f"value_{len(parameters)}")
            parameters[names[-1]] = value
        wanted.append(f"AND {quoted(tag)} IN ({', '.join('$' + name for name in names)})")
    measurement = settings["source_measurement"].replace("'", "''")
    sql = f"""
        SELECT {', '.join(selected)}
        FROM '{measurement}'
        WHERE time >= '{start:%Y-%m-%dT%H:%M:%SZ}' AND time < '{end:%Y-%m-%dT%H:%M:%SZ}' {' '.join(wanted)}
        GROUP BY {', '.join(['_time', *map(quoted, tags)])}
    """
    return influxdb3_local.query(sql, parameters)


def lines_of(rows, measurement, tags) -> list[LineBuilder]:
    lines = []
    for row in rows:
        line = LineBuilder(measurement)
        line.time_ns(row.pop("_time"))
        for tag in tags:
            if (value := row.pop(tag)) is not None:
                line.tag(tag, str(value))
        for name, value in row.items():
            if isinstance(value, int):
                line.int64_field(name, value)
            elif isinstance(value, float):
                line.float64_field(name, value)
        lines.append(line)
    return lines


def downsample(influxdb3_local, settings, start, end, task):
    source = settings["source_measurement"]
    tags = columns_of(influxdb3_local, source, ["Dictionary(Int32, Utf8)"])
    numeric = columns_of(influxdb3_local, source, ["Int64", "Float64", "UInt64"])
    if not numeric:
        raise ValueError(f"nothing to downsample in {source}")
    tags = [tag for tag in tags if tag not in settings.get("excluded_fields", "").split(".")]
    rows = rows_between(influxdb3_local, settings, tags, calculations_of(settings, numeric), start, end)
    lines = lines_of(rows, settings["target_measurement"], tags)
    for line in lines:
        if database := settings.get("target_database"):
            influxdb3_local.write_to_db(database, line)
        else:
            influxdb3_local.write(line)
    influxdb3_local.info(f"[{task}] downsampled", {"rows": len(lines), "from": start.isoformat()})
    return len(lines)


def process_scheduled_call(influxdb3_local, call_time: datetime, args: dict | None = None):
    task = str(uuid.uuid4())
    influxdb3_local.info(f"[{task}] downsampling for {call_time}")
    global FULL_LOGGING
    try:
        settings = settings_of(args)
        FULL_LOGGING = str(settings.get("enable_full_logging", True)).lower() == "true"
        end = call_time.astimezone(timezone.utc) - delta(settings.get("offset", "0s"))
        downsample(influxdb3_local, settings, end - delta(settings["window"]), end, task)
    except Exception as error:
        influxdb3_local.error(f"[{task}]", error if FULL_LOGGING else type(error).__name__)


def process_request(influxdb3_local, query_parameters, request_headers, request_body, args=None):
    task = str(uuid.uuid4())
    if not request_body:
        influxdb3_local.error(f"[{task}] no body")
        return {"message": "Error: No request body provided."}
    settings = json.loads(request_body)
    start, end = (datetime.fromisoformat(settings[name]) for name in ("backfill_start", "backfill_end"))
    step, written = delta(settings.get("batch_size", "30d")), 0
    try:
        while start < end:
            until = min(start + step, end)
            written += downsample(influxdb3_local, settings, start, until, task)
            start = until
    except Exception as error:
        influxdb3_local.error(f"[{task}] {error}")
        return {"message": str(error)}, 400
    return {"message": "completed", "rows": written}
