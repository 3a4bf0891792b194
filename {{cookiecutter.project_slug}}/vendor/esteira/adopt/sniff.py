"""Find out from its bytes how a text table is written, in bounded memory."""

import codecs
import csv
import io
import re
from collections import Counter
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from esteira.line import table
from esteira.line.errors import UserError
from esteira.line.schema import FileFormat

SAMPLE = 1 << 18  # bytes looked at for delimiter and quoting
LINES = 200
DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar", " ": "blanks"}
BOMS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
FOREIGN = {b"PK\x03\x04": "a zip archive or an Excel workbook", b"\x1f\x8b": "compressed by gzip"}
NUMBER = re.compile(r"[+-]?(\d+([.,]\d+)*|\.\d+)([eE][+-]?\d+)?%?")


@dataclass(frozen=True)
class Decision:
    """One thing decided about the table: what, on what evidence, and where to overrule it."""

    what: str
    evidence: str
    where: str = ""
    warning: bool = False


def sniff(path: str | Path, header: bool = True) -> tuple[FileFormat, list[Decision]]:
    """Tell encoding, delimiter and quoting of a file, and say why.

    The encoding is checked over the whole file, a block at a time; the rest is read from its
    first 256 kB. Raises UserError for a file that is absent, empty, or no text table.
    """
    path = Path(path)
    table.require(path)
    if table.kind(path) == "parquet":
        return FileFormat(), [Decision("Parquet", f"the name {path.name}")]
    try:
        with table.open_bytes(path) as source:
            sample = source.read(SAMPLE)
            encoding, why = _encoding(path, sample)
    except table.FORMAT_ERRORS as error:
        raise UserError(f"{path} cannot be read: {error}.") from None
    decisions = [Decision(f"encoding {encoding}", why, "schema.yaml, file.encoding")]
    if table.kind(path) == "jsonl":
        return FileFormat(encoding=encoding), [
            Decision("JSON lines", f"the name {path.name}"),
            *decisions,
        ]
    text = codecs.getincrementaldecoder(encoding)(errors="replace").decode(sample)
    if len(sample) == SAMPLE:  # the last line is cut
        text = text[: max(text.rfind("\n"), text.rfind("\r")) + 1] or text
    delimiter, quote, why = _dialect(text)
    decisions.append(
        Decision(f"delimiter {DELIMITERS[delimiter]}", why, "schema.yaml, file.delimiter")
    )
    if header:
        decisions += _repeated(text, delimiter, quote)
    return FileFormat(encoding=encoding, delimiter=delimiter, quote=quote, header=header), decisions


def _repeated(text: str, delimiter: str, quote: str) -> list[Decision]:
    """Warn of names that the header gives twice."""
    source = io.StringIO(text.lstrip("\ufeff"), newline="")
    rows = csv.reader(source, delimiter=delimiter, quotechar=quote, skipinitialspace=True)
    try:
        names = Counter(cell.strip() for cell in next(filter(None, rows), []))
    except csv.Error:  # reading the table tells
        return []
    twice = [name for name, count in names.items() if name and count > 1]
    if not twice:
        return []
    why = f"the header has `{twice[0]}` {names[twice[0]]} times; the second is `{twice[0]}.1`"
    return [Decision("columns of one name are renamed", why, "schema.yaml, columns", warning=True)]


def _encoding(path: Path, sample: bytes) -> tuple[str, str]:
    """Tell the encoding: byte order mark, else UTF-8 if every byte of the file fits, else 8 bit."""
    if not sample.strip():
        raise UserError(f"{path} is empty: it needs a header and at least one row.")
    for mark, name in BOMS.items():
        if sample.startswith(mark):
            return name, "it starts with a byte order mark"
    for magic, what in FOREIGN.items():
        if sample.startswith(magic):
            raise UserError(f"{path} is {what}, not a text table: save it as CSV, or rename it.")
    if b"\0" in sample:
        raise UserError(f"{path} holds zero bytes: it is no text table; save it as UTF-8 CSV.")
    decoder, line, plain = codecs.getincrementaldecoder("utf-8")(), 1, True
    with table.open_bytes(path) as source:
        while block := source.read(1 << 20):
            try:
                decoder.decode(block)
            except UnicodeDecodeError as error:
                line += error.object[: error.start].count(b"\n")
                byte = error.object[error.start]
                return _eight_bit(path), f"byte 0x{byte:02X} in line {line} is not UTF-8"
            line += block.count(b"\n")
            plain = plain and block.isascii()
    return "utf-8", "every byte is plain ASCII" if plain else "every byte fits UTF-8"


def _eight_bit(path: Path) -> str:
    """Tell Windows-1252 from Latin-1, in which the bytes 0x80 to 0x9F are control characters."""
    holes = b"\x81\x8d\x8f\x90\x9d"
    with table.open_bytes(path) as source:
        while block := source.read(1 << 20):
            if any(byte in block for byte in holes):
                return "latin-1"
    return "cp1252"


def _dialect(text: str) -> tuple[str, str, str]:
    """Choose the delimiter that cuts most lines alike and leaves the cleanest cells."""
    quote = (
        "'" if '"' not in text and re.search(r"(^|[,;\t|])'[^'\n]*'([,;\t|\r]|$)", text) else '"'
    )
    scores = {mark: _score(text, mark, quote) for mark in DELIMITERS}
    best = max(scores, key=lambda mark: scores[mark])
    alike, _, width = scores[best]
    if width < 2:
        return ",", quote, "no mark cuts the lines into cells: one column"
    return best, quote, f"cuts {alike:.0%} of the first lines into {width} cells"


def _score(text: str, mark: str, quote: str) -> tuple[float, float, int]:
    """Return share of lines of the usual width, share of clean cells, and that width."""
    source = io.StringIO(re.sub(" +", " ", text) if mark == " " else text, newline="")
    try:
        reader = csv.reader(source, delimiter=mark, quotechar=quote, skipinitialspace=True)
        rows = [[cell.strip() for cell in row] for row in islice(reader, LINES) if row]
    except csv.Error:
        return 0.0, 0.0, 0
    if mark == " ":
        rows = [row[:-1] if row[-1] == "" else row for row in rows]
    widths = Counter(map(len, rows))
    width, count = max(widths.items(), key=lambda item: (item[1], item[0]), default=(0, 1))
    if width < 2:
        return 0.0, 0.0, 0
    others = [other for other in DELIMITERS if other not in (mark, " ")]
    cells = [cell for row in rows for cell in row]
    clean = sum(bool(NUMBER.fullmatch(c)) or not any(o in c for o in others) for c in cells)
    # blanks inside words are no delimiter as long as a real mark does as well
    share = count / len(rows) - (0.05 if mark == " " else 0)
    return round(share, 2), clean / len(cells), width
