"""Write files and folders so that a reader never meets half of one, and say which could not be written."""

import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# What is said without an errno by libraries in Rust (safetensors, tokenizers), by numpy and by PyTorch.
_SAID_WITHOUT_SPACE = re.compile(
    rf"os error ({'|'.join(map(str, _NO_SPACE))})\b|requested and \d+ written|unexpected pos \d+ vs|StreamWriter failed"
)


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, and move it to `path` once the block ends without an error.

    A process that dies inside the block leaves `path` as it was. Two processes may write the same path at once: the
    last one to finish wins, with a whole file.

    Args:
        path: Where the file must stand in the end. Its folder is made if it is missing.

    Yields:
        The temporary path to write to.
    """
    path = Path(path)
    with name_full_disk(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f"_{path.name}.", suffix=path.suffix, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            temporary.chmod(0o666 & ~_umask())  # mkstemp makes files that only their owner can read
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: str | Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`, and move it to `path` once the block ends without an error.

    A folder that already stands at `path` is replaced. A process that dies while the two change places leaves both
    beside `path`, whole, under names that begin with an underscore, which no push takes along.

    Args:
        path: Where the folder must stand in the end. Its parent is made if it is missing.

    Yields:
        The temporary folder to write into.
    """
    path = Path(path)
    with name_full_disk(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f"_{path.name}.", dir=path.parent))
        earlier = temporary.with_name(f"{temporary.name}.earlier")
        try:
            yield temporary
            temporary.chmod(0o777 & ~_umask())
            if path.exists():
                path.replace(earlier)
            temporary.replace(path)
            shutil.rmtree(earlier, ignore_errors=True)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def whole_files(folder: str | Path) -> Iterator[Path]:
    """Yield a temporary folder, and move its files into `folder` once the block ends without an error.

    Other files of `folder` stay. A process that dies never leaves weights among files that they do not belong to:
    earlier ones go first, and new ones come last.

    Args:
        folder: Where the files must stand in the end. It is made if it is missing.

    Yields:
        The temporary folder to write into.
    """
    folder = Path(folder)
    with name_full_disk(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="_files.", dir=folder) as name:
            temporary = Path(name)
            yield temporary
            files = [path.relative_to(temporary) for path in temporary.rglob("*") if path.is_file()]
            files.sort(key=lambda file: file.suffix in (".safetensors", ".bin"))
            for file in reversed(files):
                (folder / file).unlink(missing_ok=True)
            for file in files:
                (folder / file).parent.mkdir(exist_ok=True)
                (temporary / file).replace(folder / file)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` to `path` as UTF-8, whole or not at all.

    Args:
        path: The file to write.
        text: What it shall hold.
    """
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def name_full_disk(path: str | Path) -> Iterator[None]:
    """Name the file in the error of a block that ends because the disk is full: few libraries do.

    Args:
        path: What the block writes.

    Yields:
        Nothing.

    Raises:
        OSError: If the disk is full, with its `errno` and `filename`.
    """
    try:
        yield
    except Exception as error:
        number = full_disk(error)
        if number is None:
            raise
        raise OSError(number, os.strerror(number), str(path)) from error


def full_disk(error: BaseException | None) -> int | None:
    """Tell whether an error, or one that it came from, is that of a full disk, a quota or the largest size of a file.

    Args:
        error: Of any library.

    Returns:
        The number of the system's error; None for other errors.
    """
    while error is not None:
        if isinstance(error, OSError) and error.errno in _NO_SPACE:
            return error.errno
        if said := _SAID_WITHOUT_SPACE.search(str(error)):
            return int(said[1] or errno.ENOSPC)
        error = error.__cause__ or error.__context__
    return None


@contextmanager
def name_damaged_file(folder: str | Path) -> Iterator[None]:
    """Name the file in the error of a block that cannot load a model because a file is not whole: few libraries do.

    Args:
        folder: What the block loads. If it is no folder, errors stay as they are.

    Yields:
        Nothing.

    Raises:
        ValueError: If a JSON file of the folder cannot be read, or a file of weights is shorter than it says.
    """
    try:
        yield
    except Exception as error:
        for path in sorted(Path(folder).glob("*")):
            if not _is_whole(path):
                raise ValueError(f"{path} is damaged: it is not whole. Copy or save the model again.") from error
        raise


def _is_whole(path: Path) -> bool:
    try:
        if path.suffix == ".json":
            json.loads(path.read_text(encoding="utf-8"))
        if path.suffix == ".safetensors":  # 8 bytes with the length of the header, the header, the numbers
            with path.open("rb") as file:
                length = int.from_bytes(file.read(8), "little")
                header = json.loads(file.read(min(length, path.stat().st_size)))
            ends = [tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__"]
            return path.stat().st_size == 8 + length + max(ends, default=0)
    except (ValueError, KeyError, TypeError, AttributeError):
        return False
    return True


def file_digest(path: Path) -> str:
    """Tell the content of a file from any other.

    Args:
        path: The file.

    Returns:
        Its SHA-256, in hexadecimal.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask
