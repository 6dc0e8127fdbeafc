"""Amazon's list prices: how much, where Amazon lists them, where each was last seen; and a bill made of them."""

import collections
import dataclasses
import math
import re

PRICES_OF = "September 2026"
REGION = "us-east-1"


@dataclasses.dataclass(frozen=True)
class Sight:
    """Where a price was seen in public, and when it was true, as the place itself says."""

    date: str
    address: str


_PRICESIM = "https://github.com/addisonj/pricesim/blob/cbdb505146ff2c34ea44b6b5deaf6083643d5b5f/src/catalog/aws"

# Files that programs made of Amazon's price list, or that quote it.
LIST_OF_SERVICES = Sight(
    "2026-09-24",
    "https://github.com/HJC96/malssum-haru/blob/e837f1ad9eecc095ab60a890bf2f39a63c56023e/infra/cost/prices.json",
)
LIST_OF_QUEUES = Sight(
    "2026-09-21",
    "https://github.com/aditya0si/agent-report-distribution/blob/634ed169466783827e6c89175b5f215a26fc8572/docs/COST.md",
)
LIST_OF_S3 = Sight("2026-09-24", f"{_PRICESIM}/s3.gen.ts")
LIST_OF_EC2 = Sight("2026-09-24", f"{_PRICESIM}/ec2.gen.ts")
LIST_OF_EBS = Sight("2026-09-24", f"{_PRICESIM}/ebs.ts")
LIST_OF_BALANCERS = Sight("2026-09-24", f"{_PRICESIM}/elb.ts")
LIST_OF_TRANSFER = Sight("2026-09-24", f"{_PRICESIM}/internet-egress.ts")
LIST_OF_ENDPOINTS = Sight("2026-09-24", f"{_PRICESIM}/privatelink.ts")
LIST_OF_ADDRESSES = Sight(
    "2026-10-16", "https://github.com/ChiefGyk3D/Clouds-Against-Humanity/wiki/Provider-AWS-Cost-Lesson"
)
# What a program copied out of the text of Amazon's page.
TEXT_OF_LAMBDA = Sight(
    "2026-09-20",
    "https://raw.githubusercontent.com/api-evangelist/aws-lambda/refs/heads/main/plans/aws-lambda-plans-pricing.yml",
)
# What people wrote down from Amazon's pages.
NOTE_OF_LAMBDA = Sight("2026-03-08", "https://wring.co/blog/aws-lambda-pricing-guide")
NOTE_OF_FARGATE = Sight("2026-09-09", "https://github.com/guardian/dotcom-rendering/pull/16704")
NOTE_OF_DASHBOARDS = Sight(
    "2026-06-13", "https://www.factualminds.com/blog/amazon-cloudwatch-pricing-metrics-logs-alarms-dashboards/"
)


@dataclasses.dataclass(frozen=True)
class Price:
    """A list price in US dollars, without discounts and tax.

    `free`: how much of it is free each month, for every account and for ever. `up_to`: how much of it costs so much;
    what comes after costs less, and nothing here has got so far.
    """

    dollars: float
    seen: Sight
    free: float = 0
    up_to: float = math.inf


# The free amounts of the Scheduler and of data out are in the same files, those of Lambda in the price list; those of SQS
# (https://cloudburn.io/blog/amazon-sqs-pricing, 2026-03-14) and of CloudWatch (a copy without a date of its page) are not.
# Whoever changes a price changes where and when it was seen, too, and the month above when all are newer.
PRICES = {
    "API Gateway: HTTP API, a million requests of up to 512 KiB": Price(1.00, LIST_OF_SERVICES, up_to=300),
    "Lambda: a million requests": Price(0.20, LIST_OF_SERVICES, free=1),
    "Lambda: a GB-second, arm64": Price(0.0000133334, LIST_OF_SERVICES, free=400_000, up_to=7.5e9),
    "Lambda: a GB-second kept started, arm64": Price(0.0000033334, NOTE_OF_LAMBDA),
    "Lambda: management of instances, a dollar of their price": Price(0.15, TEXT_OF_LAMBDA),
    "S3 Standard: a thousand PUT or LIST": Price(0.005, LIST_OF_S3),
    "S3 Standard: a thousand GET": Price(0.0004, LIST_OF_S3),
    "S3 Standard: a GB for a month": Price(0.023, LIST_OF_S3, up_to=50 * 1024),
    "S3 Standard-IA: a thousand PUT or LIST": Price(0.01, LIST_OF_S3),
    "S3 Standard-IA: a thousand GET": Price(0.001, LIST_OF_S3),
    "S3 Standard-IA: a GB retrieved": Price(0.01, LIST_OF_S3),
    "S3 Standard-IA: a GB for a month": Price(0.0125, LIST_OF_S3),
    "S3 One Zone-IA: a thousand PUT or LIST": Price(0.01, LIST_OF_S3),
    "S3 One Zone-IA: a thousand GET": Price(0.001, LIST_OF_S3),
    "S3 One Zone-IA: a GB retrieved": Price(0.01, LIST_OF_S3),
    "S3 One Zone-IA: a GB for a month": Price(0.01, LIST_OF_S3),
    "S3 Glacier Instant Retrieval: a thousand PUT or LIST": Price(0.02, LIST_OF_S3),
    "S3 Glacier Instant Retrieval: a thousand GET": Price(0.01, LIST_OF_S3),
    "S3 Glacier Instant Retrieval: a GB retrieved": Price(0.03, LIST_OF_S3),
    "S3 Glacier Instant Retrieval: a GB for a month": Price(0.004, LIST_OF_S3),
    "S3 Express: a thousand PUT or LIST": Price(0.00113, LIST_OF_S3),
    "S3 Express: a thousand GET": Price(0.00003, LIST_OF_S3),
    "S3 Express: a GB uploaded": Price(0.0032, LIST_OF_S3),
    "S3 Express: a GB retrieved": Price(0.0006, LIST_OF_S3),
    "S3 Express: a GB for a month": Price(0.11, LIST_OF_S3),
    "EventBridge Scheduler: a million starts": Price(1.00, LIST_OF_SERVICES, free=14),
    "SQS: a million requests": Price(0.40, LIST_OF_QUEUES, free=1, up_to=100_000),
    "CloudWatch: a GB of logs": Price(0.50, LIST_OF_SERVICES, free=5),
    "CloudWatch: a GB of logs kept for a month": Price(0.03, LIST_OF_SERVICES),
    "CloudWatch: an alarm for a month": Price(0.10, LIST_OF_SERVICES, free=10),
    "CloudWatch: a metric for a month": Price(0.30, LIST_OF_QUEUES, free=10, up_to=10_000),
    "CloudWatch: a dashboard for a month": Price(3.00, NOTE_OF_DASHBOARDS, free=3),
    "Data out: a GB": Price(0.09, LIST_OF_TRANSFER, free=100, up_to=10 * 1024),
    "Fargate: a processor for an hour, arm64": Price(0.03238, NOTE_OF_FARGATE),
    "Fargate: a GB for an hour, arm64": Price(0.00356, NOTE_OF_FARGATE),
    "Network load balancer: an hour": Price(0.0225, LIST_OF_BALANCERS),
    "VPC endpoint: an hour in a zone": Price(0.01, LIST_OF_ENDPOINTS),
    "EC2: t4g.small for an hour": Price(0.0168, LIST_OF_EC2),
    "EC2: c7g.large for an hour": Price(0.0725, LIST_OF_EC2),
    "EBS: a GB of gp3 for a month": Price(0.08, LIST_OF_EBS),
    "A public IPv4 address for an hour": Price(0.005, LIST_OF_ADDRESSES),
}

# Where Amazon lists them, by what their names begin with.
SOURCES = {
    "API Gateway": "https://aws.amazon.com/api-gateway/pricing/",
    "Lambda": "https://aws.amazon.com/lambda/pricing/",
    "S3": "https://aws.amazon.com/s3/pricing/",
    "EventBridge Scheduler": "https://aws.amazon.com/eventbridge/pricing/",
    "SQS": "https://aws.amazon.com/sqs/pricing/",
    "CloudWatch": "https://aws.amazon.com/cloudwatch/pricing/",
    "Data out": "https://aws.amazon.com/ec2/pricing/on-demand/",
    "Fargate": "https://aws.amazon.com/fargate/pricing/",
    "Network load balancer": "https://aws.amazon.com/elasticloadbalancing/pricing/",
    "VPC endpoint": "https://aws.amazon.com/privatelink/pricing/",
    "EC2": "https://aws.amazon.com/ec2/pricing/on-demand/",
    "EBS": "https://aws.amazon.com/ebs/pricing/",
    "A public IPv4 address": "https://aws.amazon.com/vpc/pricing/",
}


def name_of(beginning):
    """The name of the price that is called so, or else of the only one that begins so."""
    if beginning in PRICES:
        return beginning
    (found,) = [name for name in PRICES if name.startswith(beginning)]
    return found


def price(beginning):
    """A list price in dollars by its name or the beginning of it."""
    return PRICES[name_of(beginning)].dollars


def source(name):
    """Where a price is listed."""
    (found,) = [address for key, address in SOURCES.items() if re.match(rf"{key}\b", name)]
    return found


class Bill:
    """What is used in a month: amounts of what has a price, each for an item of the bill."""

    def __init__(self):
        self._amounts = collections.Counter()

    def add(self, item, beginning, amount):
        """Counts an amount, in the unit of the price that begins so."""
        self._amounts[item, name_of(beginning)] += amount

    def item(self, item):
        """What an item costs in dollars."""
        return sum(amount * price(name) for (it, name), amount in self._amounts.items() if it == item)

    def total(self):
        """What all of it costs in dollars. Fails if there is so much of something that more of it would cost less."""
        for name, amount in self._together().items():
            if amount > PRICES[name].up_to:
                raise ValueError(f"{name}: {amount:g} are more than the first {PRICES[name].up_to:g}, which cost so much")
        return sum(amount * price(name) for (_, name), amount in self._amounts.items())

    def free(self):
        """What of it is free each month, in dollars."""
        return sum(min(amount, PRICES[name].free) * price(name) for name, amount in self._together().items())

    def _together(self):
        together = collections.Counter()
        for (_, name), amount in self._amounts.items():
            together[name] += amount
        return together
