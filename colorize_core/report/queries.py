"""Example queries of the rows of a run, as shown on its page."""

import json

_S3 = "s3://"


def query_examples(output: str, files: str, rows: str, columns: str, condition: str) -> list[dict[str, str]]:
    """Return one line of Python for each tool that can read the rows of a run, as {tool, line}.

    Args:
        output: location of the run.
        files: pattern of its Parquet files, relative to `output`.
        rows: the folder or file of the rows, relative to `output`.
        columns: to select.
        condition: filter in the common syntax of SQL and pandas, such as "status != 'ok'".
    """
    where = f"{output}/{files}".replace("'", "''")
    sql = f"select {columns} from '{where}' where {condition}"
    lines = [{"tool": "DuckDB", "line": f"duckdb.sql({_quote(sql)})"}]
    lines.append({"tool": "pandas", "line": f'pandas.read_parquet({_quote(f"{output}/{rows}")}).query("{condition}")'})
    if output.startswith(_S3):
        path = _quote(f"{output}/{rows}".removeprefix(_S3))
        line = f"pyarrow.parquet.read_table({path}, filesystem=pyarrow.fs.S3FileSystem())"
        lines.append({"tool": "pyarrow", "line": line})
    return lines


def _quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
