"""The page in a real browser, with real clicks and keys."""

import pytest
from PIL import Image
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select
from selenium.webdriver.support.wait import WebDriverWait


@pytest.fixture
def look(folder, sdops, chromium):
    """Writes the page and opens it; afterwards nothing may have been complained of."""

    def open_page():
        assert sdops("gallery", folder.path).code == 0
        chromium.get((folder.path / "index.html").as_uri())
        return chromium

    yield open_page
    assert chromium.get_log("browser") == []


def all_of(browser, selector):
    return browser.find_elements(By.CSS_SELECTOR, selector)


def one_of(browser, selector):
    return browser.find_element(By.CSS_SELECTOR, selector)


def until(browser, condition):
    # What is drawn anew meanwhile is looked for again.
    stale = (StaleElementReferenceException,)
    waiting = WebDriverWait(browser, 10, poll_frequency=0.05, ignored_exceptions=stale)
    return waiting.until(lambda _: condition())


def seeds(browser):
    return [one.text for one in all_of(browser, ".card .quiet")]


def fact(browser, name):
    names = [one.text for one in all_of(browser, "dt")]
    return all_of(browser, "dd")[names.index(name)].text


def press(browser, *keys):
    browser.switch_to.active_element.send_keys(*keys)


def decoded(browser, selector):
    script = "const one = document.querySelector(arguments[0]); return one.complete && one.naturalWidth"
    return browser.execute_script(script, selector)


def test_inputs_stand_beside_their_outputs(folder, look, tmp_path):
    folder.add(7)
    folder.add(8, flagged=True)
    other = tmp_path / "other.png"
    Image.new("RGB", (30, 20), "green").save(other)
    first, folder.source = folder.source, other
    folder.add(9)
    folder.source = first
    browser = look()
    assert browser.title == "pictures - sdops gallery"
    assert [one.text for one in all_of(browser, "figcaption strong")] == ["photo.jpg", "other.png"]
    groups = [seeds(section) for section in all_of(browser, "section")]
    assert groups == [["seed 7", "seed 8"], ["seed 9"]]
    assert [one.text for one in all_of(browser, ".flag")] == ["flagged"]
    until(browser, lambda: decoded(browser, ".card img") and decoded(browser, ".source img"))


def test_pictures_are_filtered_by_prompt_and_by_flag(folder, look):
    folder.add(7, prompt="wearing a Christmas hat")
    folder.add(8, prompt="as a statue")
    folder.add(9, prompt="as a statue", flagged=True)
    browser = look()
    one_of(browser, "#search").send_keys("CHRISTMAS")
    until(browser, lambda: seeds(browser) == ["seed 7"])
    assert one_of(browser, "#count").text == "1 of 3"
    one_of(browser, "#search").clear()
    one_of(browser, "#search").send_keys("statue")
    Select(one_of(browser, "#flagged")).select_by_value("yes")
    until(browser, lambda: seeds(browser) == ["seed 9"])
    Select(one_of(browser, "#flagged")).select_by_value("no")
    until(browser, lambda: seeds(browser) == ["seed 8"])
    one_of(browser, "#search").send_keys("nothing like it")
    until(browser, lambda: one_of(browser, "main").text == "No picture matches.")


def test_a_picture_opens_with_its_settings_and_its_command_is_copied(folder, look):
    folder.add(7, strength=0.35, negative_prompt="a beard")
    browser = look()
    one_of(browser, ".card").click()
    assert one_of(browser, "dialog").is_displayed()
    until(browser, lambda: decoded(browser, "#after") == 96)
    told = [
        fact(browser, name) for name in ("Seed", "Strength", "Guidance", "Steps", "Not", "Seconds", "Made on")
    ]
    assert told == ["7", "0.35", "7.5", "50", "a beard", "1.5", "gpu1, NVIDIA A100"]
    command = one_of(browser, "#command").text
    assert command.startswith("sdops run ")
    assert command.endswith(" --seed 7 --width 96 --model demo")
    one_of(browser, "#copy").click()
    until(browser, lambda: one_of(browser, "#copy").text == "Copied")
    one_of(browser, "#close").click()
    one_of(browser, "#search").send_keys(Keys.CONTROL, "v")
    assert one_of(browser, "#search").get_attribute("value") == command


def test_the_slider_shows_the_input_over_the_output(folder, look):
    folder.add(7)
    browser = look()
    one_of(browser, ".card").click()

    def edge():
        return browser.execute_script("return getComputedStyle(document.getElementById('before')).clipPath")

    assert edge() == "inset(0px 100% 0px 0px)"
    # The keyboard is on the slider at once.
    press(browser, *[Keys.ARROW_RIGHT] * 30)
    assert one_of(browser, "#slide").get_attribute("value") == "30"
    assert edge() == "inset(0px 70% 0px 0px)"
    until(browser, lambda: decoded(browser, "#before"))


def test_the_slider_says_what_it_shows(folder, look):
    folder.add(7)
    browser = look()
    one_of(browser, ".card").click()
    assert one_of(browser, "#slide").get_attribute("aria-valuetext") == "0% input, 100% output"
    press(browser, Keys.ARROW_RIGHT)
    assert one_of(browser, "#slide").get_attribute("aria-valuetext") == "1% input, 99% output"


def test_the_next_button_keeps_the_keyboard_until_there_is_no_next(folder, look):
    for seed in (7, 8, 9):
        folder.add(seed)
    browser = look()
    one_of(browser, ".card").click()
    while browser.switch_to.active_element.get_attribute("id") != "next":
        press(browser, Keys.TAB)
    press(browser, Keys.ENTER)
    assert (fact(browser, "Seed"), browser.switch_to.active_element.get_attribute("id")) == ("8", "next")
    press(browser, Keys.ENTER)
    assert (fact(browser, "Seed"), browser.switch_to.active_element.get_attribute("id")) == ("9", "slide")


def test_the_keys_are_written_on_the_page(folder, look):
    folder.add(7)
    browser = look()
    assert not one_of(browser, "#keys ul").is_displayed()
    one_of(browser, "#keys summary").click()
    text = one_of(browser, "#keys ul").text
    assert all(key in text for key in ("/ search", "n, Page Down next", "p, Page Up previous", "Esc close"))
    one_of(browser, ".card").click()
    assert one_of(browser, "dialog .keys").text.startswith("n next, p previous")


def test_all_can_be_done_with_the_keyboard(folder, look):
    for seed in (7, 8, 9):
        folder.add(seed)
    browser = look()
    press(browser, "/")
    assert browser.switch_to.active_element.get_attribute("id") == "search"
    while browser.switch_to.active_element.get_attribute("class") != "card":
        press(browser, Keys.TAB)
    press(browser, Keys.ENTER)
    assert fact(browser, "Seed") == "7"
    press(browser, "n")
    assert fact(browser, "Seed") == "8"
    press(browser, Keys.PAGE_DOWN)
    assert (fact(browser, "Seed"), one_of(browser, "#next").is_enabled()) == ("9", False)
    press(browser, "n")
    press(browser, "p")
    assert fact(browser, "Seed") == "8"
    press(browser, Keys.ESCAPE)
    until(browser, lambda: not one_of(browser, "dialog").is_displayed())
    # Back where the picture stands.
    assert "seed 8" in browser.switch_to.active_element.text


def test_a_sweep_is_a_grid(folder, look):
    for number, (strength, guidance) in enumerate([(0.3, 5), (0.3, 10), (0.7, 5)]):
        folder.add(7, name=f"{number}.png", strength=strength, guidance=guidance)
    folder.add(8)
    browser = look()
    assert seeds(browser) == ["s0.3 g5, seed 7", "s0.3 g10, seed 7", "s0.7 g5, seed 7", "seed 8"]
    Select(one_of(browser, "#view")).select_by_value("sweeps")
    until(browser, lambda: all_of(browser, "table"))
    assert [one.text for one in all_of(browser, "th[scope=col]")] == ["5", "10"]
    assert [one.text for one in all_of(browser, "th[scope=row]")] == ["0.3", "0.7"]
    assert [len(all_of(row, ".card")) for row in all_of(browser, "tr")] == [0, 2, 1]
    all_of(browser, ".card")[2].click()
    assert (fact(browser, "Strength"), fact(browser, "Guidance")) == ("0.7", "5")


def test_a_grid_is_filtered_cell_by_cell(folder, look):
    for number, (strength, guidance, flagged) in enumerate(
        [(0.3, 5, False), (0.3, 10, True), (0.7, 5, True), (0.7, 10, None)]
    ):
        folder.add(7, name=f"{number}.png", strength=strength, guidance=guidance, flagged=flagged)
    for number, guidance in enumerate((5, 10)):
        folder.add(8, name=f"other-{number}.png", guidance=guidance)
    browser = look()
    Select(one_of(browser, "#view")).select_by_value("sweeps")

    def grids(flagged):
        Select(one_of(browser, "#flagged")).select_by_value(flagged)
        count = one_of(browser, "#count").text
        found = []
        for table in all_of(browser, "table"):
            rows = all_of(table, "tr")[1:]
            found.append([[len(all_of(cell, ".card")) for cell in all_of(row, "td")] for row in rows])
        return count, found

    assert grids("") == ("6 of 6", [[[1, 1], [1, 1]], [[1, 1]]])
    # The other grid has no flagged cell.
    assert grids("yes") == ("2 of 6", [[[0, 1], [1, 0]]])
    assert grids("no") == ("4 of 6", [[[1, 0], [0, 1]], [[1, 1]]])
    # The pictures that are left are those that one turns over to.
    Select(one_of(browser, "#flagged")).select_by_value("yes")
    all_of(browser, ".card")[0].click()
    assert fact(browser, "Guidance") == "10"
    press(browser, "n")
    assert (fact(browser, "Guidance"), one_of(browser, "#next").is_enabled()) == ("5", False)


@pytest.mark.parametrize(
    ("flagged", "told"), [(True, "yes, by the model's safety filter"), (False, "no"), (None, "not checked")]
)
def test_what_was_not_checked_is_told_from_what_was(folder, look, flagged, told):
    folder.add(7, flagged=flagged)
    browser = look()
    one_of(browser, ".card").click()
    assert fact(browser, "Flagged") == told


def test_without_a_sweep_there_is_nothing_to_choose(folder, look):
    folder.add(7)
    assert not one_of(look(), "#view").is_displayed()


def test_an_empty_folder_has_a_page_that_says_so(folder, look):
    assert one_of(look(), "main").text == "There are no pictures of sdops in this folder."


def test_what_people_wrote_is_shown_as_they_wrote_it(folder, look):
    prompt = "</script><img src=x onerror=\"document.title='bad'\"> & <b>bold</b>"
    folder.add(7, prompt=prompt)
    browser = look()
    one_of(browser, ".card").click()
    assert one_of(browser, "#title").text == prompt
    assert browser.title == "pictures - sdops gallery"


def test_a_large_picture_that_is_gone_is_shown_small(folder, look):
    path = folder.add(7)
    browser = look()
    path.unlink()
    one_of(browser, ".card").click()
    until(browser, lambda: decoded(browser, "#after"))
    assert one_of(browser, "#after").get_attribute("src").startswith("data:image/")
    assert [one for one in browser.get_log("browser") if "ERR_FILE_NOT_FOUND" not in one["message"]] == []


def test_five_thousand_pictures_are_drawn_when_they_are_near(folder, look):
    import shutil

    first = folder.add(0)
    for number in range(1, 5000):
        shutil.copy2(first, folder.path / f"copy-{number}.png")
    browser = look()
    assert one_of(browser, "#count").text == "5000 of 5000"
    until(browser, lambda: decoded(browser, ".card img"))
    drawn = browser.execute_script("return document.querySelectorAll('.card img[src]').length")
    assert 0 < drawn < 500
    browser.execute_script("window.scrollTo(0, document.body.scrollHeight)")
    until(browser, lambda: decoded(browser, "li:last-child img"))


def test_a_thousand_inputs_are_drawn_when_they_are_near(folder, look, monkeypatch):
    monkeypatch.setattr("os.fsync", lambda descriptor: None)
    for number in range(1000):
        folder.source = folder.path / f"input-{number}.jpg"
        Image.new("RGB", (30, 20), "green").save(folder.source, comment=str(number).encode())
        folder.add(number, noted=False)
    browser = look()
    assert one_of(browser, "#count").text == "1000 of 1000"
    assert len(all_of(browser, ".source img")) == 1000
    until(browser, lambda: decoded(browser, ".source img"))
    drawn = browser.execute_script("return document.querySelectorAll('.source img[src]').length")
    assert 0 < drawn < 100
    browser.execute_script("window.scrollTo(0, document.body.scrollHeight)")
    until(browser, lambda: decoded(browser, "section:last-child .source img"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_light_or_dark_as_the_system_is(folder, look, chromium, scheme):
    folder.add(7)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    try:
        browser = look()
        colour = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
        red = int(colour.partition("(")[2].partition(",")[0])
        assert (red > 128) == (scheme == "light")
    finally:
        chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_a_narrow_window_scrolls_down_alone(folder, look, chromium):
    for seed in range(6):
        folder.add(seed, prompt="a very long prompt " * 20)
    browser = look()
    browser.set_window_size(500, 900)
    try:
        one_of(browser, "#keys summary").click()
        assert one_of(browser, "#keys ul").rect["x"] >= 0
        assert browser.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
    finally:
        browser.set_window_size(1200, 900)
