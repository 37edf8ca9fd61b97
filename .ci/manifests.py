"""Looks into rendered manifests. Commands, each with the files that it reads:

core FILE          prints the objects that Kubernetes itself defines
config FILE        prints the loadline.toml of its ConfigMap
tested FILE        fails unless the pod of `helm test` asks a gateway that answers by itself, and is let in to it
same FILE FILE     fails unless both hold the same objects, but for labels and namespaces
replicas FILE      fails if a Deployment that an autoscaler owns names a number of replicas
"""

import sys
import urllib.parse

import yaml

OPERATORS = ("monitoring.coreos.com/", "keda.sh/")
# Of the namespace itself, which has no counterpart. Nor has Helm's test.
ONLY_ONE = {"Namespace"}
LABELS = {"labels", "matchLabels", "selector", "includeSelectors"}


def objects(path):
    with open(path, encoding="utf-8") as file:
        return [each for each in yaml.safe_load_all(file) if each]


def name(each):
    return f'{each["kind"]} {each["metadata"]["name"]}'


def is_test(each):
    return each["metadata"].get("annotations", {}).get("helm.sh/hook") == "test"


def stripped(node):
    """Without what differs by design: labels, what selects by them, namespaces; and comments in the configuration."""
    if isinstance(node, dict):
        return {key: stripped(value) for key, value in node.items() if key not in LABELS and key != "namespace"}
    if isinstance(node, list):
        return [stripped(value) for value in node]
    if isinstance(node, str) and "\n" in node:
        lines = (line.split("#")[0].rstrip() for line in node.splitlines())
        return "\n".join(line for line in lines if line)
    return node


def core(path):
    print(yaml.safe_dump_all([each for each in objects(path) if not each["apiVersion"].startswith(OPERATORS)]))


def config(path):
    files = [each["data"]["loadline.toml"] for each in objects(path) if "loadline.toml" in each.get("data", {})]
    if len(files) != 1:
        sys.exit(f"{path}: {len(files)} configurations")
    print(files[0])


def same(left, right):
    sides = [{name(each): stripped(each) for each in objects(path) if each["kind"] not in ONLY_ONE and not is_test(each)} for path in (left, right)]
    if sides[0].keys() != sides[1].keys():
        sys.exit(f"only in one of them: {sorted(sides[0].keys() ^ sides[1].keys())}")
    for each, one in sides[0].items():
        if one != sides[1][each]:
            sys.exit(f"{each} differs:\n{yaml.safe_dump(one)}\n---\n{yaml.safe_dump(sides[1][each])}")
    print(f"ok  {len(sides[0])} objects are the same")


def tested(path):
    everything = objects(path)
    pod = next(each for each in everything if each["kind"] == "Pod" and is_test(each))
    url = urllib.parse.urlsplit(pod["spec"]["containers"][0]["args"][-1])
    if url.path not in ("/healthz", "/readyz"):
        sys.exit(f"{path}: {url.geturl()} is not what loadline answers by itself")
    asked = url.hostname.split(".")[0]
    service = next(each for each in everything if name(each) == f"Service {asked}")
    if {"name": "admin", "port": url.port, "targetPort": "admin"} not in service["spec"]["ports"]:
        sys.exit(f"{path}: {url.geturl()} is not the admin port")
    policies = [each["spec"] for each in everything if each["kind"] == "NetworkPolicy"]
    lets_in = {"podSelector": {"matchLabels": pod["metadata"]["labels"]}}
    rules = [rule for policy in policies for rule in policy["ingress"] if lets_in in rule.get("from", [])]
    if policies and not any(port["port"] == "admin" for rule in rules for port in rule["ports"]):
        sys.exit(f"{path}: no network policy lets {name(pod)} in to the admin port")
    print("ok  helm test asks what loadline answers by itself")


def replicas(path):
    owned = {each["spec"]["scaleTargetRef"]["name"] for each in objects(path) if "scaleTargetRef" in each.get("spec", {})}
    for each in objects(path):
        if each["kind"] == "Deployment" and each["metadata"]["name"] in owned and "replicas" in each["spec"]:
            sys.exit(f"{path}: {name(each)} has replicas beside an autoscaler")


if __name__ == "__main__":
    {"core": core, "config": config, "tested": tested, "same": same, "replicas": replicas}[sys.argv[1]](*sys.argv[2:])
