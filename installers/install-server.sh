#!/bin/sh
# The old name of `install.sh --server`, for scripts and pages that still use it. More options go through.
set -eu
exec sh "$(dirname "$0")/../install.sh" --server "$@"
