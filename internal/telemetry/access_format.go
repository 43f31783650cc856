package telemetry

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// The formats of web servers, as templates. Of the combined one, the referrer is
// never known: it may hold what is secret.
const (
	commonFormat   = `{*host} - {source} [{*time}] "{method} {path} {proto}" {*status} {*bytes}`
	combinedFormat = commonFormat + ` "-" "{user_agent}"`
)

// maxTemplate bounds a template, in bytes.
const maxTemplate = 4096

// LineFormat is how an access log line reads.
type LineFormat struct {
	json  bool
	all   []field // of JSON
	parts []part  // of a template
}

// part is literal text, and then a value.
type part struct {
	literal string
	value   *field // nil: none
	quoted  bool   // the value stands between double quotes
}

// UnknownFieldError says that a template names a field that there is not.
type UnknownFieldError struct{ Name string }

func (e *UnknownFieldError) Error() string { return fmt.Sprintf("there is no field {%s}", e.Name) }

// LineFields returns the names that a template may use, in the order of JSON.
func LineFields() []string {
	var names []string
	for _, f := range fields() {
		names = append(names, f.key)
	}
	return names
}

// ParseLineFormat returns the format of that name, json, common (NCSA's) or combined,
// or that of a template.
//
// In a template {path} is the field of that name in JSON, or - where it is empty. {{ and
// }} are braces. What cannot be printed is escaped as in JSON, and so are double quotes
// and backslashes; outside double quotes spaces, too, so that a value is always one word
// there. Its error is an [UnknownFieldError], or says what is wrong with the template.
func ParseLineFormat(format string) (*LineFormat, error) {
	known := fields()
	switch format {
	case "json":
		return jsonFormat(), nil
	case "common":
		return parseTemplate(commonFormat, append(known, commonFields()...))
	case "combined":
		return parseTemplate(combinedFormat, append(known, commonFields()...))
	}
	switch {
	case len(format) > maxTemplate:
		return nil, fmt.Errorf("a template has at most %d bytes", maxTemplate)
	case !strings.Contains(format, "{"):
		return nil, errors.New(`want json, common, combined, or a template such as '{time} "{method} {path}" {status}'`)
	case strings.ContainsFunc(format, func(r rune) bool { return r != '\t' && !printable(r) }):
		return nil, errors.New("a template is one line of printable text")
	}
	return parseTemplate(format, known)
}

func jsonFormat() *LineFormat {
	f := &LineFormat{json: true, all: fields()}
	for i := range f.all {
		v := &f.all[i]
		v.lead = `,"` + v.key + `":`
		if !v.plain {
			v.lead += `"`
		}
	}
	f.all[0].lead = "{" + f.all[0].lead[1:] // the time is always there
	return f
}

func parseTemplate(format string, known []field) (*LineFormat, error) {
	f := &LineFormat{}
	var literal strings.Builder
	quoted := false
	for rest := format; rest != ""; {
		at := strings.IndexAny(rest, "{}")
		if at < 0 {
			at = len(rest)
		}
		literal.WriteString(rest[:at])
		quoted = quoted != (strings.Count(rest[:at], `"`)%2 == 1)
		rest = rest[at:]
		if strings.HasPrefix(rest, "{{") || strings.HasPrefix(rest, "}}") {
			literal.WriteByte(rest[0])
			rest = rest[2:]
			continue
		}
		if rest == "" {
			break
		}
		name, after, closed := strings.Cut(rest[1:], "}")
		if rest[0] == '}' || !closed {
			return nil, fmt.Errorf("the %q is alone: fields are {field}, a brace itself is {{ or }}", rest[:1])
		}
		i := slices.IndexFunc(known, func(k field) bool { return k.key == name })
		if i < 0 {
			return nil, &UnknownFieldError{name}
		}
		f.parts = append(f.parts, part{literal: literal.String(), value: &known[i], quoted: quoted})
		literal.Reset()
		rest = after
	}
	if len(f.parts) == 0 {
		return nil, errors.New("the template has no field")
	}
	f.parts = append(f.parts, part{literal: literal.String()})
	return f, nil
}

// write appends the line, without its end.
func (f *LineFormat) write(b []byte, n *line) []byte {
	if f.json {
		return f.writeJSON(b, n)
	}
	for _, p := range f.parts {
		b = append(b, p.literal...)
		if p.value == nil {
			continue
		}
		start := len(b)
		if b = p.value.append(b, n); len(b) == start {
			b = append(b, '-')
			continue
		}
		switch {
		case p.value.word:
		case !p.value.plain || p.quoted:
			b = n.escape(b, start, !p.quoted)
		case p.value.maybe: // a list: JSON, in which a space may be written so
			b = spaceless(b, start)
		}
	}
	return b
}

func (f *LineFormat) writeJSON(b []byte, n *line) []byte {
	for i := range f.all {
		v := &f.all[i]
		before := len(b)
		b = append(b, v.lead...)
		start := len(b)
		b = v.append(b, n)
		switch {
		case v.maybe && len(b) == start:
			b = b[:before]
		case v.word:
			b = append(b, '"')
		case !v.plain:
			b = append(n.escape(b, start, false), '"')
		}
	}
	return append(b, '}')
}
