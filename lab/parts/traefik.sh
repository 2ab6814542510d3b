# Traefik, the ingress controller, but for what needs modules that are not published whole:
#   - ACME's providers of DNS records: nobody inside asks an authority outside for certificates
#   - the fields by which the vendor's commercial edition extends the configuration: the project's own edition has none
#   - the fork of go-http-auth, in whose place is the one that version 3.6 is made with
without_unpublished_modules() {
  mkdir -p "$GO_WRAPPER/ext"
  printf 'module github.com/traefik/traefik/dynamic/ext\n' > "$GO_WRAPPER/ext/go.mod"
  printf 'package ext\n\ntype (\n\tHTTP   struct{}\n\tRouter struct{}\n)\n' > "$GO_WRAPPER/ext/ext.go"
  echo "replace github.com/traefik/traefik/dynamic/ext => ./ext"
}

# A copy of the module that has them, without the file that names them all.
without_dns_providers() {
  local version
  version=$(awk '$1 == "github.com/go-acme/lego/v5" { print $2 }' "$(go_source github.com/traefik/traefik/v3 "$TRAEFIK")/go.mod")
  cp -r "$(go_source github.com/go-acme/lego/v5 "$version")" "$GO_WRAPPER/lego"
  cat > "$GO_WRAPPER/lego/providers/dns/zz_gen_dns_providers.go" <<'END'
package dns

import (
	"fmt"

	"github.com/go-acme/lego/v5/challenge"
)

func NewDNSChallengeProviderByName(name string) (challenge.Provider, error) {
	return nil, fmt.Errorf("unrecognized DNS provider: %s", name)
}
END
  go mod edit -replace=github.com/go-acme/lego/v5=./lego "$GO_WRAPPER/go.mod"
}

GO_LDFLAGS="-X github.com/traefik/traefik/v3/pkg/version.Version=${TRAEFIK#v}"
GO_REPLACE=without_unpublished_modules
go_module github.com/traefik/traefik/v3 "$TRAEFIK"
go mod edit -replace=github.com/abbot/go-http-auth=github.com/containous/go-http-auth@v0.4.1-0.20200324110947-a37a7636d23e "$GO_WRAPPER/go.mod"
without_dns_providers
go_program traefik github.com/traefik/traefik/v3/cmd/traefik
