"""Writes twice the value of each row of a table into another one."""


def process_writes(influxdb3_local, table_batches, args=None):
    for batch in table_batches:
        for row in batch["rows"]:
            line = LineBuilder("doubled").int64_field("v", 2 * row["v"])
            influxdb3_local.write(line.time_ns(row["time"]))
