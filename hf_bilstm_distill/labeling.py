"""Run a teacher over a transfer set once, and keep its logits as a column."""

import functools
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
import pyarrow as pa
from accelerate import PartialState
from accelerate.utils import gather_object
from datasets import ClassLabel, Dataset, Features, IterableDataset, List, Value
from tqdm.auto import tqdm
from transformers.utils import logging

from hf_bilstm_distill.cautions import check_world_size
from hf_bilstm_distill.files import whole_file
from hf_bilstm_distill.transfer_set import (
    LABEL,
    TEACHER_LOGITS,
    check_logits,
    check_texts,
    find_label_order,
    match_labels,
    text_columns,
)

logger = logging.get_logger(__name__)

AnyDataset = TypeVar("AnyDataset", Dataset, IterableDataset)
Made = TypeVar("Made")

# A teacher sorts the texts of a shard by length. In shards of 4,096 that leaves 2 % more padding than in a whole
# transfer set; larger ones would lose more work when a run is killed.
_TEXTS_PER_SHARD = 4096
_ROWS_PER_READ = 16384
_HEAD = 100  # rows of a stream that are read at once, to check it
_SHOWN_CHARACTERS = 60


class Teacher(Protocol):
    """What can label a transfer set. `TextClassifier` is one."""

    @property
    def id2label(self) -> dict[int, str]:
        """Names of the labels by their position in the logits."""

    def logits(self, texts: Sequence[str], text_pairs: Sequence[str] | None = None) -> np.ndarray:
        """Give the logits of texts or pairs, `(rows, num_labels)`."""

    def fingerprint(self) -> str:
        """Tell this teacher from any that could give other logits."""


def label_with_teacher(
    dataset: AnyDataset,
    teacher: Teacher,
    *,
    cache_dir: str | Path | None = None,
) -> AnyDataset:
    """Add the teacher's logits to a transfer set.

    Each distinct text goes through the teacher once, and with a `cache_dir` never again: a text that this teacher has
    labelled is found whatever set it stands in. Finished work appears there in whole files, so a run that was killed
    goes on where it was. The processes of `accelerate launch` or `torchrun` share the work, and each returns the whole
    column.

    A set is never in memory as a whole: while it is labelled, it takes about 60 bytes a row and 12 bytes a logit.
    A stream (`IterableDataset`) takes the memory of a few thousand rows. It is labelled while it is read, in shards of
    4,096 rows: duplicates are found within a shard, and finished work if the stream is cut into the same shards again.
    Each process labels what it reads.

    Args:
        dataset: The transfer set: `text`, perhaps `text_pair`.
        teacher: Gives the logits. If the set's labels have names, they are matched with the teacher's.
        cache_dir: Where to keep finished work, by texts and teacher. Several processes, and several runs at once, may
            share it. None keeps nothing.

    Returns:
        The set with a column `teacher_logits`, float32, in the data's label order.

    Raises:
        ValueError: If the set has no rows or no texts, or the teacher's logits are not finite or have another width
            (the first such row is named); or if the processes hold different sets.
        RuntimeError: If another of the processes fails, or they were launched but not joined.
        LabelMismatchError: If the labels of the set and of the teacher differ.
    """
    if isinstance(dataset, IterableDataset):
        return _label_stream(dataset, teacher, cache_dir)
    dataset = _without_indices(dataset)
    check_texts(dataset)
    order = find_label_order(dataset, teacher.id2label)
    labeler = _Labeler(teacher, cache_dir)
    state = PartialState()
    check_world_size(state.num_processes)
    texts = dataset.select_columns(text_columns(dataset)).with_format("arrow")
    distinct = _find_distinct(_read_keys(texts))
    logits = labeler.stored(distinct.keys)
    _label_missing(logits, distinct, texts, labeler, state)
    check_logits(logits, len(order), "The teacher")
    return _with_column(dataset, logits[:, order][distinct.places])


class _Distinct(NamedTuple):
    """The distinct texts of a set, in the order in which they first stand there."""

    keys: np.ndarray
    """`(texts, 2)`, uint64."""
    first_rows: np.ndarray
    """The row in which each text first stands, `(texts,)`."""
    places: np.ndarray
    """For each row of the set, the place of its text among these, `(rows,)`."""


class _Labeler:
    """A teacher, and the files of what it has labelled already.

    A file holds the logits of some texts, each beside the key of its text, and then the digest of all of it. It is
    named by the digest of the keys.
    """

    def __init__(self, teacher: Teacher, cache_dir: str | Path | None) -> None:
        self.teacher = teacher
        self.num_labels = len(teacher.id2label)
        self._record = np.dtype([("key", "<u8", (2,)), ("logits", "<f4", (self.num_labels,))])
        self._folder = None if cache_dir is None else Path(cache_dir) / _digest(teacher.fingerprint().encode()).hex()

    def stored(self, keys: np.ndarray) -> np.ndarray:
        """Return the logits of the texts that were labelled before; the others' are NaN."""
        logits = np.full((len(keys), self.num_labels), np.nan, dtype=np.float32)
        if self._folder is None:
            return logits
        order = np.lexsort(keys.T)
        ordered = keys[order, 1]
        for path in sorted(self._folder.glob("[!_]*.npy")):  # an underscore begins the name of what is being written
            records = self._read(path)
            if records is not None:
                places = np.searchsorted(ordered, records["key"][:, 1])
                rows = order[np.minimum(places, len(keys) - 1)]
                is_wanted = (keys[rows] == records["key"]).all(axis=1)
                logits[rows[is_wanted]] = records["logits"][is_wanted]
        return logits

    def label(self, texts: Sequence[tuple[str, ...]], keys: np.ndarray, rows: Sequence[int]) -> np.ndarray:
        """Return the logits of a shard of distinct texts, from its file if there is one. `rows` are for errors."""
        path = None if self._folder is None else self._folder / f"{_digest(keys.tobytes()).hex()}.npy"
        records = self._read(path) if path is not None and path.exists() else None
        if records is not None:
            return records["logits"]
        columns = [list(column) for column in zip(*texts, strict=True)]
        logits = np.asarray(self.teacher.logits(*columns), dtype=np.float32)
        _check_answer(logits, self.teacher, texts, rows)
        if path is not None:
            records = np.empty(len(keys), dtype=self._record)
            records["key"], records["logits"] = keys, logits
            with whole_file(path) as temporary, temporary.open("wb") as file:
                np.save(file, records, allow_pickle=False)
                file.write(_digest(records.tobytes()))
        return logits

    def _read(self, path: Path) -> np.ndarray | None:
        """Return what a file holds; None if it is damaged."""
        try:
            with path.open("rb") as file:
                records = np.load(file, allow_pickle=False)
                digest = file.read()  # the first files had none
        except (ValueError, EOFError, OSError) as error:
            reason = str(error)
        else:
            if records.dtype != self._record or records.ndim != 1:
                reason = f"it holds {records.dtype} of shape {records.shape}"
            elif digest not in (b"", _digest(records.tobytes())):
                reason = "its content is not what was written"
            elif _digest(records["key"].tobytes()).hex() != path.stem or not np.isfinite(records["logits"]).all():
                reason = "its content has changed since it was written"
            else:
                return records
        logger.warning_once(f"{path} is damaged and its texts are labelled again: {reason}.")
        return None


def _label_missing(
    logits: np.ndarray, distinct: _Distinct, texts: Dataset, labeler: _Labeler, state: PartialState
) -> None:
    """Fill in the logits that are NaN. Processes take turns with the shards, and each gives the others what it has."""
    work = (_digest(distinct.keys.tobytes()), np.packbits(np.isnan(logits[:, 0])))
    works = _exchange(lambda: work, state)
    if any(keys != work[0] for keys, _ in works):
        raise ValueError(
            f"The {state.num_processes} processes hold different sets to label. Give all of them the whole set: they "
            "share its work. Or give each a stream (IterableDataset) of its own."
        )
    is_missing = np.bitwise_or.reduce([missing for _, missing in works])
    missing = np.flatnonzero(np.unpackbits(is_missing, count=len(logits)))
    shards = [missing[start : start + _TEXTS_PER_SHARD] for start in range(0, len(missing), _TEXTS_PER_SHARD)]
    logger.info(f"{len(missing)} of {len(logits)} distinct texts (of {len(distinct.places)} rows) are to be labelled.")
    with tqdm(
        total=len(logits),
        initial=len(logits) - len(missing),
        desc="Labelling",
        unit=" texts",
        disable=not state.is_main_process,
    ) as bar:
        for start in range(0, len(shards), state.num_processes):
            in_turn = shards[start : start + state.num_processes]
            mine = functools.partial(_label_shards, in_turn[state.process_index :][:1], distinct, texts, labeler)
            for shard, (shard_logits,) in zip(in_turn, _exchange(mine, state), strict=False):
                logits[shard] = shard_logits
                bar.update(len(shard))


def _label_shards(
    shards: Sequence[np.ndarray], distinct: _Distinct, texts: Dataset, labeler: _Labeler
) -> list[np.ndarray]:
    rows = [distinct.first_rows[shard] for shard in shards]
    return [
        labeler.label(_rows(texts[shard_rows]), distinct.keys[shard], shard_rows)
        for shard, shard_rows in zip(shards, rows, strict=True)
    ]


def _exchange(make: Callable[[], Made], state: PartialState) -> list[Made]:
    """Return what each process makes, in their order. If one of them fails, none of them goes on."""
    if state.num_processes == 1:
        return [make()]
    made, error = None, None
    try:
        made = make()
    except Exception as caught:
        error = caught
    try:
        answers = gather_object([(made, None if error is None else f"{type(error).__name__}: {error}")])
    except RuntimeError as lost:
        raise error or RuntimeError(
            "Another process of this run is gone; what it printed says why. Finished shards are kept in cache_dir, if "
            "one was given: start again to go on from there."
        ) from lost
    if error is not None:
        raise error
    for process, (_, message) in enumerate(answers):
        if message is not None:
            raise RuntimeError(f"Process {process} stopped, so this one stops too. Its error was {message}")
    return [made for made, _ in answers]


def _label_stream(stream: IterableDataset, teacher: Teacher, cache_dir: str | Path | None) -> IterableDataset:
    head = Dataset.from_list(list(stream.with_format(None).take(_HEAD)), features=stream.features)
    check_texts(head, "The stream")
    label = functools.partial(
        _label_table, order=_stream_label_order(head.features, teacher), labeler=_Labeler(teacher, cache_dir)
    )
    features = Features({**head.features, TEACHER_LOGITS: _feature(len(teacher.id2label))})
    tables = stream.with_format("arrow").map(
        label, batched=True, batch_size=_TEXTS_PER_SHARD, with_indices=True, features=features
    )
    return tables.with_format(None)


def _label_table(table: pa.Table, indices: Sequence[int], *, order: Sequence[int], labeler: _Labeler) -> pa.Table:
    for column in text_columns(table):
        missing = np.flatnonzero(table[column].is_null())
        if len(missing):
            raise ValueError(
                f"The stream has no text in column {column!r} of row {indices[missing[0]]}. Give it a text or drop it."
            )
    rows = _rows(table)
    distinct = _find_distinct(_keys(rows))
    texts = [rows[row] for row in distinct.first_rows]
    logits = labeler.label(texts, distinct.keys, [indices[row] for row in distinct.first_rows])
    if TEACHER_LOGITS in table.column_names:
        table = table.drop_columns(TEACHER_LOGITS)
    return table.append_column(TEACHER_LOGITS, _arrow_column(logits[:, order][distinct.places]))


def _stream_label_order(features: Features, teacher: Teacher) -> list[int]:
    """Find each of the data's labels among the teacher's, without reading the stream to its end."""
    feature = features.get(LABEL)
    if isinstance(feature, ClassLabel):
        return match_labels(teacher.id2label, feature.names)
    if str(getattr(feature, "dtype", "")) in ("string", "large_string"):
        raise ValueError(
            f"Column {LABEL!r} of the stream holds text, and which labels there are would be known only at its end. "
            f"Name them: stream.cast_column({LABEL!r}, ClassLabel(names=[...]))."
        )
    return list(range(len(teacher.id2label)))


def _without_indices(dataset: Dataset) -> Dataset:
    """Write out rows that were selected or shuffled: reading them one by one is slow, and comes more than once."""
    if dataset._indices is None:
        return dataset
    tables = dataset.with_format("arrow")
    return tables.map(_same, batched=True, batch_size=_ROWS_PER_READ, desc="Writing out the rows").with_format(None)


def _same(table: pa.Table) -> pa.Table:
    return table


def _find_distinct(keys: np.ndarray) -> _Distinct:
    order = np.lexsort(keys.T)  # stable: the first of equals is that of the first row
    ordered = keys[order]
    is_first = np.ones(len(keys), dtype=bool)
    is_first[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    first_rows = order[is_first]
    places_of_firsts = np.empty_like(first_rows)
    places_of_firsts[np.argsort(first_rows)] = np.arange(len(first_rows))
    places = np.empty_like(order)
    places[order] = places_of_firsts[np.cumsum(is_first) - 1]
    first_rows.sort()
    return _Distinct(keys[first_rows], first_rows, places)


def _read_keys(texts: Dataset) -> np.ndarray:
    keys = np.empty((len(texts), 2), dtype=np.uint64)
    start = 0
    for table in texts.iter(_ROWS_PER_READ):
        keys[start : start + len(table)] = _keys(_rows(table))
        start += len(table)
    return keys


def _rows(table: pa.Table) -> list[tuple[str, ...]]:
    return list(zip(*(table[column].to_pylist() for column in text_columns(table)), strict=True))


def _keys(rows: Sequence[tuple[str, ...]]) -> np.ndarray:
    """Return 16 bytes for each text (or pair), the same in every process. Two that differ never share them."""
    digests = b"".join(_digest(b"".join(map(_with_length, row))) for row in rows)
    return np.frombuffer(digests, dtype="<u8").reshape(-1, 2)


def _with_length(text: str) -> bytes:
    encoded = text.encode("utf-8", "surrogatepass")
    return len(encoded).to_bytes(8, "little") + encoded  # "ab", "c" is not "a", "bc"


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).digest()


def _check_answer(logits: np.ndarray, teacher: Teacher, texts: Sequence[tuple[str, ...]], rows: Sequence[int]) -> None:
    names = list(teacher.id2label.values())
    if logits.shape != (len(texts), len(names)):
        raise ValueError(
            f"The teacher gave logits of shape {logits.shape} for {len(texts)} texts and the labels {names}; it must "
            f"be {(len(texts), len(names))} (first: row {rows[0]}, {_shown(texts[0])})."
        )
    is_broken = ~np.isfinite(logits).all(axis=1)
    if is_broken.any():
        first = int(is_broken.argmax())
        raise ValueError(
            f"The teacher gave NaN or infinity for {int(is_broken.sum())} of {len(texts)} texts (first: row "
            f"{rows[first]}, {_shown(texts[first])}: {logits[first].tolist()}). If it computes in half precision, try "
            "float32; else look at these texts."
        )
    if len(logits) == _TEXTS_PER_SHARD and (logits == logits[0]).all():
        raise ValueError(
            f"The teacher gave the same logits {logits[0].tolist()} for {len(logits)} texts (first: row {rows[0]}, "
            f"{_shown(texts[0])}). There is nothing to learn from it: is its head trained?"
        )


def _shown(texts: tuple[str, ...]) -> str:
    short = [text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..." for text in texts]
    return " | ".join(map(repr, short))


def _with_column(dataset: Dataset, logits: np.ndarray) -> Dataset:
    if TEACHER_LOGITS in dataset.column_names:
        dataset = dataset.remove_columns(TEACHER_LOGITS)
    return dataset.add_column(TEACHER_LOGITS, _arrow_column(logits), feature=_feature(logits.shape[1]))


def _arrow_column(logits: np.ndarray) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(logits.ravel()), logits.shape[1])


def _feature(num_labels: int) -> List:
    return List(Value("float32"), length=num_labels)
