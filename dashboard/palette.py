"""The colours of the charts, one palette for light pages and one for dark ones.

The page's own colours stand in .streamlit/config.toml. No red and green: negative is orange,
positive blue (Okabe and Ito 2008), and no meaning hangs on a colour alone.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Palette:
    """Colours by what they are for, as #rrggbb."""

    negative: str
    positive: str
    ink: str  # lines, event numbers
    muted: str  # axis labels, bands, rules
    grid: str
    gap: str  # shade over time nobody read
    late: str  # bar under time collected afterwards
    standardised: str
    page: str
    bluesky: str
    reddit: str

    def platform(self, source: str) -> str:
        """The line colour of a platform; ink for one without a colour of its own."""
        return {"bluesky": self.bluesky, "reddit": self.reddit}.get(source, self.ink)


LIGHT = Palette(
    negative="#C24E00",
    positive="#0072B2",
    ink="#1c2127",
    muted="#57606a",
    grid="#e9ecef",
    gap="#e3e8ed",
    late="#8A6A00",
    standardised="#B0306A",
    page="#ffffff",
    bluesky="#5B3FB0",
    reddit="#00796B",
)
DARK = Palette(
    negative="#FF8A3D",
    positive="#56B4E9",
    ink="#e8ebee",
    muted="#a9b4bf",
    grid="#262c32",
    gap="#2a3138",
    late="#E5C453",
    standardised="#F28CB9",
    page="#14171a",
    bluesky="#B7A3FF",
    reddit="#4FD1BF",
)


def palette(theme: str | None) -> Palette:
    """The palette for `st.context.theme.type`: dark for "dark", light for anything else."""
    return DARK if theme == "dark" else LIGHT
