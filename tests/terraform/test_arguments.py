"""Every argument and block of every resource is one that the provider has."""

import unittest

import configuration
import provider_schema
import tables

SCHEMAS = None


def setUpModule():
    global SCHEMAS
    resources = {it.kind for it in configuration.resources()}
    data_sources = {it.kind for it in configuration.data_sources()}
    try:
        SCHEMAS = provider_schema.load(resources, data_sources)
    except provider_schema.Unavailable as error:
        raise unittest.SkipTest(f"the provider's schema can't be had: {error}") from error


def faults(body, block, place):
    """What is written in a block and not in its schema, or missing from it."""
    written = dict(body)
    # A dynamic block is one with a label, and what it consists of in `content`.
    for dynamic in written.pop("dynamic", []):
        for label, inner in dynamic.items():
            written[label] = [*written.get(label, []), *inner["content"]]
    for name, value in written.items():
        attribute = block.attributes.get(name)
        if name in block.blocks:
            yield from nested_faults(name, value, block.blocks[name], place)
        elif attribute and not (attribute.optional or attribute.required):
            yield f"{place}: {name} can't be set"
        elif not attribute and name not in configuration.META:
            yield f"{place}: there is no {name}"
    required = [name for name, it in [*block.attributes.items(), *block.blocks.items()] if it.required]
    for name in required:
        if name not in written:
            yield f"{place}: {name} is missing"


def nested_faults(name, bodies, nested, place):
    """The same of the blocks within a block."""
    if nested.at_most_one and len(bodies) > 1:
        yield f"{place}: more than one {name}"
    for body in bodies:
        yield from faults(body, nested.block, f"{place} {name}")


class Arguments(unittest.TestCase):
    def assert_known(self, declared, schemas):
        found = []
        for it in declared:
            if it.kind not in schemas:
                found.append(f"{it}: there is no such type")
            else:
                found += faults(it.body, schemas[it.kind], str(it))
        self.assertEqual(found, [])

    def test_resources_have_the_arguments_that_the_provider_knows(self):
        declared = configuration.resources()
        self.assertGreater(len(declared), 50)
        self.assert_known(declared, SCHEMAS["resources"])

    def test_data_sources_have_the_arguments_that_the_provider_knows(self):
        self.assert_known(configuration.data_sources(), SCHEMAS["data_sources"])

    def test_the_documentation_names_every_variable(self):
        made = tables.of_terraform()
        self.assertEqual(tables.kept(tables.README), made, "scripts/check-terraform --update writes it")

    def test_a_misspelt_argument_is_found(self):
        block = SCHEMAS["resources"]["aws_lambda_function"]
        body = {"function_name": "f", "role": "r", "memory_sise": 1, "environment": [{"variable": {}}], "arn": "a"}
        self.assertEqual(
            list(faults(body, block, "f")),
            ["f: there is no memory_sise", "f environment: there is no variable", "f: arn can't be set"],
        )

    def test_a_missing_argument_is_found(self):
        block = SCHEMAS["resources"]["aws_scheduler_schedule"]
        body = {"flexible_time_window": [{"mode": "OFF"}], "target": [{"arn": "a"}]}
        self.assertEqual(
            list(faults(body, block, "s")),
            ["s target: role_arn is missing", "s: schedule_expression is missing"],
        )


if __name__ == "__main__":
    unittest.main()
