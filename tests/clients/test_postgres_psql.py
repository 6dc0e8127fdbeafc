"""`psql`, with TLS and without: queries, the commands that describe tables, cursors, copies, cancellation, and errors.

NEAP_PSQL names the program.
"""

import os
import pathlib
import signal
import subprocess
import tempfile
import unittest

from postgres_server import (
    DATABASE,
    ENDLESS,
    HOST,
    LARGE,
    LARGE_ROWS,
    PORT,
    MemoryWatch,
    libpq_options,
    wait_until_running,
    write_rows,
)
from server import TOKEN, TestCase


def setUpModule():
    write_rows()


def psql_command(*arguments, password=TOKEN, database=DATABASE, **more):
    """Returns the command and the environment of `psql`, whose answers have no titles and no padding."""
    tls = {f"PG{name.upper()}": value for name, value in libpq_options().items()}
    address = {"PGHOST": HOST, "PGPORT": PORT, "PGUSER": "ann", "PGPASSWORD": password, "PGDATABASE": database}
    command = [os.environ["NEAP_PSQL"], "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=verbose", *arguments]
    return command, {**os.environ, "PGCONNECT_TIMEOUT": "60", **tls, **address, **more}


def run(*arguments, script=None, **options):
    """Runs `psql`; returns its status, output and errors."""
    command, environment = psql_command(*arguments, **options)
    ended = subprocess.run(command, env=environment, input=script or "", capture_output=True, text=True, timeout=300)
    return ended.returncode, ended.stdout, ended.stderr


class Psql(TestCase):
    def output(self, *arguments, **options):
        status, output, errors = run(*arguments, **options)
        self.assertEqual((status, errors), (0, ""), output)
        return output

    def lines(self, command):
        """Returns the lines of a command that describes tables."""
        return self.output("-c", command).splitlines()

    def test_answers_statements_and_scripts(self):
        query = "SELECT host, usage, n, up, note, time FROM cpu WHERE host = 'a'"
        self.assertEqual(self.output("-c", query), "a|0.5|1|t|é|1970-01-01 00:00:01\n")
        self.assertEqual(self.output("-c", "SELECT 1; SELECT 2"), "1\n2\n")
        script = "SELECT 1;\nBEGIN;\nSELECT 'a;b';\nROLLBACK;\n\\echo done\n"
        self.assertEqual(self.output(script=script), "1\na;b\ndone\n")
        self.assertEqual(self.output("--csv", "-c", "SELECT 'a,b' AS x, NULL AS y"), '"a,b",\n')

    def test_takes_values_of_placeholders_from_variables(self):
        script = "SELECT usage FROM cpu WHERE host = :'wanted' AND n = :n;\n"
        self.assertEqual(self.output("-v", "wanted=b", "-v", "n=2", script=script), "1.5\n")

    def test_lists_databases(self):
        names = [line.split("|")[0] for line in self.lines("\\l")]
        self.assertIn(DATABASE, names)

    def test_lists_tables(self):
        for command in ("\\dt", "\\d"):
            lines = self.lines(command)
            for table in ("cpu", "every_type"):
                self.assertTrue(any(line.startswith(f"iox|{table}|table|") for line in lines), (command, lines))

    def test_describes_a_table(self):
        described = [tuple(line.split("|")[:2]) for line in self.lines("\\d every_type")]
        for column in (
            ("host", "text"),
            ("n", "bigint"),
            ("note", "text"),
            ("time", "timestamp without time zone"),
            ("u", "numeric"),
            ("up", "boolean"),
            ("v", "double precision"),
        ):
            self.assertIn(column, described)

    def test_lists_schemas_functions_and_users(self):
        self.assertIn("iox", [line.split("|")[0] for line in self.lines("\\dn")])
        for command in ("\\df", "\\du", "\\dv", "\\di"):
            self.output("-c", command)

    def test_shows_the_connection(self):
        script = "\\echo :DBNAME :USER :SERVER_VERSION_NUM\n"
        self.assertEqual(self.output(script=script), f"{DATABASE} ann 160006\n")

    def test_reads_a_large_answer_with_a_cursor(self):
        command, environment = psql_command("-v", "FETCH_COUNT=1000", "-c", LARGE)
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
            memory = MemoryWatch()
            for _ in process.stdout:
                memory.receive()
        self.assertEqual((process.returncode, memory.rows), (0, LARGE_ROWS))

    def test_copies_rows_to_files_and_back(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "rows.csv"
            rows = "SELECT time, 'copy ' || host AS host, usage FROM cpu WHERE host IN ('a', 'b') ORDER BY host"
            self.output(script=f"\\copy ({rows}) TO '{path}' WITH (FORMAT csv, HEADER)\n")
            expected = "time,host,usage\n1970-01-01 00:00:01,copy a,0.5\n1970-01-01 00:00:02,copy b,1.5\n"
            self.assertEqual(path.read_text(), expected)
            self.output(script=f"\\copy cpu (time, host, usage) FROM '{path}' WITH (FORMAT csv, HEADER)\n")
        stored = "SELECT host, usage FROM cpu WHERE host LIKE 'copy %' ORDER BY host"
        self.assertEqual(self.output("-c", stored), "copy a|0.5\ncopy b|1.5\n")

    def test_cancels_a_statement(self):
        command, environment = psql_command("-c", ENDLESS)
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        try:
            wait_until_running()
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()
            process.wait()
        self.assertIn("57014", errors)

    def test_shows_codes_and_places_of_errors(self):
        status, _, errors = run("-c", "SELECT host FROM missing")
        self.assertEqual(status, 1)
        self.assertIn("42P01", errors)
        status, _, errors = run("-c", "SELECT 1,\n  2 + , 3")
        self.assertEqual(status, 1)
        self.assertIn("42601", errors)
        self.assertIn("LINE 2:", errors)

    def test_reports_wrong_passwords_and_unknown_databases(self):
        for options, message in (
            ({"password": "apiv3_wrong"}, 'password authentication failed for user "ann"'),
            ({"database": "missing"}, 'database "missing" does not exist'),
        ):
            status, _, errors = run("-c", "SELECT 1", **options)
            self.assertEqual(status, 2)
            self.assertIn(message, errors)

    def test_connects_without_tls_from_the_same_machine(self):
        self.assertEqual(self.output("-c", "SELECT 1", PGSSLMODE="disable"), "1\n")


if __name__ == "__main__":
    unittest.main()
