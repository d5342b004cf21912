#!/bin/sh
# The demo's analysis: says which image it came from and where it runs. It finds its files from
# its own path, so it also runs from an unpacked copy of the image.
set -eu
root=${0%/opt/analysis/run}
read -r version < "$root/etc/moorline-demo"
echo "analysis: $version"
echo "arguments: $*"
echo "directory: $(pwd)"
if command -v id > /dev/null; then echo "user: $(id -u)"; fi
if command -v uname > /dev/null; then echo "machine: $(uname -m)"; fi
