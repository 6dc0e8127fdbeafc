"""What `terraform apply` makes of the configuration, without an account: see `stand_in`."""

import contextlib
import functools
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

import configuration
import provider_schema
import stand_in

# The summary, as it was when it was last accepted.
SUMMARY = pathlib.Path(__file__).with_name("deployment.json")

FUNCTIONS = ("write", "query", "compact", "engine")

# Functions that run the program of another one.
PROGRAMS = {"stream": "query", "views": "query", "ingest": "write"}

# What the examples leave to whoever applies them, and what the parts of the deployment that they don't have need.
PRODUCTION = {
    "package_bucket": "releases",
    "release": "0.1.0",
    "image": "123456789012.dkr.ecr.eu-central-1.amazonaws.com/neap:0.1.0",
    "domain": "neap.example.org",
    "certificate_arn": "arn:aws:acm:eu-central-1:123456789012:certificate/1",
    "zone_id": "Z1",
    "log_bucket": "access-log",
    "alarm_address": "somebody@example.org",
    "admin_token_hash": "0123456789abcdef" * 8,
    "backup_bucket": "backups-of-another-account",
}


class Refused(Exception):
    """Terraform found something wrong."""


def as_list(value):
    """Policies have lists or single values."""
    return value if isinstance(value, list) else [value]


class Deployment:
    """Everything that there is after `terraform apply`."""

    def __init__(self, state):
        self.resources = list(resources_of(state["values"]["root_module"]))
        self.outputs = {name: it["value"] for name, it in state["values"]["outputs"].items()}

    def of_kind(self, kind):
        """The values of all resources of a kind, by their addresses."""
        found = [it for it in self.resources if it["mode"] == "managed" and it["type"] == kind]
        return {it["address"].removeprefix("module.neap."): it["values"] for it in found}

    def function(self, name):
        """The Lambda function of that name."""
        return self.of_kind("aws_lambda_function").get(f'module.function["{name}"].aws_lambda_function.main')

    def environment(self, name):
        """The variables of a function's environment."""
        return self.function(name)["environment"][0]["variables"]

    def bucket(self):
        """The name of the bucket."""
        (bucket,) = self.of_kind("aws_s3_bucket").values()
        return bucket["bucket"]

    def statements(self, name):
        """The statements of a function's policy."""
        policies = self.of_kind("aws_iam_role_policy")
        policy = policies[f'module.function["{name}"].aws_iam_role_policy.main']["policy"]
        return json.loads(policy)["Statement"]

    def object_actions(self, name):
        """What a function may do with objects: the actions by prefix."""
        objects = f"arn:aws:s3:::{self.bucket()}/"
        found = {}
        for statement in self.statements(name):
            for resource in as_list(statement["Resource"]):
                if resource.startswith(objects):
                    prefix = resource.removeprefix(objects).removesuffix("*")
                    found.setdefault(prefix, set()).update(as_list(statement["Action"]))
        return found

    def other_actions(self, name):
        """What a function may do beside that and listing the bucket."""
        bucket = f"arn:aws:s3:::{self.bucket()}"
        return {
            action
            for statement in self.statements(name)
            for action in as_list(statement["Action"])
            if not any(it.startswith(bucket) for it in as_list(statement["Resource"]))
        }

    def routes(self):
        """Which function each route goes to."""
        integrations = {
            f"integrations/{it['id']}": address.split('"')[1]
            for address, it in self.of_kind("aws_apigatewayv2_integration").items()
        }
        routes = self.of_kind("aws_apigatewayv2_route").values()
        return {it["route_key"]: integrations[it["target"]] for it in routes}

    def schedules(self):
        """What the scheduler starts: by name, the function and its event."""
        functions = {name: self.function(name) for name in (*FUNCTIONS, *PROGRAMS)}
        by_arn = {it["arn"]: name for name, it in functions.items() if it}
        # An order that goes through a queue is for the function that the queue feeds.
        for mapping in self.of_kind("aws_lambda_event_source_mapping").values():
            by_arn[mapping["event_source_arn"]] = by_arn[mapping["function_name"]]
        targets = {it["name"]: it["target"][0] for it in self.of_kind("aws_scheduler_schedule").values()}
        return {name: (by_arn[it["arn"]], json.loads(it["input"])) for name, it in targets.items()}

    def alarms(self):
        """All alarms."""
        return self.of_kind("aws_cloudwatch_metric_alarm")

    def encryption(self):
        """The rules of encryption, the bucket's first."""
        rules = self.of_kind("aws_s3_bucket_server_side_encryption_configuration")
        return [rules[address] for address in sorted(rules)]


def resources_of(module):
    """The resources of a module and of those in it."""
    yield from module.get("resources", [])
    for child in module.get("child_modules", []):
        yield from resources_of(child)


@contextlib.contextmanager
def terraform():
    """A function that runs `terraform` in a folder below a copy of the configuration."""
    if shutil.which("terraform") is None:
        raise provider_schema.Unavailable("there is no terraform")
    schemas = provider_schema.load(
        {it.kind for it in configuration.resources()},
        {it.kind for it in configuration.data_sources()},
    )
    with tempfile.TemporaryDirectory() as directory, stand_in.serving(schemas, directory) as environment:
        copy = pathlib.Path(directory) / "terraform"
        shutil.copytree(configuration.ROOT, copy, ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*"))
        packages = pathlib.Path(directory) / "dist"
        packages.mkdir()
        for name in FUNCTIONS:
            for architecture in ("arm64", "x86_64"):
                (packages / f"neap-lambda-{name}-{architecture}.zip").write_bytes(name.encode())

        def run(folder, *arguments):
            # Nothing of whoever runs this takes part: no configuration, no variables, no credentials.
            inherited = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
            done = subprocess.run(
                ["terraform", *arguments],
                cwd=copy / folder,
                env={**inherited, **environment, "TF_IN_AUTOMATION": "1", "CHECKPOINT_DISABLE": "1"},
                capture_output=True,
                text=True,
                timeout=300,
            )
            if done.returncode != 0:
                raise Refused(f"terraform {arguments[0]} in {folder}:\n{done.stdout}{done.stderr}")
            return done.stdout

        yield run, packages


def apply(folder, variables):
    """Applies an example, or the whole with other variables. `PACKAGES` stands for a folder with zip files."""
    with terraform() as (run, packages):
        values = {name: it if isinstance(it, str) else json.dumps(it) for name, it in variables.items()}
        flags = [f"-var={name}={it.replace('PACKAGES', str(packages))}" for name, it in values.items()]
        run(folder, "init", "-no-color", "-input=false")
        run(folder, "validate", "-no-color")
        run(folder, "apply", "-no-color", "-input=false", "-auto-approve", *flags)
        return Deployment(json.loads(run(folder, "show", "-json")))


@functools.cache
def examples():
    """The examples, applied."""
    return {
        "minimal": apply("examples/minimal", {"packages": "PACKAGES"}),
        "production": apply("examples/production", PRODUCTION),
    }


def summary():
    """What tests of the binaries, which are not written in Python, know of the deployment."""
    applied = examples()["minimal"]
    functions = {
        name: {
            "environment": applied.environment(name),
            "memory_mib": applied.function(name)["memory_size"],
            "timeout_seconds": applied.function(name)["timeout"],
            "routes": sorted(route for route, function in applied.routes().items() if function == name),
            "schedules": {it: event for it, (function, event) in applied.schedules().items() if function == name},
            "policy": {"Version": "2012-10-17", "Statement": applied.statements(name)},
        }
        for name in FUNCTIONS
    }
    return {"bucket": applied.bucket(), "functions": functions}
