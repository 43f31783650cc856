package tracecontext_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"outrider/internal/tracecontext"
	"outrider/internal/tracecontext/tracecontexttest"
)

// Each MUST about a tracestate, by its section. Where ok is false, all is discarded.
func TestTracestate(t *testing.T) {
	for _, tt := range tracecontexttest.Tracestates() {
		t.Run(tt.Section, func(t *testing.T) {
			before := slices.Clone(tt.In)
			got, ok := tracecontext.ParseTracestate(tt.In)
			if got != tt.Want || ok != tt.OK {
				t.Errorf("got %q, %v; want %q, %v", got, ok, tt.Want, tt.OK)
			}
			if !slices.Equal(before, tt.In) {
				t.Errorf("the lines were changed: %q", tt.In)
			}
		})
	}
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
