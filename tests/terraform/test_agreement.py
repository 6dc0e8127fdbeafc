"""What `terraform apply` makes is what the binaries need: variables, routes, events and permissions, neither more nor
less."""

import json
import unittest

import deployment
import interfaces
import provider_schema
import tables

EXAMPLES = {}


def setUpModule():
    try:
        EXAMPLES.update(deployment.examples())
    except provider_schema.Unavailable as error:
        raise unittest.SkipTest(str(error)) from error


class Agreement(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        try:
            cls.interfaces = {name: interfaces.load(name) for name in deployment.FUNCTIONS}
            interfaces.built("neap")
        except interfaces.NotBuilt as error:
            raise unittest.SkipTest(str(error)) from error

    def test_functions_read_every_variable_that_they_are_given(self):
        for applied in EXAMPLES.values():
            for name, interface in self.interfaces.items():
                given = set(applied.environment(name)) - {"AWS_LAMBDA_EXEC_WRAPPER"}
                self.assertEqual(given - interface.variables(), set(), name)

    def test_functions_are_given_every_variable_that_depends_on_what_is_made(self):
        made = {"INFLUXDB3_BUCKET", "NEAP_TAIL_BUCKET", "NEAP_MERGE_QUEUE_URL"}
        for name, interface in self.interfaces.items():
            given = set(EXAMPLES["production"].environment(name))
            for names in interface.options:
                if made & names:
                    self.assertTrue(names & given, f"{name}: {names}")

    def test_every_request_goes_to_a_function_that_answers_it(self):
        routed = EXAMPLES["minimal"].routes()
        for name, interface in self.interfaces.items():
            for route in interface.routes:
                if route.split(" ", 1)[1] in interfaces.OF_CONSOLE:
                    # `test_shape` turns it on.
                    continue
                function = interfaces.goes_to(routed, route)
                self.assertIsNotNone(function, route)
                self.assertIn(route, self.interfaces[function].routes, f"{route} of {name} goes to {function}")

    def test_every_path_of_the_gateway_is_one_of_its_function(self):
        for route, function in EXAMPLES["minimal"].routes().items():
            paths = {it.split(" ", 1)[1] for it in self.interfaces[function].routes}
            self.assertIn(route.split(" ", 1)[1], paths, function)

    def test_functions_may_do_with_objects_what_they_do_and_no_more(self):
        for example, applied in EXAMPLES.items():
            for name, interface in self.interfaces.items():
                # The names of objects are a matter of the bucket, and S3 Express has nothing but the bucket.
                done = {prefix: actions - {"s3:ListBucket"} for prefix, actions in interface.store.items()}
                if example == "production":
                    done.pop("tail/", None)
                done = {prefix: actions for prefix, actions in done.items() if actions}
                self.assertEqual(applied.object_actions(name), done, f"{example}: {name}")

    def test_functions_may_call_what_they_call_and_no_more(self):
        # What Lambda does in a function's name.
        log = {"logs:CreateLogStream", "logs:PutLogEvents"}
        queue = {"sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"}
        applied = EXAMPLES["minimal"]
        fed = {it["function_name"] for it in applied.of_kind("aws_lambda_event_source_mapping").values()}
        for name, interface in self.interfaces.items():
            expected = log | interface.calls - {"s3express:CreateSession"}
            if applied.function(name)["arn"] in fed:
                expected |= queue
            self.assertEqual(applied.other_actions(name), expected, name)

    def test_a_tail_in_s3_express_is_written_by_those_who_write(self):
        for name, interface in self.interfaces.items():
            statements = EXAMPLES["production"].statements(name)
            (session,) = [it for it in statements if "s3express:CreateSession" in it["Action"]]
            writes = interface.store["tail/"] & {"s3:PutObject", "s3:DeleteObject"}
            reads_only = {"StringEquals": {"s3express:SessionMode": "ReadOnly"}}
            self.assertEqual(session.get("Condition"), None if writes else reads_only, name)
            self.assertIn("s3express:CreateSession", interface.calls)

    def test_every_event_of_a_scheduler_is_sent_and_no_other(self):
        for applied in EXAMPLES.values():
            for name, interface in self.interfaces.items():
                started = applied.schedules().values()
                sent = [event for function, event in started if deployment.PROGRAMS.get(function, function) == name]
                # Backups are made if the deployment asks for them.
                expected = [it for it in interface.inputs() if it != {"event": "backup"} or it in sent]
                self.assertCountEqual(sent, expected, name)
        made = EXAMPLES["production"].schedules()["backup"]
        self.assertEqual(made, ("compact", {"event": "backup"}))

    def test_queues_feed_those_who_take_what_they_carry(self):
        applied = EXAMPLES["minimal"]
        mappings = applied.of_kind("aws_lambda_event_source_mapping")
        carried = {"merges": ("compact", "flush and merge orders"), "segments[0]": ("engine", "s3 notifications")}
        self.assertEqual(len(mappings), len(carried))
        for queue, (function, what) in carried.items():
            mapping = mappings[f"aws_lambda_event_source_mapping.{queue}"]
            self.assertEqual(mapping["function_name"], applied.function(function)["arn"])
            self.assertEqual(mapping["function_response_types"], ["ReportBatchItemFailures"])
            self.assertTrue(self.interfaces[function].takes("sqs", carries=what), queue)

    def test_the_server_reads_every_variable_that_containers_are_given(self):
        (task,) = EXAMPLES["production"].of_kind("aws_ecs_task_definition").values()
        (container,) = json.loads(task["container_definitions"])
        given = {it["name"]: it["value"] for it in container["environment"]}
        read = interfaces.read_by_server(given)
        self.assertEqual(read, set(given))

    def test_alarms_watch_what_the_compact_function_logs(self):
        source = (interfaces.REPOSITORY / "programs" / "lambda" / "src" / "compact.rs").read_text()
        all_filters = EXAMPLES["minimal"].of_kind("aws_cloudwatch_log_metric_filter").values()
        filters = [it for it in all_filters if it["log_group_name"].endswith("-compact")]
        self.assertEqual(len(filters), 5)
        for it in filters:
            field = it["metric_transformation"][0]["value"].removeprefix("$.")
            self.assertEqual(it["pattern"], f"{{ $.{field} = * }}")
            self.assertRegex(source, rf"\b{field} = ")

    def test_the_documentation_names_every_variable(self):
        made = tables.of_environment(self.interfaces)
        self.assertEqual(tables.kept(tables.DEPLOYMENT), made, "scripts/check-terraform --update writes it")

    def test_what_tests_of_the_binaries_know_of_this_is_up_to_date(self):
        made = deployment.summary()
        kept = json.loads(deployment.SUMMARY.read_text())
        self.assertEqual(kept, made, "scripts/check-terraform --update writes it")


if __name__ == "__main__":
    unittest.main()
