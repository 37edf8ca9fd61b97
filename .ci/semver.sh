#!/usr/bin/env bash
# Whether the library crates still offer the API that they had at the baseline (.ci/semver-baseline).
#
# What was added is fine; what was taken away or changed is not, although the version would allow it: it is to be meant. Needs
# cargo-semver-checks, and the baseline's commit: a clone of depth 1 does not have it.
set -euo pipefail
cd "$(dirname "$0")/.."

baseline=$(grep -v '^#' .ci/semver-baseline)
git cat-file -e "$baseline^{commit}" 2>/dev/null || {
  echo "NOT CHECKED: the baseline $baseline (.ci/semver-baseline) is not in this clone; a clone with its history is needed" >&2
  exit 77
}
exec cargo semver-checks check-release --baseline-rev "$baseline" --release-type minor \
  -p loadline-core -p loadline-http -p loadline-h1 -p loadline-tower
