"""What a user sees on the dashboard, in headless Chromium against a stand-in for the admin port: scripts/test-dashboard."""

import json
import pathlib
import sys
import time
import traceback

from browser import Broken, Browser
from mock import HOSTILE, PAGE, Mock

ROWS = "document.querySelectorAll('#requests tbody tr')"
# How much lighter one colour is than another, by WCAG's formula; the colours are those that an element shows.
CONTRAST = """(selector) => {
  const numbers = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = (rgb) => rgb.slice(0, 3).map((c) => c / 255).map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  let element = document.querySelector(selector), behind = element;
  const clear = (e) => { const c = numbers(getComputedStyle(e).backgroundColor); return c.length === 4 && c[3] === 0; };
  while (behind.parentElement && clear(behind)) behind = behind.parentElement;
  const [a, b] = [light(numbers(getComputedStyle(element).color)), light(numbers(getComputedStyle(behind).backgroundColor))];
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
}"""


def text(page, selector):
    return page.run(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''").replace("\u00a0", " ")


def is_in(part, whole):
    assert part in whole, f"{part!r} is not in {whole!r}"


def fits(page, width):
    wide = page.run("document.documentElement.scrollWidth")
    assert wide <= width, f"the page is {wide} pixels wide in a window of {width}"


def readable(page, *selectors):
    for selector in selectors:
        contrast = page.run(f"({CONTRAST})({json.dumps(selector)})")
        assert contrast >= 4.5, f"{selector} has a contrast of {contrast:.2f}"


def opened(page, mock):
    page.open(mock.url)
    page.until(f"{ROWS}.length > 0 || !document.getElementById('login').hidden")


def tab_to(page, condition, most=80):
    for _ in range(most):
        if page.run(f"(() => {{ const e = document.activeElement; return !!({condition}); }})()"):
            return
        page.press("Tab")
    raise Broken(f"not reached with the Tab key: {condition}")


# ---- The checks, in the order in which they run ---------------------------------------------------------------------


def figures(page, mock):
    opened(page, mock)
    everything = text(page, "#figures")
    for part in ("61 %", "1.25 → 0.49 M tokens", "0.513", "ESTIMATED", "561,200", "201,000", "31 ms", "412 ms", "310 ms"):
        is_in(part, everything)
    for part in ("0.1.0", "10 % of conversations held out", "ratio 0.4 (balanced)", "Smollm2 135M (Q8_0)", "2 h 3 min", "api.openai.com"):
        is_in(part, text(page, "header"))
    is_in("too small to be worth it", text(page, "#outcomes"))
    for part in ("−0.099 (−0.151 to −0.047)", "may be chance"):
        is_in(part, text(page, "#holdout"))
    assert page.run(f"{ROWS}.length") == 12
    first = page.run(f"{ROWS}[0].innerText").replace("\u00a0", " ")
    for part in ("chat", "gpt-5", "→", "−", "ms", "compressed"):
        is_in(part, first)
    assert not page.run("document.querySelector('.alarm')") and page.run("document.getElementById('capture').hidden")


def data_stays_text(page, mock):
    opened(page, mock)
    is_in(HOSTILE, text(page, "#models"))
    assert page.run("document.images.length") == 0 and page.run("document.title") != "1"


def chart(page, mock):
    opened(page, mock)
    is_in("In the hour:", text(page, "#readout"))
    tab_to(page, "e.id === 'chart'")
    page.press("End")
    is_in("tokens", text(page, "#readout"))
    last = text(page, "#readout")
    page.press("ArrowLeft")
    assert text(page, "#readout") != last
    page.run("document.querySelector('#minutes summary').click()")
    page.until("document.querySelectorAll('#minutes tbody tr').length > 10")
    assert page.run("document.querySelector('#chart svg').getAttribute('aria-label')").startswith("Bars of tokens")


def live(page, mock):
    opened(page, mock)
    tab_to(page, "e.closest('#requests') && e.href")
    mock.state["requests"] = 13
    page.until(f"{ROWS}.length === 13")
    assert page.run("document.activeElement.closest('#requests') !== null"), "a poll took the focus away"
    mock.state["requests"] = 12


def alarm_and_nothing_set(page, mock):
    mock.state.update(alarm=True, capture=0, prices=False, ready=False)
    opened(page, mock)
    alarm = text(page, "#alarm")
    for part in ("104 requests in a row", "80 ×", "too small to be worth it", "compression.min_tokens", "24 ×"):
        is_in(part, alarm)
    is_in("Text is not captured. Set observe.capture = 20 in lopper.toml", text(page, "#capture"))
    is_in("Set prices in lopper.toml", text(page, "#figures"))
    is_in("Not enough to compare yet: 90 conversations compressed and 10 conversations sent whole", text(page, "#holdout"))
    readable(page, ".alarm h2", ".alarm code", ".alarm li")
    mock.state.update(alarm=False, capture=20, prices=True, ready=True)


def audit(page, mock):
    mock.state["mode"] = "audit"
    opened(page, mock)
    for part in ("Would be saved", "AUDIT", "in the last 2 requests with code"):
        is_in(part, text(page, "#figures"))
    mock.state["mode"] = "holdout:10"


def nothing_yet(page, mock):
    mock.state.update(requests=0, holdout=False)
    page.open(mock.url)
    page.until("document.querySelector('#requests p')")
    is_in("Point your assistant at http://127.0.0.1:8787/v1", text(page, "#requests"))
    is_in("holdout:10", text(page, "#holdout"))
    mock.state.update(requests=12, holdout=True)


def request_by_keyboard(page, mock):
    opened(page, mock)
    tab_to(page, "e.closest('#requests') && e.href.endsWith('#request-12')")
    page.press("Enter")
    page.until("document.querySelector('.row.dropped')")
    assert page.run("location.hash") == "#request-12" and page.run("document.getElementById('overview').hidden")
    everything = text(page, "#request")
    for part in ("warehouse/inventory.py", "Python", "Why can a shipment fail", "none matches", "compressed", "score 30 ms"):
        is_in(part, " ".join(everything.split()))
    is_in("left alone: too small to be worth it", everything)
    # Its lines are the file's, and only those left out are dimmed.
    assert page.run("document.querySelectorAll('.row').length") == 380
    look = "getComputedStyle(document.querySelector('{}')).color"
    assert page.run(look.format(".row:not(.dropped)")) != page.run(look.format(".row.dropped"))
    readable(page, ".row.dropped", ".row:not(.dropped)", ".row.dropped > span", ".notes .out", ".notes .whole")
    # The margin is one stop of the Tab key; arrow keys go from unit to unit, and say what each is.
    tab_to(page, "e.closest('.units')")
    page.press("ArrowDown")
    spoken = page.run("document.activeElement.getAttribute('aria-label')")
    for part in ("InventoryError", "lines 22–25", "rank", "worth", ":"):
        is_in(part, spoken)
    is_in("InventoryError", text(page, "#tip"))
    page.press("Escape")
    assert page.run("document.getElementById('tip').hidden && location.hash !== ''"), "Esc first takes the tip away"
    page.press("Escape")
    page.until("!document.getElementById('overview').hidden")
    page.until("document.activeElement.getAttribute('href') === '#request-12'")


def slider(page, mock):
    page.open(f"{mock.url}#request-12")
    page.until("document.querySelector('.row.dropped')")
    asked = [path for path in mock.state["seen"] if "explain" in path]
    is_in("ratio=0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9", asked[-1])
    dropped = "document.querySelectorAll('.row.dropped').length"
    is_in("As chosen (ratio 0.4)", text(page, ".knob output"))
    chosen = page.run(dropped)
    tab_to(page, "e.id === 'ratio'")
    page.press("Home")
    page.until("document.querySelector('.knob output').innerText.startsWith('Ratio 0.1')")
    least = page.run(dropped)
    page.press("End")
    most = page.run(dropped)
    assert least > chosen > most, (least, chosen, most)
    is_in("tokens of code", text(page, ".knob output"))
    page.run("document.querySelector('.knob button').click()")
    assert page.run(dropped) == chosen
    assert len([path for path in mock.state["seen"] if "explain" in path]) == len(asked), "it is asked for once"


def long_file(page, mock):
    begin = time.monotonic()
    page.open(f"{mock.url}#request-11")
    page.until("document.querySelectorAll('.row').length === 5000")
    took = page.run("""new Promise((done) => {
        const slider = document.getElementById('ratio'), begin = performance.now();
        slider.value = 9;
        slider.dispatchEvent(new Event('input'));
        requestAnimationFrame(() => setTimeout(() => done(performance.now() - begin)));
    })""")
    print(f"   5,000 lines: shown after {time.monotonic() - begin:.1f} s, another ratio after {took:.0f} ms")
    is_in(HOSTILE, text(page, ".block h2"))
    assert page.run("document.images.length") == 0 and not page.run("document.querySelector('.row b')")
    # A row's bar stands beside its line however far down it is.
    page.run("document.querySelectorAll('.row')[4990].scrollIntoView()")
    off = page.run("""(() => {
        const line = document.querySelectorAll('.row')[4990].getBoundingClientRect().top;
        const bars = [...document.querySelectorAll('.units button')].map((bar) => bar.getBoundingClientRect().top);
        return Math.min(...bars.map((top) => Math.abs(top - line)));
    })()""")
    assert off < 1.5, f"the nearest bar is {off} pixels off"


def not_captured(page, mock):
    page.open(f"{mock.url}#request-5")
    page.until("document.querySelector('#request').innerText.includes('is not here')")
    page.problems.clear()  # The browser itself reports the 404.


def phone(page, mock):
    page.size(360, 740)
    mock.state["alarm"] = True
    opened(page, mock)
    page.until("document.querySelector('.alarm')")
    fits(page, 360)
    for number in (12, 11):
        page.open(f"{mock.url}#request-{number}")
        page.until("document.querySelector('.row')")
        fits(page, 360)
    mock.state["alarm"] = False
    page.size(1200, 900)


def dark(page, mock):
    selectors = (".figure h2", ".figure p:not(.value)", ".state dt", ".mark.bad", "#outcomes code", ".tag", "th", "#requests a", "footer")
    opened(page, mock)
    light = page.run("getComputedStyle(document.documentElement).backgroundColor")
    readable(page, *selectors)
    page.prefer(prefers_color_scheme="dark")
    assert page.run("getComputedStyle(document.documentElement).backgroundColor") != light
    readable(page, *selectors)
    page.run("location.hash = '#request-12'")
    page.until("document.querySelector('.row.dropped')")
    readable(page, ".row.dropped", ".row:not(.dropped)", ".row.dropped > span", ".notes .out", ".notes .whole", ".knob output")
    page.prefer(prefers_color_scheme="light")


def calm(page, mock):
    page.prefer(prefers_reduced_motion="reduce")
    opened(page, mock)
    page.run(f"{ROWS}[0].classList.add('new')")
    assert page.run(f"getComputedStyle({ROWS}[0].cells[0]).animationName") == "none"
    page.prefer()


def token(page, mock):
    mock.state["token"] = "open sesame"
    opened(page, mock)
    page.until("!document.getElementById('login').hidden && document.activeElement.id === 'token'")
    page.type("wrong")
    page.press("Enter")
    page.until("document.getElementById('refused').innerText.includes('not the token')")
    page.type("open sesame")
    page.press("Enter")
    page.until(f"{ROWS}.length === 12 && document.getElementById('login').hidden")
    assert page.run("localStorage.length") == 0 and page.run("sessionStorage.length") == 1
    mock.state["token"] = None
    page.problems.clear()  # The browser itself reports each 401.


def not_reached(page, mock):
    opened(page, mock)
    mock.state["broken"] = True
    page.until("!document.getElementById('lost').hidden")
    is_in("can't be reached since", text(page, "#lost"))
    mock.state["broken"] = False
    page.until("document.getElementById('lost').hidden")
    page.problems.clear()  # The browser itself reports each 500.


CHECKS = [figures, data_stays_text, chart, live, alarm_and_nothing_set, audit, nothing_yet, request_by_keyboard, slider, long_file,
          not_captured, phone, dark, calm, token, not_reached]


def main():
    page_text = PAGE.read_text()
    assert page_text.count("<script") == 1 and page_text.count("<style") == 1, "one script, one style: the policy has their hashes"
    assert "innerHTML" not in page_text and " style=" not in page_text, "text only as text, no style attributes"
    failed = 0
    mock = Mock()
    with Browser() as page:
        page.prefer(prefers_color_scheme="light")
        for check in CHECKS:
            page.problems.clear()
            try:
                check(page, mock)
                assert not page.problems, f"the browser reports {page.problems}"
                print(f"ok   {check.__name__}", flush=True)
            except (AssertionError, Broken) as problem:
                failed += 1
                picture = pathlib.Path("target") / f"dashboard-{check.__name__}.png"
                picture.parent.mkdir(exist_ok=True)
                page.picture(picture)
                line = traceback.extract_tb(problem.__traceback__)[1]
                print(f"FAIL {check.__name__}, line {line.lineno}: {problem or line.line} (see {picture})", flush=True)
    print(f"{len(CHECKS) - failed} of {len(CHECKS)} checks passed")
    sys.exit(failed > 0)


main()
