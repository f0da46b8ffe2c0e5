"""The prices that hold for a client's calls: the makers' list prices, and the client's own `prices.yaml` over them."""

from __future__ import annotations

import json
from decimal import Decimal
from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import yaml

from liftos_pipelines.clients import ClientConfig
from liftos_pipelines.modules.llm.prices import Price, PriceError, PriceTable, catalogue_prices, price_table

PRICES_FILE = "prices.yaml"
DOLLAR = "USD"
PROVIDERS = ("openai", "anthropic", "gemini", "mistral", "cohere_chat", "deepseek", "xai")
"""Whose list prices are taken: the makers of the models, not their resellers."""


def client_prices(client: ClientConfig) -> PriceTable:
    """The makers' list prices in dollars, overlaid by the client's `prices.yaml` where there is one.

    Without that file, prices apply only to a client whose currency is the dollar: no exchange rate is assumed.

    Raises
    ------
    PriceError : the file cannot be used; the message names the field and the fix
    """
    listed = PriceTable(
        prices=_listed_prices(),
        currency=DOLLAR,
        rate=Decimal(1) if client.currency == DOLLAR else None,
        source=f"list prices (MLflow {version('mlflow')} model catalogue)",
    )
    file = client.folder / PRICES_FILE
    if not file.is_file():
        return listed
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise PriceError(f"{file}: not readable as YAML: {error}") from error
    return price_table(content, file=str(file), client_currency=client.currency, base=listed)


def dollar_rate(client: ClientConfig) -> Decimal | None:
    """The client's currency per dollar; None where nobody has stated it.

    Raises
    ------
    PriceError : `prices.yaml` cannot be used
    """
    if client.currency == DOLLAR:
        return Decimal(1)
    prices = client_prices(client)
    return Decimal(str(prices.rate)) if prices.currency == DOLLAR and prices.rate is not None else None


@lru_cache(maxsize=1)
def _listed_prices() -> dict[str, Price]:
    # The catalogue is a data file of the installed MLflow; reading it does not import MLflow.
    spec = find_spec("mlflow")
    folders = list(spec.submodule_search_locations or []) if spec else []
    prices: dict[str, Price] = {}
    for folder in folders:
        for provider in PROVIDERS:
            file = Path(folder) / "utils" / "model_catalog" / f"{provider}.json"
            if file.is_file():
                prices |= catalogue_prices(json.loads(file.read_text(encoding="utf-8")))
    return prices
