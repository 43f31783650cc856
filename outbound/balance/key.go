package balance

import (
	"fmt"
	"net/http"
	"net/textproto"
	"strings"

	"github.com/cespare/xxhash/v2"

	"outrider/internal/mesh"
)

// keySource says where a request's key comes from.
type keySource struct {
	from string // byClient, byHeader or byCookie
	name string
}

const (
	byClient = "client_ip"
	byHeader = "header"
	byCookie = "cookie"
)

func newKeySource(s string) (*keySource, error) {
	from, name, named := strings.Cut(s, ":")
	switch {
	case s == "" || s == byClient:
		return &keySource{from: byClient}, nil
	case from == byHeader && name != "":
		return &keySource{byHeader, textproto.CanonicalMIMEHeaderKey(name)}, nil
	case from == byCookie && name != "":
		return &keySource{byCookie, name}, nil
	case named:
		return nil, fmt.Errorf("balance: HashOn %q: what comes before the colon is to be header or cookie, and after it a name", s)
	default:
		return nil, fmt.Errorf("balance: unknown HashOn %q; known are client_ip, header:NAME and cookie:NAME", s)
	}
}

// of returns the request's key as a hash, and whether it has one. The hash is the same
// in every process, so that all proxies send a key to the same endpoint. Who makes up
// keys to meet at one endpoint gains little: its load is bounded.
func (k *keySource) of(call *mesh.Call, req *http.Request) (hash uint64, ok bool) {
	value := ""
	switch k.from {
	case byClient:
		if !call.Client.IsValid() {
			return 0, false
		}
		address := call.Client.As16() // the same for an IPv4 address and its form in IPv6
		return xxhash.Sum64(address[:]), true
	case byHeader:
		value = header(req, k.name)
	case byCookie:
		value = cookie(req.Header["Cookie"], k.name)
	}
	return xxhash.Sum64String(value), value != ""
}

// header returns the first value of that name that is not empty.
func header(req *http.Request, name string) string {
	if name == "Host" { // net/http keeps it apart
		return req.Host
	}
	for _, v := range req.Header[name] {
		if v != "" {
			return v
		}
	}
	return ""
}

// cookie returns the value of the first cookie of that name (RFC 6265, section 4.2.1).
// net/http's own function would allocate for each of them.
func cookie(lines []string, name string) string {
	for _, line := range lines {
		for line != "" {
			var pair string
			pair, line, _ = strings.Cut(line, ";")
			if k, v, _ := strings.Cut(strings.TrimSpace(pair), "="); k == name && v != "" {
				return v
			}
		}
	}
	return ""
}
