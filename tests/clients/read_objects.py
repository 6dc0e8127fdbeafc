"""Opens all objects of a bucket that are Parquet files by name, with DuckDB and with pyarrow, and queries some of them.

    read_objects.py FOLDER SQL KEY...

FOLDER has the bucket, SQL reads the view `files` over the objects with these keys. Prints JSON: the number of objects
that were opened, and the rows.
"""

import json
import pathlib
import sys

import duckdb
import pyarrow.parquet


def opened(path):
    """The number of rows, of which both tools say the same."""
    file = str(path)
    rows = pyarrow.parquet.read_table(file, partitioning=None).num_rows
    found = duckdb.execute("SELECT count(*), count(time) FROM read_parquet($1)", [file]).fetchall()
    assert found == [(rows, rows)], f"{file}: {found} rows for DuckDB, {rows} for pyarrow"
    return rows


def main(folder, sql, *keys):
    objects = sorted(pathlib.Path(folder).glob("**/data/*/*.parquet"))
    assert all(opened(path) for path in objects), "an object without rows"
    by_key = {"/".join(path.parts[-3:]): str(path) for path in objects}
    names = ", ".join(f"'{by_key[key]}'" for key in keys)
    duckdb.execute(f"CREATE VIEW files AS SELECT * FROM read_parquet([{names}], union_by_name = true)")
    rows = duckdb.execute(sql)
    names = [column[0] for column in rows.description]
    # As in JSON of Neap, values that are missing have no name.
    rows = [{name: value for name, value in zip(names, row) if value is not None} for row in rows.fetchall()]
    print(json.dumps({"opened": len(objects), "rows": rows}))


main(*sys.argv[1:])
