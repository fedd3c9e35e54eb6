#!/bin/bash
# The metadata service judged by its unmodified clients: botocore's, two that are called ec2-metadata, Ignition, and the
# parsers of cloud-init as Debian 12 and 13 ship it; and attacked by a second machine on the same wire. All in network
# namespaces of its own.
# HOSTLER names the program (out/bin/hostler). Needs root, apt and PyPI; keeps what it fetched in CACHE_HOME.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/deps.sh
cache=${CACHE_HOME:-$HOME/.cache/hostler}/metadata-clients
mkdir -p "$cache"
export HOSTLER=${HOSTLER:-$PWD/out/bin/hostler}
[ -x "$HOSTLER" ] || { echo "there is no $HOSTLER: make binaries, or set HOSTLER" >&2; exit 1; }

if [ ! -x "$cache/venv/bin/python" ]; then
    python3 -m venv "$cache/venv"
    "$cache/venv/bin/pip" install --quiet boto3 pyyaml requests jinja2 configobj oauthlib jsonpatch jsonschema
fi

"$cache/venv/bin/python" -c 'import ec2_metadata' 2>/dev/null || "$cache/venv/bin/pip" install --quiet ec2-metadata
# Programs of Debian's that are run where they lie: the host is not to take itself for a cloud's.
for package in amazon-ec2-utils:ec2-metadata ignition:ignition; do
    folder=$cache/${package#*:}
    [ -d "$folder/usr" ] && continue
    mkdir -p "$cache/deb-${package#*:}"
    (cd "$cache/deb-${package#*:}" && apt-get -qq -o APT::Sandbox::User=root download "${package%:*}")
    for file in "$cache/deb-${package#*:}"/*.deb; do dpkg-deb -x "$file" "$folder"; done
done

# cloud-init of another release, by an apt that has its own lists.
fetch_cloud_init() { # suite
    local suite=$1 apt="$cache/apt-$1" mirror
    [ -d "$cache/cloud-init-$suite/usr" ] && return
    mirror=$(apt-cache policy | grep -o 'https\?://[^ ]*/debian ' | head -1 | tr -d ' ')
    mkdir -p "$apt/lists/partial" "$apt/archives/partial" "$cache/deb-$suite"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${mirror:-http://deb.debian.org/debian} $suite main" >"$apt/sources.list"
    local options=(-qq -o "Dir::Etc::SourceList=$apt/sources.list" -o Dir::Etc::SourceParts=- -o "Dir::State::Lists=$apt/lists"
        -o "Dir::Cache=$apt" -o APT::Sandbox::User=root)
    apt-get "${options[@]}" update
    (cd "$cache/deb-$suite" && apt-get "${options[@]}" download cloud-init)
    # Debian 13 ships its base in a package of its own.
    (cd "$cache/deb-$suite" && apt-get "${options[@]}" download cloud-init-base 2>/dev/null) || true
    for package in "$cache/deb-$suite"/*.deb; do dpkg-deb -x "$package" "$cache/cloud-init-$suite"; done
    rm -rf "$apt"
}
fetch_cloud_init bookworm
fetch_cloud_init trixie

exec "$cache/venv/bin/python" scripts/metadata-clients.py "$cache"
