package config

import (
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"time"
)

// wants says what would be right for a value of type t with the given tags.
func wants(t reflect.Type, tags reflect.StructTag) string {
	if t.Kind() == reflect.Slice && t != reflect.TypeFor[[]StatusRange]() {
		return "a list"
	}
	if one := tags.Get("one"); one != "" && t.Kind() != reflect.Map {
		return "one of " + strings.ReplaceAll(one, "|", ", ")
	}
	switch reflect.Zero(t).Interface().(type) {
	case time.Duration:
		return "a duration" + bounds(tags) + " such as 30s or 5000 (milliseconds)"
	case Seconds:
		return "a duration" + bounds(tags) + " such as 5m or 300 (seconds)"
	case Size:
		return "a size" + bounds(tags) + " such as 64KiB or 65536 (bytes)"
	case netip.Prefix:
		return "an address or a network such as 10.0.0.0/8"
	case StatusRange, []StatusRange:
		return "a status or a range such as 200-299"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Float64:
		return "a number" + bounds(tags)
	case reflect.Int:
		return "a whole number" + bounds(tags)
	case reflect.Struct:
		return wantsBlock(t, tags)
	case reflect.Map:
		return "a map"
	default:
		return "text"
	}
}

func wantsBlock(t reflect.Type, tags reflect.StructTag) string {
	want := "a map"
	if f, ok := shortOf(fieldsOf(t)); ok {
		want = wants(f.typ, f.tags) + ", or a map"
	}
	if off := tags.Get("off"); off != "" {
		want += fmt.Sprintf(", or %s for none", off)
	}
	return want
}

// bounds says what the tags min and max say. There is no max without a min.
func bounds(tags reflect.StructTag) string {
	low, high := tags.Get("min"), tags.Get("max")
	switch {
	case low != "" && high != "":
		return " from " + low + " to " + high
	case low != "":
		return " of at least " + low
	default:
		return ""
	}
}
