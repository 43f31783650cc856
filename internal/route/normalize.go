package route

import (
	"bytes"
	"net/url"
	"strings"

	"outrider/internal/mesh"
)

// Normalize rewrites u in place to the one form that rules match and endpoints see
// (RFC 3986, section 6.2.2). In the path, percent-encoded unreserved characters are
// decoded, other escapes get upper-case digits, characters that a path may not hold
// as they are get escaped, dot segments are resolved and end at the root, and
// doubled slashes become one. An empty path becomes "/". "*", the target of OPTIONS,
// stays. In the query, characters that it may not hold as they are get escaped;
// what came escaped, well or badly, stays. Normalising twice changes nothing more.
//
// It returns a *mesh.Fault of kind Malformed for a path that endpoints are known
// to read in more than one way: control characters, backslashes and encoded
// slashes, invalid escapes, and ;parameters on a dot segment or on an empty
// segment inside the path, which servlet containers drop before they resolve. It
// does so for a space or control character in the query, too: HTTP/2 can carry one,
// and in HTTP/1.1 it would end the request line early.
//
// A target that is in that form already costs no allocation.
func Normalize(u *url.URL) error {
	if u.Opaque != "" { // "GET http:admin" would be forwarded as it came
		return malformed("The request target is not a path.")
	}
	query, err := normalizeQuery(u.RawQuery)
	if err != nil {
		return err
	}
	if err := normalizePath(u); err != nil {
		return err
	}
	u.RawQuery = query
	return nil
}

// normalizePath brings u's path into normal form, or returns why it has none.
func normalizePath(u *url.URL) error {
	if u.Path == "*" && u.RawPath == "" || clean(u) {
		return nil
	}
	raw := u.RawPath // before Path: net/url leaves here what it could not keep there
	if raw == "" {
		raw = u.EscapedPath()
	}
	path, err := normalize(raw)
	if err != nil {
		return err
	}
	setPath(u, path)
	return nil
}

// normalize returns the normal form of an escaped path.
func normalize(raw string) (string, error) {
	if raw == "" {
		return "/", nil
	}
	if raw[0] != '/' {
		return "", malformed("The path does not begin with a slash.")
	}
	path, err := recode(raw)
	if err != nil {
		return "", err
	}
	return resolve(path)
}

// clean reports whether u's path is in normal form, so far as that can be told
// without taking it apart; false only means that nobody knows.
func clean(u *url.URL) bool {
	p := u.Path
	if p == "" || p[0] != '/' {
		return false
	}
	// With an empty RawPath net/url escapes Path itself, and that is our form. The
	// two are equal where the path has none but characters that need no escape,
	// though net/url would escape some of them.
	if u.RawPath != "" && u.RawPath != p {
		return false
	}
	bare, special := u.RawPath != "", false
	for i := 0; i < len(p); i++ {
		c := p[i]
		if control(c) || c == '\\' || bare && !pchar(c) {
			return false
		}
		if c == '/' && !ordinary(p[i+1:]) {
			return false
		}
		special = special || bare && strings.IndexByte("!'()*", c) >= 0
	}
	return !bare || special // else RawPath is superfluous
}

// ordinary reports whether what follows a slash is surely no dot segment and no
// segment without a name.
func ordinary(rest string) bool {
	if rest == "" {
		return true
	}
	if rest[0] == '.' && len(rest) > 1 {
		return rest[1] != '.' && rest[1] != '/' && rest[1] != ';'
	}
	return rest[0] != '.' && rest[0] != '/' && rest[0] != ';'
}

// recode returns raw with each character in its normal form.
func recode(raw string) (string, error) {
	out := make([]byte, 0, len(raw)+8)
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		escaped := c == '%'
		if escaped {
			var ok bool
			if c, ok = unhex(raw[i+1:]); !ok {
				return "", malformed("The path has an invalid percent-encoding.")
			}
			i += 2
		}
		switch {
		case control(c):
			return "", malformed("The path has a control character.")
		case c == '\\':
			return "", malformed("The path has a backslash.")
		case c == '/' && escaped:
			return "", malformed("The path has an encoded slash.")
		case unreserved(c), !escaped && pchar(c):
			out = append(out, c)
		default:
			out = escape(out, c)
		}
	}
	return string(out), nil
}

// resolve merges slashes and resolves dot segments in a recoded path.
func resolve(path string) (string, error) {
	out := make([]byte, 0, len(path))
	for last := false; !last; {
		segment := path[1:]
		end := strings.IndexByte(segment, '/')
		if last = end < 0; !last {
			segment, path = segment[:end], segment[end:]
		}
		if i := parameters(segment); i >= 0 {
			switch name := segment[:i]; {
			case name == "." || name == "..":
				return "", malformed("The path has parameters on a dot segment.")
			case name == "" && !last:
				return "", malformed("The path has parameters on an empty segment.")
			}
		}
		switch segment {
		case "", ".":
		case "..":
			out = out[:max(0, bytes.LastIndexByte(out, '/'))]
		default:
			out = append(append(out, '/'), segment...)
			continue
		}
		if last {
			out = append(out, '/')
		}
	}
	return string(out), nil
}

// parameters returns where the ;parameters of an escaped segment begin, -1 for
// nowhere. An encoded semicolon counts: endpoints that decode first see it.
func parameters(segment string) int {
	plain, escaped := strings.IndexByte(segment, ';'), strings.Index(segment, "%3B")
	if plain < 0 || escaped >= 0 && escaped < plain {
		return escaped
	}
	return plain
}

// setPath makes path, an escaped path in normal form, u's.
func setPath(u *url.URL, path string) {
	decoded, err := url.PathUnescape(path)
	if err != nil {
		return // cannot be: every escape has been read before
	}
	u.Path, u.RawPath = decoded, ""
	if u.EscapedPath() != path {
		u.RawPath = path
	}
}

func malformed(text string) error {
	return &mesh.Fault{Kind: mesh.Malformed, Message: text}
}
