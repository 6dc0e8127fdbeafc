"""Median absolute deviations: values far from the median of the last ones, kept in the cache for each series.

`mad_thresholds`: `field:k:values:times`, for as many outliers in a row."""

import uuid
from collections import deque
from statistics import median


def tags_of(influxdb3_local, table):
    if tags := influxdb3_local.cache.get(f"{table}_tags"):
        return tags
    sql = "SELECT column_name FROM information_schema.columns WHERE table_name = $table AND data_type = 'Dictionary(Int32, Utf8)'"
    tags = [row["column_name"] for row in influxdb3_local.query(sql, {"table": table})]
    influxdb3_local.cache.put(f"{table}_tags", tags, 60 * 60)
    return tags


def process_writes(influxdb3_local, table_batches: list, args: dict):
    task = str(uuid.uuid4())
    field, k, size, needed = args["mad_thresholds"].split(":")
    k, size, needed = float(k), int(size), int(needed)
    for batch in table_batches:
        if batch.get("table_name") != args["measurement"]:
            continue
        tags = tags_of(influxdb3_local, args["measurement"])
        for row in batch.get("rows", []):
            value = row.get(field)
            if not isinstance(value, (int, float)):
                continue
            series = ":".join(f"{tag}={row.get(tag, 'None')}" for tag in sorted(tags))
            # The queue stays in the cache while it is changed.
            if (values := influxdb3_local.cache.get(f"{series}:values")) is None:
                values = deque(maxlen=size)
                influxdb3_local.cache.put(f"{series}:values", values)
            values.append(value)
            if len(values) < size:
                continue
            middle = median(values)
            spread = median(abs(one - middle) for one in values)
            if abs(value - middle) <= k * spread:
                influxdb3_local.cache.put(f"{series}:count", "0")
                continue
            count = int(influxdb3_local.cache.get(f"{series}:count", default="0")) + 1
            influxdb3_local.cache.put(f"{series}:count", str(count if count < needed else 0))
            if count >= needed:
                influxdb3_local.error(f"[{task}] {field} is out of bounds: {value} ({series})")
                line = LineBuilder("outliers").tag("series", series).float64_field("value", value)
                influxdb3_local.write(line.float64_field("median", middle).time_ns(row["time"]))
