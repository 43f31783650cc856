package admin

import (
	"bytes"
	"encoding/json"
	"net/url"
	"strings"
)

const masked = "[redacted]"

// redact returns v as JSON's own values with every secret masked: whatever stands
// under a secret's name, and the user of a URL. It is the second lock: what
// must not be shown should not be handed to this package in the first place.
func redact(v any) (any, error) {
	encoded, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(encoded))
	d.UseNumber() // a size of 2^60 bytes must not be rounded
	var plain any
	if err := d.Decode(&plain); err != nil {
		return nil, err
	}
	return mask(plain, false), nil
}

// mask walks v; secret says that v stands under a secret's name. That reaches into
// lists, but not into objects: the block of a service named token-api is none.
func mask(v any, secret bool) any {
	switch v := v.(type) {
	case map[string]any:
		for name, value := range v {
			v[name] = mask(value, isSecret(name))
		}
	case []any:
		for i, value := range v {
			v[i] = mask(value, secret)
		}
	case string:
		if secret && v != "" { // that there is none is worth knowing, and no secret
			return masked
		}
		return withoutUser(v)
	}
	return v
}

// isSecret reports whether name is a secret's own. One that says where a secret
// is kept is not.
func isSecret(name string) bool {
	name = strings.NewReplacer("_", "", "-", "", ".", "").Replace(strings.ToLower(name))
	if strings.HasSuffix(name, "file") {
		return false
	}
	for _, word := range [...]string{
		"token", "secret", "password", "passwd", "passphrase", "credential",
		"authorization", "cookie", "apikey", "privatekey",
	} {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}

// withoutUser returns s without the name and password that it has as a URL: some
// services take a token for a name.
func withoutUser(s string) string {
	if !strings.Contains(s, "://") || !strings.Contains(s, "@") {
		return s
	}
	u, err := url.Parse(s)
	if err != nil {
		return masked // what cannot be taken apart cannot be trusted
	}
	if u.User == nil {
		return s
	}
	u.User = url.User("redacted")
	return u.String()
}
