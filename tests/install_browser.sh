#!/bin/sh
# Finds a Chromium for the test of the report, or installs Debian's, or says how to get one.
set -eu
for name in "${KERNEL_COLLAPSE_BROWSER:-}" chromium chromium-browser google-chrome; do
    [ -n "$name" ] && command -v "$name" >/dev/null 2>&1 && exit 0
done
if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null
    exit 0
fi
echo "The test of the report needs Chromium. Install it (Debian, Ubuntu: sudo apt-get install chromium;" >&2
echo "Fedora: sudo dnf install chromium; macOS: brew install --cask chromium), or set KERNEL_COLLAPSE_BROWSER" >&2
echo "to the path of a Chromium or Chrome, and run make test again." >&2
exit 1
