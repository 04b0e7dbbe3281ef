#!/usr/bin/env bash
# Builds the image `flame-ha:VERSION` (and `flame-ha:latest`) from the programs of this checkout.
#
#   BASE=image     what it is built on; debian:bookworm-slim when not given
#   PROFILE=name   cargo profile: dist (slow to build, fastest) or release
set -euo pipefail
cd "$(dirname "$0")/.."

BASE=${BASE:-debian:bookworm-slim}
PROFILE=${PROFILE:-dist}
TARGET=${CARGO_TARGET_DIR:-target}
PROGRAMS=(flame-coordinator flame-worker flame-cache flame-uv flmctl flmping flmping-service flmexec flmexec-service)

bins=()
for program in "${PROGRAMS[@]}"; do bins+=(--bin "$program"); done
cargo build --locked --offline --profile "$PROFILE" "${bins[@]}"

context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
mkdir "$context/programs"
for program in "${PROGRAMS[@]}"; do
    # Without the line tables they are a fifth as large.
    strip --strip-debug -o "$context/programs/$program" "$TARGET/$PROFILE/$program"
done
cp deploy/Dockerfile "$context/"
version=$(cargo metadata --locked --offline --no-deps --format-version 1 | python3 -c '
import json, sys
packages = json.load(sys.stdin)["packages"]
print(next(package["version"] for package in packages if package["name"] == "flame-coordinator"))')
docker build --build-arg BASE="$BASE" --tag "flame-ha:$version" --tag flame-ha:latest "$context"
