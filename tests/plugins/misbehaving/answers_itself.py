"""Writes into the table that makes it run."""


def process_writes(influxdb3_local, table_batches, args=None):
    for batch in table_batches:
        for row in batch["rows"]:
            line = LineBuilder(batch["table_name"]).int64_field("n", row["n"] + 1)
            influxdb3_local.write(line.time_ns(row["time"] + 1))
