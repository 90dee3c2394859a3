"""CoinGlass API V4: what the plan covers (`plans`), strict parsing (`envelope`, `schema`), answers made into readings
(`shape`), one call (`client`), and which call when (`poller`)."""
