#!/usr/bin/env bash
# Runs the pipeline of two checkouts on the same data, and writes as Markdown what differs.
#
#   compare-models.sh BASE CHANGE OUTPUT.md CONFIG [--set FIELD=VALUE …]
#
# BASE and CHANGE are checkouts with a .venv, CONFIG is a path within each. Both runs are in one workspace, ./.conveyor, so the
# model of BASE is the baseline of CHANGE's. The exit code is that of CHANGE's run, 4 if its model is worse or not good enough; or 5 if
# the comparison says that it is worse: a baseline that lacks the columns it was trained on is a weak one.
set -euo pipefail
base=$(realpath "$1") change=$(realpath "$2") output=$(realpath -m "$3") config=$4
options=(--set "workspace=$PWD/.conveyor" "${@:5}")

conveyor() {
  local checkout=$1
  shift
  (cd "$checkout" && PYTHONPATH=$checkout .venv/bin/conveyor "$@" "${options[@]}")
}

latest() { conveyor "$1" runs --config "$config" --json | jq --raw-output '.[0].run'; }

status=0
conveyor "$base" run "$config" || status=$?
# A model that is not blessed is one to compare with, too.
if ((status != 0 && status != 4)); then
  echo "The pipeline does not run as it was before the change, so there is nothing to compare with." | tee "$output"
  exit "$status"
fi
before=$(latest "$base")

status=0
conveyor "$change" run "$config" || status=$?
after=$(latest "$change")
comparison=$(mktemp)
trap 'rm -f "$comparison"' EXIT
worse=0
if [ "$before" != "$after" ]; then
  conveyor "$change" compare "$before" "$after" --config "$config" --markdown --fail-if-worse >"$comparison" || worse=$?
fi
if ((status == 0)); then status=$worse; fi
{
  case $status in
    0) ;;
    4) printf '**The model is worse than before, or not good enough: it was not blessed.**\n\n' ;;
    5) printf '**The model is worse than before.**\n\n' ;;
    *) printf '**The pipeline fails with this change.**\n\n' ;;
  esac
  cat "$comparison"
} >"$output"
exit "$status"
