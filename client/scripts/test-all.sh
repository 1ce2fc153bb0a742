#!/usr/bin/env bash
# Tests of both pages, the customer's and the operator's; `make test-client` says where the assistant is.
set -euo pipefail
cd "$(dirname "$0")/.."
if ! command -v node >/dev/null || node -e 'process.exit(+process.versions.node.split(".")[0] < 20 ? 0 : 1)'; then
  echo "SKIPPED test-client: Node 20 or newer is not here (on Debian: apt-get install nodejs npm, or nodejs.org)"
  exit 0
fi

install() {
  cmp -s package-lock.json node_modules/.lock && return
  npm ci --no-audit --no-fund
  cp package-lock.json node_modules/.lock
}

install
npm test

cd operator
install
page=../../assistant/server/console/page
committed=$(cat "$page"/* | cksum)
npm test
if [ "$committed" != "$(cat "$page"/* | cksum)" ]; then
  echo "the operator's page that is committed was built from other sources; commit what was built now"
  exit 1
fi
if command -v "${CHROMIUM:-chromium}" >/dev/null; then
  npm run e2e
else
  echo "SKIPPED the operator's page in a browser: Chromium is not here"
fi
