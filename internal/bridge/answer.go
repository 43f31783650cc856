package bridge

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"outrider/internal/mesh"
)

const (
	defaultPseudonym = "outrider"
	problemType      = "application/problem+json"
	grpcType         = "application/grpc"
)

// AnswerOptions says who answers.
type AnswerOptions struct {
	Pseudonym string // in Proxy-Status; empty means "outrider"
}

// problem is the body of an answer (RFC 9457). The member error is the one
// sentence that a client needs; code is the same word as in log and metric.
type problem struct {
	Type      string `json:"type"`
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Error     string `json:"error"`
	Code      string `json:"code"`
	RequestID string `json:"request_id,omitempty"`
}

// Answer returns the response that tells the client of req about f: a problem
// document, or trailers only for a gRPC request. Inner addresses and causes are
// for peers that the call trusts. The response is the caller's own.
func Answer(req *http.Request, f *mesh.Fault, o AnswerOptions) *http.Response {
	call := mesh.From(req)
	header := make(http.Header, 8)
	for name, values := range f.Header {
		header[http.CanonicalHeaderKey(name)] = slices.Clone(values)
	}
	header["Cache-Control"] = []string{"no-store"}
	header["Proxy-Status"] = []string{proxyStatus(f, o.Pseudonym, call != nil && call.Trusted)}
	if f.RetryAfter > 0 {
		seconds := int64((f.RetryAfter + time.Second - 1) / time.Second)
		header["Retry-After"] = []string{strconv.FormatInt(seconds, 10)}
	}
	id := ""
	if call != nil && call.ID != "" {
		id = call.ID
		header["X-Request-Id"] = []string{id}
	}
	resp := &http.Response{StatusCode: f.Kind.Status(), Header: header, Body: http.NoBody, Request: req}
	if media := grpcMedia(req); media != "" {
		resp.StatusCode = http.StatusOK
		header["Content-Type"] = []string{media}
		header["Grpc-Status"] = []string{strconv.Itoa(f.Kind.GRPC())}
		header["Grpc-Message"] = []string{grpcEscape(f.Text())}
		return withStatus(resp)
	}
	body, _ := json.Marshal(problem{ // strings and integers always marshal
		Type: "about:blank", Title: title(resp.StatusCode), Status: resp.StatusCode,
		Error: f.Text(), Code: f.Kind.Code(), RequestID: id,
	})
	body = append(body, '\n')
	header["Content-Type"] = []string{problemType}
	header["Content-Length"] = []string{strconv.Itoa(len(body))}
	resp.ContentLength = int64(len(body))
	if req.Method != http.MethodHead {
		resp.Body = io.NopCloser(bytes.NewReader(body))
	}
	return withStatus(resp)
}

// withStatus fills in the texts that a Response carries beside its code.
func withStatus(resp *http.Response) *http.Response {
	resp.Status = strconv.Itoa(resp.StatusCode) + " " + title(resp.StatusCode)
	return resp
}

// title names a status. The one of a client that is gone is nginx's, not HTTP's.
func title(status int) string {
	if status == mesh.ClientGone.Status() {
		return "Client Closed Request"
	}
	return http.StatusText(status)
}

// grpcMedia returns the type to answer a gRPC request with, "" for any other.
// The browser's variants insist on their own.
func grpcMedia(req *http.Request) string {
	media, _, _ := strings.Cut(strings.ToLower(req.Header.Get("Content-Type")), ";")
	media = strings.TrimSpace(media)
	switch {
	case !strings.HasPrefix(media, grpcType):
		return ""
	case strings.HasPrefix(media, grpcType+"-web"):
		return media
	}
	return grpcType
}

// grpcEscape percent-encodes a message as gRPC's HTTP/2 protocol asks for: all
// but printable ASCII, and the percent sign itself.
func grpcEscape(message string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(message) {
		c := message[i]
		if c < ' ' || c > '~' || c == '%' {
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}
