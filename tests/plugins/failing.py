"""Raises until a table says that it may stop: `allowed`."""


def process_writes(influxdb3_local, table_batches, args=None):
    influxdb3_local.info("attempt")
    influxdb3_local.write(LineBuilder("lost").int64_field("v", 1))
    tables = {row["table_name"] for row in influxdb3_local.query("SHOW TABLES")}
    if "allowed" not in tables:
        raise RuntimeError("not allowed yet")
    rows = sum(len(batch["rows"]) for batch in table_batches)
    influxdb3_local.write(LineBuilder("succeeded").int64_field("rows", rows).time_ns(table_batches[0]["rows"][0]["time"]))


def process_scheduled_call(influxdb3_local, call_time, args=None):
    raise RuntimeError("never works")


def process_request(influxdb3_local, query_parameters, request_headers, request_body, args=None):
    raise RuntimeError("can't answer")
