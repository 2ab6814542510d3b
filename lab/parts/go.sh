# Building programs from published Go modules. Sourced by build.sh before a recipe.
# A recipe calls `go_module PATH VERSION` once, then `go_program OUT PACKAGE` for each program.
# The module cache and the compiler's cache live in $WORK, which build.sh deletes when all is built.

export GOPATH=$WORK/go GOMODCACHE=$WORK/go/mod GOCACHE=$WORK/gocache GOTMPDIR=$WORK/tmp
export GOFLAGS='-mod=mod -modcacherw -trimpath -buildvcs=false' GOTOOLCHAIN=local GOWORK=off CGO_ENABLED=0
GO_TAGS='' GO_LDFLAGS='' GO_REPLACE=''

# go_module PATH VERSION: starts a module that depends on this one alone. A module's own `replace` lines
# do not reach those who depend on it, so the ones that name a published module are carried over.
go_module() {
  local source
  GO_WRAPPER=$WORK/module/$PART
  rm -rf "$GO_WRAPPER" && mkdir -p "$GO_WRAPPER" "$GOTMPDIR"
  source=$(go_source "$1" "$2")
  {
    printf 'module lab/%s\ngo %s\nrequire %s %s\n' "$PART" "$(go env GOVERSION | sed 's/^go//')" "$1" "$2"
    go mod edit -json "$source/go.mod" |
      jq -r '.Replace[]? | select(.New.Path | startswith(".") | not) | "replace \(.Old.Path) => \(.New.Path) \(.New.Version)"'
    [ -z "$GO_REPLACE" ] || "$GO_REPLACE" "$source"
  } > "$GO_WRAPPER/go.mod"
}

# go_source PATH VERSION: prints the folder that holds the module's source.
go_source() {
  local answer
  answer=$(cd / && GOFLAGS=-modcacherw go mod download -json "$1@$2") || {
    jq -r .Error <<< "$answer" >&2
    return 1
  }
  jq -er .Dir <<< "$answer"
}

# go_program OUT PACKAGE: one static program, $OUT/bin/OUT.
go_program() {
  local started=$SECONDS
  (cd "$GO_WRAPPER" && go build -tags "$GO_TAGS" -ldflags "-s -w $GO_LDFLAGS" -o "$OUT/bin/$1" "$2")
  echo "  $1: $((SECONDS - started)) s, $(stat -c %s "$OUT/bin/$1") bytes" >&2
}
