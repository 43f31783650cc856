package telemetry

import (
	"errors"
	"net/url"
	"time"
	"unicode/utf8"

	"outrider/internal/mesh"
)

// Bounds of a log line's values, in bytes.
const (
	maxMethod = 32
	maxHost   = 255 // a domain name's own limit: RFC 1035, section 2.3.4
	maxPath   = 2048
	maxProto  = 16
	maxAgent  = 256
	maxID     = 128
	maxName   = 256 // of a route, a service, an identity, an address
	maxError  = 512
)

// maxAttempts bounds the attempts that one line lists; the last ones are kept.
const maxAttempts = 8

// causeOf returns why err happened, on its own: the code stands beside it. Of a
// [url.Error] only the cause is shown, for its text contains the query.
func causeOf(err error) string {
	if err == nil {
		return ""
	}
	var fault *mesh.Fault
	if errors.As(err, &fault) {
		if fault.Err == nil {
			return clip(fault.Text(), maxError)
		}
		err = fault.Err
	}
	var withURL *url.Error
	if errors.As(err, &withURL) && withURL.Err != nil {
		err = withURL.Err
	}
	return clip(err.Error(), maxError)
}

// milliseconds returns d to the microsecond.
func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// clip cuts s to at most limit bytes, between characters, and marks the cut.
func clip(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	end := limit - len("…")
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…"
}
