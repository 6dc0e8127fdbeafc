"""What `terraform apply` makes is as it is meant to be."""

import json
import pathlib
import re
import tempfile
import unittest

import deployment
import interfaces
import provider_schema

EXAMPLES = {}


def setUpModule():
    try:
        EXAMPLES.update(deployment.examples())
    except provider_schema.Unavailable as error:
        raise unittest.SkipTest(str(error)) from error


class Shape(unittest.TestCase):
    def test_functions_run_on_arm_and_have_their_limits(self):
        for name in deployment.FUNCTIONS:
            function = EXAMPLES["minimal"].function(name)
            self.assertEqual(function["architectures"], ["arm64"])
            self.assertEqual(function["reserved_concurrent_executions"], -1)
            self.assertGreaterEqual(function["memory_size"], 512)
            self.assertLessEqual(function["timeout"], 900)
        production = {name: EXAMPLES["production"].function(name) for name in deployment.FUNCTIONS}
        reserved = {name: it["reserved_concurrent_executions"] for name, it in production.items()}
        self.assertEqual(reserved, {"write": 200, "query": 100, "compact": 12, "engine": 50})

    def test_what_answers_requests_alone_has_no_more_time_than_the_gateway_waits(self):
        for applied in EXAMPLES.values():
            for name in ("write", "query"):
                self.assertEqual(applied.function(name)["timeout"], 30)

    def test_merges_leave_room_for_what_the_scheduler_starts(self):
        applied = EXAMPLES["production"]
        reserved = applied.function("compact")["reserved_concurrent_executions"]
        merges = applied.of_kind("aws_lambda_event_source_mapping")["aws_lambda_event_source_mapping.merges"]
        at_once = merges["scaling_config"][0]["maximum_concurrency"]
        started = [function for function, _ in applied.schedules().values() if function == "compact"]
        self.assertGreaterEqual(reserved, at_once + len(started))

    def test_a_message_is_hidden_until_its_function_must_have_ended(self):
        # It is hidden when it is fetched: then the batch is filled, and the function started.
        for applied in EXAMPLES.values():
            functions = {it["arn"]: it for it in applied.of_kind("aws_lambda_function").values()}
            queues = {it["arn"]: it for it in applied.of_kind("aws_sqs_queue").values()}
            for mapping in applied.of_kind("aws_lambda_event_source_mapping").values():
                window = mapping["maximum_batching_window_in_seconds"] or 0
                works = functions[mapping["function_name"]]["timeout"]
                hidden = queues[mapping["event_source_arn"]]["visibility_timeout_seconds"]
                self.assertGreaterEqual(hidden, works + window + 30)

    def test_queues_have_dead_letters_and_alarms_for_them(self):
        for applied in EXAMPLES.values():
            queues = applied.of_kind("aws_sqs_queue")
            by_arn = {it["arn"]: it["name"] for it in queues.values()}
            alarmed = {(it["dimensions"] or {}).get("QueueName") for it in applied.alarms().values()}
            for queue in queues.values():
                if queue["redrive_policy"]:
                    dead = by_arn[json.loads(queue["redrive_policy"])["deadLetterTargetArn"]]
                    self.assertLessEqual({dead, queue["name"]}, alarmed)
            self.assertLessEqual({it["name"] for it in queues.values()}, alarmed)

    def test_every_function_has_alarms_and_a_log_that_ends(self):
        for applied in EXAMPLES.values():
            functions = {it["function_name"] for it in applied.of_kind("aws_lambda_function").values()}
            for metric in ("Errors", "Throttles"):
                of_metric = [it for it in applied.alarms().values() if it["metric_name"] == metric]
                found = {it["dimensions"]["FunctionName"] for it in of_metric}
                self.assertEqual(found, functions)
            groups = applied.of_kind("aws_cloudwatch_log_group").values()
            self.assertTrue(all(it["retention_in_days"] for it in groups))
            self.assertLessEqual({f"/aws/lambda/{it}" for it in functions}, {it["name"] for it in groups})

    def test_production_tells_somebody_of_alarms(self):
        topics = {it["arn"] for it in EXAMPLES["production"].of_kind("aws_sns_topic").values()}
        for alarm in EXAMPLES["production"].alarms().values():
            self.assertEqual(set(alarm["alarm_actions"]), topics)

    def test_the_bucket_is_closed_encrypted_and_without_versions(self):
        for applied in EXAMPLES.values():
            (block,) = applied.of_kind("aws_s3_bucket_public_access_block").values()
            for what in ("block_public_acls", "block_public_policy", "ignore_public_acls", "restrict_public_buckets"):
                self.assertTrue(block[what], what)
            (versioning,) = applied.of_kind("aws_s3_bucket_versioning").values()
            self.assertEqual(versioning["versioning_configuration"][0]["status"], "Disabled")
            (policy,) = applied.of_kind("aws_s3_bucket_policy").values()
            (statement,) = json.loads(policy["policy"])["Statement"]
            self.assertEqual(statement["Effect"], "Deny")
        rules = {name: [it["rule"][0] for it in applied.encryption()] for name, applied in EXAMPLES.items()}
        default = "apply_server_side_encryption_by_default"
        algorithms = {name: [it[default][0]["sse_algorithm"] for it in found] for name, found in rules.items()}
        self.assertEqual(algorithms, {"minimal": ["AES256"], "production": ["aws:kms", "aws:kms"]})

    def test_a_tail_that_moves_is_read_and_kept_in_both_buckets(self):
        packages = {"packages": {"directory": "PACKAGES"}}
        bucket = "neap-123456789012-eu-central-1"
        express = f"{bucket}-tail--euc1-az1--x-s3"
        for variables, tail, former, in_bucket in [
            ({}, None, None, True),
            ({"tail_zone_id": "euc1-az1"}, express, None, False),
            ({"tail_zone_id": "euc1-az1", "former_tail": "bucket"}, express, bucket, True),
            ({"former_tail": "euc1-az1"}, None, express, True),
        ]:
            applied = deployment.apply("", {**packages, **variables, "force_destroy": True})
            with self.subTest(variables):
                kept = applied.of_kind("aws_s3_directory_bucket").values()
                self.assertEqual({it["bucket"] for it in kept}, {tail, former} - {None, bucket})
                self.assertFalse(any(it["force_destroy"] for it in kept))
                for name in deployment.FUNCTIONS:
                    environment = applied.environment(name)
                    self.assertEqual(environment.get("NEAP_TAIL_BUCKET"), tail)
                    self.assertEqual(environment.get("NEAP_FORMER_TAIL_BUCKET"), former)
                    self.assertEqual("tail/" in applied.object_actions(name), in_bucket)
                    calls = "s3express:CreateSession" in applied.other_actions(name)
                    self.assertEqual(calls, bool(kept), name)

    def test_backups_of_production_go_to_another_bucket_by_an_order_that_is_not_lost(self):
        applied = EXAMPLES["production"]
        environment = applied.environment("compact")
        self.assertEqual(environment["NEAP_BACKUP_TO"], "s3://backups-of-another-account/neap")
        self.assertEqual(environment["NEAP_BACKUP_FULL_EVERY"], "7")
        elsewhere = "arn:aws:s3:::backups-of-another-account"
        allowed = {
            resource: set(statement["Action"])
            for statement in applied.statements("compact")
            for resource in statement["Resource"]
            if resource.startswith(elsewhere)
        }
        objects = {"s3:DeleteObject", "s3:GetObject", "s3:PutObject"}
        self.assertEqual(allowed, {f"{elsewhere}/neap/*": objects, elsewhere: {"s3:ListBucket"}})
        (endpoint,) = [it for it in applied.of_kind("aws_vpc_endpoint").values() if it["service_name"].endswith(".s3")]
        self.assertIn(f"{elsewhere}/*", json.loads(endpoint["policy"])["Statement"][0]["Resource"])
        schedule = applied.of_kind("aws_scheduler_schedule")['aws_scheduler_schedule.main["backup"]']
        (queue,) = [it for it in applied.of_kind("aws_sqs_queue").values() if it["arn"] == schedule["target"][0]["arn"]]
        self.assertTrue(queue["redrive_policy"])
        (policy,) = [
            it for address, it in applied.of_kind("aws_iam_role_policy").items() if address.endswith("scheduler")
        ]
        sent_to = [it["Resource"] for it in json.loads(policy["policy"])["Statement"] if it["Action"] == "sqs:SendMessage"]
        self.assertIn(queue["arn"], sent_to[0])

    def test_runs_that_lambda_gives_up_raise_an_alarm(self):
        for applied in EXAMPLES.values():
            dropped = [it for it in applied.alarms().values() if it["metric_name"] == "AsyncEventsDropped"]
            watched = {it["dimensions"]["FunctionName"].removeprefix("neap-") for it in dropped}
            started = {function for name, (function, _) in applied.schedules().items() if name != "backup"}
            self.assertEqual(watched, started)

    def test_the_budget_of_production_sends_notifications(self):
        (budget,) = EXAMPLES["production"].of_kind("aws_budgets_budget").values()
        topics = {it["arn"] for it in EXAMPLES["production"].of_kind("aws_sns_topic").values()}
        for notification in budget["notification"]:
            self.assertEqual(set(notification["subscriber_sns_topic_arns"]), topics)
        self.assertEqual(EXAMPLES["minimal"].of_kind("aws_budgets_budget"), {})

    def test_lambda_leaves_it_to_the_filter_what_is_logged(self):
        for applied in EXAMPLES.values():
            for function in applied.of_kind("aws_lambda_function").values():
                self.assertEqual(function["logging_config"][0]["application_log_level"], "TRACE")

    def test_results_and_broken_uploads_expire_and_nothing_else_does(self):
        for applied in EXAMPLES.values():
            (lifecycle,) = applied.of_kind("aws_s3_bucket_lifecycle_configuration").values()
            expiring = [it["filter"][0]["prefix"] for it in lifecycle["rule"] if it["expiration"]]
            self.assertEqual(expiring, ["results/"])
            self.assertEqual(sum(bool(it["abort_incomplete_multipart_upload"]) for it in lifecycle["rule"]), 1)

    def test_what_runs_beside_the_bucket_reaches_no_internet(self):
        applied = EXAMPLES["production"]
        self.assertEqual(applied.of_kind("aws_internet_gateway"), {})
        self.assertEqual(applied.of_kind("aws_nat_gateway"), {})
        self.assertTrue(all(it["internal"] for it in applied.of_kind("aws_lb").values()))
        reached = {it["service_name"].split(".", 3)[3] for it in applied.of_kind("aws_vpc_endpoint").values()}
        self.assertEqual(reached, {"s3", "s3express", "sqs", "ecr.api", "ecr.dkr", "logs"})

    def test_the_way_to_the_bucket_lets_through_what_functions_may_do(self):
        applied = EXAMPLES["production"]
        (endpoint,) = [it for it in applied.of_kind("aws_vpc_endpoint").values() if it["service_name"].endswith(".s3")]
        (statement, *_) = json.loads(endpoint["policy"])["Statement"]
        needed = {"s3:ListBucket"}
        for name in deployment.FUNCTIONS:
            needed.update(*applied.object_actions(name).values())
        self.assertEqual(set(statement["Action"]), needed)

    def test_containers_see_the_addresses_of_clients(self):
        (group,) = EXAMPLES["production"].of_kind("aws_lb_target_group").values()
        self.assertEqual(group["preserve_client_ip"], "true")

    def test_containers_may_write_where_the_image_has_volumes_and_nowhere_else(self):
        (task,) = EXAMPLES["production"].of_kind("aws_ecs_task_definition").values()
        (container,) = json.loads(task["container_definitions"])
        image = (interfaces.REPOSITORY / "infra" / "docker" / "Dockerfile").read_text()
        (volumes,) = re.findall(r"^VOLUME (.*)$", image, re.M)
        self.assertTrue(container["readonlyRootFilesystem"])
        self.assertCountEqual([it["containerPath"] for it in container["mountPoints"]], json.loads(volumes))
        self.assertCountEqual(
            [it["sourceVolume"] for it in container["mountPoints"]], [it["name"] for it in task["volume"]]
        )

    def test_somebody_is_told_when_no_container_answers(self):
        applied = EXAMPLES["production"]
        (alarm,) = [it for it in applied.alarms().values() if it["metric_name"] == "HealthyHostCount"]
        (balancer,) = applied.of_kind("aws_lb").values()
        (group,) = applied.of_kind("aws_lb_target_group").values()
        self.assertEqual(
            alarm["dimensions"], {"LoadBalancer": balancer["arn_suffix"], "TargetGroup": group["arn_suffix"]}
        )
        self.assertEqual(alarm["treat_missing_data"], "breaching")
        self.assertNotIn("HealthyHostCount", {it["metric_name"] for it in EXAMPLES["minimal"].alarms().values()})

    def test_the_page_of_costs_counts_the_alarms_and_metrics_that_there_are(self):
        applied = EXAMPLES["minimal"]
        page = " ".join((interfaces.REPOSITORY / "docs" / "cost.md").read_text().split())
        (counted,) = re.findall(r"(\d+) alarms \((\d+) with S3 Express\), (\d+) metrics, a dashboard", page)
        alarms = applied.alarms().values()
        of_notifications = [it for it in alarms if "segments" in (it["dimensions"] or {}).get("QueueName", "")]
        metrics = applied.of_kind("aws_cloudwatch_log_metric_filter")
        made = (len(alarms), len(alarms) - len(of_notifications), len(metrics))
        self.assertEqual(tuple(map(int, counted)), made)
        for stage in applied.of_kind("aws_apigatewayv2_stage").values():
            self.assertFalse(stage["default_route_settings"][0]["detailed_metrics_enabled"])

    def test_new_segments_are_notified_of_where_the_store_can(self):
        (notification,) = EXAMPLES["minimal"].of_kind("aws_s3_bucket_notification").values()
        (queue,) = notification["queue"]
        self.assertEqual((queue["filter_prefix"], queue["filter_suffix"]), ("tail/", ".wal"))
        self.assertEqual(EXAMPLES["production"].of_kind("aws_s3_bucket_notification"), {})

    def test_an_engine_without_notifications_has_its_schedule(self):
        applied = deployment.apply("", {"packages": {"directory": "PACKAGES"}, "engine": {"notifications": False}})
        self.assertEqual(applied.of_kind("aws_s3_bucket_notification"), {})
        self.assertIn(("engine", {"event": "schedule"}), applied.schedules().values())
        self.assertEqual(len(applied.of_kind("aws_lambda_event_source_mapping")), 1)

    def test_a_deployment_without_an_engine_has_nothing_of_it(self):
        applied = deployment.apply("", {"packages": {"directory": "PACKAGES"}, "engine": {"enabled": False}})
        self.assertIsNone(applied.function("engine"))
        self.assertEqual({name for name, _ in applied.schedules().values()}, {"compact", "views"})
        self.assertEqual(set(applied.routes().values()), {"write", "query"})

    def test_views_are_refreshed_by_a_function_of_their_own_unless_it_is_turned_off(self):
        applied = EXAMPLES["minimal"]
        self.assertEqual(applied.schedules()["views"], ("views", {"event": "refresh_views"}))
        views, query = applied.function("views"), applied.function("query")
        self.assertEqual(views["filename"], query["filename"])
        self.assertEqual((views["timeout"], query["timeout"]), (300, 30))
        self.assertEqual(applied.object_actions("views"), applied.object_actions("query"))
        off = deployment.apply("", {"packages": {"directory": "PACKAGES"}, "views": {"enabled": False}})
        self.assertIsNone(off.function("views"))
        self.assertNotIn("views", off.schedules())

    def test_a_console_is_in_the_bucket_and_at_the_root_of_the_api(self):
        off = EXAMPLES["minimal"]
        self.assertEqual(off.of_kind("aws_s3_object"), {})
        self.assertNotIn("ANY /", off.routes())
        self.assertNotIn("NEAP_CONSOLE_FROM_BUCKET", off.environment("write"))
        with tempfile.TemporaryDirectory() as folder:
            for name in ("index.html", "console/assets/index-1.js"):
                path = pathlib.Path(folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(name)
            variables = {
                "packages": {"directory": "PACKAGES"},
                "key_prefix": "a/b",
                "console": {"enabled": True, "directory": folder},
            }
            applied = deployment.apply("", variables)
        keys = {it["key"] for it in applied.of_kind("aws_s3_object").values()}
        self.assertEqual(keys, {"a/b/console/index.html", "a/b/console/assets/index-1.js"})
        for path in ("/", "/console/assets/{proxy+}"):
            self.assertEqual(applied.routes()[f"ANY {path}"], "write")
        self.assertEqual(applied.environment("write")["NEAP_CONSOLE_FROM_BUCKET"], "true")

    def test_every_function_gets_the_format_level_of_a_new_cluster(self):
        packages = {"packages": {"directory": "PACKAGES"}}
        for variables, expected in [(packages, None), (packages | {"format_level": 1}, "1")]:
            applied = deployment.apply("", variables)
            for name in deployment.FUNCTIONS:
                self.assertEqual(applied.environment(name).get("NEAP_FORMAT_LEVEL"), expected)

    def test_a_key_prefix_is_everywhere(self):
        applied = deployment.apply("", {"packages": {"directory": "PACKAGES"}, "key_prefix": "a/b"})
        self.assertEqual(applied.environment("write")["NEAP_KEY_PREFIX"], "a/b")
        for name in deployment.FUNCTIONS:
            self.assertTrue(all(prefix.startswith("a/b/") for prefix in applied.object_actions(name)))
        (lifecycle,) = applied.of_kind("aws_s3_bucket_lifecycle_configuration").values()
        self.assertEqual(lifecycle["rule"][0]["filter"][0]["prefix"], "a/b/results/")
        (notification,) = applied.of_kind("aws_s3_bucket_notification").values()
        self.assertEqual(notification["queue"][0]["filter_prefix"], "a/b/tail/")

    def test_what_runs_locally_is_started_by_the_same_events_and_has_the_same_memory(self):
        text = (interfaces.REPOSITORY / "localstack" / "local.json").read_text()
        local = json.loads(text.replace("@PORT@", "0"))
        applied = EXAMPLES["minimal"]
        started = [(it["function"], it["input"]) for it in local["schedules"]]
        self.assertCountEqual(started, applied.schedules().values())
        memory = {name: it["limits"]["memory_mib"] for name, it in local["functions"].items()}
        functions = (*deployment.FUNCTIONS, "views")
        self.assertEqual(memory, {name: applied.function(name)["memory_size"] for name in functions})

    def test_mistakes_in_variables_are_refused_with_a_reason(self):
        for variables, reason in [
            ({"packages": {}}, "Name either a directory or a bucket."),
            ({"packages": {"directory": "PACKAGES"}, "functions": {"wirte": {}}}, "The functions are write"),
            ({"packages": {"directory": "PACKAGES"}, "name": "Neap"}, "Small letters"),
            ({"packages": {"directory": "PACKAGES"}, "former_tail": "bucket"}, "where new data went before"),
            ({"packages": {"directory": "PACKAGES"}, "former_tail": "euc1"}, "an availability zone such as"),
            ({"packages": {"directory": "PACKAGES"}, "alarms": {"budget_usd": 5}}, "needs whom to notify"),
            (
                {"packages": {"directory": "PACKAGES"}, "tail_zone_id": "euc1-az1", "bucket_name": "b" * 60},
                "more than 63 characters",
            ),
            ({"packages": {"directory": "PACKAGES"}, "architecture": "arm"}, "arm64 or x86_64."),
            ({"packages": {"directory": "PACKAGES"}, "key_prefix": "a/"}, "'/' between parts"),
            ({"packages": {"directory": "PACKAGES"}, "service": {"image": "neap"}}, "needs a network"),
            (with_network({"cidr": "10.0.0.0/20"}, service={"image": "neap", "public": True}), "needs certificate_arn"),
            (with_network({"cidr": "10.0.0.0/20"}, service={"image": "neap", "mode": ["write"]}), "one or more of all"),
            (with_network({"vpc_id": "vpc-1", "security_group_ids": ["sg-1"]}), "name subnet_ids"),
            (with_network({"vpc_id": "vpc-1", "subnet_ids": ["subnet-1"]}), "need security_group_ids"),
            ({"packages": {"directory": "PACKAGES"}, "engine": {"batching_window": 0}}, "from 1 to 300 seconds"),
            ({"packages": {"directory": "PACKAGES"}, "distributed_queries": {"max_workers": 1.5}}, "whole number from 0"),
            ({"packages": {"directory": "PACKAGES"}, "engine": {"batches_at_once": 1}}, "from 2 to 1000"),
        ]:
            with self.subTest(variables), self.assertRaisesRegex(deployment.Refused, reason):
                deployment.apply("", variables)

    def test_a_network_of_which_functions_are_no_part_needs_no_group_for_them(self):
        network = {"vpc_id": "vpc-1", "subnet_ids": ["subnet-1"], "functions": False}
        applied = deployment.apply("", with_network(network, service={"image": "neap"}))
        self.assertEqual(applied.function("write")["vpc_config"], [])

    def test_query_functions_have_workers_and_a_way_to_them_only_if_asked(self):
        alone = EXAMPLES["minimal"]
        self.assertNotIn("NEAP_DISTRIBUTED_MAX_WORKERS", alone.environment("query"))
        self.assertNotIn("lambda", endpoints_of(EXAMPLES["production"]))
        workers = {"max_workers": 64, "mib_per_worker": 512}
        network = {"cidr": "10.0.0.0/20"}
        applied = deployment.apply("", with_network(network, distributed_queries=workers))
        self.assertIn("lambda", endpoints_of(applied))
        for variable, value in [("MAX_WORKERS", "64"), ("BYTES_PER_WORKER", "512MiB")]:
            self.assertEqual(applied.environment("query")[f"NEAP_DISTRIBUTED_{variable}"], value)
            self.assertNotIn(f"NEAP_DISTRIBUTED_{variable}", applied.environment("write"))
        (statement,) = [it for it in applied.statements("query") if it["Action"] == ["lambda:InvokeFunction"]]
        arn = applied.function("query")["arn"]
        self.assertEqual({it.rsplit(":", 1)[1] for it in statement["Resource"]}, {arn.rsplit(":", 1)[1], "*"})

    def test_containers_that_answer_queries_reach_each_other_and_no_other_container_does(self):
        def serve(mode):
            service = {"image": "neap", "tasks": 3} | ({} if mode is None else {"mode": mode})
            applied = deployment.apply("", with_network({"cidr": "10.0.0.0/20"}, service=service))
            (task,) = applied.of_kind("aws_ecs_task_definition").values()
            (container,) = json.loads(task["container_definitions"])
            rules = {
                (kind, rule["from_port"])
                for kind in ("ingress", "egress")
                for rule in applied.of_kind(f"aws_vpc_security_group_{kind}_rule").values()
                if rule["description"].startswith("Parts of queries")
                and rule["security_group_id"] == rule["referenced_security_group_id"]
            }
            return container["command"], rules

        worker = ["--cluster-address", "0.0.0.0:8182", "--cluster-without-tls"]
        both = {("ingress", 8182), ("egress", 8182)}
        common = ["serve", "--http-bind", "0.0.0.0:8181", "--mode"]
        self.assertEqual(serve(None), ([*common, "all", *worker], both))
        self.assertEqual(serve(["query", "ingest"]), ([*common, "ingest,query", *worker], both))
        self.assertEqual(serve(["compact"]), ([*common, "compact"], set()))


def endpoints_of(applied):
    """The services that have an endpoint in the network."""
    found = applied.of_kind("aws_vpc_endpoint").values()
    return {it["service_name"].rsplit(".", 1)[1] for it in found if it["vpc_endpoint_type"] == "Interface"}


def with_network(network, **variables):
    """The variables of a deployment in a network."""
    return {"packages": {"directory": "PACKAGES"}, "network": network, **variables}


if __name__ == "__main__":
    unittest.main()
