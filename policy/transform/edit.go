package transform

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"golang.org/x/net/http/httpguts"

	"outrider/internal/mesh"
)

// Edit changes header fields, in the words of the Gateway API's HTTPHeaderFilter:
// Remove acts first, then Set, then Add. Names are case-insensitive.
type Edit struct {
	Set    map[string]string // replaces all values of the field
	Add    map[string]string // appends a value to the field
	Remove []string          // removes the field
}

// edits is an Edit that has been checked, its names in canonical form.
type edits struct {
	remove   []string
	set, add []field
}

type field struct{ name, value string }

func (e *edits) empty() bool { return len(e.remove)+len(e.set)+len(e.add) == 0 }

// apply edits h in place. What it adds is of call, which may be nil.
func (e *edits) apply(call *mesh.Call, h http.Header) {
	for _, name := range e.remove {
		delete(h, name)
	}
	for _, f := range e.set {
		call.Set(h, f.name, f.value)
	}
	for _, f := range e.add {
		call.Add(h, f.name, f.value)
	}
}

// compile checks e, which stands under the name message in the configuration.
func compile(message string, e Edit) (edits, error) {
	var out edits
	var remove, set, add error
	out.remove, remove = compileNames(message, e.Remove)
	out.set, set = compileFields(message, "set", e.Set)
	out.add, add = compileFields(message, "add", e.Add)
	return out, errors.Join(remove, set, add)
}

func compileNames(message string, names []string) ([]string, error) {
	var out []string
	var faults []error
	for _, name := range names {
		if err := editable(message, name); err != nil {
			faults = append(faults, fmt.Errorf("%s.remove: %w", message, err))
			continue
		}
		out = append(out, http.CanonicalHeaderKey(name))
	}
	return out, errors.Join(faults...)
}

func compileFields(message, verb string, fields map[string]string) ([]field, error) {
	var out []field
	var faults []error
	seen := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(fields)) { // sorted: the same faults every time
		canonical := http.CanonicalHeaderKey(name)
		err := editable(message, name)
		switch {
		case err != nil:
		case seen[canonical] != "":
			err = fmt.Errorf("header %q is the same as %q", name, seen[canonical])
		case !httpguts.ValidHeaderFieldValue(fields[name]):
			err = fmt.Errorf("header %q: its value has a character that no header may have", name)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("%s.%s: %w", message, verb, err))
			continue
		}
		seen[canonical] = name
		out = append(out, field{canonical, fields[name]})
	}
	return out, errors.Join(faults...)
}

// editable says why the field name of a request or response cannot be edited; nil
// when it can.
func editable(message, name string) error {
	if !httpguts.ValidHeaderFieldName(name) {
		return fmt.Errorf("%q is not a header name", name)
	}
	switch http.CanonicalHeaderKey(name) {
	case "Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization",
		"Te", "Trailer", "Transfer-Encoding", "Upgrade":
		return fmt.Errorf("header %q belongs to one connection and cannot be edited", name)
	case "Content-Length":
		return fmt.Errorf("header %q follows from the body and cannot be edited", name)
	case "Host":
		if message == "request" {
			return fmt.Errorf("header %q cannot be edited; the route's rewrite.host changes it", name)
		}
	}
	return nil
}
