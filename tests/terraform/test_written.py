"""What is written in Terraform's files is what the binaries say of themselves: as much of it as can be told without
Terraform."""

import json
import unittest

import configuration
import deployment
import interfaces


def local_value(file, name):
    """A value of `locals` of the configuration."""
    blocks = configuration.parse(configuration.ROOT / file)["locals"]
    (value,) = [it[name] for it in blocks if name in it]
    return value


class Written(unittest.TestCase):
    def test_a_queue_is_known_only_when_its_policy_is_there(self):
        outputs = configuration.parse(configuration.ROOT / "modules" / "queue" / "outputs.tf")["output"]
        (arn,) = [it["arn"] for it in outputs if "arn" in it]
        (needed,) = arn["depends_on"]
        self.assertIn("aws_sqs_queue_policy.main", needed)

    def test_what_tests_of_the_binaries_know_has_the_limits_that_are_written(self):
        kept = json.loads(deployment.SUMMARY.read_text())["functions"]
        written = local_value("functions.tf", "defaults")
        # Others run the programs of these.
        self.assertEqual(set(kept), set(written) - set(deployment.PROGRAMS))
        for name, function in kept.items():
            for limit in ("memory_mib", "timeout_seconds"):
                self.assertEqual(function[limit], written[name][limit], f"{name}: {limit}")

    def test_what_tests_of_the_binaries_know_has_the_paths_that_are_written(self):
        kept = json.loads(deployment.SUMMARY.read_text())["functions"]
        for name, paths in json.loads(interfaces.PATHS.read_text()).items():
            routes = {it for it in kept[name]["routes"] if it.startswith("ANY ")}
            self.assertEqual(routes, {f"ANY {path}" for path in paths}, name)


class Binaries(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        try:
            cls.interfaces = {name: interfaces.load(name) for name in deployment.FUNCTIONS}
        except interfaces.NotBuilt as error:
            raise unittest.SkipTest(str(error)) from error

    def test_the_paths_that_are_written_are_those_of_the_functions(self):
        written = json.loads(interfaces.PATHS.read_text())
        self.assertEqual(written, interfaces.paths(self.interfaces), "scripts/check-terraform --update writes them")

    def test_what_functions_may_do_with_objects_is_written(self):
        for name, accesses in local_value("permissions.tf", "store_access").items():
            written = {it["prefix"]: set(it["actions"]) for it in accesses}
            # The names of objects are a matter of the bucket.
            done = {prefix: actions - {"s3:ListBucket"} for prefix, actions in self.interfaces[name].store.items()}
            self.assertEqual(written, {prefix: actions for prefix, actions in done.items() if actions}, name)


if __name__ == "__main__":
    unittest.main()
