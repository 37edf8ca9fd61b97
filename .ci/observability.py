"""What an operator sees, end to end: a real Prometheus scrapes a loadline under load, every rule loads, every expression of the dashboard
returns data, an alert arrives where Alertmanager sends it, and no file names a metric that there is not.

    python3 .ci/observability.py target/release/loadline

Everything runs on 127.0.0.1, on ports of the system's choice, in a directory that is removed at the end.
"""

import contextlib
import http.server
import json
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request

PROJECT = pathlib.Path(__file__).resolve().parent.parent
PATIENCE = 60
# The dashboard's variables, for "all". A rate needs two scrapes; there is one per second.
VARIABLES = {"$__rate_interval": "10s", "$namespace": ".*", "$job": ".*", "$pod": ".*", "$path": ".*"}
# What has no data while all is well, by the title of the panel.
EMPTY_BY_DESIGN = set()

# What names metrics.
NAMING = [
    *(PROJECT / "deploy").rglob("*.y*ml"),
    PROJECT / "deploy/grafana/loadline.json",
    *(PROJECT / "docs" / f"{name}.md" for name in ("alerts", "failure-modes", "kubernetes", "troubleshooting")),
]
METRIC = re.compile(r"\b(?:loadline|http|upstream|circuit_breaker|process)_[a-z0-9_]+")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def get(url):
    with urllib.request.urlopen(url, timeout=5) as answer:
        return answer.read().decode()


def wait_for(what, condition):
    end = time.monotonic() + PATIENCE
    last = None
    while time.monotonic() < end:
        try:
            last = condition()
            if last:
                return last
        except (OSError, ValueError) as error:
            last = error
        time.sleep(0.2)
    sys.exit(f"FAILED: waited in vain for {what}; last: {last}")


class Pager(http.server.BaseHTTPRequestHandler):
    """Where alerts arrive."""

    pages = []

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        Pager.pages += [alert["labels"]["alertname"] for alert in json.loads(body)["alerts"] if alert["status"] == "firing"]
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def running(name, work, *command):
    with open(work / f"{name}.log", "w", encoding="utf-8") as log:
        child = subprocess.Popen(list(map(str, command)), stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        try:
            yield child
        except BaseException:
            print(f"--- {name}:", *(work / f"{name}.log").read_text(encoding="utf-8").splitlines()[-8:], sep="\n")
            raise
        finally:
            child.terminate()
            try:
                child.wait(20)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def prometheus_config(admin, alertmanager):
    """The example's, with the addresses of this run and a pace at which one need not wait for minutes."""
    config = (PROJECT / "deploy/prometheus/prometheus.yml").read_text(encoding="utf-8")
    for old, new in [
        ("loadline:8001", f"127.0.0.1:{admin}"),
        ("alertmanager:9093", f"127.0.0.1:{alertmanager}"),
        ("_interval: 15s", "_interval: 1s"),
        ("- rules.yml", f"- {PROJECT}/deploy/prometheus/rules.yml"),
    ]:
        assert old in config, old
        config = config.replace(old, new)
    return config


def alertmanager_config(pager):
    """The example's, with the pager of this run."""
    config = (PROJECT / "deploy/prometheus/alertmanager.yml").read_text(encoding="utf-8")
    for old, new in [("http://pager.example.com/alert", f"http://127.0.0.1:{pager}/"), ("group_wait: 30s", "group_wait: 1s")]:
        assert old in config, old
        config = config.replace(old, new)
    return config


def expressions():
    """Title and expression of every panel."""
    for panel in json.loads((PROJECT / "deploy/grafana/loadline.json").read_text(encoding="utf-8"))["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]


def check_names(page):
    """Every metric that a rule, a dashboard or a guide names is on this page."""
    known = set(re.findall(r"^# TYPE (\S+)", page, re.MULTILINE)) | set(re.findall(r"^([a-z]\w*)[ {]", page, re.MULTILINE))
    named = {(name, path.relative_to(PROJECT)) for path in NAMING for name in METRIC.findall(path.read_text(encoding="utf-8"))}
    unknown = sorted(f"{name} in {path}" for name, path in named if name not in known)
    if unknown:
        sys.exit("FAILED: there is no such metric:\n  " + "\n  ".join(unknown))
    print(f"ok  {len({name for name, _ in named})} metrics that are named somewhere exist")


def lint_dashboard():
    dashboard = json.loads((PROJECT / "deploy/grafana/loadline.json").read_text(encoding="utf-8"))
    panels = dashboard["panels"]
    ids = [panel["id"] for panel in panels]
    assert len(ids) == len(set(ids)), "panels with the same id"
    taken = set()
    for panel in panels:
        place = panel["gridPos"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken and x < 24, f"{panel['title']} overlaps"
                taken.add((x, y))
        if panel["type"] != "row":
            assert panel["description"] and panel["fieldConfig"]["defaults"]["unit"], panel["title"]
            assert panel["datasource"]["uid"] == "${datasource}", panel["title"]
    text = json.dumps(panels)
    for variable in dashboard["templating"]["list"]:
        assert re.search(rf"\$\{{?{variable['name']}\b", text), f"the variable {variable['name']} is not used"
    print(f"ok  dashboard: {len(panels)} panels")


def main(loadline):
    lint_dashboard()
    work_directory = tempfile.TemporaryDirectory(prefix="loadline-observability-")
    work = pathlib.Path(work_directory.name)
    port, admin, prometheus, alertmanager, cluster = (free_port() for _ in range(5))
    pager = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pager)
    threading.Thread(target=pager.serve_forever, daemon=True).start()
    (work / "prometheus.yml").write_text(prometheus_config(admin, alertmanager), encoding="utf-8")
    (work / "alertmanager.yml").write_text(alertmanager_config(pager.server_port), encoding="utf-8")
    # The demo app, with critical requests that nobody may wait for: the one thing that pages at once.
    settings = [f"listen=127.0.0.1:{port}", f"admin.listen=127.0.0.1:{admin}", "priority.default=critical", "queue.depth=0"]
    arguments = [word for setting in settings for word in ("--set", setting)]
    with contextlib.ExitStack() as stack:
        start = lambda name, *command: stack.enter_context(running(name, work, *command))
        start("loadline", loadline, *arguments)
        wait_for("loadline", lambda: get(f"http://127.0.0.1:{admin}/healthz"))
        start(
            "alertmanager",
            *("prometheus-alertmanager", f"--config.file={work}/alertmanager.yml", f"--storage.path={work}/am"),
            *(f"--web.listen-address=127.0.0.1:{alertmanager}", f"--cluster.listen-address=127.0.0.1:{cluster}"),
        )
        start(
            "prometheus",
            *("prometheus", f"--config.file={work}/prometheus.yml", f"--storage.tsdb.path={work}/tsdb"),
            f"--web.listen-address=127.0.0.1:{prometheus}",
        )
        api = f"http://127.0.0.1:{prometheus}/api/v1"
        target = f"http://127.0.0.1:{port}/"
        start("load", loadline, "load", target, "--rate", "200/s", "--duration", f"{PATIENCE * 3}s")
        wait_for("the scrape", lambda: '"health":"up"' in get(f"{api}/targets"))
        groups = json.loads(get(f"{api}/rules"))["data"]["groups"]
        print(f"ok  {sum(len(group['rules']) for group in groups)} rules are loaded")

        def missing():
            without = []
            for title, expression in expressions():
                for name, value in VARIABLES.items():
                    expression = expression.replace(name, value)
                answer = json.loads(get(f"{api}/query?{urllib.parse.urlencode({'query': expression})}"))
                if not answer["data"]["result"] and title not in EMPTY_BY_DESIGN:
                    without.append(f"{title}: {expression}")
            return without

        end = time.monotonic() + PATIENCE
        while without := missing():
            if time.monotonic() > end:
                sys.exit("FAILED: no data for\n  " + "\n  ".join(without))
            time.sleep(1)
        print(f"ok  {len(list(expressions()))} expressions of the dashboard return data")
        wait_for("a page", lambda: "LoadlineCriticalShed" in Pager.pages)
        print("ok  LoadlineCriticalShed arrived at the pager")
        check_names(get(f"http://127.0.0.1:{admin}/metrics"))
    pager.shutdown()
    work_directory.cleanup()


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]).resolve())
