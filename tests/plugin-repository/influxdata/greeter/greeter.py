"""A plugin of one file, with a test and a configuration beside it."""

import os


def process_request(influxdb3_local, query_parameters, request_headers, request_body, args=None):
    config = (args or {}).get("config_file_path")
    if config is None:
        return "hello"
    with open(os.path.join(os.environ["PLUGIN_DIR"], config)) as file:
        return file.read().split('"')[1]
