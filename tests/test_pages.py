"""The HTML pages are one set: linked, self-contained, readable on a phone and in the dark, and safe with any text."""

import re
import shutil
from collections import defaultdict
from html.parser import HTMLParser
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from oresight.flows.commands.options import whole_id
from oresight.flows.server import artifacts
from oresight.tasks.evaluation.page import write_evaluations
from oresight.tasks.pages.cards import add_facets
from oresight.tasks.pages.charts import sources
from oresight.tasks.pages.html import Head, write_page
from oresight.tasks.pages.verdict import checks_verdict
from oresight.tasks.report import Reported, report
from oresight.tasks.runs.record import Run
from oresight.tasks.scoring.picture import inspect_picture, smaller
from oresight.tasks.split import Split
from tests.support.curated import Curated
from tests.support.runs import config_of, made_up_model
from tests.support.store import RUN, Store

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
HOSTILE = "</script></style><script>alert(1)</script>\"'><img src=x onerror=alert(1)><nav>{{ 7 * 7 }}"
COLORS = Path(__file__).parents[1] / "tasks" / "pages" / "colors.css"
UNSEEN = "a\u202eb\u2066c\x1bd\x85"


class Page(HTMLParser):
    """What the tests ask of a page: its ids, links, headings and texts."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.source = file.read_text(encoding="utf-8")
        self.ids: list[str] = []
        self.attributes: dict[str, list[str]] = defaultdict(list)
        self.tags: list[str] = []
        self.text = ""
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            self.attributes[name].append(value or "")

    def handle_data(self, data: str) -> None:
        self.text += data

    @property
    def cards(self) -> list[str]:
        """The ids of the cards of rows."""
        return re.findall(r'<article id="(\w+)"', self.source)


@pytest.fixture(scope="module")
def folder(curated: Curated) -> Path:
    """The folder of the pages of the curated VQA demo, the page of evaluations included."""
    return write_evaluations(curated.config).parent


@pytest.fixture(scope="module")
def pages(folder: Path) -> dict[str, Page]:
    return {name: Page(folder / name) for name in ("report.html", "checks.html", "evaluations.html")}


def test_every_link_leads_to_something_on_a_page_that_is_there(pages: dict[str, Page]) -> None:
    for name, page in pages.items():
        assert len(set(page.attributes["id"])) == len(page.attributes["id"]), name
        assert set(pages) <= set(page.attributes["href"]), f"{name} links all pages"
        for link in page.attributes["href"]:
            target, fragment = urldefrag(link)
            assert not fragment or unquote(fragment) in pages[target or name].attributes["id"], f"{name}: {link}"
    assert len([link for link in pages["checks.html"].attributes["href"] if link.startswith("report.html#")]) == 20


def test_pages_ask_no_other_host_and_run_no_script_but_their_own(pages: dict[str, Page]) -> None:
    for name, page in pages.items():
        urls = [*page.attributes["href"], *page.attributes["src"], *re.findall(r"url\(([^)]*)", page.source)]
        assert not [url for url in urls if re.match(r"(\w+:)?//", url)], name
        assert "default-src 'none'" in page.attributes["content"][0]
        assert not [attribute for attribute in page.attributes if attribute.startswith("on")]
        assert page.tags.count("script") == (name == "report.html")


def test_pages_say_first_what_they_say_in_sum(pages: dict[str, Page]) -> None:
    for name, page in pages.items():
        (verdict,) = re.findall(r'<h1>[^<]+</h1>\s*<ul class="verdict">(.*?)</ul>', page.source, re.S)
        assert verdict.count("<li>") == 3, name
        levels = [int(tag[1]) for tag in page.tags if re.fullmatch(r"h[1-6]", tag)]
        assert levels[0] == 1 and levels.count(1) == 1
        assert all(b - a <= 1 for a, b in pairwise(levels)), f"{name} skips a level"
        assert 'lang="en"' in page.source and "dataset easy" in page.text and "split curated" in page.text


def test_cards_are_the_flagged_rows_by_the_id_that_commands_take(pages: dict[str, Page], curated: Curated) -> None:
    cards = pages["report.html"].cards
    queue = curated.ask("SELECT DISTINCT sample_id FROM flags WHERE severity IN ('warning', 'critical')")
    assert {(whole_id(curated.config.database, card),) for card in cards[: len(queue)]} == set(queue)
    assert pages["report.html"].source.count("data:image/jpeg;base64,") >= len(queue)
    assert "curated/v1" in pages["report.html"].text and "rows.json@" in pages["report.html"].text


def test_pages_link_only_the_pages_that_exist(tmp_path: Path) -> None:
    head = Head("d", "s", None, ["One.", "Two.", "Three."])
    foreign = b"<nav>\xff of another program</nav>"
    (tmp_path / "report.html").write_bytes(foreign)
    write_page(tmp_path / "checks.html", "check_page.html", head, checks=[], in_report=())
    assert (tmp_path / "report.html").read_bytes() == foreign, "a file of another program stays as it is"
    (tmp_path / "report.html").unlink()
    write_page(tmp_path / "checks.html", "check_page.html", head, checks=[], in_report=())
    assert Page(tmp_path / "checks.html").attributes["href"] == ["checks.html"]
    write_page(tmp_path / "evaluations.html", "evaluations.html", head)
    for name in ("checks.html", "evaluations.html"):
        assert Page(tmp_path / name).attributes["href"] == ["checks.html", "evaluations.html"]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["checks.html", "evaluations.html"]


def test_hostile_text_of_rows_stays_text(store: Store, tmp_path: Path) -> None:
    rows = [{"sample_id": f"{i:032x}", "prompt": HOSTILE + "x" * 100_000, "answer": UNSEEN} for i in range(3)]
    store.rows("raw", *rows)
    store.scores(*({"sample_id": row["sample_id"], "likeliest": ["a", "b"]} for row in rows))
    tokens = pa.table({"tokens": [[HOSTILE, UNSEEN]], "token_values": [[1.0, -0.5]], "token_logprobs": [[-1.0, -2.0]]})
    store.execute("UPDATE store.scores SET tokens = t.tokens, token_values = t.token_values,"
                  " token_logprobs = t.token_logprobs FROM t", t=tokens)  # fmt: skip
    store.suspicions({rows[0]["sample_id"]: 0.01})
    store.check("raw")
    store.check("score")
    reported = report(Run(config_of(store.database, "raw"), RUN, made_up_model()))
    for name, scripts in (("report.html", 1), ("checks.html", 0)):
        page = Page(reported.page.with_name(name))
        assert page.tags.count("script") == scripts and page.tags.count("nav") == page.tags.count("style") == 1
        assert "x" not in page.attributes["src"] and "onerror" not in page.attributes
        assert r"a\u202eb\u2066c\x1bd\x85" in page.text and HOSTILE in page.text
        assert not set("\u202e\u2066\x1b\x85") & set(page.source)
        assert len(page.source) < 60_000, "a long text is cut"


def test_artifacts_say_where_the_pages_are_and_link_no_file(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: dict[str, str] = {}
    for kind in ("table", "markdown", "image"):
        monkeypatch.setattr(artifacts, f"create_{kind}_artifact", lambda data, key, **_: shown.update({key: str(data)}))
    page = tmp_path / "a b" / "report.html"
    artifacts.show_findings(
        "easy", {"rows": 3}, Reported(page, ["Found.", "Sure."], dict.fromkeys(artifacts.PLOTS, ""), [], [])
    )
    decided = Split("easy", 2, new=True, rows_kept=3, rows_dropped=1, tokens_kept=5)
    artifacts.show_split(store.database, decided, page.parent)
    assert shown["easy-summary"].startswith("# easy\n\n- Found.\n- Sure.\n")
    assert (
        f"\n{page}\n" in shown["easy-report"]
        and f"webbrowser file://{tmp_path}/a%20b/report.html" in shown["easy-report"]
    )
    assert f"\n{page.parent}\n" in shown["easy-split"] and "Rows kept: 3. Rows dropped: 1." in shown["easy-split"]
    assert not [key for key, text in shown.items() if "](file:" in text]


def test_hostile_names_in_figures_stay_text() -> None:
    svg = sources([{"check_name": HOSTILE, "source": HOSTILE, "rows": 3}])
    assert "<script" not in svg and "<img" not in svg and "&lt;script" in svg


@pytest.mark.parametrize(
    ("metadata", "facets"),
    [
        ([{"topic": "a"}, {"topic": "b"}, {"topic": "a"}], {"topic": ["a", "b"]}),
        ([{"topic": "a"}, {"topic": "a"}], {}),
        ([{"topic": "a", "level": 1}, {"level": 2}, {"level": 2}], {"level": ["1", "2"]}),
        (
            [{"check": "a", "long": "x" * 100, "list": [1]}, {"check": "b", "long": "y", "list": [2]}, {"check": "b"}],
            {},
        ),
        ([{"id": str(i)} for i in range(5)], {}),
        ([{"id": str(i % 31)} for i in range(50)], {}),
        ([{"ok": True}, {"ok": False}, {"ok": False}, {}], {"ok": ["False", "True"]}),
    ],
)
def test_facets_are_columns_that_tell_rows_apart(metadata: list[dict[str, Any]], facets: dict[str, list[str]]) -> None:
    rows = [
        {"flags": None, "decision": "keep", "looks_like": None, "source_file": "f", "metadata": one} for one in metadata
    ]
    assert add_facets(rows) == facets
    for row, columns in zip(rows, metadata, strict=True):
        chosen = [[options[i] for i in at] for options, at in zip(facets.values(), row["facets"], strict=True)]
        assert chosen == [[str(columns[name])] if name in columns else [] for name in facets]


def test_checks_say_what_failed() -> None:
    checks = [
        {"check_name": "a", "severity": "critical", "success": False, "rows_tested": 3},
        {"check_name": "b", "severity": "warning", "success": True, "rows_tested": 3},
    ]
    found, sure, _ = checks_verdict(checks, 1)
    assert found == "1 of 2 checks passed, and 1 row is flagged. a (critical) failed, so nothing is published."
    assert sure.startswith("Each check tested all 3 rows")
    assert checks_verdict([], 0)[0] == "0 of 0 checks passed, and 0 rows are flagged."


def test_a_thumbnail_of_a_page_is_small_and_never_larger_than_the_stored_one() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (300, 200, 3), dtype=np.uint8)
    for image in (Image.fromarray(noise), Image.new("L", (20, 30)), Image.new("RGB", (1, 1))):
        file = BytesIO()
        image.save(file, "PNG")
        stored = inspect_picture(file.getvalue()).thumbnail
        small = smaller(stored, 144)
        assert len(small) <= len(stored)
        assert max(Image.open(BytesIO(small)).size) <= 144


def test_text_has_contrast_in_light_and_in_dark_mode() -> None:
    light, dark = (COLORS.read_text().split("@media")[i] for i in (0, 1))
    for mode in (light, dark):
        colors = dict(re.findall(r"--(\w+): #(\w{6})", mode))
        for text in ("text", "muted", "accent", "bad", "good"):
            for ground in ("page", "panel"):
                bright, dim = sorted((luminance(colors[text]), luminance(colors[ground])), reverse=True)
                assert (bright + 0.05) / (dim + 0.05) >= 4.5, (text, ground)


def luminance(color: str) -> float:
    """Relative luminance of a colour of sRGB, by WCAG."""
    parts = [int(color[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine")
def test_pages_work_from_a_file_on_a_phone_and_in_the_dark(folder: Path, pages: dict[str, Page]) -> None:
    from playwright.sync_api import expect, sync_playwright

    cards, messages = pages["report.html"].cards, list[str]()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        tab = browser.new_page(viewport={"width": 390, "height": 800}, color_scheme="dark")
        tab.on("console", lambda message: messages.append(message.text))
        for name in pages:
            tab.goto((folder / name).as_uri())
            assert tab.evaluate("document.documentElement.scrollWidth") <= 390, f"{name} is wider than a phone"
            assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 26)"
        tab.goto((folder / "checks.html").as_uri())
        tab.locator("a[href^='report.html#']").first.click()
        assert tab.locator("details[open]").count() == 1
        tab.get_by_label("search").fill(cards[3][:10])
        expect(tab.get_by_role("status")).to_have_text(f"1 of {len(cards)} rows")
        expect(tab.locator("article:visible h3 a")).to_have_text(cards[3])
        tab.goto((folder / "report.html").as_uri() + f"#{cards[5][:8]}")
        expect(tab.locator(f"[id='{cards[5]}'] details[open]")).to_be_in_viewport()
        tab.locator("form label", has_text="check").locator("select").select_option("no flag")
        flagged = pages["report.html"].source.count('<p class="reason">')
        expect(tab.get_by_role("status")).to_have_text(f"{len(cards) - flagged} of {len(cards)} rows")
        tab.goto((folder / "report.html").as_uri() + "#00000000")
        expect(tab.get_by_role("status")).to_contain_text("oresight explain 00000000")
        browser.close()
    assert messages == []
