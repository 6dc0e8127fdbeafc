"""Amazon's list prices, and where they are listed."""

import re

PRICES_OF = "June 2025"
REGION = "us-east-1"

# List prices in US dollars, without free tiers, discounts and tax: written down by hand. Whoever changes one
# compares all of them with the lists below, and changes the month above.
PRICES = {
    "API Gateway: HTTP API, a million requests of up to 512 KiB": 1.00,
    "Lambda: a million requests": 0.20,
    "Lambda: a GB-second, arm64": 0.0000133334,
    "S3 Standard: a thousand PUT or LIST": 0.005,
    "S3 Standard: a thousand GET": 0.0004,
    "S3 Standard: a GB for a month": 0.023,
    "S3 Express: a thousand PUT or LIST": 0.00113,
    "S3 Express: a thousand GET": 0.00003,
    "S3 Express: a GB uploaded": 0.0032,
    "S3 Express: a GB retrieved": 0.0006,
    "S3 Express: a GB for a month": 0.11,
    "EventBridge Scheduler: a million starts": 1.00,
    "SQS: a million requests": 0.40,
    "CloudWatch: a GB of logs": 0.50,
    "CloudWatch: an alarm for a month": 0.10,
    "CloudWatch: a metric for a month": 0.30,
    "CloudWatch: a dashboard for a month": 3.00,
    "Data out: a GB": 0.09,
    "Fargate: a processor for an hour, arm64": 0.03238,
    "Fargate: a GB for an hour, arm64": 0.00356,
    "Network load balancer: an hour": 0.0225,
    "EC2: t4g.small for an hour": 0.0168,
    "EBS: a GB of gp3 for a month": 0.08,
    "A public IPv4 address for an hour": 0.005,
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
    "EC2": "https://aws.amazon.com/ec2/pricing/on-demand/",
    "EBS": "https://aws.amazon.com/ebs/pricing/",
    "A public IPv4 address": "https://aws.amazon.com/vpc/pricing/",
}


def price(name):
    """A list price by the beginning of its name."""
    (found,) = [value for key, value in PRICES.items() if key.startswith(name)]
    return found


def source(name):
    """Where a price is listed."""
    (found,) = [address for key, address in SOURCES.items() if re.match(rf"{key}\b", name)]
    return found
