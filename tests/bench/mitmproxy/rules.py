"""The rules of tests/bench/addon for mitmproxy."""

import re

from mitmproxy import http

# Path, User-Agent, host, method with query.
RULES = [
    re.compile(r"^/(?:_matrix|api)/v[0-9]+/rooms/[^/]+/(?:send|state)/"),
    re.compile(r"(?i)\b(?:sqlmap|nikto|masscan)\b"),
    re.compile(r"^(?:[a-z0-9-]+\.)*blocked\.example$"),
    re.compile(r"^(?:PUT|DELETE) (?:[^&]*&)*force=(?:1|true)(?:&|$)"),
]


def request(flow: http.HTTPFlow) -> None:
    path, _, query = flow.request.path.partition("?")
    subjects = (
        path,
        flow.request.headers.get("user-agent", ""),
        flow.request.host_header or "",
        f"{flow.request.method} {query}",
    )
    found = "".join("1" if rule.search(subject) else "0" for rule, subject in zip(RULES, subjects))
    flow.request.headers["X-Judged"] = found


def response(flow: http.HTTPFlow) -> None:
    flow.response.headers["X-Seen-By"] = "bench"
