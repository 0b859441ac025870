"""Numbers of a person that their check digits prove: payment cards, bank accounts (IBAN), national identity numbers.

Only formats that few other numbers pass for are listed. One in fifty numbers of 16 digits passes for a card number, so
that one without spaces counts only near a word about cards or payment. The result names the kind of number and its
position, and never a digit of it.
"""

import re
from collections.abc import Iterator

PRINTED = re.compile(
    r"(?<![\w.+])(?<![0-9][ \u00a0-])"
    r"(?:[0-9]{14,16}|[0-9]{4}([ \u00a0-])[0-9]{4}\1[0-9]{4}\1[0-9]{4}|[0-9]{4}([ \u00a0-])[0-9]{6}\2[0-9]{4,5})"
    r"(?!\w|[.,][0-9]|[ \u00a0-][0-9]{4}(?![0-9]))"
)
"""Digits as a card prints them, or without spaces, that are no part of a longer list of numbers."""
CARD = re.compile(
    r"(?P<Visa>4[0-9]{15})|(?P<Mastercard>(?:5[1-5][0-9]{2}|222[1-9]|22[3-9][0-9]|2[3-6][0-9]{2}|27[01][0-9]|2720)[0-9]{12})"
    r"|(?P<American_Express>3[47][0-9]{13})|(?P<Discover>6(?:011|4[4-9][0-9]|5[0-9]{2})[0-9]{12})"
    r"|(?P<JCB>35(?:2[89]|[3-8][0-9])[0-9]{12})|(?P<Diners_Club>3(?:0[0-5]|[689][0-9])[0-9]{11})|(?P<UnionPay>62[0-9]{14})"
)
"""Issuers of cards, their first digits and lengths. Not Visa's 13 digits, which articles of shops (EAN) have too."""
CARD_WORDS = re.compile(
    r"\b(?:cards?|visa|mastercard|amex|american express|discover|diners|jcb|unionpay|maestro|credit|debit|cv[vc]2?|pan"
    r"|cc|exp|expir\w+|pay|pays|paid|paying|payments?|charged?|billing|kreditkarte\w*|karten?\w*|carte|tarjeta|carta"
    r"|cart\u00e3o|kort|karta|kart|kaart)\b|\u5361|\u30ab\u30fc\u30c9|\uce74\ub4dc|\u043a\u0430\u0440\u0442",
    re.IGNORECASE,
)
NEAR = 80
"""Characters before and after a number in which a word about cards counts."""
IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}[0-9]{2}")
IBAN_LENGTHS = {
    country: int(length)
    for country, length in re.findall(
        "([A-Z]{2})([0-9]{2})",
        "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 "
        "EE20 EG29 ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 "
        "IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 "
        "NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 "
        "SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30",
    )
}
"""Characters of an IBAN, by country."""
IDENTITY = re.compile(
    r"(?<![\w.])(?:(?P<China>[1-9][0-9]{5}(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])[0-9]{3}[0-9Xx])"
    r"|(?P<France>[12] ?[0-9]{2} ?(?:0[1-9]|1[0-2]) ?(?:[0-9]{2}|2[AB]) ?[0-9]{3} ?[0-9]{3} ?[0-9]{2})"
    r"|(?P<Italy>[A-Z]{6}[0-9]{2}[ABCDEHLMPRST](?:[04][1-9]|[1256][0-9]|[37][01])[A-Z][0-9]{3}[A-Z])"
    r"|(?P<Brazil>[0-9]{3}\.[0-9]{3}\.[0-9]{3}-[0-9]{2}))(?!\w|[.-][0-9])"
)
ITALIAN_ODD = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23)
"""Values of the letters A to Z at odd positions of an Italian number; digits count as the first ten."""


def personal_number(text: str) -> str | None:
    """The first number of a person in a text: "a payment card number (Visa) at character 12". None if there is none."""
    first = min([*_cards(text), *_accounts(text), *_identities(text)], default=None)
    return first and f"{first[1]} at character {first[0] + 1}"


def _cards(text: str) -> Iterator[tuple[int, str]]:
    for match in PRINTED.finditer(text):
        number = re.sub("[^0-9]", "", match.group())
        issuer = CARD.fullmatch(number)
        around = text[max(match.start() - NEAR, 0) : match.end() + NEAR]
        if issuer and _passes_luhn(number) and (number != match.group() or CARD_WORDS.search(around)):
            yield match.start(), f"a payment card number ({str(issuer.lastgroup).replace('_', ' ')})"


def _passes_luhn(number: str) -> bool:
    return sum(sum(divmod(int(digit) * (1 + i % 2), 10)) for i, digit in enumerate(reversed(number))) % 10 == 0


def _accounts(text: str) -> Iterator[tuple[int, str]]:
    for match in IBAN.finditer(text):
        length = IBAN_LENGTHS.get(match.group()[:2].upper(), 0)
        for separator in ("", " ", "-"):
            end = match.start() + length + (length - 1) // 4 * len(separator)
            number = "".join(text[match.start() : end].split(separator or None))
            is_written_so = separator.join(number[i : i + 4] for i in range(0, length, 4)) == text[match.start() : end]
            is_alone = not text[end : end + 1].isalnum()
            if is_written_so and is_alone and len(number) == length and _passes_97(number):
                yield match.start(), "a bank account number (IBAN)"


def _passes_97(number: str) -> bool:
    digits = (str(int(character, 36)) for character in number[4:] + number[:4])
    return number.isascii() and number.isalnum() and int("".join(digits)) % 97 == 1


def _identities(text: str) -> Iterator[tuple[int, str]]:
    tests = {"China": _is_chinese, "France": _is_french, "Italy": _is_italian, "Brazil": _is_brazilian}
    for match in IDENTITY.finditer(text):
        country = str(match.lastgroup)
        if tests[country](re.sub("[ .-]", "", match.group())):
            yield match.start(), f"an identity number ({country})"


def _is_chinese(number: str) -> bool:
    total = sum(int(digit) * (1 << 17 - i) for i, digit in enumerate(number[:17]))
    return (total + (10 if number[17] in "Xx" else int(number[17]))) % 11 == 1


def _is_french(number: str) -> bool:
    digits = number[:13].replace("2A", "19").replace("2B", "18")
    return digits.isdigit() and 97 - int(digits) % 97 == int(number[13:])


def _is_italian(number: str) -> bool:
    values = [int(c, 36) - (10 if c.isalpha() else 0) for c in number]
    total = sum(ITALIAN_ODD[value] if i % 2 == 0 else value for i, value in enumerate(values[:15]))
    return total % 26 == values[15]


def _is_brazilian(number: str) -> bool:
    digits = [int(digit) for digit in number]
    checks: list[int] = [sum(d * (n + 1 - i) for i, d in enumerate(digits[:n])) * 10 % 11 % 10 for n in (9, 10)]
    return len(set(digits)) > 1 and checks == digits[9:]
