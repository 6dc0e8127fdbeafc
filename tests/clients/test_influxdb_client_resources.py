"""The client library of InfluxDB 2, `influxdb-client`: buckets, tokens, users and the organization."""

import unittest

from influxdb_client import (
    Authorization,
    BucketRetentionRules,
    DBRPCreate,
    DBRPsService,
    InfluxDBClient,
    OnboardingRequest,
    Permission,
    PermissionResource,
    ResourcesService,
    SetupService,
)
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.rest import ApiException
from server import TOKEN, URL, TestCase

ORG = "works"


def connect(token=TOKEN):
    return InfluxDBClient(url=URL, token=token, org=ORG)


class Resources(TestCase):
    def setUp(self):
        self.client = connect()
        self.addCleanup(self.client.close)
        self.buckets = self.client.buckets_api()

    def assertRefused(self, status, message, call, *arguments, **options):
        with self.assertRaises(ApiException) as caught:
            call(*arguments, **options)
        self.assertEqual(caught.exception.status, status)
        self.assertEqual(caught.exception.message, message)


class Buckets(Resources):
    def test_a_bucket_is_created_found_changed_and_deleted(self):
        rule = BucketRetentionRules(type="expire", every_seconds=3600)
        bucket = self.buckets.create_bucket(bucket_name="cycle", retention_rules=rule, description="ignored")
        self.assertRegex(bucket.id, "^[0-9a-f]{16}$")
        self.assertEqual((bucket.name, bucket.type, bucket.labels), ("cycle", "user", []))
        self.assertEqual([it.every_seconds for it in bucket.retention_rules], [3600])
        self.assertEqual(self.buckets.find_bucket_by_id(bucket.id).name, "cycle")
        self.assertEqual(self.buckets.find_bucket_by_name("cycle").id, bucket.id)
        found = self.buckets.find_bucket_by_name("cycle")
        found.retention_rules[0].every_seconds = 7200
        self.assertEqual(self.buckets.update_bucket(found).retention_rules[0].every_seconds, 7200)
        self.buckets.delete_bucket(found)
        self.assertIsNone(self.buckets.find_bucket_by_name("cycle"))
        self.assertRefused(404, "bucket not found", self.buckets.find_bucket_by_id, bucket.id)

    def test_a_name_is_unique(self):
        self.buckets.create_bucket(bucket_name="twice")
        message = "bucket with name twice already exists"
        self.assertRefused(422, message, self.buckets.create_bucket, bucket_name="twice")

    def test_pages_are_followed(self):
        names = {f"page-{number:02}" for number in range(25)}
        for name in names:
            self.buckets.create_bucket(bucket_name=name)
        found = [bucket.name for bucket in self.buckets.find_buckets_iter(limit=10)]
        self.assertEqual(len(found), len(set(found)))
        self.assertLessEqual(names, set(found))
        self.assertEqual(len(self.buckets.find_buckets().buckets), 20)
        self.assertEqual(len(self.buckets.find_buckets(limit=100, name="page-07", org=ORG).buckets), 1)

    def test_rows_are_written_to_the_id_of_a_bucket(self):
        bucket = self.buckets.create_bucket(bucket_name="by-id")
        self.client.write_api(write_options=SYNCHRONOUS).write(bucket=bucket.id, record="m v=1i 1")
        self.assertStored("by-id", "SELECT v FROM m", [{"v": 1}])
        start, stop = "1970-01-01T00:00:00Z", "2100-01-01T00:00:00Z"
        self.client.delete_api().delete(start, stop, "", bucket=bucket.id)
        self.assertStored("by-id", "SELECT v FROM m", [])

    def test_mappings_of_influxdb_1_follow_from_names(self):
        bucket = self.buckets.create_bucket(bucket_name="mapped")
        mappings = DBRPsService(self.client.api_client)
        (found,) = mappings.get_dbr_ps(org=ORG, bucket_id=bucket.id).content
        self.assertEqual((found.database, found.retention_policy, found.default), ("mapped", "autogen", True))
        same = DBRPCreate(bucket_id=bucket.id, database="mapped", retention_policy="autogen", org=ORG)
        self.assertEqual(mappings.post_dbrp(same).id, bucket.id)
        other = DBRPCreate(bucket_id=bucket.id, database="other", retention_policy="autogen", org=ORG)
        with self.assertRaises(ApiException) as caught:
            mappings.post_dbrp(other)
        self.assertEqual(caught.exception.status, 400)


class Tokens(Resources):
    def permission(self, action, bucket):
        resource = PermissionResource(type="buckets", id=bucket.id, org_id=bucket.org_id)
        return Permission(action=action, resource=resource)

    def test_a_token_has_the_permissions_that_it_is_given(self):
        own = self.buckets.create_bucket(bucket_name="own")
        self.buckets.create_bucket(bucket_name="foreign")
        authorizations = self.client.authorizations_api()
        permissions = [self.permission("read", own), self.permission("write", own)]
        new = Authorization(org_id=own.org_id, permissions=permissions, description="sensors")
        created = authorizations.create_authorization(authorization=new)
        self.assertEqual((created.description, created.status), ("sensors", "active"))
        shown = [(it.action, it.resource.type, it.resource.name) for it in created.permissions]
        self.assertEqual(shown, [("read", "buckets", "own"), ("write", "buckets", "own")])
        with connect(created.token) as client:
            write = client.write_api(write_options=SYNCHRONOUS).write
            write(bucket="own", record="m v=1i 1")
            with self.assertRaises(ApiException) as caught:
                write(bucket="foreign", record="m v=1i 1")
            self.assertEqual(caught.exception.status, 403)
            self.assertEqual([it.name for it in client.buckets_api().find_buckets().buckets], ["own"])
            self.assertEqual(client.users_api().me().name, "sensors")
            message = "unauthorized to perform requested action with the token"
            self.assertRefused(403, message, client.buckets_api().create_bucket, bucket_name="new")
            (seen,) = client.authorizations_api().find_authorizations()
            self.assertEqual((seen.id, seen.token), (created.id, None))
        found = authorizations.find_authorization_by_id(created.id)
        self.assertEqual((found.description, found.token), ("sensors", None))
        cloned = authorizations.clone_authorization(found)
        self.assertNotEqual(cloned.token, created.token)
        authorizations.delete_authorization(created)
        self.assertRefused(404, "authorization not found", authorizations.find_authorization_by_id, created.id)
        with connect(created.token) as client, self.assertRaises(ApiException) as caught:
            client.users_api().me()
        self.assertEqual(caught.exception.status, 401)
        authorizations.delete_authorization(cloned.id)

    def test_permissions_without_a_counterpart_are_refused(self):
        permission = Permission(action="read", resource=PermissionResource(type="tasks"))
        create = self.client.authorizations_api().create_authorization
        message = "Neap has no tasks, so a token can't have permissions for them"
        self.assertRefused(400, message, create, org_id="6e65617000000000", permissions=[permission])


class Others(Resources):
    def test_the_organization_has_the_name_of_the_client(self):
        organizations = self.client.organizations_api()
        (found,) = organizations.find_organizations(org=ORG)
        self.assertEqual(found.name, ORG)
        self.assertEqual(organizations.find_organization(found.id).id, found.id)
        self.assertEqual(organizations.me().name, "_admin")

    def test_users_labels_and_types(self):
        self.assertEqual(self.client.users_api().me().name, "_admin")
        self.assertEqual(self.client.users_api().find_users().users[0].name, "_admin")
        self.assertEqual(self.client.labels_api().find_labels(), [])
        self.assertIn("buckets", ResourcesService(self.client.api_client).get_resources())

    def test_a_server_with_a_token_is_set_up(self):
        setup = SetupService(self.client.api_client)
        self.assertFalse(setup.get_setup().allowed)
        request = OnboardingRequest(username="eve", org=ORG, bucket="evil")
        self.assertRefused(422, "onboarding has already been completed", setup.post_setup, request)


if __name__ == "__main__":
    unittest.main()
