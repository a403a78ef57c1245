"""Unpack and decode files by their content, whatever their names are.

The first bytes of a file say how it is packed. A file without a byte-order mark is
UTF-8 unless its bytes are evidence of UTF-16 or of a Windows code page.
"""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import os
import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from churn.config import UserError

# Archives in archives, such as a zip of gzip files.
_MAX_LAYERS = 4
_SAMPLE_BYTES = 65_536
_CHUNK_BYTES = 1 << 22
_MAX_UNPACKED_MB = 1024
# In fewer bytes, control characters are no evidence of a binary file.
_MIN_BINARY_BYTES = 512

_BYTE_ORDER_MARKS = [
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
]
# A letter of a code page stands in a word. A damaged byte of UTF-8 need not.
_LETTER_IN_WORD = re.compile(rb"[A-Za-z][\x8a-\xff]|[\x8a-\xff][A-Za-z]")
_NOT_ASCII = re.compile(rb"[\x80-\xff]")
# Control characters that no text has.
_BINARY = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1d\x7f]")
_UTF8_CHARACTER = re.compile(
    rb"[\xc3-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}"
)


class DamagedFileError(Exception):
    """Report that a file cannot be unpacked; the message says why."""


class _Budget:
    """The number of bytes that a file may still unpack to."""

    def __init__(self, limit: int) -> None:
        self.limit = self.left = limit

    def read(self, read: Callable[[int], bytes]) -> bytes:
        """Read a stream to its end, in chunks.

        Raises:
            DamagedFileError: It is longer than the budget.
        """
        chunks = []
        while chunk := read(_CHUNK_BYTES):
            self.left -= len(chunk)
            if self.left < 0:
                raise DamagedFileError(
                    f"it unpacks to more than {self.limit >> 20:,} MB: split it, or "
                    "raise CHURN_MAX_UNPACKED_MB"
                )
            chunks.append(bytes(chunk))
        return b"".join(chunks)


def max_unpacked_bytes() -> int:
    """Return the limit of unpacked bytes per file, by ``CHURN_MAX_UNPACKED_MB``.

    Raises:
        UserError: It is no whole number.
    """
    text = os.environ.get("CHURN_MAX_UNPACKED_MB") or str(_MAX_UNPACKED_MB)
    if not text.isdecimal() or not 0 < len(text) < 10:
        raise UserError(
            f"CHURN_MAX_UNPACKED_MB is `{text}`: set it to a whole number of megabytes."
        )
    return int(text) << 20


def check_size(size: int) -> None:
    """Check the size of a file before it is read.

    Raises:
        OSError: It is larger than `max_unpacked_bytes`.
    """
    limit = max_unpacked_bytes()
    if size > limit:
        raise OSError(
            f"it has more than {limit >> 20:,} MB: split it, or raise "
            "CHURN_MAX_UNPACKED_MB"
        )


def read_local(location: Path | str, size: int) -> bytes:
    """Return the bytes of a file, without unpacking.

    Args:
        location: The file.
        size: Its size when it was found.

    Raises:
        OSError: It is missing or too large, or it is no file.
    """
    # A named pipe would block, and a device never ends.
    if not os.path.isfile(location):
        raise OSError("it is a folder, a pipe, a device or a link to nothing")
    check_size(size)
    return Path(location).read_bytes()


def reason_of(error: Exception) -> str:
    """Return why a file cannot be read; a lack of memory has no message."""
    return str(error) or "it needs more memory than there is"


def unpack(content: bytes) -> list[bytes]:
    """Unpack gzip, zstd, bzip2, xz, lz4, zip and tar by the first bytes.

    Args:
        content: The bytes of a file.

    Returns:
        The content of the file; of a zip or tar archive, of each file in it, sorted by
        name.

    Raises:
        DamagedFileError: The archive is truncated, damaged, encrypted, nested too
            deep, or larger than `max_unpacked_bytes`; or the content is a format that
            holds no records, such as a picture or a workbook.
    """
    budget = _Budget(max_unpacked_bytes())
    parts = [content]
    for _ in range(_MAX_LAYERS):
        if not any(map(is_packed, parts)):
            for part in parts:
                _refuse_foreign(part)
            return parts
        parts = [inner for part in parts for inner in _unpack_once(part, budget)]
    raise DamagedFileError(f"it is packed more than {_MAX_LAYERS} times")


# First bytes of formats that hold no records, with a remedy.
FOREIGN = {
    b"%PDF": "a PDF",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"GIF8": "a picture",
    b"SQLite format 3\0": "an SQLite database",
    b"Obj\x01": "an Avro file",
    b"\xd0\xcf\x11\xe0": "an Excel workbook",
    b"\x7fELF": "a program",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"\x1f\x9d": "an archive of compress",
    b"\xff\x06\0\0sNaPpY": "an archive of Snappy",
    b"\x89LZO": "an archive of lzop",
}


def _refuse_foreign(content: bytes) -> None:
    """Raise if the content is no text and no table.

    Lines of such a file would become rejects, and its bytes would be lost.
    """
    for signature, name in FOREIGN.items():
        if content.startswith(signature):
            raise DamagedFileError(
                f"it is {name}: export lines of JSON, CSV or Parquet"
            )
    if content[8:12] == b"DUCK":
        raise DamagedFileError(
            "it is a DuckDB database: export lines of JSON, CSV or Parquet"
        )
    sample = content[:_SAMPLE_BYTES]
    if (
        not content.startswith((b"PAR1", b"ORC", b"ARROW1"))
        and len(sample) >= _MIN_BINARY_BYTES
        and encoding_of(content)[0] in ("utf-8", "cp1252")
        and len(_BINARY.findall(sample)) > 0.05 * len(sample)
    ):
        raise DamagedFileError(
            "it is a binary file: export lines of JSON, CSV or Parquet"
        )


def is_packed(content: bytes) -> bool:
    """Return whether the bytes begin like an archive."""
    return _packing(content) is not None


def _packing(content: bytes) -> str | None:
    signatures = {
        b"\x1f\x8b": "gzip",
        b"\x28\xb5\x2f\xfd": "zstd",
        b"\xfd7zXZ\x00": "xz",
        b"\x04\x22\x4d\x18": "lz4",
        b"PK\x03\x04": "zip",
    }
    for signature, packing in signatures.items():
        if content.startswith(signature):
            return packing
    if content[257:262] == b"ustar":
        return "tar"
    return "bz2" if re.match(rb"BZh[1-9]1AY&SY", content) else None


def _unpack_once(content: bytes, budget: _Budget) -> list[bytes]:
    packing = _packing(content)
    try:
        if packing is None:
            return [content]
        if packing == "zip":
            return _unzip(content, budget)
        if packing == "tar":
            return _untar(content, budget)
        openers: dict[str, Callable[..., Any]] = {
            # Reads concatenated members, too, and padding after the last one.
            "gzip": gzip.open,
            "bz2": bz2.open,
            "xz": lzma.open,
        }
        if packing in openers:
            with openers[packing](io.BytesIO(content)) as stream:
                return [budget.read(stream.read)]
        # CompressedInputStream reads concatenated frames, too.
        source = pa.BufferReader(content)
        with pa.CompressedInputStream(source, packing) as stream:
            return [budget.read(stream.read)]
    except (
        OSError,
        EOFError,
        ValueError,
        RuntimeError,
        NotImplementedError,
        zlib.error,
        lzma.LZMAError,
        tarfile.TarError,
        zipfile.BadZipFile,
    ) as error:
        reason = str(error).splitlines() or ["it is damaged"]
        raise DamagedFileError(reason[0]) from error


def _unzip(content: bytes, budget: _Budget) -> list[bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if "[Content_Types].xml" in archive.namelist():
            raise DamagedFileError("it is an Excel workbook: export it as CSV")
        parts = []
        for entry in sorted(archive.infolist(), key=lambda each: each.filename):
            if not entry.is_dir() and not entry.filename.startswith("__MACOSX/"):
                with archive.open(entry) as stream:
                    parts.append(budget.read(stream.read))
        return parts


def _untar(content: bytes, budget: _Budget) -> list[bytes]:
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
        parts = []
        for entry in sorted(archive.getmembers(), key=lambda each: each.name):
            stream: IO[bytes] | None = (
                archive.extractfile(entry) if entry.isreg() else None
            )
            if stream is not None and not entry.name.split("/")[-1].startswith("._"):
                parts.append(budget.read(stream.read))
        return parts


def encoding_of(content: bytes) -> tuple[str, int]:
    """Return the encoding of a text file, and the length of its byte-order mark.

    Without a mark, half of the bytes of UTF-16 are zero. A file that is not UTF-8 is
    Windows-1252 if it has no character of UTF-8 and most of its bytes above 127 stand
    beside a letter. Else it is UTF-8 with damaged characters.
    """
    for mark, encoding in _BYTE_ORDER_MARKS:
        if content.startswith(mark):
            return encoding, len(mark)
    sample = content[:_SAMPLE_BYTES]
    half = max(1, len(sample) // 2)
    if len(sample) >= 8:
        if sample[1::2].count(0) > 0.4 * half and sample[::2].count(0) < 0.1 * half:
            return "utf-16-le", 0
        if sample[::2].count(0) > 0.4 * half and sample[1::2].count(0) < 0.1 * half:
            return "utf-16-be", 0
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        not_ascii = len(_NOT_ASCII.findall(content))
        in_words = len(_LETTER_IN_WORD.findall(content))
        if not _UTF8_CHARACTER.search(content) and 2 * in_words >= not_ascii:
            return "cp1252", 0
    return "utf-8", 0


def decode(content: bytes) -> str:
    """Decode a text file; bytes without a character become U+FFFD."""
    encoding, mark_length = encoding_of(content)
    return content[mark_length:].decode(encoding, errors="replace")


# Characters without a width or with a blank: Unicode's white space, zero-width
# characters, byte-order marks and marks of direction. The macro `trim_whitespace`
# removes the same ones.
WHITESPACE = "".join(
    map(
        chr,
        [
            *[9, 10, 11, 12, 13, 28, 29, 30, 31, 32, 133, 160, 5760, 6158],
            *range(8192, 8208),
            *[8232, 8233],
            *range(8234, 8240),
            *[8287, 8288, 12288, 65279],
        ],
    )
)


def strip_whitespace(text: str) -> str:
    """Return a text without white space of any kind at both ends."""
    return text.strip(WHITESPACE)
