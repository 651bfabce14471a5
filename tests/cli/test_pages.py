#!/usr/bin/env python3
"""The pages of --html in a real browser, headless Chromium, where it is there: charts that can be zoomed and read with mouse and keyboard,
light and dark, wide and narrow, without a request to anywhere."""
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

from support import BIN, ENVIRONMENT, chain
from test_chain import Chain
from test_stats_html import EVIL, operation, update

try:
    from selenium import webdriver
except ImportError:
    sys.path.append("/usr/lib/python3/dist-packages")  # where Debian puts it, whose Python may not be this one
    try:
        from selenium import webdriver
    except ImportError:
        webdriver = None
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")

COLORS = """
const parse = (color) => color.match(/[\\d.]+/g).map(Number);
const over = (top, below) => top.slice(0, 3).map((c, i) => c * (top[3] ?? 1) + below[i] * (1 - (top[3] ?? 1)));
const behind = (node) => { const all = []; for (; node; node = node.parentElement) all.push(parse(getComputedStyle(node).backgroundColor));
  return all.reverse().reduce((below, top) => over(top, below), [255, 255, 255]); };
const light = (color) => { const [r, g, b] = color.map((c) => { c /= 255; return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
const contrast = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p); return (x + 0.05) / (y + 0.05); };
"""
TEXTS = COLORS + """
const worst = [];
for (const node of document.querySelectorAll('body *')) {
  if (![...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim()) || ['SCRIPT', 'STYLE', 'NOSCRIPT'].includes(node.tagName)) continue;
  const style = getComputedStyle(node), color = parse(node instanceof SVGElement ? style.fill : style.color);
  worst.push([contrast(over(color, behind(node)), behind(node)), node.tagName + ': ' + node.textContent.slice(0, 30)]);
}
return worst.sort((a, b) => a[0] - b[0])[0];
"""
FILLS = COLORS + """
return [...document.querySelectorAll('.legend rect, .share rect')].map((node) => [getComputedStyle(node), node])
  .map(([style, node]) => contrast(parse(style.fill === 'none' ? style.stroke : style.fill), behind(node.closest('.share') || node)));
"""


@unittest.skipUnless(webdriver and CHROMIUM and DRIVER, "takes Chromium, its driver and Python's selenium")
class Pages(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.scratch.cleanup)
        cls.folder = pathlib.Path(cls.scratch.name)
        cls.write_pages()
        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM
        for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", f"--user-data-dir={cls.folder}/profile",
                         "--disable-background-networking", "--no-first-run"):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        cls.browser = webdriver.Chrome(options=options, service=webdriver.chrome.service.Service(DRIVER))
        cls.addClassCleanup(cls.browser.quit)

    @classmethod
    def make(cls, name, *command):
        subprocess.run([str(part) for part in command] + ["--html", cls.folder / f"{name}.html"], check=True, env=ENVIRONMENT, timeout=60)

    @classmethod
    def write_pages(cls):
        entries = [update(f"shop.{'abcdefghij'[n % 10]}", n % 17, {"$v": 2, "diff": {"u": {"n": n}}}, 1700000000 + n * 60) for n in range(600)]
        (cls.folder / "a.bson").write_bytes(b"".join(entries[:300]))
        (cls.folder / "b.bson").write_bytes(b"".join(entries[300:]))
        (cls.folder / "evil.bson").write_bytes(b"".join(operation("i", ns, {"_id": ns}, 100 + n) for n, ns in enumerate(EVIL)) + update(EVIL[0], EVIL[1], {"$set": {EVIL[0].replace(".", ""): 1}}, 110))
        (cls.folder / "empty.bson").write_bytes(b"")
        (cls.folder / "one.bson").write_bytes(entries[0])
        stats = BIN / "oplog-stats"
        cls.make("stats", stats, cls.folder / "a.bson", cls.folder / "b.bson")
        cls.make("real", stats, *chain("txn_cut"))
        for name in ("evil", "empty", "one"):
            cls.make(name, stats, cls.folder / f"{name}.bson")
        backup = Chain()
        backup.folder = cls.folder / "dbbak"
        backup.folder.mkdir()
        backup.step = backup.folder / ".step"
        backup.full(100000, 100100)
        for n in range(5):
            backup.inc(100100 + n * 900, 101000 + n * 900, started=100100 + n)
        backup.chain("close", "--chain", "latest", "--reason", "gap")
        backup.full(120000, 120100, started=120000)
        backup.inc(120100, 124000, started=120200)
        cls.make("status", BIN / "oplog-chain", "status", backup.folder)

    def open(self, name, width=1200, scheme="light"):
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500})
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
        self.browser.get_log("performance")
        self.browser.get_log("browser")
        self.browser.get((self.folder / f"{name}.html").as_uri())
        self.script("return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def script(self, text, *arguments):
        return self.browser.execute_script(text, *arguments)

    def key(self, key, shift=False):
        self.script("document.activeElement.dispatchEvent(new KeyboardEvent('keydown', {key: arguments[0], shiftKey: arguments[1], bubbles: true, cancelable: true}))", key, shift)

    def focus(self, kind):
        self.script("document.querySelector(`[data-chart=\"${arguments[0]}\"] > svg`).focus()", kind)

    def mouse(self, kind, x, what="mouseMoved", y=0.5):
        """The mouse at a part of the chart's width; real events of the browser."""
        place = self.script("const svg = document.querySelector(`[data-chart=\"${arguments[0]}\"] > svg`); svg.scrollIntoView({block: 'center'}); const r = svg.getBoundingClientRect(); return [r.left, r.top, r.width, r.height]", kind)
        self.browser.execute_cdp_cmd("Input.dispatchMouseEvent", {"type": what, "x": place[0] + place[2] * x, "y": place[1] + place[3] * y,
                                                                  **({} if what == "mouseMoved" else {"button": "left", "clickCount": 1})})

    def shown(self, kind="operations"):
        """The seconds that the tools of a chart say are shown."""
        return [self.script("return Date.parse(arguments[0]) / 1000", time) for time in
                self.script("return [...document.querySelector(`[data-chart=\"${arguments[0]}\"]`).closest('.charts').querySelectorAll('.range time')].map((t) => t.textContent)", kind)]

    def tip(self, kind):
        return self.script("const tip = document.querySelector(`[data-chart=\"${arguments[0]}\"] .tip`); return tip.hidden ? null : tip.innerText", kind)

    NAMES = ("stats", "real", "evil", "empty", "one", "status")

    def test_no_page_has_an_error_or_asks_for_anything(self):
        for name in self.NAMES:
            with self.subTest(name):
                self.open(name)
                self.assertEqual(self.browser.get_log("browser"), [])
                asked = [message["params"]["request"]["url"] for message in (json.loads(entry["message"])["message"] for entry in self.browser.get_log("performance"))
                         if message["method"] == "Network.requestWillBeSent"]
                self.assertEqual(asked, [(self.folder / f"{name}.html").as_uri()])
        self.assertEqual(self.script("return fetch('https://192.0.2.1/').then(() => 'sent', () => 'refused')"), "refused")
        self.assertIn("Content Security Policy", "".join(entry["message"] for entry in self.browser.get_log("browser")))

    def test_hostile_names_are_only_text(self):
        self.open("evil")
        self.assertEqual(self.script("return [document.images.length, document.scripts.length, document.querySelectorAll('b, i').length]"), [0, 2, 0])
        legend = self.script("return [...document.querySelectorAll('.legend button')].map((button) => button.textContent)")
        self.assertLessEqual({EVIL[0], EVIL[1], "a.\\u202egnp.exe"}, set(legend))
        # What got in all the same would not run.
        self.script("const bad = document.createElement('script'); bad.textContent = 'window.owned = 1'; document.body.append(bad); document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.owned = 1\">')")
        self.assertIsNone(self.script("return window.owned ?? null"))

    def test_the_keyboard_reads_and_zooms(self):
        self.open("stats")
        whole = self.shown()
        self.focus("operations")
        self.key("ArrowRight")
        first = self.tip("operations")
        self.assertTrue(first.startswith("2023-11-14T"), first)
        self.assertIn("shop.a", first)
        self.key("ArrowRight")
        self.assertNotEqual(self.tip("operations"), first)
        self.assertEqual(self.script("return document.querySelector('[data-chart=operations] [aria-live]').textContent").split(": ")[0], self.tip("operations").split("\n")[0])
        self.key("End")
        last = self.tip("operations").split("\n")[0]
        self.key("+")
        zoomed = self.shown()
        self.assertAlmostEqual((whole[1] - whole[0]) / 2, zoomed[1] - zoomed[0], delta=2)
        self.assertEqual(self.script("return [...document.querySelectorAll('[data-chart=bytes] text')].at(-1).textContent === [...document.querySelectorAll('[data-chart=operations] text')].at(-1).textContent"), False)
        self.assertGreater(zoomed[0], whole[0])  # around the bar that is read
        self.key("ArrowLeft", shift=True)
        self.assertLess(self.shown()[0], zoomed[0])
        self.key("-")
        self.key("-")
        self.assertEqual(self.shown(), whole)
        self.key("+")
        self.key("0")
        self.assertEqual(self.shown(), whole)
        self.key("Escape")
        self.assertIsNone(self.tip("operations"))
        self.assertNotEqual(first.split("\n")[0], last)

    def test_the_mouse_reads_and_zooms(self):
        self.open("stats")
        whole = self.shown()
        self.mouse("operations", 0.5)
        tip = self.tip("operations").split("\n")
        self.assertEqual(tip[-2], "all")
        self.assertEqual(int(tip[-1].replace(",", "")), sum(int(number.replace(",", "")) for number in tip[2:-2:2]))
        data = self.script("return JSON.parse(document.getElementById('data').textContent)")
        length = {"1 minute": 60, "5 minutes": 300, "15 minutes": 900}[tip[0].split(", ")[1]]
        begin = self.script("return Date.parse(arguments[0]) / 1000", tip[0].split(",")[0])
        times = [self.script("return Date.parse(arguments[0]) / 1000", period["time"]) for period in data["periods"]]
        self.assertEqual(int(tip[-1].replace(",", "")), sum(p["operations"] for t, p in zip(times, data["periods"]) if begin <= t < begin + length))
        self.mouse("operations", 0.4, "mousePressed")
        self.mouse("operations", 0.5)
        self.mouse("operations", 0.6)
        self.assertEqual(self.script("return document.querySelectorAll('.selection').length > 0"), True)
        self.mouse("operations", 0.6, "mouseReleased")
        zoomed = self.shown()
        self.assertLess(zoomed[1] - zoomed[0], (whole[1] - whole[0]) * 0.25)
        self.assertEqual(zoomed, self.shown("bytes"))
        self.script("[...document.querySelectorAll('#time .tools button')].find((button) => button.textContent === 'All').click()")
        self.assertEqual(self.shown(), whole)

    def test_the_legend_hides_and_shows_a_namespace(self):
        self.open("stats")
        self.focus("operations")
        self.key("ArrowRight")
        self.assertIn("shop.a", self.tip("operations"))
        self.script("document.querySelector('#time .legend button').click()")
        self.focus("operations")
        self.key("ArrowRight")
        name = self.script("const button = document.querySelector('#time .legend button'); return [button.textContent, button.getAttribute('aria-pressed')]")
        self.assertEqual(name[1], "false")
        self.assertNotIn(name[0], self.tip("operations"))

    def test_lanes_are_read_by_keyboard_and_mouse(self):
        self.open("status")
        self.focus("chains")
        self.key("ArrowRight")
        self.assertIn("Restorable", self.tip("chains"))
        self.key("ArrowRight")
        self.assertIn("Gap: nothing between can be restored", self.tip("chains"))
        self.key("ArrowDown")
        self.key("Home")
        self.assertIn("Full backup", self.tip("chains"))
        self.key("End")
        self.assertIn("Increment 5", self.tip("chains"))
        before = self.shown("chains")
        self.key("+")
        self.assertNotEqual(self.shown("chains"), before)
        self.key("Escape")
        self.mouse("chains", 0.02, y=0.1)
        self.script("document.activeElement.blur()")
        self.mouse("chains", 0.3, y=0.25)
        self.assertIsNotNone(self.tip("chains"))
        self.open("stats")
        self.focus("files")
        self.key("ArrowRight")
        self.assertIn("a.bson", self.tip("files"))

    def test_light_and_dark_can_be_read(self):
        seen = {}
        for name in self.NAMES:
            for scheme in ("light", "dark"):
                with self.subTest(name, scheme=scheme):
                    self.open(name, scheme=scheme)
                    self.script("for (const one of document.querySelectorAll('details')) one.open = true; const svg = document.querySelector('.chart > svg'); if (svg) svg.focus()")
                    self.key("ArrowRight")
                    seen[scheme] = self.script("return getComputedStyle(document.body).backgroundColor")
                    worst = self.script(TEXTS)
                    self.assertGreaterEqual(worst[0], 4.5, worst)
                    self.assertGreaterEqual(min(self.script(FILLS), default=21), 3)
            self.assertNotEqual(seen["light"], seen["dark"])

    def test_nothing_is_wider_than_a_narrow_screen(self):
        for name in self.NAMES:
            for width in (320, 360, 768):
                with self.subTest(name, width=width):
                    self.open(name, width=width)
                    self.script("for (const one of document.querySelectorAll('details')) one.open = true")
                    self.focus_any()
                    wide, inner = self.script("return [document.documentElement.scrollWidth, innerWidth]")
                    self.assertEqual(inner, width)  # a browser for phones would shrink the page instead
                    self.assertLessEqual(wide, width)

    def focus_any(self):
        if self.script("const svg = document.querySelector('.chart > svg'); if (svg) svg.focus(); return svg !== null"):
            self.key("ArrowRight")

    def test_everything_has_a_name_for_those_who_do_not_see_it(self):
        for name in self.NAMES:
            self.open(name)
            self.assertEqual(self.script("return [...document.querySelectorAll('button, .chart > svg, .scroll, summary, table')].filter((node) => "
                                         "!(node.getAttribute('aria-label') || node.textContent.trim() || node.querySelector('caption'))).length"), 0)
            self.assertEqual(self.script("return document.querySelectorAll('h1').length"), 1)

    def test_without_scripts_the_tables_are_there(self):
        self.browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
        try:
            self.browser.get((self.folder / "stats.html").as_uri())
            text = self.browser.execute_cdp_cmd("DOM.getDocument", {"depth": -1})
            page = self.browser.find_element("tag name", "body").text
        finally:
            self.browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
        self.assertTrue(text)
        for word in ("The charts take JavaScript.", "shop.a", "Hot documents", "How long the oplog lasts"):
            self.assertIn(word, page)
        self.assertNotIn("Zoom in", page)


if __name__ == "__main__":
    unittest.main()
