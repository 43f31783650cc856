package policy

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/net/http/httpguts"

	"outrider/internal/mesh"
)

// field is a field of the service's answer and the request header that carries it.
type field struct {
	name   string // in the JSON object
	header string // canonical
}

// identity is what the service said of a token's bearer. It is shared by requests
// and never changed.
type identity struct {
	subject string
	values  []string // of the fields, in their order; empty for one that is absent
}

// parseFields returns the fields of a configuration in a fixed order.
func parseFields(headers map[string]string) ([]field, error) {
	var fields []field
	var errs []error
	seen := make(map[string]string)
	for name, header := range headers {
		f := field{name: name, header: http.CanonicalHeaderKey(header)}
		switch other, twice := seen[f.header]; {
		case !httpguts.ValidHeaderFieldName(header):
			errs = append(errs, fmt.Errorf("field %q: %q is not a header name", name, header))
		case ofTheMessage(f.header):
			errs = append(errs, fmt.Errorf("field %q: %s is how the message is sent, and cannot carry identity", name, f.header))
		case twice:
			errs = append(errs, fmt.Errorf("fields %q and %q: both are carried by %s", min(name, other), max(name, other), f.header))
		}
		seen[f.header] = name
		fields = append(fields, f)
	}
	slices.SortFunc(fields, func(a, b field) int { return cmp.Compare(a.name, b.name) })
	return fields, errors.Join(errs...)
}

// ofTheMessage reports whether a header is about the message or the connection (RFC
// 9110, sections 7.2, 7.6.1 and 8.6; RFC 9112, section 6).
func ofTheMessage(header string) bool {
	switch header {
	case "Connection", "Content-Length", "Host", "Keep-Alive", "Proxy-Connection",
		"Te", "Trailer", "Transfer-Encoding", "Upgrade":
		return true
	}
	return false
}

// readIdentity reads the service's answer, which is one JSON object.
func readIdentity(body []byte, fields []field) (*identity, error) {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(body, &object); err != nil {
		return nil, err
	}
	if object == nil {
		return nil, errors.New("null is not an object")
	}
	id := &identity{values: make([]string, len(fields))}
	for i, f := range fields {
		v, err := headerValue(object[f.name])
		if err != nil {
			return nil, fmt.Errorf("field %q: %w", f.name, err)
		}
		id.values[i] = v
	}
	for _, name := range []string{"id", "sub"} {
		v, err := headerValue(object[name])
		if err != nil {
			return nil, fmt.Errorf("field %q: %w", name, err)
		}
		if id.subject == "" {
			id.subject = v
		}
	}
	return id, nil
}

// maxField bounds one field's value, in bytes: servers refuse headers much longer.
const maxField = 4 << 10

// headerValue renders a JSON value: a string is itself, a number or boolean as it
// is written. Null, an object or an array is as if absent: empty.
func headerValue(raw json.RawMessage) (string, error) {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 {
		return "", nil
	}
	s := string(raw)
	switch raw[0] {
	case 'n', '{', '[':
		return "", nil
	case '"':
		if err := json.Unmarshal(raw, &s); err != nil {
			return "", err
		}
	}
	if strings.ContainsFunc(s, unicode.IsControl) {
		return "", errors.New("holds control characters")
	}
	if len(s) > maxField {
		return "", fmt.Errorf("longer than %d bytes", maxField)
	}
	return s, nil
}

// vouch sets the identity headers and removes what the client sent under their
// names.
func (a *Auth) vouch(call *mesh.Call, h http.Header, id *identity) {
	for name := range h {
		if slices.ContainsFunc(a.fields, func(f field) bool { return sameName(f.header, name) }) {
			delete(h, name)
		}
	}
	for i, f := range a.fields {
		if id.values[i] != "" {
			call.Set(h, f.header, id.values[i])
		}
	}
}

// sameName reports whether a service may take two header names for one: CGI and its
// heirs know neither case nor the difference of - and _ (RFC 3875, section 4.1.18).
func sameName(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if fold(a[i]) != fold(b[i]) {
			return false
		}
	}
	return true
}

func fold(c byte) byte {
	switch {
	case c == '_':
		return '-'
	case 'A' <= c && c <= 'Z':
		return c + ('a' - 'A')
	}
	return c
}
