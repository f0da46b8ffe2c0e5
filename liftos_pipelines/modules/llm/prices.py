"""What a call costs, from its tokens and a price table; unknown, with the reason, where one of them is.

Money is decimal from the price's own digits to the call's cost, so that a sum over thousands of calls is the sum that
one would get by hand; it becomes a float only where it enters a table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from math import isfinite
from typing import Any

import polars as pl

PER = Decimal(1_000_000)
CENT = Decimal("0.01")
FIELDS = {
    "input_per_million": "input",
    "output_per_million": "output",
    "cache_read_per_million": "cache_read",
    "cache_write_per_million": "cache_write",
}
REQUIRED = ("input_per_million", "output_per_million")
UNKNOWN = "unknown: "
"""Begins a `cost_source` that says why there is no cost."""


class PriceError(ValueError):
    """A price table cannot be used; the message names the file, the field and the fix."""


class Unpriced(LookupError):
    """A call has no cost; the message is the reason."""


@dataclass(frozen=True, kw_only=True)
class Price:
    """Prices per million tokens. Without a price of their own, cached tokens cost what input costs."""

    input: Decimal
    output: Decimal
    cache_read: Decimal | None = None
    cache_write: Decimal | None = None

    @classmethod
    def of(
        cls, given: float, came: float, *, cache_read: float | None = None, cache_write: float | None = None
    ) -> Price:
        """A price by the digits of its numbers: 0.15 is fifteen hundredths, not the float beside it."""
        return cls(
            input=_decimal(given),
            output=_decimal(came),
            cache_read=None if cache_read is None else _decimal(cache_read),
            cache_write=None if cache_write is None else _decimal(cache_write),
        )


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """A call's tokens. `input` holds all that went in, also `cache_read` and `cache_write`, which are parts of it."""

    input: int | None
    output: int | None
    cache_read: int | None = None
    cache_write: int | None = None


@dataclass(frozen=True, kw_only=True)
class PriceTable:
    """Prices by model, in one currency.

    `rate` turns the table's currency into the client's; None where it is not known, and then nothing is priced.
    """

    prices: Mapping[str, Price] = field(default_factory=dict)
    currency: str
    rate: Decimal | float | None
    source: str

    def price(self, model: str) -> Price | None:
        """The model's prices, also when it is named `provider/model`."""
        return self.prices.get(model) or self.prices.get(model.rpartition("/")[2])

    def cost(self, model: str | None, input_tokens: int | None, output_tokens: int | None) -> Decimal | None:
        """A call's cost in the client's currency; None where the price, a count or the rate is unknown."""
        try:
            return self.charge(model, Tokens(input=input_tokens, output=output_tokens))
        except Unpriced:
            return None

    def charge(self, model: str | None, tokens: Tokens) -> Decimal:
        """A call's cost in the client's currency, exact; raises as `parts`."""
        return sum(self.parts(model, tokens), Decimal(0))

    def parts(self, model: str | None, tokens: Tokens) -> tuple[Decimal, Decimal]:
        """What a call's input and its output cost in the client's currency, exact.

        Raises
        ------
        Unpriced : the price, a count or the rate is unknown, or a count cannot be
        """
        price = self.price(model) if model else None
        if price is None:
            raise Unpriced(f"no price for the model {model}" if model else "no model recorded")
        if self.rate is None:
            raise Unpriced(f"prices are in {self.currency} and no rate is stated")
        if tokens.input is None or tokens.output is None:
            raise Unpriced(f"{'input' if tokens.input is None else 'output'}_tokens not recorded")
        read, written = tokens.cache_read or 0, tokens.cache_write or 0
        counts = {"input": tokens.input, "output": tokens.output, "cache_read": read, "cache_write": written}
        for name, count in counts.items():
            if count < 0:
                raise Unpriced(f"{name}_tokens is negative ({count})")
        fresh = tokens.input - read - written
        if fresh < 0:
            raise Unpriced(f"cached tokens ({read + written}) exceed the input's {tokens.input}")
        given = fresh * price.input
        given += read * (price.input if price.cache_read is None else price.cache_read)
        given += written * (price.input if price.cache_write is None else price.cache_write)
        rate = _decimal(self.rate)
        return given / PER * rate, tokens.output * price.output / PER * rate


def price_table(content: Any, *, file: str, client_currency: str, base: PriceTable | None = None) -> PriceTable:
    """A client's `prices.yaml`, laid over a base table.

    The file holds `currency` (default: the client's), `rate` (client currency per table currency; 1 when they are
    the same) and `models`: name -> {input_per_million, output_per_million, cache_read_per_million?,
    cache_write_per_million?}. `extends: false` drops the base.

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
        if rate == 0:
            raise PriceError(f"{file}: rate: expected a number above 0, found 0: it would make every call free")
    models = content.get("models") or {}
    if not isinstance(models, dict):
        raise PriceError(f"{file}: models: expected a mapping of model to prices")
    prices: dict[str, Price] = {}
    if base is not None and content.get("extends", True) and currency == base.currency:
        prices.update(base.prices)
    for model, price in models.items():
        if not isinstance(price, dict) or not set(REQUIRED) <= set(price) <= set(FIELDS):
            raise PriceError(
                f"{file}: models.{model}: give input_per_million and output_per_million, and where cached tokens have "
                "their own price cache_read_per_million, cache_write_per_million; nothing else"
            )
        where = f"{file}: models.{model}"
        prices[str(model)] = Price(**{FIELDS[name]: _number(value, f"{where}.{name}") for name, value in price.items()})
    return PriceTable(prices=prices, currency=currency, rate=rate, source=file)


def catalogue_prices(catalogue: Mapping[str, Any]) -> dict[str, Price]:
    """Chat models' list prices from a model catalogue of MLflow's layout (`models.<name>.pricing`)."""
    prices = {}
    for name, model in catalogue.get("models", {}).items():
        pricing = model.get("pricing") or {}
        given, answered = pricing.get("input_per_million_tokens"), pricing.get("output_per_million_tokens")
        if model.get("mode") in {"chat", "responses", "completion"} and given is not None and answered is not None:
            prices[str(name)] = Price.of(
                given,
                answered,
                cache_read=pricing.get("cache_read_per_million_tokens"),
                cache_write=pricing.get("cache_write_per_million_tokens"),
            )
    return prices


def priced(calls: pl.DataFrame, table: PriceTable) -> pl.DataFrame:
    """`call_id, cost, cost_source` of each call: as recorded, else from the table, else null with the reason.

    A recorded negative cost is not a cost: it becomes null.
    """
    sources: list[str] = []
    costs: list[float | None] = []
    cached = [
        pl.col(name) if name in calls.columns else pl.lit(None, dtype=pl.Int64).alias(name)
        for name in ("cache_read_tokens", "cache_write_tokens")
    ]
    rows = calls.select("model", "input_tokens", "output_tokens", "cost", *cached)
    for model, given, came, recorded, read, written in rows.iter_rows():
        cost, source = recorded, "recorded"
        if recorded is None:
            tokens = Tokens(input=given, output=came, cache_read=read, cache_write=written)
            try:
                cost, source = float(table.charge(model, tokens)), table.source
            except Unpriced as reason:
                source = f"{UNKNOWN}{reason}"
        elif recorded < 0 or not isfinite(recorded):
            cost, source = None, f"{UNKNOWN}the recorded cost is {recorded:g}"
        costs.append(cost)
        sources.append(source)
    return pl.DataFrame(
        {"call_id": calls["call_id"], "cost": costs, "cost_source": sources},
        schema={"call_id": pl.String, "cost": pl.Float64, "cost_source": pl.String},
    )


def unpriced_by_model(calls: pl.DataFrame, costs: pl.DataFrame) -> pl.DataFrame:
    """`model, calls, unpriced, share, reason` of the models with calls whose cost is not known, the most first.

    `reason` is the commonest one. `costs` has `call_id, cost, cost_source`.
    """
    joined = calls.select("call_id", "model").join(costs.select("call_id", "cost", "cost_source"), on="call_id")
    missing = pl.col("cost").is_null()
    why = pl.col("cost_source").filter(missing).drop_nulls().mode().sort().first().str.strip_prefix(UNKNOWN)
    return (
        joined.group_by("model")
        .agg(calls=pl.len(), unpriced=missing.sum(), share=missing.mean(), reason=why)
        .filter(pl.col("unpriced") > 0)
        .sort("unpriced", "model", descending=[True, False])
    )


def total(costs: Iterable[float | Decimal | None]) -> Decimal | None:
    """The sum of what is known, rounded to the cent once, at the end; None where nothing is known."""
    known = [_decimal(cost) for cost in costs if cost is not None]
    if not known:
        return None
    with localcontext() as context:
        context.prec = 60
        return sum(known, Decimal(0)).quantize(CENT, rounding=ROUND_HALF_EVEN)


def _decimal(value: float | Decimal) -> Decimal:
    return value if isinstance(value, Decimal) else Decimal(str(value))


def _number(value: Any, where: str) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not isfinite(value) or value < 0:
        raise PriceError(f"{where}: expected a number of at least 0, found {value!r}")
    return _decimal(value)
