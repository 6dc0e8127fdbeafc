"""Greets whoever asks."""


def process_request(influxdb3_local, query_parameters, request_headers, request_body, args=None):
    return {"hello": query_parameters["name"]}
