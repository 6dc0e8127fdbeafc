"""Copies rows into a table beside their own, or into another database (`into`). With `batches`, it also leaves a
row for each batch, at the batch's own place, so that a batch that comes twice counts once."""


def process_writes(influxdb3_local, table_batches, args=None):
    args = args or {}
    suffix, tags = args.get("suffix", "_copy"), args.get("tags", "client").split(".")
    for batch in table_batches:
        if batch["table_name"].endswith(suffix) or batch["table_name"] in ("batches", "runs"):
            continue
        for row in batch["rows"]:
            line = LineBuilder(batch["table_name"] + suffix)
            for name, value in row.items():
                if name == "time":
                    line.time_ns(value)
                elif name in tags:
                    line.tag(name, value)
                elif isinstance(value, bool):
                    line.bool_field(name, value)
                elif isinstance(value, int):
                    line.int64_field(name, value)
                elif isinstance(value, float):
                    line.float64_field(name, value)
                else:
                    line.string_field(name, value)
            write(influxdb3_local, args, line)
        if "batches" in args:
            count = LineBuilder("batches").tag("batch", influxdb3_local.batch_id).tag("source", batch["table_name"])
            count.int64_field("rows", len(batch["rows"])).time_ns(influxdb3_local.batch_stamp)
            write(influxdb3_local, args, count)


def write(influxdb3_local, args, line):
    if "into" in args:
        influxdb3_local.write_to_db(args["into"], line)
    else:
        influxdb3_local.write(line)
