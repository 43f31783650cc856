package tracecontext_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

func TestBaggage(t *testing.T) {
	many := func(n int) string {
		var all []string
		for i := range n {
			all = append(all, fmt.Sprintf("k%d=%d", i, i))
		}
		return strings.Join(all, ",")
	}
	for _, tt := range []struct {
		name     string
		in, want []string
	}{
		{"none", nil, nil},
		{"passes as it came", []string{"a=1;p=q , b = 2", ",,"}, []string{"a=1;p=q , b = 2", ",,"}},
		{"64 members", []string{many(64)}, []string{many(64)}},
		{"65 members", []string{many(65)}, []string{many(64)}},
		{"65 members on two lines", []string{many(64), "x=1"}, []string{many(64)}},
		{"8 KiB", []string{"a=" + strings.Repeat("v", 8190)}, []string{"a=" + strings.Repeat("v", 8190)}},
		{"8 KiB and a member", []string{"a=" + strings.Repeat("v", 8190), "b=2"}, []string{"a=" + strings.Repeat("v", 8190)}},
		{"8 KiB and a comma", []string{"a=" + strings.Repeat("v", 8190) + ","}, []string{"a=" + strings.Repeat("v", 8190)}},
		{"one member that is too large", []string{"a=" + strings.Repeat("v", 8191)}, nil},
		{"a member at the end that is too large", []string{"a=1,b=2,c=" + strings.Repeat("v", 8192)}, []string{"a=1,b=2"}},
	} {
		h := http.Header{}
		if tt.in != nil {
			h["Baggage"] = slices.Clone(tt.in)
		}
		parse(t, "tracecontext").Bound(h)
		if !slices.Equal(h["Baggage"], tt.in) {
			t.Errorf("%s: changed though it is not listed", tt.name)
		}
		parse(t, "tracecontext", "baggage").Bound(h)
		if !slices.Equal(h["Baggage"], tt.want) {
			t.Errorf("%s: got %.80q, want %.80q", tt.name, h["Baggage"], tt.want)
		}
	}
}
