package bridge

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"time"

	"outrider/internal/mesh"
)

const (
	// linger is how long an unread rest of what a client sends may take to arrive: a
	// connection that is closed with data unread is reset, and a reset can overtake our
	// answer.
	linger = time.Second

	// maxRefused bounds what is read from a client that is refused, in bytes.
	maxRefused = 64 << 10
)

// past is a deadline that has always gone by.
var past = time.Unix(1, 0)

// http2Preface is how a client's HTTP/2 begins (RFC 9113, section 3.4); no HTTP/1.1
// request has that method.
var http2Preface = []byte("PRI")

// Plain is a client that speaks HTTP without TLS on a port that speaks TLS only.
type Plain struct {
	Conn      net.Conn
	Begun     []byte // what has been read of it already
	Mutual    bool   // the port wants to see a certificate of the client's, too
	Pseudonym string // of this proxy, for Proxy-Status
}

// halfCloser is a connection whose writing half can end by itself.
type halfCloser interface{ CloseWrite() error }

// RefusePlain tells p so in its own protocol: with a problem document or, on HTTP/2,
// with the error INADEQUATE_SECURITY. Then it closes the connection. It takes at most a
// second, and ends with ctx. It returns what was answered, for metric and log.
func RefusePlain(ctx context.Context, p Plain) *mesh.Fault {
	c := p.Conn
	defer c.Close()
	fault := &mesh.Fault{Kind: mesh.Malformed, Message: "This port speaks TLS only."}
	if p.Mutual {
		fault.Message = "This port speaks mutual TLS only."
	}
	_ = c.SetDeadline(time.Now().Add(linger)) // fails where the connection is closed, as all below does
	defer context.AfterFunc(ctx, func() { _ = c.SetDeadline(past) })()

	begun := make([]byte, len(http2Preface))
	n := copy(begun, p.Begun)
	more, _ := io.ReadFull(c, begun[n:]) // who sends less gets an answer too
	answer := goAway(fault.Message)
	if !bytes.Equal(begun[:n+more], http2Preface) {
		answer = plainAnswer(fault, p.Pseudonym)
	}
	if _, err := c.Write(answer); err != nil {
		return fault
	}
	if half, ok := c.(halfCloser); ok {
		_ = half.CloseWrite()
	}
	_, _ = io.CopyN(io.Discard, c, maxRefused)
	return fault
}

// plainAnswer returns the bytes of an HTTP/1.1 response.
func plainAnswer(f *mesh.Fault, pseudonym string) []byte {
	resp := Answer(&http.Request{Method: http.MethodGet, Header: http.Header{}}, f, AnswerOptions{Pseudonym: pseudonym}) //nolint:bodyclose // it is in memory
	resp.ProtoMajor, resp.ProtoMinor, resp.Close = 1, 1, true
	var b bytes.Buffer
	_ = resp.Write(&b) // into memory, from memory
	return b.Bytes()
}

// goAway returns the bytes of an HTTP/2 server that will have no streams, because of
// why: empty SETTINGS, then GOAWAY (RFC 9113, sections 6.5 and 6.8).
func goAway(why string) []byte {
	const (
		settings, away = 0x4, 0x7
		inadequate     = 0xc // INADEQUATE_SECURITY
	)
	b := frame(nil, settings, 0)
	b = frame(b, away, 8+len(why))
	b = binary.BigEndian.AppendUint32(b, 0) // the last stream that we have seen
	b = binary.BigEndian.AppendUint32(b, inadequate)
	return append(b, why...)
}

// frame appends an HTTP/2 frame's header, without flags, for the connection.
func frame(b []byte, kind byte, length int) []byte {
	return append(b, byte(length>>16), byte(length>>8), byte(length), kind, 0, 0, 0, 0, 0)
}
