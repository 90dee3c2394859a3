"""All settings on one page: who owns which group, how they are loaded, shown and identified.

Order: command line, environment (`BOT_`, `__` between levels), `.env`, TOML files, defaults. Read once at start and passed
on as frozen `Params`; no other module reads the environment. A group belongs to the module that uses it; those of guards
and strategies are found by file name (`plugins.py`), those of a user's own strategies in a folder of theirs
(`own_strategies.py`). `sources.py` reads the files and says where each value is from.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from functools import cache, reduce
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple

from pydantic import AfterValidator, Field, PrivateAttr, SecretStr, ValidationError, create_model, field_validator

from bot.app.connections import (
    SIM,
    TAPE,
    VENUES,
    ApiSettings,
    CockpitSettings,
    CoinglassSettings,
    DeribitSettings,
    OtherVenueSettings,
    SimSettings,
    UserPath,
    VenueSettings,
)
from bot.app.own_strategies import OwnStrategy, load_strategies
from bot.app.plugins import StrategyClass, find_guards, find_strategies
from bot.app.sources import MASK, Layers, Leaf, Mistake, leaves
from bot.domain.errors import ConfigError
from bot.domain.params import Params
from bot.exchanges.base import exchanges
from bot.intel.params import VenueStatisticsParams
from bot.learning.params import LearningParams
from bot.market.bars import BarParams
from bot.market.flow import OfiParams, TakerParams, WhaleParams
from bot.market.regime import RegimeParams
from bot.market.walls import WallParams
from bot.runtime.recorder import RecordParams
from bot.trading.costs import FeeParams
from bot.trading.exits.hold import ExitParams, HoldParams, TrueTrendParams
from bot.trading.exits.ladder import LadderParams
from bot.trading.exits.protection import StopParams
from bot.trading.exits.walls import TargetParams
from bot.trading.positions import EntryParams
from bot.trading.risk import RiskParams
from bot.trading.shadow.desk import ShadowParams
from bot.trading.sizing import SizingParams
from bot.venues.paper import PaperParams

DEFAULT_FILE = Path("bot.toml")
DOTENV = Path(".env")

_GUARD_ORDER = (
    "risk_limits",
    "probation",
    "session_window",
    "liquidation_wall",
    "long_trap",
    "whale_conflict",
    "taker_aggression",
    "wall_resistance",
)
_UNIFIED = re.compile(r"[^\s/:]+/[^\s/:]+:[^\s/:]+")


def _unique(values: tuple[str, ...]) -> tuple[str, ...]:
    twice = sorted({value for value in values if values.count(value) > 1})
    if twice:
        raise ValueError(f"named twice: {', '.join(twice)}")
    return values


Names = Annotated[tuple[str, ...], AfterValidator(_unique)]


class GuardOrder(Params):
    """The guards' own groups are added by `_with_plugins`, one for each file in `trading/guards`."""

    order: tuple[str, ...] = Field(
        tuple(sorted(find_guards(), key=lambda name: (*_GUARD_ORDER, name).index(name))),
        description="every guard once; the first that blocks is named as the blocker",
    )

    @field_validator("order")
    @classmethod
    def _every_guard_once(cls, order: tuple[str, ...]) -> tuple[str, ...]:
        _unique(order)
        missing, unknown = set(find_guards()) - set(order), set(order) - set(find_guards())
        if unknown:
            raise ValueError(f"no such guard: {', '.join(sorted(unknown))}")
        if missing:
            raise ValueError(f"must name every guard, missing: {', '.join(sorted(missing))} (see guards.NAME.enabled)")
        return order


def _with_plugins(name: str, base: type[Params], plugins: Mapping[str, Any]) -> type[Params]:
    groups: dict[str, Any] = {key: (plugin.Params, plugin.Params()) for key, plugin in plugins.items()}
    return create_model(name, __base__=base, **groups)


if TYPE_CHECKING:  # what the files in trading/guards and trading/strategies add is only known when the program runs
    GuardSettings = GuardOrder
    StrategySettings = Params
else:
    GuardSettings = _with_plugins("GuardSettings", GuardOrder, find_guards())
    StrategySettings = _with_plugins("StrategySettings", Params, find_strategies())


class Settings(Params):
    """Everything that can be set. Made by `load_settings`; `Settings(...)` alone reads no file and no environment."""

    mode: Literal["paper", "live"] = "paper"
    account: str = Field("main", pattern=r"^[A-Za-z0-9_.-]{1,32}$", description="one account, one data folder")
    symbols: Names = Field(("BTC/USDT:USDT",), min_length=1, description="ccxt's unified symbols, comma-separated")
    strategies: Names = Field(("ofi",), description="comma-separated; may be empty")
    strategies_dir: UserPath | None = Field(None, description="your own strategies, one NAME.py each; run as you")
    data_dir: UserPath = Field(Path("data"), description="journal and API token; one running program at a time")
    venue: VenueSettings = VenueSettings()
    sim: SimSettings = SimSettings()
    binanceusdm: OtherVenueSettings = OtherVenueSettings()
    bybit: OtherVenueSettings = OtherVenueSettings()
    okx: OtherVenueSettings = OtherVenueSettings()
    coinglass: CoinglassSettings = CoinglassSettings()
    deribit: DeribitSettings = DeribitSettings()
    statistics: VenueStatisticsParams = VenueStatisticsParams()
    api: ApiSettings = ApiSettings()
    cockpit: CockpitSettings = CockpitSettings()
    record: RecordParams = RecordParams()
    fees: FeeParams = FeeParams()
    paper: PaperParams = PaperParams()
    risk: RiskParams = RiskParams()
    sizing: SizingParams = SizingParams()
    entry: EntryParams = EntryParams()
    ladder: LadderParams = LadderParams()
    targets: TargetParams = TargetParams()
    stop: StopParams = StopParams()
    hold: HoldParams = HoldParams()
    true_trend: TrueTrendParams = TrueTrendParams()
    exits: ExitParams = ExitParams()
    shadow: ShadowParams = ShadowParams()
    taker: TakerParams = TakerParams()
    whale: WhaleParams = WhaleParams()
    walls: WallParams = WallParams()
    ofi: OfiParams = OfiParams()
    bars: BarParams = BarParams()
    regime: RegimeParams = RegimeParams()
    learning: LearningParams = LearningParams()
    guards: GuardSettings = GuardSettings()
    strategy: StrategySettings = StrategySettings()

    strategy_classes: ClassVar[Mapping[str, StrategyClass]] = find_strategies()
    strategy_files: ClassVar[Mapping[str, str]] = {}
    """Hashes of the files of the user's own strategies, by name."""
    _sources: dict[str, str] = PrivateAttr(default_factory=dict)

    @field_validator("symbols")
    @classmethod
    def _unified(cls, symbols: tuple[str, ...]) -> tuple[str, ...]:
        wrong = [symbol for symbol in symbols if not _UNIFIED.fullmatch(symbol)]
        if wrong:
            raise ValueError(f"not a unified symbol such as BTC/USDT:USDT: {', '.join(wrong)}")
        return symbols

    @field_validator("strategies")
    @classmethod
    def _known(cls, strategies: tuple[str, ...]) -> tuple[str, ...]:
        known = cls.strategy_classes
        wrong = [name for name in strategies if name not in known]
        if wrong:
            raise ValueError(f"no such strategy: {', '.join(wrong)}; there is {', '.join(known)}")
        return strategies


@cache
def _leaves(model: type[Settings]) -> tuple[Leaf, ...]:
    return tuple(leaves(model))


LEAVES = _leaves(Settings)
"""Every setting there is without strategies of a user's own."""


def with_own_strategies(own: Mapping[str, OwnStrategy]) -> type[Settings]:
    """Settings in which these are known beside the built-in ones, each with its group."""
    classes = {**Settings.strategy_classes, **{name: each.found for name, each in own.items()}}
    groups = _with_plugins("StrategySettings", Params, classes)
    model = create_model("Settings", __base__=Settings, strategy=(groups, groups()))
    model.strategy_classes = classes
    model.strategy_files = {name: each.file_hash for name, each in own.items()}
    return model


def load_settings(
    *,
    files: Sequence[Path] = (),
    overrides: Mapping[str, Any] | None = None,
    env: Mapping[str, str] | None = None,
    strategies: bool = True,
) -> Settings:
    """Settings from everywhere, or a ConfigError that tells every mistake at once.

    Without `files`, ./bot.toml is read if it exists; of several, a later one wins. `overrides` are the command line's, by
    dotted name (None: not given). `env` is the process's environment unless given. Without `strategies` no file of
    `strategies_dir` is run and all that is set about strategies is passed over: for commands that ask none.
    """
    sources = _Sources(files, overrides or {}, os.environ if env is None else env)
    layers, model = sources.layers(Settings), Settings
    if not strategies:
        layers.forget("strategies", "strategy")
    elif (model := _model(layers)) is not Settings:
        layers = sources.layers(model)
    settings = model()
    try:
        settings = model.model_validate(layers.nested())
    except ValidationError as error:
        layers.refused(error)
    if layers.mistakes:
        raise ConfigError(_table(layers.mistakes))
    settings = _with_own_folder(settings)
    settings._sources.update({name: given.source for name, given in layers.values.items()})
    return settings


def _with_own_folder(settings: Settings) -> Settings:
    """Money that was never at stake in a market that never was is not mixed with what is kept of real ones."""
    if settings.venue.name != SIM or "data_dir" in settings.model_fields_set:
        return settings
    own = settings.model_copy(update={"data_dir": settings.data_dir / SIM})
    own.model_fields_set.discard("data_dir")
    return own


def settings_model(
    *, files: Sequence[Path] = (), overrides: Mapping[str, Any] | None = None, env: Mapping[str, str] | None = None
) -> type[Settings]:
    """What `load_settings` would check these sources with; other mistakes in them are not told."""
    return _model(_Sources(files, overrides or {}, os.environ if env is None else env).layers(Settings))


class _Sources(NamedTuple):
    files: Sequence[Path]
    overrides: Mapping[str, Any]
    env: Mapping[str, str]

    def layers(self, model: type[Settings]) -> Layers:
        """What they say, for this model."""
        layers = Layers(_leaves(model))
        for path in self.files or [DEFAULT_FILE] * DEFAULT_FILE.exists():
            layers.toml(path)
        layers.dotenv(DOTENV)
        layers.environment(self.env)
        layers.command_line(self.overrides)
        return layers


def _model(layers: Layers) -> type[Settings]:
    """Settings, with the strategies of the folder that is set; where that is no path, checking will say so."""
    given = layers.values.get("strategies_dir")
    if given is None or not isinstance(given.value, str | Path):
        return Settings
    return with_own_strategies(load_strategies(Path(given.value).expanduser(), Settings.strategy_classes))


def _table(mistakes: Sequence[Mistake]) -> str:
    rows = [Mistake("setting", "problem", "got", "source"), *mistakes]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [
        "  ".join([*(f"{cell:{width}}" for cell, width in zip(row[:3], widths, strict=True)), row.source])
        for row in rows
    ]
    count = "one mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
    return "\n".join([f"{count} in the settings; nothing was started", *lines])


class Described(NamedTuple):
    """One line of `config show`; `value` is text, with secrets masked."""

    name: str
    value: str
    default: bool
    source: str


def describe(settings: Settings) -> list[Described]:
    defaults = type(settings)()
    return [
        Described(
            leaf.name,
            _shown(_value(settings, leaf)),
            _value(settings, leaf) == _value(defaults, leaf),
            _source(settings, leaf),
        )
        for leaf in _leaves(type(settings))
    ]


def schema(model: type[Settings] = Settings) -> dict[str, Any]:
    """JSON Schema of a settings file."""
    return model.model_json_schema()


def config_hash(settings: Settings, versions: Mapping[str, int | str]) -> str:
    """Identity of the rules: every setting that affects a decision, and the versions of guards and strategies.

    A strategy that is not asked affects none."""
    unasked = tuple(f"strategy.{name}." for name in settings.strategy_classes if name not in settings.strategies)
    rules = {
        leaf.name: _value(settings, leaf)
        for leaf in _leaves(type(settings))
        if _is_rule(leaf) and not leaf.name.startswith(unasked)
    }
    text = json.dumps({"settings": rules, "versions": dict(versions)}, sort_keys=True, default=_canonical)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def rules(settings: Settings) -> dict[str, str]:
    """The settings that affect decisions, as text by name: no secret, no path, no host."""
    return {leaf.name: _shown(_value(settings, leaf)) for leaf in _leaves(type(settings)) if _is_rule(leaf)}


def unsupported(settings: Settings) -> tuple[list[str], list[str]]:
    """What is set and this version cannot do: errors (it must not start) and notices (it starts without)."""
    errors, notices = [], []
    if settings.mode == "live":
        errors.append("mode = live: live trading is not in this version; use mode = paper")
    if settings.venue.name not in VENUES:
        errors.append(f"venue.name = {settings.venue.name}: not in this version; there is {', '.join(VENUES)}")
    others = settings.walls.venues or ()
    real = tuple(exchanges())
    if wrong := [name for name in others if name not in real]:
        errors.append(f"walls.venues = {', '.join(wrong)}: no such venue; there is {', '.join(real)}")
    if len(set(others)) < len(others):
        errors.append(f"walls.venues = {', '.join(others)}: a venue is named twice")
    errors.extend(_bars_lacking(settings))
    window = getattr(settings.guards, "session_window", None)
    if window is not None and not window.enabled and (window.hours or window.blackouts):
        notices.append("guards.session_window has hours or blackouts, but is off: set guards.session_window.enabled")
    if settings.strategies_dir is not None and not set(settings.strategies) & set(settings.strategy_files):
        there = ", ".join(settings.strategy_files) or "none"
        notices.append(
            f"strategies_dir is set, but no strategy in it is asked: name it in strategies (there is {there})"
        )
    given = {leaf.name for leaf in LEAVES if _value(settings, leaf) is not None}
    for name, reason in _WITHOUT_EFFECT.items():
        if name in given and not (settings.venue.name not in (TAPE, SIM) and name in _PUBLIC):
            told = _OWN_EXCHANGE if settings.venue.name == SIM and name in _PUBLIC else reason
            notices.append(f"{name} is set, but {told}")
    if settings.venue.name == SIM and others:
        notices.append(f"walls.venues is set, but {_OWN_EXCHANGE}")
    return errors, notices


def _bars_lacking(settings: Settings) -> Iterator[str]:
    """Bars that a strategy or a rule needs and nobody keeps: it would never speak, or no entry would ever be made."""
    bars, stop, trend = settings.bars, settings.stop, getattr(settings.strategy, "trend", None)
    used = ["stop.atr_width_s"] * (stop.mode == "atr" or settings.exits.trailing)
    for name in used if stop.atr_width_s not in bars.widths_s else ():
        yield f"{name} = {stop.atr_width_s}: no such bars are kept; add the width to bars.widths_s"
    if trend is None or "trend" not in settings.strategies:
        return
    if trend.bar_s not in bars.widths_s:
        yield f"strategy.trend.bar_s = {trend.bar_s}: no such bars are kept; add the width to bars.widths_s"
    if trend.bars_needed > bars.keep:
        yield f"strategy.trend needs {trend.bars_needed} bars, but bars.keep = {bars.keep}"


_PUBLIC = ("venue.rest_url", "venue.ws_url", "deribit.base_url", "coinglass.api_key", "coinglass.base_url")
_NO_CONNECTION = "a tape asks nobody: it needs a venue (venue.name)"
_OWN_EXCHANGE = "the embedded exchange asks nobody outside this machine: it needs a venue (venue.name)"
_NO_ORDERS = "this version sends orders to no venue, and public data need no key"
_WITHOUT_EFFECT = {
    "venue.rest_url": _NO_CONNECTION,
    "venue.ws_url": _NO_CONNECTION,
    "venue.api_key": _NO_ORDERS,
    "venue.secret": _NO_ORDERS,
    "venue.password": _NO_ORDERS,
    "coinglass.api_key": _NO_CONNECTION,
    "coinglass.base_url": _NO_CONNECTION,
    "deribit.base_url": _NO_CONNECTION,
}


def _value(settings: Settings, leaf: Leaf) -> Any:
    return reduce(getattr, leaf.name.split("."), settings)


def _source(settings: Settings, leaf: Leaf) -> str:
    """A setting keyed by coin may come from several places."""
    sources = {source: None for name, source in settings._sources.items() if f"{name}.".startswith(f"{leaf.name}.")}
    return ", ".join(sources) or "default"


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, SecretStr):
        return MASK
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(_shown(item) for item in value)
    if isinstance(value, dict):
        return ",".join(f"{key}={_shown(item)}" for key, item in value.items())
    return format(value, "f") if isinstance(value, Decimal) else str(value)


_ELSEWHERE = ("account", "venue.name", "venue.speed")


def _is_rule(leaf: Leaf) -> bool:
    """Whether a setting affects decisions: not who, where and how fast."""
    name = leaf.name
    elsewhere = name.startswith(("api.", "cockpit.", "record.", "sim.")) or name.endswith("_url") or name in _ELSEWHERE
    return not (elsewhere or leaf.secret or Path in leaf.types)


def _canonical(value: Any) -> str:
    if isinstance(value, Decimal):
        return format(value.normalize(), "f")
    raise TypeError(f"no canonical form for {type(value).__name__}")
