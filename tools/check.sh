#!/usr/bin/env bash
# Everything that must hold before a change lands, cheapest first; `npm run check` calls it.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ ! -x tools/node_modules/.bin/tsc ]; then
  echo '== tools: installing'
  npm ci --prefix tools --no-audit --no-fund --loglevel=error
fi
bin=tools/node_modules/.bin
export PATH="$PWD/node_modules/.bin:$PWD/$bin:$PATH"
step() { echo "== $1"; shift; "$@"; }
contract_drift() {
  local fresh
  fresh=$(mktemp -d)/openapi.ts
  tools/generate.sh "$fresh"
  diff -q "$fresh" src/generated/openapi.ts || { echo 'src/generated/openapi.ts is stale: npm run generate'; return 1; }
}
step 'format' $bin/biome format .
step 'types' $bin/tsc -p .
step 'lint' $bin/oxlint --type-aware --deny-warnings src test bench
step 'contract: linter' $bin/redocly lint openapi/openapi.yaml
step 'contract: generated types' contract_drift
step 'unused code' $bin/knip --no-progress --treat-config-hints-as-errors
step 'tests, the import rule among them' npm test --silent
