"""Pictures of every tab of the cockpit's page from the fixed snapshot, wide and on a phone: `scripts/screenshots`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tests.api.page_world import Served, frame, sections, snap
from tests.browser import Browser, browser

PAGES = {
    "overview": "overview",
    "chart": "chart",
    "analytics": "analytics",
    "guards": "guards/taker_aggression",
    "why": "why/S3",
    "learning": "learning",
    "health": "health",
    "log": "log",
}
SIZES = {"1440": (1440, 900, "dark"), "390": (390, 844, "light")}
SETTLED_S = 0.4  # for the charts to take their size


async def pictures(driven: Browser, folder: Path) -> None:
    shown = sections()
    for row in shown["signals"]:
        row["strategy"] = row["strategy"] if row["strategy"].isalpha() else "ofi"
    shown["events"] = [each for each in shown["events"] if each["kind"] != "FILL"]
    async with Served(snap(shown)) as served:
        for size, (width, height, theme) in SIZES.items():
            page = await driven.page()
            await page.size(width, height, mobile=width < 500)
            await page.theme(theme)
            for name, place in PAGES.items():
                await page.open(f"{served.url}#{place}")
                await page.until(f"document.querySelector('main[data-tab={name}]')?.dataset.frames > 0")
                await asyncio.sleep(SETTLED_S)
                await served.say(frame("tick", 2, {}))
                await asyncio.sleep(SETTLED_S)
                picture = await page.picture(whole=width > 500)
                (folder / f"{name}-{size}.png").write_bytes(picture)
            await page.close()


async def main(folder: Path) -> None:
    async with browser() as driven:
        await pictures(driven, folder)


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    asyncio.run(main(target))
