"""Drives a server by PostgreSQL's protocol with drivers that others wrote: PART PORT PASSWORD.

asyncpg prepares every statement and sends and takes binary values, as pgx does, the driver of Grafana.
"""

import asyncio
import datetime
import json
import sys

UTC = datetime.timezone.utc
START = datetime.datetime(2026, 1, 1, tzinfo=UTC)


def same(found, expected):
    assert found == expected, f"{found!r} instead of {expected!r}"


async def fails(code, waiting):
    import asyncpg

    try:
        await waiting
    except asyncpg.PostgresError as error:
        same(error.sqlstate, code)
    else:
        raise AssertionError(f"no error {code}")


async def types(connection):
    row = await connection.fetchrow("""SELECT asset, time, sequence, value, text FROM lathe WHERE signal = 'load'
        ORDER BY time LIMIT 1""")
    same(row["asset"], "machine/lathe-9")
    same(row["time"], START)
    same(row["value"], 12.5)
    same(row["sequence"], 0)
    same(row["text"], None)
    for sql, expected in [
        ("true", True),
        ("1", 1),
        ("(-7)::smallint", -7),
        ("1.25::real", 1.25),
        ("1e300::double precision", 1e300),
        ("'NaN'::double precision IS NOT NULL", True),
        ("'转速'", "转速"),
        ("''", ""),
        ("DATE '1999-12-31'", datetime.date(1999, 12, 31)),
        ("TIMESTAMP '1969-12-31 23:59:59.999999'", datetime.datetime(1969, 12, 31, 23, 59, 59, 999999)),
        ("TIME '01:02:03.5'", datetime.time(1, 2, 3, 500000)),
        ("INTERVAL '1 day 90 seconds'", datetime.timedelta(days=1, seconds=90)),
        ("X'00ff'", b"\x00\xff"),
    ]:
        same(await connection.fetchval(f"SELECT {sql}"), expected)
    for text in ["0", "0.5", "-1234.56", "10000", "99990000.0001", "0.00001"]:
        found = await connection.fetchval(f"SELECT CAST('{text}' AS DECIMAL(20, 5))")
        same(found, __import__("decimal").Decimal(text))
    structs = await connection.fetchval("SELECT named_struct('signal', 'a', 'quality', 1)")
    same(json.loads(structs), {"signal": "a", "quality": 1})


async def parameters(connection):
    sql = """SELECT time, value FROM lathe WHERE signal = $1 AND time >= $2 AND time < $3 AND value IS NOT NULL
        ORDER BY time"""
    rows = await connection.fetch(sql, "load", START, START + datetime.timedelta(seconds=30))
    same([tuple(row) for row in rows], [(START, 12.5)])
    statement = await connection.prepare(sql)
    same([parameter.name for parameter in statement.get_parameters()], ["text", "timestamptz", "timestamptz"])
    same([(column.name, column.type.name) for column in statement.get_attributes()],
         [("time", "timestamptz"), ("value", "float8")])
    for value in [0, 7, -(2**62)]:
        same(await connection.fetchval("SELECT $1::bigint", value), value)
    same(await connection.fetchval("SELECT $1::int + 1", 2), 3)
    same(await connection.fetchval("SELECT $1::double precision", 0.1), 0.1)
    same(await connection.fetchval("SELECT $1::text", "o'clock"), "o'clock")
    same(await connection.fetchval("SELECT $1", "a text, as nothing else is known"), "a text, as nothing else is known")
    same(await connection.fetchval("SELECT $1::boolean", None), None)
    same(await connection.fetchval("SELECT count(*) FROM lathe WHERE value > $1", 15), 1)
    same(len(await connection.fetch("SELECT time FROM lathe ORDER BY time LIMIT $1", 2)), 2)


async def statements(connection):
    import asyncpg

    statement = await connection.prepare("SELECT value FROM lathe WHERE value > $1 ORDER BY 1")
    same(await statement.fetchval(1.0), 12.5)
    same(await statement.fetchval(13.0), 20.5)
    same(await statement.fetch(100.0), [])
    await fails("42P01", connection.prepare("SELECT * FROM nowhere"))
    same(await statement.fetchval(1.0), 12.5)
    await fails("25006", connection.execute("DELETE FROM lathe WHERE value > $1", 1.0))
    await fails("25006", connection.prepare("INSERT INTO lathe (value) VALUES (1)"))
    await fails("42601", connection.fetch("SELECT 1; SELECT 2"))
    await connection.fetch("")
    # Rows are fetched some at a time; the question waits meanwhile.
    async with connection.transaction():
        numbers = []
        async for row in connection.cursor("SELECT n FROM generate_series(1, 2000) AS g(n)", prefetch=300):
            numbers.append(row[0])
        same(numbers, list(range(1, 2001)))
    try:
        await asyncio.wait_for(connection.fetchval("SELECT count(*) FROM generate_series(1, 1000000000000)"), 1)
    except (asyncio.TimeoutError, asyncpg.QueryCanceledError):
        pass
    same(await connection.fetchval("SELECT 1"), 1)


async def transactions(connection):
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        same(await connection.fetchval("SELECT 1"), 1)
    transaction = connection.transaction()
    await transaction.start()
    await fails("42703", connection.fetch("SELECT nothing FROM lathe"))
    await fails("25P02", connection.fetch("SELECT 1"))
    await transaction.rollback()
    same(await connection.fetchval("SELECT 1"), 1)
    await connection.reset()
    same(await connection.fetchval("SELECT 1"), 1)


async def limits(connection):
    await connection.execute("SET statement_timeout = 200")
    await fails("57014", connection.fetch("SELECT count(*) FROM generate_series(1, 1000000000000)"))
    await connection.execute("SET statement_timeout = 0")
    same(await connection.fetchval("SELECT 1"), 1)
    kept = []
    with_names = ((number, f"statement_{number}") for number in range(1100))
    try:
        for number, name in with_names:
            kept.append(await connection.prepare(f"SELECT {number}", name=name))
    except Exception as error:
        same(error.sqlstate, "54000")
    assert len(kept) < 1100, "prepared statements are not bounded"
    await connection.execute("DEALLOCATE ALL")


SEARCH_PATH = """
          quote_ident(table_schema) IN (
          SELECT
            CASE WHEN trim(s[i]) = '"$user"' THEN user ELSE trim(s[i]) END
          FROM
            generate_series(
              array_lower(string_to_array(current_setting('search_path'),','),1),
              array_upper(string_to_array(current_setting('search_path'),','),1)
            ) as i,
            string_to_array(current_setting('search_path'),',') s
          )"""


async def grafana(connection):
    """What Grafana's PostgreSQL source asks: on its own behalf, and by its macros."""
    same(await connection.fetchval("SELECT 1"), 1)
    same(await connection.fetchval("SELECT current_setting('server_version_num')::int/100 as version"), 1500)
    same(await connection.fetch("SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'"), [])
    assert (await connection.fetchval("SELECT version()")).startswith("PostgreSQL 15")
    same([row[0] for row in await connection.fetch("""SELECT schema_name AS "name" FROM information_schema.schemata
        WHERE schema_name NOT IN ('information_schema', 'pg_catalog', 'pg_toast') ORDER BY schema_name""")], ["public"])
    tables = await connection.fetch(f"""SELECT
        CASE WHEN {SEARCH_PATH} THEN quote_ident(table_name)
        ELSE quote_ident(table_schema) || '.' || quote_ident(table_name) END AS "table"
        FROM information_schema.tables
        WHERE quote_ident(table_schema) NOT IN ('information_schema', 'pg_catalog', '_timescaledb_cache')
        ORDER BY CASE WHEN {SEARCH_PATH} THEN 0 ELSE 1 END, 1""")
    names = [row["table"] for row in tables]
    assert {"lathe", "observations", "assets", "signals"} <= set(names), names
    same([row["table"] for row in await connection.fetch("""SELECT quote_ident(table_name) AS "table"
        FROM information_schema.tables WHERE quote_ident(table_schema) = 'public' ORDER BY 1""")], sorted(names))
    for table in ["lathe", "public.lathe"]:
        columns = await connection.fetch(f"""SELECT quote_ident(column_name) AS "column", data_type AS "type"
            FROM information_schema.columns WHERE
            CASE WHEN array_length(parse_ident('{table}'),1) = 2
            THEN quote_ident(table_schema) = (parse_ident('{table}'))[1]
              AND quote_ident(table_name) = (parse_ident('{table}'))[2]
            ELSE quote_ident(table_name) = '{table}' AND {SEARCH_PATH} END""")
        found = {row["column"]: row["type"] for row in columns}
        same((found["time"], found["value"], found["asset"], found["sequence"]),
             ("timestamp with time zone", "double precision", "text", "bigint"))
    between = "time BETWEEN '2026-01-01T00:00:00Z' AND '2026-01-01T00:59:59.999Z'"
    # $__timeGroupAlias(time, '1m'), with $__timeFilter(time)
    rows = await connection.fetch(f"""SELECT floor(extract(epoch from time)/60)*60 AS "time", asset AS metric,
        avg(value) AS load FROM lathe WHERE {between} AND signal = 'load' GROUP BY 1, 2 ORDER BY 1, 2""")
    epoch = START.timestamp()
    same([tuple(row) for row in rows],
         [(epoch, "machine/lathe-9", 12.5), (epoch + 60, "machine/lathe-9", 20.5)])
    # $__time(time), $__timeEpoch(time), $__unixEpochFilter(…)
    rows = await connection.fetch(f"SELECT time AS \"time\", value FROM lathe WHERE {between} AND value > 0 ORDER BY 1")
    same([tuple(row) for row in rows], [(START, 12.5), (START + datetime.timedelta(minutes=1), 20.5)])
    rows = await connection.fetch("""SELECT extract(epoch from time) as "time", value FROM lathe
        WHERE extract(epoch from time) >= 1767225600 AND extract(epoch from time) <= 1767225660 AND value IS NOT NULL
        ORDER BY time""")
    same([tuple(row) for row in rows], [(epoch, 12.5), (epoch + 60, 20.5)])
    # The builder's query, and a variable's.
    rows = await connection.fetch(f'SELECT "time", value FROM public.lathe WHERE {between} LIMIT 50')
    same(len(rows), 5)
    same([row[0] for row in await connection.fetch("SELECT DISTINCT asset FROM lathe")], ["machine/lathe-9"])
    rows = await connection.fetch("""SELECT date_bin(INTERVAL '1 minute', time) AS time, max(value) FROM lathe
        GROUP BY 1 ORDER BY 1""")
    same(rows[0].get("max"), 12.5)


def psycopg_part(port, password):
    import psycopg

    where = f"host=127.0.0.1 port={port} user=tongmai dbname=tongmai password='{password}'"
    with psycopg.connect(where) as connection:
        for binary in [False, True]:
            cursor = connection.cursor(binary=binary)
            cursor.execute("SELECT time, value, vector, sequence FROM lathe WHERE time < %s AND value > %s",
                           (START + datetime.timedelta(seconds=1), 1))
            same(cursor.fetchall(), [(START, 12.5, None, 0)])
            cursor.execute("SELECT make_array(1.5, NULL, 2.5)")
            same(cursor.fetchone()[0], [1.5, None, 2.5])
            cursor.execute("SELECT %s, %s::bigint, %s::boolean", ("a", 7, True))
            same(cursor.fetchone(), ("a", 7, True))
        try:
            connection.execute("DROP TABLE lathe")
        except psycopg.errors.ReadOnlySqlTransaction:
            connection.rollback()
        same([name.name for name in connection.execute("SELECT avg(value), count(*), 1 FROM lathe").description],
             ["avg", "count", "?column?"])
    for wrong in ["wrong horse", "x"]:
        try:
            psycopg.connect(where.replace(password, wrong))
        except psycopg.OperationalError as error:
            assert "password authentication failed" in str(error), error
        else:
            raise AssertionError("a wrong password opened")


async def asyncpg_part(part, port, password):
    import asyncpg

    connection = await asyncpg.connect(
        host="127.0.0.1", port=port, user="tongmai", database="tongmai", password=password, timeout=30)
    try:
        await asyncio.wait_for(part(connection), 100)
    finally:
        await connection.close(timeout=10)


def main():
    name, port, password = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    if name == "psycopg":
        psycopg_part(port, password)
    else:
        asyncio.run(asyncpg_part(globals()[name], port, password))
    print("done")


main()
