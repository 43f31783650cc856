package tracecontext_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"outrider/internal/tracecontext"
)

// Each MUST about a tracestate, by its section. Where ok is false, all is discarded.
func TestTracestate(t *testing.T) {
	key256, value256 := strings.Repeat("z", 256), strings.Repeat("v", 256)
	printable := ""
	for c := byte(' '); c <= '~'; c++ {
		if c != ',' && c != '=' {
			printable += string(c)
		}
	}
	const keyChars = "abcdefghijklmnopqrstuvwxyz0123456789_-*/@"
	for _, tt := range []struct {
		section string
		in      []string
		want    string
		ok      bool
	}{
		{"3.3 none", nil, "", true},
		{"3.3 one", []string{"foo=1"}, "foo=1", true},
		{"3.3.2 several lines are combined in order", []string{"foo=1,bar=2", "rojo=1,congo=2", "baz=3"}, "foo=1,bar=2,rojo=1,congo=2,baz=3", true},
		{"3.3.2 an empty header is accepted", []string{""}, "", true},
		{"3.3.2 an empty header beside another", []string{"foo=1", ""}, "foo=1", true},
		{"3.3.2 an empty header before another", []string{"", "foo=1"}, "foo=1", true},
		{"3.3.2 a header of white space", []string{" \t "}, "", true},
		{"3.3.2 empty members are accepted", []string{"foo=1,,bar=2,"}, "foo=1,bar=2", true},
		{"3.3.2 members of white space are accepted", []string{"foo=1, \t ,bar=2"}, "foo=1,bar=2", true},
		{"3.3.2 only commas", []string{",,,"}, "", true},
		{"3.3.2 white space around members is ignored", []string{"foo=1 \t , \t bar=2, \t baz=3"}, "foo=1,bar=2,baz=3", true},
		{"3.3.2 white space around members is ignored: tabs", []string{"\tfoo=1\t \t,\t \tbar=2\t"}, "foo=1,bar=2", true},
		{"3.3.2 white space around the only member", []string{" foo=1 "}, "foo=1", true},
		{"3.3.2.1.1 key: all characters", []string{keyChars + "=1"}, keyChars + "=1", true},
		{"3.3.2.1.1 key begins with a letter", []string{"a=1"}, "a=1", true},
		{"3.3.2.1.1 key begins with a digit", []string{"0a=1"}, "0a=1", true},
		{"3.3.2.1.1 key of a tenant", []string{"1a-2f@foo=1"}, "1a-2f@foo=1", true},
		{"3.3.2.1.1 key may end in @", []string{"foo@=1,bar=2"}, "foo@=1,bar=2", true},
		{"3.3.2.1.1 key may have several @", []string{"foo@@bar=1,foo@bar@baz=2"}, "foo@@bar=1,foo@bar@baz=2", true},
		{"3.3.2.1.1 key may not begin with @", []string{"@foo=1,bar=2"}, "", false},
		{"3.3.2.1.1 key may not begin with _", []string{"_foo=1"}, "", false},
		{"3.3.2.1.1 key may not begin with -", []string{"-foo=1"}, "", false},
		{"3.3.2.1.1 key may not begin with *", []string{"*foo=1"}, "", false},
		{"3.3.2.1.1 key may not begin with /", []string{"/foo=1"}, "", false},
		{"3.3.2.1.1 key is lower case", []string{"FOO=1"}, "", false},
		{"3.3.2.1.1 key is lower case, all through", []string{"fOo=1"}, "", false},
		{"3.3.2.1.1 key has no dot", []string{"foo.bar=1"}, "", false},
		{"3.3.2.1.1 key has no space at its end", []string{"foo =1"}, "", false},
		{"3.3.2.1.1 key has no space within", []string{"f oo=1"}, "", false},
		{"3.3.2.1.1 key is not empty", []string{"=1"}, "", false},
		{"3.3.2.1.1 key is ASCII", []string{"fo\u00f6=1"}, "", false},
		{"3.3.2.1.1 key of 256", []string{"foo=1", key256 + "=1"}, "foo=1," + key256 + "=1", true},
		{"3.3.2.1.1 key of 257", []string{"foo=1", "z" + key256 + "=1"}, "", false},
		{"3.3.2.1.1 key of 256 with a tenant of any length", []string{strings.Repeat("t", 254) + "@v=1"}, strings.Repeat("t", 254) + "@v=1", true},
		{"3.3.2.1.2 value: all characters", []string{"foo=" + printable}, "foo=" + printable, true},
		{"3.3.2.1.2 leading spaces of a value are kept", []string{"foo=  1,bar=2"}, "foo=  1,bar=2", true},
		{"3.3.2.1.2 spaces within a value are kept", []string{"foo=1  2,bar=2"}, "foo=1  2,bar=2", true},
		{"3.3.2.1.2 trailing spaces are none of the value", []string{"foo=1  ,bar=2"}, "foo=1,bar=2", true},
		{"3.3.2.1.2 value of spaces alone", []string{"foo=  "}, "", false},
		{"3.3.2.1.2 value is not empty", []string{"foo=,bar=3"}, "", false},
		{"3.3.2.1.2 value is not missing", []string{"foo,bar=3"}, "", false},
		{"3.3.2.1.2 value has no equals sign", []string{"foo=bar=baz"}, "", false},
		{"3.3.2.1.2 value has no tab", []string{"foo=a\tb"}, "", false},
		{"3.3.2.1.2 value has no control character", []string{"foo=a\x7f"}, "", false},
		{"3.3.2.1.2 value is ASCII", []string{"foo=\u00e4"}, "", false},
		{"3.3.2.1.2 value of 256", []string{"foo=" + value256}, "foo=" + value256, true},
		{"3.3.2.1.2 value of 257", []string{"foo=" + value256 + "v"}, "", false},
		{"3.3.2 32 members", []string{members(1, 20), members(21, 32)}, members(1, 32), true},
		{"3.3.2 32 members and empty ones", []string{"," + members(1, 32) + ",,"}, members(1, 32), true},
		{"3.3.2 33 members", []string{members(1, 20), members(21, 33)}, "", false},
		{"3.3.2 33 lines", strings.Split(members(1, 33), ","), "", false},
		{"3.5 a key is there once: the latest stays", []string{"foo=1,foo=2"}, "foo=1", true},
		{"3.5 a key is there once: over several lines", []string{"foo=1,bar=1", "foo=2,baz=1"}, "foo=1,bar=1,baz=1", true},
		{"3.5 a key is there once: twice the same", []string{"foo=1", "foo=1"}, "foo=1", true},
		{"3.5 a key that begins as another is another", []string{"foo=1,fo=2,fooo=3"}, "foo=1,fo=2,fooo=3", true},
		{"3.5 an invalid duplicate is invalid", []string{"foo=1,foo="}, "", false},
		{"3.5 duplicates do not count among the 32", []string{members(1, 32), "k01=x"}, members(1, 32), true},
	} {
		t.Run(tt.section, func(t *testing.T) {
			before := slices.Clone(tt.in)
			got, ok := tracecontext.ParseTracestate(tt.in)
			if got != tt.want || ok != tt.ok {
				t.Errorf("got %q, %v; want %q, %v", got, ok, tt.want, tt.ok)
			}
			if !slices.Equal(before, tt.in) {
				t.Errorf("the lines were changed: %q", tt.in)
			}
		})
	}
}

// members returns k01=01 and so on.
func members(from, to int) string {
	var all []string
	for i := from; i <= to; i++ {
		all = append(all, fmt.Sprintf("k%02d=%02d", i, i))
	}
	return strings.Join(all, ",")
}

// Section 3.3.3.1: 512 characters and many more are passed on; beyond our bound, whole
// members go, the long ones first, from the end.
func TestTracestateLimits(t *testing.T) {
	long := func(i int) string {
		return fmt.Sprintf("l%02d%s=%s", i, strings.Repeat("k", 253), strings.Repeat("v", 256))
	}
	var in []string
	for i := range 16 {
		in = append(in, long(i), fmt.Sprintf("s%02d=%s", i, strings.Repeat("v", 124))) // 128 in all
	}
	got, ok := tracecontext.ParseTracestate(in)
	if !ok || len(got) > 8<<10 || len(got) < 7<<10 {
		t.Fatalf("%v, %d bytes are left of %d", ok, len(got), len(strings.Join(in, ",")))
	}
	left := strings.Split(got, ",")
	var want []string
	for _, m := range in {
		if m[0] == 's' || slices.Contains(left, m) {
			want = append(want, m)
		}
	}
	if !slices.Equal(left, want) {
		t.Errorf("short members went, or the order is another:\n%q", left)
	}
	if !slices.Contains(left, long(0)) || slices.Contains(left, long(15)) {
		t.Error("it is not the last of the long members that went")
	}
	for i := range 16 { // exactly so many long ones as there is room for
		if fits := 16*129+(i+1)*514-1 <= 8<<10; fits != slices.Contains(left, long(i)) {
			t.Errorf("long member %d: there is room: %v", i, fits)
		}
	}
	if whole, ok := tracecontext.ParseTracestate([]string{long(0) + "," + long(1)}); !ok || whole != long(0)+","+long(1) {
		t.Error("what is within the bound was cut")
	}
}
