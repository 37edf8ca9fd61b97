"""Drives the live page with Chromium: OK, SHEDDING, OK under real load; keyboard, a restart of the proxy, a hostile path.

    .ci/page.py target/release/loadline SCREENSHOTS

No error on the console, no request off loopback, contrast of at least 4.5 : 1, nothing wider than the screen. Screenshots at two
widths in light and dark go to the directory.
"""

import http.server
import json
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import expect, sync_playwright

LOADLINE, SHOTS = sys.argv[1], Path(sys.argv[2])
# The browser's own services stay off: nothing of it may leave this machine.
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
# Bound on every wait, in milliseconds: generous, for a busy machine.
PATIENCE = 30_000
RULES = 'priority.rules=[{ path = "/checkout/**", class = "high" }, { path = "/admin/**", class = "critical" }, { path = "/bots/**", class = "low" }]'
HOSTILE = "/<img/src=x/onerror=alert(1)>/\"'</script><script>alert(2)</script>"

# Text nodes whose colour has too little contrast with what is behind them (WCAG 2.2, 1.4.3), and elements wider than the screen.
AUDIT = """() => {
  const canvas = Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d", { willReadFrequently: true });
  const rgba = (color) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1); return [...canvas.getImageData(0, 0, 1, 1).data]; };
  const light = (rgb) => { const [r, g, b] = rgb.map((v) => { const c = v / 255; return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const behind = (element) => { for (let at = element; at; at = at.parentElement) { const c = rgba(getComputedStyle(at).backgroundColor); if (c[3] === 255) return c; } return [255, 255, 255, 255]; };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode.textContent.trim();
    const element = walker.currentNode.parentElement;
    if (!text || !element.checkVisibility() || ["SCRIPT", "NOSCRIPT"].includes(element.tagName) || element.closest(".unseen")) continue;
    const style = getComputedStyle(element);
    const color = rgba(element.namespaceURI.endsWith("svg") ? style.fill : style.color);
    const [a, b] = [light(color.slice(0, 3)), light(behind(element).slice(0, 3))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) found.push(`contrast ${ratio.toFixed(2)}: ${text.slice(0, 40)}`);
  }
  if (document.documentElement.scrollWidth > innerWidth) found.push(`wider than the screen: ${document.documentElement.scrollWidth}`);
  // On a narrow screen panels stand one below the other.
  for (const panel of innerWidth < 720 ? document.querySelectorAll(".panel:not([hidden])") : [])
    if (panel.clientWidth < 0.8 * innerWidth) found.push(`a narrow panel: ${panel.getAttribute("aria-labelledby")}`);
  return found;
}"""


class App(http.server.BaseHTTPRequestHandler):
    """Takes 40 ms for anything."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        time.sleep(0.04)
        self.send_response(200)
        self.send_header("content-length", "3")
        self.end_headers()
        self.wfile.write(b"ok\n")

    def log_message(self, *_):
        pass


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Proxy:
    def __init__(self, app):
        self.app, self.port, self.admin = app, free_port(), free_port()
        self.process = None

    def start(self):
        arguments = [f"127.0.0.1:{self.app}", "2", "--set", f"listen=127.0.0.1:{self.port}", "--set", f"admin.listen=127.0.0.1:{self.admin}"]
        arguments += ["--set", "queue.timeout=300ms", "--set", "queue.depth=20", "--set", RULES]
        self.process = subprocess.Popen([LOADLINE, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for line in self.process.stderr:
            if json.loads(line).get("msg") == "ready":
                break
        # Nobody reads on: the pipe must not fill.
        threading.Thread(target=self.process.stderr.read, daemon=True).start()

    def stop(self):
        self.process.terminate()
        assert self.process.wait(30) == 0, "it drains and ends with 0"

    def load(self, rate, seconds):
        targets = ["GET /products weight=3", "GET /checkout/basket weight=3", "GET /bots/index weight=2", "GET /admin/health weight=1"]
        command = [LOADLINE, "load", f"http://127.0.0.1:{self.port}/", "--rate", f"{rate}/s", "--duration", f"{seconds}s", "--timeout", "2s", "-q"]
        for target in targets:
            command += ["-t", target]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def send_hostile(self):
        with socket.create_connection(("127.0.0.1", self.port), 10) as client:
            client.sendall(f"GET {HOSTILE} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            while client.recv(4096):
                pass


def ok(what):
    print(f"ok  {what}", flush=True)


def check(proxy, browser):
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="light")
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    expect.set_options(timeout=PATIENCE)
    problems, foreign, away = [], [], threading.Event()

    def console(message):
        # While the proxy is away, the browser says so itself.
        if message.type in ("error", "warning") and not (away.is_set() and "net::ERR_" in message.text):
            problems.append(message.text)

    page.on("console", console)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("dialog", lambda dialog: (problems.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.on("request", lambda request: foreign.append(request.url) if urlsplit(request.url).hostname != "127.0.0.1" else None)

    page.goto(f"http://127.0.0.1:{proxy.admin}/")
    state = page.locator("#state")
    expect(state).to_have_text("OK")
    expect(page.locator("#link-text")).to_have_text("live")
    ok("OK at rest")

    load = proxy.load(120, 120)
    expect(state).to_have_text("SHEDDING")
    expect(page).to_have_title("SHEDDING – loadline")
    expect(page.locator("#sentence")).to_contain_text("requests per second are rejected")
    expect(page.locator("#shed-rows tr").first).to_be_visible()
    proxy.send_hostile()
    ok("SHEDDING under load")
    shots(browser, proxy, "shedding")
    load.terminate()
    load.wait(30)
    expect(state).to_have_text("OK")
    ok("OK after the load")

    # The hostile path is there, as text.
    proxy.send_hostile()
    path = page.locator("#decisions .path", has_text="onerror=alert").first
    expect(path).to_be_visible()
    assert page.locator("#decisions img, #decisions script").count() == 0
    ok("a path with markup is text")

    # With the keyboard alone: to the decisions, open one, read what would become of it, go on, open the settings.
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    for _ in range(6):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.classList.contains('decision')"):
            break
    page.keyboard.press("Enter")
    expect(page.locator(".explanation")).to_contain_text("It would be admitted")
    expect(page.locator("#held")).to_be_visible()
    assert page.locator(".explanation img").count() == 0
    page.keyboard.press("Escape")
    expect(page.locator(".explanation")).to_have_count(0)
    page.locator("#config summary").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#config-rows")).to_contain_text("limit.concurrency")
    page.locator("#config-find").type("concurrency")
    expect(page.locator("#config-rows tr")).to_have_count(2)
    page.locator("#rates svg").focus()
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#rates-at")).to_contain_text("at ")
    page.keyboard.press("Escape")
    expect(page.locator("#rates-at")).to_have_text("")
    ok("keyboard: decisions, explanation, settings, chart")

    away.set()
    proxy.stop()
    expect(state).to_have_text("NO ANSWER")
    proxy.start()
    expect(state).to_have_text("OK")
    expect(page.locator("#notice")).to_contain_text("was restarted")
    away.clear()
    ok("a restart of the proxy is survived and told")

    # Hidden, the page holds no connection; shown again, it goes on.
    page.evaluate("Object.defineProperty(document, 'hidden', { value: true, configurable: true }); document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.locator("#link-text")).to_have_text("paused")
    page.evaluate("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.locator("#link-text")).to_have_text("live")
    ok("paused while hidden")

    urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{proxy.admin}/-/drain", method="POST"), timeout=10).read()
    expect(state).to_have_text("DRAINING")
    ok("DRAINING")
    assert not problems, problems
    assert not foreign, foreign
    ok("no error on the console, no request off loopback")


def shots(browser, proxy, name):
    """Screenshots at two widths in light and dark, each audited."""
    for width, height in ((1280, 900), (360, 740)):
        for scheme in ("light", "dark"):
            context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce")
            shot = context.new_page()
            shot.goto(f"http://127.0.0.1:{proxy.admin}/")
            expect(shot.locator("#state")).to_have_text("SHEDDING")
            expect(shot.locator("#decisions li").first).to_be_visible()
            found = shot.evaluate(AUDIT)
            assert not found, (width, scheme, found)
            shot.screenshot(path=SHOTS / f"{name}-{width}-{scheme}.png", full_page=True)
            context.close()
            ok(f"{width} px, {scheme}")


def main():
    app = http.server.ThreadingHTTPServer(("127.0.0.1", 0), App)
    threading.Thread(target=app.serve_forever, daemon=True).start()
    proxy = Proxy(app.server_address[1])
    proxy.start()
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
            check(proxy, browser)
            browser.close()
    finally:
        proxy.process.kill()


main()
