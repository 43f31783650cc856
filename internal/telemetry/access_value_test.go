package telemetry_test

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"outrider/internal/telemetry"
)

func TestMillisecondsReadAsFloats(t *testing.T) {
	all := []time.Duration{0, 1, 999, 1000, 10_000, 100_000, 999_000, 1_000_000, 1_001_000, 1_010_000, 12_345_678, -1_500_000, time.Hour, 1<<62 + 1}
	for range 1000 {
		all = append(all, time.Duration(rand.Int64N(int64(time.Hour))))
	}
	for _, d := range all {
		want := strconv.FormatFloat(float64(d.Microseconds())/1000, 'f', -1, 64)
		if got := telemetry.Milliseconds(d); got != want {
			t.Errorf("%d ns: %s, want %s", d, got, want)
		}
	}
}

// One clock writes all times as RFC 3339 has them, whichever it wrote before.
func TestClock(t *testing.T) {
	write := telemetry.Clock()
	zones := []*time.Location{time.UTC, time.FixedZone("", 5400), time.FixedZone("", -12600)}
	start := time.Date(2026, 12, 31, 23, 59, 58, 0, time.UTC)
	for i := range 3000 {
		at := start.Add(time.Duration(i) * 987_654 * time.Nanosecond).In(zones[i/7%3])
		if i%5 == 0 {
			at = at.Truncate(time.Duration(i%7+1) * 100 * time.Millisecond)
		}
		if got, want := write(at), at.Format(time.RFC3339Nano); got != want {
			t.Fatalf("%s, want %s", got, want)
		}
	}
}

func TestALineClipsAsAllElse(t *testing.T) {
	for _, s := range []string{"", "abcdef", "abcdefg", "abcdefgh", "abcé€fgh", "€€€", "éééé", "\xff\xff\xff\xff\xff\xff\xff", "abc\x80\x80\x80\x80\x80"} {
		for limit := 3; limit < 10; limit++ {
			line, other := telemetry.Clipped(s, limit)
			if line != other && utf8.ValidString(s) || len(line) > limit && len(s) > limit {
				t.Errorf("%q within %d: %q, want %q", s, limit, line, other)
			}
			if len(s) > limit && !strings.HasSuffix(line, "…") {
				t.Errorf("%q within %d: %q shows no cut", s, limit, line)
			}
		}
	}
}
