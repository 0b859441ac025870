"""Answers in another language than their prompt.

A script is a language of its own here: Cyrillic, Greek, Hangul. Languages in Latin letters are told apart by their
function words, which running text cannot do without and names, code and formulas do not have. Both texts must be
identified; a text that mixes languages, or that is in one that is not listed, is not judged.
"""

import re
import unicodedata
from collections import Counter
from functools import lru_cache
from typing import NamedTuple

FUNCTION_WORDS = {
    "English": "the of and to is are was were that this these with for from by which what how why who when where you "
    "your it they we his her our my have has been would should could there their can does did be if not but or about "
    "into than most many some name write give describe explain list tell please make following image picture",
    "German": "der die das und ist sind nicht ein eine einen einem einer mit von für auf sich auch wie als zu den "
    "dem des im werden wird oder bei aus nach ich sie wir durch über hat haben kann was es "
    "zwischen unter dass diese dieser",
    "French": "le les des est une dans pour que qui sur pas avec sont par cette ces du au aux nous vous il elle et "
    "ou être plus ont comme leur leurs mais ne quelle quel tout tous toute ses son peut fait sans sous",
    "Spanish": "el los las una por para con que es son del como más pero su sus lo está este esta ser tiene cuál qué "
    "cómo hay también entre sobre y muy puede sin cada toda todas desde quién",
    "Portuguese": "os uma não para com que é são do da dos das em na no por mais como se ao à seu sua um tem também "
    "qual você está pelo pela entre foi isso muito pode ser ter cada sem todo",
    "Italian": "il gli che di è sono una per con non del della dei delle nel nella come più anche al alla ed questo "
    "questa essere ha qual sua suo un quali ogni degli dal",
    "Dutch": "het een van en niet dat die voor met zijn op te aan ook wordt worden deze dit er door naar als bij "
    "hebben heeft wat hoe ik je de is om kan maar welke",
    "a Scandinavian language": "och att det är en ett inte på med av den till har om från eller hur vad jag du också "
    "när ska og at er et ikke fra hvordan hvad hva jeg ved også skal blev ble være de enhver varje",
    "Polish": "i w na się nie jest to do że jak od przez dla są które który lub oraz za po ale jego czy ma jej być "
    "każdy tego co",
    "Czech or Slovak": "a v na se je že to s z do jako pro nebo jsou by který která které za po ale jeho byl má co "
    "si sa ktorý alebo sú každý aby",
    "Romanian": "și şi de la în este că pentru cu nu care pe din un sau sunt mai ce prin ca fi să au lui acest orice "
    "cum său al",
    "Hungarian": "az és hogy nem egy is van volt meg ez mint vagy csak minden kell ha azt joga már aki ki nagyon lehet",
    "Turkish": "bir ve bu için ile olarak olan daha ne gibi çok her veya var kadar sonra ancak değil ya nedir hangi "
    "olduğu eğer ise kendi bütün üzere mi",
    "Indonesian or Malay": "yang dan di untuk dengan dari ini tidak pada itu adalah dalam akan atau oleh sebagai "
    "dapat ke juga bisa apa saya anda orang setiap ada",
    "Finnish": "ja on ei että se hän oli ovat joka jotka kuin myös mutta jos tai sekä sen mitä miten ole olla voi "
    "kun hänen niiden tämä mikä kanssa tulee",
    "Vietnamese": "và của là có được không các cho người trong một những với này để về đã từ khi như cũng đó nào "
    "phải mọi quyền",
}
"""Words that are frequent in texts of a language and rare in others; for English also those that prompts begin with."""
LANGUAGES_OF = dict[str, tuple[str, ...]]()
"""The languages that have a function word."""
for _name, _words in FUNCTION_WORDS.items():
    for _word in _words.split():
        LANGUAGES_OF[_word] = (*LANGUAGES_OF.get(_word, ()), _name)
LATIN = "LATIN"
FOLDED = {"HIRAGANA": "CJK", "KATAKANA": "CJK", "HALFWIDTH": "CJK", "FULLWIDTH": LATIN}
"""Scripts that are written together."""
TITLES = {"CJK": "Chinese or Japanese", "HANGUL": "Korean"}
WORD = re.compile(r"[^\W\d_]+")
NOT_PROSE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`|https?://\S+", re.DOTALL)
CODE_SIGNS = re.compile(r"[{}()\[\];=<>_#|\\]")
SAYS_A_LANGUAGE = re.compile(
    r"translat|lingual|language|transliterat|romaji|pinyin|lyrics|anthem|recite|motto"
    r"|\b(?:afrikaans|albanian|amharic|arabic|armenian|azerbaijani|basque|belarusian|bengali|bosnian|brazilian|bulgarian"
    r"|burmese|cantonese|catalan|chinese|croatian|czech|danish|dutch|english|estonian|farsi|filipino|finnish|flemish|french"
    r"|galician|georgian|german|greek|gujarati|hebrew|hindi|hungarian|icelandic|indonesian|irish|italian|japanese|kannada"
    r"|kazakh|khmer|korean|kurdish|lao|latin|latvian|lithuanian|macedonian|malay|malayalam|maltese|mandarin|marathi"
    r"|mexican|mongolian|nepali|norwegian|pashto|persian|polish|portuguese|punjabi|romanian|russian|sanskrit|serbian"
    r"|sinhala|slovak|slovenian|somali|spanish|swahili|swedish|tagalog|tamil|telugu|thai|tibetan|turkish|ukrainian|urdu"
    r"|uzbek|vietnamese|welsh|yiddish|zulu)\b"
    r"|übersetz|tradui|traduc|traduz|traduç|tradur|vertaal|översätt|oversæt|oversett|přelož|przetłumacz|tłumacz|fordít|çevir"
    r"|terjemah|käännä|dịch|перев[её]д|перевод|переклад|翻[译譯訳]|번역|ترجم|תרגם|अनुवाद|แปล|μετάφρα"
    r"|englisch|deutsch|französisch|spanisch|anglais|allemand|français|espagnol|inglés|alemán|francés|español|inglês|alemão"
    r"|francês|espanhol|inglese|tedesco|francese|spagnolo|engels|duits|frans\b|engelsk|angiel|anglicky|englez|angol|ingilizce"
    r"|inggris|tiếng|английск|немецк|французск|англійськ|[英法德俄日韩中][语語文]|汉语|漢語|영어|الإنجليزية|بالعربية|אנגלית"
    r"|अंग्रे|อังกฤษ|αγγλικ",
    re.IGNORECASE,
)
"""Prompts that may ask for a text in another language."""
ENDS = 500
"""Characters that are looked at, at either end of a text: a question may stand before or after what it is about."""
FEWEST_LETTERS = 12
"""A text with fewer letters is not judged."""


class Prose(NamedTuple):
    """What says the language of a text."""

    words: tuple[str, ...]
    """In lower case."""
    scripts: Counter[str]
    """Letters of each script."""
    is_code: bool


def other_language(prompt: str, answer: str) -> str | None:
    """The languages of a prompt and an answer: "English, the answer in Korean". None if they are the same.

    None too where the prompt names a language or asks for a translation, or where a text is short, mixed or code.
    """
    asked, answered = _prose(prompt), _prose(answer)
    before, after = _language(asked, least=2), _language(answered, least=3)
    if before is None or after is None or before == after or asked.is_code or answered.is_code:
        return None
    if _traces(asked, after, before) > 1 or _traces(answered, before, after) > 0.2 * _traces(answered, after, before):
        return None
    if SAYS_A_LANGUAGE.search(prompt):
        return None
    return f"{_title(before)}, the answer in {_title(after)}"


def _title(language: str) -> str:
    return language if language in FUNCTION_WORDS else TITLES.get(language, f"{language.capitalize()} letters")


def _prose(text: str) -> Prose:
    text = text if len(text) <= 2 * ENDS else f"{text[:ENDS]} {text[-ENDS:]}"
    text = NOT_PROSE.sub(" ", unicodedata.normalize("NFC", text))
    words = tuple(WORD.findall(text.lower()))
    scripts = Counter({LATIN: sum(map(len, words))} if text.isascii() else map(_script, "".join(words)))
    return Prose(words, scripts, len(CODE_SIGNS.findall(text)) > 0.03 * len(text))


def _language(prose: Prose, least: int) -> str | None:
    """The language of a text, or its script; None if the text is mixed or has too few words.

    least: Function words, each counted once, that show English. Other languages need one more: they share words.
    """
    (script, letters), *_ = prose.scripts.most_common(1) or [("", 0)]
    if letters < FEWEST_LETTERS or letters < 0.8 * prose.scripts.total():
        return None
    if script != LATIN:
        return script
    function_words = Counter(language for word in set(prose.words) for language in LANGUAGES_OF.get(word, ()))
    (best, n), (_, second) = [*function_words.most_common(2), ("", 0), ("", 0)][:2]
    share = sum(best in LANGUAGES_OF.get(word, ()) for word in prose.words) / len(prose.words)
    is_clear = n >= (least if best == "English" else least + 1) and second <= 0.5 * n and share >= 0.15
    return best if is_clear else None


def _traces(prose: Prose, language: str, other: str) -> int:
    """Traces of a language in a text: function words that the other language has not, or letters of its script."""
    if language not in FUNCTION_WORDS:
        return prose.scripts[language]
    return sum(language in (of := LANGUAGES_OF.get(word, ())) and other not in of for word in set(prose.words))


@lru_cache(maxsize=20_000)
def _script(letter: str) -> str:
    script = unicodedata.name(letter, "").partition(" ")[0].partition("-")[0]
    return FOLDED.get(script, script)
