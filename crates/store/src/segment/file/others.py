"""Reads a Parquet file with the program named first and prints name, count and checksum of the values of each column."""

import datetime
import decimal
import struct
import sys
import zlib

program, path = sys.argv[1:]
if program == "duckdb":
    import duckdb

    duckdb.sql("set timezone = 'UTC'")
    read = duckdb.sql(f"select * replace (epoch_us(time::timestamptz) as time) from '{path}'")
    rows = read.fetchall()
    columns = {name: [row[place] for row in rows] for place, name in enumerate(read.columns)}
elif program == "polars":
    import polars

    read = polars.read_parquet(path).with_columns(polars.col("time").dt.timestamp("us"))
    columns = {name: read[name].to_list() for name in read.columns}
else:
    import pyarrow
    import pyarrow.parquet

    read = pyarrow.parquet.read_table(path)
    columns = {name: read.column(name) for name in read.column_names}
    columns["time"] = columns["time"].cast(pyarrow.int64())
    columns = {name: column.to_pylist() for name, column in columns.items()}
    columns["time"] = [time // 1000 for time in columns["time"]]


def text(value):
    match value:
        case None:
            return "-"
        case float():
            return struct.pack(">d", value).hex()
        case decimal.Decimal():
            return str(int(value.scaleb(1)))
        case datetime.date():
            return str((value - datetime.date(1970, 1, 1)).days)
    return str(value)


for name, values in columns.items():
    texts = [text(value) for value in values]
    print(name, len(texts), f"{zlib.crc32(chr(10).join(texts).encode()):08x}")
