"""adopt finds out how a table is written, and reads it as it was meant."""

import bz2
import csv
import gzip
import io
import lzma
import tracemalloc
import zipfile

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from esteira.adopt.sniff import sniff
from esteira.line import table
from esteira.line.errors import UserError
from esteira.line.schema import FileFormat

FRAME = pd.DataFrame({"name": ["Zoë", "Ana, Lu", "x;y"], "n": ["1", "2", "3"]}, dtype="str")
AS_TEXT = FRAME.to_csv(index=False)
MANY = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def read(path, header=True):
    form = sniff(path, header).form
    return table.read_raw(path, form)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_delimiters_encodings_and_line_ends(tmp_path, delimiter, encoding, line_end):
    path = tmp_path / "t.csv"
    text = FRAME.to_csv(index=False, sep=delimiter, lineterminator=line_end)
    path.write_bytes(text.encode(encoding))
    form = sniff(path).form
    assert (form.delimiter, form.encoding) == (delimiter, encoding)
    pd.testing.assert_frame_equal(read(path), FRAME)


def test_latin_1_where_windows_has_no_such_character(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes("a;b\né\x81;1\nü;2\n".encode("latin-1"))
    assert sniff(path).form.encoding == "latin-1"


def test_a_late_foreign_byte_is_found_and_its_line_named(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(b"a,b\n" + b"x,1\n" * 200_000 + "é,2\n".encode("latin-1"))
    sniffed = sniff(path)
    assert sniffed.form.encoding == "cp1252"
    assert "line 200002" in sniffed.decisions[0].evidence


@pytest.mark.parametrize(
    ("suffix", "pack"),
    [
        (".gz", gzip.compress),
        (".bz2", bz2.compress),
        (".xz", lzma.compress),
        (".zst", lambda data: pa.compress(data, "zstd", asbytes=True)),
    ],
)
def test_compressed_files(tmp_path, suffix, pack):
    path = tmp_path / f"t.csv{suffix}"
    path.write_bytes(pack(AS_TEXT.encode()))
    pd.testing.assert_frame_equal(read(path), FRAME)
    path.write_bytes(pack(AS_TEXT.encode() * 9)[:-9])
    with pytest.raises(UserError, match="cannot be read"):
        read(path)


def test_a_zip_of_one_table(tmp_path):
    path = tmp_path / "t.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("inside.csv", AS_TEXT)
    pd.testing.assert_frame_equal(read(path), FRAME)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("other.csv", AS_TEXT)
    with pytest.raises(UserError, match="holds 2 files"):
        read(path)


def test_parquet_and_json(tmp_path):
    FRAME.to_parquet(tmp_path / "t.parquet")
    FRAME.to_json(tmp_path / "t.jsonl", orient="records", lines=True)
    FRAME.to_json(tmp_path / "t.json", orient="records")
    for name in ("t.parquet", "t.jsonl", "t.json"):
        pd.testing.assert_frame_equal(read(tmp_path / name), FRAME)


def test_an_index_and_rare_types_of_parquet_become_columns(tmp_path):
    when = pd.Index(pd.date_range("2020-01-01", periods=2), name="when")
    rows = {
        "k": pd.Categorical(["a", None]),
        "t": pd.to_timedelta([1, 2], unit="h"),
        "l": [[1], []],
    }
    pd.DataFrame(rows, index=when).to_parquet(tmp_path / "t.parquet")
    raw = read(tmp_path / "t.parquet")
    assert list(raw) == ["when", "k", "t", "l"]
    assert [str(raw[n].dtype) for n in ("k", "t", "l")] == ["str"] * 3
    assert raw["k"].isna().tolist() == [False, True]


def test_mixed_json_cells_become_text(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text('{"a":1,"b":[1],"c":true}\n{"a":null,"b":"x"}\n{"b":{"k":2},"c":false}\n')
    raw = read(path)
    assert raw["b"].tolist() == ["[1]", "x", '{"k": 2}']
    assert raw["c"].dropna().tolist() == ["true", "false"]
    raw.to_parquet(tmp_path / "t.parquet")  # ingest must be able to write it


def test_decimal_commas_do_not_pass_for_delimiters(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("1,5;2,5;1,25\n" * 20)
    assert sniff(path, header=False).form.delimiter == ";"
    assert read(path, header=False).shape == (20, 3)


def test_blanks_between_the_cells(tmp_path):
    path = tmp_path / "german.data"
    path.write_text("A11 6 A34  1169 1 \nA12 48 A32  5951 2 \n" * 9)
    raw = read(path, header=False)
    assert raw.iloc[0].tolist() == ["A11", "6", "A34", "1169", "1"]


@pytest.mark.parametrize("text", ["a;b;;\n1;2;;\n;;;\n", "a;b\n1;2;\n3;4;\n"])
def test_a_trailing_delimiter_shifts_nothing(tmp_path, text):
    path = tmp_path / "t.csv"
    path.write_text(text)
    raw = read(path)
    assert raw["a"].iloc[0] == "1"
    assert raw["b"].iloc[0] == "2"


def test_quotes_embedded_newlines_and_double_names(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('id,note,id\n1,"two\nlines, ""quoted""",x\n2,plain,y\n')
    raw = read(path)
    assert list(raw) == ["id", "note", "id.1"]
    assert raw["note"][0] == 'two\nlines, "quoted"'


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("t.csv", b"", "is empty"),
        ("t.csv", b"  \n\n", "is empty"),
        ("t.csv", b"a,b\n1,2\n1,2,3,4\n", "line 3 has 4 cells where 2 were expected"),
        ("t.csv", b"a,b\n1,2,3\n1,2,4\n", "have 3 cells where the header has 2 names"),
        ("t.csv", b'a,b\n1,"2\n', r'begins with " in line 2, or .* never ends: close'),
        ("t.csv", b"PK\x03\x04rest", "Excel"),
        ("t.csv", b"\x1f\x8brest", "gzip"),
        ("t.csv", b"a\x00,b\n", "zero bytes"),
        ("t.jsonl", b'{"a": 1}\n{"a": \n', "line 2"),
        ("t.jsonl", b'{"a": 1}\n[3]\n', "line 2"),
        ("t.parquet", b"no parquet", "cannot be read as parquet"),
    ],
)
def test_unreadable_files_are_refused_in_one_sentence(tmp_path, name, content, sentence):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError, match=sentence) as refusal:
        read(path)
    assert "\n" not in str(refusal.value)


def test_a_folder_is_told_from_an_absent_file(tmp_path):
    with pytest.raises(UserError, match="is a folder"):
        sniff(tmp_path)


def test_names_that_come_twice_are_told(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b,a\n1,2,3\n")
    (said,) = [d for d in sniff(path).decisions if d.warning]
    assert "`a` 2 times; the second is `a.1`" in said.evidence
    assert list(read(path)) == ["a", "b", "a.1"]


def test_an_absent_file_is_refused(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        sniff(tmp_path / "none.csv")


def test_a_file_of_200_mb_is_sniffed_without_loading_it(tmp_path):
    path = tmp_path / "big.csv"
    block = b"some text;12,5;2020-01-01\n" * 40_000
    with path.open("wb") as target:
        target.write(b"a;b;c\n")
        while target.tell() < 200 << 20:
            target.write(block)
    tracemalloc.start()
    form = sniff(path).form
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert form.delimiter == ";"
    assert peak < 20 << 20


@MANY
@given(
    rows=st.lists(
        st.tuples(*[st.text("ab \"',;|\n1é.\t", max_size=8)] * 3), min_size=1, max_size=20
    )
)
@example(rows=[("a,b", 'c"d', "e\nf")])
def test_whatever_is_quoted_comes_back(tmp_path, rows):
    """A table with every cell quoted is cut at its delimiter, whatever its cells hold."""
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows([("p", "q", "r"), *rows])
    path = tmp_path / "t.csv"
    path.write_text(text.getvalue(), encoding="utf-8", newline="")
    raw = table.read_raw(path, FileFormat(encoding=sniff(path).form.encoding)).fillna("")
    assert [tuple(row) for row in raw.to_numpy()] == [tuple(c.strip() for c in row) for row in rows]


@MANY
@given(content=st.binary(max_size=300), name=st.sampled_from(["t.csv", "t.jsonl", "t.csv.gz"]))
@example(content=b"\xef\xbb\xbf", name="t.csv")
@example(content=b"\xff\xfea", name="t.csv")
@example(content=b'"', name="t.csv")
@example(content=b"a,a\n", name="t.csv")
@example(content=b"\r", name="t.csv")
@example(content=b"[1]", name="t.jsonl")
@example(content=b'{"a":"\\ud800"}', name="t.jsonl")
def test_any_bytes_are_read_or_refused(tmp_path, content, name):
    path = tmp_path / name
    path.write_bytes(content)
    try:
        raw = read(path)
    except UserError:
        return
    assert raw.columns.is_unique
