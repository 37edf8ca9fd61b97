"""A rolling restart under load loses nothing: two proxies behind HAProxy, one at a time drained, ended and replaced, while
`loadline load` sends at a constant rate. Every request must be answered by the app.

    python3 .ci/rolling-restart.py target/release/loadline

Everything runs on 127.0.0.1, on ports of the system's choice, in a directory that is removed at the end.
"""

import json
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

from processes import PATIENCE, Children, answers, free_ports, wait_for

RATE = 100
# Long enough for both restarts: each waits for a silence of two seconds and for two health checks.
DURATION = 16
# `loadline drain --wait` asks for half as long a silence.
DRAIN = "4s"

HAPROXY = """
defaults
  mode http
  timeout connect 1s
  timeout client 10s
  timeout server 10s
frontend in
  bind 127.0.0.1:{port}
  default_backend proxies
backend proxies
  option httpchk GET /readyz
  default-server inter 200ms fall 2 rise 2
  # No redispatch and no retry: what goes wrong is to be seen.
  retries 0
"""


class Run(Children):
    def __init__(self, loadline, work):
        super().__init__(work)
        self.loadline = loadline

    def proxy(self, port, admin, app):
        settings = f"listen=127.0.0.1:{port}", f"admin.listen=127.0.0.1:{admin}", "workers=2"
        arguments = [word for setting in settings for word in ("--set", setting)]
        child = self.start(f"proxy-{port}", self.loadline, f"127.0.0.1:{app}", "32", *arguments)
        # Not ready before the app was reached, and only requests reach it: the first one is ours.
        wait_for("the proxy", lambda: answers(f"http://127.0.0.1:{port}/") and answers(f"http://127.0.0.1:{admin}/readyz"))
        return child


def restart(run, child, port, admin, app):
    subprocess.run([run.loadline, "drain", "--wait", DRAIN, "--admin", f"127.0.0.1:{admin}"], check=True, stdout=subprocess.DEVNULL)
    child.send_signal(signal.SIGTERM)
    status = child.wait(PATIENCE)
    assert status == 0, f"the proxy ended with {status}"
    return run.proxy(port, admin, app)


def main(loadline):
    with tempfile.TemporaryDirectory(prefix="loadline-rolling-") as directory:
        work = pathlib.Path(directory)
        front, *ports = free_ports(5)
        pairs = [(ports[0], ports[1]), (ports[2], ports[3])]
        servers = [f"  server p{port} 127.0.0.1:{port} check port {admin}\n" for port, admin in pairs]
        (work / "haproxy.cfg").write_text(HAPROXY.format(port=front) + "".join(servers), encoding="utf-8")
        with Run(loadline, work) as run:
            run.start("app", sys.executable, pathlib.Path(__file__).with_name("slow_app.py"))
            wait_for("the app", (work / "app.log").read_text)
            app = (work / "app.log").read_text().strip()
            proxies = [run.proxy(*pair, app) for pair in pairs]
            run.start("haproxy", "haproxy", "-db", "-f", work / "haproxy.cfg")
            target = f"http://127.0.0.1:{front}/"
            wait_for("HAProxy", lambda: answers(target))
            report = work / "report.json"
            begun = time.monotonic()
            load = run.start("load", loadline, "load", target, "--rate", f"{RATE}/s", "--duration", f"{DURATION}s", "--json", report)
            for index, pair in enumerate(pairs):
                proxies[index] = restart(run, proxies[index], *pair, app)
                # Back in service before the other one goes.
                time.sleep(1)
            took = time.monotonic() - begun
            assert load.poll() is None, f"the load had ended when the restarts had, after {took:.1f} s: they prove nothing"
            print(f"ok  both were replaced within {took:.1f} s of {DURATION} s of load")
            # Its exit code also says whether requests left in time, which a busy machine need not manage and nobody asks for here.
            load.wait(DURATION + PATIENCE)
            judge(json.loads(report.read_text(encoding="utf-8")))


def judge(report):
    total = report["total"]
    others = {name: count for name, count in total["outcomes"].items() if count and name != "served"}
    assert report["complete"] and total["offered"] == RATE * DURATION, f"{total['offered']} requests were sent"
    assert not others, f"not every request was served: {others}, statuses {report['statuses']}"
    assert report["statuses"] == {"200": total["offered"]}, report["statuses"]
    print(f"ok  {total['offered']} requests, each of them served")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]).resolve())
