"""HAProxy's configuration as Ray Serve writes it, with what this service needs and Ray cannot be told. Pure text.

Ray balances by the fewest open requests (`leastconn`), and a session is one for an hour. So sessions have a backend of
their own with the same servers: HAProxy counts the two apart, and neither draws the other away.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from http import HTTPStatus

from src.errors import error_body

MARK = "# amended by parakeet-server"
SESSIONS = "-sessions"
"""What the name of a backend for sessions ends with."""
CLIENTS_MAY_NOT = ("x-request-timeout-seconds", "x-request-disconnect-disabled")
"""Headers by which Ray lets clients end requests early, or have them go on alone."""
HEAD_S = 20
"""Seconds that the head of a request may take, as in the service's own server."""
TUNNEL_S = 3700
"""Seconds without a byte after which a WebSocket is closed; the service itself pings and closes earlier."""
RETRY_S = 5
"""`Retry-After` where a replica has gone: another takes its place in about that time."""
GONE = "The server that had this request has gone. Send it again."
ANSWERS = {
    HTTPStatus.BAD_GATEWAY: ("server_gone", GONE),
    HTTPStatus.SERVICE_UNAVAILABLE: ("no_server", "No server is ready. Try again later."),
    HTTPStatus.GATEWAY_TIMEOUT: ("server_gone", GONE),
}
"""Code and message of HAProxy's own answers. Those to broken and slow heads, 400 and 408, cannot be changed."""


@dataclass(frozen=True)
class Section:
    """A part of the configuration: its first line, and the lines up to the next section."""

    head: str
    lines: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """Its keyword, such as `backend`."""
        return self.head.split()[0]

    @property
    def name(self) -> str:
        """Its name; empty if it has none."""
        return self.head.partition(" ")[2].strip()


def shipped(config: str) -> str:
    """Return a configuration of Ray's as this service ships it; one that is amended already is returned as it is.

    - Sessions have backends of their own.
    - `CLIENTS_MAY_NOT` is removed from requests.
    - HAProxy's own answers where a replica is gone have OpenAI's error body, and say when to try again.
    - Slow heads get 408, silent WebSockets end.
    - HAProxy's statistics are for this machine only.
    """
    if MARK in config:
        return config
    sections = _sections(config)
    sections = [_amended(section) for section in sections]
    targets = {target for section in sections for target in _targets(section)}
    sessions = [_for_sessions(each) for each in sections if each.kind == "backend" and each.name in targets]
    lines = [MARK, *(line for section in [*sections, *sessions] for line in (section.head, *section.lines))]
    return "\n".join(lines) + "\n"


def _sections(config: str) -> list[Section]:
    sections: list[Section] = []
    for line in config.splitlines():
        if re.match(r"(global|defaults|frontend|backend|listen)\b", line):
            sections.append(Section(line))
        elif sections:
            sections[-1] = replace(sections[-1], lines=(*sections[-1].lines, line))
    return sections


def _amended(section: Section) -> Section:
    changes: dict[str, Callable[[Section], tuple[str, ...]]] = {
        "defaults": _with_answers,
        "frontend prometheus": _on_loopback,
        "listen stats": _on_loopback,
        "frontend http_frontend": _with_sessions_apart,
    }
    change = changes.get(section.head.strip())
    return replace(section, lines=change(section)) if change else section


def _with_answers(section: Section) -> tuple[str, ...]:
    kept = [line for line in section.lines if not re.match(r"\s*(errorfile|timeout (http-request|tunnel)) ", line)]
    answers = (_http_error(status, *answer) for status, answer in ANSWERS.items())
    return (*kept, f"    timeout http-request {HEAD_S}s", f"    timeout tunnel {TUNNEL_S}s", *answers)


def _http_error(status: HTTPStatus, code: str, message: str) -> str:
    body = json.dumps(error_body(message, type="server_error", code=code))
    reply = f"content-type application/json string '{body}' hdr retry-after {RETRY_S}"
    return f"    http-error status {status.value} {reply}"


def _on_loopback(section: Section) -> tuple[str, ...]:
    return tuple(re.sub(r"^(\s*bind )\*?:", r"\g<1>127.0.0.1:", line) for line in section.lines)


def _with_sessions_apart(section: Section) -> tuple[str, ...]:
    lines: list[str] = []
    for line in section.lines:
        if backend := re.match(r"\s*use_backend (\S+) if (.*)", line):
            lines.append(f"    use_backend {backend[1]}{SESSIONS} if {backend[2]} {{ hdr(upgrade) -i websocket }}")
        lines.append(line)
        if line.strip().startswith("bind "):
            lines += [f"    http-request del-header {header}" for header in CLIENTS_MAY_NOT]
    return tuple(lines)


def _targets(section: Section) -> list[str]:
    """Return the backends, besides the default, that HTTP requests go to."""
    if section.head.strip() != "frontend http_frontend":
        return []
    found = (re.match(r"\s*use_backend (\S+) ", line) for line in section.lines)
    return [each[1] for each in found if each]


def _for_sessions(backend: Section) -> Section:
    """Return a backend of the same servers. Their health is that of the first backend, and is not checked twice."""

    def tracking(line: str) -> str:
        server = re.match(r"(\s*server )(\S+) (\S+) .*?( backup)?$", line)
        if not server:
            return line
        return f"{server[1]}{server[2]} {server[3]} track {backend.name}/{server[2]}{server[4] or ''}"

    kept = (line for line in backend.lines if not re.match(r"\s*(#|option httpchk|http-check|default-server)", line))
    return Section(f"backend {backend.name}{SESSIONS}", tuple(map(tracking, kept)))
