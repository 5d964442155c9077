"""One log in every format gives the same data set; broken files give a sentence."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builders.dataset.build import build_dataset, source_files
from builders.dataset.location import SourceFiles, locate
from builders.dataset.sources import connect, open_source
from ensembles.errors import DataError
from tests.unit.dataset.conftest import LOOSE, Rows, block, events, settings_for, silent

Write = Callable[..., Path]


def _recbole(folder: Path, rows: Rows) -> Path:
    home = folder / "shop"
    home.mkdir()
    lines = ["user_id:token\titem_id:token\ttimestamp:float"]
    lines += ["\t".join(map(str, row)) for row in rows]
    (home / "shop.inter").write_text("\n".join(lines))
    return home


def _movielens(folder: Path, rows: Rows) -> Path:
    lines = ["userId,movieId,rating,timestamp", *(f"{u},{i},4.0,{t}" for u, i, t in rows)]
    (folder / "ratings.csv").write_text("\n".join(lines))
    return folder


def _parquet(folder: Path, rows: Rows) -> Path:
    users, items, times = zip(*rows, strict=True)
    table = pa.table({"user_id": users, "item_id": items, "timestamp": times})
    pq.write_table(table, folder / "interactions.parquet")
    return folder


def test_every_format_gives_the_same_events(tmp_path: Path, write_csv: Write) -> None:
    rows = block()
    sources = [
        ("csv", write_csv(rows)),
        ("recbole", _recbole(tmp_path, rows)),
        ("movielens", _movielens(tmp_path, rows)),
        ("parquet", _parquet(tmp_path, rows)),
    ]
    for format_name, path in sources:
        settings = settings_for(path, format_name, clean=LOOSE)
        assert events(build_dataset(settings, tmp_path / "out", silent)) == rows


def test_the_inter_file_and_the_folder_are_the_same(tmp_path: Path) -> None:
    home = _recbole(tmp_path, block())
    (home / "shop.item").write_text("item_id:token\n")
    (home / "shop.user").write_text("user_id:token\n")
    names = ["shop.inter", "shop.item", "shop.user"]
    for path in (home, home / "shop.inter"):
        found = source_files(settings_for(path, "recbole"))
        assert [file.name for file in found] == names


def test_numbers_as_ids_become_text(tmp_path: Path) -> None:
    whole = pa.array([7, 7, 7], pa.int64())
    gaps = pa.array([1.0, 2.0, None], pa.float64())
    times = pa.array([1, 2, 3], pa.timestamp("s"))
    path = tmp_path / "log.parquet"
    pq.write_table(pa.table({"user_id": whole, "item_id": gaps, "timestamp": times}), path)
    source = open_source(connect(tmp_path), settings_for(path, "parquet").data, SourceFiles(path))
    rows = source.events.order_by("row").to_pyarrow().to_pylist()
    assert [(row["user"], row["item"]) for row in rows] == [("7", "1"), ("7", "2"), ("7", None)]


def test_quotes_blanks_bom_and_crlf(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    text = '\ufeff"user_id", item_id ,timestamp\r\n"a,""1""", x ,5\r\na b,y,6\r\n'
    path.write_bytes(text.encode())
    settings = settings_for(path, clean=LOOSE, split={"kind": "global_time"})
    source = open_source(connect(tmp_path), settings.data, locate(settings.data))
    rows = source.events.order_by("row").to_pyarrow().to_pylist()
    assert [row["user"] for row in rows] == ['a,"1"', "a b"]
    assert [row["row"] for row in rows] == [0, 1]


def test_tabs_mean_that_quotes_are_letters(tmp_path: Path) -> None:
    rows = [('"u', 'i"', 1), ('"u', 'j"', 2), ('"u', '"', 3)]
    settings = settings_for(_recbole(tmp_path, rows), "recbole", clean=LOOSE)
    assert events(build_dataset(settings, tmp_path / "out", silent)) == rows


def test_without_a_timestamp_the_order_of_the_file_counts(tmp_path: Path, write_csv: Write) -> None:
    pairs = [("u", item) for item in "dacbadd"]
    path = write_csv(pairs, header="user_id,item_id")
    settings = settings_for(path, clean=LOOSE, columns={"timestamp": ""})
    dataset = build_dataset(settings, tmp_path / "out", silent)
    assert events(dataset) == [(u, i, row) for row, (u, i) in enumerate(pairs)]


def test_rows_keep_the_order_of_a_large_file(tmp_path: Path, write_csv: Write) -> None:
    path = write_csv([("u", row) for row in range(300_000)], header="user_id,item_id")
    data = settings_for(path, columns={"timestamp": ""}).data
    source = open_source(connect(tmp_path), data, locate(data))
    differ = source.events.filter(source.events.item.cast("int64") != source.events.row)
    assert differ.count().to_pyarrow().as_py() == 0


def test_ties_in_time_stay_in_file_order(tmp_path: Path, write_csv: Write) -> None:
    rows = [("u", item, 7) for item in ["z", "b", "y", "a", "c"]]
    dataset = build_dataset(settings_for(write_csv(rows), clean=LOOSE), tmp_path / "out", silent)
    assert events(dataset) == rows


def test_titles_categories_and_attributes(tmp_path: Path, write_csv: Write) -> None:
    write_csv(block(), name="interactions.csv")
    items = [("i0", "Zero", "a|b"), ("i1", "", " b |"), ("i0", "again", "c"), ("other", "O", "d")]
    write_csv(items, header="item_id,name,kinds", name="items.csv")
    write_csv([("u1", "Oslo"), ("u0", "Rome")], header="user_id,town", name="users.csv")
    columns = {"title": "name", "categories": "kinds"}
    settings = settings_for(tmp_path, clean=LOOSE, columns=columns)
    dataset = build_dataset(settings, tmp_path / "out", silent)
    assert dataset.titles == ["", "Zero", "i1", "i2", "i3"]
    assert dataset.texts == ["", "Zero. a, b", "", "", ""]
    assert dataset.category_names == ["a", "b"]
    assert dataset.categories.tolist() == [[0, 0], [1, 1], [0, 1], [0, 0], [0, 0]]
    assert dataset.user_attributes == {"town": ["Rome", "Oslo", "", ""]}


def test_titles_can_stand_in_the_log_itself(tmp_path: Path, write_csv: Write) -> None:
    rows = [(*row, f"title of {row[1]}", "") for row in block()]
    path = write_csv(rows, header="user_id,item_id,timestamp,name,about")
    columns = {"title": "name", "text": "about"}
    dataset = build_dataset(
        settings_for(path, clean=LOOSE, columns=columns), tmp_path / "out", silent
    )
    assert dataset.titles[1:] == [f"title of i{i}" for i in range(4)]
    assert dataset.texts[1:] == dataset.titles[1:]


def test_movielens_titles_and_genres(tmp_path: Path) -> None:
    _movielens(tmp_path, block())
    (tmp_path / "movies.csv").write_text(
        'movieId,title,genres\ni0,"Film, The (1999)",Crime|Drama\ni1,B,(no genres listed)\n'
    )
    settings = settings_for(tmp_path, "movielens", clean=LOOSE)
    dataset = build_dataset(settings, tmp_path / "out", silent)
    assert dataset.titles[1:3] == ["Film, The (1999)", "B"]
    assert dataset.category_names == ["Crime", "Drama"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"user_id,item_id,timestamp\n", "has a header but no rows"),
        (b"user_id;item_id;timestamp\na;b;1\n", "separated by a semicolon"),
        (b"user_id\titem_id\ttimestamp\na\tb\t1\n", "separated by a tab"),
        (b"user,item_id,timestamp\na,b,1\n", "no column 'user_id'.*Did you mean 'user'"),
        (b"user_id,item_id,time\na,b,1\n", r"no column 'timestamp'.*\(or set timestamp = ''"),
        (b"user_id,item_id,user_id\na,b,1\n", "column names must be given and differ"),
        (b"user_id,item_id,\na,b,1\n", "column names must be given and differ"),
        (b"user_id,item_id,timestamp\na,b,1\n\xe9,b,1\n", "line 3, is not UTF-8"),
        (b'user_id,item_id,timestamp\na,"b,1\na,c,2\na,d,3\n', "quote opened in line 2"),
        (b"\xff\xfeuser_id,item_id\n", "line 1, is not UTF-8"),
    ],
)
def test_broken_text_files(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "log.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=sentence):
        build_dataset(settings_for(path), tmp_path / "out", silent)


def test_a_mapped_title_that_is_nowhere(tmp_path: Path, write_csv: Write) -> None:
    settings = settings_for(write_csv(block()), columns={"title": "titel"})
    with pytest.raises(DataError, match=r"no column 'titel', which \[data.columns\] title names"):
        build_dataset(settings, tmp_path / "out", silent)


def test_a_parquet_file_that_is_none(tmp_path: Path, write_csv: Write) -> None:
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        build_dataset(settings_for(write_csv(block()), "parquet"), tmp_path / "out", silent)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_file(tmp_path: Path, write_csv: Write) -> None:
    path = write_csv(block())
    path.chmod(0)
    with pytest.raises(DataError, match="cannot read"):
        build_dataset(settings_for(path), tmp_path / "out", silent)


def test_nothing_configured() -> None:
    with pytest.raises(DataError, match="no data"):
        source_files(settings_for(""))


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        source_files(settings_for(tmp_path / "absent"))


@pytest.mark.parametrize(
    ("format_name", "needs"),
    [
        ("csv", "interactions.csv"),
        ("parquet", "interactions.parquet"),
        ("movielens", "ratings.csv"),
        ("recbole", ".inter"),
    ],
)
def test_a_folder_without_the_log(tmp_path: Path, format_name: str, needs: str) -> None:
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(DataError, match=f"holds no .*{needs}.*notes.txt"):
        source_files(settings_for(tmp_path, format_name))


def test_a_folder_with_several_logs(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.inter").write_text("")
    with pytest.raises(DataError, match=r"several .inter files \(a.inter, b.inter\)"):
        source_files(settings_for(tmp_path, "recbole"))
