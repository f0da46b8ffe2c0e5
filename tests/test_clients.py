"""A client.yaml that is wrong says which file, which field, and what to do."""

from pathlib import Path

import pytest

from liftos_pipelines.clients import ClientError, list_clients, load_client

GOOD = """
client: acme
currency: EUR
brand: {name: Acme, aliases: [ACME Corp], competitors: [{name: Globex}]}
sources:
  marketing:
    path: data/media.csv
    date: week
    outcome: conversions
    channels: {tv: {spend: tv_spend}}
"""


def write(home: Path, client: str, text: str) -> Path:
    folder = home / "clients" / client
    folder.mkdir(parents=True)
    (folder / "client.yaml").write_text(text, encoding="utf-8")
    return folder / "client.yaml"


def test_a_complete_file_loads_with_its_brand_and_channels(home: Path) -> None:
    write(home, "acme", GOOD)
    config = load_client("acme")
    assert config.brand is not None
    assert [name.name for name in config.brand.names()] == ["Acme", "Globex"]
    assert config.sources.marketing is not None
    assert config.sources.marketing.channels["tv"].spend == "tv_spend"
    assert config.sources.mentions is None


def test_a_misspelt_field_is_named_with_the_closest_one(home: Path) -> None:
    file = write(home, "acme", GOOD.replace("outcome:", "outcom:"))
    with pytest.raises(ClientError) as error:
        load_client("acme")
    message = str(error.value)
    assert str(file) in message
    assert 'sources.marketing.outcom: this field is not known (closest: "outcome")' in message
    assert "sources.marketing.outcome: this field is required" in message


def test_a_wrong_currency_names_the_value_found(home: Path) -> None:
    write(home, "acme", GOOD.replace("EUR", "euro"))
    with pytest.raises(ClientError, match=r"currency.*'euro'"):
        load_client("acme")


def test_yaml_that_does_not_parse_names_the_line(home: Path) -> None:
    write(home, "acme", "client: [acme\nsources: {}")
    with pytest.raises(ClientError, match="line 2"):
        load_client("acme")


def test_an_unknown_client_gets_the_closest_name(home: Path) -> None:
    write(home, "acme", GOOD)
    with pytest.raises(ClientError, match='Did you mean "acme"'):
        load_client("acmee")


def test_a_folder_with_another_clients_name_is_refused(home: Path) -> None:
    write(home, "other", GOOD)
    with pytest.raises(ClientError, match="differs from the folder's name"):
        load_client("other")


@pytest.mark.parametrize("name", ["../x", "/etc", "a/b", "..", "", "ACME", "a" * 64, "a\x00b", "a b", ".hidden", "ä"])
def test_a_hostile_client_id_is_refused_before_any_path_is_made(home: Path, name: str) -> None:
    with pytest.raises(ClientError, match="is not allowed"):
        load_client(name)


def test_folders_with_hostile_names_are_not_listed(home: Path) -> None:
    write(home, "acme", GOOD)
    write(home, "Bad Name", GOOD)
    assert list_clients() == ["acme"]


@pytest.mark.parametrize(
    ("channel", "said"),
    [
        ("{spend: tv_spend, reach: people}", "channels.tv: reach needs frequency"),
        ("{spend: tv_spend, frequency: times}", "channels.tv: frequency needs reach"),
        ("{spend: tv_spend, currency: USD}", "channels.tv.currency is USD, but the client's currency is EUR"),
    ],
)
def test_a_channel_that_contradicts_itself_or_the_client_is_named(home: Path, channel: str, said: str) -> None:
    file = write(home, "acme", GOOD.replace("{spend: tv_spend}", channel))
    with pytest.raises(ClientError) as error:
        load_client("acme")
    assert said in str(error.value)
    assert str(file) in str(error.value)


def test_a_currency_is_the_clients_own_or_a_column(home: Path) -> None:
    write(home, "acme", GOOD.replace("    channels:", "    currency: EUR\n    channels:"))
    write(home, "beta", GOOD.replace("acme", "beta").replace("{spend: tv_spend}", "{spend: tv_spend, currency: money}"))
    for client, currency in (("acme", "EUR"), ("beta", None)):
        marketing = load_client(client).sources.marketing
        assert marketing is not None
        assert marketing.currency == currency
    write(home, "gamma", GOOD.replace("acme", "gamma").replace("    channels:", "    currency: USD\n    channels:"))
    with pytest.raises(ClientError, match=r"sources\.marketing\.currency is USD"):
        load_client("gamma")
