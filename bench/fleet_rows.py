"""The rows of a fleet as Arrow record batches. Needs numpy and pyarrow (tests/clients/requirements.txt)."""

import numpy as np
import pyarrow as pa

import fleet as fleets

SEED = 42
# The rows that are generated at once, if there are no more hosts.
BATCH_ROWS = 200_000
# The rows of a message. A server with little memory takes messages of up to 4 MiB.
MESSAGE_ROWS = 25_000
# Steps of the walks are bytes; so many of them are one percent.
STEPS_PER_PERCENT = 73

SCHEMA = pa.schema([
    ("hostname", pa.dictionary(pa.int32(), pa.string())),
    ("region", pa.dictionary(pa.int32(), pa.string())),
    *((name, pa.int64()) for name in fleets.FIELDS),
    ("time", pa.timestamp("ns")),
])


class FleetRows:
    """Values walk around a level of each host and field. The walks of a batch return to the level at its end."""

    def __init__(self, fleet):
        self.fleet = fleet
        self.hosts = np.arange(fleet.hosts, dtype=np.int64)
        self.names = pa.array([fleet.host_name(host) for host in range(fleet.hosts)])
        self.regions = pa.array(fleets.REGIONS)
        self.batch_ticks = max(1, BATCH_ROWS // fleet.hosts)
        numbers = np.random.default_rng(SEED)
        self.levels = numbers.uniform(20, 80, (len(fleets.FIELDS), fleet.hosts)).astype(np.float32)

    def batches(self, first, last):
        """The record batches of what is sent from a tick to another one."""
        for begin in range(first, last, self.batch_ticks):
            yield self.batch(begin, min(begin + self.batch_ticks, last))

    def batch(self, first, last):
        fleet, hosts = self.fleet, self.hosts[None, :]
        ticks = np.arange(first, last, dtype=np.int64)[:, None]
        sent_in_time = ~fleet.is_late(hosts, ticks)
        late_ticks = ticks - fleet.delay(hosts)
        sent_late = (late_ticks >= 0) & fleet.is_late(hosts, late_ticks)
        numbers = np.random.default_rng([SEED, first])
        host = np.concatenate([np.broadcast_to(hosts, mask.shape)[mask] for mask in (sent_in_time, sent_late)])
        tick = np.concatenate([np.broadcast_to(ticks, sent_in_time.shape)[sent_in_time], late_ticks[sent_late]])
        fields = []
        for levels in self.levels:
            walks = self.walks(numbers, levels, len(ticks))
            # A late row is as far from the level as the middle of a walk.
            late = levels[host[-np.count_nonzero(sent_late):]] if sent_late.any() else levels[:0]
            late = late + numbers.normal(0, 4, len(late))
            values = np.concatenate([walks[sent_in_time], late])
            fields.append(np.clip(values, 0, 100).astype(np.int64))
        fields[-1][fleet.is_rare(host, tick)] = fleets.RARE_VALUE
        time = fleet.start_ns + tick * (fleets.TICK_SECONDS * 10**9)
        region = (host % len(fleets.REGIONS)).astype(np.int32)
        columns = [
            pa.DictionaryArray.from_arrays(pa.array(host.astype(np.int32)), self.names),
            pa.DictionaryArray.from_arrays(pa.array(region), self.regions),
            *map(pa.array, fields),
            pa.array(time.view("datetime64[ns]")),
        ]
        return pa.record_batch(columns, schema=SCHEMA)

    @staticmethod
    def walks(numbers, levels, ticks):
        """A walk of each host, of so many ticks."""
        steps = numbers.integers(-127, 127, (ticks, len(levels)), dtype=np.int8, endpoint=True)
        walks = np.cumsum(steps, axis=0, dtype=np.float32)
        walks -= np.linspace(0, 1, ticks, dtype=np.float32)[:, None] * walks[-1]
        return levels + walks / np.float32(STEPS_PER_PERCENT)

    def reader(self, first, last):
        """A stream of what is sent from a tick to another one."""
        messages = (batch.slice(begin, MESSAGE_ROWS) for batch in self.batches(first, last)
                    for begin in range(0, batch.num_rows, MESSAGE_ROWS))
        return pa.RecordBatchReader.from_batches(SCHEMA, messages)
