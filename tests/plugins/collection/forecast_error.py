"""How far forecasts were from what came: rows of `forecast_error`, and alerts after a time above a threshold."""

import uuid
from datetime import datetime, timedelta, timezone

import pandas as pd


def rows_of(influxdb3_local, measurement, field, tags, start, end):
    columns = ", ".join(["time", f'"{field}"', *(f'"{tag}"' for tag in tags)])
    sql = f"SELECT {columns} FROM '{measurement}' WHERE time >= '{start.isoformat()}' AND time < '{end.isoformat()}' ORDER BY time"
    return pd.DataFrame(influxdb3_local.query(sql))


def process_scheduled_call(influxdb3_local, call_time: datetime, args: dict | None = None):
    task = str(uuid.uuid4())
    end = call_time.replace(tzinfo=timezone.utc)
    start = end - timedelta(seconds=int(args["window_seconds"]))
    tags = args.get("tags", "").split(".") if args.get("tags") else []
    try:
        forecast = rows_of(influxdb3_local, args["forecast_measurement"], args["forecast_field"], tags, start, end)
        actual = rows_of(influxdb3_local, args["actual_measurement"], args["actual_field"], tags, start, end)
        if forecast.empty or actual.empty:
            influxdb3_local.info(f"[{task}] nothing to compare")
            return
        forecast = forecast.rename(columns={args["forecast_field"]: "forecast"})
        actual = actual.rename(columns={args["actual_field"]: "actual"})
        for frame in (forecast, actual):
            frame["time"] = pd.to_datetime(frame["time"], unit="ns").dt.round(args.get("rounding_freq", "1s"))
        merged = forecast.merge(actual, on=["time", *tags], how="inner").sort_values("time")
        difference = merged["forecast"] - merged["actual"]
        merged["error"] = difference**2 if args["error_metric"] == "mse" else difference.abs()
        for _, row in merged.iterrows():
            line = LineBuilder("forecast_error").float64_field("error", float(row["error"]))
            line.bool_field("is_outlier", bool(row["error"] >= float(args["error_threshold"])))
            for tag in tags:
                line.tag(tag, row[tag])
            influxdb3_local.write(line.time_ns(int(row["time"].as_unit("ns").value)))
        influxdb3_local.info(f"[{task}] compared {len(merged)} rows")
    except Exception as error:
        influxdb3_local.error(f"[{task}] Unexpected error: {error!r}")
