"""Equations that are wrong in every reading are found; whatever may be right in some reading is not."""

import pytest

from oresight.tasks.detection.arithmetic import wrong_equation

WRONG = {
    "So 17*18=307.": "17*18=307 (306)",
    "6 x 7 is 41": "6 x 7 is 41 (42)",
    "6x7=43": "6x7=43 (42)",
    "He has <<48-27=20>>20 left.": "48-27=20 (21)",
    "5 apples + 3 apples = 9 apples": "5 apples + 3 apples = 9 apples (8)",
    "$5 * 3 = $16": "$5 * 3 = $16 (15)",
    "50% of 80 is 41": "50% of 80 is 41 (40)",
    "1,200 + 300 = 1,600": "1,200 + 300 = 1,600 (1500)",
    "**17 × 18 = 307**": "17 × 18 = 307 (306)",  # noqa: RUF001
    "\\(17 \\times 18 = 307\\)": "17 \\times 18 = 307 (306)",
    "2^10 = 1025": "2^10 = 1025 (1024)",
    "(3+4)*2 = 15": "(3+4)*2 = 15 (14)",
    "3 times 4 equals 13": "3 times 4 equals 13 (12)",
    "1/2 + 1/3 = 2/5": "1/2 + 1/3 = 2/5 (0.833333)",
    "2 + 3 * 4 = 20": "2 + 3 * 4 = 20 (14)",
    "10 - 2 - 3 = 6": "10 - 2 - 3 = 6 (5)",
    "2 + 2 = 4, 3 + 3 = 7": "3 + 3 = 7 (6)",
    "(5 + 3 = 9)": "5 + 3 = 9 (8)",
    "10/4 = 2.75": "10/4 = 2.75 (2.5)",
}
RIGHT = [
    "17*18=306", "6 x 7 is 42", "<<48-27=21>>", "-5 + 3 = -2", "50% of 80 is 40", "3/4 of 20 = 15", "1/2 + 1/3 = 5/6",
    "20/50 = 40%", "20/50 = 40", "(20/50)*100 = 40%", "2^10 = 1024", "**17 × 18 = 306**",  # noqa: RUF001
    "10/3 = 3.33", "10/3 = 3.34", "10/3 = 3", "7/2 = 3", "3.33*3 = 10.00", "1,200 + 300 = 1,500",  # rounded or cut
    "2*3=6+1=7", "2 + 2 = 4 + 1 = 5",  # chains of steps
    "x + 5 + 3 = 9", "3x + 2 = 5", "5 + 3 = 8x", "amount*(75/100) = 4500", "a2 + 3 = 9", "2(3 + 4) = 14",  # variables
    "sqrt(16) + 2 = 6", "√16 + 2 = 6", "5! + 2 = 122",
    "- 5 + 3 = 8", "* 5 + 3 = 8", "1. 5 + 3 = 8",  # lists
    "2019-2020 is 1", "pages 10-20 is 11 pages", "Weeks 1-2 = 96", "9/11 is 2001", "L:1/4\nQ:1/4=68\nK:G",
    "12/25/2020 is a day",
    "10:30 - 2 = 8", "1 1/2 * 4 = 6", "12 x 1 and 1/4 = 15", "1+2+...+10=55", "5 x 1/2 = 10 halves",
    "200 + 10% = 220", "60 minutes * 2 = 2 hours", "12 inches + 6 = 1.5 feet", "2 * 3 million = 6 million",
    "2 + 2 = 5 is wrong", "Is 2 + 2 = 5?", "1 + 1 = 10 in binary", "7 + 8 = 3 (mod 12)", "100 / 7 = 14 remainder 2",
    "a == 3 - 1 == 5", "3 + 1 != 5", "2 + 3 >= 4", "2 + 3 ≈ 6", "1/0 = 5", "9**9**9 = 1", "007 + 1 = 9",
    "", "=", "no numbers at all", "5 = 5", "1+" * 50_000 + "1 = 2", "(" * 50_000 + "1 + 1 = 2",
]  # fmt: skip


@pytest.mark.parametrize("text", WRONG)
def test_a_wrong_equation_is_found_and_corrected(text: str) -> None:
    assert wrong_equation(text) == WRONG[text]


@pytest.mark.parametrize("text", RIGHT, ids=lambda text: text[:30])
def test_what_may_be_right_is_left_alone(text: str) -> None:
    assert wrong_equation(text) is None


@pytest.mark.parametrize("number", [1, 12, 1234, 99999])
def test_every_wrong_sum_of_whole_numbers_is_found(number: int) -> None:
    for wrong in (number + 8, number + 6, -number, 10 * (number + 7)):
        assert wrong_equation(f"It is {number} + 7 = {wrong} in all") is not None
    assert wrong_equation(f"It is {number} + 7 = {number + 7} in all") is None
