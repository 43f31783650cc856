package config

import (
	"fmt"
	"math"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// scalar reads one word of the file into v.
func (l *loader) scalar(p place, tags reflect.StructTag, v reflect.Value) {
	if p.node.Kind != yaml.ScalarNode || p.node.ShortTag() == "!!null" {
		l.unfit(p, tags, v.Type())
		return
	}
	text, err := l.expand(p.node.Value)
	if err != nil {
		l.unread(p, "%v", err)
		return
	}
	if err := l.attach(tags, text); err != nil {
		l.unread(p, "%v", err)
	}
	if want := set(v, tags, text); want != "" {
		l.unread(p, "want %s, found %s", want, found(p.node))
	}
}

// attach notes that a file belongs to the configuration, and tries to read it. A
// live file is read again at each use, so that no reload has to.
func (l *loader) attach(tags reflect.StructTag, name string) error {
	form := tags.Get("is")
	if name == "" || form != "file" && form != "live-file" {
		return nil
	}
	if form == "file" {
		l.files = append(l.files, name)
	}
	if _, err := l.read(name); err != nil {
		return fmt.Errorf("%s cannot be read: %w", name, err)
	}
	return nil
}

// set parses text into v, within the bounds and the form that its tags name. It
// returns what is wanted instead; empty when all is well.
func set(v reflect.Value, tags reflect.StructTag, text string) string {
	parsed := reflect.New(v.Type()).Elem()
	if !parse(parsed, text) || !within(parsed, tags) {
		return wants(v.Type(), tags)
	}
	if v.Kind() == reflect.String {
		if want := conform(tags.Get("is"), text); want != "" {
			return want
		}
	}
	if one := tags.Get("one"); one != "" && !oneOf(one, text) {
		return wants(v.Type(), tags)
	}
	v.Set(parsed)
	return ""
}

func oneOf(list, text string) bool {
	for word := range strings.SplitSeq(list, "|") {
		if word == text {
			return true
		}
	}
	return false
}

// parse reads text as the type of v says.
func parse(v reflect.Value, text string) bool {
	switch v.Interface().(type) {
	case time.Duration:
		return parseDuration(v, text, time.Millisecond)
	case Seconds:
		return parseDuration(v, text, time.Second)
	case Size:
		return parseSize(v, text)
	case netip.Prefix:
		return parsePrefix(v, text)
	case StatusRange:
		return parseRange(v, text)
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
		return true
	case reflect.Bool:
		v.SetBool(text == "true")
		return text == "true" || text == "false"
	case reflect.Float64:
		f, err := strconv.ParseFloat(text, 64)
		v.SetFloat(f)
		return err == nil && !math.IsNaN(f) && !math.IsInf(f, 0)
	default:
		n, ok := whole(text)
		v.SetInt(n)
		return ok
	}
}

// whole parses a decimal number. Leading zeros are refused: some read them as
// octal.
func whole(text string) (int64, bool) {
	n, err := strconv.ParseInt(text, 10, 64)
	return n, err == nil && strconv.FormatInt(n, 10) == text
}

func parseDuration(v reflect.Value, text string, unit time.Duration) bool {
	if n, ok := whole(text); ok {
		v.SetInt(n * int64(unit))
		return n >= 0 && n <= math.MaxInt64/int64(unit)
	}
	d, err := time.ParseDuration(text)
	v.SetInt(int64(d))
	return err == nil && d >= 0
}

func parseSize(v reflect.Value, text string) bool {
	unit := int64(1)
	for _, u := range []struct {
		name  string
		bytes int64
	}{
		{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"B", 1},
	} {
		if number, ok := strings.CutSuffix(text, u.name); ok {
			text, unit = strings.TrimSpace(number), u.bytes
			break
		}
	}
	n, ok := whole(text)
	v.SetInt(n * unit)
	return ok && n >= 0 && n <= math.MaxInt64/unit
}

// parsePrefix takes a bare address as a network of one.
func parsePrefix(v reflect.Value, text string) bool {
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		addr, err := netip.ParseAddr(text)
		if err != nil || addr.Zone() != "" {
			return false
		}
		prefix = netip.PrefixFrom(addr, addr.BitLen())
	}
	v.Set(reflect.ValueOf(prefix.Masked()))
	return true
}

func parseRange(v reflect.Value, text string) bool {
	first, last, ranged := strings.Cut(text, "-")
	if !ranged {
		last = first
	}
	from, okFrom := whole(strings.TrimSpace(first))
	to, okTo := whole(strings.TrimSpace(last))
	v.Set(reflect.ValueOf(StatusRange{From: int(from), To: int(to)}))
	return okFrom && okTo && from >= 100 && from <= to && to <= 599
}

// within reports whether v keeps to the bounds of its tags.
func within(v reflect.Value, tags reflect.StructTag) bool {
	for _, tag := range []string{"min", "max"} {
		text, bounded := tags.Lookup(tag)
		if !bounded {
			continue
		}
		bound := reflect.New(v.Type()).Elem()
		if !parse(bound, text) {
			panic(fmt.Sprintf("config: the schema's %s:%q is no %s", tag, text, v.Type()))
		}
		low, high := bound, v
		if tag == "max" {
			low, high = v, bound
		}
		if v.Kind() == reflect.Float64 && low.Float() > high.Float() || v.CanInt() && low.Int() > high.Int() {
			return false
		}
	}
	return true
}
