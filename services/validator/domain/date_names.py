"""Names of months and days in English, German, French, Spanish, Italian, Portuguese, Dutch and Swedish.

Japanese, Chinese and Korean number their months; see ``free_dates``. A name means the same month in all of these
languages that have it.
"""

from collections.abc import Iterable
from typing import Final

_MONTHS: Final = (
    "january jan januar jänner jän janvier janv enero ene gennaio gen janeiro januari",
    "february feb februar feber février fevrier févr fevr fév fev febrero febbraio fevereiro februari",
    "march mar märz maerz mär mrz mars marzo março marco maart mrt",
    "april apr avril avr abril abr aprile",
    "may mai mayo maggio mag maio mei maj",
    "june jun juni juin junio giugno giu junho",
    "july jul juli juillet juill juil julio luglio lug julho",
    "august aug août aout agosto ago augustus augusti",
    "september sept sep septembre septiembre setiembre set settembre sett setembro",
    "october oct oktober okt octobre octubre ottobre ott outubro out",
    "november nov novembre noviembre novembro",
    "december dec dezember dez décembre decembre déc diciembre dic dicembre dezembro",
)
MONTH_NUMBERS: Final = {name: month for month, names in enumerate(_MONTHS, start=1) for name in names.split()}
"""In lower case."""

_DAYS: Final = (
    "sunday sun monday mon tuesday tues tue wednesday wed thursday thurs thur thu friday fri saturday sat",
    "sonntag so montag mo dienstag di mittwoch mi donnerstag do freitag fr samstag sonnabend sa",
    "dimanche dim lundi lun mardi mar mercredi mer jeudi jeu vendredi ven samedi sam",
    "domingo dom lunes martes miércoles miercoles mié mie jueves jue viernes vie sábado sabado sáb sab",
    "domenica lunedì lunedi martedì martedi mercoledì mercoledi giovedì giovedi gio venerdì venerdi sabato",
    "segunda-feira segunda seg terça-feira terça ter quarta-feira quarta qua quinta-feira quinta qui sexta-feira sexta",
    "sex",
    "zondag zo maandag ma dinsdag woensdag wo donderdag vrijdag vr zaterdag za",
    "söndag sön måndag mån tisdag tis onsdag ons torsdag tors fredag fre lördag lör",
)


def _any_of(names: Iterable[str]) -> str:
    return f"(?i:{'|'.join(sorted(names, key=lambda name: (-len(name), name)))})"


_LONG_AND_SHORT: Final = {"may", "mai", "mei", "maj", "mars", "märz", "juni", "juli", "juin", "août", "aout"}
_LONG: Final = {name for name in MONTH_NUMBERS if len(name) > len("sept") and name != "juill"} | {"june", "july"}

MONTH: Final = _any_of(MONTH_NUMBERS)
"""Pattern of the name of a month."""
LONG_MONTH: Final = _any_of(_LONG | _LONG_AND_SHORT)
SHORT_MONTH: Final = _any_of(MONTH_NUMBERS.keys() - _LONG)
DAY: Final = _any_of(name for names in _DAYS for name in names.split())
"""Pattern of the name of a day of the week."""
EAST_ASIAN_DAY: Final = (
    "[(]?(?:[日月火水木金土]曜日?|(?:星期|[周週])[日天一二三四五六]|[일월화수목금토]요일|[日月火水木金土一二三四五六]"
    "|[일월화수목금토])[)]?"
)
"""Likewise, as Japanese, Chinese and Korean dates have it behind them."""
