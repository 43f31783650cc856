package config

import (
	"net/netip"
	"reflect"
)

// field is one key of a block.
type field struct {
	key   string // empty for a field that only a short form sets
	index int
	typ   reflect.Type
	tags  reflect.StructTag
}

// fieldsOf returns the keys of the block type t, in the schema's order.
func fieldsOf(t reflect.Type) []field {
	fields := make([]field, 0, t.NumField())
	for i := range t.NumField() {
		f := t.Field(i)
		key, short := f.Tag.Get("key"), f.Tag.Get("short")
		if key != "" || short != "" {
			fields = append(fields, field{key, i, f.Type, f.Tag})
		}
	}
	return fields
}

func fieldOf(fields []field, key string) (field, bool) {
	for _, f := range fields {
		if f.key == key && key != "" {
			return f, true
		}
	}
	return field{}, false
}

// shortOf returns the field that a plain value in place of the block sets.
func shortOf(fields []field) (field, bool) {
	for _, f := range fields {
		if f.tags.Get("short") != "" {
			return f, true
		}
	}
	return field{}, false
}

// isScalar reports whether a value of type t is one word in the file.
func isScalar(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.String, reflect.Int, reflect.Int64, reflect.Bool, reflect.Float64:
		return true
	default:
		return t == reflect.TypeFor[netip.Prefix]() || t == reflect.TypeFor[StatusRange]()
	}
}

// setLine notes where a block begins, where its type wants to know.
func setLine(v reflect.Value, line int) {
	if v.Kind() != reflect.Struct {
		return
	}
	if f := v.FieldByName("Line"); f.IsValid() {
		f.SetInt(int64(line))
	}
}

// nameOf returns the field that takes an entry's key, where its type has one.
func nameOf(v reflect.Value) reflect.Value {
	if v.Type() != reflect.TypeFor[Service]() {
		return reflect.Value{}
	}
	return v.FieldByName("Name")
}

func valueOf(c *Config) reflect.Value { return reflect.ValueOf(c).Elem() }
