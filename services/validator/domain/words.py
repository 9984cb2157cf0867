"""Words: those that mean yes and no in the languages of the product, and those that mean that there is no value.

Yes and no come in whole pairs, and a word is read only if every language that has it is known in full: with ``ja``
German, Dutch, Swedish, Danish, Norwegian and Icelandic. Else a file would be imported half, those who say yes.
Single letters are another matter, see ``libs.contracts.letters``.
"""

from collections.abc import Iterable
from typing import Final

from libs.contracts.spelling import compared_word, same_words

_PAIRS: Final = (
    # By which computers say it: -1 is true for Access and Visual Basic, 1.0 is what pandas makes of 1.
    ("true 1 -1 1.0 1,0 1.00 1,00", "false 0 0.0 0,0 0.00 0,00"),
    ("yes on", "no off"),
    # German, Dutch and Afrikaans, Swedish, Danish, Norwegian, Icelandic.
    ("ja wahr richtig", "nein falsch"),
    ("ja waar", "nee neen onwaar"),
    ("ja sant", "nej falskt"),
    ("ja sand", "nej falsk"),
    ("ja sann sant", "nei usann usant"),
    ("já satt", "nei ósatt"),
    # Spanish, Catalan, French, Italian, Portuguese and Galician.
    ("sí si verdadero cierto", "no falso"),
    ("sí si cert", "no fals"),
    ("oui vrai", "non faux"),
    ("sì si vero", "no falso"),
    ("sim verdadeiro", "não nao falso"),
    ("si verdadeiro", "non falso"),
    # Romanian has the word of Catalan for false.
    ("da adevărat adevarat", "nu fals"),
    # Languages that share a word with those: Russian, Bulgarian and Serbian, Croatian and Slovene, Czech, Lithuanian.
    ("да истина", "нет ложь"),
    ("да", "не"),
    ("da", "ne"),
    ("ano", "ne"),
    ("taip", "ne"),
    # Japanese, Chinese, Korean.
    ("はい 真 有 有り あり", "いいえ 偽 無 無し なし"),
    ("是 真 对 對 有", "否 不是 假 偽 错 錯 不对 不對 无 無 没有 沒有"),
    ("예 네 참", "아니요 아니오 거짓"),
)
TRUE_WORDS: Final = same_words(word for yes, _ in _PAIRS for word in yes.split())
FALSE_WORDS: Final = same_words(word for _, no in _PAIRS for word in no.split())
SHOWN_WORDS: Final = (
    "true or false, yes or no, 1 or 0, or the words of the languages that are known, such as ja and nein"
)

_NULL_WORDS: Final = (
    "NULL", "(null)", "[null]", "<null>", "nil", r"\N", "None", "N/A", "n.a.", "NA", "<NA>", "#N/A", "#NA", "NaN",
    "-", "--", "---", "\u2010", "\u2011", "\u2012", "\u2013", "\u2014", "\u2212",
    # What Excel writes for #N/A in German, Italian and Spanish, Dutch, Swedish, Norwegian and Danish.
    "#NV", "#N/D", "#N/B", "#SAKNAS!", "#I/T",
)  # fmt: skip
NULL_WORDS: Final = frozenset(
    form for word in _NULL_WORDS for form in (word, word.lower(), word.upper(), word.capitalize())
)
"""What means "no value" in fields of a type, where the template says nothing."""


def null_words_beside(words: Iterable[str]) -> frozenset[str]:
    """``NULL_WORDS`` without those that are values of the field."""
    own = {compared_word(word) for word in words}
    return frozenset(word for word in NULL_WORDS if compared_word(word) not in own) if own else NULL_WORDS
