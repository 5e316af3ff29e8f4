"""Counts the rows of one table in a data directory that is being written to, again and again, as a user would with
DuckDB and with Polars: rows in segments never become fewer, and none is there twice. Prints what it saw as JSON."""

import json
import sys
import time

import duckdb
import polars as pl
import polars.selectors as cs

data, seconds = sys.argv[1], float(sys.argv[2])


def by_duckdb():
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(
        f"""
        SET VARIABLE files = (
            SELECT list('{data}/' || segment.file)
            FROM (SELECT unnest(t.segments) AS segment
                  FROM (SELECT unnest(tables) AS t FROM read_json('{data}/manifest.json'))
                  WHERE t.profile.id = 'press'))
        """
    )
    files = connection.execute("SELECT getvariable('files')").fetchone()[0] or []
    if not files:
        return 0, 0, files
    count, distinct = connection.execute(
        """
        SELECT count(*), count(DISTINCT (asset, time, sequence))
        FROM read_parquet(getvariable('files'), union_by_name = true)
        """
    ).fetchone()
    return count, distinct, files


def by_polars():
    with open(f"{data}/manifest.json") as file:
        tables = json.load(file)["tables"]
    files = [f"{data}/{s['file']}" for t in tables if t["profile"]["id"] == "press" for s in t["segments"]]
    if not files:
        return 0, 0, files
    scans = [pl.scan_parquet(file).with_columns(cs.decimal().cast(pl.Float64)) for file in files]
    rows = pl.concat(scans, how="diagonal_relaxed")
    rows = rows.select(pl.len().alias("n"), pl.struct("asset", "time", "sequence").n_unique().alias("d"))
    count, distinct = rows.collect().row(0)
    return count, distinct, files


def main():
    seen = {"rows": 0, "reads": 0, "again": 0, "merged": 0, "files_max": 0}
    rows, files = 0, []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for read in (by_duckdb, by_polars):
            try:
                count, distinct, now = read()
            except (duckdb.IOException, FileNotFoundError) as error:
                # The file was merged with others between the manifest and the read.
                assert "parquet" in str(error), error
                seen["again"] += 1
                continue
            assert count == distinct, f"{read.__name__}: {count} rows, {distinct} different ones"
            assert count >= rows, f"{read.__name__}: {count} rows after {rows}"
            seen["reads"] += 1
            seen["merged"] += len(now) < len(files)
            seen["files_max"] = max(seen["files_max"], len(now))
            rows, files = count, now
    print(json.dumps(seen | {"rows": rows}))


main()
