package policy

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"outrider/internal/mesh"
)

// digest stands for a token wherever one is kept.
type digest = [sha256.Size]byte

// digestOf returns the digest of a token.
func digestOf(token string) digest {
	var room [2048]byte // a longer token costs an allocation
	return sha256.Sum256(append(room[:0], token...))
}

// check is one question to the service, and the answer to all who wait for it.
type check struct {
	done chan struct{} // closed once answer is set
	answer
}

// answer is what became of a check.
type answer struct {
	id  *identity     // nil: the token is not good
	ttl time.Duration // how long that may be believed
	err error         // there is no telling
}

func (r *answer) result() string {
	switch {
	case r.err != nil:
		return ResultError
	case r.id == nil:
		return ResultInvalid
	default:
		return ResultValid
	}
}

// identify returns whom the token names, nil for a token that is not good.
func (a *Auth) identify(call *mesh.Call, token string) (*identity, error) {
	key := digestOf(token)
	if id, ok := a.cache.get(key); ok {
		call.Acts |= mesh.AuthCached
		a.cfg.Checked((&answer{id: id}).result(), true)
		return id, nil
	}
	call.Acts |= mesh.AuthAsked
	c, own := a.join(key, token, call)
	if !c.settled() { // a settled one is taken even by a caller who is leaving
		ctx := call.Context() // now: it keeps the call, and with it the trace that run has, from serving another request
		select {
		case <-c.done:
		case <-ctx.Done():
			return nil, leaving(ctx)
		}
	}
	if !own {
		a.cfg.Checked(c.result(), true)
	}
	if c.err != nil {
		// Each caller gets a Fault of its own, for layers above to edit.
		return nil, &mesh.Fault{Kind: mesh.AuthFailed, RetryAfter: retryAfter(c.err), Err: c.err}
	}
	return c.id, nil
}

func (c *check) settled() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// leaving returns the Fault of a call that ended before the answer came.
func leaving(ctx context.Context) error {
	cause := context.Cause(ctx)
	var f *mesh.Fault
	if errors.As(cause, &f) {
		return f
	}
	return &mesh.Fault{Kind: mesh.ClientGone, Err: cause}
}

// retryAfter hands on when the service's own stack expects to be able again.
func retryAfter(err error) time.Duration {
	var f *mesh.Fault
	if errors.As(err, &f) {
		return f.RetryAfter
	}
	return 0
}

// join returns the check of a token: the one under way or a new one, own then
// being true. What the new one needs of the request is copied: it may outlive it.
func (a *Auth) join(key digest, token string, of *mesh.Call) (c *check, own bool) {
	a.mu.Lock()
	if c = a.pending[key]; c != nil {
		a.mu.Unlock()
		return c, false
	}
	if id, ok := a.cache.get(key); ok { // answered since identify looked
		a.mu.Unlock()
		return answered(answer{id: id}), false
	}
	err := context.Cause(a.ctx)
	if err == nil && len(a.pending) >= a.cfg.MaxPending {
		err = fmt.Errorf("auth: %d checks are pending already", len(a.pending))
	}
	if err != nil {
		a.mu.Unlock()
		a.cfg.Checked(ResultError, false)
		return answered(answer{err: err}), true
	}
	c = &check{done: make(chan struct{})}
	a.pending[key] = c
	a.running.Add(1)
	a.mu.Unlock()
	go a.run(c, key, a.question(token, of.ID), of.Trace)
	return c, true
}

// answered returns a check that is over.
func answered(r answer) *check {
	c := &check{done: make(chan struct{}), answer: r}
	close(c.done)
	return c
}

// run makes the check. It has a goroutine and a context of its own, so that no
// caller who leaves takes the answer away from the others. It belongs to the trace of
// the first of them.
func (a *Auth) run(c *check, key digest, req *http.Request, trace mesh.Trace) {
	defer a.running.Done()
	c.answer = a.ask(req, trace)
	if c.err == nil {
		a.cache.put(key, c.id, c.ttl) // before it leaves pending: nobody asks in between
	}
	a.mu.Lock()
	delete(a.pending, key)
	a.mu.Unlock()
	a.cfg.Checked(c.result(), false)
	close(c.done)
}

// question returns the request to the service, still without a Call.
func (a *Auth) question(token, requestID string) *http.Request {
	u := *a.cfg.URL // layers below edit in place
	h := http.Header{
		"Authorization": {"Bearer " + token},
		"Accept":        {"application/json"},
	}
	if requestID != "" {
		h["X-Request-Id"] = []string{strings.Clone(requestID)}
	}
	return &http.Request{
		Method: http.MethodGet, URL: &u, Host: u.Host, Header: h, Body: http.NoBody,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
}

// ask sends the question and weighs the answer. What the stack below panics with
// becomes a failed check: here is no server above that would recover it.
func (a *Auth) ask(req *http.Request, trace mesh.Trace) (r answer) {
	late := &mesh.Fault{Kind: mesh.ResponseTimeout, Err: fmt.Errorf("auth: no answer within %v", a.cfg.Timeout)}
	// The deadline stands in both: a transport may know the Call's only, and a
	// layer below may lift that from a response that it takes for a stream.
	ctx, cancel := context.WithTimeoutCause(a.ctx, a.cfg.Timeout, late)
	defer cancel()
	call := mesh.NewCall(ctx)
	call.Start, call.Trace = time.Now(), trace
	call.SetDeadline(call.Start.Add(a.cfg.Timeout), late)
	if id := req.Header["X-Request-Id"]; len(id) > 0 {
		call.ID = id[0]
	}
	var end mesh.Result
	defer func() {
		if p := recover(); p != nil {
			a.cfg.Log.Error("auth: panic in a check", "panic", p, "stack", string(debug.Stack()))
			r = answer{err: fmt.Errorf("auth: panic: %v", p)}
		}
		end.Err = r.err
		call.End(end)
	}()

	resp, err := a.cfg.Origin.RoundTrip(call.Bind(req))
	if err != nil {
		return answer{err: fmt.Errorf("auth: %w", err)}
	}
	defer func() { _ = resp.Body.Close() }() // before End; all that matters has been read
	end.Status = resp.StatusCode
	body, err := readAnswer(resp.Body)
	end.Sent = int64(len(body))
	return a.weigh(resp.StatusCode, body, err)
}

// maxAnswer bounds the service's answer, in bytes.
const maxAnswer = 64 << 10

// readAnswer reads the body. It returns an error with what it has read of one that
// breaks off or is too long.
func readAnswer(body io.Reader) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(body, maxAnswer+1))
	if err == nil && len(b) > maxAnswer {
		err = fmt.Errorf("answer of more than %d bytes", maxAnswer)
	}
	return b, err
}

// weigh says what an answer of the service means; broken is why its body is not
// whole.
func (a *Auth) weigh(status int, body []byte, broken error) answer {
	switch {
	case status/100 != 2 && decisive(status):
		return answer{ttl: a.cfg.NegativeTTL}
	case status/100 != 2:
		return answer{}
	case broken != nil:
		return answer{err: fmt.Errorf("auth: %w", broken)}
	}
	id, err := readIdentity(body, a.fields)
	if err != nil {
		return answer{err: fmt.Errorf("auth: answer: %w", err)}
	}
	return answer{id: id, ttl: a.cfg.TTL}
}

// decisive reports whether a refusal is about the token, and not about how the
// service fares.
func decisive(status int) bool {
	return status < 500 && status != http.StatusRequestTimeout && status != http.StatusTooManyRequests
}
