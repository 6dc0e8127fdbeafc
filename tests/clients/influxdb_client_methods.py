"""Tests of the methods of `influxdb-client`, the client library of InfluxDB 2."""

import json
import warnings

from client_methods import MethodsTestCase
from influxdb_client import InfluxDBClient
from influxdb_client.client.warnings import CloudOnlyWarning, MissingPivotFunction
from influxdb_client.rest import ApiException
from server import TOKEN, URL

LIBRARY = "influxdb-client"
ORG = "works"
# The id of a resource that Neap does not have.
ID = "0000000000000001"
ALWAYS = ("1970-01-01T00:00:00Z", "2100-01-01T00:00:00Z")
BUCKET = "client-methods"
CONFIGURATION = f"""[influx2]
url={URL}
org={ORG}
token={TOKEN}
"""


def query_of(bucket):
    """Returns a query for the measurement `m`."""
    return f'from(bucket: "{bucket}") |> range(start: 0) |> filter(fn: (r) => r._measurement == "m")'


QUERY = query_of(BUCKET)


class ApiMethods(MethodsTestCase):
    library, errors = LIBRARY, (ApiException,)

    @staticmethod
    def answer_of(error):
        return f"{error.status} {json.loads(error.body)['message']}"

    def setUp(self):
        self.client = InfluxDBClient(url=URL, token=TOKEN, org=ORG)
        self.addCleanup(self.client.close)
        warnings.simplefilter("ignore", CloudOnlyWarning)
        warnings.simplefilter("ignore", MissingPivotFunction)

    def stored(self, bucket):
        """Returns the values of the measurement `m`."""
        return [record.get_value() for record in self.client.query_api().query_stream(query_of(bucket))]
