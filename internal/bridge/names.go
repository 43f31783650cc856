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
	likely   *likely // nil where there are no names
}

// likely says of a plain name, by its length and two of its letters, whether it may be
// in a set: of most fields that is enough to know that they are not.
type likely [64]uint64

const (
	lettered = 3          // bytes that the two letters are taken from
	longest  = 63         // stands for all lengths from there
	every    = ^uint64(0) // length
)

// NewNames returns the set of names. One that ends in "*" stands for every name
// that begins so.
func NewNames(names ...string) Names {
	set := Names{exact: make(map[string]struct{}, len(names)), likely: new(likely)}
	for _, name := range names {
		prefix, ok := strings.CutSuffix(name, "*")
		if ok {
			prefix = fold(prefix)
			set.prefixes = append(set.prefixes, prefix)
			set.likely.add(prefix, every<<min(len(prefix), longest))
			continue
		}
		name = fold(name)
		set.exact[name] = struct{}{}
		set.likely.add(name, 1<<min(len(name), longest))
	}
	return set
}

// add notes the lengths that names have which begin as name does.
func (l *likely) add(name string, lengths uint64) {
	if len(name) < lettered {
		for i := range l {
			l[i] |= lengths
		}
		return
	}
	l[letters(name)] |= lengths
}

// has reports whether a plain name may be in the set.
func (l *likely) has(name string) bool {
	return len(name) < lettered || l[letters(name)]&(1<<min(len(name), longest)) != 0
}

// letters returns the place in a likely of names that begin as name does. In ASCII the
// low five bits of a letter are the same in both cases.
func letters(name string) int { return int(name[0]&31)<<1 ^ int(name[2]&31) }

// Has reports whether name is in the set, however it is spelled. A name in
// canonical form costs no allocation.
func (n Names) Has(name string) bool { return n.has(name, plain(name)) }

// has is Has of a name that is known to be plain, or not to be.
func (n *Names) has(name string, plain bool) bool {
	if n.likely == nil || plain && !n.likely.has(name) {
		return false // folding a plain name changes nothing but the case of its letters
	}
	return n.holds(name) || n.holds(fold(name)) // most come in canonical form
}

// holds reports whether a folded name is in the set.
func (n *Names) holds(name string) bool {
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

// What a byte may stand in.
const (
	inPlain = 1 << iota // letters, digits, hyphens
	inToken             // RFC 9110, section 5.6.2
)

// bytesIn says of each byte what it may stand in.
var bytesIn = func() (in [256]uint8) {
	for c := range in {
		switch {
		case alphanumeric(byte(c)) || c == '-':
			in[c] = inPlain | inToken
		case strings.IndexByte("!#$%&'*+.^_`|~", byte(c)) >= 0:
			in[c] = inToken
		}
	}
	return in
}()

// plain reports whether name consists of letters, digits and hyphens.
func plain(name string) bool { return consists(name, inPlain) }

// isToken reports whether s is a token (RFC 9110, section 5.6.2).
func isToken(s string) bool { return s != "" && consists(s, inToken) }

// consists reports whether all bytes of s may stand in this.
func consists(s string, in uint8) bool {
	for i := range len(s) {
		if bytesIn[s[i]]&in == 0 {
			return false
		}
	}
	return true
}

func alphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}
