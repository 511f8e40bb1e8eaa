"""What may reach the reader's browser: a reading of the dashboard's own source, and of `safe`."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from test_charts import START

import dashboard
from cases.case import Event
from dashboard import words
from dashboard.asgi import HEADERS
from dashboard.posts import ours
from dashboard.serve import _hosts, settings

FOLDER = Path(dashboard.__file__).parent
SOURCES = sorted(FOLDER.rglob("*.py"))

# Everything of Streamlit that renders markdown or HTML, and which arguments do. Measured: each of
# these fetched a remote image out of a hostile text. `help` is one of them everywhere.
MARKDOWN = {
    *("title", "header", "subheader", "caption", "markdown", "badge", "latex", "write", "echo"),
    *("info", "success", "warning", "error", "exception", "toast", "status", "spinner", "progress"),
    *("metric", "expander", "popover", "tabs", "dialog", "table", "link_button", "page_link"),
    *("button", "download_button", "checkbox", "toggle", "radio", "pills", "segmented_control"),
    *("selectbox", "multiselect", "date_input", "text_input", "text_area", "feedback", "image"),
}
FORBIDDEN = {"html", "unsafe_allow_html", "unsafe_allow_javascript", "write", "table", "image"}
FORBIDDEN |= {"components", "iframe", "ImageColumn", "MarkdownColumn", "write_stream"}
# These take what they show as it is, without markdown.
PLAIN_ARGUMENTS = {
    *("key", "format", "bind", "icon", "color", "mime", "file_name", "data", "on_click", "options"),
    *("selection_mode", "position", "width", "height", "gap", "delta_color", "delta_arrow"),
    *("label_visibility", "on_change", "min_value", "max_value", "default", "index", "anchor"),
    *("border", "required", "vertical_alignment", "horizontal_alignment", "format_func", "type"),
}
# The second and later positional arguments of these are values and options, not markdown.
ONE_LABEL = {"download_button", "pills", "segmented_control", "selectbox", "date_input"}


# Whose sentences may be shown.
SENTENCES = ("words", "stance_words")
# Receivers that are not Streamlit: the dashboard's own modules, and the log.
OTHERS = ("words.", "data.", "charts.", "buckets.", "posts.", "logging.", "store.")
OTHERS += ("stance_words.", "stance.", "backlash.", "reason_chart.")


def calls(tree: ast.AST) -> list[ast.Call]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call)]


def shown(call: ast.Call) -> list[ast.expr]:
    """The arguments of a Streamlit call that are rendered as markdown."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    positional = call.args[:1] if name in ONE_LABEL else call.args
    named = [word.value for word in call.keywords if word.arg not in PLAIN_ARGUMENTS]
    return [*positional, *named]


def trusted(node: ast.expr, known: set[str]) -> bool:
    """A literal, a constant or a sentence of SENTENCES, or a name that was assigned only those."""
    match node:
        case ast.Constant():
            return True
        case ast.Attribute(value=ast.Name(id=module)):
            return module in SENTENCES
        case ast.Call(func=inner) | ast.Subscript(value=inner):
            return trusted(inner, set())
        case ast.IfExp(body=body, orelse=orelse):
            return trusted(body, known) and trusted(orelse, known)
        case ast.Name(id=name):
            return name in known
    return False


def streamlits(node: ast.Call) -> str:
    """The name of the Streamlit function a call is of, or nothing."""
    if isinstance(node.func, ast.Name):
        return "_figure" if node.func.id == "_figure" else ""
    if not isinstance(node.func, ast.Attribute) or ast.unparse(node.func).startswith(OTHERS):
        return ""
    return node.func.attr


def assigned(function: ast.AST) -> set[str]:
    """Names whose every value in the function is trusted, loops over literals or words included."""
    good: set[str] = set()
    bad: set[str] = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    (good if trusted(node.value, set()) else bad).add(target.id)
        elif isinstance(node, ast.For):
            names = [n.id for n in ast.walk(node.target) if isinstance(n, ast.Name)]
            literal = isinstance(node.iter, ast.Tuple | ast.List)
            (good if literal or trusted(node.iter, set()) else bad).update(names)
    return good - bad


def violations(source: str) -> list[str]:
    """Every place of a page that could render text that is not ours."""
    tree = ast.parse(source)
    found = []
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    for function in [*functions, tree]:
        known = assigned(function) if isinstance(function, ast.FunctionDef) else set()
        if isinstance(function, ast.FunctionDef) and function.name == "_figure":
            # Its callers are held to the same rule below.
            known |= {argument.arg for argument in function.args.args}
        body = function.body if isinstance(function, ast.FunctionDef) else outside(tree)
        for call in (c for part in body for c in calls(part)):
            name = streamlits(call)
            inner = [f for f in functions if f is not function and call in calls(f)]
            if any(set(calls(f)) < set(calls(function)) for f in inner):
                continue  # read with the function it stands in
            if name in MARKDOWN | {"_figure"}:
                found += [
                    f"{call.lineno}: {ast.unparse(part)}"
                    for part in shown(call)
                    if not trusted(part, known)
                ]
    names = {streamlits(call) for call in calls(tree)}
    names |= {word.arg for call in calls(tree) for word in call.keywords if word.arg}
    return found + sorted(names & FORBIDDEN)


def outside(tree: ast.Module) -> list[ast.stmt]:
    return [node for node in tree.body if not isinstance(node, ast.FunctionDef | ast.ClassDef)]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(FOLDER)))
def test_pages_show_markdown_only_from_literals_and_words(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    if "import streamlit" in source:
        assert violations(source) == []


@pytest.mark.parametrize(
    "line",
    [
        "st.markdown(row['text'])",
        "st.caption(f'by {author}')",
        "st.header(case.title)",
        "st.metric('n', post.community)",
        "st.metric('n', '1', help=text)",
        "filters.pills(label, options)",
        "st.info(str(error))",
        "text = row['text']\n    st.caption(text)",
        "text = 'a'\n    text = row['text']\n    st.caption(text)",
        "for text in frame['text']:\n        st.caption(text)",
        "st.markdown('x', unsafe_allow_html=True)",
        "st.html('x')",
        "_figure(row['text'], '1', '2', '3', '4')",
        "with st.expander(author):\n        pass",
    ],
)
def test_the_reading_finds_what_it_looks_for(line: str) -> None:
    assert violations(f"def page():\n    {line}\n")


@pytest.mark.parametrize(
    "line",
    [
        "st.text(row['text'])",
        "st.markdown(words.event_list(inside))",
        "st.caption('Only literals.')",
        "sentence = words.store_empty()\n    st.info(sentence)",
        "st.pills('Platforms', known, key='platform')",
    ],
)
def test_the_reading_lets_pass_what_is_safe(line: str) -> None:
    assert violations(f"def page():\n    {line}\n") == []


def strangers(source: str) -> list[str]:
    """Values in the f-strings of words.py that are neither formatted numbers or times, nor calls
    of its own functions, nor names made from those."""
    tree = ast.parse(source)
    found = []
    for function in tree.body:
        if not isinstance(function, ast.FunctionDef):
            continue
        parameters = {a.arg for a in [*function.args.args, *function.args.kwonlyargs]}
        for node in ast.walk(function):
            if not isinstance(node, ast.FormattedValue):
                continue
            value = node.value
            own = isinstance(value, ast.Call) and isinstance(value.func, ast.Name)
            local = isinstance(value, ast.Name) and value.id not in parameters
            shouted = local and value.id.isupper()  # constants of this module
            if not (node.format_spec or own or local or shouted):
                found.append(f"{value.lineno}: {ast.unparse(value)}")
    return found


def test_sentences_hold_only_numbers_times_and_escaped_text() -> None:
    for module in SENTENCES:
        assert strangers((FOLDER / f"{module}.py").read_text(encoding="utf-8")) == []
    assert strangers("def f(case: Case) -> str:\n    return f'{case.title}'\n")
    assert strangers("def f(text: str) -> str:\n    return f'{text}'\n")


HOSTILE = [
    "![x](https://evil.example/x.png)",
    "[click](javascript:alert(1))",
    '<img src="https://evil.example/x.png">',
    ":red[alarm] :material/home: $x^2$ **bold** `code`",
    "a\n\n# heading\n\n| t |\n|---|",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_escaped_text_has_no_markup_left(text: str) -> None:
    escaped = words.safe(text)
    assert "\n" not in escaped
    for at, character in enumerate(escaped):
        if character in "!\"#$%&'()*+,-./:;<=>?@[]^_`{|}~":
            assert escaped[at - 1] == "\\"


@hypothesis_settings(deadline=None)
@given(st.text())
def test_escaped_text_reads_as_it_was(text: str) -> None:
    escaped = words.safe(text)
    plain, at = [], 0
    while at < len(escaped):
        at += escaped[at] == "\\"  # a backslash gives way to what follows it
        plain.append(escaped[at])
        at += 1
    joiner = "\u2060"  # invisible; keeps addresses from becoming links
    assert "".join(plain).replace(joiner, "") == " ".join(text.split()).replace(joiner, "")


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "https://a.example/x) ![y](https://evil.example/y.png",
        "https://a.example/<img>",
        "data:text/html,x",
        'https://a.example/"x',
    ],
)
def test_an_event_is_linked_only_to_a_plain_web_address(url: str) -> None:
    event = Event(START, "day", "discovery", "A title", "A source", url)
    assert "](" not in words.event_line(1, event)


def test_an_event_with_an_address_is_linked() -> None:
    event = Event(START, "day", "discovery", "A [title]", "A source", "https://a.example/b?c=(d)")
    assert r"[A \[title\]](<https://a.example/b?c=%28d%29>)" in words.event_line(1, event)


@pytest.mark.parametrize(
    ("address", "kept"),
    [
        ("https://bsky.app/profile/did:plc:x/post/y", True),
        ("https://www.reddit.com/comments/abc/", True),
        ("https://bsky.app.evil.example/", False),
        ("https://evil.example/?https://bsky.app/", False),
        ("javascript:alert(1)", False),
        (None, False),
    ],
)
def test_a_post_is_linked_only_to_its_platform(address: str | None, kept: bool) -> None:
    assert ours(address) == (address if kept else None)


OF_STANCE = {"stance.py", "stance_words.py", "pages/backlash.py", "data.py"}


def test_the_words_claim_no_more_than_was_measured() -> None:
    for path in SOURCES:
        source = path.read_text(encoding="utf-8").lower()
        if str(path.relative_to(FOLDER)) not in OF_STANCE:
            assert "backlash index" not in source, path
        assert "95 % ci" not in source, path
        assert "95% ci" not in source, path


def test_the_settings_keep_browsers_and_errors_to_themselves() -> None:
    chosen = settings()
    assert chosen["browser.gatherUsageStats"] is False
    assert chosen["client.showErrorDetails"] == "none"
    assert chosen["client.disableDataExport"] is True
    assert chosen["client.toolbarMode"] == "viewer"
    assert chosen["server.fileWatcherType"] == "none"
    assert chosen["server.enableAgentApi"] is False
    assert chosen["theme.light.backgroundColor"] == "#ffffff"


def test_on_loopback_only_its_own_names_are_answered() -> None:
    assert _hosts("127.0.0.1")["server.allowedHosts"] == ["127.0.0.1", "::1", "localhost"]
    assert _hosts("0.0.0.0") == {}  # noqa: S104 - whoever serves to others says so in a proxy


def test_no_other_host_may_be_asked() -> None:
    policy = dict(HEADERS)[b"content-security-policy"].decode()
    for directive in ("default-src", "img-src", "connect-src", "font-src", "script-src"):
        allowed = next(part for part in policy.split("; ") if part.startswith(directive))
        assert "http" not in allowed
        assert "*" not in allowed
