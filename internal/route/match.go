package route

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// Match says which requests meet a rule: those that fulfil all its conditions. An
// empty condition holds for every request; Path must be there.
type Match struct {
	Path    string           // a pattern, see ParsePattern
	Hosts   []string         // any of them: example.com, or *.example.com for what is below it
	Methods []string         // any of them, case-sensitive (RFC 9110, section 9.1)
	Headers map[string]Value // all of them, by a name in any case; not Host
	Query   map[string]Value // all of them, by the decoded name
}

// Value is what a header field or query parameter must be. It must be there: the
// zero Value wants an empty one. Of a header's several lines the values are joined
// by ", " (RFC 9110, section 5.3); of a query parameter's the first counts.
type Value struct {
	Exact string
	Regex string // RE2, must match the whole value; instead of Exact
}

// conditions are those of a Match besides host and path.
type conditions struct {
	methods []string // sorted
	headers []condition
	query   []condition
}

// condition is a Value under a name.
type condition struct {
	name  string // of a header in canonical form
	value Value
	regex *regexp.Regexp // nil: value.Exact
}

// compile returns m's conditions, or all that is wrong with them.
func (m *Match) compile() (conditions, []error) {
	var c conditions
	var errs []error
	for _, method := range m.Methods {
		switch upper := strings.ToUpper(method); {
		case !token(method):
			errs = append(errs, fmt.Errorf("method %q is not a token: write one as in GET", method))
		case method != upper && slices.Contains(methods(), upper):
			errs = append(errs, fmt.Errorf("method %q: methods are case-sensitive: write %q", method, upper))
		case !slices.Contains(c.methods, method):
			c.methods = append(c.methods, method)
		}
	}
	slices.Sort(c.methods)
	c.headers, errs = compileValues("header", m.Headers, errs)
	c.query, errs = compileValues("query parameter", m.Query, errs)
	return c, errs
}

// compileValues returns the conditions by name, and errs with what is wrong with
// them.
func compileValues(what string, values map[string]Value, errs []error) ([]condition, []error) {
	var out []condition
	for _, name := range slices.Sorted(maps.Keys(values)) { // so that errors come in one order
		v := values[name]
		c := condition{name: name, value: v}
		if what == "header" {
			c.name = http.CanonicalHeaderKey(name)
			switch {
			case !token(name):
				errs = append(errs, fmt.Errorf("header %q is not a field name", name))
			case c.name == "Host":
				errs = append(errs, errors.New("header Host: write it under hosts"))
			}
		}
		if slices.ContainsFunc(out, func(other condition) bool { return other.name == c.name }) {
			errs = append(errs, fmt.Errorf("%s %q is there twice: the case of its letters makes no difference", what, c.name))
		}
		var err error
		if c.regex, err = v.compile(); err != nil {
			errs = append(errs, fmt.Errorf("%s %q: %w", what, name, err))
		}
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b condition) int { return strings.Compare(a.name, b.name) })
	return out, errs
}

// compile returns the regular expression for a whole value, nil where there is none.
func (v Value) compile() (*regexp.Regexp, error) {
	switch {
	case v.Regex == "":
		return nil, nil
	case v.Exact != "":
		return nil, errors.New("there is a value and a regex: write one of them")
	}
	// By itself first: "a)|(b" is valid inside the group only, and would undo it.
	if _, err := regexp.Compile(v.Regex); err != nil {
		return nil, fmt.Errorf("%q is not a regular expression of RE2: %w", v.Regex, err)
	}
	return regexp.Compile(`\A(?:` + v.Regex + `)\z`)
}

// meets reports whether req fulfils the conditions.
func (c *conditions) meets(req *http.Request) bool {
	if len(c.methods) > 0 && !slices.Contains(c.methods, req.Method) {
		return false
	}
	for i := range c.headers {
		if values, ok := req.Header[c.headers[i].name]; !ok || !c.headers[i].joined(values) {
			return false
		}
	}
	for i := range c.query {
		if value, ok := first(req.URL.RawQuery, c.query[i].name); !ok || !c.query[i].holds(value) {
			return false
		}
	}
	return true
}

// joined reports whether the condition holds for the lines of a header together.
func (c *condition) joined(values []string) bool {
	switch len(values) {
	case 0:
		return false
	case 1:
		return c.holds(values[0])
	}
	return c.holds(strings.Join(values, ", "))
}

func (c *condition) holds(value string) bool {
	if c.regex != nil {
		return c.regex.MatchString(value)
	}
	return c.value.Exact == value
}

// methods are those whose names are surely meant where another case is written.
func methods() []string {
	return []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE"}
}

// token reports whether s is a token (RFC 9110, section 5.6.2).
func token(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= 0x80 || control(c) || strings.IndexByte(" \"(),/:;<=>?@[\\]{}", c) >= 0 {
			return false
		}
	}
	return s != ""
}
