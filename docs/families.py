"""The losses by family, read from docs/losses: the list in README.md, and the gallery of the site.

    python docs/families.py    # write README's list again

A page of docs/losses is a family. The first column of its table names the losses. A loss's picture and the sentence
that explains it follow its `:::` line.
"""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
MARKED = re.compile(r"(?<=<!-- families -->\n).*?(?=<!-- end of families -->)", re.DOTALL)
ROW = re.compile(r"^\| \[`\w+`\]\[(?P<name>jaxloss\.[\w.]+)\]", re.MULTILINE)
DRAWN = re.compile(
    r"^::: (?P<name>jaxloss\.[\w.]+)\n\n"
    r"(?P<picture>!\[(?P<alt>[^]]+)\]\(\.\./(?P<path>[^)]+)\)\n)\n"
    r"(?P<caption>(?:\S.*\n)+)",
    re.MULTILINE,
)


class Drawn(NamedTuple):
    """A picture of a loss."""

    name: str
    alt: str
    path: str  # from docs
    caption: str


class Family(NamedTuple):
    title: str
    page: str  # from docs
    names: list[str]  # of the table: losses and helpers
    pictures: list[Drawn]


def families() -> list[Family]:
    """All pages of docs/losses, in the order of the site's navigation."""
    pages = re.findall(r"\blosses/\w+\.md", (ROOT / "mkdocs.yml").read_text())
    if missing := {f"losses/{path.name}" for path in ROOT.glob("docs/losses/*.md")} - set(pages):
        raise ValueError(f"mkdocs.yml must name in `nav`: {', '.join(sorted(missing))}")
    return [family(page, (ROOT / "docs" / page).read_text()) for page in pages]


def family(page: str, text: str) -> Family:
    pictures = [Drawn(found["name"], found["alt"], found["path"], found["caption"]) for found in DRAWN.finditer(text)]
    return Family(text.partition("\n")[0].removeprefix("# "), page, ROW.findall(text), pictures)


def gallery() -> str:
    """Every picture with its caption, one section for each family."""
    parts: list[str] = []
    for each in families():
        if each.pictures:
            parts += [f"## [{each.title}]({each.page})", '<div class="gallery" markdown>']
            for name, alt, path, caption in each.pictures:
                heading = f"### [`{name.rpartition('.')[2]}`][{name}]"
                parts += ["<div markdown>", heading, f"![{alt}]({path})", caption.replace("](../", "]("), "</div>"]
            parts.append("</div>")
    return "\n\n".join(parts) + "\n"


def listed(readme: str) -> str:
    """README with the names of all losses between its marks."""
    lines = [
        f"- [{each.title}](docs/{each.page}): {', '.join(f'`{spelt(name)}`' for name in each.names)}\n"
        for each in families()
    ]
    return MARKED.sub(lambda _: "\n" + "".join(lines) + "\n", readme)


def spelt(name: str) -> str:
    """The name that a reader types: modules of the package are named, the package itself is not."""
    short = name.removeprefix("jaxloss.")
    return short if "." not in short else name


if __name__ == "__main__":
    README = ROOT / "README.md"
    README.write_text(listed(README.read_text()))
