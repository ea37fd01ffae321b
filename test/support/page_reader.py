"""The operator's page as a test reads it: its tables, its tags and its text."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "input", "link", "br", "img"}


@dataclass
class PageReader(HTMLParser):
    """Reads a page.

    `tables[figure][name]` has the rows of the table of class `name` in the figure with that id, headings first; what
    stands in no figure is under the figure "". `tags` has each tag with its attributes.
    """

    tables: dict[str, dict[str, list[list[str]]]] = field(default_factory=dict)
    tags: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    open_tags: list[str] = field(default_factory=list)
    _figure: str = ""
    _rows: list[list[str]] | None = None

    def __post_init__(self) -> None:
        super().__init__()

    @classmethod
    def read(cls, text: str) -> "PageReader":
        page = cls()
        page.feed(text)
        page.close()
        assert page.open_tags == [], f"not closed: {page.open_tags}"
        return page

    @property
    def text(self) -> str:
        return " ".join(self.texts)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        assert len(attributes) == len(attrs), f"an attribute of <{tag}> twice"
        self.tags.append((tag, attributes))
        if tag not in VOID:
            self.open_tags.append(tag)
        if tag == "figure":
            self._figure = attributes["id"]
        elif tag == "table":
            self._rows = self.tables.setdefault(self._figure, {}).setdefault(attributes["class"], [])
        elif tag == "tr" and self._rows is not None:
            self._rows.append([])
        elif tag in ("td", "th") and self._rows:
            self._rows[-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        assert self.open_tags, f"</{tag}> closes nothing"
        assert self.open_tags.pop() == tag
        if tag == "figure":
            self._figure = ""
        elif tag == "table":
            self._rows = None

    def handle_data(self, data: str) -> None:
        if self.open_tags and self.open_tags[-1] not in ("style", "script"):
            self.texts.append(data)
        if self._rows and self._rows[-1] and self.open_tags[-1] in ("td", "th"):
            self._rows[-1][-1] += data
