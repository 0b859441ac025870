"""An answer in another language than its prompt is found; translations, code, names and short answers are none."""

# ruff: noqa: RUF001

import pytest

from oresight.tasks.detection.language import other_language

ENGLISH = "What is the highest mountain of the world, and how high is it?"
GERMAN = "Was ist der höchste Berg der Welt und wie hoch ist er?"
ANSWERS = {
    "English": "The highest mountain is Mount Everest, which is 8,849 metres high and lies between Nepal and Tibet.",
    "German": "Der höchste Berg ist der Mount Everest, der zwischen Nepal und Tibet liegt und 8849 Meter hoch ist.",
    "French": "Le plus haut sommet est le mont Everest, qui est situé dans les montagnes entre le Népal et le Tibet.",
    "Spanish": "La montaña más alta es el Everest, que está entre Nepal y el Tíbet y tiene una altura de 8849 metros.",
    "Portuguese": "A montanha mais alta é o Everest, que fica na fronteira entre o Nepal e o Tibete e não tem rival.",
    "Italian": "La montagna più alta è l'Everest, che si trova tra il Nepal e il Tibet ed è alta come nessun'altra.",
    "Dutch": "De hoogste berg is de Mount Everest, die op de grens van Nepal en Tibet ligt en het hoogst is.",
    "Polish": "Najwyższą górą świata jest Mount Everest, który znajduje się na granicy i nie jest łatwy do zdobycia.",
    "Turkish": "Dünyanın en yüksek dağı olan Everest, Nepal ile Tibet sınırında bulunur ve çok yüksek bir dağdır.",
    "Vietnamese": "Ngọn núi cao nhất là Everest, nằm giữa Nepal và Tây Tạng, và không có núi nào cao như núi này.",
    "Cyrillic letters": "Самая высокая гора мира — Эверест, её высота 8849 метров.",
    "Chinese or Japanese": "世界最高的山是珠穆朗玛峰，海拔八千八百四十九米。",
    "Korean": "세계에서 가장 높은 산은 에베레스트산이며 높이는 8849미터입니다.",
    "Arabic letters": "أعلى جبل في العالم هو جبل إيفرست ويبلغ ارتفاعه 8849 مترا.",
    "Devanagari letters": "दुनिया का सबसे ऊँचा पर्वत माउंट एवरेस्ट है और यह नेपाल में है।",
}
SAME = [
    ("Translate to German: the mountain is high and the sea is deep.", ANSWERS["German"]),
    ("How would you say in Korean that this is the highest mountain?", ANSWERS["Korean"]),
    ("Bitte übersetze das ins Englische: Der Berg ist hoch und das Meer ist tief.", ANSWERS["English"]),
    ("请用英语回答：世界上最高的山是什么？", ANSWERS["English"]),
    ("Summarize this in one sentence of the text: " + ANSWERS["German"], ANSWERS["German"]),
    ("What is said in the text, and by whom is it said? " + ANSWERS["Korean"], ANSWERS["Korean"]),
    (ANSWERS["German"] * 20 + " What is said in the text, and by whom is it said?", ANSWERS["English"]),
    ("What is the meaning of this text? " + ANSWERS["Cyrillic letters"], ANSWERS["English"]),
    ("写一个函数，返回两个数字的和。", "def f(a, b):\n    # sum of the two\n    print(a)\n    return (a + b)"),
    ("写一个函数，返回两个数字的和。", "```python\nprint('this is the sum of the two')\n```"),
    ("Who wrote War and Peace, and who is the author of Faust?", "Johann Wolfgang von Goethe und Lev Tolstoi"),
    ("What is the capital of the country?", "Москва"),
    ("What is the name of this dish, and what is in it?", "Crème brûlée à la vanille"),
    ("What is the sum of the angles?", "α + β + γ = π, αβγ, δεζ"),
    ("Mujhe ek kahani sunao, jisme ek raja aur ek rani hai.", ANSWERS["Devanagari letters"]),
    ("Name the languages of the island.", "Ελληνικά και Τουρκικά είναι οι γλώσσες."),
    ("x", ANSWERS["Korean"]), (ENGLISH, "Ja"), (ENGLISH, ""), ("", ANSWERS["English"]), (ENGLISH, "8849"),
]  # fmt: skip


@pytest.mark.parametrize("language", ANSWERS)
def test_an_answer_in_another_language_is_found(language: str) -> None:
    expected = None if language == "English" else f"English, the answer in {language}"
    assert other_language(ENGLISH, ANSWERS[language]) == expected
    expected = None if language == "German" else f"German, the answer in {language}"
    assert other_language(GERMAN, ANSWERS[language]) == expected
    if language != "English":
        assert other_language(ANSWERS[language], ANSWERS["English"]) == f"{language}, the answer in English"
    assert other_language(ANSWERS[language], ANSWERS[language]) is None


@pytest.mark.parametrize(("prompt", "answer"), SAME, ids=lambda text: text[:20])
def test_what_may_be_meant_so_is_left_alone(prompt: str, answer: str) -> None:
    assert other_language(prompt, answer) is None


def test_related_languages_are_not_told_apart() -> None:
    danish = "Det er ikke det højeste bjerg, og det er ikke her, men hvad er det så for et bjerg vi ser fra byen?"
    swedish = "Det är inte det högsta berget, och det är inte här, men vad är det för ett berg som vi ser från staden?"
    assert other_language(danish, swedish) is None
    assert other_language("最も高い山はどこにありますか、教えてください。", ANSWERS["Chinese or Japanese"]) is None
