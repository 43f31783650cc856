package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// What a POST may send, in bytes: a form of one field, or a question with the fields of
// a request.
const (
	maxBody     = 4 << 10
	maxQuestion = 256 << 10
)

// contentPolicy lets a page load nothing at all; the status page adds its own style.
const contentPolicy = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// secure says on every answer what a browser must not do with it.
func secure(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", contentPolicy)
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		most := int64(maxBody)
		if r.URL.Path == "/explain" {
			most = maxQuestion
		}
		r.Body = http.MaxBytesReader(w, r.Body, most)
		next.ServeHTTP(w, r)
	})
}

// loopback refuses a Host that does not mean this machine: a page whose name was
// rebound to 127.0.0.1 is of our origin in the browser's eyes, but keeps its name.
func loopback(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isLoopback(r.Host) {
			problem(w, http.StatusForbidden, "The admin port answers only to localhost, 127.0.0.0/8 and [::1] as Host.")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// isLoopback reports whether authority, host[:port], is a loopback name or address.
func isLoopback(authority string) bool {
	host := authority
	if h, _, err := net.SplitHostPort(authority); err == nil {
		host = h
	} else if inner, ok := strings.CutPrefix(authority, "["); ok {
		if host, ok = strings.CutSuffix(inner, "]"); !ok {
			return false
		}
	}
	if len(host) == len("localhost") && strings.EqualFold(host, "localhost") { // letters that fold into an s are longer
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// sameSite refuses what the page of another site asks for. Of its links, one that
// somebody follows may lead here, but not into a profile, which costs.
func sameSite(next http.Handler) http.Handler {
	refuse := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		problem(w, http.StatusForbidden, "The admin port does not answer the pages of other sites.")
	})
	sameOrigin := http.NewCrossOriginProtection() // for methods that change something
	sameOrigin.SetDenyHandler(refuse)
	inner := sameOrigin.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isForeign(r) && (!isLink(r) || strings.HasPrefix(r.URL.Path, "/debug/")) {
			refuse(w, r)
			return
		}
		inner.ServeHTTP(w, r)
	})
}

// isForeign reports whether a browser says that another site's page asks.
func isForeign(r *http.Request) bool {
	site := r.Header.Get("Sec-Fetch-Site")
	return site == "cross-site" || site == "same-site"
}

// isLink reports whether a browser says that it opens the answer in a window.
func isLink(r *http.Request) bool {
	return r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document"
}

// token asks for the bearer token (RFC 6750) where there is to be one. An
// orchestrator that asks for health has none, and learns nothing by it.
func (p *port) token(next http.Handler) http.Handler {
	if p.cfg.Token == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		want := p.cfg.Token()
		good := want != "" && same(bearer(r), want) // a request without a token bears ""
		if good || r.URL.Path == "/live" || r.URL.Path == "/ready" {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("WWW-Authenticate", `Bearer realm="outrider admin"`)
		problem(w, http.StatusUnauthorized, "The admin port asks for its token: Authorization: Bearer …")
	})
}

// bearer returns the request's token, and "" where it has none.
func bearer(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// same compares in a time that tells neither where a and b differ nor how long
// they are.
func same(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// only refuses other methods than these. HEAD goes wherever GET does.
func only(next http.Handler, methods ...string) http.Handler {
	if slices.Contains(methods, http.MethodGet) {
		methods = append(methods, http.MethodHead)
		slices.Sort(methods)
	}
	allow := strings.Join(methods, ", ")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !slices.Contains(methods, r.Method) {
			w.Header().Set("Allow", allow)
			problem(w, http.StatusMethodNotAllowed, "The method "+quote(r.Method)+" is not allowed here, only "+allow+".")
			return
		}
		next.ServeHTTP(w, r)
	})
}
