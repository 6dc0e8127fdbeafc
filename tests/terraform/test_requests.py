"""How requests reach the functions, and answers whoever asked: time limits, web pages, streams, warm instances."""

import json
import re
import unittest

import configuration
import deployment
import interfaces
import provider_schema

PACKAGES = {"packages": {"directory": "PACKAGES"}}

# A deployment with everything that is about requests and not in the examples.
REQUESTS = {}


def setUpModule():
    variables = {
        **PACKAGES,
        "streaming": {"enabled": True},
        "ingest": {"enabled": True},
        "request_timeout_seconds": 12,
        "cors_origins": ["https://app.example.org", "http://localhost:3000"],
        "functions": {
            "write": {"provisioned_concurrency": 2, "reserved_concurrency": 20},
            "stream": {"timeout_seconds": 600, "environment": {"NEAP_MAX_RESULT_ROWS": "1000"}},
        },
    }
    try:
        REQUESTS["small"] = deployment.examples()["minimal"]
        REQUESTS["large"] = deployment.apply("", variables)
    except provider_schema.Unavailable as error:
        raise unittest.SkipTest(str(error)) from error


class Limits(unittest.TestCase):
    def test_work_on_a_request_ends_before_the_gateway_gives_up(self):
        for name, seconds in {"small": 30, "large": 12}.items():
            applied = REQUESTS[name]
            integrations = applied.of_kind("aws_apigatewayv2_integration").values()
            self.assertEqual({it["timeout_milliseconds"] for it in integrations}, {seconds * 1000})
            answering = set(applied.routes().values())
            self.assertEqual(answering, {"write", "query", "engine"})
            for function in answering:
                limit = applied.environment(function)["NEAP_REQUEST_TIMEOUT"]
                self.assertEqual(limit, f"{seconds - 2}s", f"{name}: {function}")

    def test_what_runs_for_longer_than_the_gateway_waits_is_not_limited_by_it(self):
        for function in ("compact", "stream"):
            self.assertNotIn("NEAP_REQUEST_TIMEOUT", REQUESTS["large"].environment(function))


class Strangers(unittest.TestCase):
    def test_a_path_without_a_route_starts_no_function(self):
        for applied in REQUESTS.values():
            self.assertFalse([it for it in applied.routes() if "$" in it or it.endswith("/{proxy+}") and it.count("/") == 1])

    def test_writes_have_a_limit_of_their_own_and_sign_ins_a_low_one(self):
        (stage,) = REQUESTS["large"].of_kind("aws_apigatewayv2_stage").values()
        limits = {it["route_key"]: it["throttling_rate_limit"] for it in stage["route_settings"]}
        routes = REQUESTS["large"].routes()
        self.assertLessEqual(set(limits), set(routes))
        for route, function in routes.items():
            path = route.split(" ", 1)[1]
            is_write = function == "write" and re.search(r"/write(_lp)?$|^/v1/", path)
            is_sign_in = re.search(r"/authorize(?!/logout)|/setup$|/token/admin$|/configure/user$", path)
            self.assertEqual(limits.get(route), 200 if is_write else 5 if is_sign_in else None, route)

    def test_the_first_token_is_that_of_the_operator(self):
        hashed = "0123456789abcdef" * 8
        applied = deployment.examples()["production"]
        for name in ("write", "query", "engine"):
            self.assertEqual(applied.environment(name)["NEAP_ADMIN_TOKEN_HASH"], hashed, name)
            self.assertNotIn("NEAP_ADMIN_TOKEN_HASH", REQUESTS["small"].environment(name))
            for applied_example in (applied, *REQUESTS.values()):
                self.assertNotIn("NEAP_ALLOW_FIRST_TOKEN", applied_example.environment(name))

    def test_refused_requests_raise_an_alarm(self):
        applied = REQUESTS["small"]
        (filtered,) = [
            it
            for it in applied.of_kind("aws_cloudwatch_log_metric_filter").values()
            if it["log_group_name"].startswith("/aws/apigateway/")
        ]
        (stage,) = applied.of_kind("aws_apigatewayv2_stage").values()
        written = json.loads(stage["access_log_settings"][0]["format"])
        self.assertEqual((written["status"], filtered["pattern"]), ("$context.status", '{ $.status = "429" }'))
        metric = filtered["metric_transformation"][0]["name"]
        self.assertIn(metric, {it["metric_name"] for it in applied.alarms().values()})


class WebPages(unittest.TestCase):
    def test_pages_may_read_results_where_they_are_named_and_nothing_is_written_by_them(self):
        self.assertEqual(REQUESTS["small"].of_kind("aws_s3_bucket_cors_configuration"), {})
        (cors,) = REQUESTS["large"].of_kind("aws_s3_bucket_cors_configuration").values()
        (rule,) = cors["cors_rule"]
        self.assertEqual(cors["bucket"], REQUESTS["large"].bucket())
        self.assertCountEqual(rule["allowed_origins"], ["https://app.example.org", "http://localhost:3000"])
        self.assertCountEqual(rule["allowed_methods"], ["GET", "HEAD"])
        self.assertEqual(rule["max_age_seconds"], 3600)

    def test_nothing_but_neap_answers_pages_at_the_api(self):
        for applied in REQUESTS.values():
            for api in applied.of_kind("aws_apigatewayv2_api").values():
                self.assertFalse(api["cors_configuration"])
            for url in applied.of_kind("aws_lambda_function_url").values():
                self.assertFalse(url["cors"])


class Streams(unittest.TestCase):
    def test_there_is_no_stream_function_unless_it_is_asked_for(self):
        applied = REQUESTS["small"]
        self.assertIsNone(applied.function("stream"))
        self.assertEqual(applied.of_kind("aws_lambda_function_url"), {})

    def test_the_url_streams_and_is_the_way_to_ask(self):
        applied = REQUESTS["large"]
        url = applied.of_kind("aws_lambda_function_url")['aws_lambda_function_url.main["stream"]']
        self.assertEqual(url["function_name"], applied.function("stream")["function_name"])
        self.assertEqual((url["invoke_mode"], url["authorization_type"]), ("RESPONSE_STREAM", "NONE"))
        self.assertEqual(applied.outputs["query_url"], url["function_url"])
        self.assertIsNone(REQUESTS["small"].outputs.get("query_url"))

    def test_everybody_may_call_by_the_url_and_in_no_other_way(self):
        applied = REQUESTS["large"]
        permissions = applied.of_kind("aws_lambda_permission").values()
        with_url = {applied.function(name)["function_name"] for name in ("stream", "ingest")}
        for function in with_url:
            allowed = {it["action"]: it for it in permissions if it["function_name"] == function}
            self.assertEqual(set(allowed), {"lambda:InvokeFunctionUrl", "lambda:InvokeFunction"})
            self.assertEqual(allowed["lambda:InvokeFunctionUrl"]["function_url_auth_type"], "NONE")
            self.assertTrue(allowed["lambda:InvokeFunction"]["invoked_via_function_url"])
            # The provider adds permissions of its own by these names.
            names = {it["statement_id"] for it in allowed.values()}
            self.assertTrue(names.isdisjoint({"FunctionURLAllowPublicAccess", "FunctionURLAllowInvokeAction"}))
        public = {it["function_name"] for it in permissions if it["principal"] == "*"}
        self.assertEqual(public, with_url)

    def test_it_is_the_query_function_and_may_do_the_same(self):
        applied = REQUESTS["large"]
        self.assertEqual(applied.object_actions("stream"), applied.object_actions("query"))
        self.assertEqual(applied.other_actions("stream"), applied.other_actions("query"))
        stream, query = applied.function("stream"), applied.function("query")
        self.assertEqual(stream["filename"], query["filename"])
        self.assertNotEqual(stream["role"], query["role"])
        self.assertEqual((stream["timeout"], query["timeout"]), (600, 30))

    def test_it_reads_every_variable_that_it_is_given(self):
        given = REQUESTS["large"].environment("stream")
        self.assertEqual(given["NEAP_RESPONSE_STREAMING"], "true")
        self.assertNotIn("NEAP_RESPONSE_STREAMING", REQUESTS["large"].environment("query"))
        self.assertEqual(given["NEAP_MAX_RESULT_ROWS"], "1000")
        try:
            known = interfaces.load("query").variables()
        except interfaces.NotBuilt as error:
            self.skipTest(str(error))
        self.assertEqual(set(given) - known, set())

    def test_queries_may_take_as_long_as_the_function_may_have(self):
        longest = int(re.fullmatch(r"(\d+)m", REQUESTS["large"].environment("stream")["NEAP_QUERY_TIMEOUT"])[1])
        self.assertEqual(longest * 60, 900)

    def test_it_has_alarms_a_log_that_ends_and_a_place_on_the_dashboard(self):
        applied = REQUESTS["large"]
        stream = applied.function("stream")["function_name"]
        alarms = applied.alarms().values()
        watched = {it["metric_name"] for it in alarms if (it["dimensions"] or {}).get("FunctionName") == stream}
        self.assertEqual(watched, {"Errors", "Throttles", "Url5xxCount"})
        (log,) = [it for it in applied.of_kind("aws_cloudwatch_log_group").values() if it["name"].endswith(stream)]
        self.assertEqual(log["retention_in_days"], 30)
        (dashboard,) = applied.of_kind("aws_cloudwatch_dashboard").values()
        widgets = json.loads(dashboard["dashboard_body"])["widgets"]
        shown = [it["properties"] for it in widgets if stream in it["properties"]["title"]]
        self.assertEqual(len(shown), 1)


class Ingest(unittest.TestCase):
    def test_there_is_no_ingest_function_unless_it_is_asked_for(self):
        applied = REQUESTS["small"]
        self.assertIsNone(applied.function("ingest"))
        self.assertIsNone(applied.outputs.get("ingest_url"))

    def test_it_is_the_write_function_for_writes_alone(self):
        applied = REQUESTS["large"]
        url = applied.of_kind("aws_lambda_function_url")['aws_lambda_function_url.main["ingest"]']
        self.assertEqual((url["invoke_mode"], url["authorization_type"]), ("BUFFERED", "NONE"))
        self.assertEqual(applied.outputs["ingest_url"], url["function_url"])
        self.assertEqual(applied.function("ingest")["filename"], applied.function("write")["filename"])
        self.assertEqual(applied.object_actions("ingest"), applied.object_actions("write"))
        given = applied.environment("ingest")
        # A gateway limits sign-ins, and there is none.
        self.assertEqual(given["NEAP_WRITES_ONLY"], "true")
        self.assertNotIn("NEAP_WRITES_ONLY", applied.environment("write"))
        try:
            known = interfaces.load("write").variables()
        except interfaces.NotBuilt as error:
            self.skipTest(str(error))
        self.assertEqual(set(given) - known, set())

    def test_the_page_of_costs_counts_its_alarms(self):
        applied = REQUESTS["large"]
        ingest = applied.function("ingest")["function_name"]
        alarms = [it for it in applied.alarms().values() if (it["dimensions"] or {}).get("FunctionName") == ingest]
        page = " ".join((interfaces.REPOSITORY / "docs" / "cost.md").read_text().split())
        (counted,) = re.findall(r"and (\d+) more for the URL", page)
        self.assertEqual(len(alarms), int(counted))

    def test_it_runs_where_lambda_pleases_unless_machines_are_asked_for(self):
        applied = REQUESTS["large"]
        self.assertEqual(applied.function("ingest")["capacity_provider_config"], [])
        for kind in ("aws_lambda_capacity_provider", "aws_lambda_function_scaling_config"):
            self.assertEqual(applied.of_kind(kind), {})

    def test_on_managed_instances_it_handles_several_requests_at_once(self):
        network = {"cidr": "10.0.0.0/20", "functions": False}
        applied = deployment.apply("", {**PACKAGES, "network": network, "ingest": {"enabled": True, "instances": {}}})
        ingest = applied.function("ingest")
        (provider,) = applied.of_kind("aws_lambda_capacity_provider").values()
        (configured,) = ingest["capacity_provider_config"]
        (instances,) = configured["lambda_managed_instances_capacity_provider_config"]
        self.assertEqual(instances["capacity_provider_arn"], provider["arn"])
        self.assertEqual(instances["per_execution_environment_max_concurrency"], 64)
        # The least that AWS accepts, and what it runs of a function.
        self.assertEqual((ingest["memory_size"], ingest["publish_to"]), (2048, "LATEST_PUBLISHED"))
        (requirements,) = provider["instance_requirements"]
        self.assertEqual(requirements["architectures"], ingest["architectures"])
        (scaling,) = applied.of_kind("aws_lambda_function_scaling_config").values()
        self.assertEqual(scaling["function_name"], ingest["function_name"])
        (limits,) = scaling["function_scaling_config"]
        self.assertEqual((limits["min_execution_environments"], limits["max_execution_environments"]), (2, 4))
        # The machines have no way to the log but an endpoint.
        endpoints = applied.of_kind("aws_vpc_endpoint").values()
        self.assertEqual({it["service_name"].rsplit(".", 1)[1] for it in endpoints}, {"s3", "logs"})
        (placed,) = provider["vpc_config"]
        subnets = {it["id"] for it in applied.of_kind("aws_subnet").values()}
        self.assertEqual(set(placed["subnet_ids"]), subnets)
        self.assertEqual(applied.function("write")["capacity_provider_config"], [])

    def test_machines_of_the_other_architecture_have_it(self):
        network = {"cidr": "10.0.0.0/20"}
        variables = {**PACKAGES, "architecture": "x86_64", "network": network}
        applied = deployment.apply("", {**variables, "ingest": {"enabled": True, "instances": {}}})
        (provider,) = applied.of_kind("aws_lambda_capacity_provider").values()
        (requirements,) = provider["instance_requirements"]
        self.assertEqual(requirements["allowed_instance_types"], ["c7i.large"])
        # Machines are in a network of their provider; the function itself is in none.
        self.assertEqual(applied.function("ingest")["vpc_config"], [])

    def test_what_machines_cannot_have_is_refused(self):
        network = {"cidr": "10.0.0.0/20"}
        machines = {"enabled": True, "instances": {}}
        for variables, reason in [
            ({"ingest": machines}, "need a network"),
            ({"ingest": {"instances": {"concurrency": 1}}, "network": network}, "from 2 to 1600"),
            ({"ingest": {"instances": {"min_environments": 5}}, "network": network}, "from 1 to max_environments"),
            ({"ingest": machines, "network": network, "functions": {"ingest": {"memory_mib": 512}}}, "2048 MiB or more"),
            (
                {"ingest": machines, "network": network, "functions": {"ingest": {"reserved_concurrency": 5}}},
                "neither reserved_concurrency",
            ),
        ]:
            with self.subTest(variables), self.assertRaisesRegex(deployment.Refused, reason):
                deployment.apply("", {**PACKAGES, **variables})


class WarmInstances(unittest.TestCase):
    def test_requests_go_to_the_instances_that_are_kept_started(self):
        applied = REQUESTS["large"]
        (kept,) = applied.of_kind("aws_lambda_provisioned_concurrency_config").values()
        (alias,) = applied.of_kind("aws_lambda_alias").values()
        write = applied.function("write")
        self.assertEqual(kept["provisioned_concurrent_executions"], 2)
        self.assertEqual(kept["function_name"], write["function_name"])
        self.assertEqual(kept["qualifier"], alias["name"])
        self.assertEqual(alias["function_version"], write["version"])
        integrations = applied.of_kind("aws_apigatewayv2_integration")
        called = integrations['module.api.aws_apigatewayv2_integration.main["write"]']["integration_uri"]
        self.assertEqual(called, alias["invoke_arn"])
        permission = applied.of_kind("aws_lambda_permission")['module.api.aws_lambda_permission.main["write"]']
        self.assertEqual(permission["qualifier"], alias["name"])

    def test_without_them_there_are_no_versions(self):
        applied = REQUESTS["small"]
        self.assertEqual(applied.of_kind("aws_lambda_alias"), {})
        self.assertFalse(any(it["publish"] for it in applied.of_kind("aws_lambda_function").values()))


class Mistakes(unittest.TestCase):
    def test_mistakes_are_refused_with_a_reason(self):
        for variables, reason in [
            ({"request_timeout_seconds": 31}, "from 4 to 30"),
            ({"admin_token_hash": "apiv3_secret"}, "not the token itself"),
            ({"request_timeout_seconds": 4.5}, "from 4 to 30"),
            ({"cors_origins": ["app.example.org"]}, "An origin is"),
            ({"cors_origins": ["https://app.example.org/"]}, "without a path"),
            ({"streaming": {"enabled": True}, "network": {"cidr": "10.0.0.0/20"}}, "functions = false"),
            ({"functions": {"compact": {"provisioned_concurrency": 1}}}, "is for write, ingest, query"),
            ({"functions": {"query": {"provisioned_concurrency": 3, "reserved_concurrency": 2}}}, "at most reserved"),
        ]:
            with self.subTest(variables), self.assertRaisesRegex(deployment.Refused, reason):
                deployment.apply("", {**PACKAGES, **variables})


class Provider(unittest.TestCase):
    def test_the_provider_that_is_asked_for_is_the_one_whose_schema_is_tested(self):
        asked = {
            block["aws"]["version"]
            for file in configuration.files()
            for terraform in configuration.parse(file).get("terraform", [])
            for block in terraform["required_providers"]
        }
        self.assertEqual(asked, {f"~> {provider_schema.PROVIDER_VERSION.removesuffix('.0')}"})


if __name__ == "__main__":
    unittest.main()
