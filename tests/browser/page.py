#!/usr/bin/env python3
"""The status page in a real browser. `page.py PROGRAM FOLDER`: PROGRAM is the compiled room `tests/status`; screenshots go to FOLDER."""

import os
import subprocess
import sys
import urllib.request

from driver import Browser

PROGRAM, FOLDER = sys.argv[1], sys.argv[2]
ROW = "document.getElementById('s-' + encodeURIComponent(arguments[0]))"
STATE = f"{ROW}?.querySelector('.state').textContent"


class Program:
    """The host under test. Lines on its standard input are orders to its services."""

    def __init__(self, many=False):
        environment = dict(os.environ, **({"MANY": "1"} if many else {}))
        arguments = ["demo", "--ignored", "--exact", "served_page::serve_a_page", "--nocapture"]
        self.process = subprocess.Popen(
            arguments, executable=PROGRAM, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        for line in self.process.stdout:
            if line.startswith("address "):
                self.url = f"http://{line.split()[1]}/"
                return
        raise AssertionError("the program did not start")

    def order(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def end(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


def step(text):
    print("  ", text, flush=True)


def visible(browser):
    return browser.run(
        "return [...document.querySelectorAll('details.service')].filter(row => row.checkVisibility()).map(row => row.dataset.name)"
    )


def check_each_state(browser, program):
    step("the page opens with a row for each service, and groups folded")
    browser.look_like(1280, 900, dark=False)
    browser.open(program.url)
    for name, state in [
        ("status", "running"), ("migrate", "completed"), ("statistics", "failed"), ("mail relay", "restarting"),
        ("feed", "hung"), ("feed/reader", "hung"), ("feed/writer", "stopped"), ("feed/parser", "failed"),
        ("api", "starting"), ("web", "waiting"),
    ]:
        browser.until(f"{STATE} === arguments[1]", name, state)
    assert "feed/reader" not in visible(browser)
    assert browser.run("return document.querySelector('#problems').textContent").count("hung") == 2
    browser.run("window.not_reloaded = true")

    step("a row that is opened shows what its thread is blocked in")
    browser.click("#s-importer > summary")
    browser.until(f"{ROW}.querySelector('.more code')?.textContent.includes('waiting for the next tick')", "importer")
    assert "service=importer" in browser.run("return location.search")
    step("a link in the list of problems opens the group and the row")
    browser.click("#problems a[href*='reader']")
    browser.until(f"{ROW}.open && {ROW}.parentElement.closest('details').open", "feed/reader")
    assert "feed/reader" in visible(browser)

    step("a change appears by itself, and what was open stays open")
    program.order("api go")
    browser.until(f"{STATE} === 'running'", "web")
    browser.until("document.querySelector('#top').textContent.includes('started')")
    before = browser.run("return Number(document.querySelector('#f-0 dd').textContent)")
    browser.until("Number(document.querySelector('#f-0 dd').textContent) > arguments[0]", before)
    program.order("broker connection to <b>mq</b> lost")
    browser.until(f"{ROW}.querySelector('.number').textContent === '1'", "broker")
    browser.until(f"{ROW}.querySelector('.last').textContent.includes('connection to <b>mq</b> lost')", "broker")
    browser.until("document.querySelector('#events').textContent.includes('<b>mq</b> lost; restarting in ')")
    browser.until(f"{STATE} === 'running'", "broker")
    assert browser.run(f"return {ROW}.open", "importer") and browser.run(f"return {ROW}.open", "feed/reader")
    assert browser.run("return window.not_reloaded"), "the page was loaded again"

    step("a chip filters by state; typing filters by name; the filter stays")
    browser.click("#c-completed")
    assert visible(browser) == ["migrate", "api"], visible(browser)
    browser.click("#c-completed")
    browser.type("#filter", "parser")
    assert visible(browser) == ["feed", "feed/parser"], visible(browser)
    program.order("broker again")
    browser.until(f"{ROW}.querySelector('.number').textContent === '2'", "broker")
    assert visible(browser) == ["feed", "feed/parser"] and browser.run("return document.activeElement.id") == "filter"
    browser.run("document.getElementById('filter').value = ''; document.getElementById('filter').dispatchEvent(new Event('input', {bubbles: true}))")

    step("nothing but the page and its own refresh was loaded, and the console is clean")
    loaded = browser.run("return performance.getEntriesByType('resource').map(entry => entry.name)")
    assert loaded and all(url.startswith(program.url) for url in loaded), loaded
    # A browser asks for an icon on its own.
    problems = [text for text in browser.problems() if "favicon" not in text]
    assert not problems, problems


def check_without_script(browser, program):
    step("without JavaScript the page is complete, reloads itself, and its links show what a thread is blocked in")
    browser.devtools("Emulation.setScriptExecutionDisabled", value=True)
    browser.open(program.url)
    page = browser.call("GET", "/source")
    assert 'http-equiv="refresh"' in page and "connection to &lt;b&gt;mq&lt;/b&gt; lost" in page
    browser.click("#s-tenants > summary")
    browser.click("#s-tenants > .more a.inspect")
    page = browser.call("GET", "/source")
    assert "service=tenants" in browser.call("GET", "/url")
    assert "<code>" in page.split('id="s-tenants"')[1].split("<dl")[1].split("</dl>")[0]
    browser.devtools("Emulation.setScriptExecutionDisabled", value=False)


def take_screenshots(browser, url, name):
    for width, height in [(1280, 900), (390, 844)]:
        for dark in [False, True]:
            browser.look_like(width, height, dark)
            browser.open(url)
            browser.until("document.readyState === 'complete'")
            scroll = browser.run("return [document.documentElement.scrollWidth, innerWidth]")
            assert scroll[0] <= scroll[1], f"{name} is wider than {width} px: {scroll}"
            browser.screenshot(os.path.join(FOLDER, f"{name}-{width}-{'dark' if dark else 'light'}.png"))


def check_lost(browser, program):
    step("when the program has gone the page says so")
    browser.open(program.url)
    browser.until("document.getElementById('live').textContent.startsWith('updated ')")
    program.end()
    browser.until("document.getElementById('live').textContent.startsWith('no answer since ')")
    browser.screenshot(os.path.join(FOLDER, "lost.png"))


def check_metrics(program):
    try:
        from prometheus_client.openmetrics.parser import text_string_to_metric_families
    except ImportError:
        step("metrics: not checked here, as the Python package prometheus_client is not installed")
        return
    step("the metrics are valid for the parser of Prometheus' Python client")
    text = urllib.request.urlopen(program.url + "metrics").read().decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert families["hosted_service_state"].type == "gauge" and families["hosted_service_restarts"].type == "counter"
    assert any(sample.labels["service"] == "feed/reader" for sample in families["hosted_service_errors"].samples)


browser, programs = Browser(), []
try:
    programs.append(Program())
    check_each_state(browser, programs[0])
    check_metrics(programs[0])
    check_without_script(browser, programs[0])
    step("screenshots, which are not wider than the window")
    take_screenshots(browser, programs[0].url + "?service=importer", "few")
    if page := os.environ.get("HOSTED_STATUS_PAGE"):
        take_screenshots(browser, "file://" + page, "each")
    programs.append(Program(many=True))
    take_screenshots(browser, programs[1].url, "many")
    check_lost(browser, programs[0])
finally:
    browser.close()
    for program in programs:
        if program.process.poll() is None:
            program.end()
print("the status page is good in a browser")
