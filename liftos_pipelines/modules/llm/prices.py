"""What a call costs, from its tokens and a price table; unknown where the price, the tokens or the rate is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

PER = 1_000_000


class PriceError(ValueError):
    """A price table cannot be used; the message names the file, the field and the fix."""


@dataclass(frozen=True, kw_only=True)
class PriceTable:
    """Prices per million tokens, (input, output) by model, in one currency.

    `rate` turns the table's currency into the client's; None where it is not known, and then nothing is priced.
    """

    prices: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    currency: str
    rate: float | None
    source: str

    def price(self, model: str) -> tuple[float, float] | None:
        """The model's prices, also when it is named `provider/model`."""
        return self.prices.get(model) or self.prices.get(model.rpartition("/")[2])

    def cost(self, model: str | None, input_tokens: int | None, output_tokens: int | None) -> float | None:
        """A call's cost in the client's currency; None where the price, a count or the rate is unknown."""
        price = self.price(model) if model else None
        if price is None or self.rate is None or input_tokens is None or output_tokens is None:
            return None
        if input_tokens < 0 or output_tokens < 0:
            return None
        return (input_tokens * price[0] + output_tokens * price[1]) / PER * self.rate


def price_table(content: Any, *, file: str, client_currency: str, base: PriceTable | None = None) -> PriceTable:
    """A client's `prices.yaml`, laid over a base table.

    The file holds `currency` (default: the client's), `rate` (client currency per table currency; 1 when they are
    the same) and `models`: name -> {input_per_million, output_per_million}. `extends: false` drops the base.

    Raises
    ------
    PriceError : a field is unknown, missing or not a positive number
    """
    if not isinstance(content, dict):
        raise PriceError(f"{file}: expected fields such as `models:`, found {type(content).__name__}")
    unknown = set(content) - {"currency", "rate", "models", "extends"}
    if unknown:
        raise PriceError(f"{file}: {sorted(unknown)[0]}: not known. Allowed: currency, rate, models, extends")
    currency = str(content.get("currency", client_currency))
    rate = content.get("rate", 1.0 if currency == client_currency else None)
    if rate is not None:
        rate = _number(rate, f"{file}: rate")
    models = content.get("models") or {}
    if not isinstance(models, dict):
        raise PriceError(f"{file}: models: expected a mapping of model to prices")
    prices: dict[str, tuple[float, float]] = {}
    if base is not None and content.get("extends", True) and currency == base.currency:
        prices.update(base.prices)
    for model, price in models.items():
        if not isinstance(price, dict) or set(price) != {"input_per_million", "output_per_million"}:
            raise PriceError(f"{file}: models.{model}: give input_per_million and output_per_million, nothing else")
        prices[str(model)] = (
            _number(price["input_per_million"], f"{file}: models.{model}.input_per_million"),
            _number(price["output_per_million"], f"{file}: models.{model}.output_per_million"),
        )
    return PriceTable(prices=prices, currency=currency, rate=rate, source=file)


def catalogue_prices(catalogue: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    """Chat models' list prices from a model catalogue of MLflow's layout (`models.<name>.pricing`)."""
    prices = {}
    for name, model in catalogue.get("models", {}).items():
        pricing = model.get("pricing") or {}
        given, answered = pricing.get("input_per_million_tokens"), pricing.get("output_per_million_tokens")
        if model.get("mode") in {"chat", "responses", "completion"} and given is not None and answered is not None:
            prices[str(name)] = (float(given), float(answered))
    return prices


def priced(calls: pl.DataFrame, table: PriceTable) -> pl.DataFrame:
    """`call_id, cost, cost_source` of each call: as recorded, else from the table, else null.

    A recorded negative cost is not a cost: it becomes null.
    """
    rows: dict[str, list[Any]] = {"call_id": [], "cost": [], "cost_source": []}
    columns = ("call_id", "model", "input_tokens", "output_tokens", "cost")
    for call_id, model, n_in, n_out, recorded in calls.select(columns).iter_rows():
        cost = recorded if recorded is not None and recorded >= 0 else None
        source = "recorded" if cost is not None else None
        if cost is None and recorded is None:
            cost = table.cost(model, n_in, n_out)
            source = table.source if cost is not None else None
        rows["call_id"].append(call_id)
        rows["cost"].append(cost)
        rows["cost_source"].append(source)
    return pl.DataFrame(rows, schema={"call_id": pl.String, "cost": pl.Float64, "cost_source": pl.String})


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0 or value != value:
        raise PriceError(f"{where}: expected a number of at least 0, found {value!r}")
    return float(value)
