package consul

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	tokenHeader  = "X-Consul-Token" //nolint:gosec // the field's name
	maxAnswer    = 64 << 20         // 10,000 endpoints are about 15 MiB
	maxErrorText = 4 << 10
)

// authorized puts the token of the moment into each request, and bounds what comes
// back: the library reads a body to its end, however long it is.
type authorized struct {
	next http.RoundTripper
	cfg  *Config
	most int64 // bytes of an answer
}

// RoundTrip sends req with the token. An answer 429 or 503 is a *busyError.
func (a *authorized) RoundTrip(req *http.Request) (*http.Response, error) {
	token, err := a.cfg.token()
	if err != nil {
		if req.Body != nil {
			req.Body.Close()
		}
		return nil, err
	}
	req = req.Clone(req.Context())
	req.Header.Del(tokenHeader)
	if token != "" {
		req.Header.Set(tokenHeader, token)
	}
	resp, err := a.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	switch {
	case resp.StatusCode == http.StatusTooManyRequests, resp.StatusCode == http.StatusServiceUnavailable:
		return nil, busy(resp)
	case resp.StatusCode >= 300:
		resp.Body = &bounded{ReadCloser: resp.Body, left: maxErrorText, end: io.EOF}
	default:
		resp.Body = &bounded{ReadCloser: resp.Body, left: a.most, end: fmt.Errorf("the answer is larger than %d bytes", a.most)}
	}
	return resp, nil
}

// bounded ends a body after so many bytes.
type bounded struct {
	io.ReadCloser
	left int64
	end  error // after them
}

// Read reads no more than is left.
func (b *bounded) Read(p []byte) (int, error) {
	if b.left == 0 {
		// The body may end here.
		if n, err := b.ReadCloser.Read(make([]byte, 1)); n == 0 {
			return 0, err
		}
		return 0, b.end
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.ReadCloser.Read(p)
	b.left -= int64(n)
	return n, err
}

// busyError is the agent's answer that it has too much to do. The library would
// drop the header that says when to come again.
type busyError struct {
	status int
	text   string        // the answer's first line; may be empty
	after  time.Duration // how long to stay away; zero where the agent does not say
}

// Error says what to look at.
func (e *busyError) Error() string {
	if e.status == http.StatusTooManyRequests {
		return "the agent answers 429, too many requests or connections from this address (its limits.http_max_conns_per_client and request_limits): " + e.text
	}
	return fmt.Sprintf("the agent answers %d: %s", e.status, e.text)
}

// busy turns the answer into an error, and closes it.
func busy(resp *http.Response) error {
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxErrorText))
	if err != nil && len(text) == 0 {
		text = []byte(err.Error())
	}
	return &busyError{
		status: resp.StatusCode,
		text:   firstLine(string(text)),
		after:  retryAfter(resp.Header.Get("Retry-After"), time.Now()),
	}
}

// retryAfter parses the header field's two forms, seconds and a date. What is
// neither, or past, is zero.
func retryAfter(value string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(strings.TrimSpace(value), 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return max(0, at.Sub(now))
}
