"""Takes its time, and says when it began and ended."""

import time


def process_request(influxdb3_local, query_parameters, request_headers, request_body, args=None):
    begun = time.time_ns()
    time.sleep(float(query_parameters.get("seconds", "0.5")))
    return {"begun": begun, "ended": time.time_ns()}


def process_writes(influxdb3_local, table_batches, args=None):
    begun = time.time_ns()
    time.sleep(0.4)
    for batch in table_batches:
        for row in batch["rows"]:
            line = LineBuilder("runs").tag("n", row["n"]).int64_field("begun", begun)
            influxdb3_local.write(line.int64_field("ended", time.time_ns()).time_ns(row["time"]))
