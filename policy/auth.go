package policy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"outrider/internal/mesh"
)

// AuthConfig describes an Auth.
type AuthConfig struct {
	URL         *url.URL          // asked with GET and the token; absolute, http or https
	Origin      http.RoundTripper // reaches URL's host
	Timeout     time.Duration     // for one whole check. Zero means 2s
	TTL         time.Duration     // how long a valid token is believed unasked. Zero or negative: not at all
	NegativeTTL time.Duration     // how long a refused one is refused unasked. Zero or negative: not at all
	MaxCached   int               // valid tokens remembered at once; see Auth for refused ones. Zero means 10000
	MaxPending  int               // tokens checked at once; beyond that requests fail. Zero means 1024
	Headers     map[string]string // field of the answer → request header that carries it on

	Now     func() time.Time                 // the clock of TTL and NegativeTTL. Nil means time.Now
	Checked func(result string, cached bool) // see Auth. Nil means nobody listens
	Log     *slog.Logger                     // hears of panics in Origin. Nil discards
}

// Results for AuthConfig.Checked.
const (
	ResultValid   = "valid"
	ResultInvalid = "invalid"
	ResultError   = "error" // no proper answer, or no check because too many are pending
)

// Auth asks a service of its own whether a request's token is good, and hands on
// what the service says of its bearer. A token is whatever follows an optional
// "Bearer" in the only Authorization field.
//
//   - No token: Unauthenticated, "Token required".
//   - Credentials of another scheme, which nobody is asked about, or any answer but
//     2xx: Unauthenticated, "Invalid token".
//   - No answer, or a body that is not one JSON object of at most 64 KiB: AuthFailed.
//
// Answers are remembered under the token's digest, never under the token; those
// that say nothing of it (5xx, 408, 429) and failures are not. Refused tokens are
// remembered apart, a tenth of MaxCached and at least 64, so that a flood of them
// pushes out no valid one. Requests that bring one token at the same time share one
// check. AuthConfig.Checked hears of each check with cached false, and with cached
// true of each request that was answered without a check of its own.
type Auth struct {
	cfg    AuthConfig
	fields []field // of cfg.Headers
	cache  *authCache

	ctx     context.Context // parent of all checks
	stop    context.CancelCauseFunc
	running sync.WaitGroup // checks

	mu      sync.Mutex        // protects pending, and running.Add against Close
	pending map[digest]*check // by token
}

const (
	defaultAuthTimeout = 2 * time.Second
	defaultMaxCached   = 10_000
	defaultMaxPending  = 1024
)

// NewAuth returns an Auth that remembers nothing yet.
func NewAuth(c AuthConfig) (*Auth, error) {
	fields, err := parseFields(c.Headers)
	if err = errors.Join(c.check(), err); err != nil {
		return nil, fmt.Errorf("auth: %w", err)
	}
	c.setDefaults()
	a := &Auth{
		cfg:     c,
		fields:  fields,
		cache:   newAuthCache(c.MaxCached, c.Now),
		pending: make(map[digest]*check),
	}
	a.ctx, a.stop = context.WithCancelCause(context.Background())
	return a, nil
}

func (c *AuthConfig) check() error {
	var errs []error
	if c.URL == nil || c.URL.Host == "" || c.URL.Scheme != "http" && c.URL.Scheme != "https" {
		errs = append(errs, fmt.Errorf("validate URL must be like http://auth-service/validate, not %q", c.URL.Redacted()))
	}
	if c.Origin == nil {
		errs = append(errs, errors.New("no origin to ask"))
	}
	if c.Timeout < 0 || c.MaxCached < 0 || c.MaxPending < 0 {
		errs = append(errs, errors.New("timeout, max cached and max pending must not be negative"))
	}
	return errors.Join(errs...)
}

func (c *AuthConfig) setDefaults() {
	if c.Timeout == 0 {
		c.Timeout = defaultAuthTimeout
	}
	if c.MaxCached == 0 {
		c.MaxCached = defaultMaxCached
	}
	if c.MaxPending == 0 {
		c.MaxPending = defaultMaxPending
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Checked == nil {
		c.Checked = func(string, bool) {}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
}

var errAuthClosed = errors.New("auth: closed")

// Close ends the checks in progress, whose callers are told AuthFailed, and waits
// for them. Afterwards only remembered tokens are answered for. An Auth that is
// dropped without Close leaks nothing: each check ends by itself within Timeout.
func (a *Auth) Close() {
	a.mu.Lock() // no check begins between stop and Wait
	a.stop(errAuthClosed)
	a.mu.Unlock()
	a.running.Wait()
}

// Layer refuses requests without a good token. Those it passes on bear exactly the
// identity headers that the service answered with, whatever the client sent under
// their names, and Call.Subject: the answer's id or else its sub. Their Call is
// Personal, whether or not the answer names anybody. Authorization stays as it was.
func (a *Auth) Layer() mesh.Layer {
	return func(next http.RoundTripper) http.RoundTripper {
		return mesh.RoundTripFunc(func(req *http.Request) (*http.Response, error) {
			if err := a.admit(req); err != nil {
				return nil, err
			}
			return next.RoundTrip(req)
		})
	}
}

func (a *Auth) admit(req *http.Request) error {
	token, err := bearer(req.Header)
	if err != nil {
		return err
	}
	call := mesh.From(req)
	id, err := a.identify(call, token)
	if err != nil {
		return err
	}
	if id == nil {
		return invalidToken()
	}
	a.vouch(call, req.Header, id)
	call.Subject, call.Personal = id.subject, true
	return nil
}
