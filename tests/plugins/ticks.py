"""A row of `ticks` for each time at which it is called."""

import datetime
import os


def process_scheduled_call(influxdb3_local, call_time, args=None):
    assert isinstance(call_time, datetime.datetime) and call_time.tzinfo is None and call_time.microsecond == 0
    args = args or {}
    at = int(call_time.replace(tzinfo=datetime.timezone.utc).timestamp()) * 1_000_000_000
    calls = (influxdb3_local.cache.get("calls") or 0) + 1
    influxdb3_local.cache.put("calls", calls)
    influxdb3_local.info("tick", call_time)
    line = LineBuilder("ticks").tag("who", args.get("who", "nobody")).tag("process", os.getpid())
    influxdb3_local.write(line.int64_field("calls", calls).time_ns(at))
