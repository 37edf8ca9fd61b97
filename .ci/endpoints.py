"""Four apps behind one loadline, under load: one becomes about ten times slower, one is killed, one is killed and started anew. No
request may fail, for each could have been served elsewhere; the slow one must get less than its part, the killed ones nothing, and
the one that returns must be used again.

    python3 .ci/endpoints.py target/release/loadline

Everything runs on 127.0.0.1, on ports of the system's choice, in a directory that is removed at the end.
"""

import json
import pathlib
import re
import signal
import sys
import tempfile
import threading
import time
import urllib.request

from processes import PATIENCE, Children, answers, free_ports, wait_for

# Seconds and requests per second: few enough at first that latency alone decides, then enough that every app has some in service
# when it is killed.
STAGES = (6, 150), (7, 500)
# An app's work for one request, in seconds.
WORK = "0.02"
# The slow app is stopped for nine tenths of the time.
STOPPED, RUNNING = 0.18, 0.02
SLOW_FOR = 4


class Apps:
    """The four apps by their number."""

    def __init__(self, children, loadline):
        self.children, self.loadline = children, loadline
        self.ports = free_ports(4)
        self.running = [self.start(number) for number in range(4)]

    def start(self, number):
        listen = f"127.0.0.1:{self.ports[number]}"
        child = self.children.start(f"app-{number}", self.loadline, "demo", "app", "--workers", 16, "--listen", listen)
        wait_for(f"app {number}", lambda: answers(f"http://{listen}/healthcheck"))
        return child

    def kill(self, number):
        self.running[number].kill()
        self.running[number].wait()

    def slow_down(self, number, over):
        """Lets it run for a tenth of the time until `over` is set."""
        child = self.running[number]
        while not over.is_set():
            child.send_signal(signal.SIGSTOP)
            time.sleep(STOPPED)
            child.send_signal(signal.SIGCONT)
            time.sleep(RUNNING)


class Proxy:
    def __init__(self, children, loadline, apps):
        self.port, self.admin, self.apps = *free_ports(2), apps
        # Out for a second instead of ten, so that the run need not last for a minute.
        settings = f"listen=127.0.0.1:{self.port}", f"admin.listen=127.0.0.1:{self.admin}", "breaker.open=1s", "balance.slow_start=1s"
        arguments = [word for setting in settings for word in ("--set", setting)]
        upstream = ",".join(f"127.0.0.1:{port}" for port in apps.ports)
        children.start("proxy", loadline, upstream, "64", *arguments)
        wait_for("the proxy", lambda: answers(f"http://127.0.0.1:{self.port}/"))

    def page(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/metrics", timeout=5) as answer:
            return answer.read().decode()

    def served(self):
        """Good answers so far, by app."""
        page = self.page()
        name = 'loadline_endpoint_requests_total{endpoint="127.0.0.1:%d",result="ok"} '
        return [int(page.split(name % port)[1].split("\n")[0]) for port in self.apps.ports]

    def repeated(self):
        return {why: int(count) for why, count in re.findall(r'^loadline_upstream_retries_total\{reason="(\w+)"\} (\d+)', self.page(), re.M)}


def slow_one(apps, proxy):
    wait_for("all of them to be used", lambda: min(proxy.served()) > 10)
    over = threading.Event()
    slow = threading.Thread(target=apps.slow_down, args=(0, over))
    slow.start()
    try:
        # Its latency has to be learned first.
        time.sleep(0.5)
        before = proxy.served()
        time.sleep(SLOW_FOR)
        got = [now - then for now, then in zip(proxy.served(), before)]
    finally:
        over.set()
        slow.join()
    assert got[0] < sum(got) / 8, f"the slow app's part of {got} should be less than half of an even one"
    print(f"ok  one at a tenth of its speed for {SLOW_FOR} s: it served {got[0]} requests, the others {got[1:]}")


def kill_two(apps, proxy):
    apps.kill(1)
    before = proxy.served()[3]
    wait_for("the others to carry on", lambda: proxy.served()[3] > before + 20)
    print("ok  one killed: the others carry on")

    apps.kill(2)
    time.sleep(1)
    apps.running[2] = apps.start(2)
    back = proxy.served()[2]
    begun = time.monotonic()
    wait_for("the one that is back to be used", lambda: proxy.served()[2] > back + 20)
    print(f"ok  another killed and back after 1 s: used again within {time.monotonic() - begun:.1f} s")


def main(loadline):
    with tempfile.TemporaryDirectory(prefix="loadline-endpoints-") as directory:
        work = pathlib.Path(directory)
        with Children(work) as children:
            apps = Apps(children, loadline)
            proxy = Proxy(children, loadline, apps)
            report = work / "report.json"
            target = f"http://127.0.0.1:{proxy.port}/{WORK}"
            stages = [word for seconds, rate in STAGES for word in ("--stage", f"{seconds}s@{rate}")]
            begun = time.monotonic()
            load = children.start("load", loadline, "load", target, *stages, "--json", report)
            slow_one(apps, proxy)
            time.sleep(max(0, begun + STAGES[0][0] + 0.5 - time.monotonic()))
            kill_two(apps, proxy)
            assert load.poll() is None, "the load had ended before everything had happened: it proves nothing"
            # Its exit code also says whether requests left in time, which a busy machine need not manage and nobody asks for here.
            load.wait(PATIENCE)
            judge(json.loads(report.read_text(encoding="utf-8")), proxy)


def judge(report, proxy):
    total = report["total"]
    others = {name: count for name, count in total["outcomes"].items() if count and name != "served"}
    assert report["complete"] and total["offered"] == sum(seconds * rate for seconds, rate in STAGES), f"{total['offered']} requests were sent"
    assert not others, f"not every request was served: {others}, statuses {report['statuses']}, repeated {proxy.repeated()}"
    latency = total["latency"]
    print(f"ok  {total['offered']} requests, each of them served; p50 {latency['p50_ms']:.0f} ms, p99 {latency['p99_ms']:.0f} ms, "
          f"the slowest {latency['max_ms']:.0f} ms; sent again: {proxy.repeated()}")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]).resolve())
