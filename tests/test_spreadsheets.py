"""CSV and TSV files are read as the program that wrote them meant them, whatever their dialect and encoding."""

import csv
import io
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oresight.tasks.formats.encoding import find_encoding
from oresight.tasks.formats.files import read
from oresight.tasks.formats.line import Line
from oresight.tasks.formats.sources import list_files
from oresight.tasks.formats.spreadsheet import DELIMITERS, csv_rows

HARD = pd.DataFrame(
    {
        "question": ["What, if; any\tthing | is 'this'?", 'A "cow"?\nReally?', "=1+1", " leading"],
        "answer": ["An insect; small", "Un café, naïf", '""', "a,b,c"],
    }
)


def lines(path: Path) -> list[Line]:
    files, _ = list_files(str(path))
    return [line for file in files for line in read(file, lambda _: None)]


def written(path: Path, content: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(content.encode(encoding))
    return path


@pytest.mark.parametrize("delimiter", DELIMITERS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
def test_what_pandas_writes_is_read_back(tmp_path: Path, delimiter: str, encoding: str, quoting: Any) -> None:
    file = tmp_path / "a.csv"
    HARD.to_csv(file, sep=delimiter, encoding=encoding, index=False, quoting=quoting)
    assert [line.record for line in lines(file)] == HARD.to_dict("records")
    HARD.to_csv(file, sep=delimiter, encoding=encoding, quoting=quoting)
    records = [line.record or {} for line in lines(file)]
    assert [record.pop("Unnamed: 0") for record in records] == ["0", "1", "2", "3"]
    assert records == HARD.to_dict("records")


@given(
    st.lists(st.tuples(*[st.text(st.sampled_from('ab ,;\t|"\n\ré蜂'), min_size=1)] * 2), min_size=1),
    st.sampled_from(DELIMITERS),
)
def test_any_texts_come_back_from_any_dialect(rows: list[tuple[str, str]], delimiter: str) -> None:
    stream = io.StringIO()
    csv.writer(stream, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows([("prompt", "completion"), *rows])
    raw = io.BufferedReader(io.BytesIO(stream.getvalue().encode()))  # type: ignore[arg-type]
    got = list(csv_rows(raw, ".csv", 1 << 20))
    assert [record for _, record, _, _ in got] == [{"prompt": p, "completion": c} for p, c in rows]


def test_duckdb_finds_the_same_delimiters(tmp_path: Path) -> None:
    for delimiter in DELIMITERS:
        rows = "".join(f"What is {n}{delimiter}a number\n" for n in range(30))
        file = written(tmp_path / "a.csv", f'"name, of; it"{delimiter}answer\n{rows}')
        (found,) = duckdb.execute("SELECT Delimiter FROM sniff_csv($1)", [str(file)]).fetchone() or ("",)
        assert found == delimiter
        assert [line.record for line in lines(file)][2] == {"name, of; it": "What is 2", "answer": "a number"}


@pytest.mark.parametrize(
    ("content", "records"),
    [
        ("q,a,,,\n1,2,,,\n,,,,\n3,4,,,\n", [{"q": "1", "a": "2"}, {"q": "3", "a": "4"}]),
        ("question,answer\nq,a,,\n", [{"question": "q", "answer": "a"}]),
        ("q,a,\n1,2,\n3,4,note\n", [{"q": "1", "a": "2"}, {"q": "3", "a": "4", "Unnamed: 2": "note"}]),
        (" question , answer\nq,a\n", [{"question": "q", "answer": "a"}]),
        ('question, answer\n"a, b", "c, d"\n', [{"question": "a, b", "answer": "c, d"}]),
        ("sep=;\nquestion;answer\nq,r;a\n", [{"question": "q,r", "answer": "a"}]),
        ('"sep=|"\r\nquestion|answer\r\nq|a\r\n', [{"question": "q", "answer": "a"}]),
        ("SEP=\t\nquestion\tanswer\nq\ta\n", [{"question": "q", "answer": "a"}]),
        ("question,answer\nWhat; or; how; then;?,x\n", [{"question": "What; or; how; then;?", "answer": "x"}]),
        ("\n\nquestion,answer\nq,a\n", [{"question": "q", "answer": "a"}]),
        ("text\nHello, world\nBye, all, of, you\n", [{"text": "Hello, world"}, {"text": "Bye, all, of, you"}]),
        ("question,answer\rq,a\rr,b\r", [{"question": "q", "answer": "a"}, {"question": "r", "answer": "b"}]),
    ],
)  # fmt: skip
def test_what_spreadsheets_add_is_no_data(tmp_path: Path, content: str, records: list[dict[str, str]]) -> None:
    assert [line.record for line in lines(written(tmp_path / "a.csv", content))] == records


def test_lines_keep_their_numbers_behind_a_hint_and_in_a_bad_row(tmp_path: Path) -> None:
    got = lines(written(tmp_path / "a.csv", 'sep=,\nq,a\n"1\n2",x\n"y"z,w\n3,4,5\n6,7\n'))
    assert [(line.number, line.reason) for line in got] == [
        (3, ""),
        (5, "is not CSV: ',' expected after '\"'"),
        (6, "has 3 fields where the header has 2"),
        (7, ""),
    ]


def test_rows_longer_than_the_head_are_read(tmp_path: Path) -> None:
    long = "word, " * 100_000
    for header in ("q;a", "a_name_of_" * 50_000 + ";a"):
        got = lines(written(tmp_path / "a.csv", f'{header}\n"{long}";x\n"{long}";y\n'))
        assert [(line.number, list((line.record or {}).values())) for line in got] == [
            (2, [long, "x"]),
            (3, [long, "y"]),
        ]


@pytest.mark.parametrize(
    ("content", "reason"),
    [("q,q\n1,2\n", "names the column 'q' twice"), (" q,q \n1,2\n", "names the column 'q' twice")],
)
def test_a_header_that_cannot_be_used_says_so(tmp_path: Path, content: str, reason: str) -> None:
    (line,) = lines(written(tmp_path / "a.csv", content))
    assert line.record is None and reason in line.reason


WESTERN = {
    "fr": "Qu'est-ce qu'un café ?,Une boisson préparée à l'eau",
    "de": "Was ist eine Kuh?,Ein Säugetier, größer als ein Schaf",
    "es": "¿Qué es una abeja?,¡Un insecto pequeño!",
    "pt": "O que é uma abelha?,Não há dúvida: um inseto",
    "it": "Cos'è un'ape?,Un insetto è",
    "sv": "Vad är ett bi?,En insekt på en ö",
    "typographic": "What\u2019s a bee?,An insect \u2013 it says \u201cbzz\u201d\u2026 for 5 \u20ac",
}
OTHERS = {
    "cp1250": "Co to jest pszczoła?,Owad który żyje w ulu",
    "cp1251": "Что такое пчела?,Насекомое",
    "koi8_r": "Что такое пчела?,Насекомое",
    "gb18030": "蜜蜂是什么?,一种昆虫",
    "shift_jis": "蜂は何ですか?,昆虫です",
    "cp949": "벌은 무엇입니까?,곤충",
    "cp1253": "Τι είναι η μέλισσα;,Έντομο",  # noqa: RUF001
    "cp1255": "מה זאת דבורה?,חרק",
    "mac_roman": "What is a café?,Une idée",
}


@pytest.mark.parametrize("text", WESTERN.values(), ids=WESTERN.keys())
@pytest.mark.parametrize("rows", [1, 40])
def test_western_text_is_read_as_windows_1252_and_that_is_remarked(tmp_path: Path, text: str, rows: int) -> None:
    content = "question;answer\n" + f"{text.replace(',', ';', 1)}\n" * rows
    (file,), _ = list_files(str(written(tmp_path / "a.csv", content, "cp1252")))
    assert file.encoding == "cp1252" and "is read as Windows-1252 ('" in file.remark
    got = [line.record for line in read(file, lambda _: None)]
    assert got == [dict(zip(("question", "answer"), text.split(",", 1), strict=True))] * rows


@pytest.mark.parametrize(("encoding", "text"), OTHERS.items())
def test_text_in_another_encoding_is_refused_or_rejected_row_by_row(tmp_path: Path, encoding: str, text: str) -> None:
    with pytest.raises(ValueError, match=r"a\.csv: is neither UTF-8 nor Windows-1252; save it as UTF-8"):
        list_files(str(written(tmp_path / "a.csv", "q,a\n" + f"{text}\n" * 9, encoding)))
    (line,) = lines(written(tmp_path / "b.csv", f"q,a\n{text}\n", encoding))
    assert line.reason == "is not UTF-8"
    (line,) = lines(written(tmp_path / "c.csv", f"{text}\n1,2\n", encoding))
    assert line.reason == "the header is not UTF-8; save the file as UTF-8"


def test_a_damaged_byte_in_utf8_does_not_change_the_encoding(tmp_path: Path) -> None:
    for content in (b"q,a\ncaf\xc3\xa9,1\n" + b"caf\xe9,2\n" * 30, b"q,a\n1,\xff\n", b"q,a\n1,\x00\xe9t\xe9\n"):
        (tmp_path / "a.csv").write_bytes(content)
        assert find_encoding(str(tmp_path / "a.csv")) == ("utf-8", "")


def test_a_file_that_breaks_its_encoding_gives_what_came_before(tmp_path: Path) -> None:
    good = "q,a\n" + "café,1\n" * 200_000
    (tmp_path / "a.csv").write_bytes(good.encode("cp1252") + b"\x81,1\n")
    *rows, last = lines(tmp_path / "a.csv")
    assert len(rows) > 150_000 and last.reason.startswith("is not cp1252 from here on")
