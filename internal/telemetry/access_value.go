package telemetry

import (
	"errors"
	"net/url"
	"strconv"
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

// appendMilliseconds appends d in milliseconds, to the microsecond.
func appendMilliseconds(b []byte, d time.Duration) []byte {
	us := d.Microseconds()
	if us < 0 {
		b, us = append(b, '-'), -us
	}
	b = strconv.AppendInt(b, us/1000, 10)
	if us %= 1000; us == 0 {
		return b
	}
	return appendFraction(b, uint64(us), 3)
}

// appendFraction appends n, of so many digits, behind a point and without zeros at its
// end.
func appendFraction(b []byte, n uint64, digits int) []byte {
	for n%10 == 0 {
		n, digits = n/10, digits-1
	}
	b = append(b, ".000000000"[:digits+1]...)
	for i := len(b) - 1; n > 0; i-- {
		b[i] = byte('0' + n%10)
		n /= 10
	}
	return b
}

// clock writes times as RFC 3339 has them. What is before a second's fraction it writes
// once a second.
type clock struct {
	second     int64
	in         *time.Location
	date, zone []byte
}

func (c *clock) append(b []byte, t time.Time) []byte {
	if second := t.Unix(); c.in != t.Location() || c.second != second {
		c.second, c.in = second, t.Location()
		c.date = t.AppendFormat(c.date[:0], "2006-01-02T15:04:05")
		c.zone = t.AppendFormat(c.zone[:0], "Z07:00")
	}
	b = append(b, c.date...)
	if ns := t.Nanosecond(); ns > 0 {
		b = appendFraction(b, uint64(ns), 9)
	}
	return append(b, c.zone...)
}

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

// appendClipped appends s as clip returns it.
func appendClipped(b []byte, s string, limit int) []byte {
	if len(s) <= limit {
		return append(b, s...)
	}
	start := len(b)
	return cut(append(b, s[:limit+1]...), start, limit)
}

// cut cuts what stands in b from start on to at most limit bytes, as clip does.
func cut(b []byte, start, limit int) []byte {
	if len(b)-start <= limit {
		return b
	}
	end := start + limit - len("…")
	for end > start && !utf8.RuneStart(b[end]) {
		end--
	}
	return append(b[:end], "…"...)
}
