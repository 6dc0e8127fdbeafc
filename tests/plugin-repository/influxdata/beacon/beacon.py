def process_writes(influxdb3_local, table_batches, args=None):
    influxdb3_local.info("seen")
