"""What the checks with real processes share: free ports, waiting, and children that are ended whatever happens."""

import contextlib
import socket
import subprocess
import time
import urllib.request

PATIENCE = 20


def free_ports(count):
    """Held together, so that no two are the same."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def answers(url):
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False


def wait_for(what, condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise SystemExit(f"FAILED: waited in vain for {what}")
        time.sleep(0.05)


class Children:
    """Processes with a log each in the directory `work`; ended with the `with` block, and their last lines shown if it fails."""

    def __init__(self, work):
        self.work = work
        self.children = []

    def start(self, name, *command):
        with open(self.work / f"{name}.log", "a", encoding="utf-8") as log:
            child = subprocess.Popen(list(map(str, command)), stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self.children.append(child)
        return child

    def __enter__(self):
        return self

    def __exit__(self, failure, *_):
        if failure:
            for log in sorted(self.work.glob("*.log")):
                print(f"--- {log.name}", *log.read_text(encoding="utf-8").splitlines()[-8:], sep="\n")
        for child in self.children:
            if child.poll() is None:
                child.terminate()
        for child in self.children:
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
