"""The page shows each bin's count under the pointer and under the keyboard, and loads nothing."""

import re
import shutil
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import penstock
from penstock.data.column_text import column_text
from penstock.data.profile import ColumnProfile
from penstock.data.profile_text import profile_text

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "houses.csv"
    rows = [f"{i % 17},{1.5 ** (i % 40):.3f},2024-01-{i % 28 + 1:02},{'a' if i % 3 else HOSTILE}" for i in range(400)]
    path.write_text(f'rooms,price,sold,"</script>{HOSTILE}"\n' + "\n".join(rows) + "\n")
    return path


def test_the_page_holds_all_it_needs_and_no_markup_of_the_table(table: Path) -> None:
    found = penstock.profile(table, label="price")
    page = found.to_html()
    assert not re.search(r"https?://|<link|<img|src=\"", page)
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert page.count("</script>") == 1
    counts = [int(count) for count in re.findall(r'data-count="(\d+)"', page)]
    assert counts == [count for column in found.table.columns for count in charted(column)]
    assert page.count("<summary>deciles</summary>") == 3
    assert found._repr_html_() in page
    assert "400 rows" in str(found)


def charted(column: ColumnProfile) -> list[int]:
    counts = [] if column.histogram is None else [*column.histogram.counts]
    return counts if column.times is None else [*counts, *column.times.weekdays, *column.times.hours]


def test_all_that_is_known_of_a_column_is_told(table: Path) -> None:
    found = penstock.profile(table).table
    price = column_text(found["price"])
    assert "skew" in price
    assert "deciles" in price
    assert "400 rows, 0 missing (0.0%), 40 different values" in price
    sold = column_text(found["sold"])
    assert re.search(r"Mon +\d+ +\d+\.\d%", sold)
    assert "hours, UTC, 0 to 23: █" in sold
    words = column_text(found[f"</script>{HOSTILE}"])
    assert "length 1 to 28, " in words
    assert re.search(r"\ba +266 +66\.5%  █{40}\n", words)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_text_fits_the_terminal(table: Path, width: int) -> None:
    lines = profile_text(penstock.profile(table).table, width=width).splitlines()
    assert max(map(len, lines)) <= width
    assert any("▁" in line or "█" in line for line in lines)


@pytest.fixture
def browser() -> Generator["Chrome"]:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("Chromium is not installed: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for word in ("--headless=new", "--no-sandbox", "--window-size=1280,900", "--disable-dev-shm-usage"):
        options.add_argument(word)
    opened = webdriver.Chrome(options=options, service=Service(driver))
    yield opened
    opened.quit()


@pytest.mark.slow
def test_a_bin_under_the_pointer_says_its_count(table: Path, browser: "Chrome") -> None:
    from selenium.webdriver import ActionChains, Keys
    from selenium.webdriver.common.by import By

    found = penstock.profile(table)
    page = table.with_suffix(".html")
    page.write_text(found.to_html())
    browser.get(page.as_uri())
    histogram = found.table["rooms"].histogram
    assert histogram is not None
    card = browser.find_element(By.CSS_SELECTOR, "article.card")
    bins = card.find_elements(By.CSS_SELECTOR, "g[data-said]")
    said = card.find_element(By.CLASS_NAME, "said")
    assert len(bins) == len(histogram.counts)
    for place in (0, 5, len(bins) - 1):
        ActionChains(browser).move_to_element(bins[place].find_element(By.CLASS_NAME, "hit")).perform()
        assert f": {histogram.counts[place]} (" in said.text
    ActionChains(browser).move_to_element(browser.find_element(By.TAG_NAME, "h1")).perform()
    browser.execute_script("arguments[0].focus()", bins[0])
    ActionChains(browser).send_keys(Keys.ARROW_RIGHT).perform()
    assert said.text == bins[1].get_attribute("data-said")
    for width in (1280, 390):
        browser.set_window_size(width, 900)
        assert browser.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
