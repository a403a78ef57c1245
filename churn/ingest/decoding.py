"""Unpack and decode files by their content, whatever their names are.

The first bytes of a file say how it is packed. A file without a byte-order mark is
UTF-8 unless its bytes are evidence of UTF-16 or of a Windows code page.
"""

from __future__ import annotations

import bz2
import codecs
import io
import lzma
import re
import zipfile

import pyarrow as pa

# Archives in archives, such as a zip of gzip files.
_MAX_LAYERS = 4
_SAMPLE_BYTES = 65_536

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
_UTF8_CHARACTER = re.compile(
    rb"[\xc3-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}"
)


class DamagedFileError(Exception):
    """Report that a file cannot be unpacked; the message says why."""


def unpack(content: bytes) -> list[bytes]:
    """Unpack gzip, zstd, bzip2, xz, lz4 and zip by the first bytes.

    Args:
        content: The bytes of a file.

    Returns:
        The content of the file; of a zip archive, of each file in it, sorted by name.

    Raises:
        DamagedFileError: The archive is truncated, damaged, encrypted or nested too
            deep.
    """
    parts = [content]
    for _ in range(_MAX_LAYERS):
        if not any(map(is_packed, parts)):
            return parts
        parts = [inner for part in parts for inner in _unpack_once(part)]
    raise DamagedFileError(f"it is packed more than {_MAX_LAYERS} times")


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
    return "bz2" if re.match(rb"BZh[1-9]1AY&SY", content) else None


def _unpack_once(content: bytes) -> list[bytes]:
    packing = _packing(content)
    try:
        if packing is None:
            return [content]
        if packing == "zip":
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                return [
                    archive.read(entry)
                    for entry in sorted(archive.infolist(), key=lambda e: e.filename)
                    if not entry.is_dir() and not entry.filename.startswith("__MACOSX/")
                ]
        if packing == "bz2":
            return [bz2.decompress(content)]
        if packing == "xz":
            return [lzma.decompress(content)]
        # CompressedInputStream reads concatenated gzip members, too.
        source = pa.BufferReader(content)
        with pa.CompressedInputStream(source, packing) as stream:
            return [stream.read()]
    except (
        OSError,
        EOFError,
        ValueError,
        RuntimeError,
        NotImplementedError,
        lzma.LZMAError,
        zipfile.BadZipFile,
    ) as error:
        raise DamagedFileError(str(error).splitlines()[0]) from error


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
