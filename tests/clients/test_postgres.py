"""Drivers of PostgreSQL for Python, psycopg and asyncpg, with TLS and without.

The server listens on NEAP_POSTGRES_ADDRESS, with TLS if NEAP_CA_FILE names its certificate. The host of the address is
then that of the certificate.
"""

import asyncio
import datetime
import os
import ssl
import unittest

import asyncpg
import psycopg
from server import CA_FILE, TOKEN, TestCase, create_token, write_lines

HOST, PORT = os.environ["NEAP_POSTGRES_ADDRESS"].rsplit(":", 1)
DATABASE = "home"
TIME = datetime.datetime(2024, 1, 2, 3, 4, 5, 678901)
ENDLESS = "SELECT sum(a.value * b.value) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b"


def setUpModule():
    write_lines(DATABASE, "cpu,host=a usage=0.5,n=1i,up=true,note=\"é\" 1000000000", "cpu,host=b usage=1.5,n=2i 2000000000")


def connect(password=TOKEN, database=DATABASE, **options):
    tls = {"sslmode": "verify-full", "sslrootcert": CA_FILE} if CA_FILE else {}
    return psycopg.connect(
        host=HOST, port=PORT, user="ann", password=password, dbname=database, connect_timeout=60, **tls, **options
    )


class Psycopg(TestCase):
    def test_queries_in_text_and_in_binary(self):
        query = "SELECT host, usage, n, up, note, time FROM cpu WHERE host = %s AND usage < %s AND time >= %s"
        values = ("a", 1.0, datetime.datetime(1970, 1, 1))
        row = ("a", 0.5, 1, True, "é", datetime.datetime(1970, 1, 1, 0, 0, 1))
        with connect(autocommit=True) as connection:
            for binary in (False, True):
                rows = connection.execute(query, values, prepare=binary, binary=binary).fetchall()
                self.assertEqual(rows, [row])

    def test_a_pipeline(self):
        with connect(autocommit=True) as connection, connection.pipeline():
            cursors = [connection.execute("SELECT %s + 1", (number,)) for number in range(100)]
            self.assertEqual([cursor.fetchone()[0] for cursor in cursors], list(range(1, 101)))

    def test_a_transaction_stores_its_rows_at_commit(self):
        insert = "INSERT INTO cpu (time, host, usage) VALUES (%s, %s, %s)"
        with connect() as connection, connect(autocommit=True) as other:
            count = "SELECT count(*) FROM cpu WHERE host = 't'"
            connection.cursor().executemany(insert, [(TIME, "t", 1.5), (TIME + datetime.timedelta(seconds=1), "t", 2.5)])
            self.assertEqual(other.execute(count).fetchone(), (0,))
            connection.commit()
            self.assertEqual(other.execute(count).fetchone(), (2,))
            connection.execute(insert, (TIME, "u", 1.5))
            connection.rollback()
            self.assertEqual(other.execute("SELECT count(*) FROM cpu WHERE host = 'u'").fetchone(), (0,))

    def test_a_cursor_of_the_server(self):
        with connect() as connection, connection.cursor(name="rows") as cursor:
            cursor.itersize = 1_000
            cursor.execute("SELECT value FROM generate_series(1, 10000)")
            self.assertEqual(sum(row[0] for row in cursor), 50_005_000)

    def test_copies(self):
        with connect(autocommit=True) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS copied (time TIMESTAMP, tag SYMBOL, v DOUBLE PRECISION)")
            with connection.cursor() as cursor:
                with cursor.copy("COPY copied (time, tag, v) FROM STDIN") as copy:
                    for second in range(1_000):
                        copy.write_row((TIME + datetime.timedelta(seconds=second), "x\ty", second / 2))
                with cursor.copy("COPY (SELECT tag, sum(v) AS s FROM copied GROUP BY tag) TO STDOUT (FORMAT binary)") as copy:
                    copy.set_types(["text", "float8"])
                    self.assertEqual(list(copy.rows()), [("x\ty", 249_750.0)])

    def test_a_cancelled_statement(self):
        with connect(autocommit=True) as connection:
            connection.execute("SET statement_timeout = '1s'")
            with self.assertRaises(psycopg.errors.QueryCanceled):
                connection.execute(ENDLESS)
            self.assertEqual(connection.execute("SELECT 1").fetchone(), (1,))

    def test_who_may_connect(self):
        reader = create_token("postgres reader", (DATABASE, "read"))
        with connect(password=reader, autocommit=True) as connection:
            with self.assertRaises(psycopg.errors.InsufficientPrivilege):
                connection.execute("DELETE FROM cpu WHERE host = 'a'")
        for options in ({"password": "apiv3_wrong"}, {"database": "missing"}):
            with self.assertRaises(psycopg.OperationalError):
                connect(**options)

    def test_many_rows(self):
        with connect(autocommit=True) as connection, connection.cursor() as cursor:
            total = 0
            for row in cursor.stream("SELECT value FROM generate_series(1, 1000000)"):
                total += row[0]
            self.assertEqual(total, 500_000_500_000)


class Asyncpg(TestCase):
    def test_queries_transactions_and_copies(self):
        asyncio.run(self.use())

    async def use(self):
        context = ssl.create_default_context(cafile=CA_FILE) if CA_FILE else False
        connection = await asyncpg.connect(
            host=HOST, port=int(PORT), user="ann", password=TOKEN, database=DATABASE, ssl=context
        )
        query = "SELECT host, usage, time FROM cpu WHERE n = $1 AND up = $2"
        row = await connection.fetchrow(query, 1, True)
        self.assertEqual(tuple(row), ("a", 0.5, datetime.datetime(1970, 1, 1, 0, 0, 1)))
        async with connection.transaction():
            await connection.execute("INSERT INTO cpu (time, host, usage) VALUES ($1, $2, $3)", TIME, "async", 2.5)
            numbers = [row["value"] async for row in connection.cursor("SELECT value FROM generate_series(1, 100)")]
            self.assertEqual(numbers, list(range(1, 101)))
        self.assertEqual(await connection.fetchval("SELECT usage FROM cpu WHERE host = 'async'"), 2.5)
        with self.assertRaises(asyncpg.UndefinedTableError):
            await connection.fetch("SELECT * FROM missing")
        await connection.close()


if __name__ == "__main__":
    unittest.main()
