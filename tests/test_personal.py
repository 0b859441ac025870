"""Numbers of a person are found by their check digits; a number that fails them, or that may be another, is not."""

import re
import time

import pytest

from oresight.tasks.detection.personal import personal_number

PERSONAL = {
    # published examples and test numbers
    "My card is 4111 1111 1111 1111, exp 12/27": "a payment card number (Visa) at character 12",
    "5555-5555-5555-4444": "a payment card number (Mastercard) at character 1",
    "2223 0031 2200 3222": "a payment card number (Mastercard) at character 1",
    "paid by card:378282246310005": "a payment card number (American Express) at character 14",
    "3782 822463 10005": "a payment card number (American Express) at character 1",
    "Discover 6011111111111117.": "a payment card number (Discover) at character 10",
    '{"pan": "3530111333300000", "cvv": "123"}': "a payment card number (JCB) at character 10",
    "3056 930902 5904": "a payment card number (Diners Club) at character 1",
    "Kreditkarte 4012888888881881": "a payment card number (Visa) at character 13",
    "4111 1111 1111 1111 12/27 123": "a payment card number (Visa) at character 1",
    "IBAN GB82 WEST 1234 5698 7654 32.": "a bank account number (IBAN) at character 6",
    "to DE89370400440532013000": "a bank account number (IBAN) at character 4",
    "no93 8601 1117 947": "a bank account number (IBAN) at character 1",
    "FR14-2004-1010-0505-0001-3M02-606": "a bank account number (IBAN) at character 1",
    "11010519491231002X": "an identity number (China) at character 1",
    "2 55 08 14 168 025 38": "an identity number (France) at character 1",
    "RSSMRA85T10A562S": "an identity number (Italy) at character 1",
    "CPF 529.982.247-25": "an identity number (Brazil) at character 5",
    "IBAN GB82 WEST 1234 5698 7654 32, card 4111 1111 1111 1111": "a bank account number (IBAN) at character 6",
}
OTHERS = [
    "card 4111 1111 1111 1112", "GB82 WEST 1234 5698 7654 33", "DE8937040044053201300", "DE893704004405320130000",
    "529.982.247-26", "111.111.111-11", "11010519491231002Y", "RSSMRA85T10A562T", "2 55 08 14 168 025 39",
    "4111111111111111", "the order 4539578763621486 left", "trace 4111111111111111",  # no spaces, no word of cards
    "4000123412341235 cards", "card 1234 5678 9012 3456", "card 9111 1111 1111 1111",  # no issuer, or no check digit
    "4111 1111 1111 1111 1111 1111", "1111 4111 1111 1111 1111",  # longer lists of numbers
    "4111 1111-1111 1111", "card 0.4111111111111111", "card x4111111111111111", "card 4111111111111111.5",
    "card 4111 **** **** 1111", "card ending in 1111", "+4111 1111 1111 1111",
    "978-3-16-148410-0", "ISBN 9783161484100 card", "call 0049 30 1234567", "2024-01-31 12:00:00",
    "3.14159265358979 card",
    "XX82 WEST 1234 5698 7654 32", "ZZ89370400440532013000", "", "card",
]  # fmt: skip


@pytest.mark.parametrize("text", PERSONAL)
def test_a_number_with_right_check_digits_is_named_and_never_told(text: str) -> None:
    assert personal_number(text) == PERSONAL[text]
    assert not re.search(r"\d{4}", PERSONAL[text])


@pytest.mark.parametrize("text", OTHERS)
def test_another_number_is_left_alone(text: str) -> None:
    assert personal_number(text) is None


@pytest.mark.parametrize("piece", ["1", "1 ", "4111 ", "GB82 ", "1-", "529.", "AB12", "card 4111111111111111 "])
def test_a_long_text_takes_no_longer_per_letter(piece: str) -> None:
    started = time.process_time()
    personal_number(piece * (200_000 // len(piece)))
    assert time.process_time() - started < 10
