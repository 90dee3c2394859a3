"""The desks that trade, with the settings that are theirs: once for real positions, once more for shadows.

`wiring.py` says who is routed to whom; here is what each is made with.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from bot.app.plugins import StrategyClass, find_guards
from bot.app.settings import Settings, config_hash
from bot.domain.errors import ConfigError, told
from bot.domain.ids import IdSource
from bot.domain.instrument import Instrument, exact
from bot.domain.ports import Guard, MarketView, Strategy
from bot.market.state import Market
from bot.trading.correlation import Correlations
from bot.trading.exits.desk import Exits
from bot.trading.exits.opening import Liquidation
from bot.trading.exits.protection import stop_fraction
from bot.trading.exits.retarget import Retarget
from bot.trading.exploring import Exploration
from bot.trading.fill_params import brackets_of
from bot.trading.guards.base import GuardContext
from bot.trading.latency import Latency
from bot.trading.order_limits import check_order
from bot.trading.orders import Orders
from bot.trading.portfolio import Portfolio
from bot.trading.positions import LastLook, Positions
from bot.trading.shadow.desk import Shadows
from bot.trading.shadow.size import ShadowSize
from bot.trading.shadow.venue import ShadowVenue
from bot.trading.shadow.view import ShadowView, real
from bot.trading.sizing import SizeRules
from bot.venues.paper import PaperVenue

SHADOW_TRADES_KEPT = 2_000


def position_desk(
    settings: Settings, portfolio: Portfolio, ids: IdSource, rules: SizeRules, last_look: LastLook = check_order
) -> Positions:
    return Positions(
        portfolio,
        ids,
        entry=settings.entry,
        hold=settings.hold,
        true_trend=settings.true_trend,
        stop=settings.stop,
        rules=rules,
        last_look=last_look,
    )


def exit_desk(settings: Settings, portfolio: Portfolio, ids: IdSource, rules: SizeRules | None = None) -> Exits:
    """Without `rules` no liquidation is looked out for."""
    liquidation: Liquidation = lambda position: None  # noqa: E731
    if rules is not None:
        brackets = rules.brackets
        liquidation = lambda position: portfolio.liquidation_price(position, brackets)  # noqa: E731
    return Exits(
        portfolio,
        ids,
        Retarget(settings.walls, settings.targets, settings.fees),
        ladder=settings.ladder,
        stop=settings.stop,
        hold=settings.hold,
        exits=settings.exits,
        fees=settings.fees,
        liquidation=liquidation,
    )


def shadow_desk(
    settings: Settings, venue: PaperVenue, ids: IdSource, rules: SizeRules, market: Market, session: int
) -> Shadows:
    """The desks of positions once more, with a portfolio, a venue and a view of their own."""
    portfolio = Portfolio(Decimal(0), lambda name: mark_of(market.market(real(name))), settings.fees.taker)
    view = ShadowView(portfolio)
    params = settings.paper
    return Shadows(
        orders=Orders(trades_kept=SHADOW_TRADES_KEPT),
        positions=position_desk(settings, portfolio, ids, rules, last_look=lambda wanted, view, rules: None),
        exits=exit_desk(settings, portfolio, ids),
        portfolio=portfolio,
        view=view,
        venue=ShadowVenue(
            view.known,
            settings.fees,
            params,
            Latency(params.latency_ms, params.latency_p99_ms),
            volume_usd=venue.account.volume.usd,
            trade_prefix=f"{session}S",
        ),
        size=ShadowSize(rules, settings.stop),
        risk=settings.risk,
        params=settings.shadow,
        leaving=settings.exits,
    )


def strategies_of(settings: Settings) -> list[Strategy]:
    return [_strategy(settings.strategy_classes[name], settings) for name in settings.strategies]


def _strategy(found: StrategyClass, settings: Settings) -> Strategy:
    try:
        return found(getattr(settings.strategy, found.name))
    except Exception as error:  # a user's own code may raise anything
        problem = told(error, getattr(found, "__module__", ""))
        raise ConfigError(f"strategy {found.name} cannot be made with its settings: {problem}") from error


def build_guards(settings: Settings) -> tuple[str, list[Guard]]:
    """The enabled guards in their configured order, and the configuration's hash (rules, guard and strategy
    versions, files of a user's own strategies)."""
    classes = find_guards()
    context = GuardContext(
        round_trip=settings.fees.round_trip,
        stop_fraction=stop_fraction(settings.stop),
        risk=settings.risk,
        targets=settings.targets,
        stop=settings.stop if settings.stop.mode == "atr" else None,
    )
    guards: list[Guard] = []
    for name in settings.guards.order:
        params = getattr(settings.guards, name)
        if params.enabled:
            guards.append(classes[name](params, context))
    versions: dict[str, int | str] = {f"guard:{name}": cls.version for name, cls in classes.items()}
    for name in settings.strategies:
        versions[f"strategy:{name}"] = settings.strategy_classes[name].version
        if name in settings.strategy_files:
            versions[f"file:{name}"] = settings.strategy_files[name]
    return config_hash(settings, versions), guards


def size_rules(settings: Settings, instruments: Mapping[str, Instrument]) -> SizeRules:
    return SizeRules(
        sizing=settings.sizing,
        risk=settings.risk,
        fee=settings.fees.taker,
        slip=settings.entry.max_slip_bps / 10_000,
        stop=stop_fraction(settings.stop),
        correlations=Correlations(settings.risk.correlation_half_life_bars),
        true_trend=settings.true_trend,
        brackets=brackets_of(instruments, settings.paper),
    )


def exploration_of(settings: Settings) -> Exploration | None:
    """On paper only."""
    of = settings.learning
    return Exploration(of.explore_share, of.explore_seed) if of.explore_share and settings.mode == "paper" else None


def mark_of(market: MarketView) -> Decimal | None:
    """What a position is worth: the mark, without a book the last trade."""
    price = market.last if market.mark is None else market.mark
    return None if price is None else exact(round(price, 8))  # the mean of two prices has float noise
