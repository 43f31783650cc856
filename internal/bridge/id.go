package bridge

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"time"
)

// maxRequestID bounds a request ID that we take over, in bytes.
const maxRequestID = 128

// appendID appends a UUID of version 7 (RFC 9562, section 5.7) of that time, with the
// fraction of the millisecond in rand_a (section 6.2, method 3).
//
// A request's ID has to be unique, not secret: what tells two of one quarter of a
// microsecond apart is 62 bits of the runtime's generator, which is seeded by the
// system, takes no lock and makes no system call.
func appendID(b []byte, at time.Time) []byte {
	const version, variant = 7 << 12, 1 << 63
	ms, within := at.UnixMilli(), uint64(at.Nanosecond()%int(time.Millisecond))
	var id [16]byte
	binary.BigEndian.PutUint64(id[:], uint64(ms)<<16|version|within<<12/uint64(time.Millisecond))
	binary.BigEndian.PutUint64(id[8:], variant|rand.Uint64()>>2)
	text := id[:]
	b = hex.AppendEncode(b, text[:4])
	for _, part := range [...][]byte{text[4:6], text[6:8], text[8:10], text[10:]} {
		b = append(b, '-')
		b = hex.AppendEncode(b, part)
	}
	return b
}

func newID() string { return string(appendID(make([]byte, 0, idLength), time.Now())) }

// idLength is that of a UUID in text, in bytes.
const idLength = 36

// validID reports whether a request ID is short and visible.
func validID(id string) bool {
	for i := range len(id) {
		if id[i] <= ' ' || id[i] > '~' {
			return false
		}
	}
	return id != "" && len(id) <= maxRequestID
}
