"""The rows of a fleet of hosts: one of each host at each tick, of which two of a hundred are sent days later.

Which row is sent when is a function of the host and the tick, so that a program that was killed continues where it was.
The functions of a host and a tick take numbers, and arrays of numpy alike.
"""

import dataclasses

TICK_SECONDS = 10
TICKS_PER_DAY = 86_400 // TICK_SECONDS
# 2024-01-01T00:00:00Z.
START_SECONDS = 1_704_067_200

FIELDS = ["usage_user", "usage_system", "usage_idle", "usage_nice", "usage_iowait", "usage_irq", "usage_softirq",
          "usage_steal", "usage_guest", "usage_guest_nice"]
REGIONS = ["ap-northeast-1", "ap-southeast-1", "ap-southeast-2", "eu-central-1", "eu-west-1", "sa-east-1", "us-east-1",
           "us-west-1", "us-west-2"]

# One of so many rows of a host is late.
LATE_EVERY = 50
MAX_DELAY_TICKS = 20 * TICKS_PER_DAY

# Values are 0 to 100. The last field of one of so many rows has another one.
RARE_VALUE = 101
RARE_EVERY = 9_999_991
RARE_REMAINDER = 5


@dataclasses.dataclass(frozen=True)
class Fleet:
    hosts: int
    ticks: int

    @classmethod
    def of_rows(cls, hosts, rows):
        """A fleet with this number of rows, rounded down to whole ticks."""
        return cls(hosts, max(1, rows // hosts))

    @property
    def rows(self):
        return self.hosts * self.ticks

    @property
    def start_ns(self):
        return START_SECONDS * 10**9

    @property
    def end_ns(self):
        """The time after the last tick."""
        return (START_SECONDS + self.ticks * TICK_SECONDS) * 10**9

    @property
    def days(self):
        return -(-self.ticks // TICKS_PER_DAY)

    @property
    def rare_rows(self):
        """The number of rows with the rare value."""
        return -(-(self.rows - RARE_REMAINDER) // RARE_EVERY) if self.rows > RARE_REMAINDER else 0

    def host_name(self, host):
        """Names have one length, so that hosts in the order of their numbers are in the order of their names."""
        return f"host_{host:07}"

    def region(self, host):
        return REGIONS[host % len(REGIONS)]

    def delay(self, host):
        """The ticks by which all late rows of a host are late: from 1 to 20 days, or to half of the time there is."""
        return 1 + host * 48_271 % min(MAX_DELAY_TICKS, max(1, self.ticks // 2))

    def is_late(self, host, tick):
        """Whether a row is sent after its tick. Rows that would be sent after the last tick are in time."""
        return ((tick + host) % LATE_EVERY == 0) & (tick + self.delay(host) < self.ticks)

    def is_rare(self, host, tick):
        return (tick * self.hosts + host) % RARE_EVERY == RARE_REMAINDER

    def sent_at(self, host, tick):
        """The ticks of the rows of a host that are sent at a tick: that of the tick, and a late one."""
        late = tick - self.delay(host)
        return [one for one, is_sent in ((tick, not self.is_late(host, tick)),
                                         (late, late >= 0 and self.is_late(host, late))) if is_sent]


def spans(ticks, step, done=0):
    """The ticks from `done` on, in spans of `step`."""
    return [(first, min(first + step, ticks)) for first in range(done, ticks, step)]
