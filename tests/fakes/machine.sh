#!/bin/sh
# Stands in for docker, git, kind and kubectl: one machine with at most one cluster, kept in the files of a folder. Started under
# the name that it plays, it answers as that program does, in as far as Conveyor asks; whatever else it is asked is an error.
# `calls` holds the command lines, `inputs` what came with them.
state=${0%/*}/../state
PATH=/usr/bin:/bin
program=${0##*/}
line="$program $*"
cd "$state" || exit 1
echo "$line" >> calls

fail() {
  echo "$1" >&2
  exit 1
}

# A failure that a test wants: once, then never again.
while read -r command <&3 && read -r stderr <&3; do
  case "$line" in
    *"$command"*)
      grep -vxF -e "$command" -e "$stderr" failures > failures.new
      mv failures.new failures
      fail "$stderr"
      ;;
  esac
done 3< failures

fail_without_node() {
  test -f running || fail "The connection to the server 127.0.0.1:6443 was refused - did you specify the right host or port?"
}

# The objects of a YAML stream, as kind/name, one a line.
names() {
  awk '/^---/ {print kind "/" name} /^kind:/ {kind = tolower($2)} /^[^ ]/ {inside = /^metadata:/} inside && /^  name:/ {name = $2}
    END {print kind "/" name}'
}

put() {
  mkdir -p "objects/${1%/*}"
  cat > "objects/$1"
}

# Keeps what comes in, and passes it on.
keep() {
  printf '\n---\n' >> inputs
  tee -a inputs
}

case "$line" in
  "$program version"*) cat "version-$program" ;;

  "docker info "*) cat size ;;
  "docker container inspect "*)
    test -f running && running=true || running=false
    test -f folder && mount="{\"Source\": \"$(cat folder)\", \"Destination\": \"/conveyor\"}"
    echo "[{\"State\": {\"Running\": $running}, \"Mounts\": [$mount]}]"
    ;;
  "docker start "*) touch running ;;
  "docker image inspect "*)
    grep -qxF "$3" local_images || fail "Error response from daemon: No such image: $3"
    echo '[{"Size": 1, "Config": {"Labels": null}}]'
    ;;
  "docker exec conveyor-control-plane crictl images "*)
    sed 's,.*,{"repoTags": ["docker.io/library/&"]}\,,' cluster_images | (echo '{"images": ['; cat; echo '{"repoTags": []}]}')
    ;;

  "kind get clusters") test -f cluster && echo conveyor || echo "No kind clusters found." >&2 ;;
  "kind create cluster "*)
    test -f cluster && fail 'ERROR: failed to create cluster: node(s) already exist for a cluster with the name "conveyor"'
    keep | sed -n 's/.*hostPath: //p' > folder
    touch cluster running
    echo kind-conveyor > contexts
    ;;
  "kind delete cluster "*)
    rm -rf cluster running folder objects
    : > contexts
    ;;
  "kind export kubeconfig "*) echo kind-conveyor > contexts ;;
  "kind load docker-image "*) echo "$3" >> cluster_images ;;

  "kubectl config get-contexts "*) cat contexts ;;
  "kubectl config view "*) printf 'https://127.0.0.1:6443' ;;
  "kubectl kustomize "*) cat "$(echo "$2" | sed 's,.*/\([a-z]*\)/overlays/,\1-,').yaml" ;;
  "kubectl --context "*)
    grep -qxF "$2" contexts || fail "error: context \"$2\" does not exist"
    fail_without_node
    shift 2
    [ "$1" = --namespace ] && shift 2
    case "$*" in
      "get --raw "*) echo '{"major": "1", "minor": "33"}' ;;
      "get pods "* | "get events "* | "get deployments "* | "get workflows.argoproj.io "*) cat "${2%%.*}.json" ;;
      "get "*) cat "objects/$2/$3" 2>/dev/null || true ;;
      "logs "*) cat "logs/$2" 2>/dev/null || fail "Error from server (BadRequest): main is waiting to start" ;;
      "create --filename -")
        text=$(keep)
        name=$(echo "$text" | sed 's/.*"kind": "\([A-Za-z]*\)".*"metadata": {"name": "\([a-z-]*\)".*/\1 \2/' | tr A-Z a-z)
        echo "$text" | put "${name% *}/${name#* }"
        ;;
      "apply --filename -")
        keep | names | while read -r name; do
          case "$name" in
            job/*) put "$name" < job.json ;;
            *) echo '{}' | put "$name" ;;
          esac
        done
        ;;
      "apply --kustomize "* | "wait "*) echo "done" ;;
      "delete job "*) rm -f "objects/job/$3" ;;
      *) fail "unexpected: $line" ;;
    esac
    ;;
  *) fail "unexpected: $line" ;;
esac
