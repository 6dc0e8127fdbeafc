"""Writes rows, and runs a program that tests a client of PostgreSQL: `postgres_program.py COMMAND [ARGUMENT ...]`.

The program is in tests/clients. It fails with a status other than 0, and gets these variables:

| variable | value |
|---|---|
| NEAP_POSTGRES_HOST, NEAP_POSTGRES_PORT | the address |
| NEAP_POSTGRES_DATABASE | the database, with the tables of `postgres_server.write_rows` |
| NEAP_POSTGRES_PASSWORD, NEAP_POSTGRES_READER | an admin token, and a token that only reads |
| NEAP_CA_FILE | the certificate; not set without TLS |
| NEAP_POSTGRES_LARGE, NEAP_POSTGRES_LARGE_ROWS | a query with a large answer, and the number of its rows |
| NEAP_POSTGRES_ENDLESS | a query that does not end by itself |
| NEAP_POSTGRES_RUNNING | a query for the number of such queries that run |
"""

import os
import subprocess
import sys

from postgres_server import DATABASE, ENDLESS, ENDLESS_ENDING, HOST, LARGE, LARGE_ROWS, PORT, write_rows
from server import TOKEN, create_token


def main():
    write_rows()
    variables = {
        "HOST": HOST,
        "PORT": PORT,
        "DATABASE": DATABASE,
        "PASSWORD": TOKEN,
        "READER": create_token("reader of a program", (DATABASE, "read")),
        "LARGE": LARGE,
        "LARGE_ROWS": str(LARGE_ROWS),
        "ENDLESS": ENDLESS,
        "RUNNING": f"SELECT count(*) AS n FROM system.queries WHERE running AND query_text LIKE '%{ENDLESS_ENDING}'",
    }
    named = {f"NEAP_POSTGRES_{name}": value for name, value in variables.items()}
    # The output of the program comes after that of this one.
    sys.stdout.flush()
    sys.exit(subprocess.run(sys.argv[1:], env={**os.environ, **named}).returncode)


if __name__ == "__main__":
    main()
