#!/usr/bin/env bash
# The live page in a real browser: installs Playwright below target/ and runs page.py with it.
#
#   .ci/page.sh target/release/loadline [DIRECTORY FOR SCREENSHOTS]
set -euo pipefail
exec </dev/null

here=$(realpath "$(dirname "$0")")
loadline=$(realpath "$1")
python=$here/../target/ci-python
shots=${2:-$here/../target/page}
[[ -x $python/bin/python ]] || python3 -m venv "$python"
"$python/bin/python" -c 'import playwright' 2>/dev/null ||
  "$python/bin/pip" install --quiet --disable-pip-version-check 'playwright>=1.40,<2'
mkdir -p "$shots"
exec "$python/bin/python" "$here/page.py" "$loadline" "$shots"
