package policy

import (
	"net/http"
	"strings"
	"unicode"

	"outrider/internal/mesh"
)

// bearer returns the token that a request brings. It is at least one character
// long and fit for a header field.
func bearer(h http.Header) (string, error) {
	values := h["Authorization"]
	switch len(values) {
	case 0:
		return "", tokenRequired()
	case 1:
	default: // whom would the service below believe?
		return "", invalidToken()
	}
	token := strings.Trim(values[0], " \t")
	scheme, rest, spaced := cutSpace(token)
	switch {
	case strings.EqualFold(scheme, "Bearer"):
		token = rest
	case spaced: // Basic and its like: credentials that no token service would believe
		return "", invalidToken()
	}
	switch {
	case token == "":
		return "", tokenRequired()
	case strings.ContainsFunc(token, unicode.IsControl):
		return "", invalidToken() // no transport would carry it: that is the client's failure, not ours
	}
	return token, nil
}

// cutSpace splits s around its first run of spaces and tabs.
func cutSpace(s string) (before, after string, found bool) {
	i := strings.IndexAny(s, " \t")
	if i < 0 {
		return s, "", false
	}
	return s[:i], strings.TrimLeft(s[i:], " \t"), true
}

// tokenRequired and invalidToken challenge as RFC 6750, section 3, has it: with at
// least one parameter, and with an error only where there was a token.

func tokenRequired() *mesh.Fault {
	return unauthenticated("Token required", `Bearer realm="outrider"`)
}

func invalidToken() *mesh.Fault {
	return unauthenticated("Invalid token", `Bearer realm="outrider", error="invalid_token"`)
}

func unauthenticated(message, challenge string) *mesh.Fault {
	return &mesh.Fault{
		Kind:    mesh.Unauthenticated,
		Message: message,
		Header:  http.Header{"Www-Authenticate": {challenge}},
	}
}
