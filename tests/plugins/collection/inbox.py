"""Keeps what it is sent."""

import json


def process_request(influxdb3_local, query_parameters, request_headers, request_body, args=None):
    text = json.loads(request_body)["message"]
    influxdb3_local.write_sync(LineBuilder("inbox").string_field("text", text), no_sync=False)
    return "", 204
