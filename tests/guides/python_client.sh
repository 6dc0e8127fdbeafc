#!/usr/bin/env bash
# The Python client of InfluxDB 3, as far as it writes: points, batches with callbacks, files.
source "$(dirname "$0")/lib.sh"

if [ -z "${NEAP_CLIENTS_PYTHON:-}" ]; then
    say "skipped: NEAP_CLIENTS_PYTHON names no interpreter that has the client libraries"
    exit 0
fi
serve server --node-id host01 --object-store memory
first_token
export INFLUX_HOST="http://$HOST" INFLUX_TOKEN="$INFLUXDB3_AUTH_TOKEN" INFLUX_DATABASE=home

say "points in a batch, with callbacks"
cat >write-points.py <<'PYTHON'
import os

from influxdb_client_3 import InfluxDBClient3, InfluxDBError, Point, WriteOptions, write_client_options

points = [Point("home").tag("room", "Kitchen").field("temp", 25.3).field("hum", 20.2).field("co", 9)]


def success(self, data: str):
    print(f"success: {data}")


def error(self, data: str, exception: InfluxDBError):
    print(f"error: {data}: {exception}")


def retry(self, data: str, exception: InfluxDBError):
    print(f"retry: {data}: {exception}")


options = WriteOptions(
    batch_size=500,
    flush_interval=10_000,
    jitter_interval=2_000,
    retry_interval=5_000,
    max_retries=5,
    max_retry_delay=30_000,
    exponential_base=2,
)
told = write_client_options(
    success_callback=success, error_callback=error, retry_callback=retry, write_options=options
)
with InfluxDBClient3(
    host=os.environ["INFLUX_HOST"],
    token=os.environ["INFLUX_TOKEN"],
    database=os.environ["INFLUX_DATABASE"],
    write_client_options=told,
) as client:
    client.write(points, write_precision="s")
PYTHON
run "$NEAP_CLIENTS_PYTHON" write-points.py
has success
has_not error
run neap query --database home --format json 'SELECT room, temp, hum, co FROM home'
is '[{"room":"Kitchen","temp":25.3,"hum":20.2,"co":9}]'

say "lines, points and dictionaries, one by one"
cat >one-by-one.py <<'PYTHON'
import os

from influxdb_client_3 import InfluxDBClient3, Point

client = InfluxDBClient3(token=os.environ["INFLUX_TOKEN"], host=os.environ["INFLUX_HOST"], org="", database="single")
client.write(record="home,room=Living\\ Room temp=21.1,hum=35.9,co=0i 1641024000", write_precision="s")
client.write(Point("home").tag("room", "Kitchen").field("temp", 72.0))
record = {
    "measurement": "home",
    "tags": {"room": "Kitchen", "sensor": "K001"},
    "fields": {"temp": 72.2, "hum": 36.9, "co": 4},
    "time": 1641067200,
}
client.write(record=record, write_precision="s")
client.close()
PYTHON
run "$NEAP_CLIENTS_PYTHON" one-by-one.py
run neap query --database single --format csv 'SELECT room, count(*) AS n FROM home GROUP BY room ORDER BY room'
is 'room,n
Kitchen,2
Living Room,1'

say "files"
cat >home.csv <<'CSV'
name,room,temp,hum,time
home,Kitchen,21.0,35.9,2022-01-01T08:00:00Z
home,Kitchen,23.0,36.2,2022-01-01T09:00:00Z
home,Living Room,21.1,35.9,2022-01-01T08:00:00Z
CSV
cat >home.json <<'JSON'
[{"room": "Kitchen", "temp": 21.0, "hum": 35.9, "time": 1641024000000000000},
 {"room": "Kitchen", "temp": 23.0, "hum": 36.2, "time": 1641027600000000000},
 {"room": "Living Room", "temp": 21.1, "hum": 35.9, "time": 1641024000000000000}]
JSON
cat >write-files.py <<'PYTHON'
import os

import pyarrow.csv
import pyarrow.parquet
from influxdb_client_3 import InfluxDBClient3

pyarrow.parquet.write_table(pyarrow.csv.read_csv("home.csv"), "home.parquet")
with InfluxDBClient3(
    token=os.environ["INFLUX_TOKEN"], host=os.environ["INFLUX_HOST"], org="", database="files"
) as client:
    for kind in ["csv", "json", "parquet"]:
        client.write_file(
            file=f"./home.{kind}", measurement_name=f"from_{kind}", timestamp_column="time", tag_columns=["room"]
        )
PYTHON
run "$NEAP_CLIENTS_PYTHON" write-files.py
for table in from_csv from_json from_parquet; do
    run neap query --database files --format json "SELECT count(*) AS n, max(temp) AS most FROM $table"
    is '[{"n":3,"most":23.0}]'
done
