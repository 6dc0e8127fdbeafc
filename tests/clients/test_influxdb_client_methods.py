"""The client library of InfluxDB 2, `influxdb-client`: all methods of its clients and interfaces."""

import json
import os
import pathlib
import re
import tempfile
import unittest
from unittest import mock

import influxdb_client.client
import test_influxdb_client_methods_async
from client_methods import classes_of, table
from influxdb_client import (
    Authorization,
    AuthorizationsApi,
    BucketRetentionRules,
    BucketsApi,
    DeleteApi,
    InfluxDBClient,
    InvokableScriptsApi,
    Label,
    LabelsApi,
    Organization,
    OrganizationsApi,
    Permission,
    PermissionResource,
    QueryApi,
    ScriptCreateRequest,
    ScriptUpdateRequest,
    Task,
    TaskCreateRequest,
    TasksApi,
    TaskUpdateRequest,
    User,
    UsersApi,
    WriteApi,
)
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client_methods import ALWAYS, BUCKET, CONFIGURATION, ID, LIBRARY, ORG, QUERY, ApiMethods
from server import TOKEN, URL, request, write_lines


class Library(unittest.TestCase):
    def test_all_classes_are_tested(self):
        classes = classes_of(influxdb_client.client, re.compile("[A-Z].*(Api|Client)(Async)?"))
        self.assertEqual(sorted(table(LIBRARY)), classes)
        members = [*globals().values(), *vars(test_influxdb_client_methods_async).values()]
        tests = [it for it in members if isinstance(it, type) and issubclass(it, ApiMethods) and it.of]
        self.assertEqual(sorted(it.of.__name__ for it in tests), classes)


class Clients(ApiMethods):
    of = InfluxDBClient

    def call_authorizations_api(self):
        self.assertIsInstance(self.client.authorizations_api(), AuthorizationsApi)

    def call_buckets_api(self):
        self.assertIsInstance(self.client.buckets_api(), BucketsApi)

    def call_delete_api(self):
        self.assertIsInstance(self.client.delete_api(), DeleteApi)

    def call_invokable_scripts_api(self):
        self.assertIsInstance(self.client.invokable_scripts_api(), InvokableScriptsApi)

    def call_labels_api(self):
        self.assertIsInstance(self.client.labels_api(), LabelsApi)

    def call_organizations_api(self):
        self.assertIsInstance(self.client.organizations_api(), OrganizationsApi)

    def call_query_api(self):
        self.assertIsInstance(self.client.query_api(), QueryApi)

    def call_tasks_api(self):
        self.assertIsInstance(self.client.tasks_api(), TasksApi)

    def call_users_api(self):
        self.assertIsInstance(self.client.users_api(), UsersApi)

    def call_write_api(self):
        with self.client.write_api() as api:
            self.assertIsInstance(api, WriteApi)

    def call_from_config_file(self):
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder, "config.ini")
            file.write_text(CONFIGURATION)
            with InfluxDBClient.from_config_file(str(file)) as client:
                self.assertTrue(client.ping())

    def call_from_env_properties(self):
        variables = {"INFLUXDB_V2_URL": URL, "INFLUXDB_V2_ORG": ORG, "INFLUXDB_V2_TOKEN": TOKEN}
        with mock.patch.dict(os.environ, variables), InfluxDBClient.from_env_properties() as client:
            self.assertTrue(client.ping())

    def call_ping(self):
        self.assertTrue(self.client.ping())

    def call_health(self):
        self.assertEqual(self.client.health().status, "pass")

    def call_ready(self):
        self.assertEqual(self.client.ready().status, "ready")

    def call_version(self):
        self.assertRegex(self.client.version(), r"^\d+\.\d+\.\d+$")

    def call_build(self):
        self.assertTrue(self.client.build())

    def call_close(self):
        InfluxDBClient(url=URL, token=TOKEN, org=ORG).close()


class Writes(ApiMethods):
    of = WriteApi

    def call_write(self):
        with self.client.write_api(write_options=SYNCHRONOUS) as api:
            api.write(bucket="client-writes", record=["m v=1i 1", {"measurement": "m", "fields": {"v": 2}, "time": 2}])
        self.assertEqual(self.stored("client-writes"), [1, 2])

    def call_flush(self):
        with self.client.write_api() as api:
            api.write(bucket="client-flushes", record="m v=1i 1")
            api.flush()

    def call_close(self):
        api = self.client.write_api()
        api.write(bucket="client-closes", record="m v=1i 1")
        api.close()
        self.assertEqual(self.stored("client-closes"), [1])


class Queries(ApiMethods):
    of = QueryApi

    def setUp(self):
        super().setUp()
        write_lines(BUCKET, "m,t=a v=1i 1", "m,t=b v=2i 2")
        self.api = self.client.query_api()

    def call_query(self):
        flux = QUERY + " |> filter(fn: (r) => r.t == tag)"
        self.assertEqual(self.api.query(flux, params={"tag": "b"}).to_values(columns=["t", "_value"]), [["b", 2]])

    def call_query_csv(self):
        rows = [row for row in self.api.query_csv(QUERY) if row and not row[0].startswith("#")]
        header = ["", "result", "table", "_start", "_stop", "_time", "_value", "_field", "_measurement", "t"]
        self.assertEqual([rows[0], rows[1][6], rows[-1][6]], [header, "1", "2"])

    def call_query_data_frame(self):
        frame = self.api.query_data_frame(QUERY)
        self.assertEqual(list(zip(frame["t"], frame["_value"], strict=True)), [("a", 1), ("b", 2)])

    def call_query_data_frame_stream(self):
        frames = list(self.api.query_data_frame_stream(QUERY))
        self.assertEqual([value for frame in frames for value in frame["_value"]], [1, 2])

    def call_query_raw(self):
        self.assertIn(b",1,v,m,a\r\n", self.api.query_raw(QUERY).data)

    def call_query_stream(self):
        self.assertEqual([record.get_value() for record in self.api.query_stream(QUERY)], [1, 2])


class Deletes(ApiMethods):
    of = DeleteApi

    def call_delete(self):
        write_lines("client-deletes", "m,t=a v=1i 1", "m,t=b v=2i 2")
        self.client.delete_api().delete(*ALWAYS, '_measurement="m" AND t="a"', bucket="client-deletes")
        self.assertEqual(self.stored("client-deletes"), [2])


class Buckets(ApiMethods):
    of = BucketsApi

    def setUp(self):
        super().setUp()
        self.api = self.client.buckets_api()

    def call_create_bucket(self):
        rule = BucketRetentionRules(type="expire", every_seconds=3600)
        bucket = self.api.create_bucket(bucket_name="bucket-create", retention_rules=rule)
        self.assertEqual(bucket.retention_rules[0].every_seconds, 3600)

    def call_delete_bucket(self):
        self.api.delete_bucket(self.api.create_bucket(bucket_name="bucket-delete"))
        self.assertIsNone(self.api.find_bucket_by_name("bucket-delete"))

    def call_find_bucket_by_id(self):
        bucket = self.api.create_bucket(bucket_name="bucket-id")
        self.assertEqual(self.api.find_bucket_by_id(bucket.id).name, "bucket-id")

    def call_find_bucket_by_name(self):
        self.api.create_bucket(bucket_name="bucket-name")
        self.assertEqual(self.api.find_bucket_by_name("bucket-name").name, "bucket-name")

    def call_find_buckets(self):
        self.api.create_bucket(bucket_name="bucket-list")
        [bucket] = self.api.find_buckets(name="bucket-list", org=ORG).buckets
        self.assertEqual(bucket.name, "bucket-list")

    def call_find_buckets_iter(self):
        self.api.create_bucket(bucket_name="bucket-pages")
        self.assertIn("bucket-pages", [bucket.name for bucket in self.api.find_buckets_iter(limit=1)])

    def call_update_bucket(self):
        bucket = self.api.create_bucket(bucket_name="bucket-update")
        bucket.name, bucket.retention_rules = "bucket-updated", [BucketRetentionRules(every_seconds=7200)]
        updated = self.api.update_bucket(bucket)
        self.assertEqual((updated.name, updated.retention_rules[0].every_seconds), ("bucket-updated", 7200))


class Organizations(ApiMethods):
    of = OrganizationsApi

    def setUp(self):
        super().setUp()
        self.api = self.client.organizations_api()
        [self.organization] = self.api.find_organizations(org=ORG)

    def call_find_organizations(self):
        self.assertEqual([each.name for each in self.api.find_organizations(org=ORG)], [ORG])

    def call_find_organization(self):
        self.assertEqual(self.api.find_organization(self.organization.id).id, self.organization.id)

    def call_create_organization(self):
        self.api.create_organization(name="second")

    def call_update_organization(self):
        self.api.update_organization(Organization(id=self.organization.id, name="renamed"))

    def call_delete_organization(self):
        self.api.delete_organization(self.organization.id)

    def call_me(self):
        self.assertEqual(self.api.me().name, "_admin")


class Authorizations(ApiMethods):
    of = AuthorizationsApi

    def setUp(self):
        super().setUp()
        self.api = self.client.authorizations_api()
        [self.organization] = self.client.organizations_api().find_organizations(org=ORG)

    def created(self, description):
        """Returns a new authorization to read buckets."""
        resource = PermissionResource(type="buckets", org_id=self.organization.id)
        permission = Permission(action="read", resource=resource)
        new = Authorization(org_id=self.organization.id, permissions=[permission], description=description)
        return self.api.create_authorization(authorization=new)

    def assertListed(self, authorization, found):
        self.assertIn(authorization.id, [each.id for each in found])

    def call_create_authorization(self):
        with InfluxDBClient(url=URL, token=self.created("create").token, org=ORG) as client:
            self.assertEqual(client.users_api().me().name, "create")

    def call_clone_authorization(self):
        original = self.created("clone")
        clone = self.api.clone_authorization(self.api.find_authorization_by_id(original.id))
        self.assertNotIn(clone.token, (original.token, None))
        self.assertEqual([each.action for each in clone.permissions], ["read"])

    def call_delete_authorization(self):
        authorization = self.created("delete")
        self.api.delete_authorization(authorization)
        self.assertNotIn(authorization.id, [each.id for each in self.api.find_authorizations()])

    def call_update_authorization(self):
        authorization = self.created("update")
        authorization.status = "inactive"
        self.api.update_authorization(authorization)

    def call_find_authorization_by_id(self):
        authorization = self.created("id")
        self.assertEqual(self.api.find_authorization_by_id(authorization.id).description, "id")

    def call_find_authorizations(self):
        self.assertListed(self.created("list"), self.api.find_authorizations())

    def call_find_authorizations_by_org(self):
        self.assertListed(self.created("org"), self.api.find_authorizations_by_org(self.organization))

    def call_find_authorizations_by_org_id(self):
        self.assertListed(self.created("org-id"), self.api.find_authorizations_by_org_id(self.organization.id))

    def call_find_authorizations_by_org_name(self):
        self.assertListed(self.created("org-name"), self.api.find_authorizations_by_org_name(ORG))

    def call_find_authorizations_by_user(self):
        authorization = self.created("user")
        user = User(id=authorization.user_id, name=authorization.user)
        self.assertListed(authorization, self.api.find_authorizations_by_user(user))

    def call_find_authorizations_by_user_id(self):
        authorization = self.created("user-id")
        self.assertListed(authorization, self.api.find_authorizations_by_user_id(authorization.user_id))

    def call_find_authorizations_by_user_name(self):
        authorization = self.created("user-name")
        self.assertListed(authorization, self.api.find_authorizations_by_user_name(authorization.user))


class Users(ApiMethods):
    of = UsersApi

    def setUp(self):
        super().setUp()
        self.api = self.client.users_api()

    def call_me(self):
        self.assertEqual(self.api.me().name, "_admin")

    def call_find_users(self):
        body = json.dumps({"username": "found", "password": "correct horse battery"})
        request("POST", "/api/v3/users", body, {"Content-Type": "application/json"})
        self.assertIn("found", [each.name for each in self.api.find_users().users])

    def call_create_user(self):
        self.api.create_user("created")

    def call_update_user(self):
        self.api.update_user(User(id=ID, name="updated"))

    def call_update_password(self):
        self.api.update_password(ID, "battery staple")

    def call_delete_user(self):
        self.api.delete_user(ID)


class Labels(ApiMethods):
    of = LabelsApi

    def setUp(self):
        super().setUp()
        self.api = self.client.labels_api()
        self.label = Label(id=ID, org_id=ID, name="urgent")

    def call_find_labels(self):
        self.assertEqual(self.api.find_labels(), [])

    def call_find_label_by_org(self):
        self.assertEqual(self.api.find_label_by_org(ID), [])

    def call_find_label_by_id(self):
        self.api.find_label_by_id(ID)

    def call_create_label(self):
        self.api.create_label("urgent", ID)

    def call_clone_label(self):
        self.api.clone_label("copy", self.label)

    def call_update_label(self):
        self.api.update_label(self.label)

    def call_delete_label(self):
        self.api.delete_label(self.label)


class Tasks(ApiMethods):
    of = TasksApi

    def setUp(self):
        super().setUp()
        self.api = self.client.tasks_api()
        self.flux = f'{QUERY} |> to(bucket: "copies")'
        self.task = Task(id=ID, org_id=ID, name="copy", flux=self.flux, status="active", every="1h")

    def call_find_tasks(self):
        self.api.find_tasks()

    def call_find_tasks_iter(self):
        list(self.api.find_tasks_iter())

    def call_find_tasks_by_user(self):
        self.api.find_tasks_by_user(ID)

    def call_find_task_by_id(self):
        self.api.find_task_by_id(ID)

    def call_create_task(self):
        self.api.create_task(task_create_request=TaskCreateRequest(flux=self.flux, org=ORG))

    def call_create_task_cron(self):
        self.api.create_task_cron("copy", self.flux, "0 * * * *", ID)

    def call_create_task_every(self):
        self.api.create_task_every("copy", self.flux, "1h", Organization(id=ID, name=ORG))

    def call_clone_task(self):
        self.api.clone_task(self.task)

    def call_update_task(self):
        self.api.update_task(self.task)

    def call_update_task_request(self):
        self.api.update_task_request(ID, TaskUpdateRequest(status="inactive"))

    def call_delete_task(self):
        self.api.delete_task(ID)

    def call_get_labels(self):
        self.api.get_labels(ID)

    def call_add_label(self):
        self.api.add_label(ID, ID)

    def call_delete_label(self):
        self.api.delete_label(ID, ID)

    def call_get_members(self):
        self.api.get_members(ID)

    def call_add_member(self):
        self.api.add_member(ID, ID)

    def call_delete_member(self):
        self.api.delete_member(ID, ID)

    def call_get_owners(self):
        self.api.get_owners(ID)

    def call_add_owner(self):
        self.api.add_owner(ID, ID)

    def call_delete_owner(self):
        self.api.delete_owner(ID, ID)

    def call_get_runs(self):
        self.api.get_runs(ID, limit=10)

    def call_get_run(self):
        self.api.get_run(ID, ID)

    def call_get_run_logs(self):
        self.api.get_run_logs(ID, ID)

    def call_get_logs(self):
        self.api.get_logs(ID)

    def call_run_manually(self):
        self.api.run_manually(ID)

    def call_retry_run(self):
        self.api.retry_run(ID, ID)

    def call_cancel_run(self):
        self.api.cancel_run(ID, ID)


class Scripts(ApiMethods):
    of = InvokableScriptsApi

    def setUp(self):
        super().setUp()
        self.api = self.client.invokable_scripts_api()

    def call_create_script(self):
        self.api.create_script(ScriptCreateRequest(name="s", description="d", language="flux", script=QUERY))

    def call_update_script(self):
        self.api.update_script(ID, ScriptUpdateRequest(description="d"))

    def call_delete_script(self):
        self.api.delete_script(ID)

    def call_find_scripts(self):
        self.api.find_scripts(limit=10)

    def call_invoke_script(self):
        self.api.invoke_script(ID, params={"bucket": BUCKET})

    def call_invoke_script_csv(self):
        self.api.invoke_script_csv(ID)

    def call_invoke_script_data_frame(self):
        self.api.invoke_script_data_frame(ID)

    def call_invoke_script_data_frame_stream(self):
        list(self.api.invoke_script_data_frame_stream(ID))

    def call_invoke_script_raw(self):
        list(self.api.invoke_script_raw(ID))

    def call_invoke_script_stream(self):
        list(self.api.invoke_script_stream(ID))


if __name__ == "__main__":
    unittest.main()
