"""A client's files: its own and no other's, whatever a path is made to look like; broken files are named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from liftos_pipelines.clients import ClientConfig
from liftos_pipelines.resources.client_files import read_pages, read_source
from liftos_pipelines.resources.file_formats import ClientFileError

FIELD = "sources.mentions.path"


@pytest.fixture
def client(home: Path) -> ClientConfig:
    for name in ("acme", "rival"):
        (home / "clients" / name / "data").mkdir(parents=True)
        (home / "clients" / name / "data" / "m.csv").write_text(f"text\n{name}\n")
    (home / "lake" / "rival").mkdir(parents=True)
    (home / "lake" / "rival" / "m.csv").write_text("text\nrival\n")
    return ClientConfig(client="acme", folder=home / "clients" / "acme")


def texts(client: ClientConfig, path: str) -> list[str]:
    return read_source(client, FIELD, path).rows["text"].to_list()


def test_its_own_file_is_read_by_every_way_of_naming_it(client: ClientConfig) -> None:
    own = client.folder / "data" / "m.csv"
    for path in ("data/m.csv", "./data/m.csv", "data/*.csv", "**/m.csv", str(own), f"file://{own}"):
        assert texts(client, path) == ["acme"], path


@pytest.mark.parametrize(
    "path",
    [
        "../rival/data/m.csv",
        "data/../../rival/data/m.csv",
        "{home}/clients/rival/data/m.csv",
        "{home}/clients/*/data/m.csv",
        "{home}/clients/acme/../rival/data/m.csv",
        "file://{home}/clients/rival/data/m.csv",
        "local://{home}/clients/rival/data/m.csv",
        "{home}/lake/rival/m.csv",
        "simplecache::file://{home}/clients/rival/data/m.csv",
        "dir://{home}/clients/rival",
        "link/m.csv",
        "lin*/m.csv",
        "linked.csv",
        "~root/../{home}/clients/rival/data/m.csv",
    ],
)
def test_another_clients_file_is_never_read(client: ClientConfig, home: Path, path: str) -> None:
    (client.folder / "link").symlink_to(home / "clients" / "rival" / "data")
    (client.folder / "linked.csv").symlink_to(home / "clients" / "rival" / "data" / "m.csv")
    with pytest.raises(ClientFileError, match=r"clients/acme/client.yaml: sources\.mentions\.path: "):
        texts(client, path.format(home=home))


def test_a_file_elsewhere_that_the_operator_wrote_down_is_read(
    client: ClientConfig, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("warehouse") / "m.csv"
    outside.write_text("text\noutside\n")
    assert texts(client, str(outside)) == ["outside"]


def test_a_uri_is_read_through_its_file_system(client: ClientConfig) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    for name in ("one", "two"):
        memory.pipe_file(f"/bucket/{name}.csv", f"text\n{name}\n".encode())
    assert texts(client, "memory://bucket/*.csv") == ["one", "two"]
    with pytest.raises(ClientFileError, match=r"no file at memory://bucket/three\.csv"):
        texts(client, "memory://bucket/three.csv")


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("m.csv", b"", "data/m.csv is empty"),
        ("m.csv", b"text\nfine\n\xff\xfe\n", "data/m.csv line 3 is not UTF-8"),
        ("m.csv", "text\nhello\n".encode("utf-16"), "it looks like UTF-16"),
        ("m.csv", b'text,b\n1,2\n"open,2\n3,4\n', 'line 3: a quote (") opens here and never closes'),
        ("m.csv", b"text,text\n1,2\n", "has the column 'text' twice"),
        ("m.parquet", b"PAR1 but not really", "is not readable as Parquet"),
        ("m.xlsx", b"PK", 'the ending ".xlsx" is not known'),
        ("m.csv.gz", b"not gzip", "cannot be read"),
        ("m.yaml", b"a: [", "not readable as YAML"),
        ("n.csv", b"text\n", 'no file at data/m.csv (closest: "n.csv")'),
    ],
)
def test_a_broken_file_is_named_with_what_to_do(client: ClientConfig, name: str, content: bytes, sentence: str) -> None:
    (client.folder / "data" / "m.csv").unlink()
    (client.folder / "data" / name).write_bytes(content)
    with pytest.raises(ClientFileError) as raised:
        texts(client, "data/m.csv" if name == "n.csv" else f"data/{name}")
    assert sentence in str(raised.value)


def test_a_wrong_line_of_json_is_set_aside_and_the_others_are_read(client: ClientConfig) -> None:
    lines = ['{"text": "a"}', '{"text": "b"', '["list"]', "", '{"text": "line\u2028separator"}']
    (client.folder / "data" / "m.jsonl").write_text("\n".join(lines), encoding="utf-8")
    files = read_source(client, FIELD, "data/m.jsonl")
    assert files.rows.select("text", "_row").rows() == [("a", 1), ("line\u2028separator", 5)]
    assert files.unreadable["row"].to_list() == [2, 3]
    assert files.unreadable["raw"].to_list() == lines[1:3]


def test_rows_are_counted_as_an_editor_counts_lines(client: ClientConfig) -> None:
    (client.folder / "data" / "m.csv").write_text('\ufefftext,n\n"two\nlines",1\n\nshort\nlast,2\n', encoding="utf-8")
    files = read_source(client, FIELD, "data/m.csv")
    assert files.rows.select("text", "_row").rows() == [("two\nlines", 2), ("last", 6)]
    assert files.unreadable.select("row", "reason").rows() == [(5, "1 fields where the header has 2")]


def test_a_semicolon_table_and_an_unnamed_index_are_understood(client: ClientConfig) -> None:
    (client.folder / "data" / "m.csv").write_text(";text\n0;a, b\n")
    files = read_source(client, FIELD, "data/m.csv")
    assert files.columns == {"data/m.csv": ["text"]}
    assert files.rows["text"].to_list() == ["a, b"]


def test_pages_take_their_address_from_the_list_beside_them(client: ClientConfig) -> None:
    pages = client.folder / "pages"
    pages.mkdir()
    (pages / "a.html").write_text("<p>a")
    (pages / "b.html").write_bytes('<meta charset="iso-8859-1"><p>caf\xe9'.encode("latin-1"))
    (pages / "c.html").write_bytes(b"\xff\xfe\x00\xd8 neither")
    (pages / "pages.csv").write_text("path,url\na.html,https://acme.example/a\n")
    files = read_pages(client, "sources.pages.path", "pages/*")
    assert files.rows.select("url", "path").rows() == [
        ("https://acme.example/a", "pages/a.html"),
        (None, "pages/b.html"),
    ]
    assert "café" in files.rows["html"][1]
    assert files.unreadable["file"].to_list() == ["pages/c.html"]


def test_a_robots_txt_beside_the_pages_is_read_where_the_list_names_it(client: ClientConfig) -> None:
    pages = client.folder / "pages"
    pages.mkdir()
    (pages / "a.html").write_text("<p>a")
    (pages / "robots.txt").write_text("User-agent: *\nDisallow: /x\n")
    (pages / "llms.txt").write_text("# not named in the list")
    (pages / "pages.csv").write_text(
        "path,url\na.html,https://acme.example/a\nrobots.txt,https://acme.example/robots.txt\n"
    )
    for pattern in ("pages/*", "pages/*.html"):
        files = read_pages(client, "sources.pages.path", pattern)
        assert files.rows["url"].to_list() == ["https://acme.example/a", "https://acme.example/robots.txt"]


def test_nested_json_values_stay_json(client: ClientConfig) -> None:
    (client.folder / "data" / "m.jsonl").write_text(
        json.dumps({"text": {"a": [1, None]}, "flag": True, "n": 1.5}) + "\n"
    )
    assert read_source(client, FIELD, "data/m.jsonl").rows.select("text", "flag", "n").rows() == [
        ('{"a": [1, null]}', "true", "1.5")
    ]
