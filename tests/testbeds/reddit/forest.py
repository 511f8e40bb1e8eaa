"""Comment trees as Reddit cuts them: so many at once, the rest as stubs that only count."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

DEEP = 9  # below that Reddit says "continue this thread"

Thing = dict[str, Any]


def forest(comments: Sequence[Thing], link: str, focus: str | None, limit: int) -> Thing:
    """The tree under a submission, or (`focus`: an id) that of one comment."""
    kids = _kids(comments)
    left = limit

    def node(parent: str, depth: int) -> list[Thing]:
        nonlocal left
        shown: list[Thing] = []
        rest: list[Thing] = []
        for one in kids[parent]:
            if left <= 0:
                rest.append(one)
                continue
            left -= 1
            replies: Any = ""
            if depth >= DEEP and kids[one["name"]]:
                replies = _listing([_stub(0, "_", one["name"], [])])
            elif under := node(one["name"], depth + 1):
                replies = _listing(under)
            shown.append({"kind": "t1", "data": one | {"depth": depth, "replies": replies}})
        if rest:
            count = sum(_size(kids, one) for one in rest)
            shown.append(_stub(count, rest[0]["id"], parent, [one["id"] for one in rest]))
        return shown

    root = next((one for one in comments if one["id"] == focus), None)
    if root is None:
        return _listing(node(link, 0))
    left -= 1
    under = node(root["name"], 1)
    data = root | {"depth": 0, "replies": _listing(under) if under else ""}
    return _listing([{"kind": "t1", "data": data}])


def more_children(comments: Sequence[Thing], ids: Sequence[str], limit: int) -> Thing:
    """At most `limit` of these comments and those under them, parents first, the rest as stubs."""
    kids = _kids(comments)
    by_id = {one["id"]: one for one in comments}
    shown: list[Thing] = []
    left: defaultdict[str, list[Thing]] = defaultdict(list)

    def walk(one: Thing) -> None:
        if len(shown) >= limit:
            left[one["parent_id"]].append(one)
            return
        shown.append({"kind": "t1", "data": one | {"replies": ""}})
        for kid in kids[one["name"]]:
            walk(kid)

    for short in ids:
        if short in by_id:
            walk(by_id[short])
    for parent, rest in left.items():
        count = sum(_size(kids, one) for one in rest)
        shown.append(_stub(count, rest[0]["id"], parent, [one["id"] for one in rest]))
    return {"json": {"errors": [], "data": {"things": shown}}}


def _kids(comments: Sequence[Thing]) -> defaultdict[str, list[Thing]]:
    kids: defaultdict[str, list[Thing]] = defaultdict(list)
    for one in comments:
        kids[one["parent_id"]].append(one)
    return kids


def _size(kids: defaultdict[str, list[Thing]], one: Thing) -> int:
    return 1 + sum(_size(kids, kid) for kid in kids[one["name"]])


def _listing(children: list[Thing]) -> Thing:
    return {"kind": "Listing", "data": {"after": None, "before": None, "children": children}}


def _stub(count: int, short: str, parent: str, children: list[str]) -> Thing:
    data = {
        "count": count,
        "name": f"t1_{short}",
        "id": short,
        "parent_id": parent,
        "children": children,
    }
    return {"kind": "more", "data": data}
