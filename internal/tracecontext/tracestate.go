package tracecontext

import (
	"slices"
	"strings"
)

const (
	maxMembers = 32  // of a tracestate
	maxKey     = 256 // characters
	maxValue   = 256
	longMember = 128     // above it a member goes first when the whole is too long
	maxState   = 8 << 10 // bytes of tracestate that are passed on; the specification asks for 512
)

// ParseTracestate reads the lines of a tracestate as they came, and returns them as
// the one line to pass on; empty where nothing is left. False means that it is not
// valid, and all of it is to be discarded.
func ParseTracestate(lines []string) (string, bool) {
	if len(lines) == 1 && tidy(lines[0]) {
		return lines[0], true
	}
	var kept [maxMembers]string
	all, size := kept[:0], 0
	for _, line := range lines {
		for member := range strings.SplitSeq(line, ",") {
			member = trim(member)
			if member == "" {
				continue
			}
			key, ok := keyOf(member)
			switch {
			case !ok:
				return "", false
			case slices.ContainsFunc(all, func(m string) bool { return hasKey(m, key) }):
				continue // what stands further left is newer
			case len(all) == maxMembers:
				return "", false
			}
			all = append(all, member)
			size += len(member) + 1
		}
	}
	return strings.Join(truncate(all, size-1), ","), true
}

// tidy reports whether line is one valid member, which most are: then it is passed on
// as it is, and nothing is allocated.
func tidy(line string) bool {
	_, ok := keyOf(line)
	return ok && line == trim(line)
}

// keyOf returns the key of a member without white space around it; false where the
// member is not valid.
func keyOf(member string) (string, bool) {
	key, value, ok := strings.Cut(member, "=")
	return key, ok && validKey(key) && validValue(value)
}

func hasKey(member, key string) bool {
	return len(member) > len(key) && member[len(key)] == '=' && member[:len(key)] == key
}

// validKey follows section 3.3.2.2.1. Since level 2 an "@" is a character as others
// are.
func validKey(key string) bool {
	if key == "" || len(key) > maxKey || !alphanumeric(key[0]) {
		return false
	}
	for i := 1; i < len(key); i++ {
		if c := key[i]; !alphanumeric(c) && c != '_' && c != '-' && c != '*' && c != '/' && c != '@' {
			return false
		}
	}
	return true
}

func alphanumeric(c byte) bool { return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' }

// validValue follows section 3.3.2.2.2. That the last character is no space the
// trimming of the member has seen to.
func validValue(value string) bool {
	if value == "" || len(value) > maxValue {
		return false
	}
	for i := range len(value) {
		if c := value[i]; c < ' ' || c > '~' || c == ',' || c == '=' {
			return false
		}
	}
	return true
}

// truncate removes whole members until no more than maxState bytes are left, in the
// order that section 3.3.3.1 asks for.
func truncate(all []string, size int) []string {
	for i := len(all) - 1; i >= 0 && size > maxState; i-- {
		if len(all[i]) > longMember {
			size -= len(all[i]) + 1
			all = slices.Delete(all, i, i+1)
		}
	}
	for len(all) > 0 && size > maxState {
		size -= len(all[len(all)-1]) + 1
		all = all[:len(all)-1]
	}
	return all
}
