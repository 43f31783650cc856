package config

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Consul's bounds for a service's meta.
const (
	maxMetaPairs = 64
	maxMetaKey   = 128
	maxMetaValue = 512
)

// reservedMeta begins the meta keys that Consul keeps for itself.
const reservedMeta = "consul-"

// ownMeta begins the meta keys that the proxy writes.
const ownMeta = "outrider-"

var (
	word       = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$`)
	instanceID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:-]{0,252}$`)
	metaKey    = regexp.MustCompile(fmt.Sprintf(`^[A-Za-z0-9_-]{1,%d}$`, maxMetaKey))
)

// conformRegistry checks the forms of what is written into a registry, or asked of
// it.
func conformRegistry(form, text string) string {
	switch form {
	case "address":
		host, port, ok := splitPort(text)
		return unless(ok && isHost(host) && isPort(port, 1), "host:port, such as 127.0.0.1:3003")
	case "id":
		return unless(instanceID.MatchString(text), "an id: letters, digits, - _ . and :, at most 253")
	case "word":
		return unless(word.MatchString(text), "a name: letters, digits, - and _, at most 64")
	case "tag":
		return unless(text != "" && len(text) <= 255 && isPlain(text), "a tag of 1 to 255 characters, none of them a control character")
	case "meta":
		if strings.HasPrefix(text, reservedMeta) {
			return "another name: what begins with " + reservedMeta + " is Consul's own"
		}
		return unless(metaKey.MatchString(text), fmt.Sprintf("letters, digits, - and _, at most %d", maxMetaKey))
	case "meta-value":
		return unless(len(text) <= maxMetaValue && isPlain(text), fmt.Sprintf("text of at most %d bytes without control characters", maxMetaValue))
	default:
		return ""
	}
}

func isPlain(text string) bool {
	return utf8.ValidString(text) && strings.IndexFunc(text, unicode.IsControl) < 0
}
