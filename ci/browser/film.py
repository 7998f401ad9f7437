"""Drives the page of `tester film` in Chromium, through its debugging pipe: film.py CHROMIUM PAGE FOLDER.

The slider is moved by mouse and by keys, and the film is played; each time another frame must be shown. Nothing may reach the
console. At a phone's width no part may stick out of the page, and its text must be large enough; in dark mode light text stands
on dark ground. Screenshots go to FOLDER, to be looked at.
"""
import base64
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time


class Browser:
    """A Chromium with one page."""

    def __init__(self, program, profile):
        to_browser, self.out = os.pipe()
        self.input, from_browser = os.pipe()
        # It reads from 3 and writes to 4.
        script = f'exec "$0" "$@" 3<&{to_browser} 4>&{from_browser}'
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
                   "--no-first-run", "--remote-debugging-pipe", f"--user-data-dir={profile}", "about:blank"]
        self.process = subprocess.Popen(["bash", "-c", script, program, *options], pass_fds=(to_browser, from_browser),
                                        stderr=subprocess.DEVNULL)
        os.close(to_browser)
        os.close(from_browser)
        self.number, self.rest, self.said, self.session = 0, b"", [], None
        pages = self.call("Target.getTargets")["targetInfos"]
        page = next(target["targetId"] for target in pages if target["type"] == "page")
        self.session = self.call("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        for domain in ["Page", "Runtime", "Log"]:
            self.call(f"{domain}.enable")

    def message(self):
        while b"\0" not in self.rest:
            piece = os.read(self.input, 1 << 16)
            if not piece:
                sys.exit("the browser has ended")
            self.rest += piece
        text, self.rest = self.rest.split(b"\0", 1)
        return json.loads(text)

    def call(self, method, **parameters):
        self.number += 1
        request = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            request["sessionId"] = self.session
        os.write(self.out, json.dumps(request).encode() + b"\0")
        while True:
            message = self.message()
            if message.get("id") == self.number:
                if "error" in message:
                    sys.exit(f"{method}: {message['error']}")
                return message["result"]
            if message.get("method") in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"):
                self.said.append(message["params"])

    def ask(self, script):
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            sys.exit(f"{script}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def mouse(self, kind, x, y):
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1)

    def key(self, key, code, text=""):
        for kind in ["keyDown", "keyUp"]:
            more = {"text": text} if text and kind == "keyDown" else {}
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key if key != " " else "Space",
                      windowsVirtualKeyCode=code, **more)

    def size(self, width, height, phone=False):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)

    def picture(self, path):
        data = self.call("Page.captureScreenshot", format="png")["data"]
        pathlib.Path(path).write_bytes(base64.b64decode(data))


def check(holds, what):
    if not holds:
        sys.exit(f"FAILED: {what}")
    print(f"ok: {what}")


def luminance(color):
    """How light a color of a computed style is, from 0 to 1."""
    red, green, blue = [float(part) for part in color[color.index("(") + 1:color.index(")")].split(",")[:3]]
    return (0.2126 * red + 0.7152 * green + 0.0722 * blue) / 255


def frames(browser):
    """Which frame is shown, and a picture of it as text."""
    return browser.ask("[Number(document.getElementById('slider').value), document.getElementById('map').innerHTML]")


def sizes(browser):
    """How wide the page is beside the window, and the smallest height of a letter's line in the pictures."""
    return browser.ask("""[document.documentElement.scrollWidth - innerWidth,
        Math.min(...[...document.querySelectorAll('svg text')].map(text =>
            parseFloat(getComputedStyle(text).fontSize) * text.getScreenCTM().a))]""")


def drive(browser, page, folder):
    browser.size(1600, 1000)
    browser.call("Page.navigate", url=pathlib.Path(page).resolve().as_uri())
    until = time.monotonic() + 60
    while not browser.ask("document.readyState == 'complete' && document.querySelector('#map svg') != null"):
        if time.monotonic() > until:
            sys.exit("FAILED: the page has not loaded within a minute")
        time.sleep(0.1)
    last = browser.ask("Number(document.getElementById('slider').max)")
    first = frames(browser)
    check(first[0] == 0 and last > 5, f"it begins with the first of {last + 1} frames")
    browser.picture(f"{folder}/wide.png")

    left, top, width, height = browser.ask(
        "(b => [b.left, b.top, b.width, b.height])(document.getElementById('slider').getBoundingClientRect())")
    middle = top + height / 2
    browser.mouse("mousePressed", left + width * 0.5, middle)
    browser.mouse("mouseReleased", left + width * 0.5, middle)
    clicked = frames(browser)
    check(0 < clicked[0] < last and clicked[1] != first[1], f"a click in the slider's middle shows frame {clicked[0]}")
    browser.mouse("mousePressed", left + width * 0.5, middle)
    for step in range(6, 9):
        browser.mouse("mouseMoved", left + width * step / 10, middle)
    browser.mouse("mouseReleased", left + width * 0.8, middle)
    dragged = frames(browser)
    check(dragged[0] > clicked[0] and dragged[1] != clicked[1], f"the mouse drags it to frame {dragged[0]}")
    browser.picture(f"{folder}/dragged.png")

    browser.key("ArrowRight", 39)
    check(frames(browser)[0] == dragged[0] + 1, "the right arrow key moves the slider, where it has the focus")
    browser.key("End", 35)
    ended = frames(browser)
    check(ended[0] == last and ended[1] != dragged[1], "the key End shows the last frame")
    browser.key("Home", 36)
    check(frames(browser) == first, "the key Home shows the first")
    browser.ask("document.activeElement.blur()")
    browser.key("ArrowRight", 39)
    check(frames(browser)[0] == 1, "the right arrow key works without the focus")
    browser.key("ArrowLeft", 37)
    check(frames(browser)[0] == 0, "and the left one")
    browser.key(" ", 32, " ")
    until = time.monotonic() + 60
    while frames(browser)[0] < 3:
        if time.monotonic() > until:
            sys.exit("FAILED: the space key does not play the film")
        time.sleep(0.05)
    check(browser.ask("document.getElementById('play').textContent") == "Pause", "while it plays the button says Pause")
    browser.key(" ", 32, " ")
    check(browser.ask("document.getElementById('play').textContent") == "Play", "the space key stops it")

    browser.size(360, 740, phone=True)
    beyond, text = sizes(browser)
    check(beyond <= 0, "at 360 pixels nothing sticks out of the page")
    check(text >= 9, f"and the smallest text of the pictures has {text:.1f} pixels")
    check(browser.ask("document.querySelector('nav').getBoundingClientRect().right <= 360"), "the slider's row fits")
    browser.picture(f"{folder}/phone.png")

    browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    ground, letters, filtered = browser.ask(
        "(s => [s.backgroundColor, s.color, getComputedStyle(document.querySelector('#map svg')).filter])"
        "(getComputedStyle(document.body))")
    check(luminance(ground) < 0.2 and luminance(letters) > 0.7, "in dark mode light text stands on dark ground")
    check("invert" in filtered, "and the pictures are dark as well")
    browser.picture(f"{folder}/phone_dark.png")
    browser.size(1600, 1000)
    browser.picture(f"{folder}/wide_dark.png")
    check(browser.said == [], f"the console is silent: {browser.said}")


def main():
    program, page, folder = sys.argv[1:]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Browser(program, profile)
        try:
            drive(browser, page, folder)
        finally:
            browser.process.terminate()
            browser.process.wait()


main()
