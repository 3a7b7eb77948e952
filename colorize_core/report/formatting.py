"""Numbers, configurations and questions to the rows, in words that pages and terminals share."""

import json
from collections.abc import Mapping
from typing import Any

_S3 = "s3://"


def duration(seconds: float) -> str:
    """Seconds for people: 8 s, 2 min 5 s, 3 h 20 min."""
    whole = int(seconds + 0.5)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def file_size(number: int) -> str:
    """Bytes for people: 812 bytes, 74 kB, 3.1 MB."""
    if number < 1000:
        return f"{number} bytes"
    return f"{number / 1e3:.0f} kB" if number < 1e6 else f"{number / 1e6:.1f} MB"


def flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """A configuration as (dotted key, value): text as it is, all else as JSON."""
    lines: list[tuple[str, str]] = []
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            lines += flat(value, f"{prefix}{key}.")
        else:
            lines.append((f"{prefix}{key}", value if isinstance(value, str) else _json(value)))
    return lines


def queries(output: str, files: str, rows: str, columns: str, condition: str) -> list[dict[str, str]]:
    """One line of Python for each tool that reads the rows of a run.

    Args:
        output: location of the run.
        files: pattern of its Parquet files below that.
        rows: the same as a folder or file.
        columns: to ask for.
        condition: such as "status != 'ok'", which SQL and pandas both understand.
    """
    where = f"{output}/{files}".replace("'", "''")
    sql = f"select {columns} from '{where}' where {condition}"
    lines = [{"tool": "DuckDB", "line": f"duckdb.sql({_json(sql)})"}]
    lines.append({"tool": "pandas", "line": f'pandas.read_parquet({_json(f"{output}/{rows}")}).query("{condition}")'})
    if output.startswith(_S3):
        path = _json(f"{output}/{rows}".removeprefix(_S3))
        line = f"pyarrow.parquet.read_table({path}, filesystem=pyarrow.fs.S3FileSystem())"
        lines.append({"tool": "pyarrow", "line": line})
    return lines


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
