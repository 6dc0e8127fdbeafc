"""Counts how often fields had which values since the last call, as a row for each series."""

import re

from influxdata_plugin_utils import build_line, get_tag_names, load_plugin_config, parse_delimited_list, write_data, Validator

try:
    LineBuilder
except NameError:
    LineBuilder = None

VALIDATORS = [
    Validator("table", required=True, cast=str),
    Validator("fields", required=True, cast=parse_delimited_list),
    Validator("output_suffix", default="_valuecounts", cast=str),
]


def process_scheduled_call(influxdb3_local, call_time, args=None):
    config = load_plugin_config(dict(args or {}), validators=VALIDATORS, source="args")
    now = int(call_time.timestamp()) * 1_000_000_000
    anchor = f"last_call:{config.table}"
    last = influxdb3_local.cache.get(anchor)
    if last is None:
        influxdb3_local.cache.put(anchor, 0 if "from_the_start" in (args or {}) else now, ttl=None)
        influxdb3_local.info("first call; counts begin now")
        return
    tags = get_tag_names(influxdb3_local, config.table)
    quoted = ", ".join(f'"{tag}"' for tag in tags)
    series = {}
    for field in config.fields:
        sql = (
            f'SELECT {quoted}, "{field}", COUNT(*) AS cnt FROM "{config.table}" '
            "WHERE time >= to_timestamp_nanos(arrow_cast($start_ns, 'Int64')) "
            "AND time < to_timestamp_nanos(arrow_cast($end_ns, 'Int64')) "
            f'GROUP BY {quoted}, "{field}"'
        )
        for row in influxdb3_local.query(sql, {"start_ns": str(last), "end_ns": str(now)}):
            if row[field] is None:
                continue
            counts = series.setdefault(tuple(row[tag] for tag in tags), {})
            counts[re.sub(r"\W", "_", f"{field}_{row[field]}")] = int(row["cnt"])
    lines = [
        build_line(LineBuilder, config.table + config.output_suffix, tags=dict(zip(tags, key)), fields=counts, time_ns=now)
        for key, counts in series.items()
    ]
    write_data(influxdb3_local, lines, retries=0, no_sync=True)
    influxdb3_local.cache.put(anchor, now, ttl=None)
