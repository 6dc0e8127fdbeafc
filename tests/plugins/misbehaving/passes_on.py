"""Writes what comes into the same table of another database, where another trigger does the same."""


def process_writes(influxdb3_local, table_batches, args=None):
    for batch in table_batches:
        for row in batch["rows"]:
            line = LineBuilder(batch["table_name"]).int64_field("n", row["n"] + 1)
            influxdb3_local.write_sync_to_db(args["into"], line.time_ns(row["time"] + 1), False)
