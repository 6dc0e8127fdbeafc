"""Runs until it is interrupted, and says so."""

import time


def wait(influxdb3_local):
    influxdb3_local.info("waiting")
    try:
        time.sleep(1000)
    except KeyboardInterrupt:
        print("interrupted")
        raise


def process_writes(influxdb3_local, table_batches, args=None):
    wait(influxdb3_local)


def process_scheduled_call(influxdb3_local, call_time, args=None):
    wait(influxdb3_local)


def process_request(influxdb3_local, query_parameters, request_headers, request_body, args=None):
    wait(influxdb3_local)
