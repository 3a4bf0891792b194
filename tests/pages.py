"""What every page must keep: nothing from elsewhere, no error, no overflow, and enough contrast."""

from pathlib import Path
from typing import Literal

from playwright.sync_api import Page

NARROW, WIDE = 360, 1200
LEAST_CONTRAST = 4.5  # of text: WCAG 2.2, 1.4.3
LARGE_CONTRAST = 3.0  # of text from 24 px on, or from 18.66 px if bold

# Every text that is seen, with its contrast to the first opaque background behind it.
CONTRASTS = """
() => {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 1;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    context.clearRect(0, 0, 1, 1);
    context.fillStyle = colour;
    context.fillRect(0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data];
  };
  const light = (colour) => {
    const [r, g, b] = rgba(colour).slice(0, 3).map((part) => {
      const share = part / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (rgba(colour)[3] === 255) return colour;
    }
    return "white";
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    const text = walker.currentNode.textContent.trim();
    if (!text || !element.checkVisibility() || element.closest("script, style, title")) continue;
    const style = getComputedStyle(element);
    const colour = element.closest("svg") ? style.fill : style.color;
    const [a, b] = [light(colour), light(behind(element))];
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    found.push({ text: text.slice(0, 40), ratio, large });
  }
  return found;
}
"""


def look(page: Page, place: Path | str) -> None:
    """Open a page, narrow and wide, light and dark, and demand what every page must keep.

    `place` is a file, or the address of a service that may ask itself.
    """
    address = place.as_uri() if isinstance(place, Path) else place
    asked, problems = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.set_viewport_size({"width": WIDE, "height": 900})
    page.goto(address)
    for details in page.locator("details").all():
        details.evaluate("element => element.open = true")
    _demand_names(page)
    themes: tuple[Literal["light", "dark"], ...] = ("light", "dark")
    for theme in themes:
        page.emulate_media(color_scheme=theme)
        pale = [
            text
            for text in page.evaluate(CONTRASTS)
            if text["ratio"] < (LARGE_CONTRAST if text["large"] else LEAST_CONTRAST)
        ]
        assert not pale, f"{theme}: {pale[:5]}"
    page.set_viewport_size({"width": NARROW, "height": 800})
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= NARROW, f"{width} px wide"
    page.set_viewport_size({"width": WIDE, "height": 900})
    assert not [url for url in asked if not url.startswith(("data:", address))]
    assert not problems, problems


def _demand_names(page: Page) -> None:
    """Every drawing and every region that scrolls has a name for who cannot see it."""
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll("svg, [role=region]")]
        .filter((element) => !element.getAttribute("aria-label"))
        .filter((element) => !element.closest("[aria-hidden]"))
        .map((element) => element.outerHTML.slice(0, 80))"""
    )
    assert not unnamed, unnamed
