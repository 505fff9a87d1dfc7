"""What the site does beyond Markdown: formulas as MathML, and the gallery's pictures.

Browsers draw MathML themselves: the site carries no script and no font for it.
"""

import html
import re

from math_core import LatexToMathML
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

# What pymdownx.arithmatex makes of $...$ and $$...$$.
FORMULA = re.compile(r'<(?P<tag>span|div) class="arithmatex">\\[(\[](?P<latex>.*?)\\[)\]]</(?P=tag)>', re.DOTALL)
CONVERTER = LatexToMathML()

# A picture in Markdown that has a dark sibling: ![what it shows](pictures/name-light.svg)
LIGHT = re.compile(r"!\[(?P<alt>[^]]*)\]\((?P<path>[^)]*)-light\.(?P<kind>svg|png)\)")
# The first sentence of a loss's reference, which its picture follows.
FIRST = re.compile(r'<h2 id="jaxloss\.(?P<name>\w+)".*?<div class="doc doc-contents[^"]*">\s*<p>.*?</p>', re.DOTALL)


def on_page_markdown(markdown: str, **_: object) -> str:
    return LIGHT.sub(
        lambda found: "".join(
            f"![{found['alt']}]({found['path']}-{theme}.{found['kind']}#only-{theme})" for theme in ("light", "dark")
        ),
        markdown,
    )


def on_page_content(content: str, page: Page, files: Files, **_: object) -> str:
    def mathml(found: re.Match[str]) -> str:
        block = found["tag"] == "div"
        formula = CONVERTER.convert_with_local_state(html.unescape(found["latex"]).strip(), displaystyle=block)
        return f'<div class="formula">{formula}</div>' if block else formula

    def with_picture(found: re.Match[str]) -> str:
        alt, drawn = f"{found['name']} and its gradient", ""
        for theme in ("light", "dark"):
            if file := files.get_file_from_path(f"pictures/{found['name']}-{theme}.svg"):
                drawn += f'<img alt="{alt}" src="{file.url_relative_to(page.file)}#only-{theme}">'
        return f"{found[0]}<p>{drawn}</p>" if drawn else found[0]

    return FIRST.sub(with_picture, FORMULA.sub(mathml, content))
