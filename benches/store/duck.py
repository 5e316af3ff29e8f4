"""Runs the statements on its input, one a line, in the DuckDB database of the file that is its argument.

Answers each with the first value of the first row where the statement begins with `SELECT sum`, and with `done`.
"""
import sys

import duckdb

connection = duckdb.connect(sys.argv[1])
print("done", flush=True)
for statement in sys.stdin:
    try:
        result = connection.execute(statement)
        if statement.startswith("SELECT sum"):
            print(result.fetchone()[0])
        elif statement.startswith("SELECT"):
            # The cheapest way to take all rows: column by column, without a Python object a value.
            result.fetchnumpy()
    except Exception as error:
        print("error: " + " ".join(str(error).split()), flush=True)
    print("done", flush=True)
