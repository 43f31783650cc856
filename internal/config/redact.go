package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"
)

// redacted stands for what is not shown.
const redacted = "…redacted…"

// sensitive are names of headers and parameters whose values open doors.
var sensitive = regexp.MustCompile(`(?i)auth|cookie|token|secret|passw|passphrase|credential|session|signature|key`)

// entry is one key of an ordered map.
type entry struct {
	key   string
	value any
}

// Map is a map that keeps its order in JSON: the schema's, and the alphabet's for
// keys of the user.
type Map []entry

// MarshalJSON writes the map in its order.
func (m Map) MarshalJSON() ([]byte, error) {
	var out bytes.Buffer
	out.WriteByte('{')
	for i, e := range m {
		if i > 0 {
			out.WriteByte(',')
		}
		key, err := json.Marshal(e.key)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(e.value)
		if err != nil {
			return nil, err
		}
		out.Write(key)
		out.WriteByte(':')
		out.Write(value)
	}
	out.WriteByte('}')
	return out.Bytes(), nil
}

// Redacted returns the effective configuration for showing, in the words of the
// file: what ${…} put in, tokens, passwords in URLs and the values of headers that
// carry such are replaced. Where nothing is secret, its JSON is a configuration
// that loads to the same.
func (c *Config) Redacted() Map {
	s := shower{source: c.source}
	if s.source == nil {
		s.source = newSource("")
	}
	all := s.block(valueOf(c), valueOf(Defaults()))
	if c.Mode == Run {
		all = slices.DeleteFunc(all, func(e entry) bool { return e.key == "server" }) // refused there
	}
	return all
}

// shower turns values back into the words of the file.
type shower struct{ *source }

// shown returns text unless it is secret.
func (s *source) shown(text string) string {
	if s.secrets[text] && text != "" {
		return redacted
	}
	return maskUserinfo(text)
}

// block shows a block, without what is not there: nil, and text that is empty by
// default.
func (s shower) block(v, byDefault reflect.Value) Map {
	m := Map{}
	for _, f := range fieldsOf(v.Type()) {
		if f.key == "" {
			continue
		}
		field, otherwise := v.Field(f.index), byDefault.Field(f.index)
		switch field.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Map:
			if field.IsNil() && f.tags.Get("off") != "" {
				m = append(m, entry{f.key, false})
			}
			if field.IsNil() {
				continue
			}
		case reflect.String:
			if field.String() == "" && otherwise.String() == "" {
				continue
			}
		case reflect.Struct:
			if short, ok := shortOf(fieldsOf(f.typ)); ok && short.key == "" && short.typ.Kind() == reflect.Bool && !field.Field(short.index).Bool() {
				m = append(m, entry{f.key, false}) // whatever else it says
				continue
			}
			if !isScalar(f.typ) {
				m = append(m, entry{f.key, s.block(field, otherwise)})
				continue
			}
		}
		m = append(m, entry{f.key, s.value(field, f.tags)})
	}
	return m
}

func (s shower) value(v reflect.Value, tags reflect.StructTag) any {
	switch x := v.Interface().(type) {
	case time.Duration:
		return x.String()
	case Seconds:
		return time.Duration(x).String()
	case Size:
		return sizeText(x)
	case netip.Prefix:
		return x.String()
	case StatusRange:
		return fmt.Sprintf("%d-%d", x.From, x.To)
	case Match:
		if x.Regex == "" {
			return s.shown(x.Exact)
		}
	}
	switch v.Kind() {
	case reflect.Pointer:
		return s.value(v.Elem(), tags)
	case reflect.Struct:
		return s.block(v, blank(v.Type()))
	case reflect.Map:
		return s.entries(v, tags)
	case reflect.Slice:
		list := make([]any, v.Len())
		for i := range list {
			list[i] = s.value(v.Index(i), tags)
		}
		return list
	case reflect.String:
		if tags.Get("secret") != "" && v.String() != "" {
			return redacted
		}
		return s.shown(v.String())
	default:
		return v.Interface()
	}
}

// entries shows a map of the user's. The values of headers may be secret for what
// their names say.
func (s shower) entries(v reflect.Value, tags reflect.StructTag) Map {
	m := Map{}
	byName := map[string]reflect.Value{}
	for _, key := range v.MapKeys() {
		byName[key.String()] = v.MapIndex(key)
	}
	elem := v.Type().Elem()
	carries := elem == reflect.TypeFor[Match]() || elem.Kind() == reflect.String && tags.Get("is") == "value"
	for _, name := range sorted(byName) {
		if carries && sensitive.MatchString(name) {
			m = append(m, entry{name, redacted})
			continue
		}
		m = append(m, entry{name, s.value(byName[name], tags)})
	}
	return m
}

// sizeText returns the shortest exact form of a size.
func sizeText(n Size) any {
	for _, u := range []struct {
		name  string
		bytes Size
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if n != 0 && n%u.bytes == 0 {
			return fmt.Sprintf("%d%s", n/u.bytes, u.name)
		}
	}
	return int64(n)
}

// String returns the map as indented JSON.
func (m Map) String() string {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(text))
}

// Sensitive reports whether a header or parameter of this name is likely to carry a
// secret.
func Sensitive(name string) bool { return sensitive.MatchString(name) }
