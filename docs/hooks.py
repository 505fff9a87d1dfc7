"""Formulas as MathML, which browsers draw themselves: the site carries no script and no font for them."""

import html
import re

from latex2mathml.converter import convert

# What pymdownx.arithmatex makes of $...$ and $$...$$.
FORMULA = re.compile(r'<(?P<tag>span|div) class="arithmatex">\\[(\[](?P<latex>.*?)\\[)\]]</(?P=tag)>', re.DOTALL)


def on_page_content(content: str, **_: object) -> str:
    def mathml(found: re.Match[str]) -> str:
        latex = html.unescape(found["latex"]).strip()
        if found["tag"] == "span":
            return convert(latex)
        return f'<div class="formula">{convert(latex, display="block")}</div>'

    return FORMULA.sub(mathml, content)
