"""Write a table of texts to the kind of file that its name says."""

from pathlib import Path

import pyarrow.parquet as pq
from datasets import Dataset

from hf_bilstm_distill.files import whole_file

_ENDINGS = (".jsonl", ".parquet")
_ROWS_AT_ONCE = 16384


def check_ending(path: str) -> None:
    """Stop if a name does not say what to write."""
    if Path(path).suffix not in _ENDINGS:
        raise ValueError(f"--output_file must end in one of {list(_ENDINGS)}, to tell what to write, got {path!r}.")


def save_table(rows: Dataset, path: str) -> None:
    """Write a table, whole or not at all."""
    with whole_file(path) as temporary:
        if Path(path).suffix == ".parquet":
            # `to_parquet` cuts pages by content, and Arrow then aborts the process when the disk is full.
            with pq.ParquetWriter(temporary, rows.features.arrow_schema) as writer:
                for table in rows.with_format("arrow").iter(_ROWS_AT_ONCE):
                    writer.write_table(table)
        else:
            rows.to_json(temporary, force_ascii=False)
