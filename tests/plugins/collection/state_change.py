"""Watches fields for values (on writes: `state:fault:3` alerts after three in a row), and for how often they change
(on a schedule: `state:2`)."""

import uuid
from collections import deque
from datetime import timedelta, timezone


def alert(influxdb3_local, field, row, text, at):
    line = LineBuilder("alerts").tag("field", field).tag("device", row.get("device", ""))
    influxdb3_local.write(line.string_field("text", text).time_ns(at))


def is_steady(values, most):
    changes = sum(1 for one, other in zip(values, list(values)[1:]) if one != other)
    return not most or changes <= most


def process_writes(influxdb3_local, table_batches: list, args: dict):
    field, wanted, needed = args["field_thresholds"].split(":")
    window, most = int(args.get("state_change_window", 3)), int(args.get("state_change_count", 0))
    cache = influxdb3_local.cache
    for batch in table_batches:
        if batch["table_name"] != args["measurement"]:
            continue
        for row in batch["rows"]:
            key = f"{field}:{row.get('device')}"
            values = cache.get(f"{key}:values", default=deque(maxlen=window))
            if not isinstance(values, deque) or values.maxlen != window:
                values = deque(maxlen=window)
            if (value := row.get(field)) is None:
                cache.put(f"{key}:count", "")
                continue
            steady = is_steady(values, most)
            values.append(value)
            cache.put(f"{key}:values", values)
            count = int(cache.get(f"{key}:count", default="0") or 0) + 1 if str(value) == wanted else 0
            if count >= int(needed):
                count = 0
                if steady:
                    alert(influxdb3_local, field, row, f"{wanted} {needed} times", row["time"])
                else:
                    influxdb3_local.warn("not steady", key)
            cache.put(f"{key}:count", str(count))


def process_scheduled_call(influxdb3_local, call_time, args=None):
    task = str(uuid.uuid4())
    end = call_time.replace(tzinfo=timezone.utc)
    start = end - timedelta(seconds=int(args["window_seconds"]))
    sql = f"""
        SELECT * FROM '{args["measurement"]}'
        WHERE time >= '{start:%Y-%m-%dT%H:%M:%SZ}' AND time < '{end:%Y-%m-%dT%H:%M:%SZ}' ORDER BY time ASC
    """
    rows = influxdb3_local.query(sql)
    for pair in args["field_change_count"].split("."):
        field, most = pair.split(":")
        devices = {}
        for row in rows:
            devices.setdefault(row["device"], []).append(row)
        for device, own in devices.items():
            changes = sum(1 for one, other in zip(own, own[1:]) if one[field] != other[field])
            if changes >= int(most):
                influxdb3_local.error(f"[{task}] {device}: {field} changed {changes} times")
                alert(influxdb3_local, field, own[-1], f"{changes} changes", own[-1]["time"])
