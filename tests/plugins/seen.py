"""Says what each batch holds: a row of `seen` for each of its tables. What it writes itself, it leaves alone. A dry run has no stamp."""


def process_writes(influxdb3_local, table_batches, args=None):
    for batch in table_batches:
        table, rows = batch["table_name"], batch["rows"]
        if table.startswith("seen"):
            continue
        influxdb3_local.info("saw", table, len(rows))
        line = LineBuilder("seen").tag("source", table).tag("batch", influxdb3_local.batch_id)
        line.int64_field("rows", len(rows)).string_field("row", repr(sorted(rows[0].items())))
        if influxdb3_local.batch_stamp is not None:
            line.int64_field("stamp", influxdb3_local.batch_stamp)
        influxdb3_local.write(line.time_ns(rows[0]["time"]))
