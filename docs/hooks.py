"""What the site does beyond Markdown: formulas as MathML, the gallery, and the pictures of the losses.

Browsers draw MathML themselves: the site carries no script and no font for it.
"""

import html
import re

import families
from math_core import LatexToMathML

# What pymdownx.arithmatex makes of $...$ and $$...$$.
FORMULA = re.compile(r'<(?P<tag>span|div) class="arithmatex">\\[(\[](?P<latex>.*?)\\[)\]]</(?P=tag)>', re.DOTALL)
CONVERTER = LatexToMathML()

# A picture in Markdown that has a dark sibling: ![what it shows](pictures/name-light.svg)
LIGHT = re.compile(r"!\[(?P<alt>[^]]*)\]\((?P<path>[^)]*)-light\.(?P<kind>svg|png)\)")
# A loss's picture and caption on their way from Markdown to HTML.
PICTURE = re.compile(r"<!-- picture of (?P<name>[\w.]+) -->(?P<html>.*?)<!-- end of picture -->", re.DOTALL)
# The first sentence of a loss's reference. The picture follows it.
FIRST = re.compile(r'<h2 id="(?P<name>jaxloss\.[\w.]+)".*?<div class="doc doc-contents[^"]*">\s*<p>.*?</p>', re.DOTALL)


def on_page_markdown(markdown: str, **_: object) -> str:
    def marked(found: re.Match[str]) -> str:
        picture = f"{found['picture']}\n{found['caption']}"
        return f"::: {found['name']}\n\n<!-- picture of {found['name']} -->\n\n{picture}\n<!-- end of picture -->\n"

    def themed(found: re.Match[str]) -> str:
        return "".join(
            f"![{found['alt']}]({found['path']}-{theme}.{found['kind']}#only-{theme})" for theme in ("light", "dark")
        )

    markdown = families.DRAWN.sub(marked, markdown.replace("<!-- gallery -->\n", families.gallery()))
    return LIGHT.sub(themed, markdown)


def on_page_content(content: str, **_: object) -> str:
    pictures = {found["name"]: found["html"] for found in PICTURE.finditer(content)}

    def mathml(found: re.Match[str]) -> str:
        block = found["tag"] == "div"
        formula = CONVERTER.convert_with_local_state(html.unescape(found["latex"]).strip(), displaystyle=block)
        return f'<div class="formula">{formula}</div>' if block else formula

    def with_picture(found: re.Match[str]) -> str:
        return found[0] + pictures.get(found["name"], "")

    return FORMULA.sub(mathml, FIRST.sub(with_picture, PICTURE.sub("", content)))
