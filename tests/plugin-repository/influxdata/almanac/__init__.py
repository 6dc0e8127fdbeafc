"""A package that needs a module beside it, a Python package, and a plugin that needs it."""

import leaves

from .months import MONTHS


def process_request(influxdb3_local, query_parameters, request_headers, request_body, args=None):
    return {"months": len(MONTHS), "leaves": leaves.COUNT}


def process_scheduled_call(influxdb3_local, call_time, args=None):
    influxdb3_local.info(MONTHS[call_time.month - 1])
