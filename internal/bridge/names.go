package bridge

import (
	"net/http"
	"strings"
)

// Names is a set of header field names. It compares as a careless application
// reads them: case does not count, and whatever is no letter or digit counts as a
// hyphen, because CGI and its heirs spell X-User-Id and X_User_Id alike.
//
// The zero Names is empty. Names is never changed after NewNames.
type Names struct {
	exact    map[string]struct{}
	prefixes []string
}

// NewNames returns the set of names. One that ends in "*" stands for every name
// that begins so.
func NewNames(names ...string) Names {
	set := Names{exact: make(map[string]struct{}, len(names))}
	for _, name := range names {
		prefix, ok := strings.CutSuffix(name, "*")
		if ok {
			set.prefixes = append(set.prefixes, fold(prefix))
			continue
		}
		set.exact[fold(name)] = struct{}{}
	}
	return set
}

// Has reports whether name is in the set, however it is spelled. A name in
// canonical form costs no allocation.
func (n Names) Has(name string) bool {
	name = fold(name)
	if _, ok := n.exact[name]; ok {
		return true
	}
	for _, prefix := range n.prefixes {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// fold returns the canonical spelling of name with hyphens for all punctuation.
func fold(name string) string {
	if !plain(name) {
		name = strings.Map(func(r rune) rune {
			if r < 0x80 && alphanumeric(byte(r)) {
				return r
			}
			return '-'
		}, name)
	}
	return http.CanonicalHeaderKey(name)
}

// plain reports whether name consists of letters, digits and hyphens.
func plain(name string) bool {
	for i := range len(name) {
		if c := name[i]; c != '-' && !alphanumeric(c) {
			return false
		}
	}
	return true
}

// isToken reports whether s is a token (RFC 9110, section 5.6.2).
func isToken(s string) bool {
	for i := range len(s) {
		if c := s[i]; !alphanumeric(c) && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return s != ""
}

func alphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}
