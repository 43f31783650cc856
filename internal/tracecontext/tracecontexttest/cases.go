// Package tracecontexttest lists what W3C Trace Context level 2 asks of whoever takes
// part in a trace, as cases that tests put to a parser and to whole proxies. It holds
// no code but that, and is for tests alone.
//
//	for _, c := range tracecontexttest.Traceparents() {
//		t.Run(c.Section, func(t *testing.T) { … })
//	}
package tracecontexttest

import (
	"fmt"
	"strings"
)

// The IDs that the cases are about.
const (
	Trace = "0af7651916cd43dd8448eb211c80319c"
	Span  = "b7ad6b7169203331"
)

// Traceparent is one value of a traceparent that comes in.
type Traceparent struct {
	Section string // of the specification, and what it asks for
	In      string
	Want    string // with which the same place would be passed on; empty: the trace starts anew
}

// Traceparents returns each MUST about a traceparent.
func Traceparents() []Traceparent {
	const good = "00-" + Trace + "-" + Span + "-01"
	return []Traceparent{
		{"3.2.2 value", good, good},
		{"3.2.2 empty", "", ""},
		{"3.2.2.1 version is two characters: one", "0-" + Trace + "-" + Span + "-01", ""},
		{"3.2.2.1 version is two characters: three", "000-" + Trace + "-" + Span + "-01", ""},
		{"3.2.2.1 version is hex: first", ".0-" + Trace + "-" + Span + "-01", ""},
		{"3.2.2.1 version is hex: second", "0.-" + Trace + "-" + Span + "-01", ""},
		{"3.2.2.1 version is lower case", "CC-" + Trace + "-" + Span + "-01", ""},
		{"3.2.2.1 version ff is forbidden", "ff-" + Trace + "-" + Span + "-01", ""},
		{"3.2.2.1 version ff is forbidden, whatever follows", "ff-" + Trace + "-" + Span + "-01-x", ""},
		{"3.2.2.2 version 00 has nothing behind: a dash", good + "-", ""},
		{"3.2.2.2 version 00 has nothing behind: a field", good + "-what", ""},
		{"3.2.2.2 version 00 has nothing behind: a character", good + ".", ""},
		{"3.2.2.2 version 00 has all fields", "00-" + Trace + "-" + Span, ""},
		{"3.2.2.2 delimiter", "00_" + Trace + "-" + Span + "-01", ""},
		{"3.2.2.2 delimiter", "00-" + Trace + "_" + Span + "-01", ""},
		{"3.2.2.2 delimiter", "00-" + Trace + "-" + Span + "_01", ""},
		{"3.2.2.3 trace-id of zeroes", "00-" + strings.Repeat("0", 32) + "-" + Span + "-01", ""},
		{"3.2.2.3 trace-id is lower case", "00-" + strings.ToUpper(Trace) + "-" + Span + "-01", ""},
		{"3.2.2.3 trace-id is hex", "00-" + Trace[:31] + "g-" + Span + "-01", ""},
		{"3.2.2.3 trace-id is hex", "00-." + Trace[1:] + "-" + Span + "-01", ""},
		{"3.2.2.3 trace-id is 32 characters: 31", "00-" + Trace[1:] + "-" + Span + "-01", ""},
		{"3.2.2.3 trace-id is 32 characters: 33", "00-1" + Trace + "-" + Span + "-01", ""},
		{"3.2.2.3 trace-id of one digit is one", "00-" + strings.Repeat("0", 31) + "1-" + Span + "-01", "00-" + strings.Repeat("0", 31) + "1-" + Span + "-01"},
		{"3.2.2.4 parent-id of zeroes", "00-" + Trace + "-" + strings.Repeat("0", 16) + "-01", ""},
		{"3.2.2.4 parent-id is lower case", "00-" + Trace + "-" + strings.ToUpper(Span) + "-01", ""},
		{"3.2.2.4 parent-id is hex", "00-" + Trace + "-" + Span[:15] + ".-01", ""},
		{"3.2.2.4 parent-id is 16 characters: 15", "00-" + Trace + "-" + Span[1:] + "-01", ""},
		{"3.2.2.4 parent-id is 16 characters: 17", "00-" + Trace + "-1" + Span + "-01", ""},
		{"3.2.2.5 trace-flags is hex", "00-" + Trace + "-" + Span + "-.0", ""},
		{"3.2.2.5 trace-flags is hex", "00-" + Trace + "-" + Span + "-0.", ""},
		{"3.2.2.5 trace-flags is lower case", "00-" + Trace + "-" + Span + "-0A", ""},
		{"3.2.2.5 trace-flags is two characters: one", "00-" + Trace + "-" + Span + "-1", ""},
		{"3.2.2.5 trace-flags is two characters: three", "00-" + Trace + "-" + Span + "-001", ""},
		{"3.2.2.5.1 not sampled", "00-" + Trace + "-" + Span + "-00", "00-" + Trace + "-" + Span + "-00"},
		{"3.2.2.5.2 random stays set", "00-" + Trace + "-" + Span + "-03", "00-" + Trace + "-" + Span + "-03"},
		{"3.2.2.5.2 random stays set, not sampled", "00-" + Trace + "-" + Span + "-02", "00-" + Trace + "-" + Span + "-02"},
		{"3.2.2.5.2 random stays unset", good, good},
		{"3.2.2.5.3 other flags are set to zero", "00-" + Trace + "-" + Span + "-ff", "00-" + Trace + "-" + Span + "-03"},
		{"3.2.2.5.3 other flags are no sampled", "00-" + Trace + "-" + Span + "-fc", "00-" + Trace + "-" + Span + "-00"},
		{"3.2.4 a higher version is passed on as 00", "cc-" + Trace + "-" + Span + "-01", good},
		{"3.2.4 a higher version may have more fields", "01-" + Trace + "-" + Span + "-01-what-the-future-brings", good},
		{"3.2.4 a higher version may end in a dash", "01-" + Trace + "-" + Span + "-01-", good},
		{"3.2.4 a higher version of any length", "fe-" + Trace + "-" + Span + "-01-" + strings.Repeat("x", 4000), good},
		{"3.2.4 what follows begins with a dash", "cc-" + Trace + "-" + Span + "-01.what", ""},
		{"3.2.4 what follows begins with a dash", "cc-" + Trace + "-" + Span + "-011", ""},
		{"3.2.4 shorter than 55", "cc-" + Trace + "-" + Span + "-0", ""},
		{"3.2.4 the trace-id of a higher version is hex", "cc-" + Trace[:31] + "x-" + Span + "-01", ""},
		{"3.2.4 the trace-id of a higher version is not zero", "cc-" + strings.Repeat("0", 32) + "-" + Span + "-01", ""},
		{"3.2.4 the parent-id of a higher version is hex", "cc-" + Trace + "-" + Span[:15] + "x-01", ""},
		{"3.2.4 the parent-id of a higher version is not zero", "cc-" + Trace + "-" + strings.Repeat("0", 16) + "-01", ""},
		{"RFC 9110, 5.5: white space around a value is none of it", " \t" + good + "\t ", good},
		{"3.2.2 white space within", "00 -" + Trace + "-" + Span + "-01", ""},
		{"3.2.2 two in one line", good + "," + good, ""},
		{"3.2.4 two in one line of a higher version", "cc" + good[2:] + ",cc" + good[2:], ""},
	}
}

// Tracestate is the lines of a tracestate that come in.
type Tracestate struct {
	Section string
	In      []string
	Want    string // the line that goes out
	OK      bool   // false: all of it is discarded
}

// Tracestates returns each MUST about a tracestate.
func Tracestates() []Tracestate {
	key256, value256 := strings.Repeat("z", 256), strings.Repeat("v", 256)
	printable := ""
	for c := byte(' '); c <= '~'; c++ {
		if c != ',' && c != '=' {
			printable += string(c)
		}
	}
	const keyChars = "abcdefghijklmnopqrstuvwxyz0123456789_-*/@"
	return []Tracestate{
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
