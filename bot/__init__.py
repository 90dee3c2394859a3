"""Big Alpha: an asyncio trading engine for crypto perpetual futures."""

__version__ = "0.1.0"
