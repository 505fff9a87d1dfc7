"""Formulas as MathML, which browsers draw themselves: the site carries no script and no font for them."""

import html
import re

from math_core import LatexToMathML

# What pymdownx.arithmatex makes of $...$ and $$...$$.
FORMULA = re.compile(r'<(?P<tag>span|div) class="arithmatex">\\[(\[](?P<latex>.*?)\\[)\]]</(?P=tag)>', re.DOTALL)
CONVERTER = LatexToMathML()


def on_page_content(content: str, **_: object) -> str:
    def mathml(found: re.Match[str]) -> str:
        block = found["tag"] == "div"
        formula = CONVERTER.convert_with_local_state(html.unescape(found["latex"]).strip(), displaystyle=block)
        return f'<div class="formula">{formula}</div>' if block else formula

    return FORMULA.sub(mathml, content)
