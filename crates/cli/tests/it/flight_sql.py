"""Drives a server by Arrow Flight SQL with the ADBC driver, which is written in Go: PART PORT PASSWORD."""

import base64
import datetime
import decimal
import sys
import threading
import time

import adbc_driver_flightsql
import adbc_driver_flightsql.dbapi as flight_sql
import adbc_driver_manager as adbc
import pyarrow

UTC = datetime.timezone.utc
START = datetime.datetime(2026, 1, 1, tzinfo=UTC)
LONG = "SELECT count(*) FROM generate_series(1, 1000000000000) AS g(n) WHERE n % 7 = 3"


def same(found, expected):
    assert found == expected, f"{found!r} instead of {expected!r}"


def fails(words, attempt):
    try:
        attempt()
    except adbc.Error as error:
        assert words in str(error), f"{words!r} is missing in {str(error)!r}"
        return error
    raise AssertionError(f"no error {words!r}")


def connect(port, password, user="tongmai"):
    return flight_sql.connect(f"grpc://127.0.0.1:{port}", db_kwargs={"username": user, "password": password},
                              autocommit=True)


def table(connection, sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetch_arrow_table()


def value(connection, sql):
    [[found]] = table(connection, sql).to_pydict().values()
    return found


def questions(connection):
    rows = table(connection, """SELECT asset, signal, time, value, text FROM observations
        WHERE asset = 'machine/lathe-9' AND signal NOT LIKE 'alarm%' ORDER BY time, signal""").to_pylist()
    same([(row["signal"], row["time"].to_pydatetime() if hasattr(row["time"], "to_pydatetime") else row["time"],
           row["value"], row["text"]) for row in rows], [
        ("execution", START, None, "ACTIVE"),
        ("load", START, 12.5, None),
        ("load", START + datetime.timedelta(seconds=1.5), None, None),
        ("logic", START + datetime.timedelta(seconds=1.5), None, "FAULT"),
        ("load", START + datetime.timedelta(minutes=1), 20.5, None),
    ])
    same(value(connection, "SELECT count(*) FROM \"tongmai\".\"public\".\"lathe\" WHERE value > 15"), 1)
    same(table(connection, "SELECT asset FROM assets WHERE asset = 'nobody'").num_rows, 0)
    # Without preparing it first, as whoever asks only once does.
    with connection.cursor() as cursor:
        cursor.adbc_statement.set_sql_query("SELECT 7 AS seven")
        handle, _ = cursor.adbc_statement.execute_query()
        reader = pyarrow.RecordBatchReader._import_from_c(handle.address)
        same(reader.read_all().to_pydict(), {"seven": [7]})
    # Prepared once, asked twice.
    with connection.cursor() as cursor:
        cursor.adbc_prepare("SELECT max(value) AS most FROM lathe")
        for _ in range(2):
            cursor.execute("SELECT max(value) AS most FROM lathe")
            same(cursor.fetchall(), [(20.5,)])
    fails("not found", lambda: table(connection, "SELECT * FROM nowhere"))
    fails("this is no SQL", lambda: table(connection, "SELEC 1"))
    fails("parameters are not supported", lambda: connection.cursor().execute("SELECT $1::bigint", (7,)))
    same(value(connection, "SELECT 1"), 1)


def types(connection):
    for sql, expected in [
        ("true", True),
        ("1", 1),
        ("(-7)::smallint", -7),
        ("1.25::real", 1.25),
        ("1e300::double precision", 1e300),
        ("'转速'", "转速"),
        ("''", ""),
        ("NULL", None),
        ("DATE '1999-12-31'", datetime.date(1999, 12, 31)),
        ("TIMESTAMP '1969-12-31 23:59:59.999999'", datetime.datetime(1969, 12, 31, 23, 59, 59, 999999)),
        ("X'00ff'", b"\x00\xff"),
        ("CAST('-1234.56' AS DECIMAL(20, 5))", decimal.Decimal("-1234.56")),
        ("make_array(1.5, NULL, 2.5)", [1.5, None, 2.5]),
        ("named_struct('signal', 'a', 'quality', 1)", {"signal": "a", "quality": 1}),
    ]:
        same(value(connection, f"SELECT {sql}"), expected)
    for name in ["lathe", "observations", "assets", "signals"]:
        found = table(connection, f"SELECT * FROM {name}")
        promised = connection.adbc_get_table_schema(name)
        same([(field.name, field.type) for field in found.schema], [(field.name, field.type) for field in promised])
        assert not any(pyarrow.types.is_dictionary(field.type) for field in found.schema), found.schema
    same(connection.adbc_get_table_schema("lathe").field("time").type, pyarrow.timestamp("ns", "UTC"))


def listing(connection):
    found = connection.adbc_get_objects(depth="columns").read_all().to_pylist()
    same([catalog["catalog_name"] for catalog in found], ["tongmai"])
    [schema] = found[0]["catalog_db_schemas"]
    same(schema["db_schema_name"], "public")
    tables = {table["table_name"]: table for table in schema["db_schema_tables"]}
    assert {"lathe", "observations", "assets", "signals"} <= set(tables), tables
    columns = [column["column_name"] for column in tables["lathe"]["table_columns"]]
    assert {"asset", "time", "value"} <= set(columns), columns
    same(connection.adbc_get_table_types(), ["TABLE"])
    info = connection.adbc_get_info()
    same(info["vendor_name"], "Tongmai")


def changes(connection):
    for sql in ["DELETE FROM lathe", "DROP TABLE lathe", "INSERT INTO assets VALUES ('a', 'b')",
                "COPY lathe TO '/tmp/a.parquet'", "CREATE TABLE a AS SELECT 1"]:
        fails("this server only reads", lambda: connection.cursor().execute(sql))
        fails("this server only reads", lambda: connection.cursor().executescript(sql))
    rows = pyarrow.table({"asset": ["a"]})
    fails("this server only reads", lambda: connection.cursor().adbc_ingest("assets", rows, mode="append"))
    fails("does not report transaction support", lambda: connection.adbc_connection.set_autocommit(False))
    same(value(connection, "SELECT count(*) FROM lathe"), 5)


def cancelled(connection):
    for _ in range(2):
        with connection.cursor() as cursor:
            threading.Timer(1, cursor.adbc_cancel).start()
            started = time.monotonic()
            try:
                cursor.execute(LONG)
                cursor.fetchall()
            except adbc.Error as error:
                assert "ancel" in str(error), error
            else:
                raise AssertionError("it was not cancelled")
            assert time.monotonic() - started < 30
    same(value(connection, "SELECT 1"), 1)


def gone(connection):
    """Asks for what takes long, and is killed meanwhile."""
    print("asking", flush=True)
    table(connection, LONG)


def late(connection):
    fails("the query was stopped after 1 s", lambda: table(connection, LONG))
    same(value(connection, "SELECT 1"), 1)


def streamed(connection):
    sql = """SELECT n, 'a text that is long enough to be noticed when it is kept: ' || n
        FROM generate_series(1, 1000000) AS g(n)"""
    with connection.cursor() as cursor:
        cursor.execute(sql)
        rows = batches = 0
        for batch in cursor.fetch_record_batch():
            rows, batches = rows + batch.num_rows, batches + 1
    same(rows, 1000000)
    assert batches > 50, batches


def passwords(port, password):
    for user, wrong in [("tongmai", "wrong horse"), ("somebody", password), ("tongmai", "x")]:
        fails("wrong user name or password", lambda: value(connect(port, wrong, user), "SELECT 1"))
    address = f"grpc://127.0.0.1:{port}"
    fails("no user name and password", lambda: value(flight_sql.connect(address, autocommit=True), "SELECT 1"))
    header = "Basic " + base64.b64encode(f"tongmai:{password}".encode()).decode()
    option = {adbc_driver_flightsql.DatabaseOptions.AUTHORIZATION_HEADER.value: header}
    with flight_sql.connect(address, db_kwargs=option, autocommit=True) as connection:
        same(value(connection, "SELECT 1"), 1)


def main():
    name, port, password = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    if name == "passwords":
        passwords(port, password)
    else:
        with connect(port, password) as connection:
            globals()[name](connection)
    print("done")


main()
