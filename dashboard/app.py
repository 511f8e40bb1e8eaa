"""The dashboard's entry script: runs at every visit, sets the tab up and hands over to a page."""

from __future__ import annotations

import streamlit as st

from dashboard import data, words
from dashboard.pages import overview

# An emoji: a :material/...: icon here would make the browser ask fonts.gstatic.com.
st.set_page_config(
    page_title=words.tab_title(None, demo=data.is_demo()),
    page_icon="\N{CHART WITH DOWNWARDS TREND}",
    layout="wide",
)
if data.is_demo():
    st.info(words.DEMO, icon=":material/science:")
st.navigation(
    [st.Page(overview.page, title="Overview", icon=":material/monitoring:", default=True)],
    position="top",
).run()
