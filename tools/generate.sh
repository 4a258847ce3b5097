#!/usr/bin/env bash
# Types of the contract: openapi/openapi.yaml -> src/generated/openapi.ts, or the file named.
set -euo pipefail
cd "$(dirname "$0")"
out=$(realpath -m "${1:-../src/generated/openapi.ts}")
node_modules/.bin/openapi-typescript ../openapi/openapi.yaml --immutable --default-non-nullable=false -o "$out" > /dev/null
