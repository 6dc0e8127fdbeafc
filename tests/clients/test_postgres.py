"""Drivers of PostgreSQL for Python, psycopg and asyncpg, with TLS and without."""

import asyncio
import datetime
import decimal
import ssl
import threading
import unittest

import asyncpg
import psycopg
from postgres_server import (
    DATABASE,
    ENDLESS,
    EVERY_TYPE,
    EVERY_VALUE,
    HOST,
    LARGE,
    LARGE_BYTES,
    LARGE_ROWS,
    PORT,
    MemoryWatch,
    libpq_options,
    wait_until_running,
    write_rows,
)
from server import CA_FILE, TOKEN, TestCase, create_token

TIME = datetime.datetime(2024, 1, 2, 3, 4, 5, 678901)
SECOND = datetime.timedelta(seconds=1)


def setUpModule():
    write_rows()


def connect(password=TOKEN, database=DATABASE, **options):
    return psycopg.connect(
        host=HOST,
        port=PORT,
        user="ann",
        password=password,
        dbname=database,
        connect_timeout=60,
        **{**libpq_options(), **options},
    )


class Queries(TestCase):
    def test_in_text_and_in_binary(self):
        query = "SELECT host, usage, n, up, note, time FROM cpu WHERE host = %s AND usage < %s AND time >= %s"
        values = ("a", 1.0, datetime.datetime(1970, 1, 1))
        row = ("a", 0.5, 1, True, "é", datetime.datetime(1970, 1, 1, 0, 0, 1))
        with connect(autocommit=True) as connection:
            for binary in (False, True):
                rows = connection.execute(query, values, prepare=binary, binary=binary).fetchall()
                self.assertEqual(rows, [row])

    def test_with_values_of_every_type_in_every_format(self):
        columns = EVERY_TYPE.split(", ")
        with connect(autocommit=True) as connection:
            for form in ("%s", "%t", "%b"):
                condition = " AND ".join(f"{column} = {form}" for column in columns)
                query = f"SELECT {EVERY_TYPE} FROM every_type WHERE {condition}"
                for binary in (False, True):
                    for prepare in (False, True):
                        rows = connection.execute(query, EVERY_VALUE, prepare=prepare, binary=binary).fetchall()
                        self.assertEqual(rows, [EVERY_VALUE], (form, binary, prepare))

    def test_with_arrays_of_every_type_in_every_format(self):
        columns = EVERY_TYPE.split(", ")
        arrays = [[value] for value in EVERY_VALUE]
        with connect(autocommit=True) as connection:
            for form in ("%s", "%t", "%b"):
                condition = " AND ".join(f"{column} = ANY({form})" for column in columns)
                query = f"SELECT {EVERY_TYPE} FROM every_type WHERE {condition}"
                for prepare in (False, True):
                    rows = connection.execute(query, arrays, prepare=prepare).fetchall()
                    self.assertEqual(rows, [EVERY_VALUE], (form, prepare))

    def test_with_dates_and_times_with_zones(self):
        zoned = TIME.replace(tzinfo=datetime.timezone(datetime.timedelta(hours=2))) + datetime.timedelta(hours=2)
        query = "SELECT count(*) FROM every_type WHERE host = 'a' AND time {}"
        with connect(autocommit=True) as connection:
            for form in ("%s", "%t", "%b"):
                for comparison, value in (("=", zoned), (">", TIME.date()), ("<", TIME.date() + datetime.timedelta(1))):
                    counted = connection.execute(query.format(f"{comparison} {form}"), (value,)).fetchone()
                    self.assertEqual(counted, (1,), (form, comparison, value))

    def test_with_null(self):
        with connect(autocommit=True) as connection:
            self.assertEqual(connection.execute("SELECT %s::BIGINT, 1", (None,)).fetchone(), (None, 1))
            count = "SELECT count(*) FROM every_type WHERE note = %s"
            self.assertEqual(connection.execute(count, (None,)).fetchone(), (0,))

    def test_in_a_pipeline(self):
        with connect(autocommit=True) as connection, connection.pipeline():
            cursors = [connection.execute("SELECT %s + 1", (number,)) for number in range(100)]
            self.assertEqual([cursor.fetchone()[0] for cursor in cursors], list(range(1, 101)))

    def test_after_an_error_in_a_pipeline(self):
        with connect(autocommit=True) as connection:
            with self.assertRaises(psycopg.errors.UndefinedTable), connection.pipeline():
                connection.execute("SELECT 1")
                connection.execute("SELECT * FROM missing")
            self.assertEqual(connection.execute("SELECT 2").fetchone(), (2,))

    def test_with_a_cursor_of_the_server(self):
        with connect() as connection, connection.cursor(name="rows") as cursor:
            cursor.itersize = 1_000
            cursor.execute("SELECT value FROM generate_series(1, 10000) AS s(value)")
            self.assertEqual(sum(row[0] for row in cursor), 50_005_000)

    def test_errors_have_codes_and_positions(self):
        with connect(autocommit=True) as connection:
            with self.assertRaises(psycopg.errors.SyntaxError) as raised:
                connection.execute("SELECT 1 + , 2")
            self.assertIsNotNone(raised.exception.diag.statement_position)
            for error, query in (
                (psycopg.errors.UndefinedTable, "SELECT * FROM missing"),
                (psycopg.errors.UndefinedColumn, "SELECT missing FROM cpu"),
                (psycopg.errors.DivisionByZero, "SELECT 1 / (value - 1) FROM generate_series(1, 2) AS s(value)"),
            ):
                with self.assertRaises(error):
                    connection.execute(query).fetchall()


class LargeAnswers(TestCase):
    def test_arrive_in_full_while_the_server_holds_a_part_of_them(self):
        with connect(autocommit=True) as connection, connection.cursor() as cursor:
            memory, size = MemoryWatch(), 0
            for _, text in cursor.stream(LARGE):
                memory.receive()
                size += len(text)
        self.assertEqual((memory.rows, size), (LARGE_ROWS, LARGE_ROWS * LARGE_BYTES))

    def test_that_a_client_does_not_read_wait_in_the_server(self):
        with connect(autocommit=True) as connection, connection.cursor() as cursor:
            rows = cursor.stream(LARGE)
            next(rows)
            memory = MemoryWatch()
            memory.receive()
            # Other clients are answered meanwhile.
            for number in range(20):
                with connect(autocommit=True) as other:
                    self.assertEqual(other.execute("SELECT %s::BIGINT", (number,)).fetchone(), (number,))
            memory.check()
            self.assertEqual(sum(1 for _ in rows), LARGE_ROWS - 1)

    def test_can_be_abandoned(self):
        with connect(autocommit=True) as connection:
            with connection.cursor() as cursor:
                for _ in cursor.stream(LARGE):
                    break
            self.assertEqual(connection.execute("SELECT 1").fetchone(), (1,))


class Cancellation(TestCase):
    def test_by_the_client(self):
        for cancel in (psycopg.Connection.cancel_safe, psycopg.Connection.cancel):
            with connect(autocommit=True) as connection:
                raised = []

                def execute():
                    try:
                        connection.execute(ENDLESS)
                    except psycopg.Error as error:
                        raised.append(error)

                running = threading.Thread(target=execute)
                running.start()
                wait_until_running()
                cancel(connection)
                running.join(60)
                self.assertEqual([error.sqlstate for error in raised], ["57014"], cancel)
                self.assertEqual(connection.execute("SELECT 1").fetchone(), (1,))

    def test_by_the_timeout_of_a_statement(self):
        with connect(autocommit=True) as connection:
            connection.execute("SET statement_timeout = '1s'")
            with self.assertRaises(psycopg.errors.QueryCanceled):
                connection.execute(ENDLESS)
            self.assertEqual(connection.execute("SELECT 1").fetchone(), (1,))
        with connect(autocommit=True, options="-c statement_timeout=1000") as connection:
            with self.assertRaises(psycopg.errors.QueryCanceled):
                connection.execute(ENDLESS)


class Writes(TestCase):
    def test_of_a_transaction_are_stored_at_commit(self):
        insert = "INSERT INTO cpu (time, host, usage) VALUES (%s, %s, %s)"
        with connect() as connection, connect(autocommit=True) as other:
            count = "SELECT count(*) FROM cpu WHERE host = 't'"
            connection.cursor().executemany(insert, [(TIME, "t", 1.5), (TIME + SECOND, "t", 2.5)])
            self.assertEqual(other.execute(count).fetchone(), (0,))
            connection.commit()
            self.assertEqual(other.execute(count).fetchone(), (2,))
            connection.execute(insert, (TIME, "u", 1.5))
            connection.rollback()
            self.assertEqual(other.execute("SELECT count(*) FROM cpu WHERE host = 'u'").fetchone(), (0,))

    def test_have_values_of_every_type_in_every_format(self):
        with connect(autocommit=True) as connection:
            for number, form in enumerate(("%s", "%t", "%b")):
                host = f"psycopg {number}"
                values = (host, 1e300, -(2**63), decimal.Decimal(7), "tab\tand\nline", False, TIME)
                insert = f"INSERT INTO every_type ({EVERY_TYPE}) VALUES ({', '.join([form] * 7)})"
                connection.execute(insert, values)
                stored = f"SELECT {EVERY_TYPE} FROM every_type WHERE host = %s"
                self.assertEqual(connection.execute(stored, (host,)).fetchall(), [values], form)

    def test_may_have_nulls(self):
        insert = "INSERT INTO every_type (time, host, v, note) VALUES (%s, %s, %s, %s)"
        with connect(autocommit=True) as connection:
            connection.execute(insert, (TIME, "nulls", 1.5, None))
            stored = "SELECT v, note, n FROM every_type WHERE host = 'nulls'"
            self.assertEqual(connection.execute(stored).fetchall(), [(1.5, None, None)])

    def test_by_copy(self):
        with connect(autocommit=True) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS copied (time TIMESTAMP, tag SYMBOL, v DOUBLE PRECISION)")
            with connection.cursor() as cursor:
                with cursor.copy("COPY copied (time, tag, v) FROM STDIN") as copy:
                    for second in range(1_000):
                        copy.write_row((TIME + second * SECOND, "x\ty", second / 2))
                with cursor.copy("COPY (SELECT tag, sum(v) AS s FROM copied GROUP BY tag) TO STDOUT (FORMAT binary)") as copy:
                    copy.set_types(["text", "float8"])
                    self.assertEqual(list(copy.rows()), [("x\ty", 249_750.0)])
                halves = "SELECT tag, v FROM copied WHERE v IN (0.5, 1.5) ORDER BY time"
                with cursor.copy(f"COPY ({halves}) TO STDOUT (FORMAT csv, HEADER)") as copy:
                    self.assertEqual(b"".join(copy), b"tag,v\nx\ty,0.5\nx\ty,1.5\n")


class Connections(TestCase):
    def test_need_a_password_and_a_database(self):
        for options, message in (
            ({"password": "apiv3_wrong"}, "password authentication failed"),
            ({"password": "wrong"}, "password authentication failed"),
            ({"database": "missing"}, 'database "missing" does not exist'),
        ):
            with self.assertRaises(psycopg.OperationalError) as raised:
                connect(**options)
            self.assertIn(message, str(raised.exception))

    def test_have_the_permissions_of_their_token(self):
        reader = create_token("postgres reader", (DATABASE, "read"))
        with connect(password=reader, autocommit=True) as connection:
            for statement in ("DELETE FROM cpu WHERE host = 'a'", "INSERT INTO cpu (time, host, n) VALUES (now(), 'r', 1)"):
                with self.assertRaises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(statement)
            self.assertEqual(connection.execute("SELECT n FROM cpu WHERE host = 'b'").fetchone(), (2,))
        elsewhere = create_token("postgres elsewhere", ("elsewhere", "read"))
        with self.assertRaises(psycopg.OperationalError):
            connect(password=elsewhere)

    def test_may_be_without_tls_from_the_same_machine(self):
        with connect(autocommit=True, sslmode="disable") as connection:
            self.assertEqual(connection.execute("SELECT 1").fetchone(), (1,))

    @unittest.skipUnless(CA_FILE, "the server has no TLS")
    def test_may_begin_with_tls(self):
        with connect(autocommit=True, sslnegotiation="direct") as connection:
            self.assertEqual(connection.execute("SELECT 1").fetchone(), (1,))

    @unittest.skipUnless(CA_FILE, "the server has no TLS")
    def test_are_refused_by_clients_that_do_not_know_the_certificate(self):
        with self.assertRaises(psycopg.OperationalError) as raised:
            connect(sslrootcert="system")
        self.assertIn("certificate", str(raised.exception))

    @unittest.skipIf(CA_FILE, "the server has TLS")
    def test_are_refused_by_clients_that_need_tls(self):
        with self.assertRaises(psycopg.OperationalError) as raised:
            connect(sslmode="require")
        self.assertIn("server does not support SSL", str(raised.exception))


class Asyncpg(TestCase):
    def use(self, work):
        """Calls a function with a connection."""

        async def main():
            connection = await asyncpg.connect(**self.options())
            try:
                await work(connection)
            finally:
                await connection.close()

        asyncio.run(main())

    @staticmethod
    def options(password=TOKEN, database=DATABASE):
        context = ssl.create_default_context(cafile=CA_FILE) if CA_FILE else False
        return {
            "host": HOST,
            "port": int(PORT),
            "user": "ann",
            "password": password,
            "database": database,
            "ssl": context,
            "timeout": 60,
        }

    def test_queries_transactions_and_copies(self):
        async def work(connection):
            query = "SELECT host, usage, time FROM cpu WHERE n = $1 AND up = $2"
            row = await connection.fetchrow(query, 1, True)
            self.assertEqual(tuple(row), ("a", 0.5, datetime.datetime(1970, 1, 1, 0, 0, 1)))
            async with connection.transaction():
                await connection.execute("INSERT INTO cpu (time, host, usage) VALUES ($1, $2, $3)", TIME, "async", 2.5)
                series = "SELECT value FROM generate_series(1, 100) AS s(value)"
                numbers = [row["value"] async for row in connection.cursor(series)]
                self.assertEqual(numbers, list(range(1, 101)))
            self.assertEqual(await connection.fetchval("SELECT usage FROM cpu WHERE host = 'async'"), 2.5)
            with self.assertRaises(asyncpg.UndefinedTableError):
                await connection.fetch("SELECT * FROM missing")

        self.use(work)

    def test_values_of_every_type(self):
        async def work(connection):
            columns = enumerate(EVERY_TYPE.split(", "), 1)
            condition = " AND ".join(f"{column} = ${number}" for number, column in columns)
            query = f"SELECT {EVERY_TYPE} FROM every_type WHERE {condition}"
            self.assertEqual([tuple(row) for row in await connection.fetch(query, *EVERY_VALUE)], [EVERY_VALUE])
            # asyncpg asks for the types of other arrays by statements that are not answered.
            query = f"SELECT {EVERY_TYPE} FROM every_type WHERE host = ANY($1) AND note = ANY($2)"
            value = dict(zip(EVERY_TYPE.split(", "), EVERY_VALUE, strict=True))
            arrays = ([value["host"]], [value["note"], "none"])
            self.assertEqual([tuple(row) for row in await connection.fetch(query, *arrays)], [EVERY_VALUE])
            values = ("asyncpg", 2.5, 2**62, decimal.Decimal(7), "ü", False, TIME)
            placeholders = ", ".join(f"${number}" for number in range(1, 8))
            insert = f"INSERT INTO every_type ({EVERY_TYPE}) VALUES ({placeholders})"
            await connection.executemany(insert, [values, (*values[:-1], TIME + SECOND)])
            stored = f"SELECT {EVERY_TYPE} FROM every_type WHERE host = $1 ORDER BY time LIMIT 1"
            self.assertEqual(tuple(await connection.fetchrow(stored, "asyncpg")), values)

        self.use(work)

    def test_a_large_answer_in_parts(self):
        async def work(connection):
            memory = MemoryWatch()
            async with connection.transaction():
                async for _ in connection.cursor(LARGE, prefetch=1_000):
                    memory.receive()
            self.assertEqual(memory.rows, LARGE_ROWS)

        self.use(work)

    def test_a_cancelled_query(self):
        async def work(connection):
            task = asyncio.create_task(connection.fetch(ENDLESS))
            await asyncio.to_thread(wait_until_running)
            task.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await task
            self.assertEqual(await connection.fetchval("SELECT 1"), 1)

        self.use(work)

    def test_a_pool(self):
        async def main():
            async with asyncpg.create_pool(min_size=2, max_size=4, **self.options()) as pool:
                answers = [pool.fetchval("SELECT $1::BIGINT + 1", number) for number in range(50)]
                self.assertEqual(await asyncio.gather(*answers), list(range(1, 51)))

        asyncio.run(main())

    def test_wrong_passwords_and_unknown_databases(self):
        for options, error in (
            ({"password": "apiv3_wrong"}, asyncpg.InvalidPasswordError),
            ({"database": "missing"}, asyncpg.InvalidCatalogNameError),
        ):
            with self.assertRaises(error):
                asyncio.run(asyncpg.connect(**self.options(**options)))


if __name__ == "__main__":
    unittest.main()
