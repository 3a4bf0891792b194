"""Find out from its bytes how a text table is written, in bounded memory."""

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from esteira.adopt import titles
from esteira.adopt.decisions import Decision
from esteira.adopt.titles import Line, Titles
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
SINGLE_QUOTED = re.compile(r"(^|[,;\t|])'[^'\n]*'([,;\t|\r]|$)")
NUMBER = re.compile(r"[+-]?(\d+([.,]\d+)*|\.\d+)([eE][+-]?\d+)?%?")


@dataclass(frozen=True)
class Dialect:
    """How a delimiter cuts the first lines of a file into cells."""

    delimiter: str
    quote: str
    alike: float  # share of lines that have the usual number of cells
    clean: float  # share of cells that are numbers or hold no other delimiter
    width: int  # usual number of cells in a line

    @property
    def rank(self) -> tuple[float, float, int]:
        """The better dialect ranks higher."""
        return self.alike, self.clean, self.width

    def decisions(self) -> list[Decision]:
        """Say the delimiter, unless it is the usual one and fits every line."""
        where = "schema.yaml, file.delimiter"
        what = f"delimiter {DELIMITERS[self.delimiter]}"
        if self.width < 2:
            return [Decision(what, "no mark cuts the lines into cells: one column", where)]
        if self.alike < 1:
            why = f"cuts {self.alike:.0%} of the first lines into {self.width} cells"
            return [Decision(what, why, where)]
        if self.delimiter == ",":
            return []
        return [Decision(what, f"{self.width} columns", where)]


@dataclass(frozen=True)
class Sniffed:
    """How a file is written, and what speaks for that."""

    form: FileFormat
    decisions: list[Decision]


def sniff(path: str | Path, header: bool = True) -> Sniffed:
    """Tell encoding, delimiter and quoting of a file, and say why.

    The encoding is checked over the whole file, a block at a time; the rest is read from its
    first 256 kB. Raises UserError for a file that is absent, empty, or no text table.
    """
    path = Path(path)
    table.require(path)
    by_name = f"the name {path.name}"
    if table.kind(path) == "parquet":
        return Sniffed(FileFormat(), [Decision("Parquet", by_name)])
    try:
        with table.open_bytes(path) as source:
            sample = source.read(SAMPLE)
            encoding, why = _encoding(path, sample)
    except table.FORMAT_ERRORS as error:
        raise UserError(f"{path} cannot be read: {error}.") from None
    encoded = Decision(f"encoding {encoding}", why, "schema.yaml, file.encoding")
    if table.kind(path) == "jsonl":
        return Sniffed(FileFormat(encoding=encoding), [Decision("JSON lines", by_name), encoded])
    text = _text(sample, encoding)
    dialect = _dialect(text)
    decisions = [encoded, *dialect.decisions()]
    title = _titles(text, dialect) if header else Titles()
    decisions += title.decisions()
    if header:
        decisions += _repeated_names(text, dialect, title.lines)
    form = FileFormat(
        encoding=encoding,
        delimiter=dialect.delimiter,
        quote=dialect.quote,
        header=header,
        skip=title.lines,
    )
    return Sniffed(form, decisions)


def _titles(text: str, dialect: Dialect) -> Titles:
    """Find the lines above the header; blanks cut a title into as many cells as a row."""
    if dialect.delimiter == " ":
        return Titles()
    try:
        return titles.above(list(islice(_lines(text, dialect.delimiter, dialect.quote), LINES)))
    except csv.Error:  # reading the table tells
        return Titles()


def _text(sample: bytes, encoding: str) -> str:
    """Decode the first bytes of a file, as far as their last whole line."""
    text = codecs.getincrementaldecoder(encoding)(errors="replace").decode(sample)
    if len(sample) < SAMPLE:
        return text
    line_end = max(text.rfind("\n"), text.rfind("\r"))
    return text[: line_end + 1] or text


def _repeated_names(text: str, dialect: Dialect, above: int) -> list[Decision]:
    """Warn of names that the header, with so many lines above it, gives twice."""
    lines = _lines(text, dialect.delimiter, dialect.quote)
    try:
        header = next((line.cells for line in lines if line.above >= above), [])
    except csv.Error:  # reading the table tells
        return []
    names = Counter(header)
    twice = [name for name, count in names.items() if name and count > 1]
    if not twice:
        return []
    why = f"the header has `{twice[0]}` {names[twice[0]]} times; the second is `{twice[0]}.1`"
    return [Decision("columns of one name are renamed", why, "schema.yaml, columns", warning=True)]


def _lines(text: str, delimiter: str, quote: str) -> Iterator[Line]:
    """Cut a text into lines of stripped cells; empty ones are left out. Raises csv.Error."""
    source = io.StringIO(text.lstrip("\ufeff"), newline="")
    reader = csv.reader(source, delimiter=delimiter, quotechar=quote, skipinitialspace=True)
    above = 0
    for row in reader:
        if row:
            yield Line([cell.strip() for cell in row], above)
        above = reader.line_num


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
    decoder = codecs.getincrementaldecoder("utf-8")()
    line = 1
    plain = True
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


def _dialect(text: str) -> Dialect:
    """Choose the delimiter that cuts most lines alike and leaves the cleanest cells."""
    single = '"' not in text and SINGLE_QUOTED.search(text)
    quote = "'" if single else '"'
    tried = [_measured(text, delimiter, quote) for delimiter in DELIMITERS]
    best = max(tried, key=lambda dialect: dialect.rank)
    if best.width < 2:
        return Dialect(",", quote, 0.0, 0.0, 0)
    return best


def _measured(text: str, delimiter: str, quote: str) -> Dialect:
    """Cut the first lines at a delimiter, and see how alike and how clean they become."""
    none = Dialect(delimiter, quote, 0.0, 0.0, 0)
    blanks = delimiter == " "
    if blanks:
        text = re.sub(" +", " ", text)
    try:
        rows = [line.cells for line in islice(_lines(text, delimiter, quote), LINES)]
    except csv.Error:
        return none
    if blanks:
        rows = [row[:-1] if row[-1] == "" else row for row in rows]
    widths = Counter(map(len, rows))
    width, count = max(widths.items(), key=lambda item: (item[1], item[0]), default=(0, 1))
    if width < 2:
        return none
    others = [other for other in DELIMITERS if other not in (delimiter, " ")]
    cells = [cell for row in rows for cell in row]
    clean = [NUMBER.fullmatch(cell) or not any(o in cell for o in others) for cell in cells]
    # blanks inside words are no delimiter as long as a real mark does as well
    alike = count / len(rows) - (0.05 if blanks else 0)
    return Dialect(delimiter, quote, round(alike, 2), sum(map(bool, clean)) / len(cells), width)
